"""What the network sees of labels: its features at their pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from lulcmap.adaptation.labels import Labels
from lulcmap.adaptation.windows import Imagery, LabelledWindow
from lulcmap.errors import UsageError
from lulcmap.model import FeatureNetwork, at_pixels
from lulcmap.system import Steps, no_progress

_NEAR_END_PX = 64
"""Pixels around a label that must have data for it to be seen about as a map sees it: what the
networks learn from."""

_NEAR_END_SHARE = 0.1
"""Share of them that may lack it, which is so 510 m from a straight end. Small holes are in the
map's own composite too."""


@dataclass(frozen=True)
class SeenLabels:
    """Features at the pixels of labels."""

    features: NDArray[np.float64]
    """(P, D) features of each pixel."""

    label: NDArray[np.intp]
    """(P,) number of the label of each pixel, 0 to n - 1, in ascending order."""

    n: int
    """Number of labels, each with one pixel at least."""

    at: NDArray[np.intp]
    """(P, 3) window of each pixel, counted as they were kept, and row and column in it."""

    n_near_end: int = 0
    """Number of labels at the end of a kept composite, where a map sees more land than it holds."""

    def of_labels(self, pixel_values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, K) mean over each label's pixels of (P, K) values."""
        counts = np.bincount(self.label, minlength=self.n)
        sums = np.stack(
            [np.bincount(self.label, column, minlength=self.n) for column in pixel_values.T], axis=1
        )
        return sums / counts[:, None]

    def shared(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """(P,) weight of each pixel: those of a label share its weight, of (n,)."""
        each: NDArray[np.float64] = (weights / np.bincount(self.label, minlength=self.n))[
            self.label
        ]
        return each

    def part(self, chosen: NDArray[np.bool_]) -> "SeenLabels":
        """Some of the labels, numbered anew."""
        numbers = np.cumsum(chosen) - 1
        kept = chosen[self.label]
        return SeenLabels(
            self.features[kept],
            numbers[self.label[kept]],
            int(np.count_nonzero(chosen)),
            self.at[kept],
        )


def see_labels(
    network: FeatureNetwork,
    labels: Labels,
    imagery: Sequence[Imagery],
    *,
    keep: Callable[[LabelledWindow], None] | None = None,
    progress: Steps = no_progress,
) -> tuple[SeenLabels, NDArray[np.intp]]:
    """Read the features of labels, each in the first imagery with data at all its pixels.

    Args:
        network: the network.
        labels: the labels.
        imagery: where they may be seen.
        keep: called with each window that is used, in the order that ``SeenLabels.at`` counts.
        progress: called with the number of windows done, and of all windows.

    Returns:
        The labels that are seen; and (n,) their numbers in ``labels``.

    Raises:
        UsageError: none of the imagery shows any label.

    """
    wanted = np.arange(len(labels), dtype=np.intp)
    found: list[_Seen] = []
    near_end: set[int] = set()
    n_kept = 0
    for one in imagery:
        n_windows, windows = one.windows(labels, wanted, network.contract)
        missed: set[int] = set()
        near_here: set[int] = set()
        shown: list[_Seen] = []
        for done, window in enumerate(windows, 1):
            usable = network.usable(window.s2, window.s1)
            has_data = usable[window.rows, window.cols]
            missed |= set(window.label[~has_data].tolist())
            if window.ends_with_area:
                near = _near_end(usable)[window.rows, window.cols]
                near_here |= set(window.label[near].tolist())
            if has_data.any():
                cells = network.features(window.s2, window.s1, sun=window.sun)
                stride = network.contract.stride
                values = at_pixels(cells, window.rows, window.cols, stride=stride)
                number = np.full(len(window.rows), n_kept)
                at = np.stack([number, window.rows, window.cols], axis=1)
                shown.append((window.label, values, at))
                n_kept += 1
                if keep is not None:
                    keep(window)
            progress(done, n_windows)
        near_end |= near_here - missed
        for part in shown:
            whole = ~np.isin(part[0], list(missed))
            found.append((part[0][whole], part[1][whole], part[2][whole]))
        seen = np.concatenate([part[0] for part in found]) if found else wanted[:0]
        wanted = np.setdiff1d(wanted, seen)
    seen = np.concatenate([part[0] for part in found]) if found else wanted[:0]
    if not seen.size:
        places = " and ".join(one.describe() for one in imagery)
        raise UsageError(
            f"No label of {labels.path} lies where {places} has data. Check where the labels lie, "
            "and the area, the period or the composite."
        )
    order = np.argsort(seen, kind="stable")
    kept, numbers = np.unique(seen[order], return_inverse=True)
    features, at = (np.concatenate([part[i] for part in found])[order] for i in (1, 2))
    n_near_end = len(near_end.intersection(kept.tolist()))
    return SeenLabels(features, numbers.ravel().astype(np.intp), len(kept), at, n_near_end), kept


def _near_end(usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H, W) True where much of the land around a pixel has no data."""
    missing = uniform_filter((~usable).astype(np.float32), 2 * _NEAR_END_PX + 1, mode="nearest")
    return missing > _NEAR_END_SHARE


_Seen = tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.intp]]
"""Labels, features and places of the pixels of one window."""
