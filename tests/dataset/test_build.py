"""Datasets of a simulated country: what their chips hold, and how a build resumes."""

import json
import shutil
from dataclasses import MISSING, fields
from datetime import date, timedelta

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from odc.geo.geobox import GeoBox

from lulcmap.catalog.search import find_scenes
from lulcmap.cli.app import Group
from lulcmap.cli.dataset import dataset as command
from lulcmap.dataset.chips import CHIPS, INDEX, Dataset
from lulcmap.dataset.request import build_dataset
from lulcmap.dataset.settings import DatasetRequest, ImageArchive
from lulcmap.dataset.votes import SCHEMES
from lulcmap.dataset.writer import DatasetWriter
from lulcmap.errors import NoScenesError, OutputError, ProviderError, UsageError
from lulcmap.imagery.reader import Reader
from lulcmap.sensors import S1_NODATA, S2_BANDS
from lulcmap.simulation.build import Country, simulate
from lulcmap.simulation.labels import LabelSet, simulate_labels

COUNTRY = Country(seed=5, height=320, width=300, s2_dates=4, s1_dates=6, cloud=0.2)
FINE = ("B02", "B03", "B04", "B08")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("country"), COUNTRY)


@pytest.fixture(scope="module")
def labels(scenes, tmp_path_factory):
    wanted = LabelSet(size=96, experts=3, nonexperts=3, holdout=1)
    return simulate_labels(tmp_path_factory.mktemp("labels"), COUNTRY, scenes, wanted)


@pytest.fixture
def request_of(labels, scenes):
    def of(folder=labels, catalog=scenes.items, **changes):
        options = {
            key: changes.pop(key)
            for key in ("orbit", "keep_without_s1", "workers", "max_lost")
            if key in changes
        }
        return DatasetRequest(folder, archive=ImageArchive(str(catalog), **options), **changes)

    return of


@pytest.fixture(scope="module")
def built(labels, scenes, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "dataset"
    build_dataset(DatasetRequest(labels, archive=ImageArchive(str(scenes.items))), out)
    return Dataset.open(out)


def put_tile(folder, codes, *, west, north, day, epsg=32632, name="8.2_47.8"):
    """Write a label tile by an expert."""
    path = folder / "Experts" / f"dw_{name}-{day}.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=codes.shape[0],
        width=codes.shape[1],
        count=1,
        dtype="uint8",
        crs=f"EPSG:{epsg}",
        transform=Affine(10, 0, west, 0, -10, north),
    ) as file:
        file.write(codes, 1)
    return path


def items(scenes, collection):
    features = json.loads(scenes.items.read_text())["features"]
    return [item for item in features if item["collection"] == collection]


def day_of(item):
    return item["properties"]["datetime"][:10].replace("-", "")


def seen_whole(scenes):
    """A Sentinel-2 item of the orbit that sees the whole country."""
    return next(
        item
        for item in items(scenes, "sentinel-2-l2a")
        if item["properties"]["s2:nodata_pixel_percentage"] == 0
    )


def window(scenes, item, key, grid):
    """The pixels of an asset under a grid that matches its own."""
    with rasterio.open(scenes.items.parent / item["assets"][key]["href"]) as file:
        part = file.window(*grid.boundingbox.bbox).round_offsets().round_lengths()
        return file.read(1, window=part)


def grid_of(dataset, chip, name="label.tif"):
    with rasterio.open(dataset.path(chip, name)) as file:
        return GeoBox(file.shape, file.transform, file.crs)


def without_offset(item, dn):
    offset = 1000 if item["properties"]["s2:processing_baseline"] >= "04" else 0
    return np.where(dn == 0, 0, np.maximum(dn.astype(int) - offset, 1))


