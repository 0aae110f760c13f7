"""UTM zones of an area, its parts far from each other, and the CRS of its map."""

from itertools import combinations

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyproj import Geod

from lulcmap.errors import AreaError
from lulcmap.geo.grid import project
from lulcmap.geo.parts import distant_parts
from lulcmap.geo.utm import ZonePart, centre, map_crs, split_by_zone, utm_zone

WGS84 = Geod(ellps="WGS84")

PLACES = st.tuples(
    # as a file has them; GEOS loses whole parts of a polygon with a corner at 1e-300
    st.floats(-180, 180).map(lambda lon: round(lon, 9)),
    st.floats(-80, 84).map(lambda lat: round(lat, 9)),
)


def box(west, south, east, north):
    return shapely.MultiPolygon([shapely.box(west, south, east, north)])


def boxes(*bounds):
    return shapely.MultiPolygon([shapely.box(*one) for one in bounds])


@pytest.mark.parametrize(
    "area",
    [box(-180, -80, 180, 84), box(-10, 50, 50, 84), box(2, 55, 13, 65), box(-3, -1, 3, 1)],
    ids=["world", "north", "norway", "equator"],
)
def test_a_point_is_in_the_part_of_its_zone_and_in_no_other(area):
    west, south, east, north = area.bounds
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(west, east, 3000), rng.uniform(south, north, 3000)])

    parts = split_by_zone(area)

    within = np.array([shapely.contains_xy(part.polygon, *points.T) for part in parts])
    codes = np.array([part.epsg for part in parts])
    np.testing.assert_array_equal(within.sum(axis=0), 1)
    owners = codes[within.argmax(axis=0)]
    np.testing.assert_array_equal(owners, [utm_zone(lon, lat) for lon, lat in points])


@settings(deadline=None)
@given(st.lists(PLACES, min_size=3, max_size=8, unique=True))
def test_the_parts_add_up_to_the_area_and_do_not_overlap(points):
    hull = shapely.MultiPoint(points).convex_hull
    assume(isinstance(hull, shapely.Polygon) and hull.area > 1e-6)

    parts = [part.polygon for part in split_by_zone(shapely.MultiPolygon([hull]))]

    assert sum(part.area for part in parts) == pytest.approx(hull.area, rel=1e-9)
    assert shapely.union_all(parts).symmetric_difference(hull).area < 1e-9 * hull.area + 1e-12


def test_an_area_in_one_zone_stays_as_it_is():
    area = box(6, 49, 12, 50)

    assert split_by_zone(area) == [ZonePart(32632, area)]
    assert map_crs(area) == "EPSG:32632"


@pytest.mark.parametrize("lat", [84.01, -80.01])
def test_the_poles_are_refused(lat):
    with pytest.raises(AreaError, match="80 S and 84 N"):
        split_by_zone(box(5, min(lat, 50), 20, max(lat, 50)))


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


def far(area):
    """The bounds of the boxes in each group of an area."""
    return [[part.bounds for part in group.geoms] for group in distant_parts(area)]


def test_parts_on_an_ocean_s_other_side_are_areas_of_their_own_the_largest_first():
    islands = [(-156, 19, -155, 20), (-160, 22, -159.5, 22.2), (-157, 21, -156, 21.2)]
    mainland, alaska = (-120, 30, -80, 48), (-160, 60, -141, 70)

    assert far(boxes(*islands, mainland, alaska)) == [[mainland], [alaska], islands]


@pytest.mark.parametrize("lat", [-70.0, 0.0, 45.0, 78.0])
@pytest.mark.parametrize("azimuth", [0.0, 60.0, 90.0])
@pytest.mark.parametrize(("km", "n"), [(480, 1), (497, 1), (503, 2), (520, 2)])
def test_five_hundred_kilometres_are_those_of_the_ellipsoid(lat, azimuth, km, n):
    ends = [WGS84.fwd(20, lat, azimuth + turn, km * 500)[:2] for turn in (0, 180)]
    # so small that it does not matter which corners are nearest
    area = boxes(*((lon, to, lon + 1e-4, to + 1e-4) for lon, to in ends))

    assert len(distant_parts(area)) == n


