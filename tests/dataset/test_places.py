"""Where places lie: on the grid of a zone, or around the points of a file."""

import json

import numpy as np
import pytest
import shapely
from pyproj import Transformer

from lulcmap.dataset.places import area_places, drawn, file_places
from lulcmap.dataset.splits import grid_centre
from lulcmap.errors import AreaError, UsageError
from lulcmap.geo import load_area

BOX = (8.2, 47.1, 8.5, 47.3)


def squares(places):
    return [shapely.box(*place.grid.boundingbox.bbox) for place in places]


def test_an_area_is_covered_by_the_squares_that_hold_any_of_it():
    places = area_places(load_area(BOX), 448, "teacher")
    to_metres = Transformer.from_crs(4326, 32632, always_xy=True)
    outline = shapely.segmentize(shapely.box(*BOX), 0.001)
    area = shapely.transform(outline, lambda xy: np.column_stack(to_metres.transform(*xy.T)))

    union = shapely.union_all(squares(places))
    assert union.contains(area)
    assert all(square.intersects(area) for square in squares(places))
    assert sum(square.area for square in squares(places)) == pytest.approx(union.area)
    for place in places:
        left, bottom, _, _ = place.grid.boundingbox.bbox
        assert left % 4480 == bottom % 4480 == 0


def test_overlapping_areas_share_their_squares():
    one = {place.name for place in area_places(load_area(BOX), 448, "teacher")}
    other = {place.name for place in area_places(load_area((8.3, 47.1, 8.6, 47.3)), 448, "teacher")}

    assert one & other
    assert one - other
    assert other - one


def test_an_area_in_two_zones_has_squares_of_both():
    places = area_places(load_area((11.95, 47.1, 12.05, 47.2)), 256, "teacher")

    assert {place.epsg for place in places} == {32632, 32633}


def test_a_larger_limit_adds_to_the_places_of_a_smaller_one():
    places = area_places(load_area(BOX), 256, "teacher")

    few, many = ({p.name for p in drawn(places, limit)} for limit in (5, 20))
    assert len(few) == 5
    assert few < many
    assert drawn(places, None) == places
    # spread at random, not from one corner
    rows = [int(place.name.split("_")[1]) for place in drawn(places, 20)]
    assert np.ptp(rows) > 3


def write(path, *features):
    collection = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(one)}
            for one in features
        ],
    }
    path.write_text(json.dumps(collection))
    return path


def test_places_of_a_file_are_centred_on_its_points_and_polygons(tmp_path):
    polygon = shapely.box(18.4, -33.9, 18.41, -33.88)
    path = write(tmp_path / "places.geojson", shapely.Point(8.2, 47.3), polygon)

    places = file_places(path, 510, "teacher")

    assert [place.epsg for place in places] == [32632, 32734]
    assert all(place.grid.shape == (510, 510) for place in places)
    centres = [grid_centre(place.grid) for place in places]
    np.testing.assert_allclose(centres, [(8.2, 47.3), (18.405, -33.89)], atol=2e-4)
    for place in places:
        left, bottom, _, _ = place.grid.boundingbox.bbox
        assert left % 20 == bottom % 20 == 0  # composites lie on multiples of 20 m


def test_a_csv_file_has_points_in_degrees(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("name,Longitude,Latitude\na,8.2,47.3\nb,8.2,47.3\nc,190.5,-17\n")

    places = file_places(path, 448, "teacher")

    assert len(places) == 2  # the same point twice is one place
    assert [place.epsg for place in places] == [32632, 32702]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "have the columns a, b; expected lon and lat"),
        ("", "have the columns none"),
        ("lon,lat\n8.2,\n", "Line 2 of .* is at longitude nan"),
        ("lon,lat\n8.2,47.3\n47.3,98.2\n", "Line 3 of .* latitude 98.2; expected degrees"),
    ],
)
def test_a_csv_file_without_points_is_refused(tmp_path, text, said):
    path = tmp_path / "points.csv"
    path.write_text(text)

    with pytest.raises(UsageError, match=said):
        file_places(path, 448, "teacher")


def test_lines_are_no_places(tmp_path):
    path = write(tmp_path / "roads.geojson", shapely.LineString([(8, 47), (8.1, 47)]))

    with pytest.raises(UsageError, match=r"are LineString\. Give points, or polygons"):
        file_places(path, 448, "teacher")


def test_a_place_beyond_utm_is_refused(tmp_path):
    path = write(tmp_path / "pole.geojson", shapely.Point(0, 88))

    with pytest.raises(AreaError, match="latitude 88"):
        file_places(path, 448, "teacher")


def test_a_missing_file_is_named(tmp_path):
    for name in ("no.csv", "no.gpkg"):
        with pytest.raises(UsageError, match=name):
            file_places(tmp_path / name, 448, "teacher")