def decibels(scenes, dataset, chip, band, states):
    """Brute force: hundredths of a decibel of the mean linear power of all passes."""
    stack = []
    for item in items(scenes, "sentinel-1-rtc"):
        if item["properties"]["sat:orbit_state"] in states:
            power = window(scenes, item, band.lower(), grid_of(dataset, chip)).astype(float)
            stack.append(np.where(power == S1_NODATA, np.nan, power))
    with np.errstate(invalid="ignore"):
        count = np.isfinite(stack).sum(axis=0)
        mean = np.nansum(stack, axis=0) / np.maximum(count, 1)
    return np.where(count > 0, 1000 * np.log10(np.where(count > 0, mean, 1)), S1_NODATA)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def run(*args):
    group = Group("main", commands={"dataset": command})
    return CliRunner().invoke(group, ["dataset", *map(str, args)])


def test_chips_hold_exactly_the_pixels_of_their_scene_and_the_true_classes(
    scenes, tmp_path, request_of
):
    exact = LabelSet(size=96, experts=3, nonexperts=0, holdout=0, wrong=0, unmarked=0)
    folder = simulate_labels(tmp_path / "labels", COUNTRY, scenes, exact)
    build_dataset(request_of(folder), tmp_path / "out")
    dataset = Dataset.open(tmp_path / "out")
    by_id = {item["id"]: item for item in items(scenes, "sentinel-2-l2a")}

    assert len(dataset.rows) == 3
    for chip in dataset.rows:
        seen = dataset.read(chip)
        s2, label = seen.s2, seen.label
        grid, (name,) = grid_of(dataset, chip), chip.s2
        for band in FINE:
            scene = without_offset(by_id[name], window(scenes, by_id[name], band, grid))
            np.testing.assert_array_equal(s2[S2_BANDS.index(band)], scene)
        with rasterio.open(scenes.truth) as file:
            part = file.window(*grid.boundingbox.bbox).round_offsets().round_lengths()
            truth = file.read(1, window=part)
        assert (label != 255).mean() > 0.2
        np.testing.assert_array_equal(label[label != 255], truth[label != 255])
        assert grid == grid_of(dataset, chip, "s2.tif") == grid_of(dataset, chip, "s1.tif")


