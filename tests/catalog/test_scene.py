"""What lulcmap reads from STAC items, recorded and made up."""

import json
import math
from copy import deepcopy
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lulcmap.catalog.providers import CDSE, EARTH_SEARCH, PLANETARY_COMPUTER
from lulcmap.catalog.scene import Scene
from lulcmap.catalog.skip import SkippedItem
from lulcmap.sensors import S1_BANDS, S2_BANDS


def s2_item(**properties) -> dict:
    assets = {band: {"href": f"https://host/{band}.tif"} for band in (*S2_BANDS, "SCL")}
    return {
        "id": "some_scene",
        "collection": "sentinel-2-l2a",
        "bbox": [6.0, 49.0, 7.0, 50.0],
        "properties": {
            "datetime": "2024-05-01T10:30:00Z",
            "s2:processing_baseline": "05.10",
            **properties,
        },
        "assets": assets,
    }


def s1_item(name="some_scene", *, bbox=(6.0, 49.0, 7.0, 50.0), **properties) -> dict:
    return {
        "id": name,
        "collection": "sentinel-1-rtc",
        "bbox": list(bbox),
        "properties": {"datetime": "2024-05-01T05:40:00Z", **properties},
        "assets": {key: {"href": f"https://host/{key}.tif"} for key in ("vv", "vh")},
    }


def read(item: dict) -> Scene:
    return Scene.from_item(item, PLANETARY_COMPUTER)


@pytest.mark.parametrize(
    ("written", "box"),
    [
        ((179.4, -17.0, -179.5, -16.0), (179.4, -17.0, -179.5, -16.0)),
        ((-180.6, -17.0, -179.5, -16.0), (179.4, -17.0, -179.5, -16.0)),
        ((179.4, -17.0, 180.5, -16.0), (179.4, -17.0, -179.5, -16.0)),
        ((181.0, -17.0, 182.0, -16.0), (-179.0, -17.0, -178.0, -16.0)),
        ((-180.0, -17.0, 180.0, -16.0), (-180.0, -17.0, 180.0, -16.0)),
    ],
)
def test_a_box_that_crosses_180_degrees_begins_in_the_east(written, box):
    assert read(s1_item(bbox=written)).bbox == pytest.approx(box)


def recorded(shared_data, name: str) -> list[dict]:
    items = json.loads((shared_data / "stac" / name).read_text())
    return items if isinstance(items, list) else items.get("features", [items])


def test_recorded_sentinel_2_items_become_scenes(shared_data):
    scenes = [
        read(item)
        for item in recorded(shared_data, "planetary-computer-sentinel-2-two-items-2024.json")
    ]

    assert [scene.epsg for scene in scenes] == [32613, 32613]
    assert [scene.offset for scene in scenes] == [1000, 1000]
    assert [scene.orbit for scene in scenes] == [98, 141]
    assert [scene.datatake for scene in scenes] == [
        "s2_s2b_20240825T173909",
        "s2_s2a_20240823T174901",
    ]
    assert scenes[0].acquired == datetime(2024, 8, 25, 17, 39, 9, 24000)
    assert set(scenes[0].assets) == {*S2_BANDS, "SCL"}


def test_recorded_tiles_of_one_datatake_share_their_key_across_zones(shared_data):
    items = recorded(shared_data, "planetary-computer-sentinel-2-l2a-items.json")
    scenes = [read(item) for item in items]

    assert {scene.epsg for scene in scenes} == {32646, 32647}
    assert len({scene.datatake for scene in scenes}) == 1


def test_recorded_slices_of_one_sentinel_1_pass_share_their_key(shared_data):
    items = recorded(shared_data, "planetary-computer-sentinel-1-rtc-items.json")
    scenes = [read(item) for item in items]

    assert len(scenes) == 4
    assert {scene.datatake for scene in scenes} == {"s1_s1a_425458"}
    assert {(scene.orbit, scene.orbit_state) for scene in scenes} == {(51, "descending")}
    assert set(scenes[0].assets) == set(S1_BANDS)


def test_the_product_name_gives_the_datatake_the_item_records(shared_data):
    """``s1:datatake_id`` is decimal, the name's is hexadecimal."""
    for item in recorded(shared_data, "planetary-computer-sentinel-1-rtc-items.json"):
        expected = int(item["properties"]["s1:datatake_id"])
        assert read(item).datatake.endswith(f"_{expected}")


