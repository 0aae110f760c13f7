"""Longitudes past 180 degrees: the same area as within."""

import json

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from lulcmap.errors import AreaError
from lulcmap.geo import load_area


def moved(shape, degrees):
    return shapely.transform(shape, lambda xy: xy + np.array([degrees, 0]))


def in_circle(shape):
    """Longitudes from 0 to 360, corner by corner: rings may jump there."""
    return shapely.transform(shape, lambda xy: np.column_stack([xy[:, 0] % 360, xy[:, 1]]))


def assert_same_area(one, other):
    assert shapely.symmetric_difference(one.polygon, other.polygon).area < 1e-9
    assert one.polygon.bounds[0] >= -180
    assert one.polygon.bounds[2] <= 180


BOXES = st.builds(
    lambda west, south, width, height: shapely.box(west, south, west + width, south + height),
    st.floats(-180, 179.9),
    st.floats(-80, 70),
    st.floats(0.1, 90),
    st.floats(0.1, 5),
)


@settings(deadline=None)
@given(box=BOXES, turns=st.sampled_from([-360, 360]))
def test_an_area_is_the_same_a_turn_away(box, turns):
    away = moved(box, turns)
    if away.bounds[0] < -360 or away.bounds[2] > 360:
        return

    assert_same_area(load_area(away), load_area(box))


@settings(deadline=None)
@given(box=BOXES)
def test_longitudes_from_0_to_360_are_the_same_area(box):
    # where the ring jumps at Greenwich, too
    assert_same_area(load_area(in_circle(box)), load_area(box))


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        ((200, 10, 210, 20), [(-160, 10, -150, 20)]),
        ((180, 10, 190, 20), [(-180, 10, -170, 20)]),
        ((350, 10, 360, 20), [(-10, 10, 0, 20)]),
        ((170, 10, 190, 20), [(170, 10, 180, 20), (-180, 10, -170, 20)]),
        ((-190, 10, -170, 20), [(170, 10, 180, 20), (-180, 10, -170, 20)]),
    ],
)
@pytest.mark.parametrize("kind", ["file", "box"])
def test_longitudes_past_180_are_understood(tmp_path, corners, expected, kind):
    source = ",".join(map(str, corners))
    if kind == "file":
        path = tmp_path / "a.geojson"
        path.write_text(json.dumps(shapely.geometry.mapping(shapely.box(*corners))))
        source = str(path)

    area = load_area(source)

    assert sorted(part.bounds for part in area.polygon.geoms) == sorted(expected)


def test_what_was_moved_is_said():
    assert "read as west of 0" in load_area(shapely.box(200, 10, 210, 20)).notes[0]
    assert "crosses 180" in load_area(shapely.box(170, 10, 190, 20)).notes[0]
    assert load_area(shapely.box(10, 10, 20, 20)).notes == ()


@pytest.mark.parametrize(
    "corners", [(355, 10, 365, 20), (508, 10, 509, 20), (500_000, 10, 500_010, 20)]
)
def test_longitudes_past_360_are_refused(corners):
    with pytest.raises(AreaError, match="not longitude, latitude"):
        load_area(shapely.box(*corners))


def test_a_polygon_round_the_globe_is_refused():
    with pytest.raises(AreaError, match="round the globe"):
        load_area(shapely.segmentize(shapely.box(0, 10, 200, 20), 10))
