"""Crosswalks: from the codes of labels and the classes of a map to classes that compare both."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.legend import NODATA
from lulcmap.system import check_is_file, refuse_longer_rows

OTHER = "other"
"""Column of the confusion matrix for map classes that match no class of the labels."""

_FOLDER = Path(__file__).parent / "tables"

SHIPPED_CROSSWALKS = tuple(sorted(path.stem for path in _FOLDER.glob("*.csv")))
"""Names of the crosswalks shipped with lulcmap, all to Dynamic World's classes."""

_COLUMNS = {"code", "name", "map_classes"}


@dataclass(frozen=True, slots=True)
class Crosswalk:
    """The classes that a map and its labels are compared in."""

    classes: tuple[str, ...]
    """Names of the classes; the last one is ``OTHER``."""

    codes: Mapping[int, int]
    """Class index by code of the labels."""

    names: Mapping[str, int]
    """Class index by name in the labels."""

    values: NDArray[np.uint8]
    """(256,) class index by value of the map; 255 stays 255."""

    def of_codes(self, codes: NDArray[Any]) -> NDArray[np.uint8]:
        """Classes of the codes of a label raster, in its shape; 255 for unknown codes."""
        values, inverse = np.unique(codes, return_inverse=True)
        classes = [self.codes.get(code, NODATA) for code in values.tolist()]
        return np.array(classes, np.uint8)[inverse.reshape(codes.shape)]

    def of_label(self, label: object) -> int | None:
        """Class of one label, a code or a name; None if it is unknown."""
        text = str(label).strip()
        if text in self.names:
            return self.names[text]
        try:
            number = float(text)
        except ValueError:
            return None
        return self.codes.get(int(number)) if number.is_integer() else None


def identity_crosswalk(legend: Mapping[int, str]) -> Crosswalk:
    """Crosswalk of labels that have the map's own values or names.

    Args:
        legend: names of the map's classes by value.

    """
    classes = tuple(dict.fromkeys(legend.values()))
    codes = {value: classes.index(name) for value, name in legend.items()}
    return _crosswalk(classes, codes, codes)


def load_crosswalk(source: str, legend: Mapping[int, str]) -> Crosswalk:
    """Load a crosswalk from a CSV file with the columns ``code``, ``name`` and ``map_classes``.

    Each row is a code of the labels: the name it is compared under, and the classes of the map that
    match it, names or values separated by semicolons. Rows with the same name are one class.

    Args:
        source: path of a file, or one of ``SHIPPED_CROSSWALKS``.
        legend: names of the map's classes by value.

    Raises:
        UsageError: the file cannot be read or contradicts itself.

    """
    path = _FOLDER / f"{source}.csv" if source in SHIPPED_CROSSWALKS else Path(source)
    rows = _rows(path, source)
    classes = tuple(dict.fromkeys(row["name"].strip() for row in rows))
    if OTHER in classes or "" in classes:
        raise UsageError(
            f"{source} has a class named {OTHER if OTHER in classes else ''!r}; give each class a "
            f"name; {OTHER!r} is reserved for map classes that match none."
        )
    codes: dict[int, int] = {}
    values: dict[int, int] = {}
    for row in rows:
        index = classes.index(row["name"].strip())
        code = _code(row["code"], source)
        if codes.setdefault(code, index) != index:
            raise UsageError(f"{source} gives code {code} two names; give each code only one row.")
        for value in _map_values(row["map_classes"], legend, source):
            if values.setdefault(value, index) != index:
                raise UsageError(
                    f"{source} counts class {legend.get(value, value)} of the map as both "
                    f"{classes[values[value]]} and {classes[index]}; keep one of them."
                )
    return _crosswalk(classes, codes, values)


def _crosswalk(
    classes: Sequence[str], codes: Mapping[int, int], values: Mapping[int, int]
) -> Crosswalk:
    table = np.full(256, len(classes), np.uint8)
    table[list(values)] = list(values.values())
    table[NODATA] = NODATA
    names = {name: index for index, name in enumerate(classes)}
    return Crosswalk((*classes, OTHER), dict(codes), names, table)


def _rows(path: Path, source: str) -> list[dict[str, str]]:
    check_is_file(path, UsageError)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            read = list(reader)
            missing = _COLUMNS - set(reader.fieldnames or ())
    except FileNotFoundError:
        raise UsageError(
            f"No crosswalk {source}: it is neither a file nor one of "
            f"{', '.join(SHIPPED_CROSSWALKS)}."
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{source} cannot be read ({error}); a crosswalk is a CSV file."
        ) from error
    refuse_longer_rows(read, source)
    rows = [{key: value or "" for key, value in row.items()} for row in read]
    if missing or not rows:
        lacks = ", ".join(sorted(missing)) or "rows"
        raise UsageError(
            f"{source} is not a crosswalk: it has no {lacks}; expected the columns code, name and "
            "map_classes."
        )
    return rows


def _code(text: str, source: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(
            f"{source} has the code {text!r}; codes are integers, as in the labels."
        ) from None


def _map_values(text: str, legend: Mapping[int, str], source: str) -> list[int]:
    """Values of the map in a row, given by name or by value."""
    values = []
    for word in filter(None, (word.strip() for word in text.split(";"))):
        matches = [value for value, name in legend.items() if name == word]
        if word.isdecimal() and int(word) < NODATA:
            matches = matches or [int(word)]
        if not matches:
            raise UsageError(
                f"{source} names the map class {word!r}; the map has "
                f"{', '.join(f'{value} {name}' for value, name in legend.items())}."
            )
        values += matches
    return values
