"""Counts of pixels whose label is a set of classes, such as "not crops"."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.dataset import LabelSet, set_members
from lulcmap.legend import NODATA


class SetCounts:
    """Pixels of each label set, and how many of them are given one of its classes."""

    def __init__(self, sets: Sequence[LabelSet], names: Sequence[str]) -> None:
        self._sets = sets
        table = set_members(sets, names)
        self._members = np.zeros((len(sets), NODATA + 1), np.bool_)
        self._members[:, : table.shape[1]] = table
        self._places: dict[str, NDArray[np.int64]] = {}

    def add(self, place: str, codes: NDArray[np.uint8], given: NDArray[np.uint8]) -> None:
        """Count some pixels of a place.

        Args:
            place: name of the place.
            codes: (...) codes of label sets, 255 where there is none.
            given: (...) class ids that the model gives, 255 where there is none.

        """
        for number, one in enumerate(self._sets):
            here = (codes == one.code) & (given != NODATA)
            if here.any():
                counts = self._places.setdefault(place, np.zeros((len(self._sets), 2), np.int64))
                hits = np.count_nonzero(self._members[number][given[here]])
                counts[number] += np.count_nonzero(here), hits

    def to_json(self, *, draws: int, seed: int) -> list[dict[str, Any]]:
        """A row for each set that has pixels: its accuracy, with a 95 % interval over places.

        Args:
            draws: draws of the bootstrap.
            seed: random seed of the bootstrap.

        """
        rows = []
        for number, one in enumerate(self._sets):
            counts = np.array([place[number] for place in self._places.values()]).reshape(-1, 2)
            counts = counts[counts[:, 0] > 0]
            if len(counts):
                pixels, hits = counts.sum(0).tolist()
                low, high = _interval(counts, draws=draws, seed=seed)
                rows.append(
                    {
                        "set": one.name,
                        "classes": list(one.classes),
                        "pixels": pixels,
                        "places": len(counts),
                        "accuracy": {"value": hits / pixels, "low": low, "high": high},
                    }
                )
        return rows


def _interval(
    counts: NDArray[np.int64], *, draws: int, seed: int
) -> tuple[float | None, float | None]:
    """95 % interval of hits by pixels (n, 2), from whole places drawn with replacement."""
    n = len(counts)
    if n < 2:
        return None, None
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    drawn = times @ counts
    low, high = np.percentile(drawn[:, 1] / drawn[:, 0], (2.5, 97.5))
    return float(low), float(high)
