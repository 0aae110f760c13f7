"""The same scene through the names and rules of each provider gives the same reflectance."""

import json
from copy import deepcopy
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox

from lulcmap.catalog.period import make_period
from lulcmap.catalog.providers import CDSE, EARTH_SEARCH, PROFILES
from lulcmap.catalog.scene import Scene
from lulcmap.geo.area import load_area
from lulcmap.imagery import CompositeRequest, composite_area
from lulcmap.sensors import S2_BANDS
from lulcmap.simulation.build import Country, simulate

PERIOD = make_period(year=2024, today=date(2026, 1, 1))

OFFSETS = {
    "earth-search": {"raster:bands": [{"nodata": 0, "scale": 0.0001, "offset": -0.1}]},
    "cdse": {"raster:scale": 0.0001, "raster:offset": -0.1, "nodata": 0},
}
"""How assets with +1000 in their numbers say so, there."""


@pytest.fixture(scope="module")
def country(tmp_path_factory):
    folder = tmp_path_factory.mktemp("country")
    return simulate(folder, Country(seed=5, height=128, width=160, s2_dates=4, s1_dates=0))


def reshaped(item, profile):
    """A Sentinel-2 item of the Planetary Computer's layout, as another provider has it."""
    made = deepcopy(item)
    made["collection"] = profile.s2_collection
    baseline = made["properties"].pop("s2:processing_baseline")
    states = OFFSETS[profile.name] if float(baseline) >= 4 else {}
    made["assets"] = {
        key: {**made["assets"][band], **(states if band != "SCL" else {})}
        for band, key in profile.assets.items()
        if band in made["assets"]
    }
    if not states:
        made["properties"]["processing:version"] = baseline
    return made


@pytest.mark.parametrize("profile", [EARTH_SEARCH, CDSE], ids=lambda profile: profile.name)
def test_a_composite_is_the_same_through_every_profile(country, profile):
    collection = json.loads(country.items.read_text())
    baselines = {i["properties"]["s2:processing_baseline"] for i in collection["features"]}
    collection["features"] = [reshaped(item, profile) for item in collection["features"]]
    other = country.items.with_name(f"{profile.name}.json")
    other.write_text(json.dumps(collection))
    with rasterio.open(country.truth) as truth:
        grid = GeoBox(truth.shape, truth.transform, truth.crs)[:128, :160]
    area = load_area(str(country.aoi)).polygon

    wanted = composite_area(area, grid, CompositeRequest(PERIOD, str(country.items)))
    seen = composite_area(area, grid, CompositeRequest(PERIOD, str(other)))

    assert any(float(baseline) >= 4 for baseline in baselines)
    assert wanted.s2.any()
    np.testing.assert_array_equal(seen.s2, wanted.s2)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_profile_names_every_band_it_has_a_collection_of(profile):
    assert {*S2_BANDS, "SCL"} <= set(profile.assets)
    assert ("VV" in profile.assets) == (profile.s1_collection is not None)
    assert len(set(profile.assets.values())) == len(profile.assets)
    assert profile.url.startswith("https://")


def test_an_offset_that_was_taken_out_already_is_not_taken_out_again():
    assets = {
        key: {"href": f"https://example.com/{key}.tif", **OFFSETS["earth-search"]}
        for key in EARTH_SEARCH.assets.values()
    }
    item = {
        "id": "S2B_33UXP_20240302_0_L2A",
        "collection": "sentinel-2-l2a",
        "bbox": [16, 48, 17, 49],
        "properties": {
            "datetime": "2024-03-02T10:00:00Z",
            "earthsearch:boa_offset_applied": True,
            "s2:processing_baseline": "05.10",
        },
        "assets": assets,
    }
    older = replace(EARTH_SEARCH, s2_collection="sentinel-2-l2a")

    assert Scene.from_item(item, older).offset == 0
    item["properties"]["earthsearch:boa_offset_applied"] = False
    assert Scene.from_item(item, older).offset == 1000
