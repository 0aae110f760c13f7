"""Users' vector files: which are read, and which do not reach GDAL."""

import itertools
import json
import shutil
import sqlite3
import zipfile
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely

from lulcmap.errors import AreaError, UsageError
from lulcmap.geo import load_area, open_vectors
from tests.support.counting import counting_server, in_process

SQUARE = shapely.box(6.0, 49.5, 6.25, 49.75)
COLLECTION = {
    "type": "FeatureCollection",
    "features": [
        {"type": "Feature", "properties": {"n": 1}, "geometry": shapely.geometry.mapping(SQUARE)}
    ],
}
GML = """<?xml version="1.0"?><wfs:FeatureCollection xmlns:wfs="http://www.opengis.net/wfs"
 xmlns:gml="http://www.opengis.net/gml" xmlns:x="{url}/ns"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xlink="http://www.w3.org/1999/xlink"
 xsi:schemaLocation="{url}/ns
 {url}/wfs?service=WFS&amp;request=DescribeFeatureType&amp;typename=x:a">
<gml:featureMember><x:a gml:id="a1"><x:link xlink:href="{url}/x.gml#b"/><x:geom>
<gml:Polygon srsName="EPSG:4326"><gml:outerBoundaryIs><gml:LinearRing><gml:coordinates>
6,49.5 6.25,49.5 6.25,49.75 6,49.75 6,49.5</gml:coordinates></gml:LinearRing></gml:outerBoundaryIs>
</gml:Polygon></x:geom></x:a></gml:featureMember></wfs:FeatureCollection>"""
KML = """<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document>
<NetworkLink><Link><href>{url}/n.kml</href></Link></NetworkLink>
<Placemark><name>a</name><styleUrl>{url}/s.kml#x</styleUrl><Polygon><outerBoundaryIs><LinearRing>
<coordinates>6,49.5 6.25,49.5 6.25,49.75 6,49.75 6,49.5</coordinates></LinearRing></outerBoundaryIs>
</Polygon></Placemark></Document></kml>"""


def write(path: Path, *, layer: str | None = None, crs: str = "EPSG:4326") -> Path:
    pyogrio.raw.write(
        path,
        geometry=np.array([shapely.to_wkb(SQUARE)], dtype=object),
        field_data=[np.arange(1)],
        fields=["n"],
        geometry_type="Polygon",
        crs=crs,
        layer=layer,
    )
    return path


def make(folder: Path, suffix: str) -> Path:
    """A file with the square, in the format of its suffix."""
    path = folder / f"land{suffix}"
    if suffix in (".geojson", ".json"):
        path.write_text(json.dumps(COLLECTION))
    elif suffix == ".geojsonl":
        path.write_text(json.dumps(COLLECTION["features"][0]) + "\n" + json.dumps(SQUARE_ONLY))
    elif suffix in (".gml", ".kml"):
        path.write_text({".gml": GML, ".kml": KML}[suffix].format(url="http://127.0.0.1:9"))
    elif suffix == ".parquet":
        geopandas.GeoDataFrame({"n": [1]}, geometry=[SQUARE], crs=4326).to_parquet(path)
    else:
        write(path)
    return path


SQUARE_ONLY = {"type": "Feature", "properties": None, "geometry": None}
SUFFIXES = [
    *(".geojson", ".json", ".geojsonl", ".gpkg", ".shp", ".fgb", ".kml", ".gml", ".parquet"),
]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_format_is_read(tmp_path, suffix):
    path = make(tmp_path, suffix)
    before = sorted(one.name for one in tmp_path.iterdir())

    assert shapely.equals(load_area(str(path)).polygon, SQUARE)
    assert sorted(one.name for one in tmp_path.iterdir()) == before  # nothing beside it


@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if s != ".geojsonl"])
@pytest.mark.parametrize("inside", ["", "layers/", "__MACOSX/../a/b c/"])
def test_a_zip_with_a_folder_inside_is_read(tmp_path, suffix, inside):
    make(tmp_path, suffix)
    archive = tmp_path / "land.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("__MACOSX/._land.shp", b"\x00")
        packed.writestr("readme.txt", "hello")
        for part in tmp_path.glob("land.*"):
            if part != archive:
                packed.write(part, f"{inside}{part.name}".replace("__MACOSX/../", ""))

    assert shapely.equals(load_area(str(archive)).polygon, SQUARE)


