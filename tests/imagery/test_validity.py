"""What cannot be a measurement is nodata, also for the pixels it would be mixed into."""

import math
import warnings

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

from lulcmap.errors import ReadError
from lulcmap.imagery import make_composite, mean_backscatter
from lulcmap.imagery.reader import Reader
from lulcmap.sensors import S1_POWER, S2_BANDS, S2_SATURATED
from tests.imagery.test_composite import make_scene as named_scene
from tests.imagery.test_reader import OFF_GRID, make_grid, make_scene, write

GRIDS = {
    "same grid": {},
    "next zone": OFF_GRID["the next zone"],
    "20 m": {"size": 20.0},
    "degrees": OFF_GRID["geographic"],
}
"""Grids of an asset, beside those of ``make_grid``."""

ABSURD = [math.inf, -math.inf, 1e20, 3e38, 1.1e5, 1e-16, 1e-39, 1e-45]
"""Power that is no measurement and no plain nodata."""

NODATA = [-32768.0, 0.0, -0.0, math.nan, -0.01, -1e20, -3e38, -1e-40]
"""What stands for nodata, declared or not."""


def power(shape=(150, 130), *, seed=0):
    return np.random.default_rng(seed).gamma(4, 0.02, shape).astype(np.float32)


def patched(value, *, dtype=np.float32):
    """Power with a patch of a value, and a few pixels of it alone."""
    pixels = power().astype(dtype)
    pixels[40:60, 30:70] = value
    pixels[::17, ::13] = value
    return pixels


@pytest.fixture(scope="module")
def reader():
    with Reader(workers=2) as reader:
        yield reader


def read(reader, path, band="VV", **assets):
    return reader.read(make_scene(**{band: path}), band, make_grid(shape=(90, 100)))


