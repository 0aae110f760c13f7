import itertools
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rio_cogeo.cogeo import cog_validate

from lulcmap import map_change, measure_areas
from lulcmap.errors import OutputError, UsageError
from lulcmap.legend import CLASSES
from lulcmap.products.change import series as series_module
from tests.products.maps import GRID, write_map, write_regions

NAMES = [cover.name for cover in CLASSES]


@pytest.fixture
def small_windows(monkeypatch):
    """Windows of 512 px, so that small maps have several."""
    monkeypatch.setattr(series_module, "_WINDOW_PX", 512)


def read(path):
    with rasterio.open(path) as file:
        return file.read(1)


def tag(path, **tags):
    with rasterio.open(path, "r+") as file:
        file.update_tags(**tags)
    return path


def write_confidence(path, percent, **options):
    """The quality file beside a map."""
    height, width = percent.shape
    out = path.with_name(f"{path.stem}-quality.tif")
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 2, "nodata": 255, "crs": "EPSG:32632"}
    profile |= {"height": height, "width": width, "transform": GRID}
    with rasterio.open(out, "w", **(profile | options)) as file:
        file.write(np.zeros_like(percent), 1)
        file.write(percent, 2)
        file.descriptions = ("margin", "confidence")
    return out


def pixels_by_pair(table):
    return {(row.first_id, row.last_id): row.pixels for row in table.transitions}


def brute(first, last):
    """Pixels of each pair of classes, counted one by one."""
    counts = {}
    for one, other in zip(first.ravel().tolist(), last.ravel().tolist(), strict=True):
        if 255 not in (one, other):
            pair = (None, None) if 254 in (one, other) else (one, other)
            counts[pair] = counts.get(pair, 0) + 1
    return counts


CLASS = st.sampled_from([0, 1, 4, 8, 255])
SHAPE = (7, 9)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    first=arrays(np.uint8, SHAPE, elements=CLASS),
    last=arrays(np.uint8, SHAPE, elements=CLASS),
    percent=arrays(np.uint8, (2, *SHAPE), elements=st.sampled_from([0, 59, 60, 100, 255])),
)
def test_two_maps_equal_a_count_of_single_pixels(tmp_path, first, last, percent):
    paths = [
        write_map(tmp_path / f"{year}.tif", values)
        for year, values in (("2020", first), ("2024", last))
    ]
    for path, one in zip(paths, percent, strict=True):
        write_confidence(path, one)
    sure = (percent >= 60) & (percent <= 100)
    gated = [
        np.where(~one & (values != 255), 254, values)
        for one, values in zip(sure, (first, last), strict=True)
    ]
    for values, options in (((first, last), {}), (gated, {"min_confidence": 60})):
        expected = brute(*values)
        if not expected:
            with pytest.raises(UsageError, match="nothing to compare"):
                map_change(paths, **options)
            continue

        table = map_change(paths, tmp_path / "change.tif", overwrite=True, **options)

        assert pixels_by_pair(table) == expected
        codes = values[0].astype(int) * 10 + values[1]
        unsure, none = ((values[0] == one) | (values[1] == one) for one in (254, 255))
        codes = np.where(none, 255, np.where(unsure, 254, codes))
        np.testing.assert_array_equal(read(tmp_path / "change.tif"), codes)


