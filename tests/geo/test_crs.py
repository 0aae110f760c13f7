"""CRS as files write them: Web Mercator in each spelling, datums that PROJ does not know."""

import json
import math

import numpy as np
import pyogrio
import pytest
import shapely
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from lulcmap.errors import AreaError
from lulcmap.geo import crs_doubts, load_area, map_grids
from lulcmap.geo.crs import crs_by_name, understood_crs

GREENWICH = 'PRIMEM["Greenwich",0],UNIT["Degree",0.0174532925199433]'
WGS84 = f'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],{GREENWICH}]'
SPHERE = 'SPHEROID["Sphere",6378137.0,0.0]'
ZERO = "TOWGS84[0,0,0,0,0,0,0]"
EAST_NORTH = 'PARAMETER["false_easting",0],PARAMETER["false_northing",0],UNIT["Meter",1.0]'
MERCATOR = f'PROJECTION["Mercator_1SP"],PARAMETER["central_meridian",0],{EAST_NORTH}'
ESRI = (
    'PROJECTION["Mercator"],PARAMETER["Central_Meridian",0.0],PARAMETER["Standard_Parallel_1",0.0],'
    f"{EAST_NORTH}"
)

WEB_MERCATOR = {
    "ESRI 102113": 'PROJCS["WGS_1984_Web_Mercator",GEOGCS["GCS_WGS_1984_Major_Auxiliary_Sphere",'
    'DATUM["D_WGS_1984_Major_Auxiliary_Sphere",SPHEROID["WGS_1984_Major_Auxiliary_Sphere",'
    f"6378137.0,0.0]],{GREENWICH}],{ESRI}]",
    "ESRI 102100": CRS.from_authority("ESRI", 102100).to_wkt("WKT1_ESRI"),
    "EPSG 3857": CRS.from_epsg(3857).to_wkt("WKT1_GDAL"),
    "EPSG 3857 of ESRI": CRS.from_epsg(3857).to_wkt("WKT1_ESRI"),
    "EPSG 3785": CRS.from_epsg(3785).to_wkt("WKT1_GDAL"),
    "EPSG 3785 of ESRI": CRS.from_epsg(3785).to_wkt("WKT1_ESRI"),
    "QGIS": f'PROJCS["WGS_84_Pseudo_Mercator",{WGS84},{ESRI}]',
    "Google": f'PROJCS["Google Maps Global Mercator",{WGS84},{MERCATOR}]',
    "GeoServer": f'PROJCS["WGS84 / Google Mercator",{WGS84},PROJECTION["Mercator_1SP"],'
    'PARAMETER["semi_minor",6378137.0],PARAMETER["central_meridian",0],'
    f'{EAST_NORTH},AUTHORITY["EPSG","900913"]]',
    "zero shift": 'PROJCS["Mercator",GEOGCS["unnamed",'
    f'DATUM["Sphere",{SPHERE},{ZERO}],{GREENWICH}],{MERCATOR}]',
    "unnamed sphere": f'PROJCS["unnamed",GEOGCS["unnamed",DATUM["unknown",{SPHERE}],{GREENWICH}],'
    f"{MERCATOR}]",
}


def from_web_mercator(x: float, y: float) -> tuple[float, float]:
    """Longitude and latitude, by the formula of the sphere."""
    radius = 6378137.0
    return math.degrees(x / radius), math.degrees(math.atan(math.sinh(y / radius)))


def shapefile(folder, wkt, shape):
    path = folder / "a.shp"
    pyogrio.raw.write(
        path,
        geometry=np.array([shapely.to_wkb(shape)], dtype=object),
        field_data=[np.arange(1)],
        fields=["n"],
        geometry_type="Polygon",
        crs="EPSG:4326",
    )
    path.with_suffix(".prj").write_text(wkt)
    return str(path)


@pytest.mark.parametrize("wkt", WEB_MERCATOR.values(), ids=WEB_MERCATOR)
def test_web_mercator_lands_where_it_is_meant(tmp_path, wkt):
    area = load_area(shapefile(tmp_path, wkt, shapely.box(1e6, 6e6, 1.001e6, 6.001e6)))

    expected = from_web_mercator(1e6, 6e6) + from_web_mercator(1.001e6, 6.001e6)
    np.testing.assert_allclose(area.polygon.bounds, expected, atol=1e-7)
    assert len(area.notes) == 1


@pytest.mark.parametrize("code", [3395, "ESRI:54004"])
def test_mercator_on_the_ellipsoid_stays_there(code):
    crs = CRS.from_user_input(code)

    _, lat = Transformer.from_crs(understood_crs(crs), 4326, always_xy=True).transform(1e6, 6e6)

    assert lat - from_web_mercator(1e6, 6e6)[1] == pytest.approx(0.19, abs=0.01)


