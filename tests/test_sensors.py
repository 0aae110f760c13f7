"""Facts of the sensors that decide values."""

import json

import pytest

from lulcmap.sensors import S2_BANDS, SCL_DILATED, SCL_MASKED, s2_offset


@pytest.mark.parametrize(
    ("baseline", "offset"), [("02.14", 0), ("03.01", 0), ("04.00", 1000), ("05.11", 1000)]
)
def test_the_offset_follows_the_baseline(baseline, offset):
    assert s2_offset({"s2:processing_baseline": baseline}, {}) == offset
    assert s2_offset({"processing:version": baseline}, {}) == offset


def test_a_reprocessed_scene_of_2018_has_the_offset_whatever_its_date():
    properties = {"datetime": "2018-07-01T10:00:00Z", "s2:processing_baseline": "05.00"}

    assert s2_offset(properties, {}) == 1000


@pytest.mark.parametrize(
    "asset",
    [
        {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]},
        {"bands": [{"scale": 0.0001, "offset": -0.1}]},
        {"raster:scale": 0.0001, "raster:offset": -0.1},
    ],
)
def test_the_asset_s_own_offset_wins_over_the_baseline(asset):
    assert s2_offset({"s2:processing_baseline": "02.14"}, asset) == 1000


def test_an_offset_the_provider_removed_is_not_removed_twice():
    properties = {"earthsearch:boa_offset_applied": True, "s2:processing_baseline": "05.00"}
    asset = {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]}

    assert s2_offset(properties, asset) == 0


def test_an_item_that_says_nothing_has_no_known_offset():
    assert s2_offset({"s2:processing_baseline": "unknown"}, {}) is None


def test_only_masked_codes_are_dilated():
    assert set(SCL_DILATED) <= set(SCL_MASKED)
    assert 11 not in SCL_MASKED  # snow is a class of the legend


def test_recorded_items_give_their_offset(shared_data):
    offsets = {}
    for name in ("two-items-2024.json", "items-35MNM-2020.geojson"):
        path = shared_data / "stac" / f"planetary-computer-sentinel-2-{name}"
        for item in json.loads(path.read_text())["features"]:
            assert set(S2_BANDS) <= set(item["assets"])
            offset = s2_offset(item["properties"], item["assets"]["B02"])
            offsets.setdefault(item["properties"]["s2:processing_baseline"], set()).add(offset)

    assert offsets == {"05.11": {1000}, "02.12": {0}}