def test_areas_are_those_of_the_areas_command_by_region_too(tmp_path, small_windows):
    rng = np.random.default_rng(3)
    first, last = rng.integers(0, 4, (2, 700, 1100)).astype(np.uint8)
    paths = [write_map(tmp_path / "a.tif", first), write_map(tmp_path / "b.tif", last)]
    both = write_map(tmp_path / "both.tif", (first * 10 + last).astype(np.uint8), names={})
    shapes = [
        shapely.Polygon([(550_333, 6_343_900), (559_871, 6_343_111), (552_000, 6_337_500)]),
        shapely.Point(560_000, 6_340_000).buffer(1234.5),
        shapely.box(0, 0, 10, 10),
    ]
    regions = write_regions(tmp_path / "r.gpkg", shapes, name=["a", "b", "far"])

    for options in ({}, {"regions": regions}):
        found = map_change(paths, **options)
        expected = {
            (row.region, row.class_id // 10, row.class_id % 10): (row.ha, row.pixels, row.percent)
            for row in measure_areas(both, **options).rows
            if row.class_id is not None and row.ha
        }
        got = {
            (row.region, row.first_id, row.last_id): (row.ha, row.pixels, row.percent)
            for row in found.transitions
        }
        assert set(got) == set(expected)
        for key, values in got.items():
            assert values == pytest.approx(expected[key], rel=1e-6), key
        for row in found.classes:
            assert row.gain_ha - row.loss_ha == pytest.approx(row.net_ha)
    assert any("Regions without a pixel" in note and "far" in note for note in found.notes)


def test_striped_and_tiled_files_give_the_same(tmp_path, small_windows):
    rng = np.random.default_rng(4)
    first, last = rng.integers(0, 9, (2, 1100, 1300)).astype(np.uint8)
    tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    paths = [
        write_map(tmp_path / "a.tif", first),
        write_map(tmp_path / "b.tif", last, **tiles),
    ]

    found = map_change(paths, tmp_path / "c.tif")

    assert pixels_by_pair(found) == brute(first, last)
    np.testing.assert_array_equal(read(tmp_path / "c.tif"), first * 10 + last)


def test_the_raster_is_a_cog_with_names_colours_and_side_files(tmp_path):
    first, last = np.array([[0, 1], [1, 255]], np.uint8), np.array([[0, 1], [6, 2]], np.uint8)
    paths = [write_map(tmp_path / "a.tif", first), write_map(tmp_path / "b.tif", last)]
    out = tmp_path / "change.tif"

    map_change(paths, out)

    assert cog_validate(out, strict=True, quiet=True)[0]
    with rasterio.open(out) as file:
        assert file.dtypes == ("uint8",)
        assert file.tags(1)["CLASS_0"] == "water unchanged"
        assert file.tags(1)["CLASS_16"] == "trees to built"
        assert file.tags()["LULCMAP_CHANGE"] == "transitions, 10"
        palette = file.colormap(1)
    entries = ElementTree.parse(tmp_path / "change.qml").getroot().iter("paletteEntry")
    shown = {int(one.get("value")): (one.get("label"), one.get("color")) for one in entries}
    assert {value: name for value, (name, _) in shown.items()} == {
        0: "water unchanged",
        11: "trees unchanged",
        16: "trees to built",
    }
    assert shown[16][1] == "#" + bytes(palette[16][:3]).hex()
    assert palette[255][3] == 0
    table = ElementTree.parse(tmp_path / "change.tif.aux.xml").getroot()
    names = [one.text or "" for one in table.iter("Category")]
    assert (names[16], names[15]) == ("trees to built", "")
    rows = [[cell.text for cell in row] for row in table.iter("Row")]
    assert rows[2][:3] == ["16", "1", "trees to built"]


@pytest.mark.parametrize(
    ("values", "base"), [((0, 9), 10), ((10, 95), 100), ((3, 100), 256), ((0, 253), 256)]
)
def test_codes_can_be_read_and_fit_any_legend(tmp_path, values, base):
    names = {value: f"class {value}" for value in values}
    first = np.array([[values[0], values[1], values[1]]], np.uint8)
    last = np.array([[values[1], values[0], values[1]]], np.uint8)
    paths = [
        write_map(tmp_path / f"{name}.tif", one, names=names)
        for name, one in (("a", first), ("b", last))
    ]

    map_change(paths, tmp_path / "c.tif")

    codes = read(tmp_path / "c.tif")
    assert codes.dtype == ("uint8" if base == 10 else "uint16")
    np.testing.assert_array_equal(codes, first.astype(int) * base + last)
    with rasterio.open(tmp_path / "c.tif") as file:
        name = f"class {values[0]} to class {values[1]}"
        assert file.tags(1)[f"CLASS_{codes[0, 0]}"] == name


def test_a_legend_of_254_classes_makes_64516_codes(tmp_path):
    values = np.arange(254, dtype=np.uint8)
    first, last = np.repeat(values, 254).reshape(254, 254), np.tile(values, (254, 1))
    names = {int(value): f"c{value}" for value in values}
    paths = [
        write_map(tmp_path / f"{name}.tif", one, names=names)
        for name, one in (("a", first), ("b", last))
    ]

    found = map_change(paths, tmp_path / "c.tif")

    assert len(found.transitions) == 254**2
    assert len(np.unique(read(tmp_path / "c.tif"))) == 254**2


def test_maps_without_names_are_called_by_their_values(tmp_path):
    first = write_map(tmp_path / "a.tif", np.array([[10, 20]], np.uint8), names={})
    last = write_map(tmp_path / "b.tif", np.array([[10, 100]], np.uint8), names={})

    found = map_change([first, last], tmp_path / "c.tif")

    assert [(row.first, row.last) for row in found.transitions] == [
        ("class 10", "class 10"),
        ("class 20", "class 100"),
    ]
    np.testing.assert_array_equal(read(tmp_path / "c.tif"), [[10 * 256 + 10, 20 * 256 + 100]])


@pytest.fixture
def pair(tmp_path):
    values = np.random.default_rng(0).integers(0, 9, (20, 30)).astype(np.uint8)
    return [write_map(tmp_path / f"{year}.tif", values) for year in (2020, 2024)]


PERIODS = ("2020-01-01/2020-12-31", "2024-01-01/2024-12-31")


def test_periods_name_the_years(pair):
    for path, period in zip(pair, PERIODS, strict=True):
        tag(path, LULCMAP_PERIOD=period)

    assert map_change(pair).labels == ("2020", "2024")


def test_maps_in_the_wrong_order_are_refused(pair):
    for path, period in zip(pair, PERIODS[::-1], strict=True):
        tag(path, LULCMAP_PERIOD=period)

    with pytest.raises(UsageError, match="not in the order of time"):
        map_change(pair)
    assert map_change(pair, allow=["order"]).labels == ("2024", "2020")


def test_maps_of_one_period_are_refused(pair):
    for path in pair:
        tag(path, LULCMAP_PERIOD=PERIODS[0])

    with pytest.raises(UsageError, match="not in the order of time"):
        map_change(pair)


@pytest.mark.parametrize("tags", [{"LULCMAP_MODEL_SHA256": "ab"}, {"LULCMAP_PRIOR": "balanced"}])
def test_maps_of_other_models_are_refused(pair, tags):
    tag(pair[0], LULCMAP_MODEL="m", LULCMAP_MODEL_SHA256="cd", LULCMAP_PRIOR="none")
    tag(pair[1], LULCMAP_MODEL="m", LULCMAP_MODEL_SHA256="cd", LULCMAP_PRIOR="none")
    assert map_change(pair).labels == ("2020", "2024")
    tag(pair[1], **tags)

    with pytest.raises(UsageError, match="different models"):
        map_change(pair)
    found = map_change(pair, allow=["model"])
    assert any("between the models" in note for note in found.notes)


def test_one_file_twice_is_refused(pair, tmp_path):
    link = tmp_path / "link.tif"
    link.symlink_to(pair[0])

    with pytest.raises(UsageError, match="given twice"):
        map_change([pair[0], link])
    with pytest.raises(UsageError, match="Change needs two maps"):
        map_change(pair[:1])


def test_another_legend_is_refused_and_can_be_matched_by_name(tmp_path):
    first = np.array([[0, 0, 1, 2, 2]], np.uint8)
    last = np.array([[1, 1, 0, 2, 3]], np.uint8)
    paths = [
        write_map(tmp_path / "a.tif", first, names={0: "water", 1: "trees", 2: "crops"}),
        write_map(tmp_path / "b.tif", last, names={0: "trees", 1: "water", 2: "vines", 3: "crops"}),
    ]

    with pytest.raises(UsageError, match="0 is trees, not water"):
        map_change(paths)
    found = map_change(paths, allow=["legend"])

    assert {(row.first, row.last): row.pixels for row in found.transitions} == {
        ("water", "water"): 2,
        ("trees", "trees"): 1,
        ("crops", "crops"): 1,
        ("crops", "vines"): 1,
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"transform": GRID @ Affine.translation(5, 3)}, "its pixels lie elsewhere"),
        ({"transform": GRID @ Affine.translation(0.1, 0)}, "its pixels lie elsewhere"),
        ({"crs": "EPSG:32633"}, "CRS WGS 84 / UTM zone 33N, not WGS 84 / UTM zone 32N"),
    ],
)
def test_another_grid_is_refused(tmp_path, pair, options, said):
    other = write_map(tmp_path / "other.tif", read(pair[1]), **options)

    with pytest.raises(UsageError, match=re.escape(said)):
        map_change([pair[0], other])