def test_a_sphere_s_latitudes_are_those_of_wgs_84_and_its_shift_is_warned_of(tmp_path, caplog):
    sinusoidal = CRS.from_user_input("+proj=sinu +R=6371007.181 +towgs84=0,0,0 +type=crs")
    base = CRS.from_user_input("+proj=sinu +R=6371007.181 +type=crs")

    assert understood_crs(sinusoidal).ellipsoid.inverse_flattening == 0
    to_degrees = Transformer.from_crs(understood_crs(sinusoidal), 4326, always_xy=True)
    radius = 6371007.181
    lat = math.degrees(5e6 / radius)
    assert to_degrees.transform(0, 5e6)[1] == pytest.approx(lat, abs=1e-9)

    wkt = base.to_wkt("WKT1_GDAL")
    area = load_area(shapefile(tmp_path, wkt, shapely.box(0, 5e6, 1e3, 5.001e6)))
    assert area.polygon.bounds[1] == pytest.approx(lat, abs=1e-7)
    assert "accuracy of the shift from" in area.notes[1]
    assert "is unknown" in caplog.text


UNKNOWN = {
    "unnamed Bessel": 'GEOGCS["GCS_unknown",DATUM["D_Unknown_based_on_Bessel_1841_ellipsoid",'
    f'SPHEROID["Bessel_1841",6377397.155,299.1528128]],{GREENWICH}]',
    "ballpark": CRS.from_epsg(4214).to_wkt("WKT1_ESRI"),  # Beijing 1954 at land: no operation
    "own shift": 'GEOGCS["mine",DATUM["mine",SPHEROID["Bessel_1841",6377397.155,299.1528128],'
    f"TOWGS84[598.1,73.7,418.2,0.202,0.045,-2.455,6.7]],{GREENWICH}]",
}


@pytest.mark.parametrize("wkt", UNKNOWN.values(), ids=UNKNOWN)
def test_a_datum_whose_shift_is_not_known_is_warned_of(tmp_path, caplog, wkt):
    path = shapefile(tmp_path, wkt, shapely.box(100, 30, 100.1, 30.1))

    area = load_area(path)

    doubt = area.notes[-1]
    assert "accuracy of the shift from" in doubt
    assert " to WGS 84 is unknown" in doubt
    assert "check the place" in doubt
    assert str(tmp_path) not in doubt  # notes go into the report
    assert doubt in caplog.text


def test_a_datum_whose_grid_is_missing_is_warned_of_with_its_accuracy_and_the_grid(tmp_path):
    # PSAD56 in Chile: 17 m without a grid
    wkt = CRS.from_epsg(4248).to_wkt("WKT1_ESRI")

    area = load_area(shapefile(tmp_path, wkt, shapely.box(-70.1, -30.1, -70, -30)))

    assert "is 17 m" in area.notes[-1]


@pytest.mark.parametrize(
    ("code", "place"),
    [
        (2154, (2, 47)),  # France
        (25832, (9, 50)),  # Germany
        (31467, (9, 48)),  # Germany's former
        (27700, (-2, 53)),  # Great Britain
        (28992, (5, 52)),  # the Netherlands
        (31370, (5, 50.5)),  # Belgium
        (2056, (8, 47)),  # Switzerland
        (2180, (19, 52)),  # Poland
        (3763, (-8, 39)),  # Portugal
        (3067, (26, 62)),  # Finland
        (5070, (-100, 40)),  # the United States
        (3347, (-100, 60)),  # Canada
        (7844, (140, -30)),  # Australia
        (2193, (175, -40)),  # New Zealand
        (6668, (140, 36)),  # Japan
        (4674, (-50, -15)),  # Brazil
        (32632, (9, 48)),
        (3035, (9, 48)),
    ],
)
def test_national_crs_are_placed_by_pyproj_without_a_warning(tmp_path, code, place):
    from_degrees = Transformer.from_crs(4326, code, always_xy=True)
    size = 0.01 if CRS.from_epsg(code).is_geographic else 1000
    x, y = from_degrees.transform(*place)
    path = shapefile(
        tmp_path, CRS.from_epsg(code).to_wkt("WKT1_ESRI"), shapely.box(x, y, x + size, y + size)
    )

    area = load_area(path)

    back = Transformer.from_crs(code, 4326, always_xy=True).transform(x, y)
    assert shapely.distance(area.polygon, shapely.Point(back)) < 1e-6
    assert not [note for note in area.notes if "accuracy" in note]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("urn:ogc:def:crs:EPSG::25832", 25832),
        ("urn:ogc:def:crs:EPSG:6.9:25832", 25832),
        ("urn:x-ogc:def:crs:EPSG:25832", 25832),
        ("http://www.opengis.net/def/crs/EPSG/0/25832", 25832),
        ("http://www.opengis.net/gml/srs/epsg.xml#25832", 25832),
        ("EPSG:25832", 25832),
        ("epsg:25832", 25832),
        ("EPSG::25832", 25832),
        ("EPSG:900913", 3857),
        ("EPSG:102100", 3857),
        ("EPSG:102113", 3857),
        ("ESRI:102113", 3857),
        ("urn:ogc:def:crs:EPSG::102100", 3857),
        ("EPSG:3785", 3857),
        ("ETRS89 / UTM zone 32N", 25832),
    ],
)
def test_a_crs_is_known_by_its_name(name, code):
    assert crs_by_name(name).equals(CRS.from_epsg(code), ignore_axis_order=True)


