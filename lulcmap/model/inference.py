"""Classify pixels in windows: select the windows of a block, blend their logits, decide.

Logits are blended at the network's output stride, so that memory does not grow with the number of
windows, and upsampled to pixels in one compiled pass. This is exact: windows lie at multiples of
the stride, so the cells of all windows coincide. Labels are never averaged.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lulcmap.geo import Blend, Box, Lattice, blend_weights
from lulcmap.legend import NODATA
from lulcmap.model.contract import Contract, Prior
from lulcmap.model.decide import interpolation, logits_at, write_pixels, write_probabilities
from lulcmap.model.overlap import run_batches
from lulcmap.model.sun import zenith_range
from lulcmap.model.windows import Windows
from lulcmap.system import compiled

Network = Callable[..., NDArray[np.float32]]
"""Takes windows (N, 9, H, W) and (N, 2, H, W) and, if its contract names it, (N,) the sun's zenith;
returns logits (N, K, H / stride, W / stride). ``Session.run`` is one."""


@dataclass(frozen=True, slots=True)
class Classified:
    """Classes of a block's pixels and how sure the model is; each (H, W) uint8, 255 nodata."""

    classes: NDArray[np.uint8]
    """Ids of the classes in the legend."""

    confidence: NDArray[np.uint8]
    """Probability of the class, percent."""

    margin: NDArray[np.uint8]
    """Probability of the class minus that of the second, percent."""

    probabilities: NDArray[np.uint8] | None = None
    """(K, H, W) probability of each class of the legend, percent, 255 nodata; None if not asked
    for."""

    sun_zenith: tuple[float, float] | None = None
    """Smallest and largest zenith of the sun the model was given, degrees; None if it takes none,
    or no window has Sentinel-2."""
    logits: NDArray[np.float32] | None = None
    """(n, K) logits of the pixels asked for, before the temperature; None if none were."""


