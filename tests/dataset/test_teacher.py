"""Scenes of a simulated country that a model labels: what the chips hold, and how it resumes."""

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from odc.geo.geobox import GeoBox
from scipy.ndimage import minimum_filter
from scipy.special import softmax

from lulcmap.catalog import make_period
from lulcmap.cli.app import Group
from lulcmap.cli.dataset import dataset as command
from lulcmap.dataset.check import check_dataset
from lulcmap.dataset.chips import CHIPS, Dataset
from lulcmap.dataset.settings import ImageArchive, LabelRequest
from lulcmap.dataset.splits import grid_centre
from lulcmap.dataset.teacher import label_scenes
from lulcmap.dataset.writer import PLACES, DatasetWriter
from lulcmap.errors import ModelError, NoScenesError, ProviderError, UsageError
from lulcmap.model.contract import S1_INPUT, S2_INPUT, SUN_SCALAR
from lulcmap.model.session import open_session
from lulcmap.simulation.build import Country, simulate
from tests.support.stubs import contract, make_model

COUNTRY = Country(seed=5, height=320, width=300, s2_dates=4, s1_dates=6, cloud=0.2)
SIZE = 96
YEAR = make_period(year=2024)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("country"), COUNTRY)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A model in which a pixel depends on itself alone."""
    path = tmp_path_factory.mktemp("teacher") / "pixels.onnx"
    return make_model(path, contract(inputs={"s2": S2_INPUT}, stride=1, multiple=4))


@pytest.fixture
def request_of(scenes, teacher):
    def of(**changes):
        archive = ImageArchive(str(changes.pop("catalog", scenes.items)), workers=2)
        options = {
            **{"area": str(scenes.aoi), "size": SIZE, "dates": 2, "limit": 3},
            **{"device": "cpu", "max_sun_zenith": 90.0},
        }
        return LabelRequest(teacher, YEAR, archive=archive, **{**options, **changes})

    return of


@pytest.fixture(scope="module")
def labelled(scenes, teacher, tmp_path_factory):
    """Two dates and a composite of three places, each date with its own label."""
    out = tmp_path_factory.mktemp("labelled") / "dataset"
    request = LabelRequest(
        teacher,
        YEAR,
        area=str(scenes.aoi),
        archive=ImageArchive(str(scenes.items), workers=2),
        size=SIZE,
        dates=2,
        limit=3,
        average=False,
        composites=True,
        max_sun_zenith=90.0,
        device="cpu",
    )
    return label_scenes(request, out)


def own(teacher, s2):
    """(K, H, W) the teacher's probabilities of an image, one pixel by itself."""
    session = open_session(teacher, device="cpu", threads=1)
    n = s2[0].size
    s1 = np.full((1, 2, 1, n), -32768, np.int16)
    logits = session.run(s2.reshape(1, 9, 1, n), s1)
    return softmax(logits[0], axis=0).reshape(-1, *s2.shape[1:])


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".lock", "statistics.json", "contact-sheet.png")
    }


def place_of(chip):
    return chip.chip.rpartition("_")[0]


def test_every_chip_has_exactly_the_labels_of_its_teacher(labelled, teacher):
    dataset = Dataset.open(labelled.out)

    dates = [row for row in dataset.rows if not row.chip.endswith("composite")]
    assert len(dates) >= 5
    for chip in dates:
        pixels, shares = dataset.read(chip), own(teacher, dataset.read(chip).s2)
        known = pixels.label != 255
        assert known.mean() >= 0.3
        np.testing.assert_array_equal(pixels.label[known], shares.argmax(0)[known])
        assert np.abs(pixels.probabilities - 100 * shares)[:, known].max() < 1.001
        assert (pixels.probabilities.sum(0)[known] == 100).all()
        top = np.sort(shares, axis=0)
        margin = np.clip(np.rint(100 * (top[-1] - top[-2])), 1, 100)
        assert np.abs(pixels.weight - margin)[known].max() <= 1
        assert not pixels.weight[~known].any()
        assert (chip.annotator, chip.source) == ("teacher", "stub")


