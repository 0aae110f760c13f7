import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from lulcmap.products.coverage import (
    all_classes,
    covered_box,
    covered_classes,
    covered_shares,
    polygon_edges,
)

corner = st.tuples(*[st.floats(-4, 14) | st.integers(-4, 14).map(float)] * 2)
box = st.tuples(st.integers(-5, 8), st.integers(-5, 8), st.integers(1, 9), st.integers(1, 9))


def valid(corners):
    """The polygons of a ring that may cross itself."""
    parts = shapely.get_parts(shapely.make_valid(shapely.Polygon(corners)))
    return shapely.union_all([part for part in parts if part.geom_type == "Polygon"])


def cells(box):
    row, col, height, width = box
    x, y = np.meshgrid(np.arange(col, col + width), np.arange(row, row + height))
    return shapely.box(x, y, x + 1, y + 1)


@settings(deadline=None)  # the first call compiles
@given(st.lists(corner, min_size=3, max_size=12), box)
def test_every_pixel_has_the_share_that_shapely_cuts_out_of_it(corners, box):
    polygon = valid(corners)

    shares = covered_shares(polygon_edges(np.array([polygon])), box)

    expected = shapely.area(shapely.intersection(cells(box), polygon))
    np.testing.assert_allclose(shares, expected, atol=1e-9)


@settings(deadline=None)  # the first call compiles
@given(st.lists(corner, min_size=3, max_size=9), st.lists(corner, min_size=3, max_size=9), box)
def test_holes_and_parts_are_as_shapely_has_them(outer, inner, box):
    pieces = [valid(outer) - valid(inner), shapely.box(20, 20, 21, 22)]

    shares = covered_shares(polygon_edges(np.array(pieces)), box)

    expected = sum(shapely.area(shapely.intersection(cells(box), piece)) for piece in pieces)
    np.testing.assert_allclose(shares, expected, atol=1e-9)


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 10**6))
def test_neighbours_share_the_pixels_between_them(seed):
    rng = np.random.default_rng(seed)
    seeds = shapely.multipoints(rng.uniform(0, 12, (7, 2)))
    frame = shapely.box(0.3, 0.7, 11.6, 11.2)
    cells_of = shapely.get_parts(shapely.voronoi_polygons(seeds, extend_to=frame))
    regions = shapely.intersection(cells_of, frame)

    total = sum(covered_shares(polygon_edges(np.array([one])), (0, 0, 12, 12)) for one in regions)

    whole = covered_shares(polygon_edges(np.array([frame])), (0, 0, 12, 12))
    np.testing.assert_allclose(total, whole, atol=1e-9)


def test_windows_together_are_the_whole():
    rng = np.random.default_rng(3)
    values = rng.integers(0, 4, (40, 60)).astype(np.uint8)
    areas = rng.uniform(90, 110, values.shape)
    edges = polygon_edges(np.array([shapely.Point(31, 17).buffer(15.3)]))
    whole = covered_classes(values, areas, edges, (0, 0, 40, 60))

    pixels, square_metres = np.zeros(256), np.zeros(256)
    for row in range(0, 40, 16):
        for col in range(0, 60, 16):
            part = covered_box(edges, (row, col, min(16, 40 - row), min(16, 60 - col)))
            if part is not None:
                cut = np.s_[part[0] : part[0] + part[2], part[1] : part[1] + part[3]]
                one = covered_classes(values[cut], areas[cut], edges, part)
                pixels, square_metres = pixels + one[0], square_metres + one[1]

    np.testing.assert_allclose(pixels, whole[0], atol=1e-9)
    np.testing.assert_allclose(square_metres, whole[1], atol=1e-7)
    assert pixels.sum() == pytest.approx(shapely.Point(31, 17).buffer(15.3).area)


def test_a_polygon_round_a_window_covers_all_of_it():
    values = np.uint8([[1, 1], [2, 255]])
    areas = np.array([[10.0, 11.0], [12.0, 13.0]])
    edges = polygon_edges(np.array([shapely.box(-5, -5, 9, 9)]))

    covered, everything = (
        covered_classes(values, areas, edges, (0, 0, 2, 2)),
        all_classes(values, areas),
    )

    np.testing.assert_array_equal(covered, everything)
    assert everything[1][[1, 2, 255]].tolist() == [21, 12, 13]


@pytest.mark.parametrize("polygon", [shapely.box(10, 0, 12, 2), shapely.MultiPolygon()])
def test_a_polygon_beside_a_window_has_no_part_of_it(polygon):
    assert covered_box(polygon_edges(np.array([polygon])), (0, 0, 5, 10)) is None


def test_shares_are_those_of_exactextract():
    exactextract = pytest.importorskip("exactextract")
    rng = np.random.default_rng(8)
    values = rng.integers(0, 3, (50, 70)).astype(np.uint8)
    around = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radius = rng.uniform(8, 24, 40)
    ring = np.column_stack([35 + radius * np.cos(around), 25 + radius * np.sin(around)])
    raster = exactextract.raster.NumPyRasterSource(values[::-1], 0, 0, 70, 50)
    feature = {"type": "Feature", "geometry": shapely.geometry.mapping(shapely.Polygon(ring))}

    theirs = exactextract.exact_extract(raster, feature, ["unique", "frac", "count"])[0]
    ours = covered_classes(
        values,
        np.ones(values.shape),
        polygon_edges(np.array([shapely.Polygon(ring)])),
        (0, 0, 50, 70),
    )[0]

    found = theirs["properties"]
    expected = dict(zip(found["unique"], found["frac"] * found["count"], strict=True))
    assert {value: ours[int(value)] for value in expected} == pytest.approx(expected, rel=1e-6)
