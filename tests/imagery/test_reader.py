"""Reading: the pixels rasterio reads, on the asset's grid and off it, and honest failures."""

import json
import math
import threading
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import rasterio.warp
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from lulcmap.catalog.providers import ITEM_COLLECTION
from lulcmap.catalog.scene import Scene
from lulcmap.errors import ProviderError, ReadError
from lulcmap.imagery.assets import fetch
from lulcmap.imagery.assets.asset import Asset
from lulcmap.imagery.assets.fetch import Fetcher
from lulcmap.imagery.reader import Reader, pixels_of
from tests.integration.servers import Fault, FileServer

ORIGIN = (500_000.0, 5_000_040.0)  # east, north of every source's corner
UTM32 = "EPSG:32632"


def make_scene(**assets: Path | str) -> Scene:
    return Scene(
        id="S2A_TEST",
        sensor="s2",
        acquired=datetime(2024, 6, 1),
        datatake="a",
        bbox=(8.9, 45.0, 9.2, 45.2),
        epsg=32632,
        orbit=None,
        orbit_state=None,
        cloud_cover=None,
        offset=0,
        assets={band: str(href) for band, href in assets.items()},
    )


def write(path: Path, pixels: np.ndarray, *, size=10.0, crs=UTM32, corner=ORIGIN, nodata=0) -> Path:
    width, height = size if isinstance(size, tuple) else (size, size)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=pixels.shape[0],
        width=pixels.shape[1],
        count=1,
        dtype=pixels.dtype,
        crs=crs,
        transform=Affine(width, 0, corner[0], 0, -height, corner[1]),
        nodata=nodata,
        tiled=True,
        blockxsize=64,
        blockysize=64,
        compress="deflate",
    ) as target:
        target.write(pixels, 1)
    return path


def make_grid(*, row=0, col=0, shape=(60, 80), size=10.0, crs=UTM32, corner=ORIGIN) -> GeoBox:
    """A grid whose corner lies ``row``, ``col`` of its pixels from a corner in its CRS."""
    left, top = corner[0] + col * size, corner[1] - row * size
    return GeoBox(shape, Affine(size, 0, left, 0, -size, top), crs)


def values(shape=(150, 130), *, gaps=0.1, seed=0) -> np.ndarray:
    """Pixels that encode row and column, in the range of reflectance, with some nodata."""
    codes = np.arange(shape[0])[:, None] * 200 + np.arange(shape[1])
    pixels = (codes % 31_000 + 1).astype(np.uint16)
    pixels[np.random.default_rng(seed).random(shape) < gaps] = 0
    return pixels


def warp(path: Path, grid: GeoBox, *, resampling=Resampling.bilinear, nodata=0.0) -> np.ndarray:
    """The oracle: GDAL, with exact coordinates and a kernel of one source pixel."""
    with (
        rasterio.open(path) as source,
        WarpedVRT(
            source,
            crs=str(grid.crs),
            transform=grid.affine,
            height=grid.shape[0],
            width=grid.shape[1],
            resampling=resampling,
            src_nodata=nodata,
            nodata=nodata,
            tolerance=1e-9,
            XSCALE=1,
            YSCALE=1,
        ) as warped,
    ):
        return warped.read(1)


def assert_warped(plane: np.ndarray, gdal: np.ndarray) -> None:
    """Equal but for roundings: coordinates are interpolated to about 1e-5 pixel."""
    np.testing.assert_array_equal(plane == 0, gdal == 0)
    assert np.abs(plane.astype(int) - gdal).max() <= 1
    assert (plane != gdal).mean() < 3e-3


@pytest.fixture
def reader():
    with Reader(workers=2) as reader:
        yield reader


@pytest.mark.parametrize(
    ("row", "col"), [(0, 0), (33, 47), (-20, -30), (140, 100), (-20, 120), (0, 1000), (-60, 0)]
)
def test_a_source_on_the_grid_equals_a_window_of_rasterio(tmp_path, reader, row, col):
    path = write(tmp_path / "a.tif", values())

    plane = reader.read(make_scene(B02=path), "B02", make_grid(row=row, col=col))

    with rasterio.open(path) as source:
        wanted = source.read(1, window=Window(col, row, 80, 60), boundless=True, fill_value=0)
    assert plane.dtype == np.uint16
    np.testing.assert_array_equal(plane, wanted)


