import json

import numpy as np
import pyarrow.parquet
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pyproj import CRS
from rasterio.features import rasterize, shapes

from lulcmap.errors import OutputError, UsageError
from lulcmap.evaluation import open_class_map
from lulcmap.geo import open_vectors
from lulcmap.products.minimum import PixelMeasure
from lulcmap.products.polygons import write_polygons
from lulcmap.products.tiles import tile_boxes, tile_polygons
from tests.products import cleaning
from tests.products.maps import GRID, geodesic_m2, write_map

SMALL = st.tuples(st.integers(1, 14), st.integers(1, 14))
VALUES = arrays(np.uint8, SMALL, elements=st.sampled_from([0, 1, 1, 2, 255]))
TRANSFORMS = [GRID, Affine(10, 0, 550_000, 0, 10, 6_344_000), Affine(0, 10, 5e5, -20, 0, 6e6)]


def cut(path, side, *, every=0):
    """Polygons, values and areas of a map cut into tiles of a side, without a file."""
    polygons, values, areas = [], [], []
    with open_class_map(path) as class_map:
        measure = PixelMeasure(class_map)
        for box in tile_boxes(class_map.shape, side):
            tile = tile_polygons(class_map, box, measure, measure, every=every)
            wanted = np.ones(len(tile.values), bool)
            for some, made in tile.chunks(wanted, class_map.transform):
                polygons.extend(made)
                values.extend(tile.values[some])
                areas.extend(tile.areas[some] * measure.square_metres)
    return np.array(polygons, object), np.array(values), np.array(areas)


def read(path):
    """Polygons and columns of a file."""
    meta, _, blobs, fields = pyogrio.raw.read(path)
    return shapely.from_wkb(blobs), dict(zip(meta["fields"], fields, strict=True)), meta


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=VALUES.filter(lambda values: (values != 255).any()),
    side=st.integers(1, 15),
    transform=st.sampled_from(TRANSFORMS),
    every=st.sampled_from([0, 3]),
)
def test_polygons_are_the_map_whatever_the_tiles(tmp_path, values, side, transform, every):
    path = write_map(tmp_path / "map.tif", values, transform=transform)

    polygons, ids, areas = cut(path, side, every=every)

    assert shapely.is_valid(polygons).all()
    assert shapely.coverage_is_valid(polygons)  # no gaps, no overlaps, the same vertices
    assert shapely.is_ccw(shapely.get_exterior_ring(polygons)).all()
    for polygon in polygons:
        assert not any(shapely.is_ccw(hole) for hole in polygon.interiors)
    back = rasterize(
        list(zip(polygons, ids.tolist(), strict=True)), values.shape, fill=255, transform=transform
    )
    np.testing.assert_array_equal(back, values)
    pixel = abs(transform.determinant)
    assert shapely.area(polygons).sum() == pytest.approx(pixel * np.sum(values != 255))
    assert areas == pytest.approx(shapely.area(polygons), rel=2e-3)  # UTM's scale
    expected = sum(
        cleaning.patches(values[row : row + height, col : col + width])[1]
        for row, col, height, width in tile_boxes(values.shape, side)
    )
    assert len(polygons) == expected


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=VALUES.filter(lambda values: (values != 255).any()))
def test_polygons_of_a_whole_map_are_those_of_gdal(tmp_path, values):
    path = write_map(tmp_path / "map.tif", values)

    polygons, ids, _ = cut(path, 20)

    other = [
        (shapely.geometry.shape(shape), value)
        for shape, value in shapes(values, values != 255, 4, GRID)
    ]
    ours = {
        (shapely.normalize(shapely.remove_repeated_points(one.simplify(0))).wkt, value)
        for one, value in zip(polygons, ids, strict=True)
    }
    gdal = {(shapely.normalize(one.simplify(0)).wkt, value) for one, value in other}
    assert len(polygons) == len(other)
    assert {value for _, value in ours} == {value for _, value in gdal}
    union = [shapely.union_all(list(polygons[ids == value])) for value in np.unique(ids)]
    expected = [
        shapely.union_all([one for one, of in other if of == value]) for value in np.unique(ids)
    ]
    assert all(one.equals(two) for one, two in zip(union, expected, strict=True))


def test_where_three_polygons_meet_all_have_the_vertex(tmp_path):
    values = np.array([[0, 0], [1, 2]], np.uint8)

    polygons, _, _ = cut(write_map(tmp_path / "map.tif", values), 2)

    middle = (550_010.0, 6_343_990.0)
    assert [middle in polygon.exterior.coords for polygon in polygons] == [True] * 3
    assert [len(polygon.exterior.coords) for polygon in polygons] == [6, 5, 5]


