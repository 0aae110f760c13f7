import csv
import sys

import numpy as np
import pyogrio
import pytest
import shapely
from PIL import Image

from lulcmap.errors import OutputError, UsageError
from lulcmap.products.adjusted import Adjusted
from lulcmap.products.areas import AreaRow, AreaTable, measure_areas
from lulcmap.products.chart import draw_areas
from lulcmap.products.tables import check_table_path, write_areas
from tests.products.maps import write_map, write_regions

COLUMNS = ["region", "class_id", "class", "pixels", "ha", "km2", "percent"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Two regions, one of them not mapped in part and named like a formula."""
    folder = tmp_path_factory.mktemp("table")
    values = np.random.default_rng(4).integers(0, 3, (120, 160)).astype(np.uint8)
    values[:, :20] = 255
    path = write_map(folder / "map.tif", values, names={0: "Wasser", 1: "=1+1", 2: "WASSER"})
    boxes = [shapely.box(x, 6_343_000, x + 500.5, 6_343_500.3) for x in (550_000, 550_500.5)]
    regions = write_regions(folder / "r.gpkg", boxes, name=["@Süd", "ຊຽງຂວາງ"])
    return measure_areas(path, regions=regions)


def adjusted(table, *estimates):
    rows = [
        AreaRow("all", i, f"class {i}", 10.0, 100.0 * (i + 1), 50.0, estimate)
        for i, estimate in enumerate(estimates)
    ]
    return AreaTable("map.tif", tuple(rows), {0: (1, 200, 3), 1: (250, 2, 3)}, None, ("A note.",))


def picture(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_a_csv_file_holds_the_rows_and_no_formula(table, tmp_path):
    out = tmp_path / "areas.csv"

    write_areas(out, table)

    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS
    assert [row["class"] for row in rows] == [
        *("Wasser", "'=1+1", "WASSER", "not mapped", "Wasser", "'=1+1", "WASSER")
    ]
    assert [rows[0]["region"], rows[-1]["region"]] == ["'@Süd", "ຊຽງຂວາງ"]
    assert (rows[3]["class_id"], rows[3]["percent"]) == ("", "")
    for row, own in zip(rows, table.rows, strict=True):
        assert float(row["ha"]) == pytest.approx(own.ha, abs=1e-4)
        assert float(row["pixels"]) == pytest.approx(own.pixels, abs=1e-3)
        assert float(row["km2"]) == pytest.approx(float(row["ha"]) / 100, abs=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["areas.csv"]


def test_a_workbook_holds_numbers_and_text_that_is_no_formula(table, tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    out = tmp_path / "areas.xlsx"

    write_areas(out, table)

    book = openpyxl.load_workbook(out)
    rows = list(book["areas"].iter_rows(values_only=True))
    assert list(rows[0]) == COLUMNS
    assert [book["areas"].cell(3, 3).value, book["areas"].cell(3, 3).data_type] == ["=1+1", "s"]
    assert rows[1][0] == "@Süd"
    assert rows[1][4] == pytest.approx(table.rows[0].ha, abs=1e-4)
    assert rows[4][1] is None
    notes = [row[0] for row in book["notes"].iter_rows(values_only=True)]
    assert notes == ["Areas of map.tif", *table.notes]


def test_a_parquet_file_has_typed_columns(table, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "areas.parquet"

    write_areas(out, table)

    read = parquet.read_table(out)
    assert {
        name: str(kind) for name, kind in zip(read.column_names, read.schema.types, strict=True)
    } == {
        **dict.fromkeys(["pixels", "ha", "km2", "percent"], "double"),
        **{"region": "string", "class_id": "int16", "class": "string"},
    }
    assert read.to_pylist() == [row.to_json() for row in table.rows]


def test_a_geopackage_has_a_feature_for_each_region_and_the_rows(table, tmp_path):
    out = tmp_path / "areas.gpkg"

    write_areas(out, table)

    assert [tuple(layer) for layer in pyogrio.list_layers(out)] == [
        ("regions", "MultiPolygon"),
        ("areas", None),
    ]
    meta, _, blobs, fields = pyogrio.raw.read(out, layer="regions")
    columns = dict(zip(meta["fields"].tolist(), fields, strict=True))
    assert list(columns) == [
        *("region", "mapped_ha", "not_mapped_ha", "Wasser_ha", "Wasser_percent"),
        *("=1+1_ha", "=1+1_percent", "WASSER_ha_2", "WASSER_percent_2"),
    ]
    assert meta["crs"] == "EPSG:32632"
    shapes = shapely.from_wkb(blobs)
    np.testing.assert_allclose(shapely.area(shapes), 500.5 * 500.3)
    np.testing.assert_allclose(
        columns["mapped_ha"] + columns["not_mapped_ha"], shapely.area(shapes) / 1e4, rtol=2e-3
    )
    meta, _, _, fields = pyogrio.raw.read(out, layer="areas")
    rows = dict(zip(meta["fields"].tolist(), fields, strict=True))
    assert list(rows) == COLUMNS
    assert rows["class"].tolist() == [row.name for row in table.rows]
    np.testing.assert_array_equal(np.isnan(rows["class_id"]), [0, 0, 0, 1, 0, 0, 0])


def test_a_whole_map_is_a_table_in_a_geopackage(table, tmp_path):
    out = tmp_path / "areas.gpkg"

    write_areas(out, adjusted(table, None, None))

    assert [tuple(layer) for layer in pyogrio.list_layers(out)] == [("areas", None)]


@pytest.mark.parametrize("ending", ["csv", "xlsx", "parquet", "gpkg"])
def test_adjusted_areas_have_columns(ending, table, tmp_path):
    out = tmp_path / f"areas.{ending}"
    one = adjusted(table, Adjusted(90.0, 8.5, ""), Adjusted(None, None, "9 labelled points"))

    write_areas(out, one)

    if ending == "csv":
        with out.open(newline="") as file:
            rows = [row[-3:] for row in csv.reader(file)]
        assert rows[0] == ["adjusted_ha", "ci95_ha", "adjusted_note"]
        assert rows[1:] == [["90", "8.5", ""], ["", "", "9 labelled points"]]


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("areas.txt", UsageError, "ends in .txt; .* .csv, .xlsx, .parquet, .gpkg"),
        ("areas", UsageError, "ends in nothing"),
        ("no/areas.csv", OutputError, "No folder .*no. Make it"),
        ("old.csv", OutputError, "old.csv exists. Give --overwrite"),
        ("map.tif.csv", OutputError, "one of the files that are read"),
    ],
)
def test_an_output_that_cannot_be_is_refused(name, error, words, tmp_path):
    (tmp_path / "old.csv").write_text("mine")
    (tmp_path / "map.tif.csv").write_text("mine")

    with pytest.raises(error, match=words):
        check_table_path(
            tmp_path / name,
            overwrite=name == "map.tif.csv",
            inputs=[tmp_path / "." / "map.tif.csv"],
        )


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)

    with pytest.raises(UsageError, match=r"pip install 'lulcmap\[areas\]'"):
        check_table_path(tmp_path / "areas.xlsx", overwrite=False)


@pytest.mark.parametrize("ending", ["csv", "gpkg"])
def test_a_table_is_replaced_whole_or_not_at_all(ending, table, tmp_path, monkeypatch):
    out = tmp_path / f"areas.{ending}"
    write_areas(out, adjusted(table, None, None))
    old = out.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        write_areas(out, table)

    def full(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr("lulcmap.products.tables._columns", full)
    with pytest.raises(OutputError, match="No space left"):
        write_areas(out, table, overwrite=True)
    assert out.read_bytes() == old
    monkeypatch.undo()
    write_areas(out, table, overwrite=True)

    assert out.read_bytes() != old
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("ending", ["csv", "xlsx", "parquet", "gpkg", "png"])
def test_a_file_of_another_program_is_never_replaced(ending, table, tmp_path):
    out = tmp_path / f"areas.{ending}"
    write = draw_areas if ending == "png" else write_areas
    write(out, table)
    write(out, table, overwrite=True)
    out.write_bytes(b"name,population\na,7\n")

    with pytest.raises(OutputError, match="is not a table or chart of areas made by lulcmap"):
        write(out, table, overwrite=True)
    assert out.read_bytes() == b"name,population\na,7\n"


def test_a_geopackage_of_the_user_is_never_replaced(table, tmp_path):
    out = write_regions(tmp_path / "r.gpkg", [shapely.box(0, 0, 1, 1)], layer="areas", name=["a"])

    with pytest.raises(OutputError, match="not a table or chart of areas"):
        write_areas(out, table, overwrite=True)


def test_the_chart_of_a_map_has_a_bar_for_each_class_as_long_as_its_area(table, tmp_path):
    out = tmp_path / "areas.png"

    draw_areas(out, adjusted(table, None, None))

    pixels = picture(out)
    lengths = [
        (pixels == colour).all(axis=2).sum(axis=1).max() for colour in [(1, 200, 3), (250, 2, 3)]
    ]
    assert lengths == [pytest.approx(320, abs=2), pytest.approx(640, abs=2)]


def test_the_chart_of_regions_has_their_classes_as_shares(table, tmp_path):
    out = tmp_path / "areas.png"

    draw_areas(out, table)

    pixels = picture(out)
    (row,) = [row for row in table.rows if (row.region, row.class_id) == ("ຊຽງຂວາງ", 1)]
    lengths = (pixels == table.colours[1]).all(axis=2).sum(axis=1)
    assert row.percent / 100 * 640 in [pytest.approx(one, abs=2) for one in set(lengths.tolist())]


def test_an_interval_that_is_longer_than_the_bar_stays_in_the_chart(table, tmp_path):
    narrow, wide = tmp_path / "narrow.png", tmp_path / "wide.png"

    draw_areas(narrow, adjusted(table, Adjusted(90.0, None, "one point"), Adjusted(None, None, "")))
    draw_areas(wide, adjusted(table, Adjusted(900.0, 400.0, ""), Adjusted(150.0, 160.0, "")))

    assert picture(wide).shape[1] < 1.4 * picture(narrow).shape[1]
    with pytest.raises(OutputError, match="exists"):
        draw_areas(wide, table)