def test_a_source_away_from_the_grid_is_not_read(tmp_path, reader, monkeypatch):
    near = write(tmp_path / "a.tif", values())
    far = write(tmp_path / "b.tif", values(), crs="EPSG:4326", size=1e-4, corner=(100.0, 20.0))
    monkeypatch.setattr(Asset, "read", None)

    for path, grid in ((near, make_grid(col=5000)), (far, make_grid())):
        assert not reader.read(make_scene(B02=path, B05=path), "B05", grid).any()


def doubled(pixels: np.ndarray, row: int, col: int, shape: tuple[int, int]) -> np.ndarray:
    """Twice the pixels, bilinear, the plain way."""
    out = np.zeros(shape, np.uint16)

    def sample(i: int, j: int) -> int:
        inside = 0 <= i < pixels.shape[0] and 0 <= j < pixels.shape[1]
        return int(pixels[i, j]) if inside else 0

    for y in range(shape[0]):
        for x in range(shape[1]):
            i, j = (y + row) // 2, (x + col) // 2
            near_i, near_j = i + (1 if (y + row) % 2 else -1), j + (1 if (x + col) % 2 else -1)
            pairs = [(9, i, j), (3, i, near_j), (3, near_i, j), (1, near_i, near_j)]
            samples = [(weight, sample(*at)) for weight, *at in pairs]
            weight = sum(w for w, v in samples if v)
            if sample(i, j):
                out[y, x] = (2 * sum(w * v for w, v in samples) + weight) // (2 * weight)
    return out


@pytest.mark.parametrize(("row", "col"), [(0, 0), (1, 0), (21, 33), (-8, -11), (100, 90), (500, 0)])
@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_a_source_of_20_m_is_doubled_as_gdal_and_brute_force_do(tmp_path, reader, row, col, gaps):
    pixels = np.random.default_rng(1).integers(1, 31_767, (70, 60)).astype(np.uint16)
    pixels[values((70, 60), gaps=gaps) == 0] = 0
    path = write(tmp_path / "a.tif", pixels, size=20.0)
    grid = make_grid(row=row, col=col)

    plane = reader.read(make_scene(B05=path), "B05", grid)

    np.testing.assert_array_equal(plane, doubled(pixels, row, col, grid.shape))
    if plane.any():
        gdal = warp(path, grid)
        assert np.abs(plane.astype(int) - gdal).max() <= 1
        np.testing.assert_array_equal(plane == 0, gdal == 0)


OFF_GRID = {
    "3.7 m off": {"corner": (ORIGIN[0] + 3.7, ORIGIN[1] - 6.1)},
    "pixels of 30 m": {"size": 30.0},
    "20 m, off the grid": {"size": 20.0, "corner": (ORIGIN[0] + 4.0, ORIGIN[1])},
    "geographic": {"crs": "EPSG:4326", "size": (1.3e-4, 9e-5), "corner": (9.0001, 45.1545)},
    "the next zone": {"crs": "EPSG:32633", "corner": (28_390.0, 5_017_570.0)},
}


@pytest.mark.parametrize("source", OFF_GRID.values(), ids=OFF_GRID)
def test_a_source_on_another_grid_equals_gdals_bilinear_warp(tmp_path, reader, source):
    path = write(tmp_path / "a.tif", values(), **source)
    grid = make_grid(row=-3, col=-4)

    plane = reader.read(make_scene(B02=path), "B02", grid)

    assert (plane > 0).mean() > 0.5
    assert_warped(plane, warp(path, grid))


@pytest.mark.parametrize("source", OFF_GRID.values(), ids=OFF_GRID)
def test_a_pixel_does_not_depend_on_the_grid_it_is_read_in(tmp_path, reader, source):
    scene = make_scene(B02=write(tmp_path / "a.tif", values((400, 400)), **source))
    whole = make_grid(row=-5, col=-5, shape=(300, 320))

    part = reader.read(scene, "B02", whole[101:251, 37:207])

    np.testing.assert_array_equal(part, reader.read(scene, "B02", whole)[101:251, 37:207])


@pytest.mark.parametrize("source", [{"size": 20.0}, {"size": 10.0}, *OFF_GRID.values()])
def test_the_classification_is_never_mixed(tmp_path, reader, source):
    pixels = np.random.default_rng(2).integers(0, 12, (150, 130)).astype(np.uint8)
    path = write(tmp_path / "scl.tif", pixels, **source)
    grid = make_grid(row=-2, col=1, size=20.0, shape=(40, 50))

    plane = reader.read(make_scene(SCL=path), "SCL", grid)

    assert plane.dtype == np.uint8
    np.testing.assert_array_equal(plane, warp(path, grid, resampling=Resampling.nearest))


