import hashlib
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.features import sieve
from rio_cogeo.cogeo import cog_validate

from lulcmap.errors import OutputError, UsageError
from lulcmap.legend import CLASSES
from lulcmap.products.clean import clean_map
from tests.products import cleaning
from tests.products.maps import GRID, write_map

SMALL = st.tuples(st.integers(1, 14), st.integers(1, 14))
VALUES = arrays(np.uint8, SMALL, elements=st.sampled_from([0, 1, 1, 2, 6, 255]))


def cleaned(tmp_path, values, **options):
    path, out = tmp_path / "map.tif", tmp_path / "clean.tif"
    report = clean_map(write_map(path, values), out, overwrite=True, **options)
    with rasterio.open(out) as file:
        return file.read(1), report


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=VALUES.filter(lambda values: (values != 255).any()),
    least=st.integers(2, 9),
    connectivity=st.sampled_from([4, 8]),
    keep=st.sampled_from([(), (1,), (2, 6)]),
    strip_rows=st.integers(1, 15),
)
def test_strips_of_any_height_give_what_the_whole_map_gives(
    tmp_path, values, least, connectivity, keep, strip_rows
):
    found, report = cleaned(
        tmp_path,
        values,
        min_area=f"{least}px",
        connectivity=connectivity,
        keep=[str(one) for one in keep],
        strip_rows=strip_rows,
    )

    expected = cleaning.clean(values, least, keep, connectivity)
    np.testing.assert_array_equal(found, expected)
    labels, count = cleaning.patches(values, connectivity)
    moved = {labels[at] for at in zip(*np.nonzero(found != values), strict=True)}
    small = np.bincount(labels[labels >= 0], minlength=count) < least
    small &= [values[labels == one][0] not in keep for one in range(count)]
    assert report.patches == len(moved)
    gone, _ = cleaning.patches(found, connectivity)
    sizes = np.bincount(gone[gone >= 0])
    assert report.left == sum(
        sizes[gone[labels == one][0]] < least for one in np.flatnonzero(small)
    )


def test_a_snake_through_many_strips_is_one_patch(tmp_path):
    values = np.ones((41, 7), np.uint8)
    values[::2] = 0
    values[1::4, 6] = values[3::4, 0] = 0  # rows of 0 joined at their ends, in turns
    values[20, 3] = 2

    found, report = cleaned(tmp_path, values, min_area="30px", strip_rows=1)

    assert set(np.unique(found)) == {0}
    assert report.patches == 21  # 20 rows of ones, and the pixel


def test_a_cleaned_map_has_no_small_patch_and_is_cleaned_no_further(tmp_path):
    values = np.random.default_rng(3).integers(0, 4, (60, 50)).astype(np.uint8)
    values[:30, :20] = 1

    once, report = cleaned(tmp_path, values, min_area="12px", strip_rows=16)
    twice, again = cleaned(tmp_path, once, min_area="12px", strip_rows=16)

    labels, _ = cleaning.patches(once)
    assert np.bincount(labels.ravel()).min() >= 12
    np.testing.assert_array_equal(once, twice)
    assert (report.left, again.patches) == (0, 0)


def test_patches_within_one_class_go_as_with_gdal_sieve(tmp_path):
    values = np.zeros((50, 50), np.uint8)
    values[25:] = 1
    rng = np.random.default_rng(5)
    for row, col in rng.permutation(100)[:40, None] // [10, 1] % 10 * 5 + 1:
        values[row : row + rng.integers(1, 4), col : col + rng.integers(1, 4)] = 2

    found, _ = cleaned(tmp_path, values, min_area="5px", strip_rows=8)

    np.testing.assert_array_equal(found, sieve(values, 5))
    assert (found != values).any()
    assert (found == 2).any()


def test_the_longest_border_decides_not_the_largest_neighbour(tmp_path):
    values = np.zeros((9, 20), np.uint8)
    values[2:7, 2:7] = 1
    values[4, 4:8] = 2  # three pixels within the ones, one among the zeros

    found, _ = cleaned(tmp_path, values, min_area="5px")

    assert (found[4, 4:8] == 1).all()