def test_a_patch_that_touches_itself_at_a_corner_is_valid(tmp_path):
    values = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 0]], np.uint8)
    values[2, 0], values[1, 1] = 1, 1

    polygons, _, _ = cut(write_map(tmp_path / "map.tif", values), 3)

    assert shapely.is_valid(polygons).all()
    assert sorted(len(one.interiors) for one in polygons) == [0, 0, 1]


@pytest.mark.parametrize("ending", ["gpkg", "fgb", "parquet"])
@pytest.mark.parametrize("tile_size", [None, 16])
def test_the_file_holds_classes_and_true_areas(tmp_path, ending, tile_size):
    values = np.random.default_rng(2).integers(0, 3, (40, 30)).astype(np.uint8)
    values[:5] = 255
    path, out = write_map(tmp_path / "luxembourg.tif", values), tmp_path / f"x.{ending}"

    report = write_polygons(path, out, tile_size=tile_size)

    with open_vectors(out) as file:
        features = file.read()
    assert features.crs.to_epsg() == 32632
    columns = {name: features.columns[name] for name in ("class_id", "class", "ha")}
    assert ("tile" in features.columns) == (tile_size is not None)
    assert set(zip(columns["class_id"], columns["class"], strict=True)) == {
        (0, "water"),
        (1, "trees"),
        (2, "grass"),
    }
    back = rasterize(
        list(zip(features.shapes, columns["class_id"], strict=True)),
        values.shape,
        fill=255,
        transform=GRID,
    )
    np.testing.assert_array_equal(back, values)
    degrees = shapely.transform(
        features.shapes[:5],
        lambda xy: np.column_stack(rasterio.warp.transform("EPSG:32632", "EPSG:4326", *xy.T)),
    )
    for polygon, ha in zip(degrees, columns["ha"][:5], strict=True):
        assert ha * 1e4 == pytest.approx(geodesic_m2(polygon), rel=1e-4)
    assert report.polygons == len(features.shapes)
    assert report.ha == pytest.approx(np.sum(columns["ha"].astype(float)), rel=1e-6)
    if ending != "parquet":
        assert pyogrio.list_layers(out)[:, 0].tolist() == ["luxembourg"]
        assert pyogrio.read_info(out)["geometry_type"] == "Polygon"


def test_geoparquet_says_what_it_is(tmp_path):
    values = np.zeros((9, 12), np.uint8)
    values[4, 4] = 1
    out = tmp_path / "x.parquet"

    write_polygons(write_map(tmp_path / "map.tif", values), out)

    table = pyarrow.parquet.read_table(out)
    about = json.loads(table.schema.metadata[b"geo"])
    column = about["columns"][about["primary_column"]]
    assert (about["version"], column["encoding"]) == ("1.1.0", "WKB")
    assert column["geometry_types"] == ["Polygon"]
    assert column["orientation"] == "counterclockwise"
    assert CRS.from_json_dict(column["crs"]).to_epsg() == 32632
    assert column["bbox"] == [550_000, 6_343_910, 550_120, 6_344_000]
    boxes = table.column("bbox").to_pylist()
    assert boxes[1] == {"xmin": 550_040, "ymin": 6_343_950, "xmax": 550_050, "ymax": 6_343_960}


def test_many_chunks_and_layers_named_like_tables_of_a_geopackage(tmp_path, monkeypatch):
    monkeypatch.setattr("lulcmap.products.tiles._CHUNK_VERTICES", 50)
    values = np.random.default_rng(2).integers(0, 3, (40, 30)).astype(np.uint8)
    path = write_map(tmp_path / "gpkg_x.tif", values)

    found = [write_polygons(path, tmp_path / f"x.{ending}").polygons for ending in ("gpkg", "fgb")]

    assert found == [cleaning.patches(values)[1]] * 2
    for ending in ("gpkg", "fgb"):
        polygons, columns, _ = read(tmp_path / f"x.{ending}")
        pairs = list(zip(polygons, columns["class_id"], strict=True))
        np.testing.assert_array_equal(rasterize(pairs, values.shape, transform=GRID), values)


def test_in_another_crs_neighbours_still_share_their_vertices(tmp_path):
    values = np.repeat(np.repeat(np.array([[0, 1], [2, 2], [1, 0]], np.uint8), 90, 0), 100, 1)
    path, out = write_map(tmp_path / "map.tif", values), tmp_path / "x.gpkg"

    write_polygons(path, out, crs="EPSG:4326", tile_size=100)

    polygons, columns, meta = read(out)
    assert meta["crs"] == "EPSG:4326"
    assert shapely.coverage_is_valid(polygons)
    assert shapely.is_ccw(shapely.get_exterior_ring(polygons)).all()
    for polygon, ha in zip(polygons, columns["ha"], strict=True):
        assert ha * 1e4 == pytest.approx(geodesic_m2(polygon), rel=1e-5)
    assert max(shapely.get_num_coordinates(polygons)) > 5  # straight lines bend


