"""From the codes in labels to the classes of a dataset."""

import colorsys
import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.legend import CLASSES, MAX_CLASSES, NODATA, LandCover


@dataclass(frozen=True, slots=True)
class Legend:
    """The classes of a dataset, and which codes of the labels are which."""

    classes: tuple[LandCover, ...]
    """A class's place is its id."""

    codes: Mapping[str, int]
    """From a code, as text, to the id of its class; every other code is unknown, 255."""

    def ids(self, codes: NDArray[Any]) -> NDArray[np.uint8]:
        """Class ids of codes.

        Args:
            codes: (...) integers.

        Returns:
            (...) ids, 255 where a code is of no class.

        """
        values, places = np.unique(codes, return_inverse=True)
        ids = [self.codes.get(code_text(value), NODATA) for value in values.tolist()]
        return np.array(ids, np.uint8)[places.reshape(codes.shape)]


DYNAMIC_WORLD = Legend(CLASSES, {str(cover.id + 1): cover.id for cover in CLASSES})
"""Of the label tiles, whose codes are id + 1: 0 is unmarked and 10 is cloud, both unknown."""

PLAIN = Legend(CLASSES, {str(cover.id): cover.id for cover in CLASSES})
"""Of maps and labels whose codes are Dynamic World's ids themselves."""


def code_text(value: object) -> str:
    """A code as text: whole numbers without a point.

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
    """The legend in a CSV file with the header ``code,name`` or ``code,name,colour``.

    Ids follow the order of the rows; two rows with one name are one class, with the first one's
    colour. Without a colour a class has Dynamic World's for its name, or one of its own.

    Raises:
        UsageError: it cannot be read, or a row is none.

    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"The classes {path} cannot be read ({error}). Give a CSV file with the header "
            "code,name,colour."
        ) from error
    columns = set(rows[0]) if rows else set()
    if not {"code", "name"} <= columns:
        raise UsageError(
            f"The classes {path} have the columns {', '.join(sorted(map(str, columns))) or 'none'};"
            " expected a header code,name or code,name,colour, and a row for each code."
        )
    colours: dict[str, str | None] = {}
    codes: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        code, name = code_text(row["code"] or ""), (row["name"] or "").strip()
        colour = (row.get("colour") or "").strip().removeprefix("#").upper() or None
        if not code or not name or code in codes:
            what = f"code {code} again" if code in codes else "no code or no name"
            raise UsageError(
                f"Line {number} of {path} has {what}; each line needs a code of its own and a name."
            )
        colours.setdefault(name, colour)
        codes[code] = list(colours).index(name)
    if len(colours) > MAX_CLASSES:
        raise UsageError(
            f"{path} has {len(colours)} classes, and labels have room for {MAX_CLASSES}."
        )
    try:
        classes = tuple(
            LandCover(number, name, colour or _colour(number, name, len(colours)))
            for number, (name, colour) in enumerate(colours.items())
        )
    except ValueError as error:
        raise UsageError(f"In the classes {path} {error}. Mend that line.") from error
    return Legend(classes, codes)


def _colour(number: int, name: str, of: int) -> str:
    """A colour for a class that was given none."""
    known = {cover.name: cover.colour for cover in CLASSES}
    if name in known:
        return known[name]
    rgb = colorsys.hls_to_rgb(number / of, 0.45 + 0.15 * (number % 2), 0.6)
    return "".join(f"{round(255 * part):02X}" for part in rgb)
