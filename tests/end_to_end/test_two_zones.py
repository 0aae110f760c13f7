"""A simulated country on both sides of 12 degrees east, the border of two UTM zones."""

import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from pyproj import Geod, Transformer
from rasterio.warp import Resampling, calculate_default_transform, reproject

from lulcmap.catalog.period import make_period
from lulcmap.geo import grid
from lulcmap.geo.area import load_area
from lulcmap.geo.utm import ZONE_BLEND_M, utm_zone
from lulcmap.legend import NODATA
from lulcmap.pipeline import Settings, map_area
from lulcmap.planning.estimate.run import estimate_run
from lulcmap.planning.planner import plan_map
from lulcmap.simulation.build import Country, simulate
from lulcmap.simulation.demo import FOREST_MODEL

PERIOD = make_period(year=2024, today=date(2026, 1, 1))
BORDER = 12.0
METRES = 74_700
"""Of a degree of longitude there."""


def on_the_next_grid(item, folder: Path) -> None:
    """Move a scene from zone 32 to the grid of zone 33, pixels by nearest neighbour."""
    item["properties"].pop("proj:code", None)
    item["properties"]["proj:epsg"] = 32633
    for asset in item["assets"].values():
        path = folder / asset["href"]
        with rasterio.open(path) as source:
            pixels, size = source.read(1), source.res[0]
            place, width, height = calculate_default_transform(
                source.crs, "EPSG:32633", *source.shape[::-1], *source.bounds, resolution=size
            )
            left, top = place.c // 20 * 20, place.f // 20 * 20 + 20
            place = rasterio.Affine(size, 0, left, 0, -size, top)
            shape = height + int(40 / size), width + int(40 / size)
            moved = np.full(shape, source.nodata, pixels.dtype)
            reproject(
                pixels,
                moved,
                src_transform=source.transform,
                src_crs=source.crs,
                src_nodata=source.nodata,
                dst_transform=place,
                dst_crs="EPSG:32633",
                dst_nodata=source.nodata,
                resampling=Resampling.nearest,
            )
            nodata = source.nodata
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=1,
            dtype=moved.dtype,
            height=shape[0],
            width=shape[1],
            crs="EPSG:32633",
            transform=place,
            nodata=nodata,
            tiled=True,
            compress="deflate",
        ) as file:
            file.write(moved, 1)
        asset["proj:shape"], asset["proj:transform"] = list(shape), list(place)[:6]


@pytest.fixture(scope="module")
def country(request, tmp_path_factory):
    """Every second scene on zone 33's grid; or all on zone 32's, if asked for ``one grid``."""
    folder = tmp_path_factory.mktemp("country")
    made = simulate(
        folder,
        Country(
            seed=4, height=512, width=512, west=721_840, north=5_306_000, s2_dates=4, s1_dates=4
        ),
    )
    if getattr(request, "param", "two grids") == "two grids":
        collection = json.loads(made.items.read_text())
        for item in collection["features"][::2]:
            on_the_next_grid(item, folder)
        made.items.write_text(json.dumps(collection))
    return made


@pytest.fixture
def settings(country, model):
    def of(**changes):
        defaults = {"model": str(model), "catalog": str(country.items), "block_size": 144}
        return Settings(**{**defaults, "device": "cpu", **changes})

    return of


def read(path):
    with rasterio.open(path) as made:
        return made.read(1), made.crs, made.transform


def mapped_and_inside(report, country):
    """The map, where it lies in the polygon, and longitude and latitude of the pixels there."""
    classes, crs, transform = read(report.map)
    area = load_area(str(country.aoi)).polygon
    with rasterio.open(report.map) as made:
        on = grid.covering_grid(shapely.box(*made.bounds), crs.to_string())
    inside = grid.pixels_inside(grid.project(area, crs.to_string()), on)
    rows, cols = np.nonzero(inside)
    xs, ys = rasterio.transform.xy(transform, rows, cols)
    lons, lats = Transformer.from_crs(crs, 4326, always_xy=True).transform(xs, ys)
    return classes, inside, np.asarray(lons), np.asarray(lats)


def blocks_of(run: Path):
    """By zone, every block's classes and confidence with its first row and column there."""
    found: dict[int, list] = {}
    for path in run.glob("blocks/*.tif"):
        zone = int(re.match(r"z(\d+)_", path.name)[1])
        with rasterio.open(path) as block:
            pixels, place = block.read([1, 2]), block.transform
            assert block.crs.to_epsg() == zone
        corner = round(-place.f / 10), round(place.c / 10)
        found.setdefault(zone, []).append((*corner, pixels))
    return found


