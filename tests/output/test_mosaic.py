import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from odc.geo.geobox import GeoBox
from pyproj import Geod, Transformer
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

from lulcmap.errors import OutputError
from lulcmap.geo.grid import clip, covering_box, covering_grid, geobox, pixels_inside, project
from lulcmap.geo.tiling import Box
from lulcmap.geo.utm import ZONE_BLEND_M
from lulcmap.output import zone_reader
from lulcmap.output.cog import cog_bytes
from lulcmap.output.mosaic import LayerBlocks, mosaic_bytes
from lulcmap.output.zone_reader import ZoneBlocks
from lulcmap.system.disk import RESERVE_BYTES
from tests.support.disk import disk_with, full_disk
from tests.support.joined import write_layer, write_map

ZONE = 32632
AREA = Box(-500_100, 40_000, 1000, 2300)  # 8 degrees east, 45 north
LAND = np.random.default_rng(0).integers(0, 9, AREA.shape, np.uint8)
LAND[300:340, 1100:1200] = 255
CENTRES = np.meshgrid(
    AREA.col * 10 + 10 * np.arange(AREA.width) + 5, -AREA.row * 10 - 10 * np.arange(AREA.height) - 5
)


@pytest.fixture(scope="module")
def blocks(tmp_path_factory) -> list[tuple[Path, Box]]:
    """Six blocks that tile the area; band 2 is their complement."""
    folder, files = tmp_path_factory.mktemp("blocks"), []
    for row in range(0, AREA.height, 600):
        for col in range(0, AREA.width, 900):
            box = AREA.intersection(Box(AREA.row + row, AREA.col + col, 600, 900))
            path, values = folder / f"r{row}_c{col}.tif", LAND[box.within(AREA)]
            place = {"crs": f"EPSG:{ZONE}", "transform": geobox(box, ZONE).affine}
            layout = {"count": 2, "dtype": "uint8", "nodata": 255, "compress": "deflate"}
            with rasterio.open(
                path, "w", height=box.height, width=box.width, **place, **layout
            ) as block:
                block.write(np.stack([values, 255 - values]))
            files.append((path, box))
    return files


def diamond() -> shapely.MultiPolygon:
    """A tilted square with a hole, in the zone, well inside the area; and a far islet."""
    x, y = AREA.col * 10 + 11_500, -AREA.row * 10 - 5_000
    island = shapely.Point(x, y).buffer(4_503, quad_segs=1)
    hole = shapely.Point(x + 1_000, y).buffer(801)
    return shapely.MultiPolygon([island - hole, shapely.box(x + 9_000, y, x + 9_500, y + 502)])


def degrees() -> shapely.MultiPolygon:
    back = Transformer.from_crs(ZONE, 4326, always_xy=True)
    return shapely.transform(diamond(), lambda xy: np.column_stack(back.transform(*xy.T)))


@contextmanager
def whole(values: np.ndarray) -> Iterator[rasterio.DatasetReader]:
    """The area as one raster."""
    place = {"crs": f"EPSG:{ZONE}", "transform": geobox(AREA, ZONE).affine, "nodata": 255}
    height, width = AREA.shape
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", count=1, dtype="uint8", height=height, width=width, **place
        ) as dataset:
            dataset.write(values, 1)
        with memory.open() as dataset:
            yield dataset


def vrt_options(target: GeoBox) -> dict[str, object]:
    height, width = target.shape
    return {
        "crs": target.crs.to_wkt(),
        "transform": target.affine,
        "height": height,
        "width": width,
        "tolerance": 1e-6,  # pixels; 0 is refused
    }