def test_a_little_more_than_five_hundred_kilometres_is_apart_wherever_it_is():
    rng = np.random.default_rng(0)
    for lon, lat, azimuth in rng.uniform((-180, -75, 0), (180, 75, 360), (1000, 3)):
        there = WGS84.fwd(lon, lat, azimuth, 504e3)[:2]
        area = boxes(*((x, y, x + 1e-4, y + 1e-4) for x, y in ((lon, lat), there)))

        assert len(distant_parts(area)) == 2


def test_an_island_that_lies_off_the_middle_of_a_long_straight_coast_is_near_it():
    coast = (-40, 0, 0, 10)
    north = [10 + km / 110.6 for km in (490, 510)]  # a degree of latitude is 110.6 km there
    near, away = [(-20.03, lat, -20.02, lat + 0.01) for lat in north]

    assert far(boxes(coast, near)) == [[coast, near]]
    assert far(boxes(coast, away)) == [[coast], [away]]


def test_a_chain_of_islands_is_one_however_long_it_is():
    chain = [(lon, 0, lon + 1, 1) for lon in range(-30, 31, 5)]

    assert far(boxes(*chain)) == [chain]
    assert len(distant_parts(boxes(*chain[::2]))) == 7


def test_both_sides_of_180_degrees_are_near_each_other():
    east, west, beyond = (176, -18, 180, -16), (-180, -18, -178, -16), (-172, -18, -171, -16)
    touching, across = boxes(east, west), boxes((176, -18, 179, -16), (-179, -18, -178, -16))

    assert len(distant_parts(touching)) == len(distant_parts(across)) == 1
    assert far(boxes(east, beyond)) == [[east], [beyond]]
    assert far(boxes(east, beyond, west)) == [[east, west], [beyond]]


def test_an_island_in_the_middle_of_a_wide_hole_is_apart():
    ring = shapely.box(0, 0, 20, 20) - shapely.box(4, 4, 16, 16)
    island = shapely.box(9.9, 9.9, 10.1, 10.1)

    assert len(distant_parts(shapely.MultiPolygon([ring, island]))) == 2
    assert len(distant_parts(shapely.MultiPolygon([ring, island.buffer(2)]))) == 1


def distance(one, other):
    """Metres between the borders of two boxes, by the geodesics between places 4 km apart."""
    a, b = (shapely.get_coordinates(shapely.segmentize(box, 0.04)) for box in (one, other))
    pairs = np.repeat(a, len(b), axis=0).T, np.tile(b, (len(a), 1)).T
    return WGS84.inv(*pairs[0], *pairs[1])[2].min()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(-45, 44), st.integers(0, 20), st.sampled_from((0.1, 0.4, 0.9))),
        min_size=2,
        max_size=7,
        unique_by=lambda place: place[:2],
    ),
    st.sampled_from((-80, -40, 0, 60)),
)
def test_parts_are_linked_by_steps_of_five_hundred_kilometres(places, south):
    lons = [(lon * 2 + 180 + 180) % 360 - 180 for lon, _, _ in places]
    area = boxes(
        *(
            (lon, south + lat, lon + size, south + lat + size)
            for lon, (_, lat, size) in zip(lons, places, strict=True)
        )
    )
    steps = {pair: distance(*pair) for pair in combinations(area.geoms, 2)}
    assume(all(abs(step - 500e3) > 2.5e3 for step in steps.values()))
    groups = {part: {part} for part in area.geoms}
    for one, other in (pair for pair, step in steps.items() if step < 500e3):
        joined = groups[one] | groups[other]
        groups |= dict.fromkeys(joined, joined)

    found = [set(group.geoms) for group in distant_parts(area)]

    assert sorted(map(sorted_bounds, found)) == sorted(
        {sorted_bounds(group) for group in groups.values()}
    )


def sorted_bounds(parts):
    return tuple(sorted(part.bounds for part in parts))
