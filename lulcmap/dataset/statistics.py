"""Statistics of bands: mean and deviation in one pass, percentiles from an exact histogram."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_VALUES = 65536
"""Of a 16-bit integer."""


@dataclass
class Band:
    """What is known of one band's valid pixels, added chip by chip."""

    lowest: int
    """Smallest value of its type: 0, or -32768."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared differences from the mean."""

    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_VALUES, np.int64))

    def add(self, values: NDArray[Any]) -> None:
        """Add valid pixels of one chip.

        Welford's update for many values at once (Chan, Golub and LeVeque 1983), which does not lose
        the deviation in the difference of two large sums.

        Args:
            values: (n,) 16-bit integers.

        """
        if not values.size:
            return
        exact = values.astype(np.float64)
        mean = float(exact.mean())
        apart, both = mean - self.mean, self.count + values.size
        self.squares += float(((exact - mean) ** 2).sum())
        self.squares += apart**2 * self.count * values.size / both
        self.mean += apart * values.size / both
        self.count = both
        places = values.astype(np.int64) - self.lowest
        self.histogram += np.bincount(places, minlength=_VALUES)

    @property
    def std(self) -> float:
        """Standard deviation of the pixels (divided by n)."""
        return math.sqrt(self.squares / self.count) if self.count else math.nan

    def percentile(self, percent: float) -> float:
        """Exact, between two values linearly, as ``numpy.percentile`` does it."""
        if not self.count:
            return math.nan
        rank = (self.count - 1) * percent / 100
        below = math.floor(rank)
        summed = np.cumsum(self.histogram)
        low, high = np.searchsorted(
            summed, [below + 1, min(below + 2, self.count)]
        )  # the value whose pixels reach this rank
        return float(low + (high - low) * (rank - below) + self.lowest)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; None where there is no pixel."""
        if not self.count:
            return dict.fromkeys(("mean", "std", "p01", "p99"), None) | {"pixels": 0}
        return {
            "mean": self.mean,
            "std": self.std,
            "p01": self.percentile(1),
            "p99": self.percentile(99),
            "pixels": self.count,
        }
