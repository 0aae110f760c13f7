"""Footprints near 180 degrees, in each of the ways in which catalogues write them."""

import json

import numpy as np
import pytest
import shapely
import shapely.affinity
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.catalog import footprint as module
from lulcmap.catalog.footprint import item_footprint, middle_longitude
from lulcmap.catalog.skip import SkippedItem

GLOBE = shapely.box(-180, -90, 180, 90)


def item_box(item: dict) -> module.Box:
    return module.item_box(item, item_footprint(item))


def moved(shape: shapely.Geometry, change) -> shapely.Geometry:
    return shapely.transform(shape, lambda xy: np.column_stack([change(xy[:, 0]), xy[:, 1]]))


def split(shape: shapely.Geometry) -> shapely.Geometry:
    """A shape between 0 and 360 degrees, as polygons between -180 and 180."""
    sides = [
        shapely.intersection(shapely.affinity.translate(shape, -turn), GLOBE) for turn in (0, 360)
    ]
    parts = [part for side in sides for part in shapely.get_parts(side) if part.area > 0]
    return shapely.MultiPolygon(parts)


def habits(tile: shapely.Polygon) -> dict[str, tuple[shapely.Geometry | None, list | None]]:
    """Geometry and bbox of a tile between 0 and 360 degrees, as catalogues write them."""
    west, south, east, north = tile.bounds
    parts = split(tile)
    inside = moved(tile, lambda x: np.where(x > 180, x - 360, x))
    rfc = [west if west < 180 else west - 360, south, east if east <= 180 else east - 360, north]
    around = [parts.bounds[0], south, parts.bounds[2], north]
    corners = [inside.bounds[0], south, inside.bounds[2], north]
    good = {
        "RFC 7946": (parts, rfc),
        "bbox of the split polygons": (parts, around),
        "bbox of the corners": (parts, corners),
        "bbox that stops short of -180": (parts, [corners[0], south, max(corners[2], 180), north]),
        "no bbox": (parts, None),
        "six values": (parts, [*rfc[:2], 0, *rfc[2:], 100]),
        "beyond 180": (tile, [west, south, east, north]),
        "below -180": (moved(tile, lambda x: x - 360), [west - 360, south, east - 360, north]),
        "a ring that jumps": (inside, corners),
        "a ring that jumps, good bbox": (inside, rfc),
        "a ring that jumps, no bbox": (inside, None),
        "projected bbox": (parts, [4e5, 8e6, 5e5, 8.1e6]),
        "a bbox elsewhere": (parts, [10.0, 49.0, 11.0, 50.0]),
    }
    alone = {
        f"{name}, no geometry": (None, good[name][1])
        for name in ("RFC 7946", "bbox of the split polygons", "bbox of the corners")
    }
    more = {
        "beyond 180, no geometry": (None, [west, south, east, north]),
        "below -180, no geometry": (None, [west - 360, south, east - 360, north]),
        "stops short of -180, no geometry": (None, good["bbox that stops short of -180"][1]),
    }
    return good | alone | more


def item(shape: shapely.Geometry | None, bbox: list | None) -> dict:
    geometry = None if shape is None else json.loads(shapely.to_geojson(shape))
    return {"geometry": geometry, **({} if bbox is None else {"bbox": bbox})}


def in_box(box, lon: float, lat: float) -> bool:
    west, south, east, north = box
    east += 360 * (east < west)
    return south <= lat <= north and any(west <= lon + turn <= east for turn in (-360, 0, 360))


@st.composite
def tiles(draw) -> shapely.Polygon:
    """A slanted tile near 180 degrees or across it, between 0 and 360 degrees."""
    west, south = draw(st.floats(177.5, 181.5)), draw(st.floats(-70, 70))
    width, height = draw(st.floats(0.3, 2.5)), draw(st.floats(0.3, 1.1))
    lean = draw(st.floats(-0.1, 0.1))
    return shapely.Polygon(
        [
            (west, south),
            (west + width, south + lean / 4),
            (west + width + lean, south + height),
            (west + lean, south + height),
        ]
    )