def test_recorded_sentinel_1_items_without_vv_and_vh_are_skipped(shared_data):
    paths = sorted((shared_data / "stac" / "s1rtc-items").glob("*1SDH*.json"))
    assert paths
    for path in paths:
        with pytest.raises(SkippedItem, match="HH and HV, not VV and VH"):
            read({**json.loads(path.read_text()), "collection": "sentinel-1-rtc"})


def test_every_scene_of_the_real_archive_is_read(shared_data):
    items = json.loads((shared_data / "archive" / "items.json").read_text())["features"]
    scenes = {item["id"]: read(item) for item in items}

    assert len(scenes) == 22
    assert "SCL" not in scenes["S2_denmark_20171030"].assets
    assert scenes["S2_denmark_20171030"].offset == 0
    (congo,) = [scene for name, scene in scenes.items() if scene.offset]
    assert congo.epsg == 32633
    assert congo.acquired.year == 2022


@pytest.mark.parametrize(
    ("facts", "zenith"),
    [
        ({"s2:mean_solar_zenith": 33.25, "view:sun_elevation": 10.0}, 33.25),
        ({"view:sun_elevation": 27.5}, 62.5),
        ({"s2:mean_solar_zenith": None, "view:sun_elevation": 90}, 0),
        ({"s2:mean_solar_zenith": "33.25"}, 33.25),
        ({"s2:mean_solar_zenith": 90.1, "view:sun_elevation": 27.5}, 62.5),
        ({"s2:mean_solar_zenith": float("nan")}, None),
        ({"s2:mean_solar_zenith": -1}, None),
        ({"s2:mean_solar_zenith": "low"}, None),
        ({"s2:mean_solar_zenith": True, "view:sun_elevation": [30]}, None),
        ({"view:sun_elevation": -12.0}, None),
        ({}, None),
    ],
    ids=str,
)
def test_the_sun_is_what_the_item_states_if_that_can_be(facts, zenith):
    assert read(s2_item(**facts)).sun_zenith == zenith


@pytest.mark.parametrize(
    ("facts", "epsg"),
    [
        ({"proj:epsg": 32632}, 32632),
        ({"proj:code": "EPSG:32733"}, 32733),
        ({"proj:code": None, "proj:epsg": None}, None),
        ({"proj:code": "IAU_2015:30100"}, None),
    ],
)
def test_the_grid_s_crs_is_read_from_either_version_of_the_extension(facts, epsg):
    assert read(s2_item(**facts)).epsg == epsg


def without(item: dict, *, asset: str) -> dict:
    item = deepcopy(item)
    del item["assets"][asset]
    return item


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (without(s2_item(), asset="B08"), "it lacks B08"),
        ({**s2_item(), "collection": "landsat"}, "its collection is 'landsat'"),
        (s2_item(**{"s2:processing_baseline": None}), "neither a processing baseline nor"),
        (s2_item(datetime="yesterday"), "its date is 'yesterday'"),
        ({**s2_item(), "bbox": None}, "neither a geometry nor a bbox"),
        ({**s2_item(), "bbox": [4e5, 5e6, 5e5, 6e6]}, "its bbox is not in degrees"),
        (s1_item(**{"sar:instrument_mode": "EW"}), "mode is EW"),
        ({**s1_item(), "assets": {"vv": {}, "vh": {"href": "a"}}}, "it lacks VV"),
    ],
)
def test_items_that_cannot_be_used_say_why(item, said):
    with pytest.raises(SkippedItem, match=said):
        read(item)


def test_a_missing_scene_classification_is_allowed():
    assert "SCL" not in read(without(s2_item(), asset="SCL")).assets


def test_times_with_an_offset_become_utc():
    scene = read(s2_item(datetime="2024-05-01T01:30:00+02:00"))

    assert scene.acquired == datetime(2024, 4, 30, 23, 30)


def test_a_scene_processed_twice_keeps_its_datatake():
    old, new = (
        read(s2_item(**{"s2:datatake_id": f"GS2A_20200731T080611_026673_N{baseline}"}))
        for baseline in ("02.12", "05.00")
    )

    assert old.datatake == new.datatake == "s2_s2a_20200731T080611"


def test_a_pass_over_midnight_utc_stays_one_pass():
    """Eastern Australia, 10:30 by the sun: tiles on both sides of midnight, no datatake known."""
    facts = {"platform": "Sentinel-2A", "sat:relative_orbit": 30}
    before = {**s2_item(datetime="2024-04-30T23:59:50Z", **facts), "bbox": [152, -27, 153, -26]}
    after = {**s2_item(datetime="2024-05-01T00:00:10Z", **facts), "bbox": [152, -28, 153, -27]}

    assert read(before).datatake == read(after).datatake