@pytest.mark.parametrize("source", [{}, OFF_GRID["geographic"]], ids=["same grid", "geographic"])
def test_invalid_backscatter_becomes_0(tmp_path, reader, source):
    pixels = np.full((150, 130), 0.05, np.float32)
    pixels[20:30], pixels[40:50], pixels[60:70] = -32768, np.nan, -0.01
    path = write(tmp_path / "vv.tif", pixels, nodata=-32768, **source)

    plane = reader.read(make_scene(VV=path), "VV", make_grid(shape=(80, 80)))

    assert plane.dtype == np.float32
    assert (plane >= 0).all()
    assert (plane == 0).any(axis=1).sum() >= 25
    assert plane.max() == np.float32(0.05)


def test_warped_backscatter_is_gdals_and_nodata_is_not_mixed_in(tmp_path, reader):
    pixels = np.random.default_rng(3).gamma(4, 0.02, (150, 130)).astype(np.float32)
    pixels[values() == 0] = -32768
    path = write(tmp_path / "vv.tif", pixels, nodata=-32768, **OFF_GRID["the next zone"])
    pixels[values() == 0] = 0
    grey = write(tmp_path / "vh.tif", pixels, nodata=-32768, **OFF_GRID["the next zone"])
    grid = make_grid(row=-3, col=-4)

    plane = reader.read(make_scene(VV=path), "VV", grid)

    gdal = warp(path, grid, nodata=-32768)
    np.testing.assert_allclose(plane, np.where(gdal > 0, gdal, 0), atol=1e-5)
    np.testing.assert_array_equal(plane, reader.read(make_scene(VH=grey), "VH", grid))


def test_a_missing_band_or_file_is_named(tmp_path, reader):
    scene = make_scene(B03=tmp_path / "none.tif")

    with pytest.raises(ReadError, match=r"S2A_TEST.*B04"):
        reader.read(scene, "B04", make_grid())
    with pytest.raises(ReadError, match=r"S2A_TEST.*B03.*no such file"):
        reader.read(scene, "B03", make_grid())