def test_small_kept_patches_stay_and_do_not_spread(tmp_path):
    values = np.zeros((8, 30), np.uint8)
    values[3, 3] = 6
    values[3, 4:6] = 1
    values[3, 10] = 2

    found, report = cleaned(tmp_path, values, min_area="4px", keep=["built"])

    assert np.argwhere(found).tolist() == [[3, 3]]
    assert report.patches == 2


def test_nodata_is_not_filled_and_no_neighbour(tmp_path):
    values = np.full((9, 9), 255, np.uint8)
    values[1:4, 1:4] = 0
    values[2, 2] = 255
    values[7, 7] = 1

    found, report = cleaned(tmp_path, values, min_area="5px")

    np.testing.assert_array_equal(found, values)
    assert report.left == 1
    assert "1 patches below 5px have no neighbour" in report.notes[0]


def test_strips_without_a_class_are_passed_over(tmp_path):
    values = np.full((12, 6), 255, np.uint8)
    values[2:4], values[9:] = 1, 1
    values[2, 2] = values[9, 2] = 0

    found, report = cleaned(tmp_path, values, min_area="3px", strip_rows=1)

    np.testing.assert_array_equal(found, np.where(values == 0, 1, values))
    assert report.patches == 2


def test_pixels_that_touch_at_a_corner_are_one_patch_with_8(tmp_path):
    values = np.zeros((12, 12), np.uint8)
    values[np.arange(2, 8), np.arange(2, 8)] = 1

    four, _ = cleaned(tmp_path, values, min_area="5px")
    eight, _ = cleaned(tmp_path, values, min_area="5px", connectivity=8)

    assert not four.any()
    np.testing.assert_array_equal(eight, values)


@pytest.mark.parametrize(("lat", "stays"), [(0, True), (60, False)])
def test_areas_are_true_ones(tmp_path, lat, stays):
    values = np.zeros((40, 40), np.uint8)
    values[20:24, 20:24] = 1  # 16 pixels of 0.001 degrees: 19.7 ha at the equator, 9.9 at 60
    path = tmp_path / "map.tif"
    transform = Affine(0.001, 0, 10, 0, -0.001, lat + 0.02)
    write_map(path, values, crs="EPSG:4326", transform=transform)

    report = clean_map(path, tmp_path / "clean.tif", min_area="0.15km2")

    assert report.patches == (0 if stays else 1)
    assert report.moved_ha == pytest.approx(0 if stays else 16 * 111.41 * 55.80 / 1e4, rel=1e-3)


def test_what_misses_the_minimum_by_less_than_half_a_pixel_stays(tmp_path):
    values = np.zeros((40, 40), np.uint8)
    values[2:7, 2:12] = 1  # 50 pixels
    values[20:27, 20:27] = 2  # 49
    west = Affine(10, 0, 180_000, 0, -10, 20_000)  # there a pixel has 99.7 m2

    path = write_map(tmp_path / "map.tif", values, transform=west)
    report = clean_map(path, tmp_path / "clean.tif", min_area="0.5ha")

    assert [row.patches for row in report.classes] == [0, 0, 1]
    assert 50 * report.moved_ha / 49 < 0.5


