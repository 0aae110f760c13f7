"""CSV tables that a spreadsheet shows and does not run."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lulcmap.errors import UsageError

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Beginnings of a cell that spreadsheets take for a formula, also in full width."""


def write_table(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file, UTF-8.

    A text that a spreadsheet would run as a formula gets an apostrophe before it, as OWASP advises;
    numbers, also written as text, stay numbers.

    Args:
        path: path of the file.
        rows: rows of cells; None is an empty cell.

    Raises:
        OSError: it cannot be written.

    """
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([_plain(cell) for cell in row] for row in rows)


def _plain(cell: object) -> object:
    if isinstance(cell, str) and cell.startswith(_FORMULA) and not _is_number(cell):
        return f"'{cell}"
    return cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()


def read_rows(path: Path, what: str, give: str) -> list[dict[str | Any, str | Any]]:
    """The rows of a CSV file that a user gave, by the names in its header.

    Args:
        path: path of the file; UTF-8, with or without a byte order mark.
        what: what it holds, for the message, such as ``"places"``.
        give: what to give instead, for the message.

    Raises:
        UsageError: it cannot be read, or a row has more values than the header has names.

    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"The {what} {path} cannot be read ({error}). Give {give}.") from error
    refuse_longer_rows(rows, path)
    return rows


def refuse_longer_rows(rows: Iterable[dict[str | Any, str | Any]], source: object) -> None:
    """Check that no row of a CSV file has more values than the header has names.

    A comma in a number or a name would move what follows to another column, or drop it.

    Args:
        rows: rows of a ``csv.DictReader``; what stands behind the last name is removed.
        source: the file, for the message.

    Raises:
        UsageError: a row has more; empty values do not count.

    """
    for number, row in enumerate(rows, start=2):
        if any(value.strip() for value in row.pop(None, ())):
            raise UsageError(
                f"Line {number} of {source} has more values than the header has names. Write "
                'numbers with a point, and put a text that has a comma in quotes ("forest, mixed").'
            )
