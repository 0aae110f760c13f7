"""What people hand over as an area, and what becomes of it."""

import json
import struct
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from pyproj import Geod, Transformer

from lulcmap.errors import AreaError
from lulcmap.geo.area import load_area

SQUARE = shapely.box(6.0, 49.5, 6.25, 49.75)


def write(path: Path, *shapes: shapely.Geometry, crs="EPSG:4326", layer=None, append=False) -> Path:
    """A vector file of the format its suffix says."""
    pyogrio.raw.write(
        path,
        geometry=np.array([shapely.to_wkb(shape) for shape in shapes], dtype=object),
        field_data=[np.arange(len(shapes))],
        fields=["n"],
        geometry_type="Unknown" if path.suffix != ".shp" else "Polygon",
        crs=crs,
        layer=layer,
        append=append,
    )
    return path


def geojson(path: Path, value: dict) -> str:
    path.write_text(json.dumps(value))
    return str(path)


def feature(shape: shapely.Geometry | None) -> dict:
    geometry = None if shape is None else json.loads(shapely.to_geojson(shape))
    return {"type": "Feature", "properties": {}, "geometry": geometry}


def collection(*shapes: shapely.Geometry | None) -> dict:
    return {"type": "FeatureCollection", "features": [feature(shape) for shape in shapes]}


def square_kilometres(polygon: shapely.MultiPolygon) -> float:
    return abs(Geod(ellps="WGS84").geometry_area_perimeter(polygon)[0]) / 1e6


def test_four_numbers_are_a_box():
    area = load_area("5.9,49.4, 6.6,50.2")

    assert area.polygon.bounds == (5.9, 49.4, 6.6, 50.2)
    assert area.name == "area_5.9_49.4_6.6_50.2"
    assert area.notes == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("6.6,49.4,5.9,50.2", "crosses 180"),
        ("170,-20,-170,-10", "crosses 180"),
        ("5.9,50.2,6.6,49.4", "south side"),
        ("5.9,49.4,6.6,195", "Give degrees"),
        ("49.4,95.9,50.2,96.6", "look like latitude, longitude"),
        ("500000,5400000,510000,5410000", "metres"),
        ("-180,-50,180,70", "180 degrees of longitude"),
        ("nan,49.4,6.6,50.2", "four numbers"),
    ],
)
def test_a_wrong_box_is_refused_with_its_reason(text, said):
    with pytest.raises(AreaError, match=said):
        load_area(text)


@pytest.mark.parametrize("numbers", [[5.9, 49.4, 6.6, 50.2], np.array([5.9, 49.4, 6.6, 50.2])])
def test_four_numbers_need_not_be_a_text(numbers):
    assert load_area(numbers) == load_area("5.9,49.4,6.6,50.2")


@pytest.mark.parametrize(
    "shape", [SQUARE, shapely.MultiPolygon([SQUARE]), shapely.GeometryCollection([SQUARE])]
)
def test_a_geometry_of_shapely_is_in_degrees(shape):
    area = load_area(shape)

    assert shapely.equals(area.polygon, SQUARE)
    assert isinstance(area.polygon, shapely.MultiPolygon)
    assert (area.name, area.notes) == ("area", ())


def polygon_without_a_number():
    corners = [[6.0, 49.0], [7.0, float("nan")], [6.0, 50.0], [6.0, 49.0]]
    return {"type": "Polygon", "coordinates": [corners]}


class HasGeoInterface:
    """What pystac, fiona and others give: an object that says its GeoJSON."""

    def __init__(self, value, **facts):
        self.__geo_interface__ = value
        self.__dict__ |= facts


@pytest.mark.parametrize("kind", ["geometry", "feature", "collection"])
def test_an_object_with_a_geo_interface_is_read(kind):
    value = {
        "geometry": shapely.geometry.mapping(SQUARE),
        "feature": feature(SQUARE),
        "collection": collection(SQUARE, None),
    }[kind]

    area = load_area(HasGeoInterface(value))

    assert shapely.equals(area.polygon, SQUARE)
    assert area.notes == ()


@pytest.mark.parametrize("kind", [geopandas.GeoDataFrame, geopandas.GeoSeries])
def test_a_geodataframe_is_converted_from_its_crs(kind):
    east, west = shapely.box(6.0, 49.5, 6.25, 49.75), shapely.box(6.25, 49.5, 6.5, 49.75)
    frame = geopandas.GeoSeries([east, west], crs=4326).to_crs(3035)

    area = load_area(kind(geometry=frame) if kind is geopandas.GeoDataFrame else frame)

    whole = shapely.union_all([east, west])
    assert shapely.hausdorff_distance(area.polygon, whole) < 0.001
    assert area.polygon.area == pytest.approx(whole.area, rel=0.001)
    assert area.notes == ("The area was converted from EPSG:3035.",)