def test_another_grid_can_be_read_at_the_pixels_of_the_first(tmp_path):
    rng = np.random.default_rng(5)
    first, last = rng.integers(0, 9, (2, 40, 50)).astype(np.uint8)
    shifted = np.full((60, 60), 255, np.uint8)
    shifted[8:45, 4:46] = last[3:, 8:]
    paths = [
        write_map(tmp_path / "a.tif", first),
        # Its corner is 5 rows up and 4 columns to the right.
        write_map(tmp_path / "b.tif", shifted, transform=GRID @ Affine.translation(4, -5)),
    ]
    expected = last.copy()
    expected[:3], expected[:, :8] = 255, 255

    found = map_change(paths, tmp_path / "c.tif", allow=["grid"])

    assert pixels_by_pair(found) == brute(first, expected)
    assert any("another grid" in note for note in found.notes)
    assert any("only in the first" in note for note in found.notes)


def test_confidence_of_another_grid_or_none_is_refused(tmp_path, pair):
    with pytest.raises(UsageError, match=r"has no confidence: .*2020-quality.tif"):
        map_change(pair, min_confidence=60)
    for path in pair:
        write_confidence(path, np.full((20, 30), 80, np.uint8), transform=Affine.scale(10, -10))
    with pytest.raises(UsageError, match="is not of"):
        map_change(pair, min_confidence=60)