@pytest.mark.parametrize(("down", "right"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_a_tile_on_odd_multiples_of_ten_metres_gets_the_same_pixels(
    down, right, scenes, tmp_path, request_of
):
    item = seen_whole(scenes)
    codes = np.full((61 + down, 75 - right), 3, np.uint8)
    put_tile(
        tmp_path / "labels",
        codes,
        west=COUNTRY.west + 10 * (100 + right),
        north=COUNTRY.north - 10 * (120 + down),
        day=day_of(item),
    )
    build_dataset(request_of(tmp_path / "labels", s1_days=366), tmp_path / "out")
    dataset = Dataset.open(tmp_path / "out")
    (chip,) = dataset.rows
    seen = dataset.read(chip)
    s2, s1 = seen.s2, seen.s1
    grid = grid_of(dataset, chip)
    even = GeoBox(COUNTRY.shape, Affine(10, 0, COUNTRY.west, 0, -10, COUNTRY.north), "EPSG:32632")
    rows, cols = slice(120 + down, 120 + down + grid.shape[0]), slice(100 + right, 175)
    search = find_scenes(
        chip_area(chip),
        s2_period=(date.fromisoformat(chip.date),) * 2,
        s1_period=(date(2024, 1, 1), date(2024, 12, 31)),
        catalog=str(scenes.items),
        s1=True,
    )
    scene = next(one for one in search.scenes if one.sensor == "s2")

    with Reader(workers=1) as reader:
        for index, band in enumerate(S2_BANDS):
            whole = without_offset(item, reader.read(scene, band, even))
            np.testing.assert_array_equal(s2[index], whole[rows, cols], err_msg=band)
    expected = decibels(scenes, dataset, chip, "VV", {"descending"})
    assert abs(s1[0] - expected).max() < 1


def chip_area(chip):
    import shapely

    box = shapely.box(chip.lon - 0.01, chip.lat - 0.01, chip.lon + 0.01, chip.lat + 0.01)
    return shapely.MultiPolygon([box])


def test_scenes_and_tiles_off_the_multiples_of_ten_metres_match_pixel_by_pixel(tmp_path):
    country = Country(seed=6, height=160, width=160, s2_dates=1, s1_dates=1, shift=3.7, cloud=0)
    simulated = simulate(tmp_path / "scenes", country)
    folder = simulate_labels(
        tmp_path / "labels",
        country,
        simulated,
        LabelSet(size=63, experts=2, nonexperts=0, holdout=0),
    )
    build_dataset(
        DatasetRequest(folder, archive=ImageArchive(str(simulated.items))), tmp_path / "out"
    )
    dataset = Dataset.open(tmp_path / "out")
    (item,) = items(simulated, "sentinel-2-l2a")

    for chip in dataset.rows:
        grid = grid_of(dataset, chip)
        assert (grid.affine.c - 3.7) % 10 == pytest.approx(0, abs=1e-6)
        for band in FINE:
            scene = without_offset(item, window(simulated, item, band, grid))
            np.testing.assert_array_equal(dataset.read(chip).s2[S2_BANDS.index(band)], scene)


def test_a_tile_between_the_scenes_pixels_gets_their_bilinear_mean(scenes, tmp_path, request_of):
    item = seen_whole(scenes)
    left, up = 2.5, 7.5
    put_tile(
        tmp_path / "labels",
        np.full((40, 50), 2, np.uint8),
        west=COUNTRY.west + 1000 + left,
        north=COUNTRY.north - 1000 - up,
        day=day_of(item),
    )
    build_dataset(request_of(tmp_path / "labels"), tmp_path / "out")
    dataset = Dataset.open(tmp_path / "out")
    with rasterio.open(scenes.items.parent / item["assets"]["B04"]["href"]) as file:
        raw = file.read(1)[100:141, 100:151].astype(float)
    across = raw[:, :-1] * (1 - left / 10) + raw[:, 1:] * left / 10
    mixed = across[:-1] * (1 - up / 10) + across[1:] * up / 10
    offset = without_offset(item, np.array([5000]))[0] - 5000

    shown = dataset.read(dataset.rows[0]).s2[S2_BANDS.index("B04")]

    assert abs(shown - (mixed + offset)).max() <= 0.51


@pytest.mark.parametrize(
    ("orbit", "states"),
    [("descending", {"descending"}), ("any", {"ascending", "descending"})],
)
def test_the_radar_is_the_mean_of_the_power_of_every_pass(
    orbit, states, scenes, tmp_path, request_of
):
    build_dataset(request_of(orbit=orbit, s1_days=366), tmp_path / "out")
    dataset = Dataset.open(tmp_path / "out")

    for chip in dataset.rows:
        s1 = dataset.read(chip).s1
        for index, band in enumerate(("VV", "VH")):
            expected = decibels(scenes, dataset, chip, band, states)
            np.testing.assert_array_equal(s1[index] == S1_NODATA, expected == S1_NODATA)
            assert abs(s1[index] - expected).max() < 1  # halves of a hundredth, and float32
        assert len(chip.s1) == len(chip.s1_dates) <= 3 * len(states)
        assert chip.s1_orbit == ("both" if orbit == "any" else orbit)


def test_radar_outside_the_requested_days_is_not_used(built, scenes, tmp_path, request_of):
    build_dataset(request_of(s1_days=70, keep_without_s1=True), tmp_path / "out")

    near = Dataset.open(tmp_path / "out")

    far = {chip.chip: chip for chip in built.rows}
    for chip in near.rows:
        day = date.fromisoformat(chip.date)
        kept = [
            one
            for one in far[chip.chip].s1_dates
            if abs(date.fromisoformat(one) - day) <= timedelta(days=70)
        ]
        assert list(chip.s1_dates) == kept
    assert any(len(chip.s1) < len(far[chip.chip].s1) for chip in near.rows)


def test_the_index_describes_each_chip(built, labels):
    kinds = sorted(chip.annotator for chip in built.rows)

    assert kinds == ["expert"] * 3 + ["holdout"] + ["nonexpert"] * 3
    assert [chip.chip for chip in built.rows] == sorted(chip.chip for chip in built.rows)
    for chip in built.rows:
        label = built.read(chip).label
        assert (labels / chip.source).is_file()
        assert sum(chip.counts) + chip.unlabelled == label.size == chip.height * chip.width
        assert [int((label == number).sum()) for number in range(9)] == list(chip.counts)
        assert (chip.split == "test") == (chip.annotator == "holdout")
        assert chip.date.replace("-", "") in chip.source
        assert built.names[0] == "water"


def test_an_interrupted_build_resumes_and_ends_as_an_undisturbed_one(
    built, request_of, tmp_path, monkeypatch
):
    out, write, written = tmp_path / "out", DatasetWriter.write_chip, []

    def dying(self, sample, *args):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(sample.name)
        return write(self, sample, *args)

    monkeypatch.setattr(DatasetWriter, "write_chip", dying)
    with pytest.raises(KeyboardInterrupt):
        build_dataset(request_of(workers=1), out)
    monkeypatch.setattr(DatasetWriter, "write_chip", write)
    stamps = {path: path.stat().st_mtime_ns for path in (out / CHIPS).rglob("*.tif")}
    half = out / CHIPS / ".expert.0123abcd.part"
    half.mkdir()
    with pytest.raises(UsageError, match="is not finished"):
        Dataset.open(out)

    again = build_dataset(request_of(workers=2), out)

    assert 2 <= len({path.parent for path in stamps}) <= 3
    assert again.new_chips == len(built.rows) - len({path.parent for path in stamps})
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert not half.exists()
    whole = contents(built.folder)
    for left in (whole, now := contents(out)):
        left.pop("report.json")
        left.pop("statistics.json", None)
        left.pop("contact-sheet.png", None)
    assert now == whole


def test_only_the_chip_of_a_changed_label_is_made_again(labels, request_of, tmp_path):
    folder, out = tmp_path / "labels", tmp_path / "out"
    shutil.copytree(labels, folder)
    build_dataset(request_of(folder), out)
    path = next((folder / "Experts").rglob("*.tif"))
    with rasterio.open(path, "r+") as file:
        file.write(np.full((1, *file.shape), 9, np.uint8))

    again = build_dataset(request_of(folder), out)

    changed = [row for row in again.rows if row.counts[8] == 96 * 96]
    assert again.new_chips == 1
    assert [row.chip for row in changed] == [f"expert-{path.stem}"]
    assert (Dataset.open(out).read(changed[0]).label == 8).all()


def test_a_folder_begun_with_other_settings_is_refused_with_the_difference(request_of, tmp_path):
    build_dataset(request_of(limit=1), tmp_path / "out")

    with pytest.raises(UsageError, match='orbit was "descending", is "any"; s1_days was 180, is 9'):
        build_dataset(request_of(orbit="any", s1_days=9), tmp_path / "out")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not a dataset"):
        build_dataset(request_of(), tmp_path / "other")


def test_another_share_for_validation_needs_no_new_chips(request_of, tmp_path):
    build_dataset(request_of(), tmp_path / "out")

    again = build_dataset(request_of(validation=0.5, test=0.2), tmp_path / "out")

    assert again.new_chips == 0
    assert Dataset.open(tmp_path / "out").settings["validation"] == 0.5


def test_a_scene_that_cannot_be_read_fails_its_labels_alone_and_they_are_tried_again(
    scenes, labels, request_of, tmp_path
):
    archive = tmp_path / "scenes"
    shutil.copytree(scenes.items.parent, archive)
    days = sorted(path.stem[-8:] for path in labels.rglob("dw_*.tif"))
    item = next(i for i in items(scenes, "sentinel-2-l2a") if day_of(i) == days[0])
    path = archive / item["assets"]["B11"]["href"]
    hidden = path.rename(path.with_suffix(".gone"))

    broken = build_dataset(request_of(catalog=archive / "items.json"), tmp_path / "out")
    hidden.rename(path)
    mended = build_dataset(request_of(catalog=archive / "items.json"), tmp_path / "out")

    assert broken.failed
    assert all(days[0] in source and "B11" in why for source, why in broken.failed.items())
    assert len(broken.rows) == 7 - len(broken.failed) > 0
    assert (len(mended.rows), mended.new_chips, mended.failed) == (7, len(broken.failed), {})
    assert json.loads((tmp_path / "out" / "report.json").read_text())["failed"] == {}


def test_tiles_without_a_scene_or_without_radar_are_skipped(scenes, request_of, tmp_path):
    day = day_of(seen_whole(scenes))
    corner = {"west": COUNTRY.west + 1500, "north": COUNTRY.north - 1500}
    codes = np.full((32, 32), 1, np.uint8)
    put_tile(tmp_path / "labels", codes, **corner, day=day, name="1_1")
    put_tile(tmp_path / "labels", codes, **corner, day="20240704", name="2_2")

    one = build_dataset(request_of(tmp_path / "labels", s1_days=366), tmp_path / "one")
    with pytest.raises(NoScenesError, match="no descending Sentinel-1 scene within 0 days"):
        build_dataset(request_of(tmp_path / "labels", s1_days=0), tmp_path / "none")
    bare = build_dataset(
        request_of(tmp_path / "labels", s1_days=0, keep_without_s1=True), tmp_path / "bare"
    )

    assert [row.source for row in one.rows] == [f"Experts/dw_1_1-{day}.tif"]
    assert one.skipped == {
        "Experts/dw_2_2-20240704.tif": "no Sentinel-2 scene of 2024-07-04 was found"
    }
    assert not (tmp_path / "none").exists()
    assert (bare.rows[0].s1, bare.rows[0].s1_orbit) == ((), None)
    assert (Dataset.open(tmp_path / "bare").read(bare.rows[0]).s1 == S1_NODATA).all()


def test_a_provider_that_is_down_ends_the_build(request_of, tmp_path, monkeypatch):
    def down(*args, **kwargs):
        raise ProviderError("The server is down.")

    monkeypatch.setattr("lulcmap.dataset.source.find_scenes", down)

    with pytest.raises(ProviderError, match=r"7 labels failed .*The server is down"):
        build_dataset(request_of(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr("lulcmap.dataset.build._MAX_FAILURES_IN_A_ROW", 3)
    with pytest.raises(ProviderError, match="3 labels in a row failed, the last one"):
        build_dataset(request_of(workers=1), tmp_path / "out")


def test_the_same_scene_processed_twice_gives_its_newest(scenes, request_of, tmp_path):
    collection = json.loads(scenes.items.read_text())
    item = seen_whole(scenes)
    names = [
        f"S2A_MSIL2A_20240101T102021_R065_T32ULU_{done}"
        for done in ("20240102T000000", "20250102T000000")
    ]
    root = scenes.items.parent
    copies = []
    for name in names:
        assets = {
            key: {**asset, "href": str((root / asset["href"]).relative_to(root))}
            for key, asset in item["assets"].items()
        }
        copies.append({**item, "id": name, "assets": assets})
    collection["features"] = [
        *copies,
        *(one for one in collection["features"] if one["id"] != item["id"]),
    ]
    (root / "twice.json").write_text(json.dumps(collection))
    put_tile(
        tmp_path / "labels",
        np.full((32, 32), 1, np.uint8),
        west=COUNTRY.west + 1500,
        north=COUNTRY.north - 1500,
        day=day_of(item),
    )

    result = build_dataset(request_of(tmp_path / "labels", root / "twice.json"), tmp_path / "out")

    assert result.rows[0].s2 == (names[1],)


def test_the_command_prints_splits_and_classes_and_refuses_in_one_line(labels, scenes, tmp_path):
    words = ["build", "--labels", labels, "--catalog", scenes.items, "--out", tmp_path / "out"]

    first = run(*words)
    again = run(*words, "--json")
    refused = run(*words, "--year", "2024")
    useless = run(*words, "--attribute", "kind")
    other = run("build", "--labels", scenes.items, "--out", tmp_path / "b", "--votes", "strict")

    assert first.exit_code == 0, first.output
    assert "7 chips, 7 of them new" in first.output
    assert "train" in first.output
    assert "snow_and_ice" in first.output
    assert json.loads(again.output)["made"] == 0
    assert refused.exit_code == 2
    assert refused.output == (
        "Error: Label tiles have their own days. Omit --year, --start and --end.\n"
    )
    assert "--attribute cannot be used here: Only for a vector file" in useless.output
    assert "--votes cannot be used here: Only for Dynamic World's tiles" in other.output
    assert (useless.exit_code, other.exit_code) == (2, 2)
    assert (tmp_path / "out" / INDEX).exists()


def test_the_commands_defaults_are_the_librarys():
    build = command.commands["build"]
    options = {option.name: option for option in build.params}

    assert tuple(options["votes"].type.choices) == SCHEMES
    for field in (*fields(ImageArchive), *fields(DatasetRequest)):
        if field.name in options and field.default is not MISSING and field.default:
            assert options[field.name].default == field.default, field.name


def test_the_command_exits_with_3_where_no_label_has_an_image(scenes, tmp_path):
    put_tile(tmp_path, np.ones((9, 9), np.uint8), west=4e5, north=6e6, day="20240101")

    ended = run("build", "--labels", tmp_path, "--catalog", scenes.items, "--out", tmp_path / "o")

    assert ended.exit_code == 3
    assert "no Sentinel-2 scene of 2024-01-01 was found" in ended.output
    assert "Traceback" not in ended.output


@pytest.mark.parametrize(
    ("place", "scene", "day"),
    [
        ("denmark", "S2_denmark_20171030", "20171030"),
        ("ontario", "S2_ontario_20200111", "20200111"),
    ],
)
def test_a_real_tile_gets_exactly_the_pixels_of_its_real_scene(
    place, scene, day, shared_data, tmp_path
):
    archive = shared_data / "archive" / "items.json"
    item = next(i for i in json.loads(archive.read_text())["features"] if i["id"] == scene)
    tile = tmp_path / "labels" / "Experts" / f"dw_0_0-{day}.tif"
    tile.parent.mkdir(parents=True)
    shutil.copy(shared_data / "archive" / "labels" / f"{place}.tif", tile)

    build_dataset(
        DatasetRequest(tmp_path / "labels", archive=ImageArchive(str(archive), orbit="any")),
        tmp_path / "out",
    )

    dataset = Dataset.open(tmp_path / "out")
    (chip,) = dataset.rows
    seen = dataset.read(chip)
    s2, s1, label = seen.planes()
    grid = grid_of(dataset, chip)
    assert chip.s2 == (scene,)
    for index, band in enumerate(S2_BANDS):
        with rasterio.open(archive.parent / item["assets"][band]["href"]) as file:
            assert (file.shape, file.transform) == (grid.shape, grid.affine)
            np.testing.assert_array_equal(s2[index], file.read(1))  # these have no offset
    assert len(chip.s1) == 1
    assert -2500 < np.median(s1[0][s1[0] != S1_NODATA]) < 0
    with rasterio.open(tile) as file:
        codes = file.read(1)
    np.testing.assert_array_equal(label, np.where(np.isin(codes, [0, 10]), 255, codes - 1))


@pytest.mark.parametrize(
    "name", ["notes.txt", "index.parquet", "chips/mine/label.tif", "dataset.json", "report.json"]
)
def test_a_folder_with_other_files_is_no_place_for_a_dataset(request_of, tmp_path, name):
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("{}")

    with pytest.raises(OutputError, match="is not a dataset"):
        build_dataset(request_of(), tmp_path / "out")

    assert [entry for entry in (tmp_path / "out").rglob("*") if entry.is_file()] == [path]
    assert path.read_text() == "{}"