@pytest.mark.parametrize("place", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("value", ABSURD)
def test_absurd_power_is_as_nodata_and_marked(tmp_path, reader, value, place):
    path = write(tmp_path / "a.tif", patched(value), nodata=-32768, **place)
    plain = write(tmp_path / "b.tif", patched(-32768), nodata=-32768, **place)

    plane, wanted = read(reader, path), read(reader, plain)

    marks = np.isnan(plane)
    np.testing.assert_array_equal(np.where(marks, 0, plane), wanted)
    assert marks.sum() > 100
    assert not wanted[marks].any()


@pytest.mark.parametrize("place", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("value", NODATA)
def test_nodata_is_not_marked(tmp_path, reader, value, place):
    path = write(tmp_path / "a.tif", patched(value), nodata=-32768, **place)
    plain = write(tmp_path / "b.tif", patched(-32768), nodata=-32768, **place)

    np.testing.assert_array_equal(read(reader, path), read(reader, plain))


@pytest.mark.parametrize("value", [1e30, math.inf, -math.inf, 9.96921e36])
def test_a_declared_nodata_is_not_marked_whatever_it_is(tmp_path, reader, value):
    path = write(tmp_path / "a.tif", patched(value), nodata=value)
    plain = write(tmp_path / "b.tif", patched(-32768), nodata=-32768)

    np.testing.assert_array_equal(read(reader, path), read(reader, plain))


VALUES = st.one_of(
    st.floats(width=32),
    st.floats(*(float(np.float32(limit)) for limit in (1e-14, 9e4)), width=32),
    st.sampled_from([*ABSURD, *NODATA]),
)


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    values=st.lists(VALUES, min_size=1, max_size=40),
    place=st.sampled_from(list(GRIDS)),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_any_values_are_power_or_nodata(tmp_path, values, place, dtype):
    pixels = power((40, 40)).astype(dtype)
    pixels.flat[:: 1600 // len(values)][: len(values)] = values
    single = pixels.astype(np.float32)
    is_power = (single >= np.float32(S1_POWER[0])) & (single <= np.float32(S1_POWER[1]))
    clean = np.where(is_power, single, np.float32(-32768))
    path = write(tmp_path / "a.tif", pixels, nodata=-32768, **GRIDS[place])
    plain = write(tmp_path / "b.tif", clean, nodata=-32768, **GRIDS[place])

    with Reader(workers=1) as reader:
        plane, wanted = read(reader, path), read(reader, plain)

    np.testing.assert_array_equal(np.nan_to_num(plane, nan=0), wanted)
    assert not np.isinf(plane).any()


@pytest.mark.parametrize("value", [1e300, -1e300, 1e-300, 5e-324, math.inf])
def test_what_only_64_bits_hold_is_nodata_without_a_warning(tmp_path, reader, value):
    path = write(tmp_path / "a.tif", patched(value, dtype=np.float64), nodata=-32768)
    plain = write(tmp_path / "b.tif", patched(-32768), nodata=-32768)

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        plane = read(reader, path)

    np.testing.assert_array_equal(np.nan_to_num(plane, nan=0), read(reader, plain))


def test_the_limits_of_power_are_measurements(tmp_path, reader):
    path = write(tmp_path / "a.tif", np.tile(np.float32(S1_POWER), (150, 65)), nodata=-32768)

    assert set(np.unique(read(reader, path))) == set(np.float32(S1_POWER))


@pytest.mark.parametrize("nodata", [-32768, None, 0])
def test_decibels_are_refused(tmp_path, reader, nodata):
    pixels = 10 * np.log10(power())
    pixels[:30] = -32768
    path = write(tmp_path / "a.tif", pixels, nodata=nodata)

    with pytest.raises(ReadError, match=r"S2A_TEST: VV cannot be used: its pixels are decibels"):
        read(reader, path)


@pytest.mark.parametrize("fill", [-99.0, -9.99, -32768.0])
def test_a_nodata_that_is_not_declared_is_not_decibels(tmp_path, reader, fill):
    pixels = power()
    pixels[:80] = fill
    path = write(tmp_path / "a.tif", pixels, nodata=None)

    plane = read(reader, path)

    assert not plane[:80].any()
    assert plane[80:].all()


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.complex64])
def test_backscatter_in_whole_or_complex_numbers_is_refused(tmp_path, reader, dtype):
    path = write(tmp_path / "a.tif", np.full((150, 130), 700, dtype), nodata=None)

    with pytest.raises(ReadError, match=r"VV cannot be used: its pixels are .*, not float32"):
        read(reader, path)


def radar_scene(tmp_path, name, vv, vh):
    paths = {"VV": vv, "VH": vh}
    hrefs = {
        band: write(tmp_path / f"{name}_{band}.tif", pixels, nodata=-32768)
        for band, pixels in paths.items()
    }
    scene = make_scene(**hrefs)
    return type(scene)(
        **{field: getattr(scene, field) for field in scene.__slots__} | {"id": name, "sensor": "s1"}
    )


def test_a_composite_leaves_absurd_power_out_and_counts_it_by_scene(tmp_path, reader):
    fine = radar_scene(tmp_path, "fine", power(seed=1), power(seed=2))
    grid = make_grid(shape=(80, 80))
    counted = np.zeros((80, 80), bool)
    counted[:50] = True

    composites = {}
    for kind, value in (("absurd", math.inf), ("plain", -32768.0)):
        odd = radar_scene(tmp_path, kind, patched(value), power(seed=4))
        composites[kind] = make_composite(
            reader.planes, grid, s2_dates=[], s1_passes=[(odd,), (fine,)], counted=counted
        )
    absurd, plain = composites["absurd"], composites["plain"]

    np.testing.assert_array_equal(absurd.s1, plain.s1)
    np.testing.assert_array_equal(absurd.s1_count, plain.s1_count)
    assert plain.implausible == {}
    assert absurd.implausible == {"absurd": np.isinf(patched(math.inf)[:50, :80]).sum()}


def test_another_scene_of_the_pass_fills_in_for_absurd_power(tmp_path, reader):
    odd = radar_scene(tmp_path, "odd", np.full((150, 130), np.float32(1e20)), power(seed=4))
    fine = radar_scene(tmp_path, "fine", power(seed=1), power(seed=2))
    grid = make_grid(shape=(80, 80))

    image, used, _ = mean_backscatter(reader.planes, grid, [(odd, fine)])

    wanted, _, _ = mean_backscatter(reader.planes, grid, [(fine,)])
    np.testing.assert_array_equal(image, wanted)
    assert used == ("fine",)


# ----- reflectance


def reflectance(*, seed=0):
    return np.random.default_rng(seed).integers(200, 18_000, (150, 130)).astype(np.uint16)


def optical(path, offset):
    scene = named_scene("S2A_TEST", offset=offset)
    return type(scene)(
        **{field: getattr(scene, field) for field in scene.__slots__}
        | {"assets": {"B02": str(path)}}
    )


@pytest.mark.parametrize("place", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize(
    ("offset", "value"),
    [
        *((0, value) for value in (S2_SATURATED, 32_767, 64_536, 65_535)),
        *((1000, value) for value in (1, 32_767, 33_000, 64_536, 65_535)),
    ],
)
def test_impossible_reflectance_is_as_nodata(tmp_path, reader, offset, value, place):
    odd, plain = reflectance() + offset, reflectance() + offset
    odd[40:60, 30:70], plain[40:60, 30:70] = value, 0
    odd[::17, ::13], plain[::17, ::13] = value, 0
    grid = make_grid(shape=(90, 100))

    planes = [
        reader.read(optical(write(tmp_path / f"{n}.tif", pixels, **place), offset), "B02", grid)
        for n, pixels in enumerate((odd, plain))
    ]

    np.testing.assert_array_equal(*planes)
    assert planes[0].any()


@pytest.mark.parametrize(("offset", "low"), [(0, 1), (1000, 2)])
def test_bright_snow_and_dark_water_are_measurements(tmp_path, reader, offset, low):
    values = np.array([low, 500, 16_000, 20_000, S2_SATURATED - 1 + offset], np.uint16)
    path = write(tmp_path / "a.tif", np.tile(values, (150, 26)))
    grid = make_grid(shape=(90, 100))

    plane = reader.read(optical(path, offset), "B02", grid)

    np.testing.assert_array_equal(plane, np.tile(values, (90, 20)))


def test_wide_pixels_do_not_wrap_around(tmp_path, reader):
    pixels = reflectance().astype(np.uint32)
    pixels[::2] += 65_536
    path = write(tmp_path / "a.tif", pixels)
    codes = np.full((150, 130), 260, np.uint16)  # not 4, vegetation
    scl = write(tmp_path / "scl.tif", codes, size=20.0)
    grid = make_grid(shape=(90, 100))

    plane = reader.read(optical(path, 0), "B02", grid)
    classes = reader.read(make_scene(SCL=scl), "SCL", make_grid(shape=(45, 50), size=20.0))

    assert not plane[::2].any()
    np.testing.assert_array_equal(plane[1::2], reflectance()[1:90:2, :100])
    assert set(np.unique(classes)) == {255}


def test_a_band_written_with_wrapped_numbers_gives_no_reflectance(tmp_path, reader):
    """Nodata minus 1000 in 16 bits is 64536: bright cloud, if it is believed."""
    grid = make_grid(shape=(40, 40))
    hrefs = {}
    for number, band in enumerate(S2_BANDS):
        pixels = reflectance(seed=number)
        pixels[:20] = 0
        hrefs[band] = str(write(tmp_path / f"{band}.tif", pixels - np.uint16(1000)))
    hrefs["SCL"] = str(write(tmp_path / "scl.tif", np.full((75, 65), 4, np.uint8), size=20.0))
    scene = optical(tmp_path, 0)
    scene = type(scene)(
        **{field: getattr(scene, field) for field in scene.__slots__}
        | {"assets": hrefs, "bbox": (8.9, 45.0, 9.2, 45.2)}
    )

    composite = make_composite(reader.planes, grid, s2_dates=[(scene,)], s1_passes=[])

    assert not composite.s2[:, :20].any()
    assert not composite.s2_count[:20].any()
    assert composite.s2[:, 20:].max() < 18_000


def test_the_writer_of_these_tests_writes_what_it_is_given(tmp_path):
    path = write(tmp_path / "a.tif", patched(math.inf), nodata=-32768)

    with rasterio.open(path) as source:
        np.testing.assert_array_equal(source.read(1), patched(math.inf))
        assert source.transform == Affine(10, 0, 500_000, 0, -10, 5_000_040)
