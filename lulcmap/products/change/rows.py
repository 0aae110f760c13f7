"""Rows of a table of change, from the sums of all windows."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from lulcmap.products.change.codes import UNSURE_NAME, UNSURE_PAIR
from lulcmap.products.change.legends import UNSURE
from lulcmap.products.change.sums import Sums
from lulcmap.products.change.table import ClassChange, Transition, YearArea

WHOLE = "all"
"""Region of the rows of whole maps."""


def transition_rows(
    sums: Sums, regions: Sequence[str], names: Mapping[int, str]
) -> Iterator[Transition]:
    """The pairs of classes of each region, in the order of their values.

    Args:
        sums: the sums; those of the whole maps, and of the regions.
        regions: names of the regions; empty for the whole maps.
        names: names of the classes.

    """
    for row, region in _rows(regions):
        total = sums.square_metres[row, 1:].sum()
        for pair, column in sums.pairs():
            square_metres = float(sums.square_metres[row, column])
            if not square_metres:
                continue
            ids = (None, None) if pair == UNSURE_PAIR else pair
            told = [UNSURE_NAME if value is None else names[value] for value in ids]
            yield Transition(
                region,
                ids[0],
                told[0],
                ids[1],
                told[1],
                float(sums.pixels[row, column]),
                square_metres / 1e4,
                100 * square_metres / float(total),
            )


def class_rows(transitions: Sequence[Transition]) -> Iterator[ClassChange]:
    """Gains and losses of each class of each region."""
    names: dict[tuple[str, int], str] = {}
    first: defaultdict[tuple[str, int], float] = defaultdict(float)
    last, both = first.copy(), first.copy()
    for row in transitions:
        if row.first_id is None or row.last_id is None:
            continue
        names[row.region, row.first_id] = row.first
        names[row.region, row.last_id] = row.last
        first[row.region, row.first_id] += row.ha
        last[row.region, row.last_id] += row.ha
        if row.first_id == row.last_id:
            both[row.region, row.first_id] += row.ha
    order = {region: i for i, region in enumerate(dict.fromkeys(row.region for row in transitions))}
    for key in sorted(names, key=lambda key: (order[key[0]], key[1])):
        yield ClassChange(*key, names[key], first[key], last[key], both[key])


def year_rows(
    sums: Sums, regions: Sequence[str], labels: Sequence[str], names: Mapping[int, str]
) -> Iterator[YearArea]:
    """Areas of each class in each year and region.

    Args:
        sums: the sums.
        regions: names of the regions; empty for the whole maps.
        labels: names of the years.
        names: names of the classes.

    """
    paths = sums.cleaned if sums.cleaned.any() else sums.mapped
    for row, region in _rows(regions):
        both = (sums.mapped[row] + paths[row]).sum(axis=0)
        for t, year in enumerate(labels):
            for value in np.flatnonzero(both[: UNSURE + 1]).tolist():
                yield YearArea(
                    region,
                    year,
                    None if value == UNSURE else value,
                    UNSURE_NAME if value == UNSURE else names[value],
                    float(sums.mapped[row, t, value]) / 1e4,
                    float(paths[row, t, value]) / 1e4,
                )


def _rows(regions: Sequence[str]) -> list[tuple[int, str]]:
    """Row of the sums and name of each region."""
    return list(enumerate(regions, 1)) if regions else [(0, WHOLE)]
