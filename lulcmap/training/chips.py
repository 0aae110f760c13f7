"""Chips: labelled composites to learn from, and what is read off them before training."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.legend import CLASSES, NODATA
from lulcmap.sensors import S1_NODATA, S2_NODATA
from lulcmap.training.augment import Sample
from lulcmap.training.deployed import BandStatistics, Normalisation
from lulcmap.training.network import MULTIPLE


@dataclass(frozen=True)
class Chips:
    """Labelled composites, in memory or memory-mapped."""

    s2: NDArray[np.uint16]
    """(n, 9, H, W) DN, 0 nodata; H and W multiples of 32."""

    s1: NDArray[np.int16]
    """(n, 2, H, W) gamma0, hundredths of a decibel, -32768 nodata."""

    label: NDArray[np.uint8]
    """(n, H, W) class ids, 255 where unknown."""

    def __post_init__(self) -> None:
        shapes = {array.shape[:1] + array.shape[-2:] for array in (self.s2, self.s1, self.label)}
        if len(shapes) != 1 or any(size % MULTIPLE for size in self.label.shape[1:]):
            raise ValueError(
                f"chips of shapes {self.s2.shape}, {self.s1.shape} and {self.label.shape} do not "
                f"match, or their sides are no multiples of {MULTIPLE}"
            )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The chips in ``s2.npy``, ``s1.npy`` and ``label.npy`` of a folder, memory-mapped."""
        return cls(*(np.load(folder / f"{n}.npy", mmap_mode="r") for n in ("s2", "s1", "label")))

    def __len__(self) -> int:
        return len(self.label)

    def sample(self, index: int) -> Sample:
        """One chip: (9, H, W), (2, H, W) and (H, W)."""
        return self.s2[index], self.s1[index], self.label[index]


def normalisation_of(chips: Chips, *, step: int = 4) -> Normalisation:
    """The percentiles, mean and standard deviation of every band, over its valid pixels.

    Args:
        chips: to be described.
        step: every ``step``-th row and column is looked at.

    Raises:
        UsageError: a band has no valid pixel.

    """
    return Normalisation(
        s2=_statistics(chips.s2[..., ::step, ::step], S2_NODATA, "Sentinel-2"),
        s1=_statistics(chips.s1[..., ::step, ::step], S1_NODATA, "Sentinel-1"),
    )


def _statistics(values: NDArray[Any], nodata: int, sensor: str) -> BandStatistics:
    valid = (values != nodata).all(1)
    if not valid.any():
        raise UsageError(f"No chip has a {sensor} pixel. Give chips with both sensors.")
    columns = []
    for band in range(values.shape[1]):
        seen = values[:, band][valid].astype(np.float64)
        p01, p99 = np.percentile(seen, (1, 99))
        clipped = seen.clip(p01, p99)
        columns.append((float(p01), float(p99), float(clipped.mean()), float(clipped.std()) or 1.0))
    return BandStatistics(*zip(*columns, strict=True))


def class_weights_of(chips: Chips, *, power: float) -> list[float]:
    """What a pixel of each class counts: frequency to the power of ``-power``, 1 on average.

    A class without a pixel counts 0: nothing is known of it.
    """
    counts = np.bincount(np.asarray(chips.label).ravel(), minlength=NODATA + 1)[: len(CLASSES)]
    if not counts.any():
        raise UsageError("No chip has a labelled pixel. Give chips with class ids 0 to 8.")
    share = counts / counts.sum()
    weights = np.where(counts > 0, np.maximum(share, 1e-4) ** -power, 0)
    return [float(weight) for weight in weights / (share * weights).sum()]