def expected(run: Path, lons, lats):
    """What the zones' own block files have at some places: the surer zone's near the border."""
    border = lons - (lons - np.round(lons / 6) * 6)
    metres = Geod(ellps="WGS84").inv(lons, lats, border, lats)[2] * np.sign(lons - border)
    east = np.sin(np.pi / 4 * (1 + np.clip(metres / ZONE_BLEND_M, -1, 1))) ** 2
    classes, says = np.full((2, *lons.shape), NODATA, np.uint8), np.zeros((2, *lons.shape))
    sure = np.abs(metres) > 0.02
    for number, (zone, blocks) in enumerate(blocks_of(run).items()):
        x, y = Transformer.from_crs(4326, zone, always_xy=True).transform(lons, lats)
        own = np.array([utm_zone(*place) for place in zip(lons, lats, strict=True)]) == zone
        weight = np.where(own == (metres > 0), east, 1 - east)
        for axis in (x, y):  # centres on an edge between pixels may go either way
            sure &= (weight == 0) | (np.abs(axis - 10 * np.round(axis / 10)) > 1e-3)
        for top, left, pixels in blocks:
            row, col = np.floor(-y / 10).astype(int) - top, np.floor(x / 10).astype(int) - left
            here = (row >= 0) & (row < pixels.shape[1]) & (col >= 0) & (col < pixels.shape[2])
            found, confidence = pixels[:, row[here], col[here]]
            classes[number, here] = found
            says[number, here] = np.where(found == NODATA, 0, weight[here] * (confidence + 1.0))
    sure &= np.abs(says[0] - says[1]) > 0.5  # the distance is good to 1 %
    return np.where(says[0] > says[1], *classes), sure


@pytest.mark.parametrize("country", ["one grid", "two grids"], indirect=True)
@pytest.mark.parametrize("crs", ["auto", "EPSG:32633", "EPSG:3035"])
def test_every_pixel_is_its_zone_s_and_none_is_missing(country, settings, tmp_path, crs):
    report = map_area(
        str(country.aoi),
        tmp_path / "map.tif",
        period=PERIOD,
        settings=settings(crs=crs, keep_run=True),
    )

    classes, inside, lons, lats = mapped_and_inside(report, country)
    wanted, sure = expected(tmp_path / "map.tif.run", lons, lats)
    assert report.counted_on == ("EPSG:32632", "EPSG:32633")
    assert report.maps[0].crs == ("EPSG:32632" if crs == "auto" else crs)
    assert report.coverage == 1
    assert (classes[inside] != NODATA).all()
    assert (classes[~inside] == NODATA).all()
    np.testing.assert_array_equal(classes[inside][sure], wanted[sure])
    assert sure.mean() > 0.99
    assert min((lons < BORDER).mean(), (lons > BORDER).mean()) > 0.3
    assert report.total == pytest.approx(inside.sum(), rel=0.005)


def test_a_country_at_180_degrees_is_one_map(model, tmp_path):
    west = round(Transformer.from_crs(4326, 32760, always_xy=True).transform(180, -17)[0], -1)
    place = {"epsg": 32760, "west": int(west) - 1280, "north": 8_119_000}
    made = simulate(
        tmp_path / "country",
        Country(seed=5, height=256, width=256, s2_dates=3, s1_dates=2, cloud=0, **place),
    )
    settings = Settings(
        model=str(model), catalog=str(made.items), block_size=144, device="cpu", keep_run=True
    )

    report = map_area(str(made.aoi), tmp_path / "map.tif", period=PERIOD, settings=settings)

    classes, inside, lons, lats = mapped_and_inside(report, made)
    wanted, sure = expected(tmp_path / "map.tif.run", lons, lats)
    assert report.counted_on == ("EPSG:32701", "EPSG:32760")
    assert report.maps[0].crs in ("EPSG:32701", "EPSG:32760")
    assert classes.shape[1] < 260
    assert report.coverage == 1
    assert (classes[inside] != NODATA).all()
    np.testing.assert_array_equal(classes[inside][sure], wanted[sure])
    assert min((lons < 0).mean(), (lons > 0).mean()) > 0.3