@given(tiles(), st.data())
def test_each_habit_gives_the_footprint_of_good_boxes(tile, data):
    name, (shape, bbox) = data.draw(st.sampled_from(sorted(habits(tile).items(), key=str)))
    one, true = item(shape, bbox), split(tile)

    footprint, box = item_footprint(one), item_box(one)

    assert footprint.is_valid
    assert GLOBE.covers(footprint)
    lost = shapely.difference(true, footprint.buffer(1e-9))
    assert lost.area < 1e-9, name
    if shape is not None:
        assert footprint.area == pytest.approx(tile.area, abs=1e-9), name
    for lon, lat in shapely.get_coordinates(shapely.buffer(true, -1e-6)):
        assert in_box(box, lon, lat), name


@given(tiles(), st.sampled_from(["RFC 7946", "beyond 180", "below -180", "a ring that jumps"]))
def test_the_box_is_as_narrow_as_the_tile(tile, habit):
    west, _, east, _ = item_box(item(*habits(tile)[habit]))

    width = east - west + 360 * (east < west)
    assert width == pytest.approx(tile.bounds[2] - tile.bounds[0], abs=1e-9)
    true = (tile.bounds[0] + tile.bounds[2]) / 2
    middle = middle_longitude(item_box(item(*habits(tile)[habit])))
    assert (middle - true + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)


def test_the_geometry_wins_over_a_bbox_that_is_narrower():
    square = shapely.box(8.0, 47.0, 9.0, 48.0)

    assert item_box(item(square, [8.9, 47.0, 9.0, 48.0])) == (8.0, 47.0, 9.0, 48.0)
    assert item_box(item(square, [7.9, 47.0, 9.0, 48.0])) == (7.9, 47.0, 9.0, 48.0)


@pytest.mark.parametrize(
    "geometry",
    [
        *(None, 5, "POLYGON", [], {}, {"type": "Polygon"}, {"type": "Polygon", "coordinates": "x"}),
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [float("nan"), 1], [1, 1], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [float("inf"), 1], [1, 1], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[4e5, 5e6], [5e5, 5e6], [5e5, 6e6], [4e5, 5e6]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [10**400, 1], [1, 1], [0, 0]]]},
        {"type": "Point", "coordinates": [6.5, 49.5]},
        {"type": "GeometryCollection", "geometries": []},
    ],
)
def test_a_geometry_that_is_no_footprint_leaves_the_bbox(geometry):
    given_box = {"geometry": geometry, "bbox": [6.0, 49.0, 7.0, 50.0]}

    assert item_footprint(given_box).equals(shapely.box(6, 49, 7, 50))
    assert item_box(given_box) == (6.0, 49.0, 7.0, 50.0)
    with pytest.raises(SkippedItem, match="neither a geometry nor a bbox"):
        item_footprint({"geometry": geometry})


@pytest.mark.parametrize(
    "bbox",
    [
        *("6,49,7,50", [6.0, 49.0, 7.0], [6.0, 49.0, 7.0, "50"], [6.0, 50.0, 7.0, 49.0]),
        *([float("nan")] * 4, [float("-inf"), 49, float("inf"), 50], [10**400, 1, 2, 3], {"a": 1}),
    ],
)
def test_a_bbox_that_is_none_is_refused_or_left_to_the_geometry(bbox):
    with pytest.raises(SkippedItem, match="its bbox is not in degrees"):
        item_footprint({"bbox": bbox})
    square = shapely.box(6, 49, 7, 50)
    assert item_box(item(square, bbox)) == (6.0, 49.0, 7.0, 50.0)


def test_a_bbox_round_the_globe_without_a_geometry_may_be_anywhere_on_its_parallels():
    globe = {"bbox": [-180.0, -18.0, 180.0, -17.0]}

    assert item_box(globe) == (-180.0, -18.0, 180.0, -17.0)
    assert item_footprint(globe).bounds == (-180.0, -18.0, 180.0, -17.0)


def test_polygons_in_collections_and_with_heights_count():
    square = shapely.box(6, 49, 7, 50)
    inner = json.loads(shapely.to_geojson(shapely.force_3d(square, 100.0)))
    point = {"type": "Point", "coordinates": [1, 1]}
    collection = {"type": "GeometryCollection", "geometries": [point, inner]}

    assert item_footprint({"geometry": collection}).equals(square)