def test_a_geodataframe_without_a_crs_is_in_degrees():
    assert shapely.equals(load_area(geopandas.GeoSeries([SQUARE])).polygon, SQUARE)
    with pytest.raises(AreaError, match=r"the GeoSeries has coordinates up to .* metres"):
        load_area(
            geopandas.GeoSeries([SQUARE], crs=4326).to_crs(3035).set_crs(None, allow_override=True)
        )


def test_a_geometry_in_memory_is_repaired_and_cut_as_one_of_a_file():
    bow_tie = shapely.Polygon([(6, 49), (7, 50), (7, 49), (6, 50)])
    across = shapely.Polygon([(179, -18), (181, -18), (181, -17), (179, -17)])

    assert "repaired" in load_area(bow_tie).notes[0]
    assert "crosses 180" in load_area(across).notes[0]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, r"The area is of type NoneType\. Give a path"),
        (5, "of type int"),
        ((6.0, 49.0, 7.0), "of type tuple"),
        ((6.0, 49.0, 7.0, "north"), "of type tuple"),
        ([SQUARE], "of type list"),
        ({"type": "Polygon", "coordinates": []}, "of type dict"),
        ((7.0, 49.0, 6.0, 50.0), "west side"),
        ((6.0, 49.0, 7.0, float("nan")), "not four numbers"),
        (shapely.Point(6, 49), "the Point has no polygons, only Point"),
        (shapely.Polygon(), "the Polygon is empty"),
        (shapely.box(49.5, 106.0, 49.75, 106.25), "the Polygon has .* latitude, longitude"),
        (HasGeoInterface(polygon_without_a_number()), "not numbers"),
        (geopandas.GeoDataFrame({"n": []}, geometry=[], crs=4326), "the GeoDataFrame is empty"),
        (HasGeoInterface({"type": "Polygon"}), r"geometry that cannot be read \('coordinates'\)"),
        (HasGeoInterface({"type": "Globe", "coordinates": []}), "cannot be read"),
        (HasGeoInterface("a polygon"), "cannot be read"),
        (HasGeoInterface(None), "cannot be read"),
        (HasGeoInterface(feature(SQUARE), crs="nonsense"), "CRS of the HasGeoInterface is not"),
    ],
)
def test_what_is_not_an_area_in_memory_is_refused_with_its_reason(source, said):
    with pytest.raises(AreaError, match=said) as caught:
        load_area(source)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [json.loads(shapely.to_geojson(SQUARE)), feature(SQUARE), collection(SQUARE)],
    ids=["geometry", "feature", "collection"],
)
def test_geojson_may_be_a_geometry_a_feature_or_a_collection(tmp_path, value):
    area = load_area(geojson(tmp_path / "my area (1).geojson", value))

    assert shapely.equals(area.polygon, SQUARE)
    assert isinstance(area.polygon, shapely.MultiPolygon)
    assert area.name == "my_area_1"


def test_polygons_are_united_and_holes_kept(tmp_path):
    holed = shapely.Polygon(SQUARE.exterior, [shapely.box(6.1, 49.6, 6.15, 49.65).exterior])
    beside = shapely.box(6.25, 49.5, 6.5, 49.75)

    area = load_area(geojson(tmp_path / "a.geojson", collection(holed, None, beside)))

    assert len(area.polygon.geoms) == 1
    assert len(area.polygon.geoms[0].interiors) == 1
    assert area.polygon.area == pytest.approx(2 * SQUARE.area - 0.05**2)


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".fgb"])
def test_other_formats_are_read(tmp_path, suffix):
    area = load_area(str(write(tmp_path / f"land{suffix}", SQUARE)))

    assert shapely.equals(area.polygon, SQUARE)
    assert (area.name, area.notes) == ("land", ())


def test_a_projected_file_is_converted_with_its_edges_bent(tmp_path):
    wide = shapely.box(600_000, 6_600_000, 1_000_000, 6_900_000)
    area = load_area(str(write(tmp_path / "wide.gpkg", wide, crs="EPSG:2154")))

    to_metres = Transformer.from_crs(4326, 2154, always_xy=True)
    back = shapely.transform(area.polygon, lambda xy: np.column_stack(to_metres.transform(*xy.T)))
    assert shapely.hausdorff_distance(back, wide) < 0.1
    assert area.notes == ("The area was converted from EPSG:2154.",)


