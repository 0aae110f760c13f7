"""From the codes of labels and the classes of a map to the classes in which both are compared."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.legend import NODATA

OTHER = "other"
"""Column of the confusion matrix: map classes that belong to no class of the labels."""

_FOLDER = Path(__file__).parent / "tables"

SHIPPED = tuple(sorted(path.stem for path in _FOLDER.glob("*.csv")))
"""Names of the crosswalks that come with lulcmap, all to Dynamic World's classes."""

_COLUMNS = {"code", "name", "map_classes"}


@dataclass(frozen=True, slots=True)
class Crosswalk:
    """The classes a map is judged in, and how labels and the map come to them."""

    classes: tuple[str, ...]
    """Names; the last one is ``OTHER`` if the map has values that belong to none."""

    codes: Mapping[int, int]
    """From a code of the labels to the index of its class."""

    names: Mapping[str, int]
    """From a name in the labels to the index of its class."""

    values: NDArray[np.uint8]
    """(256,) from a value of the map to the index of its class; 255 stays 255."""

    def of_codes(self, codes: NDArray[Any]) -> NDArray[np.uint8]:
        """Classes of the codes of a label raster, in its shape; 255 for those that are none."""
        there, places = np.unique(codes, return_inverse=True)
        classes = [self.codes.get(code, NODATA) for code in there.tolist()]
        return np.array(classes, np.uint8)[places.reshape(codes.shape)]

    def of_label(self, label: object) -> int | None:
        """Class of one label, a code or a name; None if it is neither."""
        text = str(label).strip()
        if text in self.names:
            return self.names[text]
        try:
            number = float(text)
        except ValueError:
            return None
        return self.codes.get(int(number)) if number.is_integer() else None


def identity(legend: Mapping[int, str]) -> Crosswalk:
    """Labels that have the map's own values or names.

    Args:
        legend: names of the map's classes by value.

    """
    classes = tuple(dict.fromkeys(legend.values()))
    codes = {value: classes.index(name) for value, name in legend.items()}
    return _crosswalk(classes, codes, codes)


def load_crosswalk(source: str, legend: Mapping[int, str]) -> Crosswalk:
    """A crosswalk from a CSV file with the columns ``code``, ``name`` and ``map_classes``.

    One row a code of the labels: the name it is compared under, and the classes of the map that
    mean it, names or values with semicolons between. Rows with one name are one class.

    Args:
        source: a file, or one of ``SHIPPED``.
        legend: names of the map's classes by value.

    Raises:
        UsageError: the file cannot be read, or says something that cannot be.

    """
    path = _FOLDER / f"{source}.csv" if source in SHIPPED else Path(source)
    rows = _rows(path, source)
    classes = tuple(dict.fromkeys(row["name"].strip() for row in rows))
    if OTHER in classes or "" in classes:
        raise UsageError(
            f"{source} has a class named {OTHER if OTHER in classes else ''!r}; give each a name "
            f"of its own, and leave {OTHER!r} to what belongs to none."
        )
    codes: dict[int, int] = {}
    values: dict[int, int] = {}
    for row in rows:
        index = classes.index(row["name"].strip())
        code = _code(row["code"], source)
        if codes.setdefault(code, index) != index:
            raise UsageError(f"{source} gives code {code} two names; give each code one row.")
        for value in _map_values(row["map_classes"], legend, source):
            if values.setdefault(value, index) != index:
                raise UsageError(
                    f"{source} counts class {legend.get(value, value)} of the map as both "
                    f"{classes[values[value]]} and {classes[index]}; leave one of them."
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
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [{key: value or "" for key, value in row.items() if key} for row in reader]
            missing = _COLUMNS - set(reader.fieldnames or ())
    except FileNotFoundError:
        raise UsageError(
            f"There is no crosswalk {source}: neither a file nor one of {', '.join(SHIPPED)}."
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{source} cannot be read ({error}); a crosswalk is a CSV file."
        ) from error
    if missing or not rows:
        lacks = ", ".join(sorted(missing)) or "rows"
        raise UsageError(
            f"{source} is no crosswalk: it has no {lacks}; its columns are code, name and "
            "map_classes."
        )
    return rows


def _code(text: str, source: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(
            f"{source} has the code {text!r}; codes are whole numbers, as in the labels."
        ) from None


def _map_values(text: str, legend: Mapping[int, str], source: str) -> list[int]:
    """Values of the map that a row names, by name or by value."""
    found = []
    for word in filter(None, (word.strip() for word in text.split(";"))):
        named = [value for value, name in legend.items() if name == word]
        if word.isdecimal() and int(word) < NODATA:
            named = named or [int(word)]
        if not named:
            raise UsageError(
                f"{source} names the map class {word!r}; the map has "
                f"{', '.join(f'{value} {name}' for value, name in legend.items())}."
            )
        found += named
    return found
