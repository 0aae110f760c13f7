"""How often the values of each band and each class occur in chips, and what follows from it."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.legend import NODATA
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_BANDS, S2_NODATA
from lulcmap.training.augment import Sample
from lulcmap.training.chips import Samples
from lulcmap.training.deployable import BandStatistics, Normalisation
from lulcmap.training.lulcformer import Inputs
from lulcmap.training.mix import MixedSamples


@dataclass(frozen=True)
class Histograms:
    """Number of pixels of each value, and of each class, that an epoch draws."""

    s2: NDArray[np.float64]
    """Number of valid pixels of each DN, (9, 65536)."""

    s1: NDArray[np.float64]
    """Number of valid pixels of each value, from -32768 up, (2, 65536)."""

    classes: NDArray[np.float64]
    """Number of pixels of each class, (K,): a soft label counts for each class by its probability,
    a pixel by its weight, and a set of classes for none."""

    def __add__(self, other: Self) -> Self:
        """The histograms of both together."""
        return type(self)(self.s2 + other.s2, self.s1 + other.s1, self.classes + other.classes)

    def times(self, rate: float) -> Self:
        """The histograms of samples that are drawn ``rate`` times each."""
        return type(self)(rate * self.s2, rate * self.s1, rate * self.classes)


def histograms_of(
    samples: Samples, *, step: int = 4, workers: int = 2, part: slice = slice(None)
) -> Histograms:
    """Count the values of every band and class.

    Args:
        samples: samples to count; each is read once, and those of a mixture count as often as an
            epoch draws them.
        step: use every ``step``-th row and column of the bands.
        workers: number of reader threads.
        part: the samples to use, by their index; of a mixture, by their index in each source.

    """
    if isinstance(samples, MixedSamples):
        whole, *others = (
            histograms_of(source, step=step, workers=workers, part=part).times(rate)
            for source, rate in zip(samples.sources, samples.rates(), strict=True)
        )
        return sum(others, whole)
    s2 = np.zeros((len(S2_BANDS), 1 << 16), np.int64)
    s1 = np.zeros((len(S1_BANDS), 1 << 16), np.int64)
    classes = np.zeros(len(samples.classes))
    numbers = range(len(samples))[part]
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(numbers), 64):  # not all at once: they would fill the memory
            for sample in pool.map(samples.sample, numbers[start : start + 64]):
                _count_values(s2, sample.s2[:, ::step, ::step], S2_NODATA, lowest=0)
                _count_values(s1, sample.s1[:, ::step, ::step], S1_NODATA, lowest=S1_NODATA)
                classes += count_classes(sample, len(classes))
    return Histograms(s2.astype(np.float64), s1.astype(np.float64), classes)


def count_classes(sample: Sample, n_classes: int) -> NDArray[np.float64]:
    """Pixels of each class (K,): soft labels by their probabilities, pixels by their weights."""
    label = sample.label.ravel()
    shares = None if sample.weight is None else sample.weight.ravel() / 100
    if sample.probabilities is None:
        return np.bincount(label, shares, NODATA + 1)[:n_classes].astype(np.float64)
    q = sample.probabilities.reshape(n_classes, -1).astype(np.float64)
    sums = q.sum(0)
    is_soft = (sums > 0) & (label < n_classes)
    if shares is None:
        shares = np.ones(len(label))
    soft = q[:, is_soft] @ (shares[is_soft] / sums[is_soft])
    return np.bincount(label[~is_soft], shares[~is_soft], NODATA + 1)[:n_classes] + soft


def _count_values(
    counts: NDArray[np.int64], bands: NDArray[Any], nodata: int, *, lowest: int
) -> None:
    valid = (bands != nodata).all(0)
    for band, values in enumerate(bands):
        indices = values[valid].astype(np.int64) - lowest
        counts[band] += np.bincount(indices, minlength=counts.shape[1])


def normalisation_of(histograms: Histograms, inputs: Inputs = ("s2", "s1")) -> Normalisation:
    """Percentiles, mean and standard deviation of every band, over its valid pixels.

    Args:
        histograms: histograms of the training set.
        inputs: sensors the network takes; the others get no statistics.

    Raises:
        UsageError: one of the sensors has no valid pixel.

    """
    return Normalisation(
        s2=_band_statistics(histograms.s2, 0, "Sentinel-2") if "s2" in inputs else None,
        s1=_band_statistics(histograms.s1, S1_NODATA, "Sentinel-1") if "s1" in inputs else None,
    )


def _band_statistics(counts: NDArray[np.float64], lowest: int, sensor: str) -> BandStatistics:
    if not counts[0].any():
        raise UsageError(f"No chip has a {sensor} pixel. Give chips with both sensors.")
    values = np.arange(counts.shape[1], dtype=np.float64) + lowest
    columns = []
    for band in counts:
        p01, p99 = _percentile(band, 1) + lowest, _percentile(band, 99) + lowest
        clipped = values.clip(p01, p99)
        mean = np.average(clipped, weights=band)
        std = np.sqrt(np.average((clipped - mean) ** 2, weights=band))
        columns.append((float(p01), float(p99), float(mean), float(std) or 1.0))
    return BandStatistics(*zip(*columns, strict=True))


def _percentile(counts: NDArray[np.float64], q: float) -> float:
    """Percentile of values 0, 1, 2, ... with these counts; interpolated linearly, as in numpy."""
    below = np.cumsum(counts)
    position = q / 100 * max(below[-1] - 1, 0)
    ranks = [np.floor(position), np.ceil(position)]
    first, second = np.searchsorted(below, ranks, side="right")
    return float(first + (second - first) * (position % 1))


def class_weights_of(counts: Sequence[float] | NDArray[Any], *, power: float) -> list[float]:
    """Weight of a pixel of each class: frequency to the power of ``-power``, 1 on average.

    A class without pixels has weight 0.

    Raises:
        UsageError: no class has a pixel.

    """
    counts = np.asarray(counts)
    if not counts.any():
        raise UsageError("No chip has a labelled pixel. Check the labels: lulcmap dataset check.")
    share = counts / counts.sum()
    weights = np.where(counts > 0, np.maximum(share, 1e-4) ** -power, 0)
    return [float(weight) for weight in weights / (share * weights).sum()]
