"""Facts of the sensors that decide values."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lulcmap.sensors import S2_BANDS, SCL_DILATED, SCL_MASKED, s2_offset, s2_offsets


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
def test_the_asset_s_own_offset_is_read_in_each_place(asset):
    assert s2_offset({}, asset) == 1000
    assert s2_offset({"s2:processing_baseline": "05.00"}, asset) == 1000
    assert s2_offsets({"s2:processing_baseline": "05.00"}, [asset]) == {(1000, None)}


def test_before_baseline_04_there_is_no_offset_whatever_the_asset_says():
    properties, asset = {"s2:processing_baseline": "02.14"}, {"raster:offset": -0.1}

    ((offset, doubt),) = s2_offsets(properties, [asset])
    assert offset == 0
    assert "the baseline counts" in doubt


def test_an_offset_the_provider_removed_is_not_removed_twice():
    properties = {"earthsearch:boa_offset_applied": True, "s2:processing_baseline": "05.00"}
    asset = {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]}

    ((offset, doubt),) = s2_offsets(properties, [asset])
    assert offset == 0
    assert "removed counts" in doubt


def test_an_item_that_says_nothing_has_no_known_offset():
    assert s2_offset({"s2:processing_baseline": "unknown"}, {}) is None


ABSENT = object()
OFFSETS = (
    *(
        ABSENT,
        None,
        0,
        0.0,
        -0.1,
        -0.10000000149011612,
        0.1,
        -0.05,
        -1000,
        -1000.0,
        1000,
        1e9,
        -1e9,
    ),
    *(10**400, float("inf"), float("-inf"), float("nan"), "-0.1", "none", True, [], {}),
)
SCALES = (
    *(ABSENT, None, 1, 1.0, 1e-4, 9.999999747378752e-05, 0, 1e-3, 1e4, -1e-4, 1e-300),
    *(float("inf"), float("nan"), "0.0001", True, []),
)
BASELINES = (
    *(ABSENT, None, "02.14", "03.01", "04.00", "05.10", "05.11", "N0510", "N0214", "0214", "99.99"),
    *("unknown", "", "nan", "inf", "-1", 5.1, 2.14, float("nan"), float("inf"), True, ["05.10"]),
)
WITH_OFFSET = {"04.00", "05.10", "05.11", "N0510", "99.99", 5.1}
WITHOUT_OFFSET = {"02.14", "03.01", "N0214", "0214", 2.14}


def expected(offset, scale, baseline, removed) -> set:
    """The offsets that may be read without being wrong: "refused" always may."""
    is_known = isinstance(baseline, str | float)
    if is_known and baseline in WITHOUT_OFFSET:
        return {0}  # ESA adds none, and nobody else does
    if removed:
        return {0}
    if is_known and baseline in WITH_OFFSET:
        return {1000}
    zero = not isinstance(offset, bool) and isinstance(offset, int | float) and offset == 0
    return {0} if zero else {1000} if isinstance(offset, int | float) else {None}


@given(st.sampled_from(OFFSETS), st.sampled_from(SCALES), st.sampled_from(BASELINES), st.booleans())
@settings(max_examples=2000)
def test_no_offset_is_silently_wrong(offset, scale, baseline, removed):
    facts = {"offset": offset, "scale": scale}
    asset = {"raster:bands": [{key: v for key, v in facts.items() if v is not ABSENT}]}
    properties = {} if baseline is ABSENT else {"s2:processing_baseline": baseline}
    if removed:
        properties["earthsearch:boa_offset_applied"] = True
    try:
        read = s2_offset(properties, asset)
    except ValueError:
        return  # refused

    assert read in expected(offset, scale, baseline, removed)


@pytest.mark.parametrize(
    ("properties", "asset", "said"),
    [
        ({}, {"offset": 1e9}, "at a scale of None"),
        ({}, {"offset": -1000, "scale": 0.01}, "at a scale of 0.01"),
        ({}, {"offset": "-0.1"}, "not a number"),
        ({}, {"offset": float("nan"), "scale": 1e-4}, "not a number"),
        ({}, {"raster:offset": -0.1, "bands": [{"offset": 0}]}, "two offsets"),
        ({"s2:processing_baseline": "05.10"}, {"offset": 0}, "adds 1000"),
        ({"x:boa_offset_applied": "maybe"}, {}, "neither true nor false"),
        (
            {
                "s2:processing_baseline": "02.14",
                "s2:product_uri": "S2A_MSIL2A_20180701T103021_N0500_R108_T32ULV_20230801T000000",
            },
            {},
            "another processing baseline",
        ),
    ],
)
def test_what_cannot_be_or_is_undecided_is_refused(properties, asset, said):
    with pytest.raises(ValueError, match=said):
        s2_offset(properties, asset)


@pytest.mark.parametrize(
    ("properties", "asset", "offset"),
    [
        ({}, {"offset": -1000}, 1000),
        ({}, {"offset": -1000, "scale": 1}, 1000),
        ({}, {"offset": -1000, "scale": 1e-4}, 1000),
        ({}, {"offset": -0.1}, 1000),
        ({"sentinel:boa_offset_applied": "true", "sentinel:processing_baseline": "04.00"}, {}, 0),
        ({"earthsearch:boa_offset_applied": False, "s2:processing_baseline": "05.09"}, {}, 1000),
        (
            {"s2:product_uri": "S2A_MSIL2A_20180701T103021_N0500_R108_T32ULV_20230801T000000.SAFE"},
            {},
            1000,
        ),
        ({"processing:version": "2.11", "s2:processing_baseline": "05.10"}, {}, 1000),
    ],
)
def test_what_is_certain_is_understood(properties, asset, offset):
    assert s2_offset(properties, asset) == offset


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