def test_the_cleaned_map_is_a_cog_like_the_map(tmp_path):
    values = np.random.default_rng(1).integers(0, 3, (1100, 700)).astype(np.uint8)
    path, out = write_map(tmp_path / "map.tif", values), tmp_path / "clean.tif"
    with rasterio.open(path, "r+") as file:
        file.update_tags(LULCMAP_PLAN="abc", LULCMAP_MODEL="tiny", LICENSE="CC0")

    clean_map(path, out, min_area="9px", keep=["trees", "0"])

    assert cog_validate(out, strict=True, quiet=True)[0]
    with rasterio.open(path) as before, rasterio.open(out) as after:
        for name in ("shape", "crs", "transform", "nodata", "dtypes"):
            assert getattr(before, name) == getattr(after, name)
        assert before.tags(1).items() <= after.tags(1).items()
        assert all(before.colormap(1)[one] == after.colormap(1)[one] for one in range(9))
        tags = after.tags()
    assert tags["LULCMAP_CLEANED"] == "minimum area 9px, connectivity 4, kept water, trees"
    assert tags["LULCMAP_SOURCE"] == "map.tif"
    assert tags["LULCMAP_SOURCE_SHA256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (tags["LULCMAP_MODEL"], tags["LICENSE"]) == ("tiny", "CC0")
    assert "LULCMAP_PLAN" not in tags  # it is not the map of that plan
    beside = {"clean.qml", "clean.tif.aux.xml"}
    assert {one.name for one in tmp_path.iterdir()} == {"map.tif", "clean.tif", *beside}
    labels = [entry.get("label") for entry in ET.parse(tmp_path / "clean.qml").iter("paletteEntry")]
    assert labels == [cover.name for cover in CLASSES]


def test_the_report_adds_up(tmp_path):
    values = np.random.default_rng(1).integers(0, 3, (80, 70)).astype(np.uint8)

    found, report = cleaned(tmp_path, values, min_area="9px")

    before, after = (
        sum(getattr(row, name) for row in report.classes) for name in ("before_ha", "after_ha")
    )
    assert before == pytest.approx(after)
    for row in report.classes:
        share = np.mean(found == row.class_id)
        assert row.after_ha == pytest.approx(before * share, rel=1e-4)
    assert report.moved_share == pytest.approx(np.mean(found != values), rel=1e-4)


def test_a_map_of_another_program_is_cleaned(tmp_path):
    values = np.full((20, 20), 10, np.uint8)
    values[5, 5], values[0] = 50, 0
    path = write_map(tmp_path / "map.tif", values, nodata=0, names={})

    report = clean_map(path, tmp_path / "clean.tif", min_area="2px")

    assert "names no classes" in report.notes[0]
    with rasterio.open(tmp_path / "clean.tif") as file:
        assert np.unique(file.read(1)).tolist() == [10, 255]
        assert file.tags(1)["CLASS_10"] == "class 10"


@pytest.mark.parametrize("text", ["", "5", "0ha", "-1ha", "nanha", "1 acre", "1e3px", "ha"])
def test_a_minimum_that_is_none_is_refused(tmp_path, text):
    path = write_map(tmp_path / "map.tif", np.zeros((4, 4), np.uint8))

    with pytest.raises(UsageError, match=r"such as 0\.5ha"):
        clean_map(path, tmp_path / "clean.tif", min_area=text)


@pytest.mark.parametrize("text", ["1px", "50m2", "0.01ha"])
def test_a_minimum_of_one_pixel_is_refused(tmp_path, text):
    path = write_map(tmp_path / "map.tif", np.zeros((4, 4), np.uint8), transform=GRID)

    with pytest.raises(UsageError, match="keeps every patch"):
        clean_map(path, tmp_path / "clean.tif", min_area=text)


def test_a_class_the_map_has_not_is_refused_with_those_it_has(tmp_path):
    path = write_map(tmp_path / "map.tif", np.zeros((4, 4), np.uint8))

    with pytest.raises(UsageError, match=r"'forest'.*0 water, 1 trees"):
        clean_map(path, tmp_path / "clean.tif", min_area="5px", keep=["forest"])
    assert not (tmp_path / "clean.tif").exists()


def test_a_map_without_classes_is_refused(tmp_path):
    path = write_map(tmp_path / "map.tif", np.full((4, 4), 255, np.uint8))

    with pytest.raises(UsageError, match="nothing to clean"):
        clean_map(path, tmp_path / "clean.tif", min_area="5px")


def test_only_a_cleaned_map_is_replaced(tmp_path):
    values = np.zeros((9, 9), np.uint8)
    path, other = write_map(tmp_path / "map.tif", values), write_map(tmp_path / "b.tif", values)
    out = tmp_path / "clean.tif"
    clean_map(path, out, min_area="5px")

    with pytest.raises(OutputError, match="overwrite"):
        clean_map(path, out, min_area="5px")
    with pytest.raises(OutputError, match="not a cleaned map"):
        clean_map(path, other, min_area="5px", overwrite=True)
    with pytest.raises(OutputError, match="files that are read"):
        clean_map(path, path, min_area="5px", overwrite=True)
    with pytest.raises(UsageError, match=r"\.tif"):
        clean_map(path, tmp_path / "clean.gpkg", min_area="5px")
    clean_map(path, out, min_area="5px", overwrite=True)
