"""Statistics of bands: mean and deviation in one pass, percentiles from an exact histogram."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_N_VALUES = 65536
"""Values of a 16-bit integer."""


@dataclass
class Band:
    """Statistics of one band's valid pixels, added chip by chip."""

    lowest: int
    """Smallest value of the band's data type: 0 or -32768."""

    count: int = 0
    """Pixels."""

    mean: float = 0.0
    """Mean of the pixels."""

    squares: float = 0.0
    """Sum of squared differences from the mean."""

    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_N_VALUES, np.int64))
    """(65536,) pixels of each value, from ``lowest`` on."""

    def add(self, values: NDArray[Any]) -> None:
        """Add valid pixels of one chip.

        Welford's update for many values at once (Chan, Golub and LeVeque 1983), which does not lose
        the deviation in the difference of two large sums.

        Args:
            values: (n,) pixels, 16-bit integers.

        """
        if not values.size:
            return
        exact = values.astype(np.float64)
        mean = float(exact.mean())
        difference, total = mean - self.mean, self.count + values.size
        self.squares += float(((exact - mean) ** 2).sum())
        self.squares += difference**2 * self.count * values.size / total
        self.mean += difference * values.size / total
        self.count = total
        bins = values.astype(np.int64) - self.lowest
        self.histogram += np.bincount(bins, minlength=_N_VALUES)

    @property
    def std(self) -> float:
        """Standard deviation of the pixels (divided by n)."""
        return math.sqrt(self.squares / self.count) if self.count else math.nan

    def percentile(self, percent: float) -> float:
        """Exact percentile, linear between two values, as ``numpy.percentile``."""
        if not self.count:
            return math.nan
        rank = (self.count - 1) * percent / 100
        below = math.floor(rank)
        cumulative = np.cumsum(self.histogram)
        # the values whose pixels reach the ranks on either side
        low, high = np.searchsorted(cumulative, [below + 1, min(below + 2, self.count)])
        return float(low + (high - low) * (rank - below) + self.lowest)

    def to_json(self) -> dict[str, Any]:
        """The statistics as plain JSON values; None without a pixel."""
        if not self.count:
            return dict.fromkeys(("mean", "std", "p01", "p99"), None) | {"pixels": 0}
        return {
            "mean": self.mean,
            "std": self.std,
            "p01": self.percentile(1),
            "p99": self.percentile(99),
            "pixels": self.count,
        }