def needed_windows(
    mask: NDArray[np.bool_], box: Box, *, lattice: Lattice, stride: int
) -> list[Box]:
    """Select the windows with a cell that a masked pixel is interpolated from, row by row.

    Args:
        mask: (h, w) over ``box``, True where the map is needed.
        box: box of pixels in the zone; its edges need not be multiples of the stride.
        lattice: lattice of the windows.
        stride: side of a cell of the network's output, pixels.

    """
    top, left = box.row % stride, box.col % stride
    bottom, right = -box.stop[0] % stride, -box.stop[1] % stride
    whole = np.pad(mask, ((top, bottom), (left, right)))
    rows, cols = whole.shape[0] // stride, whole.shape[1] // stride
    own = np.pad(whole.reshape(rows, stride, cols, stride).any(axis=(1, 3)), 2)
    near = np.zeros((rows + 2, cols + 2), bool)  # a pixel's own cell and the eight around it
    for y in range(3):
        for x in range(3):
            near |= own[y : y + rows + 2, x : x + cols + 2]
    cells = Box(box.row // stride - 1, box.col // stride - 1, rows + 2, cols + 2)
    over = Box(cells.row * stride, cells.col * stride, cells.height * stride, cells.width * stride)
    return [
        window
        for window in lattice.reaching(over)
        if near[_cells(window, stride=stride).intersection(cells).within(cells)].any()  # type: ignore[union-attr]
    ]


def bounding_box(windows: Sequence[Box]) -> Box:
    """Return the smallest box around windows, at least one."""
    row, col = min(box.row for box in windows), min(box.col for box in windows)
    stop_row, stop_col = max(box.stop[0] for box in windows), max(box.stop[1] for box in windows)
    return Box(row, col, stop_row - row, stop_col - col)


def classify(
    run: Network,
    contract: Contract,
    *,
    s2: NDArray[np.uint16],
    s1: NDArray[np.int16],
    over: Box,
    windows: Sequence[Box],
    box: Box,
    batch_size: int,
    in_flight: int = 1,
    blend: Blend = "hann",
    prior: Prior = "natural",
    probabilities: bool = False,
    sampled: NDArray[np.intp] | None = None,
    progress: Callable[[int], None] | None = None,
    sun: NDArray[np.uint16] | None = None,
) -> Classified:
    """Classify the pixels of a block.

    A pixel outside ``over``, or without the inputs that the contract requires, becomes 255. A pixel
    that needs a window missing from ``windows`` has an arbitrary value.

    Args:
        run: network to run.
        contract: contract of the network.
        s2: (9, H, W) composite over ``over``: DN, bands as ``S2_BANDS``; 0 nodata.
        s1: (2, H, W) composite over ``over``: hundredths of a decibel, VV and VH; -32768 nodata.
        over: box of the composites; contains every window.
        windows: windows to run, as selected by ``needed_windows``.
        box: box of the pixels to classify.
        batch_size: windows in one call of the network. The result depends on it only if the
            network's does.
        in_flight: batches given to the network at once, from as many threads.
        blend: how windows are blended.
        prior: class prior, as in ``Contract.logit_bias``.
        probabilities: whether those of all classes are wanted.
        sampled: (n,) pixels whose logits are wanted, counted row by row in ``box``.
        progress: called with the number of windows finished, after each batch.
        sun: (H, W) mean zenith of the sun over ``over``, hundredths of a degree, ``NO_SUN`` without
            Sentinel-2; for a contract that names ``sun_zenith``.

    Returns:
        The classes of the pixels of ``box``.

    Raises:
        UsageError: the model does not tell the class shares that ``prior="balanced"`` needs, or
            takes the sun's zenith, which is not given.

    """
    shown = Windows(contract, s2=s2, s1=s1, over=over, windows=windows, sun=sun)
    blending = Blending(contract, box, blend=blend, prior=prior)
    starts = range(0, len(shown.filled), batch_size)
    batches = (tuple(shown.shown(start, start + batch_size)) for start in starts)
    results = run_batches(run, batches, in_flight=in_flight)
    for start, logits in zip(starts, results, strict=True):
        batch = shown.filled[start : start + batch_size]
        for window, part in zip(batch, logits, strict=True):
            blending.add(window, part)
        if progress:
            progress(len(batch))
    wanted = np.zeros(box.shape, bool)
    covered = box.intersection(over)
    if covered is not None:
        wanted[covered.within(box)] = shown.usable[covered.within(over)]
    made = blending.classified(wanted, probabilities=probabilities, sampled=sampled)
    return replace(made, sun_zenith=zenith_range(shown.zeniths))


class Blending:
    """The blended logits of a block, in cells of the network's output.

    Windows are added row by row: the last bit of a sum depends on the order.

    Args:
        contract: contract of the network.
        box: box of the block's pixels.
        blend: how windows are blended.
        prior: class prior, as in ``Contract.logit_bias``.

    """

    def __init__(self, contract: Contract, box: Box, *, blend: Blend, prior: Prior) -> None:
        self._contract, self._box = contract, box
        self._cells = _cells(box, stride=contract.stride).grown(1)
        self._along = blend_weights(contract.lattice, stride=contract.stride, blend=blend)
        self._total = np.empty((*self._cells.shape, len(contract.classes)), np.float32)
        self._total[:] = contract.logit_bias(prior)  # the windows' weights sum to 1: it counts once

    def add(self, window: Box, logits: NDArray[np.float32]) -> None:
        """Add the (K, h, w) logits of a window."""
        at = _cells(window, stride=self._contract.stride)
        row, col = at.row - self._cells.row, at.col - self._cells.col
        _add_window(self._total, logits, self._along, row, col)

    def classified(
        self,
        wanted: NDArray[np.bool_],
        *,
        probabilities: bool = False,
        sampled: NDArray[np.intp] | None = None,
    ) -> Classified:
        """Decide the class of every pixel, all windows being added.

        Args:
            wanted: (H, W) True where to decide; the others become 255.
            probabilities: as for ``classify``.
            sampled: as for ``classify``.

        """
        contract, box, total = self._contract, self._box, self._total
        stride, cells = contract.stride, self._cells
        out = np.full((3, *box.shape), NODATA, np.uint8)
        places = (
            *interpolation(box.row, box.height, first_cell=cells.row, stride=stride),
            *interpolation(box.col, box.width, first_cell=cells.col, stride=stride),
        )
        ids = np.array(contract.ids, np.uint8)
        write_pixels(total, *places, wanted, ids, contract.temperature, out)
        made = Classified(out[0], out[1], out[2])
        if sampled is not None:
            made = replace(made, logits=logits_at(total, *places, *np.divmod(sampled, box.width)))
        if not probabilities:
            return made
        shares = np.zeros((len(contract.legend), *box.shape), np.uint8)
        shares[:, ~wanted] = NODATA
        write_probabilities(total, *places, wanted, ids, contract.temperature, shares)
        return replace(made, probabilities=shares)


def _cells(box: Box, *, stride: int) -> Box:
    """Return the box of the network's output cells that a box of pixels touches."""
    row, col = box.row // stride, box.col // stride
    return Box(row, col, -(-box.stop[0] // stride) - row, -(-box.stop[1] // stride) - col)


@compiled
def _add_window(
    total: NDArray[np.float32],
    logits: NDArray[np.float32],
    along: NDArray[np.float32],
    row: int,
    col: int,
) -> None:
    """Add a window's weighted logits (K, h, w) to the cells (H, W, K) it covers."""
    size = along.shape[0]
    for y in range(max(0, -row), min(size, total.shape[0] - row)):
        for x in range(max(0, -col), min(size, total.shape[1] - col)):
            weight = along[y] * along[x]
            if weight > 0:
                for k in range(total.shape[2]):
                    total[row + y, col + x, k] += weight * logits[k, y, x]
