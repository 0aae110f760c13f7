"""Paired counts of two classifications of the same pixels, and intervals of their difference.

Both are judged by the same labels, so a place that is hard for one is hard for the other: their
difference is known better than either figure. Places are resampled, never pixels (``counts``).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lulcmap.evaluation.scores import confusion
from lulcmap.legend import NODATA

TOTALS = ("oa", "f1", "miou")
"""Overall accuracy, mean F1 and mean IoU: what is compared over all classes."""

OUTCOMES = ("both_right", "only_first_right", "only_second_right", "both_wrong")
"""What may become of a pixel."""

_MAX_NUMBERS = 10_000_000
"""Most numbers of a part of the draws, so that memory does not grow with the places."""

Intervals = Mapping[str, NDArray[np.float64]]
"""Ends of 95 % intervals of differences: (2,) by the names of ``TOTALS``, and (2, K) by
``"class_f1"``."""


@dataclass(slots=True)
class PairedPlace:
    """Counts of pixels that are resampled together."""

    matrices: NDArray[np.int64]
    """(2, K, K) pixels of each classification: row the true class, column the given one."""

    outcomes: NDArray[np.int64]
    """(4,) pixels by ``OUTCOMES``."""


@dataclass(slots=True)
class PairedCounts:
    """Running counts of two classifications against one truth."""

    n_classes: int
    """Number of classes, K."""

    places: dict[str, PairedPlace] = field(default_factory=dict)
    """Places by name."""

    unpaired: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))
    """(2,) labelled pixels that only the first, or only the second, gives a class; not counted."""

    def add(
        self,
        name: str,
        truth: NDArray[np.uint8],
        first: NDArray[np.uint8],
        second: NDArray[np.uint8],
    ) -> None:
        """Count some pixels of a place.

        Args:
            name: name of the place; its pixels may come in several parts.
            truth: (...) true class ids, 255 unknown.
            first: (...) class ids of the first classification, 255 where there is none.
            second: (...) those of the second.

        """
        labelled = truth != NODATA
        has = [labelled & (given != NODATA) for given in (first, second)]
        paired = has[0] & has[1]
        self.unpaired += [int(np.count_nonzero(one & ~paired)) for one in has]
        if not paired.any():
            return
        true = truth[paired]
        right = [given[paired] == true for given in (first, second)]
        outcome = 2 * ~right[0] + ~right[1]  # 0 to 3, as OUTCOMES
        part = PairedPlace(
            np.stack(
                [
                    confusion(true, given[paired], n_classes=self.n_classes)
                    for given in (first, second)
                ]
            ),
            np.bincount(outcome, minlength=4).astype(np.int64),
        )
        place = self.places.setdefault(name, part)
        if place is not part:
            place.matrices += part.matrices
            place.outcomes += part.outcomes

    @property
    def matrices(self) -> NDArray[np.int64]:
        """(2, K, K) pixels of all places."""
        total = np.zeros((2, self.n_classes, self.n_classes), np.int64)
        for place in self.places.values():
            total += place.matrices
        return total

    @property
    def outcomes(self) -> NDArray[np.int64]:
        """(4,) pixels of all places by ``OUTCOMES``."""
        total = np.zeros(4, np.int64)
        for place in self.places.values():
            total += place.outcomes
        return total

    @property
    def places_won(self) -> tuple[int, int, int]:
        """Places where the first is more often right, where the second is, and where neither is."""
        leads = [int(place.outcomes[1] - place.outcomes[2]) for place in self.places.values()]
        first, second = sum(lead > 0 for lead in leads), sum(lead < 0 for lead in leads)
        return first, second, len(leads) - first - second


def scores_of(
    matrices: NDArray[np.integer] | NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    """The compared scores of many confusion matrices at once.

    Args:
        matrices: (..., K, K) pixels.

    Returns:
        (...) by the names of ``TOTALS``, (..., K) by ``"class_f1"``; NaN where there is none. As
        ``scores`` defines them for one matrix.

    """
    counts = np.asarray(matrices, np.float64)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    true, given = counts.sum(-1), counts.sum(-2)
    f1, iou = _ratio(2 * hits, true + given), _ratio(hits, true + given - hits)
    present = true > 0
    return {
        "oa": _ratio(hits.sum(-1), true.sum(-1)),
        "f1": _ratio(np.where(present, f1, 0).sum(-1), present.sum(-1)),
        "miou": _ratio(np.where(present, iou, 0).sum(-1), present.sum(-1)),
        "class_f1": f1,
    }


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def paired_intervals(counts: PairedCounts, *, draws: int, seed: int) -> Intervals | None:
    """95 % intervals of the differences, first minus second, from a bootstrap over places.

    Whole places are drawn with replacement, the same for both classifications. With few places the
    percentiles of the draws are too close together; they are taken further out as of Hesterberg
    (2015), The American Statistician 69:371-386, section 3.2 (expanded percentile interval).

    Args:
        counts: counts of the places.
        draws: number of draws; each draws as many places as there are.
        seed: random seed; the same seed gives the same intervals.

    Returns:
        The ends, NaN where no draw gives a value or the class is in one place only; None with fewer
        than two places.

    """
    n = len(counts.places)
    if n < 2:
        return None
    matrices = np.stack([place.matrices for place in counts.places.values()])
    drawn: dict[str, list[NDArray[np.float64]]] = {}
    for total in _drawn(matrices, draws=draws, seed=seed):
        for name, values in scores_of(total).items():
            drawn.setdefault(name, []).append(values[:, 0] - values[:, 1])
    ends = {name: _ends(np.concatenate(parts), n) for name, parts in drawn.items()}
    in_places = (matrices[:, 0].sum(-1) > 0).sum(0)
    ends["class_f1"][:, in_places < 2] = np.nan  # one place tells nothing about others
    return ends


def _drawn(matrices: NDArray[np.int64], *, draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield (part of the draws, 2, K, K): sums of matrices (n, 2, K, K) of drawn places."""
    n, shape = len(matrices), matrices.shape[1:]
    pairs = matrices.reshape(n, -1).astype(np.float64)  # for BLAS
    rng, shares = np.random.default_rng(seed), np.full(n, 1 / n)
    step = max(1, _MAX_NUMBERS // max(n, pairs.shape[1]))
    for start in range(0, draws, step):
        times = rng.multinomial(n, shares, size=min(step, draws - start))
        yield np.rint(times @ pairs).reshape(-1, *shape)


def _ends(values: NDArray[np.float64], n_places: int) -> NDArray[np.float64]:
    """(2, ...) ends of the expanded middle 95 % of (draws, ...) values, without the NaN."""
    from scipy.stats import norm, t

    tail = norm.cdf(-math.sqrt(n_places / (n_places - 1)) * t.ppf(0.975, n_places - 1))
    columns = values.reshape(len(values), -1)
    ends = np.full((2, columns.shape[1]), np.nan)
    for i, column in enumerate(columns.T):
        finite = column[np.isfinite(column)]
        if finite.size:
            ends[:, i] = np.quantile(finite, (tail, 1 - tail))
    return ends.reshape(2, *values.shape[1:])
