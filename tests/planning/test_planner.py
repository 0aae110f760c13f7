"""Plans of an area, beyond what the maps themselves show."""

import pytest
import shapely

from lulcmap.geo.grid import only_polygons, project
from lulcmap.geo.utm import beyond_zone, split_by_zone
from lulcmap.planning.job import REACH_M
from lulcmap.planning.planner import _around

SLIVERS = shapely.MultiPolygon(
    [
        shapely.Polygon(
            [
                (8.342353208797904e-13, 0.5663163983492436),
                (3.0784598763310484e-13, 0.5663163983494673),
                (1.1758670397556628e-13, 0.5663163983496056),
                (-3.919556799185541e-13, 0.56631639835045),
                (-9.946407896999041e-13, 0.5663163983499663),
                (-7.994935965338102e-13, 0.5663163983492436),
                (-3.2521436193828e-13, 0.5663163983490074),
                (-3.8803612311936884e-13, 0.5663163983480494),
                (3.7910113164150666e-13, 0.5663163983480769),
                (7.79147830517914e-13, 0.5663163983486775),
            ]
        ),
        shapely.Polygon(
            [
                (2.3109831894063492e-07, 0.999),
                (2.516142237283967e-07, 0.9990003155142569),
                (-6.825021395939045e-08, 0.9990002990237252),
                (-5.621739746534852e-07, 0.9990002707287176),
                (-5.107283277409777e-07, 0.9989997540462002),
                (-9.522144911380624e-08, 0.9989995828075726),
                (2.5331783925758493e-07, 0.9989996823494768),
            ]
        ),
    ]
)
"""Slivers of micrometres and metres across a border of zones, from the fuzzed polygons. Joining
what is mapped on both sides of the border, GEOS leaves a line of the smaller one."""


def test_slivers_across_a_border_of_zones_leave_polygons_only():
    for part in split_by_zone(SLIVERS):
        both = part.polygon, beyond_zone(SLIVERS, part.epsg)
        sides = [project(shape, f"EPSG:{part.epsg}") for shape in both]
        joined = shapely.union(*(side.buffer(REACH_M) for side in sides))

        assert only_polygons(joined).area == joined.area > 0


def test_of_lines_points_and_polygons_the_polygons_are_kept():
    square = shapely.box(0, 0, 1, 1)
    mixed = shapely.GeometryCollection(
        [shapely.Point(2, 2), square, shapely.LineString([(3, 3), (4, 4)])]
    )

    assert only_polygons(mixed) == shapely.MultiPolygon([square])
    assert only_polygons(shapely.Point(1, 1)).is_empty


@pytest.mark.parametrize("window", [256, 512, 1024, 4096])
@pytest.mark.parametrize("latitude", [0, 60, 80])
def test_scenes_are_searched_as_far_as_a_window_reaches(window, latitude):
    at, crs = shapely.Point(9, latitude), "EPSG:32632"
    x, y = project(at, crs).coords[0]
    reach = 10 * window  # pixels of 10 m

    searched = _around(shapely.MultiPolygon([at.buffer(1e-6)]), window=window)

    ends = [(x + reach, y), (x - reach, y), (x, y + reach), (x, y - reach)]
    assert project(searched, crs).covers(shapely.MultiPoint(ends))