def on_an_edge(target: GeoBox) -> np.ndarray:
    """Which centres lie within a millimetre of an edge between two pixels of the zone."""
    row, col = np.indices(target.shape)
    affine = target.affine
    to_zone = Transformer.from_crs(target.crs.proj, ZONE, always_xy=True)
    place = to_zone.transform(affine.c + (col + 0.5) * affine.a, affine.f + (row + 0.5) * affine.e)
    return np.any([np.abs(axis - 10 * np.round(axis / 10)) < 1e-3 for axis in place], axis=0)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def test_on_the_zones_own_grid_pixels_are_copied(tmp_path, blocks):
    out, polygon = tmp_path / "map.tif", diamond()
    inner = Box(AREA.row + 33, AREA.col - 7, AREA.height - 40, AREA.width + 100)

    counts = write_map(
        [ZoneBlocks(ZONE, polygon, blocks)], target=geobox(inner, ZONE), polygon=polygon, out=out
    )

    wanted = np.full(AREA.grown(200).shape, 255, np.uint8)
    belongs = shapely.contains_xy(polygon, *CENTRES)
    wanted[200:-200, 200:-200] = np.where(belongs, LAND, 255)
    np.testing.assert_array_equal(read(out), wanted[inner.within(AREA.grown(200))])
    assert counts.sum() == belongs[33:-7].sum()
    assert counts[255] == (LAND[33:-7][belongs[33:-7]] == 255).sum() > 0


@pytest.mark.parametrize("crs", ["EPSG:3035", "EPSG:3857", "EPSG:32633", "EPSG:4326"])
def test_on_another_grid_pixels_are_gdals_nearest(tmp_path, blocks, crs):
    out, polygon = tmp_path / "map.tif", project(degrees(), crs)
    target = covering_grid(polygon, crs)

    counts = write_map([ZoneBlocks(ZONE, polygon, blocks)], target=target, polygon=polygon, out=out)

    with whole(LAND) as land, WarpedVRT(land, **vrt_options(target)) as warped:
        oracle = warped.read(1)
    mask = pixels_inside(polygon, target)
    values = read(out)
    np.testing.assert_array_equal(values[~mask], 255)
    sure = mask & ~on_an_edge(target)  # GDAL goes another way through PROJ, 0.5 mm off
    np.testing.assert_array_equal(values[sure], oracle[sure])
    assert sure.sum() > 0.999 * mask.sum()
    assert counts.sum() == mask.sum()


def test_a_centre_without_a_place_in_the_zone_stays_empty(tmp_path, blocks):
    """Orthographic: the corners of the grid are in space."""
    polygon = shapely.MultiPolygon([shapely.box(-6_400_000, -6_400_000, 6_400_000, 6_400_000)])
    crs = "+proj=ortho +lat_0=45 +lon_0=8 +ellps=WGS84 +type=crs"
    target = GeoBox.from_bbox(polygon.bounds, crs, shape=(100, 100), tight=True)

    counts = write_map(
        [ZoneBlocks(ZONE, polygon, blocks)],
        target=target,
        polygon=polygon,
        out=tmp_path / "map.tif",
    )

    assert counts[255] >= 10_000 - 1


def test_few_open_files_give_the_same_map(tmp_path, blocks, monkeypatch):
    target = geobox(AREA, ZONE)
    write_map(
        [ZoneBlocks(ZONE, diamond(), blocks)],
        target=target,
        polygon=diamond(),
        out=tmp_path / "many.tif",
    )
    monkeypatch.setattr(zone_reader, "_MAX_OPEN_FILES", 1)

    write_map(
        [ZoneBlocks(ZONE, diamond(), blocks)],
        target=target,
        polygon=diamond(),
        out=tmp_path / "few.tif",
    )

    assert (tmp_path / "few.tif").read_bytes() == (tmp_path / "many.tif").read_bytes()


def test_land_without_blocks_is_empty_and_takes_no_room(tmp_path):
    """20 000 x 20 000 pixels; a table of 1600 tiles is all there is."""
    box = Box(-520_000, 30_000, 20_000, 20_000)
    out, done = tmp_path / "map.tif", []

    counts = write_map(
        [ZoneBlocks(ZONE, diamond(), [])],
        target=geobox(box, ZONE),
        polygon=diamond(),
        out=out,
        progress=lambda *rows: done.append(rows),
    )

    assert out.stat().st_size < 40_000
    assert counts[255] == counts.sum() > 0
    assert done == [(min(row + 512, 20_000), 20_000) for row in range(0, 20_000, 512)]


