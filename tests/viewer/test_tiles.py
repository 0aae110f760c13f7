"""Tiles against each pixel found by itself, and against the overviews."""

import math
import zlib
from io import BytesIO

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from pyproj import Transformer
from rasterio.enums import ColorInterp

from lulcmap.errors import UsageError
from lulcmap.output.cog import PLAN_TAG
from lulcmap.viewer.embedded import pyramid
from lulcmap.viewer.maps import open_maps, open_pictures
from lulcmap.viewer.rasters import Raster
from lulcmap.viewer.tiles import check_tile, class_tile, packed, picture_tile
from tests.products.maps import GRID, write_map
from tests.viewer.maps import patches, write_layers, write_whole

SIDE_M = 2 * math.pi * 6_378_137


def tiles_of(bounds, zoom):
    """Tiles of a zoom that touch an extent in degrees."""
    to_metres = Transformer.from_crs(4326, 3857, always_xy=True)
    (left, right), (foot, top) = to_metres.transform(bounds[::2], bounds[1::2])
    size = SIDE_M / 2**zoom
    for y in range(int((SIDE_M / 2 - top) // size), int((SIDE_M / 2 - foot) // size) + 1):
        for x in range(int((left + SIDE_M / 2) // size), int((right + SIDE_M / 2) // size) + 1):
            yield zoom, x, y


def pixels_of(tile, dataset, factor=1):
    """Fractional rows and columns, in pixels ``factor`` times coarser, of a tile's centres."""
    zoom, x, y = tile
    size = SIDE_M / 2**zoom / 256
    xs = -SIDE_M / 2 + (256 * x + np.arange(256) + 0.5) * size
    ys = SIDE_M / 2 - (256 * y + np.arange(256) + 0.5) * size
    places = Transformer.from_crs(3857, dataset.crs, always_xy=True).transform(*np.meshgrid(xs, ys))
    cols, rows = ~dataset.transform * places
    return rows / factor, cols / factor


def expected(values, rows, cols):
    inside = (rows >= 0) & (rows < values.shape[0]) & (cols >= 0) & (cols < values.shape[1])
    out = np.full(rows.shape, 255, np.uint8)
    out[inside] = values[np.floor(rows[inside]).astype(int), np.floor(cols[inside]).astype(int)]
    return out


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:3035", "EPSG:3857"])
def test_each_pixel_of_a_tile_is_that_of_the_map_at_its_centre(tmp_path, crs):
    rng = np.random.default_rng(1)
    values = rng.integers(0, 9, (300, 400), np.uint8)
    path = write_map(tmp_path / "m.tif", values, crs=crs)
    (one,) = open_maps([path])
    zoom = one.parts[0].max_zoom

    with rasterio.open(path) as dataset:
        for tile in tiles_of(one.bounds, zoom):
            rows, cols = pixels_of(tile, dataset)
            near_edge = (np.abs(rows - rows.round()) < 0.02) | (np.abs(cols - cols.round()) < 0.02)
            same = class_tile(one.parts[0].raster, tile) == expected(values, rows, cols)
            assert (same | near_edge).all()


FIJI = Transformer.from_crs(4326, 32760, always_xy=True).transform(180, -17)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32760", Affine(10, 0, round(FIJI[0]) - 3000, 0, -10, round(FIJI[1]))),
        ("EPSG:4326", Affine(1e-4, 0, 179.97, 0, -1e-4, -17)),
        ("EPSG:4326", Affine(1e-4, 0, -180.03, 0, -1e-4, -17)),
    ],
)
def test_a_map_across_180_degrees_is_shown_to_its_pixels_on_both_sides(tmp_path, crs, transform):
    values = np.random.default_rng(1).integers(0, 9, (200, 600), np.uint8)
    path = write_map(tmp_path / "m.tif", values, crs=crs, transform=transform)
    (one,) = open_maps([path])
    zoom = one.parts[0].max_zoom

    assert zoom == 14
    tiles = list(pyramid(one.bounds, range(zoom, zoom + 1)))
    assert {x for _, x, _ in tiles} >= {0, 2**zoom - 1}
    with rasterio.open(path) as dataset:
        for tile in tiles:
            rows, cols = pixels_of(tile, dataset)
            if crs == "EPSG:4326":
                cols %= 3_600_000
            wanted = expected(values, rows, cols)
            assert (wanted != 255).any()
            assert (class_tile(one.parts[0].raster, tile) == wanted).mean() > 0.995


@pytest.mark.parametrize(
    ("crs", "transform", "zoom"),
    [
        ("EPSG:4326", Affine(1, 0, -180, 0, -1, 90), 1),
        ("EPSG:4326", Affine(1, 0, 0, 0, -1, 90), 1),
        ("EPSG:3857", Affine(10, 0, 20_037_000, 0, -10, 500_000), 14),
        ("EPSG:3413", Affine(10_000, 0, -1_800_000, 0, -10_000, 900_000), 2),
    ],
)
def test_the_finest_zoom_is_that_of_a_pixel_wherever_the_map_lies(tmp_path, crs, transform, zoom):
    path = write_map(
        tmp_path / "m.tif", np.ones((180, 360), np.uint8), crs=crs, transform=transform
    )

    (one,) = open_maps([path])

    assert one.parts[0].max_zoom == zoom


def test_a_far_view_reads_the_overview_that_is_as_fine(tmp_path):
    path = write_whole(tmp_path / "m.tif", patches((2048, 2048), side=64))
    (one,) = open_maps([path])

    with rasterio.open(path) as dataset:
        factors = dataset.overviews(1)
        overviews = {
            factor: rasterio.open(path, overview_level=level).read(1)
            for level, factor in enumerate(factors)
        }
        for zoom, factor in ((one.parts[0].max_zoom - 1, 2), (one.parts[0].max_zoom - 2, 4)):
            for tile in tiles_of(one.bounds, zoom):
                found = class_tile(one.parts[0].raster, tile)
                wanted = [
                    expected(overviews[one], *pixels_of(tile, dataset, one))
                    for one in factors
                    if factor / 2 <= one <= factor
                ]
                assert max((found == each).mean() for each in wanted) > 0.97


def test_every_pixel_has_its_place_at_the_finest_zoom(tmp_path):
    values = (np.arange(300 * 200) % 251).astype(np.uint8).reshape(300, 200)
    (one,) = open_maps([write_map(tmp_path / "m.tif", values, names={0: "a"})])
    zoom = one.parts[0].max_zoom
    size = SIDE_M / 2**zoom / 256 * math.cos(math.radians(one.bounds[1]))

    assert 5 < size <= 10.8


def test_outside_and_nodata_are_255(tmp_path):
    values = np.full((64, 64), 3, np.uint8)
    values[:, 32:] = 0
    (one,) = open_maps([write_map(tmp_path / "m.tif", values, nodata=0)])

    assert (class_tile(one.parts[0].raster, (5, 0, 0)) == 255).all()
    found = np.concatenate(
        [
            class_tile(one.parts[0].raster, tile).ravel()
            for tile in tiles_of(one.bounds, one.parts[0].max_zoom)
        ]
    )
    assert set(found.tolist()) == {3, 255}


def test_packed_tiles_are_their_bytes(tmp_path):
    values = np.arange(65536).astype(np.uint8).reshape(256, 256)

    assert zlib.decompress(packed(values)) == values.tobytes()


@pytest.mark.parametrize("tile", [(-1, 0, 0), (25, 0, 0), (3, 8, 0), (3, 0, 8), (3, 0, -1)])
def test_tiles_that_do_not_exist_are_refused(tile):
    with pytest.raises(UsageError, match="no tile"):
        check_tile(*tile)


def test_a_composite_is_shown_in_two_mixes_of_one_stretch(tmp_path):
    path = write_whole(tmp_path / "m.tif", patches((300, 300)))
    write_layers(path, (300, 300))
    pictures = open_pictures(open_maps([path]), [])

    assert [one.label for one in pictures] == ["m, true colour", "m, false colour"]
    assert [one.bands for one in pictures] == [(1, 2, 3), (4, 1, 2)]
    true = pictures[0]
    zoom = true.max_zoom
    for tile in tiles_of(true.bounds, zoom):
        drawn = picture_tile(true.raster, tile, true.bands, true.stretch)
        if drawn is None:
            continue
        image = np.asarray(Image.open(BytesIO(drawn)))
        assert image.shape == (256, 256, 4)
        shown = image[image[..., 3] == 255]
        assert (shown[:, 0].astype(int) >= shown[:, 1]).all()  # red is the brightest everywhere
        assert (shown[:, 1].astype(int) >= shown[:, 2]).all()
    assert picture_tile(true.raster, (3, 0, 0), true.bands, true.stretch) is None


@pytest.mark.parametrize(("dtype", "count"), [("uint8", 3), ("uint16", 4), ("float32", 4)])
def test_white_and_255_of_a_picture_without_nodata_are_shown(tmp_path, dtype, count):
    path = tmp_path / "p.tif"
    profile = {"driver": "GTiff", "dtype": dtype, "count": count, "crs": "EPSG:32632"}
    with rasterio.open(path, "w", height=256, width=256, transform=GRID, **profile) as file:
        file.write(np.full((count, 256, 256), 255, dtype))
        if count == 3:
            file.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        else:
            file.colorinterp = (ColorInterp.gray, *[ColorInterp.undefined] * 3)
            for band, name in enumerate(("B04", "B03", "B02", "B08"), 1):
                file.set_band_description(band, name)
    one = open_pictures([], [path])[0]

    with rasterio.open(path) as dataset:
        for tile in tiles_of(one.bounds, one.max_zoom):
            rows, cols = pixels_of(tile, dataset)
            inside = (rows > 0) & (rows < 256) & (cols > 0) & (cols < 256)
            drawn = picture_tile(one.raster, tile, one.bands, one.stretch)
            image = np.asarray(Image.open(BytesIO(drawn)))
            assert ((image[..., 3] == 255) == inside).mean() > 0.995


def test_a_picture_without_bands_to_show_is_refused(tmp_path):
    path = write_map(tmp_path / "m.tif", np.ones((20, 20), np.uint8))

    with pytest.raises(UsageError, match="no bands to show"):
        open_pictures(open_maps([path]), [path])


def test_a_file_that_vanishes_is_told(tmp_path):
    path = write_map(tmp_path / "m.tif", np.ones((20, 20), np.uint8))
    raster = Raster(path)
    path.unlink()

    with pytest.raises(UsageError, match="cannot be read"):
        class_tile(raster, (0, 0, 0))


def test_files_of_one_run_are_one_map(tmp_path):
    far = GRID * GRID.translation(5000, 0)
    paths = [
        write_whole(tmp_path / "m.tif", patches((100, 100), seed=1)),
        write_whole(tmp_path / "m-2.tif", patches((100, 100), seed=2), transform=far),
        write_whole(tmp_path / "other.tif", patches((100, 100), seed=3), plan="b"),
    ]

    maps = open_maps(paths)

    assert [(one.label, len(one.parts)) for one in maps] == [("m", 2), ("other", 1)]
    assert maps[0].bounds[2] > maps[1].bounds[2] + 0.5


@pytest.mark.parametrize("turned", [False, True])
def test_a_copy_of_a_map_or_a_piece_of_it_is_another_map(tmp_path, turned):
    values = patches((100, 100), seed=1)
    far = GRID * GRID.translation(5000, 0)
    paths = [
        write_whole(tmp_path / "m.tif", values),
        write_whole(tmp_path / "m-2.tif", values, transform=far),
        write_whole(tmp_path / "copy.tif", values),
        write_whole(tmp_path / "piece.tif", values[50:58, 50:58]),
    ]
    (tmp_path / "link.tif").symlink_to(paths[0])

    maps = open_maps([*(paths[::-1] if turned else paths), tmp_path / "link.tif", paths[1]])

    found = {tuple(sorted(part.raster.path.stem for part in one.parts)) for one in maps}
    if turned:
        assert found == {("m-2", "piece"), ("copy",), ("m",)}
    else:
        assert found == {("m", "m-2"), ("copy",), ("piece",)}


def test_a_value_that_few_pixels_have_is_a_class(tmp_path):
    values = np.zeros((2000, 3000), np.uint8)
    values[1, 1] = 7
    path = write_map(tmp_path / "m.tif", values, names={0: "a", 1: "b"}, tiled=True)

    (one,) = open_maps([path])

    assert {cover.id: cover.name for cover in one.legend} == {0: "a", 1: "b", 7: "class 7"}


def test_a_value_of_a_further_part_is_a_class_of_the_map(tmp_path):
    far = GRID * GRID.translation(5000, 0)
    paths = [tmp_path / "a.tif", tmp_path / "b.tif"]
    for path, value, grid in zip(paths, (2, 9), (GRID, far), strict=True):
        write_map(path, np.full((20, 20), value, np.uint8), names={2: "a"}, transform=grid)
        with rasterio.open(path, "r+") as file:
            file.update_tags(**{PLAN_TAG: "a"})

    (one,) = open_maps(paths)

    assert [cover.name for cover in one.legend] == ["a", "class 9"]


def test_a_value_that_no_class_can_have_is_told(tmp_path):
    values = np.ones((20, 20), np.uint8)
    values[3, 3] = 254
    names = {1: "a", 254: "clouds", 255: "nodata", 999: "x"}

    with pytest.raises(UsageError, match="has the value 254; classes are 0 to 253"):
        open_maps([write_map(tmp_path / "m.tif", values, names=names)])
    (one,) = open_maps([write_map(tmp_path / "m.tif", values, names=names, nodata=254)])

    assert [cover.name for cover in one.legend] == ["a"]


def test_long_names_that_begin_alike_stay_apart(tmp_path):
    values = np.ones((20, 20), np.uint8)
    names = {1: "x" * 100 + " dense", 2: "x" * 100 + " open", 3: "y" * 150, 4: "z", 5: "z"}

    (one,) = open_maps([write_map(tmp_path / "m.tif", values, names=names)])

    found = [cover.name for cover in one.legend]
    assert found == ["x" * 96 + " (1)", "x" * 96 + " (2)", "y" * 100, "z", "z"]


def test_maps_of_one_name_are_told_apart(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    values = np.ones((20, 20), np.uint8)
    paths = [write_map(tmp_path / folder / "m.tif", values) for folder in "ab"]

    assert [one.label for one in open_maps(paths)] == ["m", "b/m"]


@pytest.mark.parametrize("pole", ["EPSG:3413", "EPSG:3031"])
def test_a_map_beyond_web_mercator_is_refused_in_a_line(tmp_path, pole):
    grid = Affine(1000, 0, 100_000, 0, -1000, 130_000)
    path = write_map(tmp_path / "m.tif", patches((60, 80)), crs=pole, transform=grid)

    with pytest.raises(UsageError, match=r"beyond 85\.05 degrees") as told:
        open_maps([path])

    assert "\n" not in str(told.value)