def test_truncated_foreign_and_mistyped_files_are_read_errors(tmp_path, reader):
    good = write(tmp_path / "good.tif", values(gaps=0)).read_bytes()
    (tmp_path / "cut.tif").write_bytes(good[: len(good) // 2])
    (tmp_path / "page.tif").write_text("<html>not found</html>")
    write(tmp_path / "float.tif", values().astype(np.float32))
    write(tmp_path / "nowhere.tif", values(), crs=None)

    for name in ("cut", "page", "float", "nowhere"):
        with pytest.raises(ReadError, match=r"S2A_TEST.*B02"):
            reader.read(make_scene(B02=tmp_path / f"{name}.tif"), "B02", make_grid(row=80))


@pytest.fixture
def server(socket_enabled, tmp_path, monkeypatch):
    """Serves the test's folder; nobody pauses after failures."""
    monkeypatch.setattr(Fetcher, "rest", lambda *_: None)
    monkeypatch.setattr(fetch, "_MAX_PAUSE_S", 0.0)
    with FileServer(tmp_path).running() as server:
        yield server


class Signer:
    """Signs with another token when asked to; records how it was called."""

    def __init__(self):
        self.asked = []

    def __call__(self, href, *, anew=False):
        self.asked.append(anew)
        return f"{href}?st=1&sig=SECRET{sum(self.asked)}"


FAULTS = {
    "refused": Fault("", status=403, times=math.inf),
    "gone": Fault("", status=404, times=math.inf),
    "cut": Fault("", "truncated", times=math.inf),
    "a page": Fault("", "html", times=math.inf),
    "other bytes": Fault("", "garbage", times=math.inf),
    "other bytes of tiles": Fault("", "garbage", times=math.inf, after=1),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_no_message_carries_a_token_or_an_address(tmp_path, server, fault):
    write(tmp_path / "a.tif", values())
    server.behave(replace(fault))

    with Reader(sign=Signer(), retries=1) as reader, pytest.raises(ReadError) as caught:
        reader.read(make_scene(B02=f"{server.url}/a.tif"), "B02", make_grid())

    assert str(caught.value).startswith("Scene S2A_TEST: B02 could not be read: ")
    for secret in ("SECRET", "sig", "://", "127.0.0.1", str(server.server_port), "a.tif"):
        assert secret not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("fault", [Fault("", "reset"), Fault("", status=503)], ids=["reset", "503"])
@pytest.mark.parametrize("after", [0, 1], ids=["header", "tiles"])
def test_a_server_that_is_down_is_a_provider_error_not_a_read_error(tmp_path, server, fault, after):
    write(tmp_path / "a.tif", values())
    server.behave(replace(fault, after=after, times=math.inf))
    request = make_scene(B02=f"{server.url}/a.tif"), "B02"

    with Reader(sign=Signer(), patience=0) as reader, pytest.raises(ProviderError) as caught:
        list(reader.planes([request] * 3, make_grid()))

    assert str(caught.value).startswith(f"127.0.0.1:{server.server_port} has served nothing")
    for secret in ("SECRET", "sig", "://", "a.tif"):
        assert secret not in str(caught.value)


def test_an_expired_token_is_renewed_in_the_middle_of_a_file(tmp_path, server):
    write(tmp_path / "a.tif", values())
    server.uses = 1
    sign = Signer()

    with Reader(sign=sign, retries=1) as reader:
        for row in (0, 60):
            plane = reader.read(
                make_scene(B02=f"{server.url}/a.tif"), "B02", make_grid(row=row, shape=(60, 80))
            )
            np.testing.assert_array_equal(plane, values()[row : row + 60, :80])

    assert server.count(206) == 3
    assert sign.asked.count(True) == server.count(403) == 2


@pytest.mark.parametrize("after", [0, 1], ids=["header", "tiles"])
@pytest.mark.parametrize("kind", ["garbage", "truncated", "reset", "html"])
def test_bad_responses_are_requested_again(tmp_path, server, kind, after):
    write(tmp_path / "a.tif", values())
    server.behave(Fault("", kind, times=2, after=after))

    with Reader(retries=2) as reader:
        plane = reader.read(make_scene(B02=f"{server.url}/a.tif"), "B02", make_grid())

    np.testing.assert_array_equal(plane, values()[:60, :80])
    assert server.faults[0].hits == 2


def test_tiles_that_stay_broken_are_named_after_the_retries(tmp_path, server):
    path = write(tmp_path / "a.tif", values())
    body = path.read_bytes()
    path.write_bytes(body[:2048] + bytes(byte ^ 0xA5 for byte in body[2048:]))

    with (
        Reader(retries=2) as reader,
        pytest.raises(ReadError, match=r"S2A_TEST: B02 could not be read: a tile cannot be infl"),
    ):
        reader.read(make_scene(B02=f"{server.url}/a.tif"), "B02", make_grid())

    assert server.count(206) == 3 * 2  # header and tiles, asked for anew each time


def test_blocks_of_a_file_are_read_with_one_header_and_a_request_each(tmp_path, server):
    pixels = values((400, 400))
    write(tmp_path / "a.tif", pixels)
    scene = make_scene(B02=f"{server.url}/a.tif")

    with Reader() as reader:
        for row in (0, 128, 256):
            plane = reader.read(scene, "B02", make_grid(row=row, shape=(128, 400)))
            np.testing.assert_array_equal(plane, pixels[row : row + 128])

    assert server.requests == [("/a.tif", 206)] * (1 + 3)


def test_a_server_in_a_private_network_is_not_read_from_unless_allowed(tmp_path, server):
    write(tmp_path / "a.tif", values())

    with (
        Reader(private=False, retries=0) as reader,
        pytest.raises(ReadError, match="private network"),
    ):
        reader.read(make_scene(B02=f"{server.url}/a.tif"), "B02", make_grid())

    assert server.requests == []


def test_an_asset_that_cannot_be_signed_ends_everything(server):
    def sign(href, *, anew=False):
        raise ProviderError("Set PC_SDK_SUBSCRIPTION_KEY.")

    scene = make_scene(B02=f"{server.url}/a.tif")
    with Reader(sign=sign) as reader:
        with pytest.raises(ProviderError, match="PC_SDK") as caught:
            reader.read(scene, "B02", make_grid())
        with pytest.raises(ProviderError, match="PC_SDK"):
            list(reader.planes([(scene, "B02")], make_grid()))

    assert not isinstance(caught.value, ReadError)


def test_a_closed_reader_reads_nothing(tmp_path):
    reader = Reader()
    reader.close()

    with pytest.raises(ReadError, match="the reader was closed"):
        reader.read(make_scene(B02=write(tmp_path / "a.tif", values())), "B02", make_grid())


def test_a_jpeg_2000_file_is_read_as_a_tiff_of_the_same_pixels(tmp_path, reader):
    plain, path = write(tmp_path / "a.tif", values()), tmp_path / "a.jp2"
    rasterio.shutil.copy(plain, path, driver="JP2OpenJPEG", REVERSIBLE="YES", QUALITY=100)

    for grid in (make_grid(row=-3, col=40), make_grid(size=13.0)):
        plane = reader.read(make_scene(B02=path), "B02", grid)

        assert plane.any()
        np.testing.assert_array_equal(plane, reader.read(make_scene(B02=plain), "B02", grid))


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_planes_come_in_order_and_failures_in_their_place(tmp_path, workers):
    paths = [write(tmp_path / f"{n}.tif", values() + np.uint16(n)) for n in range(6)]
    scenes = [make_scene(B02=path) for path in [*paths[:3], tmp_path / "none.tif", *paths[3:]]]

    with Reader(workers=workers) as reader:
        planes = list(reader.planes([(scene, "B02") for scene in scenes], make_grid()))

    failed = planes.pop(3)
    assert isinstance(failed, ReadError)
    assert [plane[59, 79] for plane in planes] == [values()[59, 79] + n for n in range(6)]


@pytest.mark.parametrize("offset", [0, 1000])
def test_planes_of_20_m_double_to_what_read_returns_of_either_provider(tmp_path, reader, offset):
    """The first provider's file is lost; DN of its scene have an offset of 1000."""
    pixels = values((70, 60)) + np.uint16(1000)
    pixels[values((70, 60)) == 0] = 0
    path = write(tmp_path / "a.tif", pixels, size=20.0)
    second = replace(make_scene(B05=path), offset=offset)
    lost = replace(make_scene(B05=tmp_path / "none.tif"), offset=1000, twin=second)
    grid = make_grid(row=1, col=3)

    own, other = reader.planes([(second, "B05"), (lost, "B05")], grid)

    raw = reader.read(second, "B05", grid)
    np.testing.assert_array_equal(pixels_of(own), raw)
    moved = np.where(raw == 0, 0, np.maximum(raw.astype(int) - offset, 1) + 1000)
    np.testing.assert_array_equal(pixels_of(other), moved)


def test_few_planes_are_in_flight_and_closing_drops_the_rest(monkeypatch):
    asked = []
    lock = threading.Lock()

    def read(self, scene, band, grid):
        with lock:
            asked.append(band)
        return np.zeros(1)

    monkeypatch.setattr(Reader, "_read", read)
    with Reader(workers=3) as reader:
        planes = reader.planes([(make_scene(), str(n)) for n in range(100)], make_grid())
        for taken in range(1, 11):
            next(planes)
            assert len(asked) <= taken + 3
        planes.close()

    assert len(asked) <= 13


@pytest.mark.parametrize(
    ("name", "zone"),
    [("S2_denmark_20171030", 32632), ("S2_20200604T054639_20200604T054831_T43RCP", 32643)],
    ids=["denmark, off the grid", "Punjab, geographic"],
)
def test_real_scenes_off_the_grid_equal_gdals_warp(shared_data, reader, name, zone):
    items = json.loads((shared_data / "archive" / "items.json").read_text())["features"]
    item = next(item for item in items if item["id"] == name)
    scene = Scene.from_item(item, ITEM_COLLECTION)
    assets = {
        band: str((shared_data / "archive" / href).resolve()) for band, href in scene.assets.items()
    }
    scene = replace(scene, assets=assets)
    with rasterio.open(assets["B05"]) as source:
        left, _, _, top = rasterio.warp.transform_bounds(source.crs, zone, *source.bounds)
    corner = (left // 20 * 20 - 40, top // 20 * 20 + 40)
    grid = make_grid(crs=f"EPSG:{zone}", corner=corner, shape=(280, 280))

    for band in ("B02", "B05"):
        plane = reader.read(scene, band, grid)

        assert (plane > 0).mean() > 0.6
        assert_warped(plane, warp(Path(assets[band]), grid))


def test_a_vrt_is_not_followed_out_of_the_catalogue(tmp_path, reader):
    secret = write(tmp_path / "secret.tif", values())
    disguised = tmp_path / "catalogue" / "B02.tif"
    disguised.parent.mkdir()
    with rasterio.open(secret) as source:
        rasterio.shutil.copy(source, disguised, driver="VRT")

    with pytest.raises(ReadError, match="B02"):
        reader.read(make_scene(B02=disguised), "B02", make_grid())
