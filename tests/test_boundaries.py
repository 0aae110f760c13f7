"""Plans of real countries: at 180 degrees, in many zones, with parts on other continents."""

import json
from datetime import date

import numpy as np
import pytest
import shapely
from pyproj import CRS, Geod, Proj, Transformer

from lulcmap.area import load_area
from lulcmap.pipeline import Settings
from lulcmap.plan import make_period
from lulcmap.sensors import S2_BANDS
from lulcmap.survey import survey
from tests.stubs import contract, make_model

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
    settings = Settings(model=str(model), catalog=catalog_of(area.polygon, tmp_path), device="cpu")

    known = survey(area, tmp_path / "map.tif.run", period=PERIOD, settings=settings)
    polygon, on = known.target()

    job, true = known.job, geodesic(area.polygon)
    assert [zone.epsg for zone in job.zones] == sorted({number[0] for number in job.plan.blocks})
    assert len(set(job.plan.blocks)) == len(job.plan.blocks)
    assert CRS.from_user_input(job.plan.crs).is_projected
    assert (on.affine.a, on.affine.e) == (10, -10)
    assert on.affine.c % 10 == on.affine.f % 10 == 0
    assert unstretched(polygon, job.plan.crs) == pytest.approx(true, rel=1e-3)
    zones = [unstretched(zone.part, f"EPSG:{zone.epsg}") for zone in job.zones]
    assert sum(zones) == pytest.approx(true, rel=1e-3)