def test_a_crs_member_of_geojson_is_believed(tmp_path):
    value = {
        **collection(shapely.box(600_000, 6_600_000, 610_000, 6_610_000)),
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2154"}},
    }
    area = load_area(geojson(tmp_path / "a.geojson", value))

    assert 1 < area.polygon.bounds[0] < 3
    assert "EPSG:2154" in area.notes[0]


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (shapely.Point(6, 49), "no polygons, only Point"),
        (shapely.LineString([(6, 49), (7, 50)]), "only LineString"),
        (shapely.box(600_000, 6_600_000, 610_000, 6_610_000), "metres"),
        (shapely.box(49.5, 106.0, 49.75, 106.25), "look like latitude, longitude"),
        (shapely.box(100.0, 89.5, 100.25, 90.5), "latitude from -90 to 90"),
        (shapely.segmentize(shapely.box(-100, 10, 100, 20), 10), "round the globe"),
        (shapely.Polygon([(6, 49), (7, 49), (6, 49)]), "no area"),
        (shapely.Polygon(), "empty"),
        (None, "empty"),
    ],
)
def test_what_is_not_an_area_is_refused_with_its_reason(tmp_path, shape, said):
    with pytest.raises(AreaError, match=said):
        load_area(geojson(tmp_path / "a.geojson", collection(shape)))


def test_a_file_without_features_is_empty(tmp_path):
    with pytest.raises(AreaError, match=r"empty|no polygons"):
        load_area(geojson(tmp_path / "a.geojson", collection()))


def test_points_beside_polygons_are_ignored_and_reported(tmp_path):
    mixed = shapely.GeometryCollection([shapely.MultiPolygon([SQUARE]), shapely.Point(6, 49)])
    area = load_area(geojson(tmp_path / "a.geojson", collection(mixed)))

    assert shapely.equals(area.polygon, SQUARE)
    assert area.notes == ("Point geometries of the area were ignored.",)


def test_a_self_crossing_polygon_is_repaired_and_reported(tmp_path):
    bow_tie = shapely.Polygon([(6, 49), (7, 50), (7, 49), (6, 50)])
    area = load_area(geojson(tmp_path / "a.geojson", collection(bow_tie)))

    assert area.polygon.is_valid
    assert area.polygon.area == pytest.approx(0.5)
    assert "repaired" in area.notes[0]


def test_a_spike_leaves_only_the_polygon(tmp_path):
    spiked = shapely.Polygon([(6, 49), (7, 49), (7, 51), (7, 50), (6, 50)])
    area = load_area(geojson(tmp_path / "a.geojson", collection(spiked)))

    assert shapely.equals(area.polygon, shapely.box(6, 49, 7, 50))


def test_a_coordinate_that_is_not_a_number_is_refused_without_a_warning(tmp_path, recwarn):
    path = tmp_path / "a.geojson"
    corners = "[[1.0, 0.0], [NaN, 0.8660254037844387], [-0.5, -0.8660254037844384], [1.0, 0.0]]"
    path.write_text(f'{{"type": "Polygon", "coordinates": [{corners}]}}')

    with pytest.raises(AreaError, match="not numbers"):
        load_area(str(path))

    assert not recwarn.list


def test_a_file_that_does_not_exist_is_refused():
    with pytest.raises(AreaError, match=r"No file nowhere\.geojson"):
        load_area("nowhere.geojson")


