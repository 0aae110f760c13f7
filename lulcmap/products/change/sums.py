"""What the windows of the maps add up to: areas of pairs of classes, by year, and of flicker."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NODATA
from lulcmap.products.change.codes import UNSURE_PAIR
from lulcmap.products.change.legends import UNSURE
from lulcmap.products.change.series import Box
from lulcmap.products.coverage import covered_box, covered_shares

_N_PAIRS = 2**16

Pair = tuple[int, int]
"""Value in the first and in the last map."""


@dataclass(slots=True)
class Sums:
    """Sums of the whole maps and of each region.

    Only pixels that are mapped in the first and in the last map count, so that all years are
    compared over the same area.
    """

    n_regions: int
    n_maps: int

    columns: dict[Pair, int] = field(default_factory=dict)
    """Column of each pair that occurs."""

    pixels: NDArray[np.float64] = field(init=False)
    """(1 + R, P) pixels of the whole maps and of each region, by pair."""

    square_metres: NDArray[np.float64] = field(init=False)
    """(1 + R, P) their areas."""

    mapped: NDArray[np.float64] = field(init=False)
    """(1 + R, T, 256) square metres by map and value, as the maps show them."""

    cleaned: NDArray[np.float64] = field(init=False)
    """(1 + R, T, 256) the same of the most probable paths."""

    steps: NDArray[np.float64] = field(init=False)
    """(2,) square metres that change from one map to the next, of all steps: of the maps, and of
    the paths."""

    ends: float = 0.0
    """Square metres that differ between the first and the last map as they show them."""

    unconfirmed: float = 0.0
    """Square metres whose only change is that of the first or of the last map, and not in the path:
    no other map tells whether it is one."""

    by_count: NDArray[np.float64] = field(init=False)
    """(T,) square metres by the number of changes along the path."""

    one_missing: float = 0.0
    """Square metres that only the first or only the last map shows."""

    _column_of: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        count = 1 + self.n_regions
        self.pixels, self.square_metres = np.zeros((count, 1)), np.zeros((count, 1))
        self.mapped, self.cleaned = np.zeros((2, count, self.n_maps, 256))
        self.steps, self.by_count = np.zeros(2), np.zeros(self.n_maps)
        self._column_of = np.zeros(_N_PAIRS, np.int64)

    def add(
        self,
        observed: NDArray[np.uint8],
        paths: NDArray[np.uint8],
        areas: NDArray[np.float64],
        edges: Sequence[NDArray[np.float64]],
        box: Box,
    ) -> None:
        """Add a window.

        Args:
            observed: (T, H, W) classes of the maps; 254 unsure, 255 none.
            paths: (T, H, W) classes of the most probable paths; ``observed`` of two maps.
            areas: (H, W) areas of the pixels, square metres.
            edges: edges of each region, in columns and rows of the map.
            box: the window.

        """
        first, last = paths[0], paths[-1]
        counts = (first != NODATA) & (last != NODATA)
        self.one_missing += float(areas[(first != NODATA) ^ (last != NODATA)].sum())
        if not counts.any():
            return
        columns = self._columns(first, last, counts)
        self._add_part(0, observed, paths, columns, counts, areas, None)
        self._add_flicker(observed, paths, np.where(counts, areas, 0.0))
        for i, one in enumerate(edges, 1):
            part = covered_box(one, box)
            if part is not None:
                rows = slice(part[0] - box[0], part[0] - box[0] + part[2])
                cols = slice(part[1] - box[1], part[1] - box[1] + part[3])
                at = rows, cols
                years = slice(None), rows, cols
                self._add_part(
                    i,
                    observed[years],
                    paths[years],
                    columns[at],
                    counts[at],
                    areas[at],
                    np.clip(covered_shares(one, part), 0.0, 1.0),
                )

    def _columns(
        self, first: NDArray[np.uint8], last: NDArray[np.uint8], counts: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """(H, W) column of each pixel's pair; 0, which no pair has, where none counts."""
        pairs = first.astype(np.int64) * 256 + last
        pairs[(first == UNSURE) | (last == UNSURE)] = UNSURE * 256 + UNSURE
        present = np.flatnonzero(np.bincount(pairs[counts], minlength=_N_PAIRS))
        for pair in present[self._column_of[present] == 0].tolist():
            self._column_of[pair] = len(self.columns) + 1
            self.columns[divmod(pair, 256)] = len(self.columns) + 1
        more = len(self.columns) + 1 - self.pixels.shape[1]
        if more > 0:
            self.pixels = np.pad(self.pixels, ((0, 0), (0, more)))
            self.square_metres = np.pad(self.square_metres, ((0, 0), (0, more)))
        return np.where(counts, self._column_of[pairs], 0)

    def _add_part(
        self,
        row: int,
        observed: NDArray[np.uint8],
        paths: NDArray[np.uint8],
        columns: NDArray[np.int64],
        counts: NDArray[np.bool_],
        areas: NDArray[np.float64],
        shares: NDArray[np.float64] | None,
    ) -> None:
        """Add what a region covers of a window, or all of it."""
        weights = np.where(counts, areas if shares is None else areas * shares, 0.0).ravel()
        number = self.pixels.shape[1]
        flat = columns.ravel()
        pixels = np.bincount(flat, None if shares is None else shares.ravel(), number)
        self.pixels[row] += pixels
        self.square_metres[row] += np.bincount(flat, weights, number)
        for t in range(self.n_maps):
            self.mapped[row, t] += np.bincount(observed[t].ravel(), weights, 256)
            if paths is not observed:
                self.cleaned[row, t] += np.bincount(paths[t].ravel(), weights, 256)

    def _add_flicker(
        self,
        observed: NDArray[np.uint8],
        paths: NDArray[np.uint8],
        areas: NDArray[np.float64],
    ) -> None:
        """Add how often classes change, in the maps and in the paths."""
        known = observed < UNSURE
        jumps = (observed[1:] != observed[:-1]) & known[1:] & known[:-1]
        moves = (paths[1:] != paths[:-1]) & (paths[1:] < UNSURE) & (paths[:-1] < UNSURE)
        self.steps += [float((jumps * areas).sum()), float((moves * areas).sum())]
        differ = (observed[0] != observed[-1]) & known[0] & known[-1]
        self.ends += float(areas[differ].sum())
        once = (jumps.sum(axis=0) == 1) & known.all(axis=0) & ~moves.any(axis=0)
        at_end = jumps[0] | jumps[-1]
        self.unconfirmed += float(areas[once & at_end].sum())
        self.by_count += np.bincount(moves.sum(axis=0).ravel(), areas.ravel(), self.n_maps)

    def pairs(self) -> Iterator[tuple[Pair, int]]:
        """The pairs that occur, sorted, unsure last, and their columns."""
        for pair in sorted(self.columns):
            if pair != UNSURE_PAIR:
                yield pair, self.columns[pair]
        if UNSURE_PAIR in self.columns:
            yield UNSURE_PAIR, self.columns[UNSURE_PAIR]
