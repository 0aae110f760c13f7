"""Files with odd tags or wrong lengths: broken, or read as rasterio reads them, never wrong."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

from lulcmap.errors import ReadError
from lulcmap.imagery.assets import directory, tiff
from lulcmap.imagery.assets.asset import Assets, BrokenError
from lulcmap.imagery.assets.fetch import Fetcher
from lulcmap.imagery.assets.http import FetchError
from lulcmap.imagery.reader import Reader
from tests.imagery.test_reader import make_grid, make_scene
from tests.support import tiffs

PIXELS = (np.arange(64 * 64).reshape(64, 64) % 3000 + 500).astype(np.uint16)


def saved(tmp_path, body):
    path = tmp_path / "a.tif"
    path.write_bytes(body)
    return path


def read(path, band="B02", **grid):
    with Reader(workers=1, retries=0) as reader:
        return reader.read(make_scene(**{band: path}), band, make_grid(**grid))


def parse(body):
    """Parse a header; return what was asked for too."""
    asked = []

    def at(start, length):
        asked.append(length)
        return body[start : start + length]

    try:
        return tiff.parse(at), sum(asked)
    except directory.NotTiffError as error:
        return str(error), sum(asked)


@pytest.mark.parametrize(
    ("tag", "entry"),
    [
        (256, (3, [32])),
        (257, (3, [32])),
        (259, (3, [1])),
        (317, (3, [2])),
        (324, (4, [8])),
        (325, (4, [10])),
        (33550, (12, [20.0, 20.0, 0.0])),
        (34735, tiffs.geokeys([(1024, 1), (1025, 1), (3072, 32_633)])),
    ],
)
def test_of_a_repeated_tag_the_first_counts_as_in_rasterio(tmp_path, tag, entry):
    tags = {317: (3, [1])}
    path = saved(tmp_path, tiffs.tiff(PIXELS, tags, repeated=[(tag, entry)]))

    fetcher = Fetcher()
    asset = Assets(fetcher).open(str(path))
    pixels = asset.read(0, 0, asset.height, asset.width)
    fetcher.close()

    with rasterio.open(path) as source:
        np.testing.assert_array_equal(pixels, source.read(1))
        assert (asset.crs, asset.transform) == (source.crs, source.transform)


@pytest.mark.parametrize("tag", [258, 262, 324, 325, 33550, 34735, 34737, 42113, 347])
@pytest.mark.parametrize("count", [2**20, 2**23, 2**32 - 1])
def test_an_endless_tag_is_refused_before_it_is_fetched(tag, count):
    body = bytearray(tiffs.tiff(PIXELS, {tag: (4, [1, 1])} if tag < 30_000 else {}))
    if tag >= 30_000:
        body = bytearray(tiffs.tiff(PIXELS, {tag: (4, [1, 1])}))
    (entries,) = struct.unpack_from("<H", body, 8)
    for at in range(10, 10 + 12 * entries, 12):
        if struct.unpack_from("<H", body, at)[0] == tag:
            struct.pack_into("<I", body, at + 4, count)

    tracemalloc.start()
    layout, asked = parse(bytes(body))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert isinstance(layout, str)
    assert asked < 20 * 2**20
    assert peak < 64 * 2**20


def test_a_thousand_large_tags_are_refused_before_they_are_fetched():
    entries = [(tag, (4, [1] * 3)) for tag in (324, 325) for _ in range(500)]
    body = bytearray(tiffs.tiff(PIXELS, repeated=entries))
    (count,) = struct.unpack_from("<H", body, 8)
    for at in range(10, 10 + 12 * count, 12):
        struct.pack_into("<I", body, at + 4, 2**21)

    layout, asked = parse(bytes(body))

    assert isinstance(layout, str)
    assert asked < 20 * 2**20


@pytest.mark.parametrize("place", [0, 2, 8, 10, 2**32 - 1])
def test_a_directory_that_points_to_itself_or_beyond_ends(place):
    body = bytearray(tiffs.tiff(PIXELS))
    (entries,) = struct.unpack_from("<H", body, 8)
    struct.pack_into("<I", body, 10 + 12 * entries, place)  # of the next directory

    layout, asked = parse(bytes(body))
    assert not isinstance(layout, str)
    assert asked < 2 * tiff.TIFF_HEADER_BYTES

    struct.pack_into("<I", body, 4, place)  # of the first
    layout, asked = parse(bytes(body))
    assert isinstance(layout, str) == (place != 8)
    assert asked < 2 * 2**20


@pytest.mark.parametrize(("rows", "cols"), [(8192, 8192), (64, 2**20), (2**16, 1024)])
def test_tiles_that_inflate_beyond_64_mb_are_refused(tmp_path, rows, cols):
    bomb = zlib.compress(bytes(2**20))
    tags = {322: (4, [cols]), 323: (4, [rows])}
    path = saved(tmp_path, tiffs.tiff(PIXELS, tags, body=bomb))

    with pytest.raises(ReadError, match=r"B02 could not be read: its tiles of .* MB are read"):
        read(path)


# ----- lengths


def test_bits_in_reverse_order_are_read_as_rasterio_reads_them(tmp_path):
    reverse = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
    body = zlib.compress(PIXELS.tobytes()).translate(reverse)
    path = saved(tmp_path, tiffs.tiff(PIXELS, {266: (3, [2])}, body=body))

    with rasterio.open(path) as source:
        np.testing.assert_array_equal(source.read(1), PIXELS)
    np.testing.assert_array_equal(read(path, shape=(64, 64)), PIXELS)

    broken = saved(tmp_path, path.read_bytes()[:-1] + b"\0")
    with pytest.raises(ReadError, match="a tile cannot be inflated"):
        read(broken, shape=(64, 64))


@pytest.mark.parametrize("excess", [1, 64, 5000])
def test_a_stream_longer_than_its_tile_is_read_as_rasterio_reads_it(tmp_path, excess):
    body = zlib.compress(PIXELS.tobytes() + bytes(range(256)) * (excess // 256 + 1))
    path = saved(tmp_path, tiffs.tiff(PIXELS, body=body))

    with rasterio.open(path) as source:
        np.testing.assert_array_equal(source.read(1), PIXELS)
    np.testing.assert_array_equal(read(path, shape=(64, 64)), PIXELS)


CODINGS = ["none", "lzw", "zstd", "packbits", "deflate", "lzma", "lerc", "lerc_zstd", "jpeg"]
LAYOUTS = {
    "tiles": {"tiled": True, "blockxsize": 32, "blockysize": 32},
    "strips": {"tiled": False, "blockysize": 16},
    "one strip": {"tiled": False, "blockysize": 70},
    "big-endian": {"tiled": True, "blockxsize": 32, "blockysize": 32, "ENDIANNESS": "BIG"},
}


@pytest.fixture(scope="module", params=CODINGS)
def coded(request, tmp_path_factory):
    """Files of a compression: their bytes, and the pixels that rasterio reads from them."""
    files = {}
    rng = np.random.default_rng(0)
    pixels = (np.arange(70)[:, None] * 2 + np.arange(90) + rng.integers(0, 4, (70, 90))) % 200
    for name, options in LAYOUTS.items():
        path = tmp_path_factory.mktemp("coded") / "a.tif"
        dtype = "uint8" if request.param == "jpeg" else "uint16"
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=70,
            width=90,
            count=1,
            dtype=dtype,
            crs="EPSG:32632",
            transform=Affine(10, 0, 500_000, 0, -10, 5_000_040),
            compress=request.param,
            **options,
        ) as target:
            target.write(pixels.astype(dtype), 1)
        with rasterio.open(path) as source:
            files[name] = path.read_bytes(), source.read(1)
    return files


def with_size(body, number, change):
    """A file's bytes, the listed size of one of its tiles changed."""
    order = "<" if body[:2] == b"II" else ">"
    body = bytearray(body)
    (at,) = struct.unpack_from(f"{order}I", body, 4)
    (count,) = struct.unpack_from(f"{order}H", body, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, length = struct.unpack_from(f"{order}HHI", body, entry)
        if tag in (279, 325):
            code = {3: "H", 4: "I"}[kind]
            width = struct.calcsize(code)
            place = entry + 8
            if width * length > 4:
                (place,) = struct.unpack_from(f"{order}I", body, entry + 8)
            place += width * (number % length)
            (size,) = struct.unpack_from(order + code, body, place)
            struct.pack_into(order + code, body, place, max(change(size), 0) % 2 ** (8 * width))
    return bytes(body)


def outcome(path):
    """Pixels of a file as we read it, or None where it is broken."""
    fetcher = Fetcher(retries=0)
    try:
        return Assets(fetcher).open(str(path)).read(0, 0, 70, 90)
    except (BrokenError, FetchError):
        return None
    finally:
        fetcher.close()


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    layout=st.sampled_from(list(LAYOUTS)),
    number=st.integers(0, 8),
    change=st.one_of(
        st.integers(-40, 40).map(lambda n: lambda size: size + n),
        st.floats(0, 1.5).map(lambda share: lambda size: int(size * share)),
    ),
)
def test_a_tile_of_a_wrong_length_is_broken_or_right(coded, tmp_path, layout, number, change):
    body, wanted = coded[layout]
    path = saved(tmp_path, with_size(body, number, change))

    pixels = outcome(path)

    if pixels is not None:
        np.testing.assert_array_equal(pixels, wanted)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tile_that_lists_no_bytes_but_a_place_is_broken(coded, tmp_path, layout):
    body, _ = coded[layout]

    assert outcome(saved(tmp_path, with_size(body, 0, lambda _: 0))) is None


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(layout=st.sampled_from(list(LAYOUTS)), share=st.floats(0, 0.999))
def test_a_file_that_is_cut_is_broken_or_right(coded, tmp_path, layout, share):
    body, wanted = coded[layout]

    pixels = outcome(saved(tmp_path, body[: int(len(body) * share)]))

    if pixels is not None:
        np.testing.assert_array_equal(pixels, wanted)


