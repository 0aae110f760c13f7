"""Polygons whose edges cross: repaired and united where that ends, else refused."""

import numpy as np
import pytest
import shapely

from lulcmap.errors import AreaError
from lulcmap.geo import load_area, map_grids
from lulcmap.geo.crossings import MAX_SELF_CROSSINGS, _self_crossings

RANDOM = np.random.default_rng(0)


def brute_force(ring):
    """Pairs of edges of a ring that cross."""
    edges = shapely.linestrings(np.stack([ring[:-1], ring[1:]], axis=1))
    return sum(int(shapely.crosses(edges[i], edges[i + 1 :]).sum()) for i in range(len(edges)))


@pytest.mark.parametrize("corners", [5, 30, 80])
def test_crossings_are_counted(corners):
    polygon = shapely.Polygon(np.random.default_rng(corners).random((corners, 2)))

    assert _self_crossings(polygon) == brute_force(shapely.get_coordinates(polygon))


def test_crossings_of_many_edges_are_estimated(monkeypatch):
    polygon = shapely.Polygon(RANDOM.random((70, 2)))
    exact = brute_force(shapely.get_coordinates(polygon))
    monkeypatch.setattr("lulcmap.geo.crossings._SAMPLE", 35)

    assert _self_crossings(polygon) == pytest.approx(exact, rel=0.3)


@pytest.mark.parametrize("corners", [150, 3_000, 30_000])
def test_a_scribble_is_refused_with_what_to_do(corners):
    scribble = shapely.Polygon(RANDOM.random((corners, 2)) * 0.1 + (8, 47))

    with pytest.raises(AreaError, match=r"cross themselves .* the limit is about 1,500\. .*repair"):
        load_area(scribble)


def test_many_scribbles_are_refused_together():
    each = shapely.Polygon(RANDOM.random((70, 2)) * 0.1 + (8, 47))
    assert _self_crossings(each) < MAX_SELF_CROSSINGS
    many = [shapely.transform(each, lambda xy, i=i: xy + np.array([0.2 * i, 0])) for i in range(20)]

    with pytest.raises(AreaError, match="cross themselves"):
        load_area(shapely.MultiPolygon(many))


def test_a_tangle_of_slivers_is_refused():
    lines = shapely.linestrings(RANDOM.random((800, 2, 2)) * 0.1 + (8, 47))
    slivers = shapely.buffer(lines, 1e-6, quad_segs=1)

    with pytest.raises(AreaError, match=r"cross each other more than 250,000 times"):
        load_area(shapely.MultiPolygon(list(slivers)))


def test_a_small_scribble_is_repaired():
    polygon = shapely.Polygon(RANDOM.random((30, 2)) * 0.1 + (8, 47))

    area = load_area(polygon)

    assert area.polygon.area == pytest.approx(shapely.make_valid(polygon).area)
    assert "repaired" in area.notes[0]


def test_thousands_of_figure_eights_neighbours_and_overlaps_are_read():
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(8, 9, 0.02), np.arange(47, 48, 0.02)))
    eights = [
        shapely.Polygon([(a, b), (a + 0.01, b + 0.01), (a + 0.01, b), (a, b + 0.01)])
        for a, b in zip(x, y, strict=True)
    ]
    neighbours = shapely.box(x, y, x + 0.02, y + 0.02)
    overlaps = shapely.polygons(RANDOM.random((1_000, 3, 2)) * 0.1 + (8, 47))

    assert load_area(shapely.GeometryCollection(eights)).polygon.area == pytest.approx(
        len(eights) * 0.01**2 / 2
    )
    assert load_area(shapely.GeometryCollection(list(neighbours))).polygon.area == pytest.approx(1)
    area = load_area(shapely.GeometryCollection(list(overlaps))).polygon
    assert shapely.equals(area, shapely.union_all(overlaps))


def test_a_part_that_is_thinner_than_rounding_is_no_part():
    triangle = shapely.Polygon([(-1, 0), (0, 1), (0, 0)])
    for thin in (1e-196, 1e-20, 1e-14):
        sliver = shapely.Polygon([(1, 1), (0, -thin), (0, 0)])

        area = load_area(shapely.MultiPolygon([triangle, sliver]))

        assert shapely.equals(area.polygon, triangle)
        assert [grid.grid.crs.epsg for grid in map_grids(area.polygon, "auto")] == [32630]
        with pytest.raises(AreaError, match="no area"):
            load_area(sliver)