def test_the_mean_of_the_dates_is_the_label_of_each_and_of_the_composite(
    labelled, teacher, request_of, tmp_path
):
    request = request_of(composites=True)

    result = label_scenes(request, tmp_path / "out")

    apart, together = Dataset.open(labelled.out), Dataset.open(result.out)
    assert [row.chip for row in apart.rows] == [row.chip for row in together.rows]
    by_place = {}
    for row in together.rows:
        by_place.setdefault(place_of(row), []).append(row)
    for rows in by_place.values():
        dates = [row for row in rows if not row.chip.endswith("composite")]
        images = [together.read(row) for row in dates]
        shares = [own(teacher, image.s2) for image in images]
        clear = [apart.read(row).label != 255 for row in dates]
        weights = np.array([seen.mean() * seen for seen in clear])
        mean = (weights[:, None] * np.array(shares)).sum(axis=0)
        mean /= np.where(weights.sum(0) > 0, weights.sum(0), np.nan)
        for row in rows:
            pixels = together.read(row)
            known = pixels.label != 255
            assert known.any()
            off = np.abs(pixels.probabilities - 100 * mean)[:, known]
            assert off.max() < 1.001
        for image, seen, mine in zip(images, clear, shares, strict=True):
            best = np.nan_to_num(mean).argmax(0)
            sure = mine.max(0) - np.take_along_axis(mine, best[None], 0)[0] > 0.5
            np.testing.assert_array_equal(image.label != 255, seen & ~sure)


def test_the_dataset_is_sound_and_a_place_is_in_one_split(labelled):
    assert check_dataset(labelled.out).faults == ()
    for place in {row.place for row in labelled.rows}:
        assert len({row.split for row in labelled.rows if row.place == place}) == 1
    assert {row.split for row in labelled.rows} == {"train", "validation"}


def test_provenance_is_that_of_the_teacher(labelled, teacher):
    settings = Dataset.open(labelled.out).settings

    assert settings["teacher"]["name"] == "stub"
    assert settings["teacher"]["sha256"] == open_session(teacher, device="cpu").sha256
    assert settings["simulated"] is True


def test_radar_is_that_of_the_dates_nearest_to_the_day(labelled, scenes):
    features = json.loads(scenes.items.read_text())["features"]
    days = sorted(
        date.fromisoformat(item["properties"]["datetime"][:10])
        for item in features
        if item["collection"] == "sentinel-1-rtc"
        and item["properties"]["sat:orbit_state"] == "descending"
    )
    for row in labelled.rows:
        if not row.chip.endswith("composite"):
            day = date.fromisoformat(row.date)
            near = [one for one in days if abs((one - day).days) <= 31]
            assert {date.fromisoformat(one) for one in row.s1_dates} <= set(near)
            assert len(row.s1_dates) <= 4


class KilledError(BaseException):
    """Stands for a kill: nothing handles it."""


@pytest.mark.parametrize("written", [1, 4])
def test_a_killed_run_resumes_to_the_same_bytes(
    labelled, request_of, tmp_path, monkeypatch, written
):
    request = request_of(average=False, composites=True)
    out, whole, count = tmp_path / "out", DatasetWriter.write_chip, 0

    def killing(self, *args):
        nonlocal count
        count += 1
        if count > written:
            raise KilledError
        return whole(self, *args)

    monkeypatch.setattr(DatasetWriter, "write_chip", killing)
    with pytest.raises(KilledError):
        label_scenes(request, out)
    monkeypatch.undo()
    assert not (out / "index.parquet").exists()

    label_scenes(request, out)

    assert contents(out) == contents(labelled.out)


