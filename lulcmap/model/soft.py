"""Probabilities of the classes of one image, the mean over its eight flips and rotations.

A label that another model is to learn from needs more than a map does: every pixel's probabilities,
and no trace of the direction in which the network happened to see the land.
"""

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.model.contract import SUN_ZENITH
from lulcmap.model.mirror import mirrored
from lulcmap.model.session import Session
from lulcmap.model.windows import usable_pixels
from lulcmap.sensors import S1_NODATA, S2_NODATA

_ORIENTATIONS = tuple(product(range(4), range(2)))
"""Quarter turns, and whether the image is then mirrored: all eight orientations of a square."""


def class_probabilities(
    session: Session,
    s2: NDArray[np.uint16],
    s1: NDArray[np.int16],
    *,
    margin: int,
    sun_zenith: float | None = None,
) -> NDArray[np.float32]:
    """Classify an image in windows, each in eight flips and rotations whose mean counts.

    Beyond the image's edges, and where it has no data, the windows show it mirrored, as in a map.

    Args:
        session: session of the model.
        s2: (9, H, W) DN, bands as ``S2_BANDS``; 0 nodata.
        s1: (2, H, W) hundredths of a decibel, VV and VH; -32768 nodata.
        margin: pixels on each side that are only shown to the model; where several windows are
            needed, they overlap by twice as many, or by half a window.
        sun_zenith: degrees from the zenith, 0 to 90, for a model that takes it.

    Returns:
        (K, H - 2 margin, W - 2 margin) probabilities by id of the contract's legend, which sum to
        1; NaN where the pixel lacks an input that the contract requires.

    Raises:
        ModelError: the model failed; ``DeviceError``: the device has too little memory.

    """
    contract, window, shape = session.contract, session.contract.window, s2.shape[1:]
    s2, s1 = _widened(s2, window, S2_NODATA), _widened(s1, window, S1_NODATA)
    usable = usable_pixels(contract, s2, s1)
    overlap = min(2 * margin, window // 2)
    along = _ramp(window, overlap)
    weights = along[:, None] * along
    total = np.zeros((len(contract.legend), *usable.shape), np.float32)
    whole = np.zeros(usable.shape, np.float32)
    ids = list(contract.ids)
    for row, col in product(*(_starts(size, window, overlap) for size in usable.shape)):
        part = slice(row, row + window), slice(col, col + window)
        if not usable[part].any():
            continue
        rows, cols = mirrored(usable[part])
        pixels = s2[:, *part][:, rows, cols], s1[:, *part][:, rows, cols]
        total[:, *part][ids] += weights * _window_probabilities(session, *pixels, sun_zenith)
        whole[part] += weights
    total /= np.where(usable, whole, np.float32(np.nan))
    (top, _), (left, _) = _missing(shape, window)
    inner = (
        slice(top + margin, top + shape[0] - margin),
        slice(left + margin, left + shape[1] - margin),
    )
    return np.ascontiguousarray(total[:, *inner])


def _window_probabilities(
    session: Session, s2: NDArray[np.uint16], s1: NDArray[np.int16], sun_zenith: float | None
) -> NDArray[np.float32]:
    """(K, H, W) mean probabilities over a window's orientations, in the order of the logits."""
    contract = session.contract
    has_sun = SUN_ZENITH in contract.scalars and sun_zenith is not None
    cells = tuple(size // contract.stride for size in s2.shape[1:])
    total = np.zeros((len(contract.classes), *cells), np.float32)
    for start in range(0, len(_ORIENTATIONS), session.batch_size):
        batch = _ORIENTATIONS[start : start + session.batch_size]
        turned_s2, turned_s1 = (
            np.stack([_turned(image, *one) for one in batch]) for image in (s2, s1)
        )
        sun = np.full(len(batch), sun_zenith, np.float32) if has_sun else None
        odds = session.run(turned_s2, turned_s1, sun) / np.float32(contract.temperature)
        odds = np.exp(odds - odds.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        for shares, orientation in zip(odds, batch, strict=True):
            total += _turned_back(shares, orientation)
    total /= len(_ORIENTATIONS)
    return _upsampled(total, contract.stride)


def _turned(image: NDArray[Any], turns: int, flips: int) -> NDArray[Any]:
    """An image (C, H, W) after quarter turns, then mirrored from left to right or not."""
    return np.rot90(image, turns, (1, 2))[:, :, :: 1 - 2 * flips]


def _turned_back(image: NDArray[Any], orientation: tuple[int, int]) -> NDArray[Any]:
    """The image that ``_turned`` turned."""
    turns, flips = orientation
    return np.rot90(image[:, :, :: 1 - 2 * flips], -turns, (1, 2))


def _upsampled(cells: NDArray[np.float32], stride: int) -> NDArray[np.float32]:
    """Cells (K, h, w) as pixels (K, h * stride, w * stride): bilinear, the edge continued."""
    for axis in (1, 2) if stride > 1 else ():
        size = cells.shape[axis]
        at = np.clip((np.arange(size * stride) + 0.5) / stride - 0.5, 0, size - 1)
        before = np.minimum(at.astype(np.intp), max(size - 2, 0))
        shape = [-1 if one == axis else 1 for one in range(3)]
        after = (at - before).astype(np.float32).reshape(shape)
        low = np.take(cells, before, axis)
        high = np.take(cells, np.minimum(before + 1, size - 1), axis)
        cells = low + after * (high - low)
    return cells


def _starts(size: int, window: int, overlap: int) -> list[int]:
    """First pixels of the windows that cover an axis, evenly spread."""
    count = 1 + -(-(size - window) // (window - overlap))
    return [round(i * (size - window) / max(count - 1, 1)) for i in range(count)]


def _ramp(window: int, overlap: int) -> NDArray[np.float32]:
    """Weights of a window's pixels on one axis: they rise over the overlap with its neighbours."""
    from_edge = np.minimum(np.arange(window), np.arange(window)[::-1]) + 0.5
    return np.minimum(from_edge / max(overlap, 0.5), 1).astype(np.float32)


def _missing(shape: tuple[int, ...], window: int) -> list[tuple[int, int]]:
    """Pixels that an image lacks of a window before and after it, by axis."""
    short = [max(window - size, 0) for size in shape]
    return [(lack // 2, lack - lack // 2) for lack in short]


def _widened(image: NDArray[Any], window: int, nodata: int) -> NDArray[Any]:
    """An image in the middle of nodata, at least as large as a window."""
    missing = _missing(image.shape[1:], window)
    return np.pad(image, [(0, 0), *missing], constant_values=nodata)