def test_a_kmz_and_a_folder_of_a_shapefile_are_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.kmz", "w") as packed:
        packed.writestr("other.kml", KML.format(url="x").replace("49.", "51."))
        packed.writestr("doc.kml", KML.format(url="x"))
    (tmp_path / "folder").mkdir()
    make(tmp_path / "folder", ".shp")

    assert shapely.equals(load_area(str(tmp_path / "a.kmz")).polygon, SQUARE)
    assert shapely.equals(load_area(str(tmp_path / "folder")).polygon, SQUARE)


def test_files_of_a_zip_are_layers(tmp_path):
    for name in ("land", "sea"):
        write(tmp_path / f"{name}.shp")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for part in tmp_path.glob("[ls]e*.*"):
            packed.write(part, part.name)
        for part in tmp_path.glob("land.*"):
            packed.write(part, f"x/{part.name}")

    with pytest.raises(AreaError, match=r"several layers: .*sea.*--layer"):
        load_area(str(tmp_path / "a.zip"))
    assert shapely.equals(load_area(str(tmp_path / "a.zip"), layer="sea").polygon, SQUARE)


def test_a_zip_without_a_vector_file_or_with_a_password_or_damaged_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("readme.txt", "hello")
    (tmp_path / "cut.zip").write_bytes((tmp_path / "a.zip").read_bytes()[:50])

    with pytest.raises(AreaError, match="holds no vector file"):
        load_area(str(tmp_path / "a.zip"))
    with pytest.raises(AreaError, match="cannot be read as a zip"):
        load_area(str(tmp_path / "cut.zip"))


