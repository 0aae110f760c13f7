import hashlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rio_cogeo.cogeo import cog_info, cog_validate

from lulcmap.errors import OutputError
from lulcmap.geo.grid import geobox
from lulcmap.geo.tiling import Box
from lulcmap.legend import CLASSES
from lulcmap.output import cog as module
from lulcmap.output import cog_tiles
from lulcmap.output.cog import LAYER_TAG, LayerBand, plan_of, write_cog, write_layer_cog
from lulcmap.system.disk import RESERVE_BYTES
from tests.support.disk import disk_with, full_disk

TAGS = {"LULCMAP_PLAN": "ab12", "LULCMAP_MODEL": "tiny", "TIFFTAG_SOFTWARE": "lulcmap é <1>"}
BOX = Box(-500_000, 40_000, 1100, 1500)


def land(shape: tuple[int, int] = BOX.shape) -> np.ndarray:
    """Fields of 7 pixels with single odd pixels, empty in the west and south."""
    random = np.random.default_rng(0)
    fields = random.integers(0, 9, (shape[0] // 7 + 1, shape[1] // 7 + 1), np.uint8)
    values = fields.repeat(7, 0).repeat(7, 1)[: shape[0], : shape[1]]
    odd = random.random(shape) < 0.1
    values[odd] = random.integers(0, 9, odd.sum(), np.uint8)
    values[:, : shape[1] // 2] = 255
    values[shape[0] - 77 :] = 255
    return values


def source(folder: Path, values: np.ndarray) -> Path:
    path = folder / "mosaic.tif"
    height, width = values.shape
    grid = geobox(Box(BOX.row, BOX.col, height, width), 32632)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=1,
        dtype="uint8",
        nodata=255,
        height=height,
        width=width,
        crs="EPSG:32632",
        transform=grid.affine,
        tiled=True,
        sparse_ok=True,
    ) as dataset:
        dataset.write(values, 1)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def cog(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cog")
    out = folder / "out" / "my [map] é.tif"
    out.parent.mkdir()
    write_cog(source(folder, land()), out, tags=TAGS)
    return out


def test_the_map_is_a_strictly_valid_cog_and_alone(cog):
    assert cog_validate(cog, strict=True, quiet=True) == (True, [], [])
    assert names(cog.parent) == [cog.name]


def test_the_map_carries_its_metadata_in_one_file(cog):
    with rasterio.open(cog) as dataset:
        assert (dataset.crs.to_epsg(), dataset.nodata, dataset.dtypes) == (32632, 255, ("uint8",))
        assert dataset.transform == geobox(BOX, 32632).affine
        assert dataset.profile["compress"] == "deflate"
        assert dataset.block_shapes == [(512, 512)]
        assert dataset.descriptions == ("land cover",)
        assert {key: dataset.tags()[key] for key in TAGS} == TAGS
        for cover in CLASSES:
            assert dataset.tags(1)[f"CLASS_{cover.id}"] == cover.name
            assert dataset.colormap(1)[cover.id] == (*cover.rgb, 255)
        assert dataset.colormap(1)[255][3] == 0
        np.testing.assert_array_equal(dataset.read(1), land())


@pytest.mark.parametrize(
    "text", ["one\rtwo\r\nthree", "\ufffe", "<a> & 'b' \"c\"", "</VRTRasterBand>"]
)
def test_a_tag_holds_any_text(tmp_path, text):
    out = tmp_path / "map.tif"

    write_cog(source(tmp_path, land((600, 30))), out, tags={"LICENSE": text})

    with rasterio.open(out) as dataset:
        assert dataset.tags()["LICENSE"] == text
        assert dataset.overviews(1) == [2]


def test_overviews_take_a_most_frequent_class_of_each_cell(cog):
    with rasterio.open(cog, overview_level=0) as overview:
        halved = overview.read(1)

    assert [level.Decimation for level in cog_info(cog).IFD] == [0, 2, 4]
    cells = np.stack([land()[row::2, col::2] for row in (0, 1) for col in (0, 1)])
    counts = np.stack([(cells == value).sum(0) for value in range(9)])
    empty = (cells == 255).all(0)
    np.testing.assert_array_equal(halved == 255, empty)
    chosen = np.take_along_axis(counts, halved[None].clip(0, 8).astype(int), axis=0)[0]
    np.testing.assert_array_equal(chosen[~empty], counts.max(0)[~empty])


def test_the_same_map_has_the_same_bytes(tmp_path, cog):
    (tmp_path / "elsewhere").mkdir()
    again = tmp_path / "elsewhere" / "other.tif"

    write_cog(source(tmp_path, land()), again, tags=dict(reversed(TAGS.items())))

    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (cog, again)}
    assert len(digests) == 1


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_does_not_change_the_bytes(tmp_path, cog, threads, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(threads))

    write_cog(source(tmp_path, land()), tmp_path / "map.tif", tags=TAGS)

    assert (tmp_path / "map.tif").read_bytes() == cog.read_bytes()


def test_strips_on_disk_make_the_same_map(tmp_path, cog, monkeypatch):
    monkeypatch.setattr("lulcmap.output.overviews._STRIP_BYTES", 1000)

    write_cog(source(tmp_path, land()), tmp_path / "map.tif", tags=TAGS)

    assert (tmp_path / "map.tif").read_bytes() == cog.read_bytes()
    assert names(tmp_path) == ["map.tif", "mosaic.tif"]


@pytest.mark.parametrize("shape", [(1, 1), (40, 600), (512, 512), (513, 3)])
def test_a_map_of_any_size_is_valid(tmp_path, shape):
    out = tmp_path / "map.tif"

    write_cog(source(tmp_path, land(shape)), out, tags=TAGS)

    assert cog_validate(out, strict=True, quiet=True)[0]


def test_a_map_of_one_long_column_is_written(tmp_path):
    out, values = tmp_path / "map.tif", np.full((1300, 1), 3, np.uint8)

    write_cog(source(tmp_path, values), out, tags=TAGS)

    with rasterio.open(out) as dataset, rasterio.open(out, overview_level=1) as smallest:
        np.testing.assert_array_equal(dataset.read(1), values)
        assert smallest.shape == (325, 1)


def test_an_empty_country_takes_no_room(tmp_path):
    out = tmp_path / "map.tif"

    write_cog(source(tmp_path, np.full((6000, 6000), 255, np.uint8)), out, tags=TAGS)

    assert out.stat().st_size < 12_000


def test_the_plan_of_a_map_is_read_back(tmp_path, cog):
    (tmp_path / "text.tif").write_text("?")
    other = source(tmp_path, land((8, 8)))

    assert plan_of(cog) == "ab12"
    assert plan_of(other) is None
    assert plan_of(tmp_path / "text.tif") is None
    assert plan_of(tmp_path / "nothing.tif") is None


def test_an_existing_map_is_replaced_and_leftovers_are_removed(tmp_path, cog):
    out = tmp_path / "map.tif"
    out.write_text("old")
    (tmp_path / ".map.0a1b2c3d.part.tif.ovr.tmp").write_text("killed")

    write_cog(source(tmp_path, land()), out, tags=TAGS)

    assert out.read_bytes() == cog.read_bytes()
    assert names(tmp_path) == ["map.tif", "mosaic.tif"]


@pytest.mark.parametrize("lacking", [1000, 50_000, 10_000_000])
def test_a_full_disk_leaves_the_folder_as_it_was(tmp_path, cog, lacking):
    mosaic = source(tmp_path, land())
    out = tmp_path / "out" / "map.tif"
    out.parent.mkdir()
    out.write_text("old")

    with (
        full_disk(after=max(cog.stat().st_size - lacking, 0)),
        pytest.raises(OutputError, match="disk is not full") as refused,
    ):
        write_cog(mosaic, out, tags=TAGS)

    assert "\n" not in str(refused.value)
    assert (names(out.parent), out.read_text()) == (["map.tif"], "old")


def test_a_missing_folder_is_a_one_line_error(tmp_path):
    with pytest.raises(OutputError, match="cannot be reached"):
        write_cog(source(tmp_path, land((8, 8))), tmp_path / "no" / "map.tif", tags=TAGS)


def test_a_map_without_room_is_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr("rasterio.shutil.copy", None)
    mosaic = source(tmp_path, land())
    needed = module.cog_bytes(mosaic.stat().st_size) + RESERVE_BYTES

    with disk_with(needed - 1), pytest.raises(OutputError, match=r"has \d+ MB free.*the map") as no:
        write_cog(mosaic, tmp_path / "map.tif", tags=TAGS)

    assert "\n" not in str(no.value)
    assert names(tmp_path) == ["mosaic.tif"]


def test_a_disk_that_fills_up_meanwhile_ends_the_map(tmp_path):
    out = tmp_path / "out" / "map.tif"
    out.parent.mkdir()
    out.write_text("old")

    with disk_with(10**12, 10**12, RESERVE_BYTES - 1), pytest.raises(OutputError, match="the map"):
        write_cog(source(tmp_path, land((2000, 2000))), out, tags=TAGS)

    assert (names(out.parent), out.read_text()) == (["map.tif"], "old")


def test_an_interrupt_is_heard_while_the_map_is_written(tmp_path, monkeypatch):
    def look(_, needed, __):
        if not needed:
            raise KeyboardInterrupt

    monkeypatch.setattr("lulcmap.output.cog_tiles.check_disk", look)

    with pytest.raises(KeyboardInterrupt):
        write_cog(source(tmp_path, land((2000, 2000))), tmp_path / "map.tif", tags=TAGS)

    assert names(tmp_path) == ["mosaic.tif"]


def test_a_map_that_lost_pixels_does_not_get_its_name(tmp_path, monkeypatch):
    mosaic, write = source(tmp_path, land()), module.write_tiles

    def lossy(raster, header, part, threads, **options):
        sha256 = write(raster, header, part, threads, **options)
        with part.open("rb+") as file:
            file.seek(-1000, 2)
            file.write(b"?")
        return sha256

    monkeypatch.setattr(module, "write_tiles", lossy)

    with pytest.raises(OutputError, match="pixels did not arrive"):
        write_cog(mosaic, tmp_path / "map.tif", tags=TAGS)

    assert names(tmp_path) == ["mosaic.tif"]


def test_a_tile_that_changes_while_it_waits_is_found(tmp_path, monkeypatch):
    def spoiled(self, out):
        self._file.seek(100)
        self._file.write(b"??")
        return write(self, out)

    mosaic, write = source(tmp_path, land()), cog_tiles._Spool.write
    monkeypatch.setattr(cog_tiles._Spool, "write", spoiled)

    with pytest.raises(OutputError, match="pixels did not arrive"):
        write_cog(mosaic, tmp_path / "map.tif", tags=TAGS)

    assert names(tmp_path) == ["mosaic.tif"]


def by_gdal(mosaic: Path, out: Path, dress, **options) -> Path:
    """The COG that GDAL's own driver writes of a file and its tags."""
    virtual = out.with_suffix(".vrt")
    rasterio.shutil.copy(mosaic, virtual, driver="VRT")
    with rasterio.open(virtual, "r+") as dataset:
        dress(dataset)
    rasterio.shutil.copy(virtual, out, **{**module._COG_OPTIONS, **options})
    return out


@pytest.mark.parametrize(
    "shape", [(1100, 1500), (1, 1), (40, 600), (513, 3), (3, 2100), (2047, 1031), (1025, 2561)]
)
@pytest.mark.parametrize("big", ["IF_SAFER", "YES"])
def test_a_map_has_the_bytes_of_gdals_driver(tmp_path, shape, big, monkeypatch):
    mosaic = source(tmp_path, land(shape))
    monkeypatch.setitem(module._COG_OPTIONS, "BIGTIFF", big)

    def dress(dataset):
        dataset.update_tags(**{LAYER_TAG: "x"})
        dataset.descriptions, dataset.units = ("a",), ("",)
        dataset.scales, dataset.offsets = (1,), (0,)

    write_layer_cog(
        mosaic,
        tmp_path / "map.tif",
        layer="x",
        bands=[LayerBand("a")],
        tags={},
        overviews="MODE",
    )

    oracle = by_gdal(mosaic, tmp_path / "gdal.tif", dress, OVERVIEW_RESAMPLING="MODE")
    assert (tmp_path / "map.tif").read_bytes() == oracle.read_bytes()


@pytest.mark.parametrize(
    ("dtype", "nodata", "overviews"), [("uint8", 255, "NEAREST"), ("uint16", 0, "AVERAGE")]
)
def test_a_layer_has_the_pixels_of_gdals_driver(tmp_path, dtype, nodata, overviews):
    random, shape = np.random.default_rng(3), (3, 1031, 2050)
    values = random.integers(0, 200, shape).astype(dtype)
    values[:, random.random(shape[1:]) < 0.2] = nodata
    values[:, :600, :1024] = nodata
    mosaic, out = tmp_path / "mosaic.tif", tmp_path / "layer.tif"
    place = {"crs": "EPSG:32632", "transform": geobox(BOX, 32632).affine, "nodata": nodata}
    layout = {"count": 3, "dtype": dtype, "height": shape[1], "width": shape[2]}
    with rasterio.open(mosaic, "w", driver="GTiff", **place, **layout) as dataset:
        dataset.write(values)
    bands = [LayerBand(name, "m", 0.5, 3.0) for name in "abc"]

    write_layer_cog(mosaic, out, layer="x", bands=bands, tags={}, overviews=overviews)

    oracle = by_gdal(mosaic, tmp_path / "gdal.tif", lambda _: None, OVERVIEW_RESAMPLING=overviews)
    for level in (None, 0, 1):
        which = {} if level is None else {"overview_level": level}
        with rasterio.open(out, **which) as ours, rasterio.open(oracle, **which) as theirs:
            found, wanted = ours.read().astype(int), theirs.read().astype(int)
        differs = found != wanted
        assert np.abs(found - wanted).max() <= 1
        assert not differs.any() if overviews == "NEAREST" else differs.mean() < 1e-3