def test_some_classes_and_a_minimum(tmp_path):
    values = np.zeros((40, 40), np.uint8)
    values[2:12, 2:12], values[20, 20:23], values[30, 30] = 6, 6, 1
    path, out = write_map(tmp_path / "map.tif", values), tmp_path / "x.gpkg"

    report = write_polygons(path, out, classes=["built", "1"], min_area="0.05ha")

    polygons, columns, _ = read(out)
    assert columns["class"].tolist() == ["built"]
    assert polygons[0].area == 10_000
    assert [(row.name, row.polygons) for row in report.classes] == [("built", 1)]
    assert report.ha == pytest.approx(1, rel=1e-3)
    assert "2 polygons below 0.05ha, 0.04 ha, are left out" in report.notes[0]


def test_a_polygon_that_a_tile_cuts_is_not_taken_for_a_small_one(tmp_path):
    values = np.zeros((40, 40), np.uint8)
    values[14:17, 2:12], values[30, 30] = 6, 6
    path, out = write_map(tmp_path / "map.tif", values), tmp_path / "x.gpkg"

    write_polygons(path, out, classes=["built"], min_area="25px", tile_size=16)

    polygons, _, _ = read(out)
    assert shapely.union_all(polygons).area == 3000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["forest"]}, r"--classes names 'forest'.*0 water"),
        ({"classes": ["built"]}, "no pixel of these --classes"),
        ({"min_area": "5ha"}, "No polygon reaches --min-area 5ha"),
        ({"min_area": "5"}, "such as"),
        ({"tile_size": 3}, "--tile-size is 3"),
        ({"crs": "EPSG:99999"}, "EPSG code"),
        ({"crs": "EPSG:4978"}, "CRS of maps"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_written(tmp_path, options, message):
    path = write_map(tmp_path / "map.tif", np.zeros((9, 9), np.uint8))

    with pytest.raises(UsageError, match=message):
        write_polygons(path, tmp_path / "x.gpkg", **options)
    assert [one.name for one in tmp_path.iterdir()] == ["map.tif"]


def test_tiles_that_memory_does_not_hold_are_refused(tmp_path, monkeypatch):
    path = write_map(tmp_path / "map.tif", np.zeros((90, 90), np.uint8))
    monkeypatch.setattr("lulcmap.products.cutting.free_memory", lambda: 100_000)

    with pytest.raises(UsageError, match=r"90 x 90 pixels.*smaller --tile-size"):
        write_polygons(path, tmp_path / "x.gpkg")
    assert write_polygons(path, tmp_path / "x.gpkg", tile_size=64).tiles == 4


def test_polygons_across_180_degrees_stay_in_the_maps_crs(tmp_path):
    path = write_map(
        tmp_path / "map.tif",
        np.zeros((90, 90), np.uint8),
        crs="EPSG:3832",
        transform=Affine(1000, 0, 3_300_000, 0, -1000, 0),
    )

    with pytest.raises(UsageError, match="crosses 180 degrees"):
        write_polygons(path, tmp_path / "x.gpkg", crs="EPSG:4326")
    assert write_polygons(path, tmp_path / "x.gpkg").polygons == 1


def test_only_polygons_are_replaced(tmp_path):
    path = write_map(tmp_path / "map.tif", np.zeros((9, 9), np.uint8))
    other = tmp_path / "other.gpkg"
    pyogrio.raw.write(
        other,
        geometry=shapely.to_wkb([shapely.box(0, 0, 1, 1)]),
        field_data=[np.array([1])],
        fields=["code"],
        geometry_type="Polygon",
        crs="EPSG:4326",
    )
    outs = [tmp_path / f"x.{ending}" for ending in ("gpkg", "fgb", "parquet")]
    for out in outs:
        write_polygons(path, out)

    for out in outs:
        with pytest.raises(OutputError, match="overwrite"):
            write_polygons(path, out)
        write_polygons(path, out, overwrite=True)
    with pytest.raises(OutputError, match="not a file of polygons"):
        write_polygons(path, other, overwrite=True)
    with pytest.raises(UsageError, match=r"\.gpkg, \.fgb, \.parquet"):
        write_polygons(path, tmp_path / "x.shp")
