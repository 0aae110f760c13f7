"""Plans of real countries: at 180 degrees, in many zones, with parts on other continents."""

import json
from datetime import date

import numpy as np
import pytest
import shapely
from pyproj import CRS, Geod, Proj, Transformer

from lulcmap.catalog.period import make_period
from lulcmap.geo.area import load_area
from lulcmap.geo.grid import covering_grid, project
from lulcmap.geo.parts import distant_parts
from lulcmap.geo.utm import centre, map_crs, split_by_zone
from lulcmap.pipeline import Settings
from lulcmap.planning.planner import plan_map
from lulcmap.sensors import S2_BANDS
from tests.support.stubs import contract, make_model

PERIOD = make_period(year=2024, today=date(2026, 1, 1))
BOUNDARIES = (
    *("brazil", "fiji", "france", "kiribati", "liechtenstein-10m", "luxembourg-10m", "malta-10m"),
    *("netherlands", "new_zealand", "russia", "rwanda-10m", "slovenia-10m"),
    "united_states_of_america",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return make_model(folder / "stub.onnx", contract(window=512, step=384))


def catalog_of(polygon, folder):
    """One scene over each part of an area."""
    items = [
        {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": f"scene-{number}",
            "collection": "sentinel-2-l2a",
            "bbox": list(part.bounds),
            "geometry": shapely.geometry.mapping(shapely.box(*part.bounds)),
            "properties": {
                "datetime": "2024-07-01T10:30:00Z",
                "s2:processing_baseline": "05.10",
            },
            "links": [],
            "assets": {band: {"href": f"./{band}.tif"} for band in (*S2_BANDS, "SCL")},
        }
        for number, part in enumerate(polygon.geoms)
    ]
    path = folder / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return str(path)


def geodesic(polygon):
    """Square metres on the ellipsoid; edges are straight in degrees."""
    geod = Geod(ellps="WGS84")
    parts = shapely.get_parts(shapely.segmentize(polygon, 0.1))
    whole = [shapely.geometry.polygon.orient(part) for part in parts]
    return sum(geod.geometry_area_perimeter(part)[0] for part in whole)


def unstretched(polygon, crs):
    """Square metres of a projected polygon, small parts of it divided by the scale there."""
    west, south, east, north = polygon.bounds
    step = max(east - west, north - south) / 60
    projection, back = Proj(crs), Transformer.from_crs(crs, 4326, always_xy=True)
    shapely.prepare(polygon)
    total = 0.0
    for x in np.arange(west, east, step):
        for y in np.arange(south, north, step):
            cell = shapely.box(x, y, x + step, y + step)
            if polygon.intersects(cell):
                part = cell if polygon.contains(cell) else polygon.intersection(cell)
                if part.area:
                    lon, lat = back.transform(part.centroid.x, part.centroid.y)
                    total += part.area / projection.get_factors(lon, lat).areal_scale
    return total


@pytest.mark.parametrize("name", BOUNDARIES)
def test_a_country_makes_a_plan_that_keeps_its_area(shared_data, model, tmp_path, name):
    area = load_area(str(shared_data / "boundaries" / f"{name}.geojson"))
    settings = Settings(
        model=str(model),
        catalog=catalog_of(area.polygon, tmp_path),
        device="cpu",
        sparse=name in SPARSE,
    )

    planned = plan_map(area, tmp_path / "map.tif.run", period=PERIOD, settings=settings)

    job, true = planned.job, geodesic(area.polygon)
    assert [zone.epsg for zone in job.zones] == sorted({block.zone for block in job.plan.blocks})
    assert len(set(job.plan.blocks)) == len(job.plan.blocks)
    assert [map_grid.crs for map_grid in planned.grids] == list(job.plan.crs)
    for map_grid in planned.grids:
        assert CRS.from_user_input(map_grid.crs).is_projected
        affine = map_grid.grid.affine
        assert (affine.a, affine.e) == (10, -10)
        assert affine.c % 10 == affine.f % 10 == 0
        part = unstretched(map_grid.polygon, map_grid.crs)
        assert part == pytest.approx(geodesic(map_grid.area), rel=1e-3)
    assert sum(geodesic(map_grid.area) for map_grid in planned.grids) == pytest.approx(true)
    zones = [unstretched(zone.part, f"EPSG:{zone.epsg}") for zone in job.zones]
    assert sum(zones) == pytest.approx(true, rel=1e-3)


APART = {  # by country, the middles of its parts more than 500 km from each other
    "france": [(2.6, 46.6), (-53.2, 3.9), (-61.3, 15.6), (55.5, -21.1), (45.1, -12.8)],
    "kiribati": [(-157.8, 2.2), (173.5, 0.8), (-155.3, -4.6), (-172.0, -3.6), (-151.8, -11.4)],
    "netherlands": [(5.6, 52.3), (-68.3, 12.2), (-63.0, 17.5)],
    "new_zealand": [(172.9, -41.7), (-176.5, -43.9), (-172.0, -8.9)],
    "united_states_of_america": [(-99.1, 39.5), (-152.6, 64.3), (-156.3, 20.2)],
}
SPARSE = {"kiribati": [0, 1, 2, 3], "new_zealand": [2]}
"""Atolls in more than a hundred times as much sea, by country the numbers of their maps."""


@pytest.mark.parametrize("name", BOUNDARIES)
def test_a_country_is_as_many_maps_as_it_has_parts_far_from_each_other(shared_data, name):
    whole = load_area(str(shared_data / "boundaries" / f"{name}.geojson")).polygon

    parts = distant_parts(whole)

    assert sorted(part.wkb for group in parts for part in group.geoms) == sorted(
        part.wkb for part in whole.geoms
    )
    if name in APART:
        np.testing.assert_allclose([centre(part) for part in parts], APART[name], atol=0.06)
    else:
        assert len(parts) == 1
    sizes = [geodesic(part) for part in parts]
    assert sizes == sorted(sizes, reverse=True)
    sparse = []
    for number, part in enumerate(parts):
        crs = map_crs(part)
        polygon = project(part, crs)
        grid = covering_grid(polygon, crs)
        if polygon.area / 100 / (grid.shape[0] * grid.shape[1]) < 0.01:
            sparse.append(number)
        if crs.startswith("EPSG:"):
            assert int(crs[5:]) in [zone.epsg for zone in split_by_zone(part)]
        else:
            lon, lat = (round(degrees) for degrees in centre(part))
            assert f"+proj=laea +lat_0={lat} +lon_0={lon} " in crs
    assert sparse == SPARSE.get(name, [])
