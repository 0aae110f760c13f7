"""Changes counted in stretches along a border, and what they say of it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

STRETCH = 64
"""Pixels along a border that are counted together, and drawn together by the bootstrap."""

_FEWEST_PAIRS, _FEWEST_CHANGES = 1000, 20
"""Across and away together; a border with fewer cannot be judged."""

_MOST_STRETCHES = 8192
"""Of a border; where there are more, neighbours are put together."""

_DRAWS, _SEED = 1000, 4
"""Of the bootstrap."""

_KINDS = 4
"""Of borders, which are judged together."""

_WORST = 16
"""Stretches along one line that are looked at together for where a seam is worst: 1024 pixels."""

_PAIRS, _LENGTH, _CHANGES, _AWAY_PAIRS, _AWAY_LENGTH, _AWAY_CHANGES, _LON, _LAT = range(8)


@dataclass(frozen=True, slots=True)
class Border:
    """How often classes change across the borders of one kind."""

    kind: str
    """``block``, ``window``, ``overlap`` or ``zone``."""

    pairs: int
    """Pairs of neighbours across."""

    away_pairs: int
    """Pairs of neighbours 32 pixels away, on both sides."""

    across: float | None
    """Changes for each pixel that the pairs across lie apart; None if there is no pair."""

    away: float | None
    """The same 32 pixels away."""

    ratio: float | None
    """``across / away``; None if there is no change 32 pixels away."""

    interval: tuple[float, float] | None
    """In which 95 % of the bootstrap's ratios lie; None if there is too little to judge."""

    least: float | None
    """Which the ratio exceeds, with 95 % for all four kinds of border at once (Bonferroni)."""

    worst: tuple[float, float] | None
    """Longitude and latitude of where it is worst, if it is a seam."""

    @property
    def verdict(self) -> Literal["seam", "no seam", "not judged"]:
        """A seam is there if the ratio is above 1 beyond chance."""
        if self.least is None:
            return "not judged"
        return "seam" if self.least > 1 else "no seam"


@dataclass(frozen=True, slots=True)
class Crossings:
    """Pairs of neighbours, across a border or 32 pixels away: arrays of one length, (N,)."""

    stretch: NDArray[np.int64]
    """Number of the stretch; neighbours along a line have consecutive ones."""

    away: NDArray[np.bool_]
    """Whether it is 32 pixels away."""

    length: NDArray[np.float64]
    """How far the two lie apart, pixels."""

    changed: NDArray[np.bool_]
    """Whether they have different classes."""

    x: NDArray[np.float64]
    """Of the first of the two, in the map's CRS."""

    y: NDArray[np.float64]
    """The same."""

    def of(self, chosen: NDArray[np.bool_]) -> "Crossings":
        """Some of the pairs."""
        return Crossings(
            self.stretch[chosen],
            self.away[chosen],
            self.length[chosen],
            self.changed[chosen],
            self.x[chosen],
            self.y[chosen],
        )


def numbered(
    border: int | NDArray[np.int64], line: int | NDArray[np.int64], stretch: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Numbers of stretches, in which those that follow each other along a line do so.

    Args:
        border: number of the set of lines, up to 2**20.
        line: of the set, within 2**20 of zero.
        stretch: along the line, within 2**17 of zero.

    """
    return ((border << 21) + line + 2**20 << 18) + stretch + 2**17


class Tally:
    """Counts of one kind of border, stretch by stretch, in bounded memory."""

    def __init__(self) -> None:
        self._keys = np.empty(0, np.int64)
        self._counts = np.empty((0, 8))

    def add(self, pairs: Crossings, to_degrees: Transformer) -> None:
        """Count pairs; their x and y become degrees."""
        if not pairs.stretch.size:
            return
        keys, first, inverse = np.unique(pairs.stretch, return_index=True, return_inverse=True)
        counts = np.zeros((keys.size, 8))
        for offset, chosen in ((_PAIRS, ~pairs.away), (_AWAY_PAIRS, pairs.away)):
            for column, weights in enumerate((None, pairs.length, pairs.changed)):
                counts[:, offset + column] = np.bincount(
                    inverse[chosen],
                    None if weights is None else weights[chosen],
                    minlength=keys.size,
                )
        counts[:, _LON], counts[:, _LAT] = to_degrees.transform(pairs.x[first], pairs.y[first])
        self._keys = np.concatenate([self._keys, keys])
        self._counts = np.concatenate([self._counts, counts])
        if self._keys.size > 32 * _MOST_STRETCHES:
            self._shrink(8 * _MOST_STRETCHES)

    def _shrink(self, most: int) -> None:
        """Put counts of one stretch together, and stretches that follow each other if too many."""
        order = np.lexsort((self._counts[:, _PAIRS] == 0, self._keys))
        keys, counts = self._keys[order], self._counts[order]
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        starts = starts[:: max(-(-starts.size // most), 1)]
        if starts.size:
            places = counts[starts, _LON:]  # of a pair across, if there is one
            counts = np.add.reduceat(counts, starts)
            counts[:, _LON:] = places
        self._keys, self._counts = keys[starts], counts

    def judged(self, kind: str) -> Border:
        """What the counts say."""
        pairs, length, changes, away_pairs, away_length, away_changes = self._counts[:, :_LON].sum(
            axis=0
        )
        self._shrink(8 * _MOST_STRETCHES)
        worst_of = self._keys, self._counts
        enough = min(pairs, away_pairs) >= _FEWEST_PAIRS
        interval = least = None
        if enough and changes + away_changes >= _FEWEST_CHANGES:
            self._shrink(_MOST_STRETCHES)
            least, low, high = _bounds(self._counts)
            interval = low, high
        return Border(
            kind,
            pairs=int(pairs),
            away_pairs=int(away_pairs),
            across=changes / length if length else None,
            away=away_changes / away_length if away_length else None,
            ratio=changes * away_length / (away_changes * length)
            if away_changes and length
            else None,
            interval=interval,
            least=least,
            worst=_worst(*worst_of) if least is not None and least > 1 else None,
        )


def _bounds(counts: NDArray[np.float64]) -> tuple[float, float, float]:
    """Of the ratio, ``least`` and the interval: stretches are drawn with replacement."""
    rng = np.random.default_rng(_SEED)
    n = len(counts)
    ratios = np.empty(_DRAWS)
    for draw in range(_DRAWS):
        times = np.bincount(rng.integers(n, size=n), minlength=n)
        _, length, changes, _, away_length, away_changes, _, _ = times @ counts
        expected = away_changes * length
        ratios[draw] = changes * away_length / expected if expected else np.inf
    least, low, high = np.quantile(ratios, [0.025 / _KINDS, 0.025, 0.975], method="inverted_cdf")
    return float(least), float(low), float(high)


def _worst(keys: NDArray[np.int64], counts: NDArray[np.float64]) -> tuple[float, float]:
    """Longitude and latitude of where there are most changes beyond those that chance explains."""
    stretch, inverse = np.unique(keys // _WORST, return_inverse=True)
    sums = np.stack(
        [np.bincount(inverse, column, minlength=stretch.size) for column in counts[:, :_LON].T]
    )
    _, length, changes, _, away_length, away_changes = sums
    share = np.divide(length, away_length, out=np.zeros_like(length), where=away_length > 0)
    excess = changes - share * away_changes
    worst = int(np.argmax(excess / np.sqrt(changes + share**2 * away_changes + 1)))
    here = counts[inverse == worst]
    lon, lat = here[len(here) // 2, _LON:]
    return float(lon), float(lat)