def test_a_pass_over_180_degrees_stays_one_pass():
    facts = {"platform": "sentinel-2b", "sat:relative_orbit": 72}
    west = {**s2_item(datetime="2024-05-01T22:20:00Z", **facts), "bbox": [179, -18, 179.9, -17]}
    east = {**s2_item(datetime="2024-05-01T22:20:20Z", **facts), "bbox": [-179.9, -18, -179, -17]}

    assert read(west).datatake == read(east).datatake


def test_morning_and_evening_passes_of_sentinel_1_are_two_even_without_facts():
    morning = read(s1_item(datetime="2024-05-01T05:40:00Z"))
    evening = read(s1_item(datetime="2024-05-01T17:25:00Z"))

    assert morning.datatake != evening.datatake
    assert morning.orbit is None
    assert morning.orbit_state is None


def test_two_satellites_are_two_datatakes():
    one, two = (read(s2_item(platform=f"Sentinel-2{letter}")) for letter in "AB")

    assert one.datatake != two.datatake


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**400), 0, -1, 65535, 1e300, 1e9]),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["N/A", "\x1b[2K", "\0", "\ud800", "x" * 10_000, "0001-01-01T00:00:00+14:00"]),
    st.sampled_from(["9999-12-31T23:59:59Z", "EPSG:None", "EPSG:99999999999", "05.10", "-inf"]),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=3)), max_size=6),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)
PROPERTIES = (
    *("datetime", "start_datetime", "platform", "eo:cloud_cover", "proj:epsg", "proj:code"),
    *("sat:relative_orbit", "sat:orbit_state", "s2:processing_baseline", "processing:version"),
    *("s2:product_type", "s2:product_uri", "s2:datatake_id", "earthsearch:boa_offset_applied"),
    *("sar:instrument_mode", "sar:polarizations", "s2:nodata_pixel_percentage"),
)
PLACES = (
    *(("id",), ("collection",), ("bbox",), ("geometry",), ("properties",), ("assets",)),
    *(("properties", name) for name in PROPERTIES),
    *(("assets", "B02"), ("assets", "B03", "href"), ("assets", "vv"), ("assets", "vh", "href")),
    *(("assets", "B04", "raster:bands"), ("assets", "B05", "proj:code"), ("assets", "SCL")),
)


@given(st.sampled_from(["s2", "s1"]), st.dictionaries(st.sampled_from(PLACES), ODD, max_size=4))
@settings(max_examples=1500, deadline=None)
def test_an_item_of_any_values_gives_a_sane_scene_or_is_skipped(sensor, changes):
    item = s2_item() if sensor == "s2" else s1_item()
    for place, value in changes.items():
        target = item
        for key in place[:-1]:
            target = target.get(key) if isinstance(target, dict) else None
        if isinstance(target, dict):
            target[place[-1]] = value
    try:
        scene = read(item)
    except SkippedItem as reason:
        said = str(reason)
        assert said.isprintable()
        assert len(said) < 600
        return

    assert scene.id
    assert scene.id.isprintable()
    assert len(scene.id) <= 256
    assert 2014 <= scene.acquired.year <= 2100
    assert scene.datatake.isprintable()
    assert all(math.isfinite(side) for side in scene.bbox)
    assert scene.cloud_cover is None or 0 <= scene.cloud_cover <= 100
    assert scene.orbit is None or 0 < scene.orbit < 10_000
    assert scene.orbit_state in {None, "ascending", "descending"}
    assert scene.epsg is None or 1024 <= scene.epsg <= 32767
    assert scene.offset in {0, 1000}
    assert all(isinstance(href, str) and href for href in scene.assets.values())
    assert scene.product is None or scene.product.isprintable()


@pytest.mark.parametrize(
    "properties",
    [
        *({"eo:cloud_cover": value} for value in ("N/A", math.nan, math.inf, -1, 1e9, True, [])),
        *({"sat:relative_orbit": value} for value in (math.inf, math.nan, "x", 65.5, 10**400)),
        *({"proj:epsg": value} for value in (0, math.inf, 10**9, "none", True)),
        *({"proj:code": value} for value in ("EPSG:None", "EPSG:", 32632, "IAU_2015:30100", [])),
        *({"sat:orbit_state": value} for value in (5, "sideways", ["ascending"])),
    ],
)
def test_a_value_that_cannot_be_is_unknown(properties):
    ((name, _),) = properties.items()
    field = {"eo:cloud_cover": "cloud_cover", "sat:relative_orbit": "orbit"}.get(name)
    field = field or ("epsg" if name.startswith("proj:") else "orbit_state")

    assert getattr(read(s2_item(**properties)), field) is None
    assert getattr(read(s1_item(**properties)), field) is None


