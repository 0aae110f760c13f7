"""Write a table of change as CSV, XLSX or Parquet, by the ending of the file."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from PIL import Image

from lulcmap.errors import OutputError
from lulcmap.products.change.table import ChangeTable
from lulcmap.products.destinations import check_format, check_product
from lulcmap.products.tables import write_cell
from lulcmap.system import replacing, write_table

FLOWS_TITLE = "Change by lulcmap"
"""Title in the metadata of a picture."""

_ENDINGS = (".csv", ".xlsx", ".parquet")

_SHEETS = ("transitions", "classes", "years", "adjusted")
"""Tables: sheets of a workbook, or files beside the one of transitions."""

_HEADS = (
    *("region,first_id,first,last_id,last,", "region,class_id,class,first_ha,"),
    *("region,year,class_id,class,", "name,mapped_ha,adjusted_ha,"),
)
"""First columns of the tables."""

_MAX_XLSX_ROWS = 2**20 - 1
"""Rows of a sheet under its heading."""

_TEXTS = {"region", "first", "last", "class", "year", "name"}
_IDS = {"first_id", "last_id", "class_id"}


def table_files(out: Path) -> dict[str, Path]:
    """Paths of the files of a table, by what they hold."""
    if out.suffix.lower() == ".xlsx":
        return {"transitions": out}
    beside = {name: out.with_name(f"{out.stem}-{name}{out.suffix}") for name in _SHEETS[1:]}
    return {"transitions": out, **beside}


def check_change_path(
    out: Path,
    *,
    overwrite: bool,
    option: str = "--table",
    inputs: Collection[Path] = (),
    endings: Collection[str] = _ENDINGS,
) -> None:
    """Check that a table or picture may be written, before the work begins.

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
    files = [out] if out.suffix.lower() == ".png" else list(table_files(out).values())
    for path in files:
        check_product(
            path,
            _is_ours,
            kind="a table or picture of change",
            overwrite=overwrite,
            option=option,
            inputs=inputs,
        )


def _is_ours(path: Path) -> bool:
    """Whether a file is a table or picture of change."""
    ending = path.suffix.lower()
    try:
        if ending == ".csv":
            with path.open(encoding="utf-8") as file:
                return file.readline().startswith(_HEADS)
        if ending == ".parquet":
            import pyarrow.parquet

            names = ",".join(pyarrow.parquet.read_schema(path).names)
            return names.startswith(_HEADS)
        if ending == ".xlsx":
            import openpyxl

            with closing(openpyxl.load_workbook(path, read_only=True)) as book:
                return set(book.sheetnames) <= {*_SHEETS, "notes", "matrix"}
        with Image.open(path) as image:
            return image.info.get("Title") == FLOWS_TITLE
    except Exception:  # of whatever kind: what cannot be read is another program's
        return False


def write_change(out: str | Path, table: ChangeTable, *, overwrite: bool = False) -> None:
    """Write a table of change.

    A workbook holds all of it: the transitions, their matrix, the gains and losses of the classes,
    the years, what a sample tells, and notes. Of the other formats, each table is a file:
    ``change.csv`` has the transitions, ``change-classes.csv`` the classes, and so on.

    Args:
        out: path of the file; ``.csv``, ``.xlsx`` or ``.parquet``.
        table: the table.
        overwrite: whether existing files may be replaced.

    Raises:
        UsageError: the ending is another one, or the package that writes it is missing.
        OutputError: a file exists, or cannot be written.

    """
    out = Path(out)
    check_change_path(out, overwrite=overwrite)
    rows = {name: [row.to_json() for row in getattr(table, name)] for name in _SHEETS}
    files = table_files(out)
    try:
        with ExitStack() as stack:
            if out.suffix.lower() == ".xlsx":
                _write_xlsx(stack.enter_context(replacing(out)), table, rows)
                return
            write = _write_csv if out.suffix.lower() == ".csv" else _write_parquet
            for name, path in files.items():
                if rows[name]:
                    write(stack.enter_context(replacing(path)), rows[name])
                else:
                    path.unlink(missing_ok=True)  # an older one's
    except OSError as error:
        raise OutputError(
            f"The table cannot be written to {out} ({error}). Check that the folder is writable "
            "and the disk is not full."
        ) from error


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    write_table(path, [list(rows[0]), *([_cell(cell) for cell in row.values()] for row in rows)])


def _cell(value: Any) -> Any:
    """A value in a CSV file: numbers without an exponent and without trailing zeros."""
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def _write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    kinds = {
        name: pyarrow.string()
        if name in _TEXTS
        else pyarrow.int16()
        if name in _IDS
        else pyarrow.float64()
        for name in rows[0]
    }
    columns = {
        name: pyarrow.array([row[name] for row in rows], kind) for name, kind in kinds.items()
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def _write_xlsx(
    path: Path, table: ChangeTable, tables: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    if len(table.regions) == 1:
        _fill_sheet(book.create_sheet("matrix"), _matrix(table))
    for name, rows in tables.items():
        if len(rows) > _MAX_XLSX_ROWS:
            raise OutputError(
                f"The table has {len(rows):,} {name}; a sheet holds {_MAX_XLSX_ROWS:,}. Write a "
                ".csv or .parquet file."
            )
        if rows:
            cells = [list(row.values()) for row in rows]
            _fill_sheet(book.create_sheet(name), [list(rows[0]), *cells])
    notes = book.create_sheet("notes")
    for row, note in enumerate([f"Change between {table.title}", *table.notes], 1):
        write_cell(notes.cell(row, 1), note)
    book.save(path)


def _matrix(table: ChangeTable) -> list[list[Any]]:
    """The matrix of one region, hectares: rows the first map's classes, columns the last one's."""
    classes = [(row.class_id, row.name) for row in table.classes]
    ha = {(row.first_id, row.last_id): round(row.ha, 4) for row in table.transitions}
    head = [f"ha, {table.labels[0]} (rows) to {table.labels[-1]} (columns)"]
    rows: list[list[Any]] = [[*head, *(name for _, name in classes), "all"]]
    for first, name in classes:
        cells = [ha.get((first, last), 0.0) for last, _ in classes]
        rows.append([name, *cells, sum(cells)])
    sums = [sum(row[column] for row in rows[1:]) for column in range(1, len(classes) + 2)]
    return [*rows, ["all", *sums]]


def _fill_sheet(sheet: Any, rows: Sequence[Sequence[Any]]) -> None:
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    for i, row in enumerate(rows, 1):
        for j, value in enumerate(row, 1):
            cell = sheet.cell(i, j)
            write_cell(cell, value)
            if i == 1:
                cell.font = Font(bold=True)
            elif isinstance(value, float):
                cell.number_format = "#,##0.00"
    for j, column in enumerate(zip(*rows, strict=True), 1):
        widest = max(len(f"{one:,.2f}" if isinstance(one, float) else str(one)) for one in column)
        sheet.column_dimensions[get_column_letter(j)].width = min(widest + 3, 60)
    sheet.freeze_panes = "B2" if sheet.title == "matrix" else "A2"
    if sheet.title != "matrix":
        sheet.auto_filter.ref = sheet.dimensions
