"""Calibration: whether pixels with a confidence of 80 % are right 80 % of the time."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Equal-width bins of confidence, as in Guo et al. (2017), On Calibration of Modern Neural
Networks, ICML, arXiv:1706.04599."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """Pixels and hits in each bin of confidence; counts of parts may be added."""

    pixels: NDArray[np.int64]
    """(B,) pixels with a confidence in bin b, which is (b / B, (b + 1) / B]; 0 is in the first."""

    hits: NDArray[np.int64]
    """(B,) pixels in bin b that are given their true class."""

    confidence: NDArray[np.float64]
    """(B,) sum of the confidences in bin b."""

    @classmethod
    def empty(cls) -> Self:
        """Counts of no pixels."""
        return cls(np.zeros(BINS, np.int64), np.zeros(BINS, np.int64), np.zeros(BINS))

    @classmethod
    def of(cls, confidence: NDArray[np.floating], correct: NDArray[np.bool_]) -> Self:
        """Count some pixels.

        Args:
            confidence: (...) probability of the class given, 0 to 1.
            correct: (...) True where that class is the true one.

        """
        values = np.round(np.asarray(confidence, np.float64).ravel(), 6)  # 0.8 in fp32 is more
        bins = np.clip(np.ceil(values * BINS).astype(np.int64) - 1, 0, BINS - 1)
        return cls(
            np.bincount(bins, minlength=BINS).astype(np.int64),
            np.bincount(bins[correct.ravel()], minlength=BINS).astype(np.int64),
            np.bincount(bins, values, BINS).astype(np.float64),
        )

    def __add__(self, other: "Reliability") -> "Reliability":
        return Reliability(
            self.pixels + other.pixels, self.hits + other.hits, self.confidence + other.confidence
        )

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """(B,) share of hits in each bin; NaN in an empty one."""
        return self._mean(self.hits)

    @property
    def confidences(self) -> NDArray[np.float64]:
        """(B,) mean confidence in each bin; NaN in an empty one."""
        return self._mean(self.confidence)

    def _mean(self, sums: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
        return np.divide(sums, self.pixels, out=np.full(BINS, np.nan), where=self.pixels > 0)

    @property
    def ece(self) -> float:
        """Expected calibration error, 0 to 1; NaN without pixels.

        The mean of |accuracy - confidence| over the bins, weighted by their pixels.
        """
        total = self.pixels.sum()
        return float(np.abs(self.hits - self.confidence).sum() / total) if total else float("nan")