def test_a_polygon_that_only_touches_a_grid_has_no_pixel_there():
    grid = geobox(Box(0, 1000, 100, 100), ZONE)
    beside = shapely.MultiPolygon([shapely.box(0, -10_000, 10_000, 0)])

    assert not pixels_inside(beside, grid).any()


def test_a_clipped_polygon_has_the_same_pixels():
    grid = geobox(Box(AREA.row + 300, AREA.col + 800, 512, 900), ZONE)

    near = clip(diamond(), grid)

    assert near.area < diamond().area
    np.testing.assert_array_equal(pixels_inside(near, grid), pixels_inside(diamond(), grid))


def test_a_broken_block_is_named_and_leaves_no_map(tmp_path, blocks):
    broken = tmp_path / "broken.tif"
    broken.write_bytes(blocks[0][0].read_bytes()[:-100_000])
    out, target = tmp_path / "map.tif", geobox(AREA, ZONE)

    with pytest.raises(OutputError, match=r"broken\.tif"):
        write_map(
            [ZoneBlocks(ZONE, diamond(), [(broken, blocks[0][1])])],
            target=target,
            polygon=diamond(),
            out=out,
        )

    assert not out.exists()


@pytest.mark.parametrize("lacking", [1, 1000, 10_000_000])
def test_a_full_disk_leaves_the_map_of_before(tmp_path, blocks, lacking):
    out, target = tmp_path / "map.tif", geobox(AREA, ZONE)
    write_map([ZoneBlocks(ZONE, diamond(), blocks)], target=target, polygon=diamond(), out=out)
    old = out.read_bytes()
    room = max(len(old) - lacking, 0)

    with full_disk(after=room), pytest.raises(OutputError, match="disk is not full"):
        write_map([ZoneBlocks(ZONE, diamond(), blocks)], target=target, polygon=diamond(), out=out)

    assert out.read_bytes() == old
    assert [path.name for path in tmp_path.iterdir()] == ["map.tif"]


def test_a_mosaic_without_room_is_not_begun(tmp_path, blocks):
    out, target = tmp_path / "map.tif", geobox(AREA, ZONE)
    out.write_text("old")
    needed = cog_bytes(mosaic_bytes(diamond(), target)) + RESERVE_BYTES

    with disk_with(needed - 1), pytest.raises(OutputError, match="the map needs"):
        write_map([ZoneBlocks(ZONE, diamond(), blocks)], target=target, polygon=diamond(), out=out)

    assert out.read_text() == "old"


def test_a_disk_that_fills_up_meanwhile_leaves_no_map(tmp_path, blocks):
    out, target, done = tmp_path / "map.tif", geobox(AREA, ZONE), []

    with (
        disk_with(10**12, 10**12, RESERVE_BYTES - 1),
        pytest.raises(OutputError, match="Free some space") as refused,
    ):
        write_map(
            [ZoneBlocks(ZONE, diamond(), blocks)],
            target=target,
            polygon=diamond(),
            out=out,
            progress=lambda row, _: done.append(row),
        )

    assert "\n" not in str(refused.value)
    assert done == [512]
    assert not out.exists()


def test_what_a_mosaic_needs_is_enough_for_it(tmp_path, blocks):
    out, target = tmp_path / "map.tif", geobox(AREA, ZONE)

    write_map([ZoneBlocks(ZONE, diamond(), blocks)], target=target, polygon=diamond(), out=out)

    noise = 2  # the blocks are; land takes a quarter
    peak = 2 * out.stat().st_size  # its tiles also wait in a temporary file
    assert peak < noise * cog_bytes(mosaic_bytes(diamond(), target))


def test_an_interrupted_mosaic_leaves_no_map(tmp_path, blocks):
    def stop(*_):
        raise KeyboardInterrupt

    out, target = tmp_path / "map.tif", geobox(AREA, ZONE)

    with pytest.raises(KeyboardInterrupt):
        write_map(
            [ZoneBlocks(ZONE, diamond(), blocks)],
            target=target,
            polygon=diamond(),
            out=out,
            progress=stop,
        )

    assert not out.exists()


