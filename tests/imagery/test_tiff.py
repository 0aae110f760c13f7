"""The layout of a TIFF: as GDAL reads the same file; a broken header is an error or harmless."""

import itertools
import struct

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.windows import Window

from lulcmap.imagery.assets import tiff
from lulcmap.imagery.assets.tiff import NotTiffError

TRANSFORM = Affine(10, 0, 499_980, 0, -10, 5_000_040)
SHAPE = (75, 100)


def write(path, pixels=None, **profile):
    """Write a GeoTIFF of (bands, H, W); without pixels none of its tiles are written."""
    count, height, width = (1, *SHAPE) if pixels is None else pixels.shape
    defaults = {
        "driver": "GTiff",
        "crs": "EPSG:32631",
        "transform": TRANSFORM,
        "nodata": 7,
        "count": count,
        "height": height,
        "width": width,
        "dtype": "uint16" if pixels is None else pixels.dtype,
        "tiled": True,
        "blockxsize": 32,
        "blockysize": 16,
    }
    with rasterio.open(path, "w", **defaults | profile) as target:
        if pixels is not None:
            target.write(pixels)
    return path


def noise(dtype="uint16", *, count=1, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).integers(0, 200, (count, *shape)).astype(dtype)


def reading(body):
    """Return a function that reads ranges of some bytes, as ``parse`` takes it."""

    def read(start, length):
        return body[start : start + length]

    return read


def parse(path):
    return tiff.parse(reading(path.read_bytes()))


def window(path, rows, cols):
    """The pixels of a window of tiles, by its few ranges alone."""
    body, layout = path.read_bytes(), parse(path)
    ranges = layout.ranges(rows, cols)
    bodies = [body[first : first + length] for first, length in ranges]
    excerpt = layout.excerpt(rows, cols, layout.tiles(rows, cols, ranges, bodies))
    with MemoryFile(excerpt) as memory, memory.open(driver="GTiff") as dataset:
        return dataset.read(1)


def rasterios(path, rows, cols, tile):
    """The same window, by rasterio from the whole file."""
    with rasterio.open(path) as source:
        top, left = rows.start * tile[0], cols.start * tile[1]
        bottom = min(rows.stop * tile[0], source.height)
        right = min(cols.stop * tile[1], source.width)
        return source.read(1, window=Window(left, top, right - left, bottom - top))


CODINGS = [
    *itertools.product(["uint8", "uint16"], ["deflate", "lzw", "zstd"], [1, 2]),
    *itertools.product(["float32"], ["deflate", "lzw", "zstd"], [1, 3]),
    *itertools.product(["uint8", "uint16", "float32"], ["none", "lerc"], [1]),
]


@pytest.mark.parametrize("endianness", ["LITTLE", "BIG"])
@pytest.mark.parametrize("tiled", [True, False], ids=["tiles", "strips"])
@pytest.mark.parametrize(("dtype", "compress", "predictor"), CODINGS)
def test_windows_of_every_coding_are_rasterios(
    tmp_path, dtype, compress, predictor, tiled, endianness
):
    bands = [(1, "pixel"), (3, "pixel"), (3, "band")]
    variants = itertools.product(["YES", "NO"], bands)
    coding = {"compress": compress, "tiled": tiled, "ENDIANNESS": endianness}
    coding |= {"predictor": predictor} if predictor > 1 else {}
    coding |= {} if tiled else {"blockxsize": None, "blockysize": 8}
    for bigtiff, (count, interleave) in variants:
        path = write(
            tmp_path / f"{bigtiff}{count}{interleave}.tif",
            noise(dtype, count=count),
            bigtiff=bigtiff,
            interleave=interleave,
            **coding,
        )
        layout = parse(path)

        with MemoryFile(layout.header()) as memory, memory.open(driver="GTiff") as dataset:
            assert dataset.crs.to_epsg() == 32631
            assert (dataset.transform, dataset.shape) == (TRANSFORM, SHAPE)
            assert (dataset.dtypes[0], dataset.nodata) == (dtype, 7)
        assert layout.tile == ((16, 32) if tiled else (8, 100))
        is_plain = compress == "deflate" and endianness == "LITTLE"
        is_alone = count == 1 or interleave == "band"
        assert layout.deflate == (predictor if is_plain and is_alone else None)
        for rows, cols in (
            (slice(1, 3), slice(1, 3) if tiled else slice(0, 1)),
            (slice(0, layout.sizes.shape[0]), slice(0, layout.sizes.shape[1])),
        ):
            wanted = rasterios(path, rows, cols, layout.tile)
            np.testing.assert_array_equal(window(path, rows, cols), wanted)