def test_near_the_border_the_map_is_as_good_as_elsewhere(country, settings, tmp_path):
    report = map_area(
        str(country.aoi),
        tmp_path / "map.tif",
        period=PERIOD,
        settings=settings(model=FOREST_MODEL, block_size=768, crs="EPSG:32632"),
    )

    classes, inside, lons, lats = mapped_and_inside(report, country)
    with rasterio.open(country.truth) as truth:
        places = Transformer.from_crs(4326, truth.crs, always_xy=True).transform(lons, lats)
        cols, rows = ~truth.transform * places
        true = truth.read(1)[np.floor(rows).astype(int), np.floor(cols).astype(int)]
    right = classes[inside] == true
    near = np.abs(lons - BORDER) * METRES < 200
    assert near.sum() > 5000
    assert right[near].mean() > right[~near].mean() - 0.01


def test_the_map_does_not_depend_on_the_blocks_nor_on_the_workers(country, settings, tmp_path):
    maps = [
        map_area(str(country.aoi), tmp_path / f"{size}.tif", period=PERIOD, settings=changed).map
        for size, changed in (
            (960, settings(block_size=960)),
            (240, settings(block_size=240, workers=1, batch_size=3)),
        )
    ]

    np.testing.assert_array_equal(read(maps[0])[0], read(maps[1])[0])


def test_the_plan_says_what_each_zone_takes(country, settings, tmp_path):
    out, folder = tmp_path / "map.tif", tmp_path / "map.tif.run"
    known = plan_map(load_area(str(country.aoi)), folder, period=PERIOD, settings=settings())
    before = estimate_run(known, out=out, folder=folder)

    report = map_area(str(country.aoi), out, period=PERIOD, settings=settings(keep_run=True))
    after = estimate_run(known, out=out, folder=folder)

    files = blocks_of(folder)
    assert {zone.epsg: zone.blocks for zone in before.zones} == {
        zone: len(blocks) for zone, blocks in files.items()
    }
    assert all(zone.done == 0 < zone.windows for zone in before.zones)
    assert all(zone.done == zone.blocks and not zone.windows for zone in after.zones)
    assert before.maps[0].pixels == read(report.map)[0].size
    assert before.gaps.points > 900
    assert before.gaps.no_s2 == 0
    assert before.reads.warped > 0


def test_killed_in_the_second_zone_a_run_goes_on_to_the_same_bytes(
    country, model, settings, tmp_path
):
    whole = map_area(str(country.aoi), tmp_path / "whole.tif", period=PERIOD, settings=settings())
    code = f"""
import os, lulcmap.pipeline as pipeline
from datetime import date
from lulcmap.catalog import make_period
write = pipeline.RunFolder.write_block
def dies(self, number, *args, **kwargs):
    write(self, number, *args, **kwargs)
    if number[0] == 32633:
        os.kill(os.getpid(), 9)
pipeline.RunFolder.write_block = dies
pipeline.map_area({str(country.aoi)!r}, pipeline.Path("map.tif"),
    period=make_period(year=2024, today=date(2026, 1, 1)),
    settings=pipeline.Settings(model={str(model)!r}, catalog={str(country.items)!r},
        block_size=144, device="cpu"))
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    blocks = tmp_path / "map.tif.run" / "blocks"
    times = {path.name: path.stat().st_mtime_ns for path in blocks.glob("*.tif")}

    report = map_area(
        str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=settings(keep_run=True)
    )

    assert killed.returncode == -9
    assert sum(name.startswith("z32633") for name in times) == 1
    assert len(times) > 2
    assert all((blocks / name).stat().st_mtime_ns == time for name, time in times.items())
    assert report.map.read_bytes() == whole.map.read_bytes()


@pytest.mark.parametrize("crs", ["auto", "EPSG:3035"])
def test_the_layers_are_of_the_zone_that_gave_the_class(country, settings, tmp_path, crs):
    layers = {"confidence": True, "probabilities": True, "save_composite": True}
    out = tmp_path / "map.tif"
    map_area(str(country.aoi), out, period=PERIOD, settings=settings(crs=crs, **layers))

    classes = read(out)[0]
    mapped = classes != NODATA
    made = {}
    for name in ("quality", "probabilities", "composite"):
        with rasterio.open(out.with_name(f"map-{name}.tif")) as file:
            made[name] = file.read()
    shares = made["probabilities"]
    own = np.take_along_axis(shares, np.where(mapped, classes, 0)[None].astype(np.intp), 0)[0]
    assert (own == shares.max(axis=0))[mapped].all()
    np.testing.assert_array_equal(own[mapped], made["quality"][0][mapped])
    assert (shares[:, ~mapped] == NODATA).all()
    has_s2 = np.isin(made["quality"][4], (1, 2, 4)) & mapped
    assert has_s2.mean() > 0.5
    assert (made["composite"][:9, has_s2] > 0).all()
    assert (made["composite"][:, ~mapped] == 0).all()
