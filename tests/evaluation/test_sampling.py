import json
import sqlite3
from contextlib import closing

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from click.testing import CliRunner
from pyproj import Geod, Transformer

from lulcmap.cli.sample import sample
from lulcmap.errors import OutputError, UsageError
from lulcmap.evaluation import sampling
from lulcmap.evaluation.sample_file import write_sample
from lulcmap.evaluation.sampling import allocate, draw_sample


def write_map(path, values, *, epsg=32632, transform=None, nodata=255):
    height, width = values.shape
    transform = transform or Affine(10, 0, 500_000, 0, -10, 6_400_000)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "nodata": nodata}
    with rasterio.open(
        path, "w", height=height, width=width, crs=f"EPSG:{epsg}", transform=transform, **profile
    ) as file:
        file.write(values, 1)
    return path


@pytest.fixture
def values():
    rng = np.random.default_rng(2)
    values = rng.choice(np.uint8([1, 4, 6]), (90, 120), p=[0.7, 0.25, 0.05])
    values[:10] = 255
    return values


@pytest.fixture
def class_map(tmp_path, values, monkeypatch):
    monkeypatch.setattr(sampling, "_WINDOW_PX", 32)  # many windows, cut ones among them
    return write_map(tmp_path / "map.tif", values)


def test_every_point_lies_in_the_middle_of_a_pixel_of_its_stratum(class_map, values):
    drawn = draw_sample(class_map, size=300, min_per_class=50)

    xs, ys = Transformer.from_crs(4326, 32632, always_xy=True).transform(drawn.lon, drawn.lat)
    cols, rows = (xs - 500_000) / 10, (6_400_000 - ys) / 10
    np.testing.assert_allclose(np.stack([rows, cols]) % 1, 0.5, atol=1e-3)
    strata = np.array([one.value for one in drawn.strata])[drawn.stratum]
    np.testing.assert_array_equal(values[rows.astype(int), cols.astype(int)], strata)
    assert len(np.unique(rows.astype(int) * 120 + cols.astype(int))) == 300
    assert [one.points for one in drawn.strata] == np.bincount(drawn.stratum).tolist()
    assert {one.value: one.pixels for one in drawn.strata} == {
        value: np.count_nonzero(values == value) for value in (1, 4, 6)
    }
    assert [one.name for one in drawn.strata] == ["trees", "crops", "built"]


def test_the_same_seed_draws_the_same_points_and_another_one_others(class_map):
    one, same, other = (
        draw_sample(class_map, size=60, min_per_class=10, seed=seed) for seed in (1, 1, 2)
    )

    np.testing.assert_array_equal(one.lon, same.lon)
    assert len(np.intersect1d(one.lon, other.lon)) < 10