def test_a_value_that_cannot_be_coded_is_refused(tmp_path, pair):
    values = read(pair[1])
    for wrong, said in ((254, "has the value 254"), (17, "value 17, which their legend")):
        values[3, 4] = wrong
        other = write_map(tmp_path / "wrong.tif", values)

        with pytest.raises(UsageError, match=said):
            map_change([pair[0], other], tmp_path / "c.tif")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2020.tif", "2024.tif", "wrong.tif"]


def simulated_years(folder, years=5, pixels=(300, 400)):
    rng = np.random.default_rng(6)
    land = np.kron(rng.integers(0, 9, (30, 40)), np.ones((10, 10))).astype(np.uint8)
    paths = []
    for year in range(years):
        if year == 2:
            land = land.copy()
            land[100:160, 50:200] = 6
        shown = np.where(rng.random(land.shape) < 0.06, rng.integers(0, 9, land.shape), land)
        shown[:10, year * 10 :] = 255
        paths.append(write_map(folder / f"{2018 + year}.tif", shown.astype(np.uint8)))
    return paths


def test_three_maps_or_more_lose_their_flicker(tmp_path, small_windows):
    paths = simulated_years(tmp_path)

    found = map_change(paths, tmp_path / "c.tif", yearly=tmp_path / "yearly")
    two = map_change([paths[0], paths[-1]])

    changed, mapped = (
        {(row.first_id, row.last_id): row.ha for row in table.transitions if row.is_change}
        for table in (found, two)
    )
    true_ha = 60 * 150 / 100 * 8 / 9
    assert sum(mapped.values()) > 2 * true_ha
    assert sum(changed.values()) == pytest.approx(true_ha, rel=0.2)
    assert found.trajectory.mapped_ends_ha == pytest.approx(sum(mapped.values()))
    assert found.trajectory.flicker_percent > 80
    assert sum(found.trajectory.by_count_ha) == pytest.approx(
        sum(row.ha for row in found.transitions)
    )
    yearly = [read(tmp_path / "yearly" / f"{path.stem}-path.tif") for path in paths]
    codes = read(tmp_path / "c.tif")
    none = (yearly[0] == 255) | (yearly[-1] == 255)
    np.testing.assert_array_equal(codes == 255, none)
    np.testing.assert_array_equal(codes[~none], (yearly[0] * 10 + yearly[-1])[~none])
    moves = np.sum([a != b for a, b in itertools.pairwise(yearly)], axis=0)
    count = read(tmp_path / "yearly" / "number-of-changes.tif")
    np.testing.assert_array_equal(count[~none], moves[~none])
    areas = {
        (row.year, row.class_id): row.ha for row in found.years if row.year in ("2018", "2022")
    }
    for row in found.classes:
        assert areas["2018", row.class_id] == pytest.approx(row.first_ha)
        assert areas["2022", row.class_id] == pytest.approx(row.last_ha)