@pytest.mark.parametrize(
    "name", ["urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:OGC::CRS84", "OGC:CRS84", "CRS84"]
)
def test_crs84_is_longitude_latitude(name):
    assert crs_by_name(name).to_authority() == ("OGC", "CRS84")


@pytest.mark.parametrize("name", ["my grid", "", "EPSG:999999", "EPSG", "urn:ogc:def:crs:EPSG::x"])
def test_an_unknown_name_is_no_crs(name):
    with pytest.raises(CRSError):
        crs_by_name(name)


DEGREES = {"type": "Polygon", "coordinates": [[[6, 49], [7, 49], [7, 50], [6, 49]]]}
METRES = {
    "type": "Polygon",
    "coordinates": [[[5e5, 5.3e6], [5.1e5, 5.3e6], [5.1e5, 5.31e6], [5e5, 5.3e6]]],
}
NAMED = {"type": "name", "properties": {"name": "EPSG:25832"}}


def geojson(folder, value):
    path = folder / "a.geojson"
    path.write_text(json.dumps(value))
    return str(path)


@pytest.mark.parametrize(
    "crs",
    [
        {"type": "name", "properties": {"name": "my grid"}},
        {"type": "name", "properties": {"name": "EPSG:999999"}},
        {"type": "name", "properties": {}},
        {"type": "link", "properties": {"href": "http://127.0.0.1:9/proj4", "type": "proj4"}},
        {"type": "name"},
        "my grid",
        17,
    ],
)
@pytest.mark.parametrize("where", ["root", "feature", "geometry"])
def test_geojson_in_a_crs_that_is_not_known_is_refused(tmp_path, crs, where):
    feature = {"type": "Feature", "properties": {}, "geometry": dict(DEGREES)}
    root = {"type": "FeatureCollection", "features": [feature]}
    {"root": root, "feature": feature, "geometry": feature["geometry"]}[where]["crs"] = crs

    with pytest.raises(AreaError, match=r"names the CRS .*, which is not understood"):
        load_area(geojson(tmp_path, root))


@pytest.mark.parametrize("where", ["root", "feature", "geometry"])
def test_geojson_s_crs_is_believed_wherever_it_stands(tmp_path, where):
    feature = {"type": "Feature", "properties": {"crs": "a text"}, "geometry": dict(METRES)}
    root = {"type": "FeatureCollection", "features": [feature]}
    {"root": root, "feature": feature, "geometry": feature["geometry"]}[where]["crs"] = NAMED

    area = load_area(geojson(tmp_path, root))

    assert area.polygon.bounds[:2] == pytest.approx((9.0, 47.85), abs=0.01)


def test_geojson_with_several_crs_is_refused(tmp_path):
    feature = {"type": "Feature", "properties": {}, "geometry": {**METRES, "crs": NAMED}}
    root = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "EPSG:2154"}},
        "features": [feature],
    }

    with pytest.raises(AreaError, match="names several CRS"):
        load_area(geojson(tmp_path, root))


def test_geojson_whose_crs_is_null_is_degrees_only_if_it_looks_like_them(tmp_path):
    assert "has no CRS" in load_area(geojson(tmp_path, {**DEGREES, "crs": None})).notes[0]
    with pytest.raises(AreaError, match="has no CRS"):
        load_area(geojson(tmp_path, {**METRES, "crs": None}))


def test_geojson_in_metres_without_a_crs_says_what_to_do(tmp_path):
    with pytest.raises(AreaError, match=r"look like metres; give the file its CRS"):
        load_area(geojson(tmp_path, METRES))


def test_a_map_crs_whose_shift_is_not_known_is_warned_of(caplog):
    area = load_area("100,30,100.1,30.1")

    assert crs_doubts(map_grids(area.polygon, "EPSG:32647")) == ()
    assert crs_doubts(map_grids(area.polygon, "auto")) == ()
    (doubt,) = crs_doubts(map_grids(area.polygon, "EPSG:4214"))
    assert "from Beijing 1954 to WGS 84 is unknown" in doubt
    assert "another --crs" in doubt
    assert doubt in caplog.text


def test_degrees_that_are_said_to_be_metres_are_refused(tmp_path):
    crs = {"type": "name", "properties": {"name": "EPSG:3857"}}

    with pytest.raises(AreaError, match=r"look like degrees, but its CRS is .*, in metres"):
        load_area(geojson(tmp_path, {**DEGREES, "crs": crs}))
