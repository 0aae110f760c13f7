"""Count class changes in stretches along a border, and tell from them whether it is a seam."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

STRETCH_PX = 64
"""Pixels along a border that are counted together, and drawn together by the bootstrap."""

_MIN_PAIRS, _MIN_CHANGES = 1000, 20
"""Least pairs, across and away each, and least changes, of both together; a border with fewer is
not judged."""

_MAX_STRETCHES = 8192
"""Most stretches of a border; if there are more, neighbours are merged."""

_DRAWS, _SEED = 1000, 4
"""Draws and random seed of the bootstrap."""

_N_KINDS = 4
"""Kinds of borders, which are judged together."""

_WORST_STRETCHES = 16
"""Stretches along one line that are summed to find where a seam is worst: 1024 pixels."""

_PAIRS, _LENGTH, _CHANGES, _AWAY_PAIRS, _AWAY_LENGTH, _AWAY_CHANGES, _LON, _LAT = range(8)


@dataclass(frozen=True, slots=True)
class Border:
    """How often classes change across the borders of one kind."""

    kind: str
    """Kind of the borders: ``block``, ``window``, ``overlap`` or ``zone``."""

    pairs: int
    """Pairs of neighbours across the borders."""

    away_pairs: int
    """Pairs of neighbours 32 pixels away, on both sides."""

    across: float | None
    """Changes across the borders per pixel of distance between the pairs; None without a pair."""

    away: float | None
    """Changes 32 pixels away, likewise."""

    ratio: float | None
    """``across / away``; None if nothing changes 32 pixels away."""

    interval: tuple[float, float] | None
    """Ends of the interval that holds 95 % of the bootstrap's ratios; None if not judged."""

    lower_bound: float | None
    """Lower bound of the ratio, with 95 % for all four kinds of border at once (Bonferroni)."""

    worst: tuple[float, float] | None
    """Longitude and latitude of where a seam is worst, degrees; None without a seam."""

    @property
    def verdict(self) -> Literal["seam", "no seam", "not judged"]:
        """A border is a seam if its ratio is significantly above 1."""
        if self.lower_bound is None:
            return "not judged"
        return "seam" if self.lower_bound > 1 else "no seam"

    def to_json(self) -> dict[str, Any]:
        """The border as plain JSON values; an infinite end of the interval is None."""
        interval = self.interval
        return {
            "kind": self.kind,
            "pairs": self.pairs,
            "away_pairs": self.away_pairs,
            "across": self.across,
            "away": self.away,
            "ratio": self.ratio,
            "interval": interval and [end if math.isfinite(end) else None for end in interval],
            "least": self.lower_bound,
            "worst": self.worst and list(self.worst),
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class Crossings:
    """Pairs of neighbours, across a border or 32 pixels away."""

    stretch: NDArray[np.int64]
    """(N,) id of the stretch; neighbours along a line have consecutive ids."""

    away: NDArray[np.bool_]
    """(N,) whether the pair is 32 pixels away."""

    length: NDArray[np.float64]
    """(N,) distance between the two pixels, pixels."""

    changed: NDArray[np.bool_]
    """(N,) whether the two pixels have different classes."""

    x: NDArray[np.float64]
    """(N,) x of the first pixel, in the map's CRS."""

    y: NDArray[np.float64]
    """(N,) y of the first pixel, in the map's CRS."""

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


def stretch_ids(
    border: int | NDArray[np.int64], line: int | NDArray[np.int64], stretch: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Ids of stretches: those that follow each other along a line have consecutive ids.

    Args:
        border: number of the set of lines, up to 2**20.
        line: number of the line in the set, within 2**20 of zero.
        stretch: number of the stretch along the line, within 2**17 of zero.

    """
    return ((border << 21) + line + 2**20 << 18) + stretch + 2**17


class BorderCounts:
    """Counts of the borders of one kind, stretch by stretch, in bounded memory."""

    def __init__(self) -> None:
        self._keys = np.empty(0, np.int64)
        self._counts = np.empty((0, 8))

    def add(self, pairs: Crossings, to_degrees: Transformer) -> None:
        """Count pairs.

        Args:
            pairs: pairs of neighbours.
            to_degrees: transformer from the map's CRS to longitude and latitude.

        """
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
        if self._keys.size > 32 * _MAX_STRETCHES:
            self._shrink(8 * _MAX_STRETCHES)

    def _shrink(self, max_stretches: int) -> None:
        """Merge the counts of each stretch, and neighbouring stretches if there are too many."""
        order = np.lexsort((self._counts[:, _PAIRS] == 0, self._keys))
        keys, counts = self._keys[order], self._counts[order]
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        starts = starts[:: max(-(-starts.size // max_stretches), 1)]
        if starts.size:
            places = counts[starts, _LON:]  # of a pair across the border, if there is one
            counts = np.add.reduceat(counts, starts)
            counts[:, _LON:] = places
        self._keys, self._counts = keys[starts], counts

    def result(self, kind: str) -> Border:
        """Judge the borders by their counts."""
        pairs, length, changes, away_pairs, away_length, away_changes = self._counts[:, :_LON].sum(
            axis=0
        )
        self._shrink(8 * _MAX_STRETCHES)
        fine = self._keys, self._counts  # merged less, to locate the worst stretch
        enough = min(pairs, away_pairs) >= _MIN_PAIRS
        interval = lower_bound = None
        if enough and changes + away_changes >= _MIN_CHANGES:
            self._shrink(_MAX_STRETCHES)
            lower_bound, low, high = _bootstrap_bounds(self._counts)
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
            lower_bound=lower_bound,
            worst=_worst_place(*fine) if lower_bound is not None and lower_bound > 1 else None,
        )


def _bootstrap_bounds(counts: NDArray[np.float64]) -> tuple[float, float, float]:
    """``lower_bound`` and ``interval`` of the ratio, from stretches drawn with replacement."""
    rng = np.random.default_rng(_SEED)
    n = len(counts)
    ratios = np.empty(_DRAWS)
    for draw in range(_DRAWS):
        times = np.bincount(rng.integers(n, size=n), minlength=n)
        _, length, changes, _, away_length, away_changes, _, _ = times @ counts
        expected = away_changes * length
        ratios[draw] = changes * away_length / expected if expected else np.inf
    lower_bound, low, high = np.quantile(
        ratios, [0.025 / _N_KINDS, 0.025, 0.975], method="inverted_cdf"
    )
    return float(lower_bound), float(low), float(high)


def _worst_place(keys: NDArray[np.int64], counts: NDArray[np.float64]) -> tuple[float, float]:
    """Longitude and latitude of where the changes exceed chance the most."""
    stretch, inverse = np.unique(keys // _WORST_STRETCHES, return_inverse=True)
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
