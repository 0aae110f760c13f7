"""Legends: ids, names and colours of land-cover classes, Dynamic World's nine or a model's own.

Source: Brown et al. (2022), Dynamic World, Scientific Data 9:251, doi 10.1038/s41597-022-01307-4.
"""

import colorsys
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NODATA = 255
"""Class id of pixels outside the area or not mapped (0 is a class)."""

MAX_CLASSES = 254
"""Most classes a legend may have."""

MAX_NAME_CHARS = 100
"""Longest name of a class or a model, characters."""

CLASS_TAG = "CLASS_"
"""Prefix of the band tags of a map that name its classes: ``CLASS_0=water``."""


PLAIN_NAME = (
    f"a name must be printable text of 1 to {MAX_NAME_CHARS} characters, no space at its ends"
)
"""What ``is_plain_name`` wants, for messages."""


def is_plain_name(value: object) -> bool:
    """Whether a value is a name that every tag, table and picture of a map can carry.

    Examples:
        >>> [is_plain_name(name) for name in ("grass", "Wald & Forst", " ", chr(27), 3)]
        [True, True, False, False, False]

    """
    return (
        type(value) is str
        and 1 <= len(value) <= MAX_NAME_CHARS
        and value.isprintable()
        and value == value.strip()
    )


def shortened(value: object, most: int = 60) -> str:
    """A value for a message: on one line, escaped, and cut if it is long."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= most else f"{text[:most]}..."


@dataclass(frozen=True, slots=True)
class LandCover:
    """One class of the legend."""

    id: int
    """Value in the map, 0 to 253."""

    name: str
    """Name of the class, a plain name; Dynamic World's are lower case with underscores."""

    colour: str
    """Colour in the map, six hexadecimal digits, RRGGBB."""

    def __post_init__(self) -> None:
        if type(self.id) is not int or not 0 <= self.id < MAX_CLASSES:
            raise ValueError(f"a class has id {self.id!r}; ids are 0 to {MAX_CLASSES - 1}")
        if not is_plain_name(self.name):
            raise ValueError(f"a class is named {shortened(self.name)}; {PLAIN_NAME}")
        if type(self.colour) is not str or not re.fullmatch("[0-9A-Fa-f]{6}", self.colour):
            raise ValueError(
                f"class {self.name!r} has the colour {shortened(self.colour)}; a colour is six "
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
"""Dynamic World's legend."""

NAMES = tuple(cover.name for cover in CLASSES)
"""Names of Dynamic World's classes, by id."""


def legend_of(names: Sequence[str], colours: Sequence[str]) -> tuple[LandCover, ...]:
    """The legend of a map with the given classes.

    Args:
        names: names of the classes. If all are Dynamic World's, in any order, the result is
            ``CLASSES``, all nine with their ids and colours; else a legend with ids in this order
            from 0.
        colours: colour of each class, RRGGBB.

    Raises:
        ValueError: there are no or too many classes, two share a name, or a name or colour is
            invalid.

    Examples:
        >>> [cover.id for cover in legend_of(["vines", "water"], ["7B2D43", "419BDF"])]
        [0, 1]
        >>> legend_of(["trees", "water"], ["397D49", "419BDF"]) is CLASSES
        True

    """
    if not 1 <= len(names) <= MAX_CLASSES:
        raise ValueError(f"it has {len(names)} classes; a map can have 1 to {MAX_CLASSES}")
    if len(colours) != len(names):
        raise ValueError(
            f"it has {len(colours)} colours for {len(names)} classes; give one for each class"
        )
    legend = tuple(
        LandCover(number, name, colour)
        for number, (name, colour) in enumerate(zip(names, colours, strict=True))
    )
    duplicates = {name for name in names if list(names).count(name) > 1}
    if duplicates:
        raise ValueError(f"it has {min(duplicates)!r} twice; class names must be unique")
    return CLASSES if set(names) <= set(NAMES) else legend


def default_colour(number: int, name: str, n_classes: int) -> str:
    """Colour of a class that has none: Dynamic World's for its name, or a distinct one.

    Args:
        number: position of the class.
        name: name of the class.
        n_classes: number of classes.

    """
    colours = {cover.name: cover.colour for cover in CLASSES}
    if name in colours:
        return colours[name]
    rgb = colorsys.hls_to_rgb(number / n_classes, 0.45 + 0.15 * (number % 2), 0.6)
    return "".join(f"{round(255 * part):02X}" for part in rgb)


def cf_attributes(legend: Sequence[LandCover]) -> dict[str, Any]:
    """Attributes of a class variable: flags of CF conventions 1.11, section 3.5, and colours."""
    return {
        "long_name": "land cover",
        "flag_values": [cover.id for cover in legend],
        "flag_meanings": " ".join(re.sub(r"\W+", "_", cover.name) for cover in legend),
        "flag_colors": " ".join(f"#{cover.colour}" for cover in legend),
        "_FillValue": NODATA,
    }
