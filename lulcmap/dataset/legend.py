"""The legend of a dataset: its classes, and which codes of the labels mean which."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.legend import CLASSES, MAX_CLASSES, NODATA, LandCover, default_colour
from lulcmap.system import check_is_file, read_rows


@dataclass(frozen=True, slots=True)
class Legend:
    """The classes of a dataset, and the codes of the labels that mean them."""

    classes: tuple[LandCover, ...]
    """Classes; a class's position is its id."""

    codes: Mapping[str, int]
    """Class id by code, as text; every other code is unknown, 255."""

    def ids(self, codes: NDArray[Any]) -> NDArray[np.uint8]:
        """Class ids of codes.

        Args:
            codes: (...) integers.

        Returns:
            (...) class ids, 255 where a code has no class.

        """
        values, inverse = np.unique(codes, return_inverse=True)
        ids = [self.codes.get(code_text(value), NODATA) for value in values.tolist()]
        return np.array(ids, np.uint8)[inverse.reshape(codes.shape)]


DYNAMIC_WORLD = Legend(CLASSES, {str(cover.id + 1): cover.id for cover in CLASSES})
"""Legend of the label tiles, whose codes are id + 1: 0 is unmarked and 10 is cloud, both
unknown."""

PLAIN = Legend(CLASSES, {str(cover.id): cover.id for cover in CLASSES})
"""Legend of maps and labels whose codes are Dynamic World's ids themselves."""


def code_text(value: object) -> str:
    """A code as text: whole numbers without a decimal point.

    Examples:
        >>> code_text(3), code_text(3.0), code_text("03"), code_text(" vines ")
        ('3', '3', '3', 'vines')

    """
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if math.isfinite(number) and number == int(number) else text


def read_legend(path: Path) -> Legend:
    """Read the legend in a CSV file with the header ``code,name`` or ``code,name,colour``.

    Ids follow the order of the rows; rows with the same name are one class, with the first row's
    colour. A class without a colour gets Dynamic World's for its name, or a distinct one.

    Raises:
        UsageError: the file cannot be read, or a row is invalid.

    """
    check_is_file(path, UsageError)
    rows = read_rows(path, "classes", "a CSV file with the header code,name,colour")
    columns = set(rows[0]) if rows else set()
    if not {"code", "name"} <= columns:
        raise UsageError(
            f"The classes {path} have the columns {', '.join(sorted(map(str, columns))) or 'none'};"
            " expected the header code,name or code,name,colour, and a row for each code."
        )
    colours: dict[str, str | None] = {}
    codes: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        code, name = code_text(row["code"] or ""), (row["name"] or "").strip()
        colour = (row.get("colour") or "").strip().removeprefix("#").upper() or None
        if not code or not name or code in codes:
            fault = f"repeats code {code}" if code in codes else "has no code or no name"
            raise UsageError(
                f"Line {number} of {path} {fault}; each line needs a unique code and a name."
            )
        colours.setdefault(name, colour)
        codes[code] = list(colours).index(name)
    if len(colours) > MAX_CLASSES:
        raise UsageError(
            f"{path} has {len(colours)} classes; labels can hold {MAX_CLASSES}. Merge some."
        )
    try:
        classes = tuple(
            LandCover(number, name, colour or default_colour(number, name, len(colours)))
            for number, (name, colour) in enumerate(colours.items())
        )
    except ValueError as error:
        raise UsageError(f"The classes {path} are invalid: {error}. Correct that line.") from error
    return Legend(classes, codes)