def test_a_finished_run_makes_nothing_again_and_a_larger_limit_adds(
    request_of, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    first = label_scenes(request_of(limit=1), out)
    before = contents(out / CHIPS)

    more = label_scenes(request_of(limit=2), out)
    again = label_scenes(request_of(limit=2), out)

    assert (first.new_chips > 0, more.new_chips > 0, again.new_chips) == (True, True, 0)
    assert len(again.rows) == first.new_chips + more.new_chips
    after = contents(out / CHIPS)
    assert {name: after[name] for name in before} == before


def test_another_request_is_refused(labelled, request_of):
    with pytest.raises(UsageError, match=r"min_margin was 0\.0, is 0\.2"):
        label_scenes(request_of(average=False, composites=True, min_margin=0.2), labelled.out)


def test_dates_of_a_low_sun_are_left_out_and_counted(request_of, scenes, tmp_path):
    with pytest.raises(NoScenesError, match="low sun"):
        label_scenes(request_of(max_sun_zenith=5.0), tmp_path / "none")
    result = label_scenes(request_of(max_sun_zenith=50.0), tmp_path / "some")

    assert result.dates["low sun"] > 0
    for row in result.rows:
        lon, lat = row.lon, row.lat
        assert row.date[5:7] in ("04", "05", "06", "07", "08", "09"), (row.date, lon, lat)
    report = json.loads((result.out / "report.json").read_text())
    assert report["dates_left_out"] == dict(result.dates)
    records = [json.loads(path.read_text()) for path in (result.out / PLACES).iterdir()]
    reasons = [
        why for one in records for kind, why in one["left_out"].values() if kind == "low sun"
    ]
    assert "more than 50" in reasons[0]


def test_the_sun_of_each_date_reaches_the_teacher(request_of, scenes, tmp_path):
    model = replace(contract(inputs={"s2": S2_INPUT}, stride=1, multiple=4))
    path = make_model(tmp_path / "sun.onnx", replace(model, scalars={"sun_zenith": SUN_SCALAR}))
    features = json.loads(scenes.items.read_text())
    labels = {}
    for zenith in (20.0, 60.0):
        for item in features["features"]:
            item["properties"]["s2:mean_solar_zenith"] = zenith
        items = scenes.items.with_name(f"sun-{zenith:.0f}.json")
        items.write_text(json.dumps(features))
        request = replace(request_of(catalog=items, limit=1, dates=1), teacher=path)
        result = label_scenes(request, tmp_path / f"out-{zenith:.0f}")
        labels[zenith] = Dataset.open(result.out).read(result.rows[0]).probabilities

    assert np.abs(labels[20.0].astype(int) - labels[60.0]).max() > 10


def test_a_date_that_cannot_be_read_is_left_out_and_named(request_of, tmp_path):
    folder = tmp_path / "country"
    broken = simulate(folder, replace(COUNTRY, missing=1))

    result = label_scenes(
        request_of(catalog=broken.items, limit=1, dates=4, min_clear_share=0.01), tmp_path / "out"
    )

    assert result.dates["lost"] == 1
    assert "B03" in result.lost[0]
    assert json.loads((result.out / "report.json").read_text())["lost"] == list(result.lost)


def test_a_place_whose_dates_are_all_lost_is_tried_again(request_of, tmp_path):
    folder = tmp_path / "country"
    broken = simulate(folder, replace(COUNTRY, missing=4))
    request = request_of(catalog=broken.items, limit=1, min_clear_share=0.01)

    with pytest.raises(ProviderError, match=r"1 failed .*B03.*resume"):
        label_scenes(request, tmp_path / "out")


def test_without_a_classification_colours_decide(request_of, scenes, tmp_path):
    features = json.loads(scenes.items.read_text())
    s2 = [item for item in features["features"] if "SCL" in item["assets"]]
    scl = {item["id"]: item["assets"].pop("SCL")["href"] for item in s2}
    items = scenes.items.with_name("no-scl.json")
    items.write_text(json.dumps(features))

    result = label_scenes(
        request_of(catalog=items, dates=4, min_clear_share=0.01), tmp_path / "out"
    )

    dataset, cloudy = Dataset.open(result.out), 0
    for row in dataset.rows:
        with rasterio.open(dataset.path(row, "label.tif")) as file:
            grid = GeoBox(file.shape, file.transform, file.crs)
        (name,) = row.s2
        with rasterio.open(scenes.items.parent / scl[name]) as file:
            window = file.window(*grid.boundingbox.bbox).round_offsets().round_lengths()
            codes = (
                file.read(1, window=window, boundless=True, fill_value=0).repeat(2, 0).repeat(2, 1)
            )
        thick = minimum_filter(codes == 9, 9)
        cloudy += thick.sum()
        assert not thick.any() or (dataset.read(row).label[thick] == 255).mean() > 0.95
    assert cloudy


def test_radar_may_be_left_out_or_required(request_of, scenes, tmp_path):
    off = label_scenes(request_of(s1="off", limit=1), tmp_path / "off")
    assert all(not row.s1 for row in off.rows)

    with pytest.raises(NoScenesError, match="no radar"):
        label_scenes(request_of(s1="required", s1_days=0, limit=1), tmp_path / "required")


def test_a_teacher_of_radar_alone_is_refused(request_of, tmp_path):
    path = make_model(tmp_path / "s1.onnx", contract(inputs={"s1": S1_INPUT}))

    with pytest.raises(ModelError, match="does not take Sentinel-2"):
        label_scenes(replace(request_of(), teacher=path), tmp_path / "out")


def test_a_teacher_of_both_sensors_sees_the_radar_of_the_chip(request_of, tmp_path):
    both = {"s2": S2_INPUT, "s1": S1_INPUT}
    path = make_model(tmp_path / "both.onnx", contract(inputs=both, stride=1, multiple=4))
    session = open_session(path, device="cpu", threads=1)

    result = label_scenes(
        replace(request_of(limit=1, average=False), teacher=path), tmp_path / "out"
    )

    dataset = Dataset.open(result.out)
    for row in dataset.rows:
        pixels = dataset.read(row)
        logits = session.run(*(one.reshape(1, len(one), 1, -1) for one in (pixels.s2, pixels.s1)))
        best = logits[0].argmax(0).reshape(pixels.shape)
        known = pixels.label != 255
        np.testing.assert_array_equal(pixels.label[known], best[known])


def run(*args):
    group = Group("main", commands={"dataset": command})
    return CliRunner().invoke(group, ["dataset", "label", *map(str, args)])


def test_the_command_labels_and_says_what_it_left_out(scenes, teacher, tmp_path):
    out = tmp_path / "out"
    options = ("--teacher", teacher, "--aoi", scenes.aoi, "--year", 2024, "--out", out)
    archive = ("--catalog", scenes.items, "--size", SIZE, "--limit", 2, "--dates", 1)

    result = run(*options, *archive)

    assert result.exit_code == 0, result.output
    assert f"{out}: 2 chips, 2 of them new." in result.output
    assert len(Dataset.open(out).rows) == 2


def test_points_of_a_file_are_places(request_of, tmp_path):
    points = tmp_path / "points.csv"
    place = label_scenes(request_of(limit=1), tmp_path / "area").rows[0]
    points.write_text(f"lon,lat\n{place.lon},{place.lat}\n")

    result = label_scenes(
        request_of(area=None, places=points, dates=1, limit=None), tmp_path / "out"
    )

    (row,) = result.rows
    assert (row.lon, row.lat) == pytest.approx((place.lon, place.lat), abs=2e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--aoi", "8,47,8.1,47.1", "--year", 2024, "--size", 95), "even --size"),
        (("--year", 2024), "by --aoi or by --places"),
        (("--aoi", "8,47,8.1,47.1", "--places", "a.csv", "--year", 2024), "one of them"),
        (("--aoi", "8,47,8.1,47.1"), "No period"),
        (("--places", "none.csv", "--year", 2024), "none.csv"),
    ],
)
def test_a_request_that_cannot_be_met_ends_in_one_line(options, said, teacher, tmp_path):
    result = run("--teacher", teacher, "--out", tmp_path / "out", *options)

    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "out").exists()


def test_a_period_without_scenes_leaves_no_folder(request_of, tmp_path):
    request = replace(request_of(), period=make_period(year=2020))

    with pytest.raises(NoScenesError, match="no Sentinel-2 scene was found"):
        label_scenes(request, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_place_s_centre_is_that_of_its_grid(labelled):
    dataset = Dataset.open(labelled.out)
    row = dataset.rows[0]
    with rasterio.open(dataset.path(row, "label.tif")) as file:
        lon, lat = grid_centre(GeoBox(file.shape, file.transform, file.crs))
    assert (row.lon, row.lat) == pytest.approx((lon, lat), abs=1e-5)
