"""Assets whose place or pixel size cannot be: lost by name, or read as rasterio reads them."""

from contextlib import suppress

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lulcmap.errors import ReadError
from lulcmap.imagery import plane as module
from lulcmap.imagery.assets.asset import Asset
from lulcmap.imagery.reader import Reader
from tests.imagery.test_reader import OFF_GRID, make_grid, make_scene, values, warp, write
from tests.support import tiffs

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

PIXELS = (np.arange(64 * 64).reshape(64, 64) % 3000 + 500).astype(np.uint16)


@pytest.fixture
def reader():
    with Reader(workers=1, retries=0) as reader:
        yield reader


def saved(tmp_path, body):
    path = tmp_path / "a.tif"
    path.write_bytes(body)
    return path


def read(path, band="B02", **grid):
    with Reader(workers=1, retries=0) as reader:
        return reader.read(make_scene(**{band: path}), band, make_grid(**grid))


def test_a_file_written_by_hand_is_read(tmp_path, reader):
    path = saved(tmp_path, tiffs.tiff(PIXELS))

    plane = reader.read(make_scene(B02=path), "B02", make_grid(shape=(64, 64)))

    np.testing.assert_array_equal(plane, PIXELS)


BAD_PLACES = {
    **{
        f"pixel size {size}": {33550: (12, [size, size, 0.0])}
        for size in (0.0, -0.0, 1e-300, 1e-10, 0.25, np.nan, np.inf, -np.inf, 1e300, 5e-324)
    },
    "width 0": {33550: (12, [0.0, 10.0, 0.0])},
    "height NaN": {33550: (12, [10.0, np.nan, 0.0])},
    **{
        f"easting {east}": {33922: (12, [0.0, 0.0, 0.0, east, 5_000_040.0, 0.0])}
        for east in (np.nan, np.inf, -np.inf, 1e300, 1e12)
    },
    "tie point NaN": {33922: (12, [np.nan, 0.0, 0.0, 500_000.0, 5_000_040.0, 0.0])},
    "singular": {
        33550: None,
        33922: None,
        34264: (12, [10.0, 10, 0, 5e5, 10.0, 10.0, 0, 5e6, *[0.0] * 7, 1.0]),
    },
    "no place": {33550: None, 33922: None},
    "one number": {33550: (12, [10.0])},
    **{
        f"projection {code}": {34735: tiffs.geokeys([(1024, 1), (1025, 1), (3072, code)])}
        for code in (0, 1, 9999, 32_600, 32_767, 65_534, 65_535)
    },
    **{
        f"model {code}": {34735: tiffs.geokeys([(1024, code), (1025, 1)])}
        for code in (0, 1, 3, 9, 65_535)
    },
    "metres as degrees": {34735: tiffs.geokeys([(1024, 2), (1025, 1), (2048, 4326)])},
    "earth-centred": {34735: tiffs.geokeys([(1024, 3), (1025, 1), (2048, 4978)])},
    "no CRS": {34735: None},
}


@pytest.mark.parametrize("tags", BAD_PLACES.values(), ids=BAD_PLACES)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_place_that_cannot_be_loses_the_asset_by_name(tmp_path, monkeypatch, tags):
    path = saved(tmp_path, tiffs.tiff(PIXELS, tags))
    monkeypatch.setattr(Asset, "read", None)  # before any pixel is read

    with pytest.raises(ReadError, match=r"^Scene S2A_TEST: B02 cannot be used: [A-Za-z' .0-9-]+$"):
        read(path)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("name", ["pixel size 0.0", "pixel size nan", "no place"])
def test_a_file_without_a_place_does_not_take_the_crs_of_others(tmp_path, reader, name, order):
    bad, good = tmp_path / "bad.tif", tmp_path / "good.tif"
    bad.write_bytes(tiffs.tiff(PIXELS, BAD_PLACES[name]))
    good.write_bytes(tiffs.tiff(PIXELS))
    reasons = set()

    for path in (bad, good, bad)[::order]:
        try:
            plane = reader.read(make_scene(B02=path), "B02", make_grid(shape=(64, 64)))
        except ReadError as error:
            reasons.add((path.name, str(error)))
        else:
            np.testing.assert_array_equal(plane, PIXELS)

    assert [name for name, _ in reasons] == ["bad.tif"]


