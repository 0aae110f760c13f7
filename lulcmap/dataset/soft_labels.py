"""Soft labels: probabilities of several dates as one label of each date, with its weight."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lulcmap.dataset.sample import Label
from lulcmap.legend import NODATA

_CONTRADICTS = 0.5
"""Difference of probability by which a date must prefer another class than the label to contradict
it: then the land was another on that day, and its pixel has no label."""


def mean_probabilities(
    dates: Sequence[NDArray[np.float32]], weights: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Average the probabilities of several dates, pixel by pixel.

    Args:
        dates: (K, H, W) probabilities of each date; NaN without a label.
        weights: (H, W) weight of each date's pixels; 0 where they do not count.

    Returns:
        (K, H, W) means; NaN where no date counts.

    """
    total = np.zeros_like(dates[0])
    whole = np.zeros(dates[0].shape[1:], np.float32)
    for shares, weight in zip(dates, weights, strict=True):
        counts = np.where(np.isnan(shares[0]), 0, weight).astype(np.float32)
        total += np.nan_to_num(shares) * counts
        whole += counts
    return np.asarray(total / np.where(whole > 0, whole, np.nan), np.float32)


def soft_label(
    shares: NDArray[np.float32],
    own: NDArray[np.float32] | None = None,
    *,
    seen: NDArray[np.bool_],
    agreement: NDArray[np.float32] | None = None,
    min_margin: float = 0.0,
) -> Label:
    """A label from probabilities; its weight is how sure it is, and how well the date fits it.

    The weight is the margin between the two most probable classes, times the agreement of the
    date's own probabilities with the label's (``agreement_of``). Where the date is sure of another
    class it contradicts the label, and the pixel has none.

    Args:
        shares: (K, H, W) probabilities of the label, which sum to 1; NaN where there is none.
        own: (K, H, W) probabilities of the date alone; None where they are those of the label.
        seen: (H, W) True where the date shows the ground.
        agreement: (H, W) agreement to weigh with, 0 to 1, in place of that of ``own``.
        min_margin: margin below which a pixel has no label.

    """
    known = seen & ~np.isnan(shares[0])
    filled = np.where(known, shares, 0)
    best, margin = _best(filled)
    known &= margin >= min_margin
    if own is not None:
        mine = np.nan_to_num(own)
        agreement = agreement_of(filled, mine)
        known &= mine.max(axis=0) - _at(mine, best) < _CONTRADICTS
    weight = 100 * margin * (1 if agreement is None else agreement)
    return Label(
        np.where(known, best, NODATA).astype(np.uint8),
        probabilities=np.where(known, percent(filled), 0).astype(np.uint8),
        weight=np.where(known, np.clip(np.rint(weight), 1, 100), 0).astype(np.uint8),
    )


def agreement_of(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) the probability (K, H, W) that two distributions share, 0 to 1: 1 if they are equal.

    It is 1 minus their total variation distance.
    """
    return np.asarray(np.minimum(one, other).sum(axis=0), np.float32)


def percent(shares: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Probabilities as whole percent that sum to 100, by the largest remainders.

    No class changes by a percent or more. Among equal remainders the first class gets it.

    Args:
        shares: (K, ...) probabilities that sum to 1, or to 0 where there is none.

    Returns:
        (K, ...) percent; all 0 where there is none.

    """
    whole = shares.sum(axis=0, dtype=np.float64)
    exact = 100 * shares.astype(np.float64) / np.where(whole > 0, whole, 1)
    floors = np.floor(exact)
    missing = np.where(whole > 0, np.rint(100 - floors.sum(axis=0)), 0)
    order = np.argsort(floors - exact, axis=0, kind="stable")
    rank = np.argsort(order, axis=0, kind="stable")
    return (floors + (rank < missing)).astype(np.uint8)


def _best(shares: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """(H, W) the most probable class, and how much more probable it is than the second."""
    best = shares.argmax(axis=0)
    if len(shares) == 1:
        return best, shares[0]
    top = np.partition(shares, -2, axis=0)
    return best, top[-1] - top[-2]


def _at(shares: NDArray[np.float32], ids: NDArray[np.intp]) -> NDArray[np.float32]:
    """(H, W) the probability of each pixel's class."""
    return np.take_along_axis(shares, ids[None], axis=0)[0]
