"""Decoding DEFLATE tiles: the pixels GDAL decodes, and errors for broken bytes."""

import zlib

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

from lulcmap.imagery.assets import deflate, tiff
from lulcmap.imagery.assets.deflate import InflateError

TILE = (32, 48)
KINDS = [("uint8", 1), ("uint8", 2), ("uint16", 1), ("uint16", 2), ("float32", 1), ("float32", 3)]


def noise(dtype, shape=TILE, *, seed=0):
    """Any bits: every byte of a number differs, sums overflow, NaN and infinities occur."""
    body = np.random.default_rng(seed).bytes(shape[0] * shape[1] * np.dtype(dtype).itemsize)
    return np.frombuffer(body, dtype).reshape(shape)


@pytest.fixture(scope="module")
def gdals(tmp_path_factory):
    """For each kind: a tile as GDAL compressed it, and the pixels that GDAL reads from it."""
    tiles = {}
    for dtype, predictor in KINDS:
        path = tmp_path_factory.mktemp("tiles") / "a.tif"
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=TILE[0],
            width=TILE[1],
            count=1,
            dtype=dtype,
            transform=Affine(10, 0, 0, 0, -10, 0),
            tiled=True,
            blockysize=TILE[0],
            blockxsize=TILE[1],
            compress="deflate",
            predictor=predictor,
        ) as target:
            target.write(noise(dtype), 1)
        body = path.read_bytes()
        layout = tiff.parse(lambda start, length, body=body: body[start : start + length])
        ((start, length),) = layout.ranges(slice(0, 1), slice(0, 1))
        with rasterio.open(path) as source:
            tiles[dtype, predictor] = body[start : start + length], source.read(1)
    return tiles


def bits(pixels):
    """Integers that differ where anything does; NaN equals the same NaN."""
    return pixels.view(f"u{pixels.itemsize}")


@pytest.mark.parametrize(("dtype", "predictor"), KINDS)
def test_a_whole_tile_is_gdals(gdals, dtype, predictor):
    body, wanted = gdals[dtype, predictor]
    pixels = np.zeros(TILE, dtype)

    deflate.paste_tile(memoryview(body), pixels, (0, 0), tile=TILE, predictor=predictor)

    np.testing.assert_array_equal(bits(pixels), bits(wanted))
    np.testing.assert_array_equal(bits(pixels), bits(noise(dtype)))


@pytest.mark.parametrize(("dtype", "predictor"), KINDS)
@settings(deadline=None, max_examples=40)
@given(
    row=st.integers(-40, 60),
    col=st.integers(-60, 90),
    height=st.integers(1, 50),
    width=st.integers(1, 80),
)
def test_only_what_lies_in_the_array_is_written(gdals, dtype, predictor, row, col, height, width):
    body, tile = gdals[dtype, predictor]
    before = noise(dtype, (height, width), seed=1)
    pixels = before.copy()

    deflate.paste_tile(body, pixels, (row, col), tile=TILE, predictor=predictor)

    wide = np.pad(bits(before), 200)
    wide[200 + row : 200 + row + TILE[0], 200 + col : 200 + col + TILE[1]] = bits(tile)
    np.testing.assert_array_equal(bits(pixels), wide[200 : 200 + height, 200 : 200 + width])


@pytest.mark.parametrize(("dtype", "predictor"), KINDS)
def test_rows_of_a_larger_array_may_be_written(gdals, dtype, predictor):
    body, tile = gdals[dtype, predictor]
    whole = np.zeros((100, 120), dtype)

    deflate.paste_tile(body, whole[20:60, 30:70], (4, 5), tile=TILE, predictor=predictor)

    np.testing.assert_array_equal(bits(whole[24:56, 35:70]), bits(tile[:, :35]))
    assert np.count_nonzero(bits(whole)) == np.count_nonzero(bits(tile[:, :35]))


@pytest.mark.parametrize(("dtype", "predictor"), KINDS)
def test_broken_bytes_are_an_error_and_leave_the_array_alone(gdals, dtype, predictor):
    body, _ = gdals[dtype, predictor]
    random = np.random.default_rng(0)
    flipped = bytearray(body)
    flipped[len(body) // 2] ^= 0xFF

    for broken in (
        b"",
        b"junk",
        body[:-1],
        body[: len(body) // 2],
        bytes(flipped),
        *(random.bytes(200) for _ in range(20)),
    ):
        pixels = np.zeros(TILE, dtype)
        with pytest.raises(InflateError):
            deflate.paste_tile(broken, pixels, (0, 0), tile=TILE, predictor=predictor)
        assert not bits(pixels).any()


@pytest.mark.parametrize("length", [0, 1, TILE[0] * TILE[1] - 1])
def test_a_stream_shorter_than_its_tile_is_an_error(length):
    with pytest.raises(InflateError):
        deflate.paste_tile(
            zlib.compress(bytes(length)), np.zeros(TILE, np.uint8), (0, 0), tile=TILE, predictor=1
        )


@pytest.mark.parametrize("excess", [1, 7, 10**6])
@pytest.mark.parametrize(("dtype", "predictor"), KINDS)
def test_the_first_bytes_of_a_longer_stream_are_the_tile(gdals, dtype, predictor, excess):
    body, wanted = gdals[dtype, predictor]
    longer = zlib.compress(zlib.decompress(body) + bytes(excess))
    pixels = np.zeros(TILE, dtype)

    deflate.paste_tile(longer, pixels, (0, 0), tile=TILE, predictor=predictor)

    np.testing.assert_array_equal(bits(pixels), bits(wanted))
    for broken in (longer[:-1], longer[:-4], longer[:-1] + bytes([longer[-1] ^ 1])):
        with pytest.raises(InflateError):
            deflate.paste_tile(broken, pixels, (0, 0), tile=TILE, predictor=predictor)


def test_a_stream_that_inflates_to_far_more_than_its_tile_is_an_error(monkeypatch):
    monkeypatch.setattr(deflate, "_MAX_EXCESS_BYTES", 2**20)
    endless = zlib.compress(bytes(2**23), 9)

    with pytest.raises(InflateError):
        deflate.paste_tile(endless, np.zeros(TILE, np.uint8), (0, 0), tile=TILE, predictor=1)


@pytest.mark.parametrize("fill_order", [1, 2])
def test_a_stream_is_checked_to_its_end(fill_order):
    body = zlib.compress(np.random.default_rng(0).bytes(3000) + bytes(3 * 2**20))

    def stored(stream):
        return stream.translate(deflate._REVERSED) if fill_order == 2 else stream

    deflate.check_stream(stored(body), fill_order=fill_order)
    for broken in (b"", body[:-1], body[:900], body[:-1] + bytes([body[-1] ^ 1]), bytes(99)):
        with pytest.raises(InflateError):
            deflate.check_stream(stored(broken), fill_order=fill_order)