def uniform(
    folder: Path, zone: int, area: shapely.Geometry, value: int, *, confidence: int = 50
) -> ZoneBlocks:
    """One block of one value around a part of an area in degrees."""
    near = project(shapely.MultiPolygon([area.buffer(0.02)]), f"EPSG:{zone}")
    box, path = covering_box(near), folder / f"{zone}.tif"
    place = {"crs": f"EPSG:{zone}", "transform": geobox(box, zone).affine, "nodata": 255}
    height, width = box.shape
    with rasterio.open(path, "w", count=2, dtype="uint8", height=height, width=width, **place) as f:
        f.write(np.full(box.shape, value, np.uint8), 1)
        f.write(np.full(box.shape, confidence, np.uint8), 2)
    return ZoneBlocks(zone, shapely.MultiPolygon([area]), [(path, box)])


def test_each_zone_has_a_map_of_its_own_on_its_own_grid(tmp_path):
    """As ``--zones`` keeps them: the part in the zone's CRS is the area of the map too."""
    west, east = shapely.box(11.98, 47.0, 12, 47.01), shapely.box(12, 47.0, 12.02, 47.01)
    for zone in (uniform(tmp_path, 32632, west, 1), uniform(tmp_path, 32633, east, 2)):
        crs, made = f"EPSG:{zone.epsg}", tmp_path / f"map-{zone.epsg}.tif"
        part = project(zone.part, crs)
        target = covering_grid(part, crs)

        counts = write_map([replace(zone, part=part)], target=target, polygon=part, out=made)

        mask, value = pixels_inside(part, target), zone.epsg - 32631
        np.testing.assert_array_equal(read(made), np.where(mask, value, 255))
        assert counts[value] == counts.sum() == mask.sum() > 10_000


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:3035"])
@pytest.mark.parametrize("gap", [0.0, 0.0003, -0.0003])
def test_between_two_zones_a_centre_s_longitude_decides(tmp_path, crs, gap):
    """Also where the parts leave a gap along the border, or overlap."""
    west, east = shapely.box(11.99, 47.0, 12 - gap, 47.01), shapely.box(12, 47.0, 12.01, 47.01)
    polygon = project(shapely.MultiPolygon([shapely.box(11.99, 47.0, 12.01, 47.01)]), crs)
    target, out = covering_grid(polygon, crs), tmp_path / "map.tif"
    zones = [
        replace(one, part=project(one.part, crs))
        for one in (uniform(tmp_path, 32632, west, 1), uniform(tmp_path, 32633, east, 2))
    ]

    counts = write_map(zones, target=target, polygon=polygon, out=out)

    values, mask = read(out), pixels_inside(polygon, target)
    rows, cols = np.nonzero(mask)
    lons, _ = Transformer.from_crs(crs, 4326, always_xy=True).transform(
        *rasterio.transform.xy(target.affine, rows, cols)
    )
    np.testing.assert_array_equal(values[mask], np.where(np.asarray(lons) < 12, 1, 2))
    assert counts[1] > 1000 < counts[2]
    assert counts[1] + counts[2] == mask.sum()


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:3035", "EPSG:4326"])
@pytest.mark.parametrize("confidences", [(50, 50), (90, 30), (20, 99), (0, 100)])
def test_near_a_border_the_surer_zone_is_taken(tmp_path, crs, confidences):
    west, east = shapely.box(11.985, 47.0, 12, 47.004), shapely.box(12, 47.0, 12.015, 47.004)
    polygon = project(shapely.MultiPolygon([shapely.box(11.985, 47.0, 12.015, 47.004)]), crs)
    target, out = covering_grid(polygon, crs), tmp_path / "map.tif"
    zones = [
        replace(uniform(tmp_path, zone, part, value, confidence=sure), part=project_of(part, crs))
        for zone, part, value, sure in zip(
            (32632, 32633), (west, east), (1, 2), confidences, strict=True
        )
    ]

    write_map(zones, target=target, polygon=polygon, out=out)

    rows, cols = np.nonzero(pixels_inside(polygon, target))
    lons, lats = Transformer.from_crs(crs, 4326, always_xy=True).transform(
        *rasterio.transform.xy(target.affine, rows, cols)
    )
    metres = Geod(ellps="WGS84").inv(lons, lats, np.full(lons.shape, 12.0), lats)[2]
    metres *= np.sign(np.asarray(lons) - 12)
    weight = np.sin(np.pi / 4 * (1 + np.clip(metres / ZONE_BLEND_M, -1, 1))) ** 2  # of the east
    says = (1 - weight) * (confidences[0] + 1), weight * (confidences[1] + 1)
    clear = np.abs(says[0] - says[1]) > 0.5
    values = read(out)[rows, cols]
    np.testing.assert_array_equal(values[clear], np.where(says[0] > says[1], 1, 2)[clear])
    assert clear.mean() > 0.97
    assert set(values[np.abs(metres) > ZONE_BLEND_M + 10]) == {1, 2}

    layer = LayerBlocks(zones, [1, 2], "uint8", 255, 2)
    write_layer(zones, layer, target=target, polygon=polygon, out=tmp_path / "layer.tif")
    with rasterio.open(tmp_path / "layer.tif") as written:
        classes, sure = written.read()
    np.testing.assert_array_equal(classes, read(out))  # the same zone at every pixel
    of_class = np.array([255, *confidences])[np.where(classes == 255, 0, classes)]
    np.testing.assert_array_equal(sure, of_class)