def test_a_zip_that_unpacks_to_more_than_the_limit_is_refused(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.geojson", " " * 10_000 + json.dumps(COLLECTION))
    monkeypatch.setattr("lulcmap.geo.vector_file._MAX_ZIP_BYTES", 5_000)

    with pytest.raises(AreaError, match=r"unpacks to .* GB; the limit is"):
        load_area(str(tmp_path / "a.zip"))


def test_a_member_of_a_zip_is_written_inside_the_temporary_folder_only(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("../../outside.geojson", json.dumps(COLLECTION))

    assert shapely.equals(load_area(str(tmp_path / "a.zip")).polygon, SQUARE)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.zip"]
    assert not (tmp_path.parents[1] / "outside.geojson").exists()


INSTRUCTIONS = {
    "vrt": "<OGRVRTDataSource><OGRVRTLayer name='x'><SrcDataSource>/vsicurl/{url}/a.geojson"
    "</SrcDataSource><SrcLayer>x</SrcLayer></OGRVRTLayer></OGRVRTDataSource>",
    "vrt after a comment": "<!-- kml --><OGRVRTDataSource><OGRVRTLayer name='x'><SrcDataSource>"
    "/vsicurl/{url}/a.geojson</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>",
    "vrt beside kml": "<kml/><OGRVRTDataSource><OGRVRTLayer name='x'><SrcDataSource>"
    "/vsicurl/{url}/a.geojson</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>",
    "wfs": "<OGRWFSDataSource><URL>{url}/wfs</URL></OGRWFSDataSource>",
    "csw": "<OGRCSWDataSource><URL>{url}/csw</URL></OGRCSWDataSource>",
    "capabilities": '<WFS_Capabilities version="1.0.0"><Capability><Request><GetCapabilities>'
    '<DCPType><HTTP><Get onlineResource="{url}/wfs"/></HTTP></DCPType></GetCapabilities></Request>'
    "</Capability></WFS_Capabilities>",
    "pipeline": '{{"type":"gdal_streamed_alg","command_line":"gdal vector pipeline read '
    '/vsicurl/{url}/g.geojson","gdal_version":"3110000"}}',
    "pipeline in geojson": '{{"x":{{"type":"gdal_streamed_alg","command_line":'
    '"gdal vector pipeline read /vsicurl/{url}/g.geojson"}},'
    '"type":"FeatureCollection","features":[]}}',
    "address": "{url}/a.geojson",
    "wms": "<GDAL_WMS><Service name='TMS'><ServerUrl>{url}/$</ServerUrl></Service></GDAL_WMS>",
    "topology": '{{"type":"Topology","objects":{{}},"arcs":[]}}',
}


@pytest.mark.parametrize("suffix", [".geojson", ".gml", ".shp", ".vrt"])
def test_instructions_for_gdal_are_refused_and_no_request_is_sent(tmp_path, socket_enabled, suffix):
    with counting_server() as (url, asked):
        paths = []
        for name, text in INSTRUCTIONS.items():
            paths.append(tmp_path / f"{name}{suffix}")
            paths[-1].write_text(text.format(url=url))
        names = [str(path) for path in paths]
        names += [f"{url}/a.geojson", f"/vsicurl/{url}/a.geojson", f"/vsizip//vsicurl/{url}/a.zip"]
        names += [f"WFS:{url}/wfs", f"OAPIF:{url}", f"GeoJSON:{url}/a.geojson", "PG:host=127.0.0.1"]
        names += [paths[0].read_text(), paths[6].read_text()]
        said = in_process(
            "from lulcmap.geo import load_area\nfrom lulcmap.errors import AreaError\n"
            f"for name in {names!r}:\n"
            "    try:\n        load_area(name)\n        print('READ', name)\n"
            "    except AreaError as error:\n        print(str(error))\n"
        )

    assert asked == []
    assert len(said.splitlines()) == len(names)
    assert "READ" not in said


def test_gml_and_kml_with_addresses_are_read_and_no_request_is_sent(tmp_path, socket_enabled):
    with counting_server() as (url, asked):
        for name, text in {"a.gml": GML, "a.kml": KML}.items():
            (tmp_path / name).write_text(text.format(url=url))
        said = in_process(
            "from lulcmap.geo import load_area\n"
            f"for name in {[str(tmp_path / 'a.gml'), str(tmp_path / 'a.kml')]!r}:\n"
            "    print(load_area(name).polygon.bounds)\n"
        )

    assert asked == []
    assert said.splitlines() == [str(SQUARE.bounds)] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gml", "a.kml"]


def test_entities_of_xml_are_refused(tmp_path):
    letters = "abcdefghij"
    entities = "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in itertools.pairwise(letters)
    )
    path = tmp_path / "a.kml"
    path.write_text(
        f'<!DOCTYPE kml [<!ENTITY a "aaaaaaaaaa">{entities}]>'
        '<kml xmlns="http://www.opengis.net/kml/2.2"><name>&j;</name></kml>'
    )

    with pytest.raises(AreaError, match="DOCTYPE"):
        load_area(str(path))


def test_a_geopackage_with_views_that_reach_out_is_refused_and_one_read_is_not_changed(tmp_path):
    path = write(tmp_path / "a.gpkg", layer="a")
    before = path.read_bytes()
    assert shapely.equals(load_area(str(path)).polygon, SQUARE)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.gpkg"]

    with sqlite3.connect(path) as database:
        database.execute("create view v as select fid, geom, ogr_geocode('x') as n from a")
        database.execute(
            "insert into gpkg_contents(table_name, data_type, identifier, srs_id)"
            " values('v', 'features', 'v', 4326)"
        )
        database.execute("insert into gpkg_geometry_columns values('v','geom','POLYGON',4326,0,0)")
    database.close()
    with pytest.raises(AreaError, match=r"cannot be read as GPKG: A trigger and/or view calls"):
        load_area(str(path), layer="v")


def test_a_database_that_is_no_geopackage_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("create table a (n)")
    database.close()

    with pytest.raises(AreaError, match="SQLite database, not a GeoPackage"):
        load_area(str(tmp_path / "a.db"))


def test_a_lost_part_of_a_shapefile_is_named(tmp_path):
    path = write(tmp_path / "a.shp")
    path.with_suffix(".shx").unlink()

    with pytest.raises(
        AreaError, match=r"Unable to open a\.shx or a\.SHX\. .* copy its \.shp, \.shx"
    ) as caught:
        load_area(str(path))

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"type": "FeatureCollection", "features": [}', r"Expecting value: line 1 column 44"),
        ('{"type": "Feature", "geometry": {"type": "Polygon"}}', "has no 'coordinates'"),
        ('{"type": "Feature"}', "has no 'geometry'"),
        ('{"type": "Feature", "geometry": null, "properties": [1]}', "has no attribute"),
        ('{"type": "FeatureCollection", "features": [null]}', "not subscriptable"),
        ('{"type": "Polygon", "coordinates": [[[1, "a"], [2, 3], [1, 1]]]}', "not two numbers"),
        ('{"type": "Polygon", "coordinates": [[[1, 0], [2, 3], [1, 1], [5, 5]]]}', "not closed"),
        ('{"type": "Polygon", "coordinates": [[[1, 0], [2]]]}', "inhomogeneous|not two numbers"),
        ('{"type": "Polygon", "coordinates": 5}', "not iterable"),
        ("[]", 'its "type" is None'),
        ('{"rings": [[[6, 49], [7, 50], [7, 49], [6, 49]]]}', 'its "type" is None'),
        ("[" * 100_000, "nested|Expecting|recursion"),
        ("", "empty, damaged"),
        ("\x00" * 50, "empty, damaged"),
        ("lon,lat\n6,49\n", "empty, damaged"),
        ("<html><body>404</body></html>", r"XML of the kind <html>"),
        ("<kml", "cannot be read as XML: "),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(tmp_path, text, said):
    path = tmp_path / "a.geojson"
    path.write_text(text)

    with pytest.raises(AreaError, match=said) as caught:
        load_area(str(path))

    assert "\n" not in str(caught.value)


def test_geojson_with_members_of_others_first_a_bom_or_in_utf_16_is_read(tmp_path):
    path = tmp_path / "a.geojson"
    for data in (
        json.dumps({"pad": "x" * 20_000, **COLLECTION}).encode(),
        b"\xef\xbb\xbf" + json.dumps(COLLECTION).encode(),
        json.dumps(COLLECTION).encode("utf-16"),
        b" \n" * 10_000 + json.dumps(COLLECTION).encode(),
    ):
        path.write_bytes(data)
        assert shapely.equals(load_area(str(path)).polygon, SQUARE)


def test_heights_of_some_corners_are_left_out(tmp_path):
    path = tmp_path / "a.geojson"
    corners = [[6, 49], [7, 49, 100], [7, 50, 100, 5], [6, 49]]
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [corners]}))

    assert load_area(str(path)).polygon.area == pytest.approx(0.5)


