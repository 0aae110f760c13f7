"""Legends: ids, names and colours of land-cover classes; Dynamic World's nine, or a model's own.

Source: Brown et al. (2022), Dynamic World, Scientific Data 9:251, doi 10.1038/s41597-022-01307-4.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NODATA = 255
"""Class id of a pixel that is outside the area or could not be mapped (0 is a class)."""

MAX_CLASSES = 254
"""Classes that a legend may have."""

CLASS_TAG = "CLASS_"
"""Prefix of the tags of a map's band that name its classes: ``CLASS_0=water``."""


@dataclass(frozen=True, slots=True)
class LandCover:
    """One class of the legend."""

    id: int
    """Value in the map, 0 to 253."""

    name: str
    """Printable text; Dynamic World's own are lower case with underscores."""

    colour: str
    """Six hexadecimal digits, RRGGBB."""

    def __post_init__(self) -> None:
        if type(self.id) is not int or not 0 <= self.id < MAX_CLASSES:
            raise ValueError(f"a class has the id {self.id!r}, and ids are 0 to {MAX_CLASSES - 1}")
        if type(self.name) is not str or not self.name.strip() or not self.name.isprintable():
            raise ValueError(f"a class is named {self.name!r}, and a name is printable text")
        if type(self.colour) is not str or not re.fullmatch("[0-9A-Fa-f]{6}", self.colour):
            raise ValueError(
                f"class {self.name!r} has the colour {self.colour!r}, and a colour is six "
                "hexadecimal digits, RRGGBB"
            )

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green, blue, each 0 to 255."""
        value = int(self.colour, 16)
        return value >> 16, value >> 8 & 255, value & 255


CLASSES = (
    LandCover(0, "water", "419BDF"),
    LandCover(1, "trees", "397D49"),
    LandCover(2, "grass", "88B053"),
    LandCover(3, "flooded_vegetation", "7A87C6"),
    LandCover(4, "crops", "E49635"),
    LandCover(5, "shrub_and_scrub", "DFC35A"),
    LandCover(6, "built", "C4281B"),
    LandCover(7, "bare", "A59B8F"),
    LandCover(8, "snow_and_ice", "B39FE1"),
)

NAMES = tuple(cover.name for cover in CLASSES)


def legend_of(names: Sequence[str], colours: Sequence[str]) -> tuple[LandCover, ...]:
    """The legend of a map with some classes.

    Args:
        names: of the classes. If each is one of Dynamic World's, in any order, the legend is that
            one, all nine with its ids and colours; else theirs, with ids in this order from 0.
        colours: RRGGBB, of each class.

    Raises:
        ValueError: there are none or too many, two have one name, a name or a colour is none.

    Examples:
        >>> [cover.id for cover in legend_of(["vines", "water"], ["7B2D43", "419BDF"])]
        [0, 1]
        >>> legend_of(["trees", "water"], ["397D49", "419BDF"]) is CLASSES
        True

    """
    if not 1 <= len(names) <= MAX_CLASSES:
        raise ValueError(f"it has {len(names)} classes, and a map has room for 1 to {MAX_CLASSES}")
    if len(colours) != len(names):
        raise ValueError(
            f"it has {len(colours)} colours for {len(names)} classes, and each class has one"
        )
    own = tuple(
        LandCover(number, name, colour)
        for number, (name, colour) in enumerate(zip(names, colours, strict=True))
    )
    twice = {name for name in names if list(names).count(name) > 1}
    if twice:
        raise ValueError(f"it has {min(twice)!r} twice, and each class is named once")
    return CLASSES if set(names) <= set(NAMES) else own


def cf_attributes(legend: Sequence[LandCover]) -> dict[str, Any]:
    """Attributes of a variable of classes (CF conventions 1.11, section 3.5, and its colours)."""
    return {
        "long_name": "land cover",
        "flag_values": [cover.id for cover in legend],
        "flag_meanings": " ".join(re.sub(r"\W+", "_", cover.name) for cover in legend),
        "flag_colors": " ".join(f"#{cover.colour}" for cover in legend),
        "_FillValue": NODATA,
    }