@pytest.mark.parametrize(
    ("properties", "field", "value"),
    [
        ({"eo:cloud_cover": "12.5"}, "cloud_cover", 12.5),
        ({"sat:relative_orbit": 65.0}, "orbit", 65),
        ({"sat:relative_orbit": "65"}, "orbit", 65),
        ({"proj:code": "epsg:32632"}, "epsg", 32632),
        ({"proj:code": "urn:ogc:def:crs:EPSG::32632"}, "epsg", 32632),
        ({"proj:code": "http://www.opengis.net/def/crs/EPSG/0/32632"}, "epsg", 32632),
        ({"proj:epsg": None, "proj:code": "EPSG:32632"}, "epsg", 32632),
        ({"datetime": None, "start_datetime": "2024-05-01T10:30:00Z"}, "orbit", None),
        ({"datetime": "soon", "start_datetime": "2024-05-01T10:30:00Z"}, "orbit", None),
        ({"sat:orbit_state": "DESCENDING"}, "orbit_state", "descending"),
    ],
)
def test_a_value_in_another_form_is_understood(properties, field, value):
    assert getattr(read(s2_item(**properties)), field) == value


@pytest.mark.parametrize(
    "text",
    [
        *("2024-05-01T10:30:00.123456789Z", "2024-05-01 10:30:00+00:00", "20240501T103000Z"),
        *("2024-05-01t10:30:00z", "2024-05-01T10:30:00", " 2024-05-01T12:30:00+02:00 "),
    ],
)
def test_dates_in_many_forms_are_read(text):
    assert read(s2_item(datetime=text)).acquired.replace(microsecond=0) == datetime(
        2024, 5, 1, 10, 30
    )


def test_the_grid_is_that_of_the_bands_where_they_state_it():
    item = s2_item(**{"proj:epsg": 4326})
    for asset in item["assets"].values():
        asset["proj:code"] = "EPSG:32632"
    mixed, silent = deepcopy(item), s2_item()
    mixed["assets"]["B05"]["proj:code"] = "EPSG:32633"
    for asset in silent["assets"].values():
        asset["proj:epsg"] = 32632

    assert read(item).epsg == 32632
    assert read(mixed).epsg is None
    assert read(silent).epsg == 32632


@pytest.mark.parametrize(
    ("name", "said"),
    [
        *((name, "it has no id") for name in (None, "", [], {}, 1.5, True)),
        *(
            (name, "cannot be shown")
            for name in ("a\x1b[2K", "a\0", "\ud800", "a\nb", " ", "\u202e")
        ),
        ("x" * 257, "more than 256 characters"),
    ],
)
def test_an_id_that_could_not_be_named_is_refused(name, said):
    with pytest.raises(SkippedItem, match=said):
        read({**s2_item(), "id": name})


@pytest.mark.parametrize("name", ["a", "été_2024", "場所", 5, "x" * 256])
def test_any_other_id_is_kept(name):
    assert read({**s2_item(), "id": name}).id == str(name)


def renamed(item: dict, keys: dict[str, str]) -> dict:
    assets = {keys.get(band, band): asset for band, asset in item["assets"].items()}
    return {**item, "assets": assets}


@pytest.mark.parametrize("profile", [PLANETARY_COMPUTER, EARTH_SEARCH, CDSE])
@pytest.mark.parametrize("layout", [PLANETARY_COMPUTER, EARTH_SEARCH, CDSE])
def test_each_item_is_read_by_its_own_keys(profile, layout):
    item = renamed(s2_item(), layout.assets)

    scene = Scene.from_item(item, profile)

    expected = {band: f"https://host/{band}.tif" for band in (*S2_BANDS, "SCL")}
    assert scene.assets == expected


def test_a_scene_across_180_degrees_counts_its_day_by_the_sun_there():
    facts = {
        "platform": "sentinel-2b",
        "sat:relative_orbit": 72,
        "datetime": "2024-05-01T22:20:00Z",
    }
    across = {**s2_item(**facts), "bbox": [179.5, -18, -179.5, -17]}
    beside = {**s2_item(**facts), "bbox": [179.0, -18, 179.9, -17]}

    assert read(across).datatake == read(beside).datatake
