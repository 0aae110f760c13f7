"""Fill the slots of a composite: each scene writes the runs of pixels that picked it."""

import numpy as np
from numpy.typing import NDArray

from lulcmap.imagery.kernels import NO_SCENE
from lulcmap.imagery.resample import CoarsePlane, double_row
from lulcmap.imagery.strips import Strips
from lulcmap.system import compiled, inlined

Runs = NDArray[np.uint32]
"""(n, 4) slot, row, first column and the one after the last, in 20 m pixels."""


def find_runs(picks: NDArray[np.uint16]) -> dict[int, Runs]:
    """Find the runs of pixels in a row that picked the same scene.

    All nine bands fill the same runs, and clouds are large: a run has some tens of pixels. A scene
    is in no more than one slot of a pixel.

    Args:
        picks: (slots, H/2, W/2) scene numbers.

    Returns:
        The runs of each scene by its number, both in ascending order.

    """
    counts = np.zeros(NO_SCENE + 1, np.int64)
    _count_runs(picks, counts)
    counts[NO_SCENE] = 0
    ends = np.cumsum(counts)
    runs = np.empty((ends[-1], 4), np.uint32)
    _list_runs(picks, ends - counts, runs)
    return {
        number: runs[ends[number] - counts[number] : ends[number]]
        for number in np.flatnonzero(counts).tolist()
    }


@compiled
def _count_runs(picks: NDArray[np.uint16], counts: NDArray[np.int64]) -> None:
    """Count runs by the number of their scene."""
    slots, height, width = picks.shape
    for slot in range(slots):
        for y in range(height):
            line = picks[slot, y]
            counts[line[0]] += 1
            for x in range(1, width):
                if line[x] != line[x - 1]:
                    counts[line[x]] += 1


@compiled
def _list_runs(picks: NDArray[np.uint16], places: NDArray[np.int64], runs: Runs) -> None:
    """Write runs, from a place on for each scene; row by row, so that planes are read in order."""
    slots, height, width = picks.shape
    for y in range(height):
        for slot in range(slots):
            line, start = picks[slot, y], 0
            for x in range(1, width + 1):
                if x < width and line[x] == line[start]:
                    continue
                number = line[start]
                if number != NO_SCENE:
                    run = runs[places[number]]
                    run[0], run[1], run[2], run[3] = slot, y, start, x
                    places[number] += 1
                start = x


def fill_slots(
    stack: NDArray[np.uint16],
    runs: Runs,
    plane: NDArray[np.uint16] | CoarsePlane,
    offset: int,
    strips: Strips,
) -> None:
    """Write a plane's pixels to the slots that picked its scene, the offset removed.

    Args:
        stack: (slots, H, W) samples of one band; written.
        runs: runs of the plane's scene.
        plane: raw DN on the grid. Nodata (0) stays 0; everything else becomes at least 1.
        offset: DN to subtract.
        strips: threads to share the runs.

    """
    offset = min(max(offset, -65534), 65534)  # further ones give the same: 65535, 1
    limits = np.uint16(max(offset + 1, 0)), np.uint16(min(65535 + offset, 65535))
    shift = (*limits, np.uint16(offset % 65536))

    def fill(start: int, stop: int) -> None:
        part = runs[start:stop]
        if isinstance(plane, CoarsePlane):
            _fill_doubled(stack, part, plane.samples, plane.odd_row, plane.odd_col, shift)
        else:
            _fill(stack, part, plane, shift)

    strips.share(len(runs), fill)


_Shift = tuple[np.uint16, np.uint16, np.uint16]
"""Smallest and largest DN that the offset leaves in 1 to 65535, and the offset modulo 65536."""


@compiled
def _fill(stack: NDArray[np.uint16], runs: Runs, plane: NDArray[np.uint16], shift: _Shift) -> None:
    for i in range(runs.shape[0]):
        slot, y = np.int64(runs[i, 0]), 2 * np.int64(runs[i, 1])
        start, stop = 2 * np.int64(runs[i, 2]), 2 * np.int64(runs[i, 3])
        for line in range(y, y + 2):
            _write_shifted(plane[line, start:stop], shift, stack[slot, line, start:stop])


@compiled
def _fill_doubled(
    stack: NDArray[np.uint16],
    runs: Runs,
    coarse: NDArray[np.uint16],
    odd_row: int,
    odd_col: int,
    shift: _Shift,
) -> None:
    """Fill slots as ``resample.double`` would double the samples, only what is picked."""
    tall = np.empty(coarse.shape[1], np.uint32)
    pairs = np.empty(coarse.shape[1], np.uint32)
    fine = pairs.view(np.uint16)
    for i in range(runs.shape[0]):
        slot, y = np.int64(runs[i, 0]), 2 * np.int64(runs[i, 1])
        start, stop = np.int64(runs[i, 2]), np.int64(runs[i, 3])
        n = stop - start + odd_col
        for line in range(y, y + 2):
            row = line + odd_row
            double_row(
                coarse[1 + row // 2, start : start + n + 2],
                coarse[row // 2 + 2 * (row % 2), start : start + n + 2],
                tall[: n + 2],
                pairs[:n],
                fine,
            )
            raw = fine[odd_col : odd_col + 2 * (stop - start)]
            _write_shifted(raw, shift, stack[slot, line, 2 * start : 2 * stop])


@inlined
def _write_shifted(raw: NDArray[np.uint16], shift: _Shift, filled: NDArray[np.uint16]) -> None:
    lowest, highest, offset = shift
    for x in range(filled.shape[0]):
        value = np.uint16(min(max(raw[x], lowest), highest) - offset)
        filled[x] = value if raw[x] != 0 else np.uint16(0)
