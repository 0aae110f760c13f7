"""One legend of several maps: the same one, or one that matches their classes by name."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.evaluation import ClassMap
from lulcmap.legend import MAX_CLASSES
from lulcmap.products.maps import class_colours
from lulcmap.products.regions import one_line

UNSURE = 254
"""Value of a pixel whose class is not sure enough, or not known."""


def joint_legend(
    maps: Sequence[ClassMap], allow: Collection[str]
) -> tuple[
    dict[int, str],
    dict[int, tuple[int, int, int]],
    list[NDArray[np.uint8] | None],
    list[str],
]:
    """The legend of some maps.

    Args:
        maps: the maps, of which some may name no classes.
        allow: differences that are not refused; "legend" matches other classes by name.

    Returns:
        Names and colours by value; for each map, (256,) values that its own ones stand for, or
        None if they stay; and notes, in sentences.

    Raises:
        UsageError: the legends differ.

    """
    named = [one for one in maps if one.is_named]
    base = named[0] if named else maps[0]
    legend, colours = dict(base.legend), dict(class_colours(base))
    tables: list[NDArray[np.uint8] | None] = []
    notes = []
    if named and len(named) < len(maps):
        others = ", ".join(one.path.name for one in maps if not one.is_named)
        notes.append(f"Maps that name no classes are read as {base.path.name}'s: {others}.")
    for one in maps:
        if not one.is_named or one.legend == base.legend:
            tables.append(None)
            continue
        if "legend" not in allow:
            raise UsageError(
                f"{one.path} has other classes than {base.path}: {_legend_difference(base, one)}. "
                "Make both with one model, or give --allow legend to match classes by their names."
            )
        tables.append(_matched(one, legend, colours))
        notes.append(
            f"Classes of {one.path.name} are matched with those of {base.path.name} by name; "
            "others count as change."
        )
    return {value: one_line(name) for value, name in legend.items()}, colours, tables, notes


def _legend_difference(base: ClassMap, one: ClassMap) -> str:
    for value in sorted({*base.legend, *one.legend}):
        names = [legend.get(value) for legend in (one.legend, base.legend)]
        if names[0] != names[1]:
            told = [one_line(name) if name else "missing" for name in names]
            return f"{value} is {told[0]}, not {told[1]}"
    return "none"


def _matched(
    one: ClassMap, legend: dict[int, str], colours: dict[int, tuple[int, int, int]]
) -> NDArray[np.uint8]:
    """(256,) joint values of a map's values; classes that are new are added to the legend."""
    values = np.arange(256, dtype=np.uint8)
    own = class_colours(one)
    for value, name in one.legend.items():
        same = [number for number, other in legend.items() if other == name]
        if not same:
            free = [value, *range(MAX_CLASSES)]
            same = [number for number in free if number not in legend][:1]
            if not same:
                raise UsageError(f"The maps have more than {MAX_CLASSES} classes together.")
            legend[same[0]] = name
            if value in own:
                colours[same[0]] = own[value]
        values[value] = same[0]
    unnamed = sorted(set(range(MAX_CLASSES)) - set(one.legend))
    values[unnamed] = UNSURE  # refused where it occurs: nothing tells what it is
    return values
