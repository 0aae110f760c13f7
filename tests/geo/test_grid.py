import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from pyproj.aoi import AreaOfInterest
from pyproj.database import query_utm_crs_info

from lulcmap.errors import AreaError
from lulcmap.geo.grid import covering_box, covering_grid, footprint, geobox, pixels_inside, project
from lulcmap.geo.tiling import Box
from lulcmap.geo.utm import utm_zone

LAEA = "+proj=laea +lat_0=47 +lon_0=10 +datum=WGS84 +units=m +no_defs"

POINTS = st.lists(
    st.tuples(st.floats(-300, 300), st.floats(-300, 300)), min_size=3, max_size=12, unique=True
)


@settings(max_examples=25, deadline=None)  # pyproj's query is slow
@given(st.floats(-179.99, 179.99), st.floats(-79.99, 83.99))
def test_the_zone_is_pyprojs_outside_the_exceptions(lon, lat):
    assume(abs((lon + 180) % 6) > 1e-6)
    assume(abs(lat) > 1e-6)
    assume(not (56 <= lat < 64 and 0 <= lon < 12))
    assume(not (lat >= 72 and 0 <= lon < 42))
    (found,) = query_utm_crs_info("WGS 84", AreaOfInterest(lon, lat, lon, lat))

    assert utm_zone(lon, lat) == int(found.code)


@pytest.mark.parametrize(
    ("lon", "lat", "zone"),
    [
        (2.9, 60, 31),
        (3.1, 60, 32),
        (5.9, 55.9, 31),
        (5.9, 64.1, 31),
        (8.9, 73, 31),
        (9.1, 73, 33),
        (20.9, 80, 33),
        (21.1, 80, 35),
        (33.1, 80, 37),
        (41.9, 80, 37),
        (42.1, 80, 38),
        (8.9, 71.9, 32),
        (-9, 73, 29),
        (180, 10, 60),
    ],
)
def test_norway_and_svalbard_have_the_zones_of_the_military_grid(lon, lat, zone):
    assert utm_zone(lon, lat) == 32600 + zone


@pytest.mark.parametrize("lat", [84.01, -80.01])
def test_the_poles_are_refused(lat):
    with pytest.raises(AreaError, match="80 S and 84 N"):
        utm_zone(0, lat)


def polygon_of(points, *, row=0, col=0):
    """The hull of points in pixels from a pixel, in metres."""
    hull = shapely.MultiPoint(points).convex_hull
    assume(isinstance(hull, shapely.Polygon) and hull.area > 1e-6)
    metres = [((x + col) * 10, (y - row) * 10) for x, y in hull.exterior.coords]
    return shapely.MultiPolygon([shapely.Polygon(metres)])


@given(POINTS, st.integers(-900_000, 900_000), st.integers(10_000, 90_000))
def test_covering_holds_the_polygon_and_no_row_or_column_more(points, row, col):
    polygon = polygon_of(points, row=row, col=col)
    box = covering_box(polygon)
    left, bottom, right, top = polygon.bounds

    assert shapely.box(*geobox(box, 32632).extent.boundingbox).buffer(1e-6).contains(polygon)
    assert box.col * 10 <= left < box.col * 10 + 10
    assert right > box.stop[1] * 10 - 10 - 1e-6 or box.width == 1
    assert -box.row * 10 >= top > -box.row * 10 - 10
    assert bottom < -box.stop[0] * 10 + 10 + 1e-6 or box.height == 1


@given(st.integers(-900_000, 900_000), st.integers(10_000, 90_000), st.integers(1, 5000))
def test_a_geobox_lies_where_its_box_does(row, col, height):
    grid = geobox(Box(row, col, height, 7), 32632)

    assert grid.shape == (height, 7)
    assert grid.affine[:6] == (10, 0, col * 10, 0, -10, -row * 10)
    assert grid.crs.epsg == 32632


