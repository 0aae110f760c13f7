"""What is counted place by place, and how sure the figures are that are read off it."""

from collections.abc import Callable, Mapping
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

DRAWS = 1000
"""Of the bootstrap."""

TOTALS: Mapping[str, Callable[[NDArray[np.int64]], float]] = {
    "miou": mean_iou,
    "oa": accuracy,
    "f1": mean_f1,
}
"""Figures of all classes together."""

OF_A_CLASS: Mapping[str, Callable[[NDArray[np.int64]], NDArray[np.float64]]] = {
    "iou": iou,
    "precision": precision,
    "recall": recall,
    "f1": f1,
}
"""Figures of each class."""

Intervals = Mapping[str, NDArray[np.float64]]
"""By the names of ``TOTALS`` (2,), and by ``class_`` and the names of ``OF_A_CLASS`` (2, K): the
ends of 95 % confidence intervals."""


@dataclass(slots=True)
class Place:
    """What is resampled together, because what lies together is alike."""

    lon: float
    """Degrees."""

    lat: float
    """Degrees."""

    matrix: NDArray[np.int64]
    """(K, K) pixels: row the true class, column the one given."""


@dataclass(slots=True)
class Tally:
    """A classification against its truth, counted while it streams by."""

    n_classes: int
    """K."""

    places: dict[str, Place] = field(default_factory=dict)
    """By name."""

    reliability: Reliability = field(default_factory=Reliability.empty)
    """Of the pixels that came with a confidence."""

    unmapped: int = 0
    """Pixels with a true class that were given none; they are in no figure."""

    def add(
        self,
        name: str,
        truth: NDArray[np.uint8],
        given: NDArray[np.uint8],
        *,
        at: tuple[float, float],
        confidence: NDArray[np.floating] | None = None,
    ) -> None:
        """Count some pixels of a place.

        Args:
            name: of the place; more of the same place may be added.
            truth: (...) class ids, 255 unknown.
            given: (...) class ids, 255 where nothing was given.
            at: longitude and latitude of the place, degrees.
            confidence: (...) probability of the class given, 0 to 1.

        """
        known = truth != NODATA
        kept = known & (given != NODATA)
        self.unmapped += int(np.count_nonzero(known & ~kept))
        if not kept.any():
            return
        matrix = confusion(truth, given, n_classes=self.n_classes)
        if name in self.places:
            self.places[name].matrix += matrix
        else:
            self.places[name] = Place(*at, matrix)
        if confidence is not None:
            self.reliability += Reliability.of(confidence[kept], truth[kept] == given[kept])

    @property
    def matrix(self) -> NDArray[np.int64]:
        """(K, K) of all places."""
        return summed(self.places.values(), self.n_classes)


def summed(places: Any, n_classes: int) -> NDArray[np.int64]:
    """(K, K) pixels of some places together."""
    total = np.zeros((n_classes, n_classes), np.int64)
    for place in places:
        total += place.matrix
    return total


def intervals(tally: Tally, *, draws: int = DRAWS, seed: int = 0) -> Intervals | None:
    """95 % confidence intervals from a bootstrap over places.

    Pixels of one place are alike, so that resampling them would promise far too much: whole places
    are drawn, with replacement, and the interval is from the 2.5th to the 97.5th percentile of what
    the draws give (Efron and Tibshirani, 1993, chapter 13).

    Args:
        tally: of the places.
        draws: how often as many places are drawn as there are.
        seed: the same one gives the same intervals.

    Returns:
        The ends, NaN where a figure is not known in any draw or its class is in one place only;
        None with fewer than two places.

    """
    places = list(tally.places.values())
    if len(places) < 2:
        return None
    pairs = np.stack([place.matrix.ravel() for place in places]).astype(np.float64)  # for BLAS
    rng = np.random.default_rng(seed)
    shares = np.full(len(places), 1 / len(places))
    found: dict[str, list[Any]] = {}
    for _ in range(draws):
        times = rng.multinomial(len(places), shares)
        matrix = (times @ pairs).astype(np.int64).reshape(tally.n_classes, tally.n_classes)
        for name, total in TOTALS.items():
            found.setdefault(name, []).append(total(matrix))
        for name, each in OF_A_CLASS.items():
            found.setdefault(f"class_{name}", []).append(each(matrix))
    ends = {name: _middle(np.asarray(values)) for name, values in found.items()}
    in_places = (pairs.reshape(len(places), tally.n_classes, -1).sum(axis=2) > 0).sum(axis=0)
    for name in OF_A_CLASS:
        ends[f"class_{name}"][:, in_places < 2] = np.nan  # one place says nothing of others
    return ends


def _middle(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """From (draws, ...) the ends (2, ...) of the middle 95 %, of the draws that have a value."""
    columns = values.reshape(len(values), -1)
    ends = np.full((2, columns.shape[1]), np.nan)
    for i, column in enumerate(columns.T):
        there = column[np.isfinite(column)]
        if there.size:
            ends[:, i] = np.percentile(there, (2.5, 97.5))
    return ends.reshape(2, *values.shape[1:])