def test_confidence_decides_between_an_error_and_a_change(tmp_path):
    paths = simulated_years(tmp_path, years=3)
    last = read(paths[2])
    for path, percent in zip(paths, (90, 90, 60), strict=True):
        write_confidence(path, np.full(last.shape, percent, np.uint8))
    doubtful = map_change(paths)
    write_confidence(paths[2], np.full(last.shape, 100, np.uint8))
    believed = map_change(paths, yearly=tmp_path / "yearly")

    assert believed.trajectory.uses_confidence
    assert (read(tmp_path / "yearly" / "2020-path.tif") == last).mean() > 0.98
    assert doubtful.trajectory.steps_ha == 0
    assert believed.trajectory.steps_ha > 100


def test_existing_files_and_work_of_others_stay(pair, tmp_path):
    out, foreign = tmp_path / "c.tif", tmp_path / "foreign"
    map_change(pair, out)
    before = out.read_bytes()
    with pytest.raises(OutputError, match="Give --overwrite"):
        map_change(pair, out)
    with pytest.raises(OutputError, match="not a raster of changes"):
        map_change(pair, write_map(tmp_path / "map.tif", read(pair[0])), overwrite=True)
    with pytest.raises(OutputError, match="one of the files that are read"):
        map_change(pair, pair[0], overwrite=True)
    (tmp_path / "d.qml").write_text("<qgis/>")
    with pytest.raises(OutputError, match="not a style"):
        map_change(pair, tmp_path / "d.tif")
    foreign.mkdir()
    three = [*pair, write_map(tmp_path / "e.tif", read(pair[0]))]
    (foreign / "thesis.tif").write_text("text")
    with pytest.raises(OutputError, match="not a folder of yearly maps"):
        map_change(three, yearly=foreign, overwrite=True)
    map_change(pair, out, overwrite=True)
    assert out.read_bytes() == before


def test_yearly_maps_can_be_replaced(tmp_path):
    paths = simulated_years(tmp_path, years=3)

    for _ in range(2):
        map_change(paths, yearly=tmp_path / "yearly", overwrite=True)

    names = {path.name for path in (tmp_path / "yearly").iterdir() if path.suffix == ".tif"}
    assert names == {*(f"{2018 + i}-path.tif" for i in range(3)), "number-of-changes.tif"}


def test_an_error_while_writing_leaves_nothing(pair, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rasterio.shutil.copy", fail)
    before = sorted(tmp_path.iterdir())

    with pytest.raises(OutputError, match="No space left"):
        map_change(pair, tmp_path / "c.tif", strata=tmp_path / "s.tif")

    assert sorted(tmp_path.iterdir()) == before


def test_a_raster_of_changes_is_no_map(pair, tmp_path):
    three = [*pair, write_map(tmp_path / "2026.tif", read(pair[0]))]
    map_change(three, tmp_path / "c.tif", yearly=tmp_path / "yearly")

    with pytest.raises(UsageError, match="itself a raster of changes"):
        map_change([pair[0], tmp_path / "c.tif"])
    paths = [tmp_path / "yearly" / f"{year}-path.tif" for year in (2020, 2026)]
    assert not any(row.is_change for row in map_change(paths).transitions)


def test_codes_of_16_bit_are_told_from_maps(tmp_path):
    names = {17: "rice", 30: "cassava"}
    paths = [
        write_map(tmp_path / f"{name}.tif", np.array([[17, value]], np.uint8), names=names)
        for name, value in (("a", 17), ("b", 30))
    ]
    map_change(paths, tmp_path / "c.tif")

    with pytest.raises(UsageError, match="raster of changes with more values"):
        measure_areas(tmp_path / "c.tif")


def test_maps_that_are_mostly_empty_are_compared(tmp_path, small_windows):
    values = np.full((1100, 1100), 255, np.uint8)
    values[600:610, 600:700] = 4
    paths = [write_map(tmp_path / f"{year}.tif", values) for year in range(2020, 2023)]

    found = map_change(paths, tmp_path / "c.tif")

    assert pixels_by_pair(found) == {(4, 4): 1000}
    assert found.trajectory.flicker_percent is None


def test_regions_elsewhere_are_told_and_nothing_is_written(pair, tmp_path):
    regions = write_regions(tmp_path / "r.gpkg", [shapely.box(0, 0, 10, 10)], name=["far"])

    with pytest.raises(UsageError, match="No region lies on a pixel"):
        map_change(pair, tmp_path / "c.tif", regions=regions)

    assert not list(tmp_path.glob("*c.*"))