def test_a_polygon_of_a_million_corners_is_read(tmp_path):
    angles = np.linspace(0, 2 * np.pi, 1_300_000, endpoint=False)
    ring = np.column_stack([8 + np.cos(angles), 47 + np.sin(angles)]).tolist()
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [[*ring, ring[0]]]}))

    area = load_area(str(path))

    assert area.polygon.area == pytest.approx(np.pi, rel=1e-6)
    assert shapely.get_num_coordinates(area.polygon) == 1_300_001


def test_geojson_larger_than_memory_is_refused(tmp_path, monkeypatch):
    path = make(tmp_path, ".geojson")
    monkeypatch.setattr("lulcmap.geo.geojson.free_memory", lambda: 1000)

    with pytest.raises(AreaError, match="more than fits in memory"):
        load_area(str(path))


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".parquet"])
def test_attributes_are_those_that_gdal_gives(tmp_path, suffix):
    frame = geopandas.GeoDataFrame(
        {"whole": [1, 2], "real": [1.5, None], "text": ["a", None], "some": [3, None]},
        geometry=[SQUARE, SQUARE],
        crs=4326,
    )
    path = tmp_path / f"a{suffix}"
    frame.to_parquet(path) if suffix == ".parquet" else frame.to_file(path)

    with open_vectors(path) as file:
        columns = file.read().columns

    assert [*columns] == ["whole", "real", "text", "some"]
    assert columns["whole"].tolist() == [1, 2]
    assert columns["text"].tolist() == ["a", None]
    assert columns["real"][0] == 1.5
    assert columns["real"][1] is None or np.isnan(columns["real"][1])


def test_a_name_that_gdal_would_take_apart_is_read_or_refused_but_nothing_else_is_read(tmp_path):
    other = tmp_path / "b.gpkg"
    write(other)
    for name in ("a!b.gpkg", "a;b.gpkg"):
        shutil.copy(other, tmp_path / name)
        with pytest.raises(AreaError, match="Rename it"):
            load_area(str(tmp_path / name))
    for name in ("zip:a.gpkg", "a?b#c.gpkg", "GPKG:a.gpkg", "http:a.gpkg"):
        shutil.copy(other, tmp_path / name)
        assert shapely.equals(load_area(str(tmp_path / name)).polygon, SQUARE)


def test_a_path_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="No file"), open_vectors(tmp_path / "none"):
        pass
    with pytest.raises(UsageError, match="holds no vector file"), open_vectors(tmp_path):
        pass