def test_a_zone_that_has_nothing_there_has_no_say(tmp_path):
    """And what a zone has not mapped itself stays so."""
    west, east = shapely.box(11.99, 47.0, 12, 47.01), shapely.box(12, 47.0, 12.01, 47.01)
    polygon = project(shapely.MultiPolygon([shapely.box(11.99, 47.0, 12.01, 47.01)]), "EPSG:32632")
    target, out = covering_grid(polygon, "EPSG:32632"), tmp_path / "map.tif"
    zones = [
        replace(one, part=project_of(part, "EPSG:32632"))
        for one, part in (
            (uniform(tmp_path, 32632, west, 1, confidence=1), west),
            (uniform(tmp_path, 32633, east, 255, confidence=255), east),
        )
    ]

    counts = write_map(zones, target=target, polygon=polygon, out=out)

    assert set(np.flatnonzero(counts)) == {1, 255}
    assert counts[1] == pytest.approx(counts[255], rel=0.01)


def project_of(part: shapely.Polygon, crs: str) -> shapely.MultiPolygon:
    return project(shapely.MultiPolygon([part]), crs)


def test_a_centre_just_beyond_all_parts_takes_the_nearest(tmp_path):
    """An area that ends at 12 degrees east, both sides of the equator; its map 20 m wider."""
    north, south = shapely.box(11.99, 0, 12, 0.01), shapely.box(11.99, -0.01, 12, 0)
    polygon = project(shapely.MultiPolygon([shapely.box(11.99, -0.01, 12.0002, 0.01)]), "EPSG:3857")
    target, out = covering_grid(polygon, "EPSG:3857"), tmp_path / "map.tif"
    zones = [
        replace(one, part=project(one.part, "EPSG:3857"))
        for one in (uniform(tmp_path, 32632, north, 1), uniform(tmp_path, 32732, south, 2))
    ]

    counts = write_map(zones, target=target, polygon=polygon, out=out)

    assert counts[1] + counts[2] == pixels_inside(polygon, target).sum()
    edge = read(out)[:, -3]
    assert np.flatnonzero(edge == 1).max() < np.flatnonzero(edge == 2).min()


def test_a_country_is_joined_and_written_in_bounded_memory(tmp_path):
    """The benchmark, on a small one: 300,000 corners, two zones, every pixel compared is right."""
    command = [sys.executable, "-m", "benchmarks.assembly", tmp_path]

    run = subprocess.run(
        [*command, "--gigapixels", "0.01", "--memory", "1"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )

    assert not run.returncode, run.stderr
    assert "0 differ" in run.stdout
