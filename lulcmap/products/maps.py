"""What the files of one map say of their classes, and whether they belong together."""

import colorsys
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.evaluation import ClassMap, pixel_lonlat, transformer
from lulcmap.legend import CLASSES, NODATA, LandCover
from lulcmap.products.regions import WGS84, one_line

_LATTICE = 32
"""Most rows and columns of the pixels at which files are compared; each is read by itself."""

_MAX_SHARED = 0.01
"""Share of these pixels of one file that may be mapped in another."""


def class_names(
    class_maps: Sequence[ClassMap], values: NDArray[np.int64]
) -> tuple[dict[int, str], list[str]]:
    """Names of the values of a map, its legend's and those that occur, and notes on them.

    A map that names no class is read as Dynamic World's, unless it has other values.

    Args:
        class_maps: the files of the map, of one legend.
        values: values that occur.

    """
    first = class_maps[0]
    names, notes = {value: one_line(name) for value, name in first.legend.items()}, []
    if not first.is_named:
        if set(values.tolist()) <= set(names):
            last = CLASSES[-1]
            notes.append(
                f"{first.path.name} names no classes; its values are read as Dynamic World's, "
                f"{CLASSES[0].id} {CLASSES[0].name} to {last.id} {last.name}."
            )
        else:
            names = {}
            notes.append(f"{first.path.name} names no classes; they are called by their values.")
    for value in values.tolist():
        names.setdefault(value, f"class {value}")
    return names, notes


def map_values(class_map: ClassMap) -> NDArray[np.int64]:
    """Values that occur in a map, in ascending order; each pixel is read.

    Raises:
        UsageError: the map cannot be read.

    """
    found = np.zeros(256, np.bool_)
    for box in class_map.boxes():
        found[class_map.window(*box)] = True
    return np.flatnonzero(found[:NODATA])


def class_colours(class_map: ClassMap) -> Mapping[int, tuple[int, int, int]]:
    """Colours of the values of a map: its palette's, or Dynamic World's for its classes."""
    return class_map.palette or {
        cover.id: cover.rgb for cover in CLASSES if class_map.legend.get(cover.id) == cover.name
    }


def check_one_map(class_maps: Sequence[ClassMap]) -> None:
    """Check that some files are the parts of one map.

    Raises:
        UsageError: their legends differ, or they map the same place.

    """
    for i, one in enumerate(class_maps):
        for other in class_maps[:i]:
            if one.legend != other.legend:
                raise UsageError(
                    f"{one.path} and {other.path} have other classes; measure them one by one."
                )
            if map_the_same(one, other):
                raise UsageError(
                    f"{one.path} and {other.path} map the same place, which would count twice. "
                    "Several files are the parts of one map; measure other maps one by one."
                )


def map_the_same(one: ClassMap, other: ClassMap) -> bool:
    """Whether two files map the same place, or one a part of the other's: areas would count twice.

    Raises:
        UsageError: a file cannot be read.

    """
    return max(_shared(one, other), _shared(other, one)) > _MAX_SHARED


def _shared(one: ClassMap, other: ClassMap) -> float:
    """Share of some mapped pixels of one map that another one maps too."""
    height, width = one.shape
    rows, cols = (
        np.unique(np.linspace(0, size - 1, _LATTICE).astype(int)) for size in (height, width)
    )
    places = np.array([at for at in itertools.product(rows, cols) if _is_mapped(one, *at)])
    if not len(places):
        return 0.0
    lon, lat = pixel_lonlat(one, places[:, 0] + 0.5, places[:, 1] + 0.5)
    xs, ys = transformer(WGS84, other.crs).transform(lon, lat)
    there = np.column_stack(other.pixels(np.asarray(xs), np.asarray(ys)))
    inside = ((there >= 0) & (there < other.shape)).all(axis=1)
    shared = [_is_mapped(other, *at) for at in there[inside].astype(int).tolist()]
    return sum(shared) / len(places)


def _is_mapped(class_map: ClassMap, row: int, col: int) -> bool:
    return bool(class_map.window(row, col, 1, 1)[0, 0] != NODATA)


def chosen_classes(class_map: ClassMap, texts: Sequence[str], *, option: str) -> list[int]:
    """Values of the classes that a user names.

    Args:
        class_map: the map.
        texts: names of classes, or their values.
        option: option that gives them, for the message.

    Raises:
        UsageError: the map has no such class.

    """
    names = {value: one_line(name) for value, name in class_map.legend.items()}
    values = {name: value for value, name in reversed(list(names.items()))}
    chosen = []
    for text in texts:
        number = int(text) if text.isascii() and text.isdecimal() else NODATA
        if text in values:
            chosen.append(values[text])
        elif number in names or (number < NODATA and not class_map.is_named):
            chosen.append(number)
        else:
            known = ", ".join(f"{value} {name}" for value, name in names.items())
            raise UsageError(
                f"{option} names {text!r}, which {class_map.path.name} has not. It has: {known}."
            )
    return sorted(set(chosen))


def full_legend(class_map: ClassMap, names: Mapping[int, str]) -> tuple[LandCover, ...]:
    """The legend of a map with the names given: its own colours, and others where it has none.

    Raises:
        UsageError: a value or a name is none that a map of lulcmap can have.

    """
    colours = class_colours(class_map)
    try:
        return tuple(
            LandCover(
                value, name, "{:02X}{:02X}{:02X}".format(*colours.get(value, _other_colour(value)))
            )
            for value, name in sorted(names.items())
        )
    except ValueError as error:
        raise UsageError(f"{class_map.path} cannot be written as a map: {error}.") from error


def _other_colour(value: int) -> tuple[int, ...]:
    """A colour for a class without one; those of near values differ."""
    shares = colorsys.hsv_to_rgb(value * 0.618 % 1, 0.55, 0.85)
    return tuple(round(255 * share) for share in shares)