@pytest.fixture(scope="module", params=[128, 1024], ids=["tiles", "one tile"])
def jpeg_2000(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("jp2") / "a.jp2"
    noise = np.random.default_rng(0).integers(500, 4000, (70, 90)).astype(np.uint16)
    options = {"QUALITY": 100, "REVERSIBLE": "YES"}
    with rasterio.open(
        path,
        "w",
        driver="JP2OpenJPEG",
        height=70,
        width=90,
        count=1,
        dtype="uint16",
        crs="EPSG:32632",
        transform=Affine(10, 0, 500_000, 0, -10, 5_000_040),
        blockxsize=request.param,
        blockysize=request.param,
        **options,
    ) as target:
        target.write(noise, 1)
    return path.read_bytes(), noise


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.floats(0.01, 0.99), count=st.integers(1, 500), is_added=st.booleans())
def test_a_jpeg_2000_file_with_bytes_more_or_less_is_broken(
    jpeg_2000, tmp_path, share, count, is_added
):
    body, noise = jpeg_2000
    np.testing.assert_array_equal(outcome(saved(tmp_path, body)), noise)
    at = int(len(body) * share)
    rest = body[at:] if is_added else body[at + count :]

    assert outcome(saved(tmp_path, body[: at + count * is_added] + rest)) is None
