"""Plans of archives whose items are faulty, doubled, or near 180 degrees."""

import copy
import json
from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pytest
import shapely

from lulcmap.catalog.period import make_period
from lulcmap.catalog.scene import Scene
from lulcmap.errors import NoScenesError
from lulcmap.geo.area import load_area
from lulcmap.planning.estimate.footprints import pixel_boxes
from lulcmap.planning.estimate.run import estimate_run
from lulcmap.planning.planner import plan_map
from lulcmap.planning.settings import Settings
from lulcmap.simulation.build import Country, simulate
from tests.support.stubs import contract, make_model

PERIOD = make_period(year=2024, today=date(2026, 1, 1))


@pytest.fixture(scope="module")
def country(tmp_path_factory):
    folder = tmp_path_factory.mktemp("country")
    return simulate(folder, Country(seed=1, height=256, width=320, s2_dates=3, s1_dates=2))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model") / "stub.onnx", contract(), kernel=8)


@pytest.fixture
def plan(country, model, tmp_path):
    """Plans the country from the items that a change makes of each item."""

    def of(change=lambda item: [item], *, aoi=None, **changes):
        items = json.loads(country.items.read_text())
        features = [new for item in items["features"] for new in change(copy.deepcopy(item))]
        path = country.items.with_name("changed.json")
        path.write_text(json.dumps(items | {"features": features}))
        settings = Settings(
            model=str(model), catalog=str(path), block_size=96, device="cpu", **changes
        )
        area = load_area(str(country.aoi) if aoi is None else aoi)
        return plan_map(area, tmp_path / "run", period=PERIOD, settings=settings)

    return of


def is_s1(item: dict) -> bool:
    return item["collection"] == "sentinel-1-rtc"


def outside(item: dict) -> list[dict]:
    """An item whose assets lie outside the catalogue's folder."""
    for asset in item["assets"].values():
        asset["href"] = "file:///elsewhere/a.tif"
    return [item]


def test_if_all_items_are_skipped_the_error_says_how_many_and_why(plan):
    with pytest.raises(NoScenesError) as caught:
        plan(outside)

    assert caught.value.exit_code == 3
    said = str(caught.value)
    assert "skipped: 5, because an href is neither on http(s)" in said
    assert "the first is S1" in said
    assert "Check the area" not in said


def test_if_all_items_of_a_sensor_are_skipped_a_note_names_its_collection(plan):
    planned = plan(lambda item: outside(item) if is_s1(item) else [item])

    (note,) = [note for note in planned.notes if "can be used" in note]
    assert note.startswith("None of the 2 items of 'sentinel-1-rtc' can be used: an href")
    assert note in planned.about.notes
    with pytest.raises(NoScenesError, match="None of the 2 items of 'sentinel-1-rtc'"):
        plan(lambda item: outside(item) if is_s1(item) else [item], s1="required")


def test_an_archive_without_the_area_still_asks_for_its_place(plan):
    with pytest.raises(NoScenesError, match="Check the area's coordinates"):
        plan(lambda _: [])


def doubled(item: dict) -> list[dict]:
    """An item of Sentinel-2, as a product that was processed again."""
    if is_s1(item):
        return [item]
    day = item["properties"]["datetime"].replace("-", "").replace(":", "")[:15]
    name = f"S2A_MSIL2A_{day}_R065_T32TMT_2024{{}}T000000"
    older = {**item, "id": name.format("0101")}
    older["properties"] = {**item["properties"], "eo:cloud_cover": 90.0}
    return [older, {**item, "id": name.format("0601")}]


def test_older_products_stand_behind_and_change_neither_rank_nor_estimate(plan, tmp_path):
    once, twice = plan(), plan(doubled)
    ticks = iter((0.0, 0.5, 0.0, 0.5))
    estimates = [
        estimate_run(p, out=tmp_path / "a.tif", folder=tmp_path / "run", clock=lambda: next(ticks))
        for p in (once, twice)
    ]

    assert [len(datatake) for datatake in twice.plan.s2_dates] == [2, 2, 2]
    assert all(datatake[0].endswith("0601T000000") for datatake in twice.plan.s2_dates)
    acquired = [[p.job.zones[0].s2_dates[i][0].acquired for i in range(3)] for p in (once, twice)]
    assert acquired[0] == acquired[1]
    assert estimates[0].reads == estimates[1].reads
    assert estimates[0].s2 == estimates[1].s2
    assert twice.skipped == ()


def test_a_bbox_narrower_than_the_geometry_changes_nothing(plan):
    def narrow(item):
        _, south, east, north = item["bbox"]
        return [{**item, "bbox": [east - 0.001, south, east, north]}]

    good, narrowed = plan(), plan(narrow)

    assert narrowed.plan.s2_dates == good.plan.s2_dates
    assert [s.bbox for s in narrowed.scenes.scenes] == [s.bbox for s in good.scenes.scenes]


def at(item: dict, west: float, east: float) -> dict:
    box = shapely.box(west, -17.2, east, -16.8)
    west, east = ((lon + 180) % 360 - 180 for lon in (west, east))
    return {
        **item,
        "id": f"{item['id']}_{west:.1f}",
        "bbox": [west, -17.2, east, -16.8],
        "geometry": json.loads(shapely.to_geojson(box)),
    }


def test_scenes_just_beyond_180_degrees_are_found_as_those_on_this_side(plan, tmp_path):
    area = tmp_path / "fiji.geojson"
    area.write_text(shapely.to_geojson(shapely.box(179.9, -17.1, 179.99, -17.0)))
    sides = ((179.5, 179.999), (180.01, 180.5), (181.0, 181.5))

    planned = plan(lambda item: [at(item, *side) for side in sides], aoi=str(area))

    found = {scene.id.rpartition("_")[2] for scene in planned.scenes.scenes}
    assert found == {"179.5", "-180.0"}


def test_a_box_round_the_globe_reaches_all_of_a_zone():
    scene = Scene(
        id="a",
        sensor="s2",
        acquired=datetime(2024, 6, 1),
        datatake="a",
        bbox=(-180.0, -18.0, 180.0, -17.0),
        epsg=None,
        orbit=None,
        orbit_state=None,
        cloud_cover=None,
        offset=0,
        assets={},
    )
    narrow = replace(scene, bbox=(174.0, -18.0, 180.0, -17.0))

    globe, zone = pixel_boxes([scene, narrow], 32760)

    assert np.isfinite(globe).all()
    assert (globe[:2] <= zone[:2]).all()
    assert (globe[2:] >= zone[2:]).all()
