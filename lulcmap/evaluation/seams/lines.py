"""Count pairs of neighbours across the borders of blocks and windows: lines in a zone's pixels."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from lulcmap.evaluation.seams.counts import STRETCH_PX, BorderCounts, Crossings, stretch_ids
from lulcmap.evaluation.seams.rasters import Patch
from lulcmap.geo import Lattice
from lulcmap.legend import NODATA
from lulcmap.system import compiled

AWAY_PX = 32
"""Pixels from a border to where its rate is compared: the network's own grid repeats every 32."""


_BEYOND = 2**40
"""A number above any row or column of a zone."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Rows and columns of a zone's pixels before which a block or a window begins or ends."""

    lattice: Lattice = field(default_factory=Lattice)
    """Lattice of the windows."""

    block_size: int = 4608
    """Side of a block, pixels."""

    def __post_init__(self) -> None:
        if self.block_size <= 0 or self.block_size % self.lattice.step:
            raise ValueError(
                f"block size {self.block_size} is not a multiple of {self.lattice.step}"
            )

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
        """Which of some lines are of the kind."""
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
    counts: Mapping[str, BorderCounts],
) -> None:
    """Count the pairs of a patch that are neighbours in a zone, at its lines and away from them.

    Where the map is on another grid, some of the zone's pixels appear in it twice and some not at
    all; so two pixels are a pair only if they are neighbours in the zone too.

    Args:
        patch: patch of the map.
        pixels: (H, W) row and (H, W) column in the zone of the patch's pixels.
        zone: EPSG code of the zone.
        mine: (H, W) which pixels of the patch lie in the zone.
        lines: lines to judge.
        counts: counts of each kind of line.

    """
    good = mine & (patch.values != NODATA)
    if not good.any():
        return
    for axis in (0, 1):
        across, along = pixels[axis], pixels[1 - axis]
        low = int(across.min(where=good, initial=_BEYOND))
        high = int(across.max(where=good, initial=-_BEYOND))
        is_counted = _is_counted(lines, np.arange(low, high + 1))
        for first, second in patch.pairs():
            chosen = np.zeros(patch.values[first].shape, bool)
            _mark_pairs(
                across[first],
                across[second],
                along[first],
                along[second],
                good[first] & good[second],
                is_counted,
                low,
                chosen,
            )
            row, col = np.nonzero(chosen)
            if row.size:
                x, y = patch.centres(row + first[0].start, col + first[1].start)
                line = np.maximum(across[first][row, col], across[second][row, col])
                _add_pairs(
                    Crossings(
                        stretch=along[first][row, col] // STRETCH_PX,
                        away=np.zeros(row.shape, bool),
                        length=np.ones(row.shape),
                        changed=patch.values[first][row, col] != patch.values[second][row, col],
                        x=x,
                        y=y,
                    ),
                    line,
                    border=2 * zone + axis,
                    lines=lines,
                    counts=counts,
                    to_degrees=patch.to_degrees,
                )


@compiled
def _mark_pairs(
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    along: NDArray[np.int64],
    other_along: NDArray[np.int64],
    good: NDArray[np.bool_],
    is_counted: NDArray[np.bool_],
    low: int,
    chosen: NDArray[np.bool_],
) -> None:
    """Mark the pairs of neighbours in a zone on either side of a counted line.

    Args:
        one: (H, W) row, or column, in the zone of the first pixels.
        other: (H, W) row, or column, in the zone of the second pixels.
        along: (H, W) column, or row, in the zone of the first pixels.
        other_along: (H, W) column, or row, in the zone of the second pixels.
        good: (H, W) which pairs have two valid pixels.
        is_counted: (L,) which lines are counted, from the line ``low``.
        low: smallest row, or column, of the valid pixels.
        chosen: (H, W) False; becomes True for the marked pairs.

    """
    for y in range(good.shape[0]):
        for x in range(good.shape[1]):
            if (
                good[y, x]
                and abs(one[y, x] - other[y, x]) == 1
                and along[y, x] == other_along[y, x]
                and is_counted[max(one[y, x], other[y, x]) - low]
            ):
                chosen[y, x] = True


def _is_counted(lines: Lines, line: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which lines are of any kind, or ``AWAY_PX`` from one."""
    return lines.any(line) | lines.any(line - AWAY_PX) | lines.any(line + AWAY_PX)


def _add_pairs(
    pairs: Crossings,
    line: NDArray[np.int64],
    *,
    border: int,
    lines: Lines,
    counts: Mapping[str, BorderCounts],
    to_degrees: Transformer,
) -> None:
    """Add pairs (N,) across some lines (N,) to the kinds of the lines, or of lines beside them."""
    free = ~lines.any(line)
    for kind in lines.kinds:
        for shift in (0, AWAY_PX, -AWAY_PX):
            chosen = lines.of(kind, line - shift)
            if shift:
                chosen &= free  # not a place to compare with: another border
            part = pairs.of(chosen)
            at = stretch_ids(border, line[chosen] - shift, part.stretch)
            part = replace(part, stretch=at, away=np.full(at.shape, bool(shift)))
            counts[kind].add(part, to_degrees)
