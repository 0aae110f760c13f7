"""Write a table of areas as CSV, XLSX, Parquet or GeoPackage, by the ending of the file."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from PIL import Image

from lulcmap.errors import OutputError
from lulcmap.products.areas import AreaTable
from lulcmap.products.destinations import check_format, check_product
from lulcmap.system import replacing, write_table

_ENDINGS = (".csv", ".xlsx", ".parquet", ".gpkg")

CHART_TITLE = "Areas by lulcmap"
"""Title in the metadata of a chart."""

_FIRST = ("region", "class_id", "class")
"""First columns of every table."""

_MAX_XLSX_ROWS = 2**20 - 1
"""Rows of a sheet under its heading."""

_FORMATS = {
    "pixels": "#,##0.###",
    "ha": "#,##0.00",
    "km2": "#,##0.0000",
    "percent": "0.00",
    "adjusted_ha": "#,##0.00",
    "ci95_ha": "#,##0.00",
}
"""Formats of numbers in a sheet, by column."""


def check_table_path(
    out: Path,
    *,
    overwrite: bool,
    option: str = "--out",
    inputs: Collection[Path] = (),
    endings: Collection[str] = _ENDINGS,
) -> None:
    """Check that a file may be written, before the work begins.

    Args:
        out: path of the file.
        overwrite: whether an existing file may be replaced.
        option: option that names it, for the message.
        inputs: paths of files that are read, and must stay.
        endings: endings of the formats that can be written.

    Raises:
        UsageError: the ending is none of them, or the package that writes it is missing.
        OutputError: the file exists or is an input or another program's, or cannot be written.

    """
    check_format(out, endings)
    check_product(
        out,
        _is_ours,
        kind="a table or chart of areas",
        overwrite=overwrite,
        option=option,
        inputs=inputs,
    )


def _is_ours(path: Path) -> bool:
    """Whether a file is a table or chart of areas."""
    ending = path.suffix.lower()
    try:
        if ending == ".csv":
            with path.open(encoding="utf-8") as file:
                return file.readline().startswith(",".join(_FIRST))
        if ending == ".parquet":
            import pyarrow.parquet

            return pyarrow.parquet.read_schema(path).names[: len(_FIRST)] == list(_FIRST)
        if ending == ".xlsx":
            import openpyxl

            with closing(openpyxl.load_workbook(path, read_only=True)) as book:
                return bool(book.sheetnames == ["areas", "notes"])
        if ending == ".gpkg":
            layers = {str(name) for name, _ in pyogrio.list_layers(path)}
            columns = pyogrio.read_info(path, layer="areas")["fields"].tolist()
            return layers <= {"areas", "regions", "layer_styles"} and columns[:3] == list(_FIRST)
        with Image.open(path) as image:
            return image.info.get("Title") == CHART_TITLE
    except Exception:  # of whatever kind: what cannot be read is another program's
        return False


def write_areas(out: str | Path, table: AreaTable, *, overwrite: bool = False) -> None:
    """Write a table of areas: the whole file, or nothing.

    A GeoPackage holds the rows as the table ``areas`` and, of a table by region, the layer
    ``regions``: a feature for each region, with the hectares and the percent of each class.

    Args:
        out: path of the file; ``.csv``, ``.xlsx``, ``.parquet`` or ``.gpkg``.
        table: the table.
        overwrite: whether an existing file may be replaced.

    Raises:
        UsageError: the ending is another one, or the package that writes it is missing.
        OutputError: the file exists, or cannot be written.

    """
    out = Path(out)
    check_table_path(out, overwrite=overwrite)
    write: Mapping[str, Callable[[Path, AreaTable], None]] = {
        ".csv": _write_csv,
        ".xlsx": _write_xlsx,
        ".parquet": _write_parquet,
        ".gpkg": _write_gpkg,
    }
    try:
        with replacing(out) as part:
            write[out.suffix.lower()](part, table)
    except (OSError, pyogrio.errors.DataSourceError, pyogrio.errors.FeatureError) as error:
        raise OutputError(
            f"The areas cannot be written to {out} ({error}). Check that the folder is writable "
            "and the disk is not full."
        ) from error


def _columns(table: AreaTable) -> dict[str, list[Any]]:
    """The values of each column."""
    rows = [row.to_json() for row in table.rows]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _write_csv(path: Path, table: AreaTable) -> None:
    columns = _columns(table)
    rows = zip(*columns.values(), strict=True)
    write_table(path, [list(columns), *([_cell(value) for value in row] for row in rows)])


def _cell(value: Any) -> Any:
    """A value in a CSV file: numbers without an exponent and without trailing zeros."""
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def _write_xlsx(path: Path, table: AreaTable) -> None:
    import openpyxl
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    columns = _columns(table)
    if len(table.rows) > _MAX_XLSX_ROWS:
        raise OutputError(
            f"The table has {len(table.rows):,} rows; a sheet holds {_MAX_XLSX_ROWS:,}. Write a "
            ".csv or .parquet file."
        )
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "areas"
    for number, (name, values) in enumerate(columns.items(), 1):
        write_cell(sheet.cell(1, number), name)
        sheet.cell(1, number).font = Font(bold=True)
        for row, value in enumerate(values, 2):
            write_cell(sheet.cell(row, number), value)
            if name in _FORMATS:
                sheet.cell(row, number).number_format = _FORMATS[name]
        longest = max(len(name), *(len(str(value)) for value in values))
        sheet.column_dimensions[get_column_letter(number)].width = min(longest + 3, 60)
    sheet.freeze_panes = "A2"
    sheet.auto_filter.ref = sheet.dimensions
    notes = book.create_sheet("notes")
    for row, note in enumerate([f"Areas of {table.title}", *table.notes], 1):
        write_cell(notes.cell(row, 1), note)
    book.save(path)


def write_cell(cell: Any, value: Any) -> None:
    """Write a value; text as text, never as a formula."""
    cell.value = value
    if isinstance(value, str):
        cell.data_type = "s"


def _write_parquet(path: Path, table: AreaTable) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = _columns(table)
    texts = {"region", "class", "adjusted_note"}
    arrays = {
        name: pyarrow.array(
            values,
            pyarrow.string()
            if name in texts
            else pyarrow.int16()
            if name == "class_id"
            else pyarrow.float64(),
        )
        for name, values in columns.items()
    }
    pyarrow.parquet.write_table(pyarrow.table(arrays), path)


def _write_gpkg(path: Path, table: AreaTable) -> None:
    columns = _columns(table)
    if table.regions is not None:
        wide = _wide(table)
        _write_layer(
            path,
            "regions",
            wide,
            geometry=shapely.to_wkb(table.regions.shapes),
            geometry_type="MultiPolygon",
            crs=table.regions.crs.to_wkt(),
        )
    _write_layer(path, "areas", columns)


def _write_layer(
    path: Path, layer: str, columns: Mapping[str, Sequence[Any]], **geometry: Any
) -> None:
    """Write one layer of a GeoPackage."""
    arrays, masks = zip(*(_array(values) for values in columns.values()), strict=True)
    pyogrio.raw.write(
        path,
        geometry=geometry.pop("geometry", None),
        field_data=list(arrays),
        field_mask=list(masks),
        fields=list(columns),
        layer=layer,
        driver="GPKG",
        **{"geometry_type": None, **geometry},
    )


def _array(
    values: Sequence[Any],
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any] | None]:
    """A column as an array, and where its values are unknown."""
    if any(isinstance(value, str) for value in values):
        return np.array(values, object), None
    unknown = np.array([value is None for value in values])
    is_whole = all(isinstance(value, int) for value in values if value is not None)
    known = [0 if value is None else value for value in values]
    return np.array(known, np.int32 if is_whole else np.float64), unknown


def _wide(table: AreaTable) -> dict[str, list[Any]]:
    """A row for each region: its mapped and missing hectares, and those of each class."""
    columns: dict[str, list[Any]] = {"region": [], "mapped_ha": [], "not_mapped_ha": []}
    taken: dict[tuple[int, str], str] = {}
    for region, rows in table.by_region().items():
        columns["region"].append(region)
        columns["mapped_ha"].append(sum(row.ha for row in rows if row.class_id is not None))
        columns["not_mapped_ha"].append(sum(row.ha for row in rows if row.class_id is None))
        for row in rows:
            if row.class_id is None:
                continue
            values = row.to_json()
            for kind in ("ha", "percent", "adjusted_ha", "ci95_ha"):
                key = row.class_id, kind
                if kind in values:
                    if key not in taken:
                        taken[key] = _free_name(f"{row.name}_{kind}", row.class_id, columns)
                    columns.setdefault(taken[key], []).append(values[kind])
    return columns


def _free_name(name: str, class_id: int, columns: Mapping[str, Sequence[Any]]) -> str:
    """A column's name that no other one has: SQLite does not tell upper from lower case."""
    taken = {column.lower() for column in columns} | {"fid", "geom"}
    return f"{name}_{class_id}" if name.lower() in taken else name