@given(POINTS)
def test_inside_is_the_pixels_whose_centre_is_in_the_polygon(points):
    polygon = polygon_of([(x / 10, y / 10) for x, y in points], row=-560_000, col=40_000)
    box = covering_box(polygon).grown(2)
    x = (box.col + np.arange(box.width) + 0.5) * 10
    y = -(box.row + np.arange(box.height) + 0.5) * 10
    xy = np.stack(np.meshgrid(x, y), -1)
    # a centre on the very edge belongs to either
    on_edge = shapely.distance(polygon.boundary, shapely.points(xy)) < 1e-3

    found = pixels_inside(polygon, geobox(box, 32632))

    expected = shapely.contains_xy(polygon, xy[..., 0], xy[..., 1])
    np.testing.assert_array_equal(found[~on_edge], expected[~on_edge])


def test_inside_cuts_a_far_larger_polygon_to_the_grid_first():
    polygon = shapely.MultiPolygon([shapely.box(0, 0, 1e6, 1e6)])

    assert pixels_inside(polygon, geobox(Box(-50_000, 50_000, 8, 9), 32632)).all()
    assert not pixels_inside(polygon, geobox(Box(50_000, 50_000, 8, 9), 32632)).any()


def test_threads_clip_a_polygon_one_after_the_other(monkeypatch):
    """GEOS notes a polygon's envelope at its first use; half of one says that nothing is there."""
    intersection, busy, alone = shapely.intersection, threading.Lock(), []

    def watched(*geometries):
        is_alone = busy.acquire(blocking=False)
        alone.append(is_alone)
        time.sleep(0.02)
        if is_alone:
            busy.release()
        return intersection(*geometries)

    monkeypatch.setattr("lulcmap.geo.grid.shapely.intersection", watched)
    polygon = shapely.MultiPolygon([shapely.Point(2000, -2000).buffer(900)])
    grids = [geobox(Box(150 + row, 150, 60, 60), 32632) for row in range(4)]

    with ThreadPoolExecutor(4) as pool:
        masks = list(pool.map(lambda grid: pixels_inside(polygon, grid), grids))

    assert all(mask.any() for mask in masks)
    assert all(alone)


def test_a_projected_edge_stays_straight_in_degrees():
    polygon = shapely.MultiPolygon([shapely.box(6, 49.5, 12, 50)])
    to_degrees = Transformer.from_crs(32632, 4326, always_xy=True)

    projected = project(polygon, "EPSG:32632")

    edge = shapely.segmentize(projected, 50)
    lon, lat = to_degrees.transform(*shapely.get_coordinates(edge).T)
    off = np.min([abs(lon - 6), abs(lon - 12), abs(lat - 49.5), abs(lat - 50)], axis=0)
    assert off.max() * 111_000 < 0.05  # metres


def test_an_area_that_a_crs_cannot_express_is_refused():
    with pytest.raises(AreaError, match="EPSG:3575"):
        project(shapely.MultiPolygon([shapely.box(-5, -91, 5, -80)]), "EPSG:3575")


@pytest.mark.parametrize(
    ("crs", "pixel"), [("EPSG:3035", 10), ("EPSG:4326", 1 / 12000), (LAEA, 10)]
)
def test_a_covering_grid_has_its_edges_on_multiples_of_the_pixel(crs, pixel):
    polygon = project(shapely.MultiPolygon([shapely.box(8.001, 47.003, 8.02, 47.017)]), crs)
    grid = covering_grid(polygon, crs)
    left, bottom, right, top = grid.extent.boundingbox

    assert shapely.box(left, bottom, right, top).buffer(1e-9).contains(polygon)
    np.testing.assert_allclose(np.round(np.array([left, top]) / pixel) * pixel, [left, top])
    assert grid.resolution.x == pytest.approx(pixel)
    assert right - polygon.bounds[2] < pixel
    assert polygon.bounds[1] - bottom < pixel


def test_a_footprint_is_in_degrees():
    west, south, east, north = footprint(geobox(Box(-553_000, 50_000, 1000, 1000), 32632))

    assert west == pytest.approx(9, abs=0.01)
    assert south == pytest.approx(49.8, abs=0.1)
    assert 0 < north - south < 0.1 < east - west < 0.15
