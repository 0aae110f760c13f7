"""Strata of change for a sample, and what the labelled sample says of the areas of change.

A change raster has too many pairs of classes to sample each. So the strata are: no change, the
largest changes, all others together, and unsure pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.evaluation import SamplePoints, estimate_adjusted, read_points
from lulcmap.legend import NODATA
from lulcmap.products.change.codes import (
    UNSURE_NAME,
    UNSURE_PAIR,
    Coding,
    Colour,
    pair_colour,
    pair_name,
)
from lulcmap.products.change.sums import Pair, Sums
from lulcmap.products.change.table import AdjustedChange
from lulcmap.products.regions import told

NO_CHANGE, OTHER_CHANGES, ALL_CHANGE = "no change", "other changes", "change"

_MAX_OWN, _MIN_SHARE = 8, 0.03
"""Most changes that are strata of their own, and the least share of all change that each has."""

_COLOURS: Mapping[str, Colour] = {
    NO_CHANGE: (232, 232, 232),
    OTHER_CHANGES: (90, 90, 90),
    UNSURE_NAME: (160, 160, 160),
}

_AREA_TOLERANCE = 1e-3
"""Share that the area of a stratum may differ from that of the sample."""

_MIN_POINTS = 2

_NO_SPREAD = 1e-9
"""Share of an area below which its interval is rounding."""


@dataclass(frozen=True)
class Strata:
    """The strata of a change raster."""

    names: tuple[str, ...]
    """Names, by value."""

    of_pair: Mapping[Pair, int]
    """Value of the stratum of each pair of classes that occurs."""

    square_metres: NDArray[np.float64]
    """(S,) areas."""

    pixels: NDArray[np.float64]
    """(S,) pixels."""

    colours: tuple[Colour, ...]
    """Colours."""

    def table(self, coding: Coding) -> NDArray[np.uint8]:
        """(256,) or (65536,) stratum of each value of the change raster, 255 for none."""
        strata = np.full(coding.nodata + 1, NODATA, np.uint8)
        for pair, stratum in self.of_pair.items():
            strata[coding.code(pair)] = stratum
        return strata


def make_strata(sums: Sums, names: Mapping[int, str], colours: Mapping[int, Colour]) -> Strata:
    """The strata of the whole maps."""
    areas = {pair: float(sums.square_metres[0, column]) for pair, column in sums.pairs()}
    changes = {pair: area for pair, area in areas.items() if pair[0] != pair[1]}
    least = _MIN_SHARE * sum(changes.values())
    largest = sorted(changes, key=lambda pair: (-changes[pair], pair))
    own = [pair for pair in largest if changes[pair] >= least][:_MAX_OWN]
    labels = [NO_CHANGE, OTHER_CHANGES, UNSURE_NAME, *(pair_name(pair, names) for pair in own)]
    of_pair: dict[Pair, int] = {}
    square_metres, pixels = np.zeros((2, len(labels)))
    for pair, column in sums.pairs():
        stratum = 0 if pair[0] == pair[1] else 1
        if pair == UNSURE_PAIR:
            stratum = 2
        elif pair in own:
            stratum = 3 + own.index(pair)
        of_pair[pair] = stratum
        square_metres[stratum] += areas[pair]
        pixels[stratum] += sums.pixels[0, column]
    shown = [_COLOURS[name] for name in labels[:3]]
    return Strata(
        tuple(labels),
        of_pair,
        square_metres,
        pixels,
        (*shown, *(pair_colour(pair, colours) for pair in own)),
    )


def adjust_change(strata: Strata, accuracy: Path) -> tuple[list[AdjustedChange], list[str]]:
    """Error-adjusted areas of all change and of each stratum, and notes on them.

    Args:
        strata: strata of the maps.
        accuracy: path of the folder that an evaluation of the raster of the strata wrote.

    Raises:
        UsageError: the sample is of other maps, or has too few points.

    """
    points = read_points(accuracy)
    stratum, areas = _placed(strata, points)
    mapped, truth = (_numbers(strata, points, column) for column in (points.mapped, points.true))
    no_change = strata.names.index(NO_CHANGE)
    if (truth == strata.names.index(UNSURE_NAME)).any():
        raise UsageError(f"{points.path} has labels {UNSURE_NAME!r}, which is no class.")
    estimates = estimate_adjusted(
        stratum,
        mapped,
        truth,
        areas=areas,
        n_classes=len(strata.names),
        weights=points.pixel_m2,
    ).areas
    change = estimate_adjusted(
        stratum,
        (mapped != no_change).astype(np.int64),
        (truth != no_change).astype(np.int64),
        areas=areas,
        n_classes=2,
        weights=points.pixel_m2,
    ).areas[1]
    is_change = np.array([name not in (NO_CHANGE, UNSURE_NAME) for name in strata.names])
    mapped_change = float(strata.square_metres[is_change].sum())
    rows = [_row(ALL_CHANGE, mapped_change, change.value, change.margin)]
    for i, (name, one) in enumerate(zip(strata.names, estimates, strict=True)):
        if name != UNSURE_NAME and (strata.square_metres[i] or one.value):
            rows.append(_row(name, float(strata.square_metres[i]), one.value, one.margin))
    return rows, _notes(rows[0])


def _row(name: str, mapped: float, value: float, margin: float) -> AdjustedChange:
    known = value > 0 and margin > _NO_SPREAD * value
    return AdjustedChange(name, mapped / 1e4, value / 1e4, margin / 1e4 if known else None)


def _notes(change: AdjustedChange) -> list[str]:
    if change.ci95_ha is None:
        return ["The sample shows no error of change, so its interval is unknown."]
    text = f"According to the sample {change.ha:,.0f} +- {change.ci95_ha:,.0f} ha changed"
    if change.ha and change.mapped_ha:
        text += f"; the maps show {change.mapped_ha / change.ha:.1f} times as much"
    return [f"{text}."]


def _placed(strata: Strata, points: SamplePoints) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Stratum of each point, 0 to S - 1 of those with area, and their areas.

    Raises:
        UsageError: the sample was drawn of other strata, or one has too few points.

    """
    present = np.flatnonzero(strata.square_metres).tolist()
    own = {str(value): i for i, value in enumerate(present)}
    km2 = dict(zip(points.stratum.tolist(), points.stratum_km2.tolist(), strict=True))
    for name, area in km2.items():
        here = strata.square_metres[present[own[name]]] / 1e6 if name in own else 0.0
        if abs(here - area) > _AREA_TOLERANCE * area:
            label = strata.names[present[own[name]]] if name in own else f"stratum {name}"
            raise UsageError(
                f"{points.path} is not of these maps, or not with these options: there, {label} "
                f"has {area:,.2f} km2; here, {here:,.2f}. Evaluate the raster that --strata wrote "
                "with the same maps and options."
            )
    stratum = np.array([own[name] for name in points.stratum.tolist()], np.int64)
    sizes = np.bincount(stratum, minlength=len(present))
    few = [strata.names[present[i]] for i in np.flatnonzero(sizes < _MIN_POINTS).tolist()]
    if few:
        raise UsageError(
            f"{points.path} has fewer than {_MIN_POINTS} labelled points in {told(few)}; each "
            "stratum needs two. Label more of its points."
        )
    return stratum, strata.square_metres[present]


def _numbers(strata: Strata, points: SamplePoints, column: NDArray[np.str_]) -> NDArray[np.int64]:
    """(n,) stratum that each name means."""
    number = {name: i for i, name in enumerate(strata.names)}
    names: Sequence[str] = column.tolist()
    unknown = sorted(set(names) - set(number))
    if unknown:
        raise UsageError(
            f"{points.path} has classes that are no strata of these maps: {told(unknown)}. "
            "Evaluate the raster that --strata wrote, without --crosswalk."
        )
    return np.array([number[name] for name in names], np.int64)
