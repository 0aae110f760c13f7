"""Counts of a classification, place by place, and confidence intervals of its metrics."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.evaluation.calibration import Reliability
from lulcmap.evaluation.scores import (
    accuracy,
    confusion,
    f1,
    iou,
    mean_f1,
    mean_iou,
    precision,
    recall,
)
from lulcmap.legend import NODATA

BOOTSTRAP_DRAWS = 1000
"""Draws of the bootstrap."""

TOTAL_METRICS: Mapping[str, Callable[[NDArray[np.int64]], float]] = {
    "miou": mean_iou,
    "oa": accuracy,
    "f1": mean_f1,
}
"""Metrics over all classes."""

CLASS_METRICS: Mapping[str, Callable[[NDArray[np.int64]], NDArray[np.float64]]] = {
    "iou": iou,
    "precision": precision,
    "recall": recall,
    "f1": f1,
}
"""Metrics of each class."""

Intervals = Mapping[str, NDArray[np.float64]]
"""Ends of 95 % confidence intervals: (2,) by the names of ``TOTAL_METRICS``, and (2, K) by
``class_`` and the names of ``CLASS_METRICS``."""


@dataclass(slots=True)
class Place:
    """Counts of pixels that are resampled together, because nearby pixels are alike."""

    lon: float
    """Longitude, degrees."""

    lat: float
    """Latitude, degrees."""

    matrix: NDArray[np.int64]
    """(K, K) pixels: row the true class, column the predicted one."""


@dataclass(slots=True)
class Counts:
    """Running counts of a classification against its truth."""

    n_classes: int
    """Number of classes, K."""

    places: dict[str, Place] = field(default_factory=dict)
    """Places by name."""

    reliability: Reliability = field(default_factory=Reliability.empty)
    """Reliability of the pixels that have a confidence."""

    unmapped: int = 0
    """Pixels with a true class but no predicted one; no metric counts them."""

    def add(
        self,
        name: str,
        truth: NDArray[np.uint8],
        predicted: NDArray[np.uint8],
        *,
        at: tuple[float, float],
        confidence: NDArray[np.floating] | None = None,
    ) -> None:
        """Count some pixels of a place.

        Args:
            name: name of the place; its pixels may come in several parts.
            truth: (...) true class ids, 255 unknown.
            predicted: (...) predicted class ids, 255 where there is none.
            at: longitude and latitude of the place, degrees.
            confidence: (...) probability of the predicted class, 0 to 1.

        """
        labelled = truth != NODATA
        kept = labelled & (predicted != NODATA)
        self.unmapped += int(np.count_nonzero(labelled & ~kept))
        if not kept.any():
            return
        matrix = confusion(truth, predicted, n_classes=self.n_classes)
        if name in self.places:
            self.places[name].matrix += matrix
        else:
            self.places[name] = Place(*at, matrix)
        if confidence is not None:
            self.reliability += Reliability.of(confidence[kept], truth[kept] == predicted[kept])

    @property
    def matrix(self) -> NDArray[np.int64]:
        """(K, K) pixels of all places."""
        return sum_matrices(self.places.values(), self.n_classes)


def sum_matrices(places: Iterable[Place], n_classes: int) -> NDArray[np.int64]:
    """(K, K) pixels of some places together."""
    total = np.zeros((n_classes, n_classes), np.int64)
    for place in places:
        total += place.matrix
    return total


def bootstrap_intervals(
    counts: Counts, *, draws: int = BOOTSTRAP_DRAWS, seed: int = 0
) -> Intervals | None:
    """95 % confidence intervals from a bootstrap over places.

    Pixels of one place are alike, so resampling pixels would make the intervals far too narrow.
    Whole places are drawn instead, with replacement; the interval runs from the 2.5th to the 97.5th
    percentile of the draws (Efron and Tibshirani, 1993, chapter 13).

    Args:
        counts: counts of the places.
        draws: number of draws; each draws as many places as there are.
        seed: random seed; the same seed gives the same intervals.

    Returns:
        The ends, NaN where no draw gives a value or the class is in one place only; None with fewer
        than two places.

    """
    places = list(counts.places.values())
    if len(places) < 2:
        return None
    pairs = np.stack([place.matrix.ravel() for place in places]).astype(np.float64)  # for BLAS
    rng = np.random.default_rng(seed)
    shares = np.full(len(places), 1 / len(places))
    values: dict[str, list[Any]] = {}
    for _ in range(draws):
        times = rng.multinomial(len(places), shares)
        matrix = (times @ pairs).astype(np.int64).reshape(counts.n_classes, counts.n_classes)
        for name, total in TOTAL_METRICS.items():
            values.setdefault(name, []).append(total(matrix))
        for name, each in CLASS_METRICS.items():
            values.setdefault(f"class_{name}", []).append(each(matrix))
    ends = {name: _percentile_ends(np.asarray(drawn)) for name, drawn in values.items()}
    in_places = (pairs.reshape(len(places), counts.n_classes, -1).sum(axis=2) > 0).sum(axis=0)
    for name in CLASS_METRICS:
        ends[f"class_{name}"][:, in_places < 2] = np.nan  # one place tells nothing about others
    return ends


def _percentile_ends(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, ...) ends of the middle 95 % of (draws, ...) values, without the NaN."""
    columns = values.reshape(len(values), -1)
    ends = np.full((2, columns.shape[1]), np.nan)
    for i, column in enumerate(columns.T):
        finite = column[np.isfinite(column)]
        if finite.size:
            ends[:, i] = np.percentile(finite, (2.5, 97.5))
    return ends.reshape(2, *values.shape[1:])
