"""Assets: the pixels rasterio reads, from few bytes, each header once; only TIFF and JPEG 2000."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine
from rasterio.windows import Window

from lulcmap.errors import ProviderError
from lulcmap.imagery.assets import asset as module
from lulcmap.imagery.assets import jpeg2000, tiff
from lulcmap.imagery.assets.asset import Assets, BrokenError
from lulcmap.imagery.assets.fetch import Fetcher
from lulcmap.imagery.assets.http import FetchError

SHAPE = (150, 130)
TILE = (32, 48)
PLACE = {"crs": "EPSG:32632", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_040)}


class Counting(Fetcher):
    """Reads local files; records the ranges requested, and fails on demand."""

    def __init__(self):
        super().__init__()
        self.asked, self.fails = [], None

    def get(self, href, start, length, *, whole=True):
        self.asked.append((start, length))
        if self.fails is not None:
            raise self.fails
        return super().get(href, start, length, whole=whole)


@pytest.fixture
def fetcher():
    fetcher = Counting()
    yield fetcher
    fetcher.close()


def noise(dtype="uint16", *, count=1, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).integers(0, 200, (count, *shape)).astype(dtype)


def write(path, pixels, **profile):
    defaults = {
        "driver": "GTiff",
        "count": pixels.shape[0],
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "dtype": pixels.dtype,
        "nodata": 7,
        "tiled": True,
        "blockysize": TILE[0],
        "blockxsize": TILE[1],
        "compress": "deflate",
        **PLACE,
    }
    with rasterio.open(path, "w", **defaults | profile) as target:
        target.write(pixels)
    return path


def write_jp2(path, pixels, tile=128):
    options = {"REVERSIBLE": "YES", "QUALITY": 100, "BLOCKXSIZE": tile, "BLOCKYSIZE": tile}
    with rasterio.open(
        path,
        "w",
        driver="JP2OpenJPEG",
        count=1,
        height=pixels.shape[0],
        width=pixels.shape[1],
        dtype=pixels.dtype,
        **PLACE,
        **options,
    ) as target:
        target.write(pixels, 1)
    return path


def write_sparse(path):
    write(path, noise()[:, :0], height=SHAPE[0], SPARSE_OK=True)
    with rasterio.open(path, "r+") as target:
        target.write(noise(shape=(64, 48)), window=Window(48, 32, 48, 64))
    return path


KINDS = {
    "uint8": lambda path: write(path, noise("uint8")),
    "uint16, differences": lambda path: write(path, noise(), predictor=2),
    "float32, differences": lambda path: write(path, noise("float32"), predictor=3),
    "three bands apart": lambda path: write(path, noise(count=3), interleave="band"),
    "three bands together": lambda path: write(path, noise(count=3), interleave="pixel"),
    "LZW": lambda path: write(path, noise(), compress="lzw", predictor=2),
    "strips": lambda path: write(path, noise(), tiled=False, blockxsize=None, blockysize=8),
    "big-endian": lambda path: write(path, noise(), predictor=2, ENDIANNESS="BIG"),
    "unwritten tiles": write_sparse,
    "JPEG 2000": lambda path: write_jp2(path.with_suffix(".jp2"), noise()[0], tile=64),
}


@pytest.fixture(scope="module", params=KINDS)
def file(request, tmp_path_factory):
    """A file of each kind, and its first band as rasterio reads it."""
    path = KINDS[request.param](tmp_path_factory.mktemp("assets") / "a.tif")
    with rasterio.open(path) as source:
        return path, source.read(1)


@pytest.fixture(scope="module")
def asset(file):
    fetcher = Fetcher()
    yield Assets(fetcher).open(str(file[0]))
    fetcher.close()


@settings(deadline=None, max_examples=30)
@given(data=st.data(), at_once=st.integers(1, 20_000))
def test_any_window_is_rasterios(file, asset, data, at_once):
    _, wanted = file
    top, left = data.draw(st.integers(0, SHAPE[0] - 1)), data.draw(st.integers(0, SHAPE[1] - 1))
    height = data.draw(st.integers(1, SHAPE[0] - top))
    width = data.draw(st.integers(1, SHAPE[1] - left))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BATCH_BYTES", at_once)
        pixels = asset.read(top, left, height, width)

    assert pixels.dtype == wanted.dtype
    np.testing.assert_array_equal(pixels, wanted[top : top + height, left : left + width])


def test_crs_transform_shape_and_dtype_are_rasterios(file, asset):
    with rasterio.open(file[0]) as source:
        assert (asset.crs, asset.transform) == (source.crs, source.transform)
        assert (asset.height, asset.width) == source.shape
        assert asset.dtype == source.dtypes[0]


def test_several_threads_read_the_same_and_other_files_at_once(tmp_path, fetcher):
    kinds = ("uint16, differences", "LZW", "JPEG 2000", "uint8")
    paths = [KINDS[kind](tmp_path / f"{kind}.tif") for kind in kinds]
    assets, start = Assets(fetcher), threading.Barrier(4)

    def read(number):
        start.wait(60)
        rows = [(number + 13 * step) % 100 for step in range(4)]
        return [
            (path, row, assets.open(str(path)).read(row, row, 50, 30))
            for row in rows
            for path in paths
        ]

    with ThreadPoolExecutor(4) as pool:
        windows = [window for part in pool.map(read, range(4)) for window in part]

    for path, row, pixels in windows:
        with rasterio.open(path) as source:
            wanted = source.read(1, window=Window(row, row, 30, 50))
        np.testing.assert_array_equal(pixels, wanted)


# ----- what is fetched


def test_a_header_is_fetched_once_and_again_after_it_was_forgotten(tmp_path, fetcher):
    path = str(write(tmp_path / "a.tif", noise()))
    assets, header = Assets(fetcher), (0, tiff.TIFF_HEADER_BYTES)

    for _ in range(3):
        assets.open(path)
    assert fetcher.asked == [header]
    assets.forget(path)
    assets.open(path)
    assert fetcher.asked == [header] * 2
    assets.forget("what was never opened")


def test_assets_of_several_crs_keep_their_own(tmp_path, fetcher):
    codes = [32631, 32632, 3035, 32631, 4326, 32632]
    assets = Assets(fetcher)
    for number, code in enumerate(codes):
        write(tmp_path / f"{number}.tif", noise(seed=number), crs=f"EPSG:{code}")

    for _ in range(2):
        sources = [assets.open(str(tmp_path / f"{number}.tif")) for number in range(len(codes))]
        assert [source.crs.to_epsg() for source in sources] == codes
        for number in range(len(codes)):
            assets.forget(str(tmp_path / f"{number}.tif"))


def test_pixel_is_point_and_pixel_is_area_give_rasterios_transform(tmp_path, fetcher):
    assets = Assets(fetcher)
    for number, kind in enumerate(["Point", "Area", "Point", "Area"]):
        path = tmp_path / f"{number}.tif"
        write(path, noise())
        with rasterio.open(path, "r+") as target:
            target.update_tags(AREA_OR_POINT=kind)

        with rasterio.open(path) as wanted:
            assert assets.open(str(path)).transform == wanted.transform
            assert wanted.tags()["AREA_OR_POINT"] == kind


def test_the_least_recently_used_headers_are_dropped(tmp_path, fetcher, monkeypatch):
    monkeypatch.setattr(module, "_MAX_HEADERS", 2)
    a, b, c = (str(write(tmp_path / f"{name}.tif", noise())) for name in "abc")
    assets = Assets(fetcher)

    for path in (a, b, a, c, a):  # b makes room for c
        assets.open(path)
    assert len(fetcher.asked) == 3
    assets.open(b)
    assert len(fetcher.asked) == 4


def test_only_the_tiles_of_a_window_are_fetched(tmp_path, fetcher, monkeypatch):
    monkeypatch.setattr(tiff, "_MAX_GAP_BYTES", 0)
    path = write(tmp_path / "a.tif", noise())
    source = Assets(fetcher).open(str(path))
    layout = source._layout
    fetcher.asked.clear()

    source.read(40, 50, 30, 40)  # rows of tiles 1 and 2, column 1

    assert sorted(fetcher.asked) == [
        (int(layout.offsets[row, 1]), int(layout.sizes[row, 1])) for row in (1, 2)
    ]


def test_few_compressed_bytes_are_fetched_ahead(tmp_path, fetcher, monkeypatch):
    path = write(tmp_path / "a.tif", noise(shape=(32 * 12, 130)))
    source = Assets(fetcher).open(str(path))
    row = int(source._layout.sizes.sum(axis=1).max())
    monkeypatch.setattr(module, "_BATCH_BYTES", row)
    started, real = [], module.deflate.paste_tile
    monkeypatch.setattr(
        fetcher, "start", lambda *args: started.append(args[1]) or Fetcher.start(fetcher, *args)
    )
    pasted = []

    def paste(*args, **options):
        pasted.append(len(started))
        real(*args, **options)

    monkeypatch.setattr(module.deflate, "paste_tile", paste)
    source.read(0, 0, 32 * 12, 130)

    assert len(started) == 12
    assert all(sum(length for _, length in ranges) <= row for ranges in started)
    assert pasted == [min(number // 3 + 2, 12) for number in range(36)]


def test_little_of_a_jpeg_2000_file_is_fetched_and_nothing_twice(tmp_path, fetcher, monkeypatch):
    monkeypatch.setattr(jpeg2000, "_CHUNK_BYTES", 16384)
    pixels = np.random.default_rng(0).integers(0, 4096, (640, 640)).astype(np.uint16)
    path = write_jp2(tmp_path / "a.jp2", pixels)
    source = Assets(fetcher).open(str(path))
    fetcher.asked.clear()

    window = source.read(130, 20, 100, 100)

    np.testing.assert_array_equal(window, pixels[130:230, 20:120])
    assert len(set(fetcher.asked)) == len(fetcher.asked)
    assert sum(length for _, length in fetcher.asked) < path.stat().st_size / 3


# ----- what is broken


def write_vrt(path):
    secret = write(path.with_name("secret.tif"), noise())
    with rasterio.open(secret) as source:
        rasterio.shutil.copy(source, path, driver="VRT")


def write_png(path):
    with rasterio.open(path, "w", driver="PNG", height=9, width=9, count=1, dtype="uint8") as png:
        png.write(noise("uint8", shape=(9, 9)))


FOREIGN = {
    "VRT": write_vrt,
    "PNG": write_png,
    "page": lambda path: path.write_text("<html>not found</html>"),
    "nothing": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(50_000)),
    "a TIFF's first bytes": lambda path: path.write_bytes(b"II*\0\x08\0\0\0"),
}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("kind", FOREIGN)
def test_no_other_format_is_opened(tmp_path, fetcher, kind):
    path = tmp_path / "a.tif"
    FOREIGN[kind](path)

    with pytest.raises(BrokenError, match="it is not a TIFF"):
        Assets(fetcher).open(str(path))


def spoil(path, first, last):
    """Overwrite bytes in a part of a file."""
    body = bytearray(path.read_bytes())
    start, end = int(first * len(body)), int(last * len(body))
    body[start:end] = b"\xff" * (end - start)
    path.write_bytes(body)


@pytest.mark.parametrize("compress", ["deflate", "lzw", "zstd"])
def test_tiles_that_cannot_be_decoded_are_broken(tmp_path, fetcher, compress):
    path = write(tmp_path / "a.tif", noise(), compress=compress)
    spoil(path, 0.5, 0.6)
    source = Assets(fetcher).open(str(path))

    with pytest.raises(BrokenError) as caught:
        source.read(0, 0, *SHAPE)

    assert "vsimem" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(BrokenError) as again:  # the same text: it is in reports
        source.read(0, 0, *SHAPE)
    assert str(again.value) == str(caught.value)


def test_a_jpeg_2000_file_that_cannot_be_decoded_is_broken(tmp_path, fetcher):
    pixels = np.random.default_rng(0).integers(0, 4096, (400, 400)).astype(np.uint16)
    path = write_jp2(tmp_path / "a.jp2", pixels, tile=64)
    spoil(path, 0.3, 0.7)
    source = Assets(fetcher).open(str(path))

    with pytest.raises(BrokenError):
        source.read(0, 0, 400, 400)

    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BrokenError):
        Assets(fetcher).open(str(path))


@pytest.mark.parametrize("kind", ["uint8", "LZW", "JPEG 2000"])
@pytest.mark.parametrize("error", [FetchError("HTTP 404"), ProviderError("Set the key.")])
def test_fetch_and_provider_errors_pass_through_unchanged(tmp_path, fetcher, kind, error):
    path = str(KINDS[kind](tmp_path / "a.tif"))
    source = Assets(fetcher).open(path)
    fetcher.fails = error

    for read in (lambda: source.read(0, 0, 9, 9), lambda: Assets(fetcher).open(path)):
        with pytest.raises(type(error), match=str(error)):
            read()


def test_a_jpeg_2000_file_whose_bytes_stop_arriving_is_a_fetch_error_not_a_broken_file(
    tmp_path, fetcher, monkeypatch
):
    monkeypatch.setattr(jpeg2000, "_CHUNK_BYTES", 16384)
    pixels = np.random.default_rng(0).integers(0, 4096, (400, 400)).astype(np.uint16)
    source = Assets(fetcher).open(str(write_jp2(tmp_path / "a.jp2", pixels)))
    real = Counting.get

    def get(href, start, length, **options):
        if start > 100_000:
            raise FetchError("HTTP 404")
        return real(fetcher, href, start, length, **options)

    monkeypatch.setattr(fetcher, "get", get)
    with pytest.raises(FetchError, match="HTTP 404"):
        source.read(0, 0, 400, 400)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("compress", ["deflate", "lzw"])
def test_a_file_with_any_bytes_changed_is_broken_or_read(tmp_path, fetcher, compress):
    shape = (64, 96)
    good = write(tmp_path / "good.tif", noise(shape=shape), compress=compress).read_bytes()
    path = tmp_path / "a.tif"
    random = np.random.default_rng(0)
    broken = 0
    for _ in range(150):
        body = bytearray(good)
        for at in random.integers(0, 600, random.integers(1, 4)):
            body[at] = random.choice([0, 1, 255, random.integers(256)])
        path.write_bytes(body)
        try:
            source = Assets(fetcher).open(str(path))
            source.read(0, 0, min(64, source.height), min(96, source.width))
        except (BrokenError, FetchError):
            broken += 1

    assert 0 < broken < 150