NUMBERS = st.one_of(
    st.floats(),
    st.floats(1, 100),
    st.floats(-1e7, 1e7),
    st.sampled_from([0.0, 10.0, -10.0, 20.0, 500_000.0, 5_000_040.0, 9.0, 1e-4]),
)


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    scale=st.none() | st.lists(NUMBERS, min_size=2, max_size=3),
    tie=st.none() | st.lists(NUMBERS, min_size=6, max_size=6),
    matrix=st.none() | st.lists(NUMBERS, min_size=16, max_size=16),
    keys=st.lists(
        st.tuples(
            st.sampled_from([1024, 1025, 2048, 2054, 3072, 3076]),
            st.sampled_from([0, 1, 2, 3, 4326, 4978, 9001, 9102, 32_632, 32_633, 32_767, 65_535]),
        ),
        max_size=5,
    ),
)
def test_any_georeferencing_is_read_as_rasterio_reads_it_or_lost(
    tmp_path, scale, tie, matrix, keys
):
    tags = {33550: scale, 33922: tie, 34264: matrix}
    tags = {tag: None if numbers is None else (12, numbers) for tag, numbers in tags.items()}
    path = saved(tmp_path, tiffs.tiff(PIXELS, {**tags, 34735: tiffs.geokeys(keys)}))

    plane = np.zeros(0)
    with suppress(ReadError):
        plane = read(path)
    if plane.any():
        with rasterio.open(path) as source:
            assert source.crs is not None
            near = abs(source.transform.a - 10) < 1e-6 and source.transform.b == 0
        if not near:  # rasterio's own warp, but for its roundings at edges
            assert (warp(path, make_grid()) > 0).any()


# ----- pixels far finer than wanted


@pytest.mark.parametrize(
    ("size", "is_read"), [(5.0, True), (3.0, True), (1.9, False), (0.01, False)]
)
def test_pixels_far_finer_than_wanted_are_refused_before_they_are_read(
    tmp_path, monkeypatch, size, is_read
):
    path = write(tmp_path / "a.tif", values(), size=size)
    read_pixels, asked = Asset.read, []
    monkeypatch.setattr(
        Asset, "read", lambda self, *box: asked.append(box) or read_pixels(self, *box)
    )

    if is_read:
        assert read(path).any()
    else:
        with pytest.raises(ReadError, match=f"pixels of {size:g} m are far finer than the 10 m"):
            read(path)
    assert bool(asked) == is_read


def test_a_classification_of_10_m_is_read_for_20_m(tmp_path):
    path = write(tmp_path / "a.tif", np.full((150, 130), 4, np.uint8))

    assert (read(path, "SCL", size=20.0, shape=(30, 40)) == 4).all()


def test_degrees_far_north_are_fine(tmp_path):
    """0.0001 degrees are 2 m wide at 80 degrees north."""
    pixels = np.full((1200, 6000), 4, np.uint8)
    path = write(
        tmp_path / "a.tif", pixels, crs="EPSG:4326", size=1e-4, corner=(15.0, 78.0), nodata=0
    )
    corner = (500_000.0, 8_657_000.0)

    plane = read(path, "SCL", size=20.0, shape=(30, 40), crs="EPSG:32633", corner=corner)

    assert (plane == 4).all()


@pytest.mark.parametrize("source", OFF_GRID.values(), ids=OFF_GRID)
def test_pixels_read_in_parts_are_those_read_at_once(tmp_path, monkeypatch, source):
    path = write(tmp_path / "a.tif", values((400, 400)), **source)
    whole = read(path, row=-5, col=-5, shape=(130, 140))

    monkeypatch.setattr(module, "_MAX_WARP_PIXELS", 3000)

    np.testing.assert_array_equal(read(path, row=-5, col=-5, shape=(130, 140)), whole)
    assert whole.any()