def test_every_pixel_of_a_stratum_is_equally_probable(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "_WINDOW_PX", 7)
    path = write_map(tmp_path / "map.tif", np.zeros((10, 10), np.uint8))

    times = np.zeros((10, 10))
    to_map = Transformer.from_crs(4326, 32632, always_xy=True)
    for seed in range(160):
        drawn = draw_sample(path, size=10, min_per_class=2, seed=seed)
        xs, ys = to_map.transform(drawn.lon, drawn.lat)
        times[((6_400_000 - ys) // 10).astype(int), ((xs - 500_000) // 10).astype(int)] += 1

    # 160 draws of 1 in 10: 16 expected, with a variance of 14.4
    assert ((times - 16) ** 2 / 14.4).mean() == pytest.approx(1, abs=0.4)
    assert np.abs(times - 16).max() < 5 * 14.4**0.5


def test_points_are_in_random_order(class_map):
    drawn = draw_sample(class_map, size=300, min_per_class=50)

    assert 80 < np.count_nonzero(np.diff(drawn.stratum)) < 250
    assert abs(np.corrcoef(np.arange(300), drawn.lat)[0, 1]) < 0.2


@pytest.mark.parametrize(
    ("epsg", "transform"),
    [
        (32632, Affine(10, 0, 166_000, 0, -10, 6_400_000)),  # at the zone's edge: scale above 1
        (4326, Affine(0.001, 0, 10, 0, -0.001, 60)),
        (3035, Affine(10, 0, 4_000_000, 0, -10, 3_000_000)),
        (3857, Affine(10, 0, 1_000_000, 0, -10, 9_000_000)),
        (2263, Affine(100, 0, 980_000, 0, -100, 200_000)),  # in feet
    ],
)
def test_areas_are_true(tmp_path, epsg, transform, monkeypatch):
    monkeypatch.setattr(sampling, "_WINDOW_PX", 128)
    values = np.zeros((200, 150), np.uint8)
    values[:, 75:] = 1
    path = write_map(tmp_path / "map.tif", values, epsg=epsg, transform=transform)
    edge = shapely.segmentize(shapely.box(75, 0, 150, 200), 1)
    to_degrees = Transformer.from_crs(epsg, 4326, always_xy=True)
    outline = shapely.transform(
        edge, lambda xy: np.column_stack(to_degrees.transform(*(transform @ xy.T)))
    )

    drawn = draw_sample(path, size=10, min_per_class=2)

    area = abs(Geod(ellps="WGS84").geometry_area_perimeter(outline)[0]) / 1e6
    assert drawn.strata[1].km2 == pytest.approx(area, rel=2e-5)
    assert drawn.pixel_m2.mean() == pytest.approx(area * 1e6 / 15_000, rel=0.05)


def test_rare_classes_get_the_least_and_the_others_share_by_area():
    points = allocate(np.array([2, 1.5, 32, 64.5]), np.full(4, 10**6), size=640, min_per_class=75)

    assert points.tolist() == [75, 75, 162, 328]


def test_a_class_with_few_pixels_gives_them_all_and_the_others_the_rest():
    assert allocate(
        np.array([1.0, 99.0]), np.array([7, 700]), size=100, min_per_class=50
    ).tolist() == [
        7,
        93,
    ]
    assert allocate(
        np.array([1.0, 99.0]), np.array([7, 30]), size=100, min_per_class=50
    ).tolist() == [
        7,
        30,
    ]
    assert allocate(
        np.array([5.0, 5.0]), np.array([5, 500]), size=100, min_per_class=2
    ).tolist() == [5, 95]


def test_too_few_points_for_the_classes_are_refused(class_map):
    with pytest.raises(UsageError, match="3 classes need at least 50 points each, 150 in all"):
        draw_sample(class_map, size=149, min_per_class=50)


def test_a_map_without_a_class_is_refused(tmp_path):
    path = write_map(tmp_path / "map.tif", np.full((5, 5), 255, np.uint8))

    with pytest.raises(UsageError, match="no pixel with a class"):
        draw_sample(path, size=10, min_per_class=2)


def test_the_maps_own_nodata_is_no_stratum(tmp_path):
    path = write_map(tmp_path / "map.tif", np.uint8([[0, 0], [1, 1]]), nodata=0)

    assert [one.value for one in draw_sample(path, size=2, min_per_class=2).strata] == [1]


def test_the_labeller_sees_an_empty_label_before_anything_of_the_map(class_map, tmp_path):
    out = tmp_path / "sample.gpkg"

    write_sample(out, draw_sample(class_map, size=60, min_per_class=10))

    meta, _, blobs, fields = pyogrio.raw.read(out)
    columns = dict(zip(meta["fields"].tolist(), fields, strict=True))
    assert list(columns) == [
        *("id", "label", "lon", "lat"),
        *("pixel_area_m2", "stratum", "stratum_pixels", "stratum_area_km2"),
    ]
    assert set(columns["label"]) == {None}
    np.testing.assert_array_equal(
        shapely.get_coordinates(shapely.from_wkb(blobs)),
        np.column_stack([columns["lon"], columns["lat"]]),
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.tif", "sample.gpkg"]


def test_labels_are_not_lost_by_a_second_call(class_map, tmp_path):
    out = tmp_path / "sample.gpkg"
    drawn = draw_sample(class_map, size=60, min_per_class=10)
    write_sample(out, drawn)

    with pytest.raises(OutputError, match="may hold labels"):
        write_sample(out, drawn)
    write_sample(out, drawn, overwrite=True)


def test_the_command_reports_the_strata_and_the_next_step(class_map, tmp_path):
    out = tmp_path / "sample.gpkg"
    words = [str(class_map), "--size", "60", "--min-per-class", "10", "--out", str(out)]

    result = CliRunner().invoke(sample, words, catch_exceptions=False)
    again = CliRunner().invoke(sample, [*words, "--overwrite", "--json"], catch_exceptions=False)

    assert f"lulcmap evaluate {class_map} --labels {out}" in result.output
    assert "60 points in random order" in result.output
    strata = json.loads(again.output)["strata"]
    assert [one["class"] for one in strata] == ["trees", "crops", "built"]
    assert sum(one["points"] for one in strata) == 60


@pytest.mark.parametrize("by", ["path", "link", "hard link"])
def test_only_a_sample_is_ever_replaced(class_map, tmp_path, by):
    drawn = draw_sample(class_map, size=60, min_per_class=10)
    others = tmp_path / "others"
    others.mkdir()
    layers, roads, text = (others / name for name in ("two.gpkg", "roads.gpkg", "text.gpkg"))
    write_sample(layers, drawn)
    points = shapely.to_wkb(shapely.points([[5.0, 50.0]]))
    how = {"geometry": points, "field_data": [np.array(["a1"])], "fields": ["name"]}
    more = {"geometry_type": "Point", "crs": "EPSG:4326", "driver": "GPKG", "layer": "roads"}
    pyogrio.raw.write(layers, append=True, **how, **more)
    pyogrio.raw.write(roads, **how, **more)
    text.write_text("mine")
    for path in (class_map, layers, roads, text):
        before, out = path.read_bytes(), tmp_path / f"{path.stem}-out.gpkg"
        if by == "path":
            out = path
        else:
            (out.symlink_to if by == "link" else out.hardlink_to)(path)

        with pytest.raises(OutputError, match="is not a sample made by lulcmap"):
            write_sample(out, drawn, overwrite=True)

        assert path.read_bytes() == before


def test_a_labelled_sample_is_replaced_when_asked_and_its_journal_goes(class_map, tmp_path):
    out = tmp_path / "sample.gpkg"
    drawn = draw_sample(class_map, size=60, min_per_class=10)
    write_sample(out, drawn)
    with closing(sqlite3.connect(out)) as database:
        database.execute("ALTER TABLE sample ADD COLUMN remark TEXT")
    out.with_name("sample.gpkg-journal").write_bytes(b"old")

    write_sample(out, drawn, overwrite=True)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.tif", "sample.gpkg"]
    assert "remark" not in pyogrio.raw.read(out)[0]["fields"]