def test_a_truncated_file_and_one_of_another_kind_are_unreadable(tmp_path):
    whole = json.dumps(collection(SQUARE))
    (tmp_path / "cut.geojson").write_text(whole[: len(whole) // 2])
    (tmp_path / "notes.txt").write_text("a polygon, in words")
    (tmp_path / "cut.gpkg").write_bytes(write(tmp_path / "whole.gpkg", SQUARE).read_bytes()[:3000])

    for name in ("cut.geojson", "notes.txt", "cut.gpkg"):
        with pytest.raises(AreaError, match="cannot be read"):
            load_area(str(tmp_path / name))


def test_a_layer_must_be_chosen_among_several(tmp_path):
    path = write(tmp_path / "a.gpkg", SQUARE, layer="land")
    write(path, shapely.box(1, 1, 2, 2), layer="sea", append=True)

    with pytest.raises(AreaError, match=r"land, sea.*--layer"):
        load_area(str(path))
    with pytest.raises(AreaError, match=r"no layer 'air'; it has land, sea"):
        load_area(str(path), layer="air")
    assert load_area(str(path), layer="sea").polygon.bounds == (1, 1, 2, 2)


def test_a_shapefile_without_prj_is_taken_for_degrees_only_if_it_looks_like_them(tmp_path):
    degrees = write(tmp_path / "degrees.shp", SQUARE)
    metres = write(tmp_path / "metres.shp", shapely.box(6e5, 66e5, 61e4, 661e4), crs="EPSG:2154")
    for path in (degrees, metres):
        path.with_suffix(".prj").unlink()

    assert "has no CRS" in load_area(str(degrees)).notes[0]
    with pytest.raises(AreaError, match=r"has no CRS.*\.prj"):
        load_area(str(metres))


def test_a_file_of_another_format_without_crs_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="crs"):
        path = write(tmp_path / "a.fgb", SQUARE, crs=None)

    with pytest.raises(AreaError, match="has no CRS"):
        load_area(str(path))


@pytest.mark.parametrize(
    "corners",
    [
        [(179, -18), (-179, -18), (-179, -17), (179, -17)],
        [(179, -18), (181, -18), (181, -17), (179, -17)],
        [(-181, -18), (-179, -18), (-179, -17), (-181, -17)],
    ],
    ids=["jump", "past 180", "before -180"],
)
def test_a_polygon_across_180_is_cut_there(tmp_path, corners):
    area = load_area(geojson(tmp_path / "a.geojson", collection(shapely.Polygon(corners))))

    halves = [shapely.box(179, -18, 180, -17), shapely.box(-180, -18, -179, -17)]
    assert shapely.equals(area.polygon, shapely.MultiPolygon(halves))
    assert "crosses 180" in area.notes[0]


@pytest.mark.parametrize(
    ("country", "expected"),
    [
        ("luxembourg-10m", 2_608),
        ("malta-10m", 326),
        ("netherlands", 37_278),
        ("fiji", 18_346),
        ("kiribati", 933),
        ("france", 636_064),
    ],
)
def test_real_countries_keep_their_size(shared_data, country, expected):
    """Square kilometres, from pyproj's Geod over the files' own coordinates."""
    area = load_area(str(shared_data / "boundaries" / f"{country}.geojson"))

    assert area.polygon.is_valid
    assert square_kilometres(area.polygon) == pytest.approx(expected, abs=1)
    assert area.notes == ()


def test_fiji_broken_at_180_is_refused_and_not_thirty_times_too_large(shared_data):
    with pytest.raises(AreaError, match="split polygons at 180 degrees"):
        load_area(str(shared_data / "boundaries" / "fiji-unsplit-at-180.geojson"))


def test_curves_become_polygons(tmp_path):
    path = tmp_path / "curve.gpkg"
    # CURVEPOLYGON(CIRCULARSTRING): ISO WKB types 10 and 8
    points = [(6.0, 49.0), (6.5, 49.5), (7.0, 49.0), (6.5, 48.5), (6.0, 49.0)]
    ring = struct.pack("<BII", 1, 8, 5) + b"".join(struct.pack("<dd", *xy) for xy in points)
    blob = struct.pack("<BII", 1, 10, 1) + ring
    pyogrio.raw.write(
        path,
        geometry=np.array([blob], dtype=object),
        field_data=[np.arange(1)],
        fields=["n"],
        geometry_type="Unknown",
        crs="EPSG:4326",
    )

    assert load_area(str(path)).polygon.area == pytest.approx(np.pi / 4, rel=0.01)


def test_a_border_that_has_no_end_is_refused(tmp_path):
    teeth = [(number * 0.001, 40 * (number % 2)) for number in range(2001)]
    comb = shapely.Polygon([*teeth, (2, -1), (0, -1)])

    with pytest.raises(AreaError, match=r"border is 80,0\d\d degrees long; the limit is 50,000"):
        load_area(geojson(tmp_path / "comb.geojson", collection(comb)))


def test_an_area_smaller_than_a_pixel_s_hundredth_is_refused():
    with pytest.raises(
        AreaError, match="smaller than a square metre, and a pixel covers a hundred"
    ):
        load_area("6,49,6.000000001,49.000000001")


def test_an_area_larger_than_any_country_is_refused_and_russia_is_not(tmp_path):
    russia, africa = shapely.box(40, 50, 180, 72.5), shapely.box(-20, -30, 40, 30)
    assert load_area(geojson(tmp_path / "russia.geojson", collection(russia))).km2 > 17.1e6

    with pytest.raises(AreaError, match=r"more than any country\. Split the area"):
        load_area(geojson(tmp_path / "africa.geojson", collection(africa)))
    with pytest.raises(
        AreaError, match=r"4\d,\d\d\d,\d\d\d km2; the limit for one map is 20,000,000"
    ):
        load_area("-20,-30,40,30")
