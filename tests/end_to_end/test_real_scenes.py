"""The whole line on real scenes, where they lie beside the checkout."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from lulcmap.catalog.period import make_period
from lulcmap.imagery import CompositeRequest, composite_area
from lulcmap.legend import NODATA
from lulcmap.pipeline import Settings, map_area
from tests.support.stubs import contract, make_model

PLACES = {
    "denmark": ("S2_denmark_20171030", 2017),
    "ontario": ("S2_ontario_20200111", 2020),
    "laos": ("S2B_MSIL2A_20200223T032739_N9999_R018_T48QUE_20230924T183543", 2020),
    "congo": ("S2A_MSIL2A_20220706T085611_N0400_R007_T33NZA_20220706T153419", 2022),
    "punjab": ("S2_20200604T054639_20200604T054831_T43RCP", 2020),
    "austria": ("S2A_MSIL2A_20170613T101031_87_48", 2017),
    "ireland": ("S2A_MSIL2A_20170617T113321_36_85", 2017),
    "ireland-2": ("S2A_MSIL2A_20170617T113321_4_55", 2017),
    "finland": ("S2B_MSIL2A_20170924T93020_69_24", 2017),
    "portugal": ("S2A_MSIL2A_20171221T112501_56_35", 2017),
    "finland-winter": ("S2B_MSIL2A_20180204T94161_57_38", 2018),
}


@pytest.fixture(scope="module")
def archive(shared_data: Path) -> Path:
    return shared_data / "archive" / "items.json"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "stub.onnx", contract())


@pytest.fixture(scope="module")
def maps(archive, model, tmp_path_factory):
    """Maps each place once, with its run folder kept."""
    made = {}
    folder = tmp_path_factory.mktemp("maps")

    def of(place):
        if place not in made:
            scene, year = PLACES[place]
            bbox = item(archive, scene)["bbox"]
            made[place] = map_area(
                ",".join(map(str, bbox)),
                folder / f"{place}.tif",
                period=make_period(year=year, today=date(2026, 1, 1)),
                settings=Settings(
                    model=str(model), catalog=str(archive), block_size=480, keep_run=True
                ),
            )
        return made[place]

    return of


def item(archive: Path, scene: str) -> dict:
    items = json.loads(archive.read_text())["features"]
    return next(item for item in items if item["id"] == scene)


@pytest.mark.parametrize("place", PLACES)
def test_every_place_is_mapped_where_it_lies(maps, archive, place):
    report = maps(place)

    scene = item(archive, PLACES[place][0])
    with rasterio.open(report.map) as made:
        mapped = made.read(1) != NODATA
        centre = shapely.box(*scene["bbox"]).centroid
        x, y = rasterio.warp.transform("EPSG:4326", made.crs, [centre.x], [centre.y])
        row, col = made.index(x[0], y[0])
    assert report.coverage > 0.85  # the scene is askew in the box of degrees around it
    assert mapped[row, col]
    assert abs(row - mapped.shape[0] / 2) < 3
    assert abs(col - mapped.shape[1] / 2) < 3


@pytest.mark.parametrize("place", ["laos", "congo"])
def test_a_place_without_sentinel_1_is_flagged(maps, place):
    report = maps(place)

    assert set(report.pixels) <= {"s2_only", "not_mapped"}
    assert any("Sentinel-2 alone" in warning for warning in report.warnings)


def test_missing_scene_classifications_are_counted(maps):
    report = maps("denmark")

    assert report.unmasked == (PLACES["denmark"][0],)
    assert any("no scene classification" in warning for warning in report.warnings)


def test_both_orbits_of_punjab_are_found_and_the_descending_one_is_used(maps):
    report = maps("punjab")

    assert len(report.scenes["s2"]) == 2
    assert [scene[17:25] for scene in report.scenes["s1"]] == ["20200607"]
    assert [scene[17:25] for scene in report.unused] == ["20200903"]


def test_the_truth_of_denmark_lies_on_its_map_to_the_pixel(maps, archive):
    # denmark's grid is off the 10 m multiples: the map's pixels still lie within half of one
    report = maps("denmark")

    with (
        rasterio.open(report.map) as made,
        rasterio.open(archive.parent / "labels" / "denmark.tif") as labels,
    ):
        shift = (made.bounds.left - labels.bounds.left, made.bounds.top - labels.bounds.top)
        assert all(size == 10 for size in made.res)
        assert made.bounds.left % 10 == made.bounds.top % 10 == 0
    assert max(np.abs(shift)) < 100  # the box in degrees is a little askew in UTM


@pytest.mark.parametrize(("place", "offset"), [("congo", 1000), ("denmark", 0)])
def test_the_offset_is_removed_where_there_is_one(archive, place, offset):
    scene, year = PLACES[place]
    asset = archive.parent / item(archive, scene)["assets"]["B04"]["href"]
    with rasterio.open(asset) as source:
        raw = source.read(1)
        zone = source.crs.to_epsg()
        left, top = source.bounds.left, source.bounds.top
        near = rasterio.warp.transform_bounds(source.crs, "EPSG:4326", *source.bounds)
    west, north = 20 * (int(left / 20) + 3), 20 * (int(top / 20) - 3)
    on = GeoBox((200, 200), Affine(10, 0, west, 0, -10, north), f"EPSG:{zone}")

    seen = composite_area(
        shapely.MultiPolygon([shapely.box(*near)]),
        on,
        CompositeRequest(make_period(year=year, today=date(2026, 1, 1)), str(archive)),
    )

    row, col = round((top - north) / 10), round((west - left) / 10)
    there = raw[row : row + 200, col : col + 200].astype(float)
    # the grids lie less than a pixel apart, so the means agree and the pixels nearly do
    assert seen.s2[2].mean() == pytest.approx(there.mean() - offset, rel=0.02)
    assert np.corrcoef(seen.s2[2].ravel(), there.ravel())[0, 1] > 0.8
