"""UTM zones of an area, and the CRS of its map."""

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lulcmap.errors import AreaError
from lulcmap.grid import project, utm_zone
from lulcmap.zones import centre, map_crs, split

PLACES = st.tuples(
    # as a file has them; GEOS loses whole parts of a polygon with a corner at 1e-300
    st.floats(-180, 180).map(lambda lon: round(lon, 9)),
    st.floats(-80, 84).map(lambda lat: round(lat, 9)),
)


def box(west, south, east, north):
    return shapely.MultiPolygon([shapely.box(west, south, east, north)])


@pytest.mark.parametrize(
    "area",
    [box(-180, -80, 180, 84), box(-10, 50, 50, 84), box(2, 55, 13, 65), box(-3, -1, 3, 1)],
    ids=["world", "north", "norway", "equator"],
)
def test_a_point_is_in_the_part_of_its_zone_and_in_no_other(area):
    west, south, east, north = area.bounds
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(west, east, 3000), rng.uniform(south, north, 3000)])

    parts = split(area)

    within = np.array([shapely.contains_xy(part, *points.T) for _, part in parts])
    codes = np.array([code for code, _ in parts])
    np.testing.assert_array_equal(within.sum(axis=0), 1)
    found = codes[within.argmax(axis=0)]
    np.testing.assert_array_equal(found, [utm_zone(lon, lat) for lon, lat in points])


@settings(deadline=None)
@given(st.lists(PLACES, min_size=3, max_size=8, unique=True))
def test_the_parts_add_up_to_the_area_and_do_not_overlap(points):
    hull = shapely.MultiPoint(points).convex_hull
    assume(isinstance(hull, shapely.Polygon) and hull.area > 1e-6)

    parts = [part for _, part in split(shapely.MultiPolygon([hull]))]

    assert sum(part.area for part in parts) == pytest.approx(hull.area, rel=1e-9)
    assert shapely.union_all(parts).symmetric_difference(hull).area < 1e-9 * hull.area + 1e-12


def test_an_area_in_one_zone_stays_as_it_is():
    area = box(6, 49, 12, 50)

    assert split(area) == [(32632, area)]
    assert map_crs(area) == "EPSG:32632"


@pytest.mark.parametrize("lat", [84.01, -80.01])
def test_the_poles_are_refused(lat):
    with pytest.raises(AreaError, match="80 S and 84 N"):
        split(box(5, min(lat, 50), 20, max(lat, 50)))


@pytest.mark.parametrize(
    ("area", "crs"),
    [
        (box(11, 47, 13.9, 48), "EPSG:32633"),
        (box(11, 47, 12.9, 48), "EPSG:32632"),
        (box(3.1, 47, 14.9, 48), "EPSG:32632"),
        (box(2.9, 47, 14.9, 48), "+proj=laea +lat_0=48 +lon_0=9 +datum=WGS84 +units=m +no_defs"),
        (box(9, -1, 10, 2), "EPSG:32632"),
        (
            shapely.MultiPolygon(
                [shapely.box(177, -19, 180, -16), shapely.box(-180, -19, -178, -16)]
            ),
            "EPSG:32760",
        ),
    ],
)
def test_a_map_is_in_its_middle_s_zone_if_that_reaches_and_else_equal_area(area, crs):
    assert map_crs(area) == crs


def test_the_middle_of_an_area_at_180_degrees_is_there():
    area = shapely.MultiPolygon([shapely.box(178, 1, 180, 2), shapely.box(-180, 1, -178, 2)])

    lon, lat = centre(area)

    assert abs(lon) == pytest.approx(180)
    assert lat == pytest.approx(1.5, abs=0.001)


def test_an_area_cut_at_180_degrees_is_one_where_its_map_goes_on_there():
    east = shapely.Polygon([(179, -17), (180, -17), (180, -16.3), (180, -16), (179, -16)])
    west = shapely.Polygon([(-180, -17), (-179, -17), (-179, -16), (-180, -16)])
    area = shapely.MultiPolygon([east, west])

    joined = project(area, "EPSG:32760")
    plain = project(area, "EPSG:4326")

    assert shapely.get_num_geometries(joined) == 1
    assert shapely.get_num_geometries(plain) == 2