def test_an_excerpt_lies_where_the_whole_does(tmp_path):
    layout = parse(write(tmp_path / "a.tif", noise()))
    rows, cols = slice(0, 1), slice(0, 1)

    excerpt = layout.excerpt(rows, cols, [[memoryview(b"")]])

    with MemoryFile(excerpt) as memory, memory.open(driver="GTiff") as dataset:
        assert (dataset.shape, dataset.transform) == ((16, 32), TRANSFORM)


@pytest.mark.parametrize("nodata", [0, 7, None])
def test_tiles_that_were_never_written_are_nodata(tmp_path, nodata):
    path = write(tmp_path / "a.tif", SPARSE_OK=True, compress="deflate", nodata=nodata)
    with rasterio.open(path, "r+") as target:
        target.write(noise(shape=(16, 32)), window=Window(32, 16, 32, 16))
    layout = parse(path)
    everything = slice(0, 5), slice(0, 4)

    assert np.count_nonzero(layout.sizes) == 1
    assert len(layout.ranges(*everything)) == 1
    assert layout.ranges(slice(0, 1), slice(0, 4)) == []
    for rows, cols in (everything, (slice(0, 1), slice(0, 2)), (slice(1, 2), slice(1, 2))):
        wanted = rasterios(path, rows, cols, layout.tile)
        np.testing.assert_array_equal(window(path, rows, cols), wanted)


def test_a_cloud_optimized_file_is_its_full_resolution(tmp_path):
    plain = write(tmp_path / "a.tif", noise(shape=(300, 300)), compress="deflate")
    path = tmp_path / "cog.tif"
    with rasterio.open(plain) as source:
        rasterio.shutil.copy(source, path, driver="COG", BLOCKSIZE=128, OVERVIEWS="IGNORE_EXISTING")

    layout = parse(path)

    assert (layout.shape, layout.tile, layout.sizes.shape) == ((300, 300), (128, 128), (3, 3))
    wanted = rasterios(path, slice(0, 3), slice(1, 3), layout.tile)
    np.testing.assert_array_equal(window(path, slice(0, 3), slice(1, 3)), wanted)


def test_a_directory_at_the_end_of_a_file_is_found_and_little_more_is_read(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 65536, (1, 400, 400)).astype(np.uint16)
    path = write(tmp_path / "a.tif", pixels, compress="deflate")
    with rasterio.open(path, "r+") as target:
        target.update_tags(a="b" * 4000)  # longer than its place: written anew at the end
    body, asked = path.read_bytes(), []
    assert struct.unpack("<I", body[4:8])[0] > tiff.TIFF_HEADER_BYTES

    def read(start, length):
        asked.append((start, length))
        return body[start : start + length]

    layout = tiff.parse(read)

    assert layout.shape == (400, 400)
    assert asked[0] == (0, tiff.TIFF_HEADER_BYTES)
    assert sum(length for _, length in asked) < tiff.TIFF_HEADER_BYTES + 8192
    rows, cols = slice(3, 9), slice(2, 5)
    np.testing.assert_array_equal(
        window(path, rows, cols), rasterios(path, rows, cols, layout.tile)
    )


def placed(starts, sizes):
    """A layout of one row of tiles at given places."""
    return tiff.Layout(
        order="<",
        shape=(16, 16 * len(starts)),
        tile=(16, 16),
        offsets=np.array([starts], np.uint64),
        sizes=np.array([sizes], np.uint64),
        deflate=None,
        compression=1,
        fill_order=1,
        tags={},
    )


def ranges(starts, sizes):
    return placed(starts, sizes).ranges(slice(0, 1), slice(0, len(starts)))


def test_neighbours_are_one_range_and_far_ones_two(monkeypatch):
    monkeypatch.setattr(tiff, "_MAX_GAP_BYTES", 10)

    assert ranges([100, 150], [50, 50]) == [(100, 100)]
    assert ranges([100, 160], [50, 50]) == [(100, 110)]
    assert ranges([100, 161], [50, 50]) == [(100, 50), (161, 50)]
    assert ranges([161, 100], [50, 50]) == [(100, 50), (161, 50)]
    assert ranges([100, 100], [50, 50]) == [(100, 50)]
    assert ranges([100, 0, 150], [50, 0, 50]) == [(100, 100)]


def test_no_range_is_longer_than_the_longest_but_for_one_tile(monkeypatch):
    monkeypatch.setattr(tiff, "_MAX_RANGE_BYTES", 100)

    assert ranges([0, 50, 100, 150], [50] * 4) == [(0, 100), (100, 100)]
    assert ranges([0, 300], [300, 10]) == [(0, 300), (300, 10)]


TILES = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 200)), min_size=1, max_size=12)


