"""Pairs of neighbours across the borders of blocks and windows: lines in a zone's pixels."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from lulcmap.evaluation.seams.counts import STRETCH, Crossings, Tally, numbered
from lulcmap.evaluation.seams.rasters import Patch
from lulcmap.geo import Lattice
from lulcmap.legend import NODATA
from lulcmap.system import compiled

AWAY = 32
"""Pixels from a border to where its rate is compared: what the network does repeats every 32."""


_FAR = 2**40
"""More than any row or column of a zone."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Rows and columns of a zone's pixels before which something ends."""

    lattice: Lattice = field(default_factory=Lattice)
    """Of the windows."""

    block_size: int = 4608
    """Pixels a side of a block."""

    def __post_init__(self) -> None:
        if self.block_size <= 0 or self.block_size % self.lattice.step:
            raise ValueError(f"block size {self.block_size} is no multiple of {self.lattice.step}")

    @property
    def kinds(self) -> Mapping[str, tuple[int, tuple[int, ...]]]:
        """Period and first lines of each kind.

        ``block``: a block ends. ``window``: a window begins or ends. ``overlap``: the middle
        between those two, where windows meet if they are cropped instead of blended.
        """
        size, step, overlap = self.lattice.size, self.lattice.step, self.lattice.overlap
        return {
            "block": (self.block_size, (size // 2,)),
            "window": (step, (0, overlap)),
            "overlap": (step, (overlap // 2,)),
        }

    def of(self, kind: str, lines: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of some lines are of a kind."""
        period, first = self.kinds[kind]
        return np.isin(lines % period, [line % period for line in first])

    def any(self, lines: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of some lines are of any kind."""
        return np.any([self.of(kind, lines) for kind in self.kinds], axis=0)


def count_lines(
    patch: Patch,
    pixels: tuple[NDArray[np.int64], NDArray[np.int64]],
    *,
    zone: int,
    mine: NDArray[np.bool_],
    lines: Lines,
    tallies: Mapping[str, Tally],
) -> None:
    """Count the pairs of a patch that are neighbours in a zone, at its lines and away from them.

    Where the map is on another grid, some of the zone's pixels appear in it twice and some not at
    all; so only pixels that are neighbours in the zone too are a pair.

    Args:
        patch: of the map.
        pixels: (H, W) row and column in the zone of the patch's pixels.
        zone: EPSG code.
        mine: (H, W) which pixels of the patch lie in the zone.
        lines: that are judged.
        tallies: of each kind of line.

    """
    good = mine & (patch.values != NODATA)
    if not good.any():
        return
    for axis in (0, 1):
        across, along = pixels[axis], pixels[1 - axis]
        low = int(across.min(where=good, initial=_FAR))
        high = int(across.max(where=good, initial=-_FAR))
        wanted = _wanted(lines, np.arange(low, high + 1))
        for first, second in patch.pairs():
            chosen = np.zeros(patch.values[first].shape, bool)
            _choose(
                across[first],
                across[second],
                along[first],
                along[second],
                good[first] & good[second],
                wanted,
                low,
                chosen,
            )
            row, col = np.nonzero(chosen)
            if row.size:
                x, y = patch.centres(row + first[0].start, col + first[1].start)
                line = np.maximum(across[first][row, col], across[second][row, col])
                _add(
                    Crossings(
                        stretch=along[first][row, col] // STRETCH,
                        away=np.zeros(row.shape, bool),
                        length=np.ones(row.shape),
                        changed=patch.values[first][row, col] != patch.values[second][row, col],
                        x=x,
                        y=y,
                    ),
                    line,
                    border=2 * zone + axis,
                    lines=lines,
                    tallies=tallies,
                    to_degrees=patch.to_degrees,
                )


@compiled
def _choose(
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    along: NDArray[np.int64],
    other_along: NDArray[np.int64],
    good: NDArray[np.bool_],
    wanted: NDArray[np.bool_],
    low: int,
    chosen: NDArray[np.bool_],
) -> None:
    """Mark the pairs of neighbours in a zone that lie on both sides of a line that is wanted.

    Args:
        one: (H, W) row, or column, in the zone of the first pixels.
        other: (H, W) of the second pixels.
        along: (H, W) column, or row, of the first pixels.
        other_along: (H, W) of the second pixels.
        good: (H, W) which pairs are looked at.
        wanted: which lines are, from the line ``low``.
        low: the smallest row, or column, of good pairs.
        chosen: (H, W) False; becomes True.

    """
    for y in range(good.shape[0]):
        for x in range(good.shape[1]):
            if (
                good[y, x]
                and abs(one[y, x] - other[y, x]) == 1
                and along[y, x] == other_along[y, x]
                and wanted[max(one[y, x], other[y, x]) - low]
            ):
                chosen[y, x] = True


def _wanted(lines: Lines, line: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which lines are of any kind, or as far from one as its rate is compared."""
    return lines.any(line) | lines.any(line - AWAY) | lines.any(line + AWAY)


def _add(
    pairs: Crossings,
    line: NDArray[np.int64],
    *,
    border: int,
    lines: Lines,
    tallies: Mapping[str, Tally],
    to_degrees: Transformer,
) -> None:
    """Add pairs (N,) across some lines (N,) to the kinds that the lines are of, or are beside."""
    free = ~lines.any(line)
    for kind in lines.kinds:
        for shift in (0, AWAY, -AWAY):
            chosen = lines.of(kind, line - shift)
            if shift:
                chosen &= free  # another border is no place to compare with
            part = pairs.of(chosen)
            at = numbered(border, line[chosen] - shift, part.stretch)
            part = replace(part, stretch=at, away=np.full(at.shape, bool(shift)))
            tallies[kind].add(part, to_degrees)