@settings(deadline=None)
@given(tiles=TILES, gap=st.integers(0, 200), longest=st.integers(1, 500), order=st.randoms())
def test_every_tile_lies_in_exactly_one_range_and_is_cut_out_of_it(tiles, gap, longest, order):
    places, end = [], 0
    for before, size in tiles:  # one after the other, with gaps; some were never written
        places.append((end + before if size else 0, size))
        end += before + size
    order.shuffle(places)
    starts, sizes = zip(*places, strict=True)
    body = np.random.default_rng(0).bytes(end)
    layout, across = placed(starts, sizes), slice(0, len(places))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiff, "_MAX_GAP_BYTES", gap)
        patch.setattr(tiff, "_MAX_RANGE_BYTES", longest)
        joined = layout.ranges(slice(0, 1), across)

    for start, size in places:
        holding = [a for a, length in joined if a <= start and start + size <= a + length]
        assert len(holding) == 1 or size == 0
    assert sum(length for _, length in joined) <= sum(sizes) + gap * len(places)
    cut = layout.tiles(slice(0, 1), across, joined, [body[a : a + length] for a, length in joined])
    assert [bytes(tile) for tile in cut[0]] == [body[a : a + size] for a, size in places]


def survives(body):
    """Whether a header is accepted; any other error than our own fails the test."""
    asked = []

    def read(start, length):
        asked.append((start, length))
        return body[start : start + length]

    try:
        layout = tiff.parse(read)
    except NotTiffError:
        return False
    finally:
        assert all(start >= 0 and length <= 64 * 2**20 for start, length in asked)
        assert all(start + length < 2**63 for start, length in asked)
    layout.header()
    assert min(*layout.shape, *layout.tile) >= 1
    for _, length in layout.ranges(slice(None), slice(None)):
        assert length <= 2 * layout.tile[0] * layout.tile[1] * 8 + 2 * 2**16 + tiff._MAX_RANGE_BYTES
    return True


@pytest.fixture(scope="module", params=["NO", "YES"], ids=["classic", "BigTIFF"])
def good(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("tiff") / "a.tif"
    return write(path, noise(), bigtiff=request.param, compress="deflate").read_bytes()


def entries(good):
    """Where each entry of a little-endian file's directory starts, and the end of the last."""
    is_big = good[2] == 43
    (at,) = struct.unpack_from("<Q", good, 8) if is_big else struct.unpack_from("<I", good, 4)
    entry, count = (20, 8) if is_big else (12, 2)
    number = int.from_bytes(good[at : at + count], "little")
    return range(at + count, at + count + number * entry + 1, entry)


def test_a_header_cut_short_is_an_error(good):
    assert survives(good)
    for length in range(entries(good)[-1]):
        assert not survives(good[:length])


def test_a_broken_header_is_an_error_or_harmless(good):
    random = np.random.default_rng(0)
    survived = 0
    for _ in range(400):
        body = bytearray(good)
        for at in random.integers(0, 700, random.integers(1, 5)):
            body[at] = random.choice([0, 1, 255, random.integers(256)])
        survived += survives(bytes(body))
    assert 0 < survived < 400


@pytest.mark.parametrize(
    "body",
    [b"", b"II", b"II*\0", b"<html>not found</html>", b"\x89PNG\r\n\x1a\n" + bytes(60), bytes(99)],
)
def test_a_file_that_is_not_a_tiff_is_refused(body):
    with pytest.raises(NotTiffError, match="not a TIFF"):
        tiff.parse(reading(body))


def changed(good, tag, value):
    """The same file, one number of its directory another one."""
    body = bytearray(good)
    (start,) = (at for at in entries(good)[:-1] if struct.unpack_from("<H", good, at) == (tag,))
    if good[2] == 43:
        struct.pack_into("<HHQQ", body, start, tag, 16, 1, value)
    else:
        struct.pack_into("<HHII", body, start, tag, 4, 1, value)
    return bytes(body)


@pytest.mark.parametrize(
    ("tag", "value"),
    [(256, 0), (256, 2**32 - 1), (257, 2**31), (322, 0), (322, 2**31), (323, 2**30), (325, 5)],
)
def test_impossible_numbers_are_an_error(good, tag, value):
    assert not survives(changed(good, tag, value))


def test_a_directory_of_too_many_entries_is_not_fetched(good):
    body, is_big = bytearray(good), good[2] == 43
    at = entries(good)[0] - (8 if is_big else 2)
    struct.pack_into("<Q" if is_big else "<H", body, at, 2**30 if is_big else 2**16 - 1)

    assert not survives(bytes(body))


def test_a_tile_of_more_bytes_than_any_compression_makes_is_an_error(tmp_path):
    path = write(tmp_path / "a.tif", noise(shape=(16, 32)), bigtiff="YES")
    body = path.read_bytes()
    assert survives(changed(body, 325, 1024))
    assert not survives(changed(body, 325, 2**20))
    assert not survives(changed(body, 325, 2**63))
    assert not survives(changed(body, 324, 2**63))
