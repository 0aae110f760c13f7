"""Chips: labelled composites to train on, and their statistics."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from lulcmap.dataset import Chip, Dataset, LabelSet, check_sets
from lulcmap.errors import UsageError
from lulcmap.legend import CLASSES, NODATA, LandCover
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_BANDS, S2_NODATA
from lulcmap.training.augment import Sample
from lulcmap.training.deployable import BandStatistics, Normalisation
from lulcmap.training.lulcformer import MULTIPLE, Inputs


class Samples(Protocol):
    """Labelled samples to train or measure on."""

    @property
    def classes(self) -> Sequence[LandCover]:
        """Classes of the labels, in the order of their ids."""

    @property
    def sets(self) -> Sequence[LabelSet]:
        """Sets of classes that labels may give instead of one class, by code from 254 down."""

    @property
    def digest(self) -> str:
        """Hash of the samples: the same for the same samples."""

    def __len__(self) -> int:
        """Number of samples."""

    def sample(self, index: int) -> Sample:
        """One sample; its sides are multiples of 32."""


@dataclass(frozen=True)
class Chips:
    """Labelled composites, in memory or memory-mapped."""

    s2: NDArray[np.uint16]
    """Sentinel-2 (n, 9, H, W), DN, 0 nodata; H and W multiples of 32."""

    s1: NDArray[np.int16]
    """Sentinel-1 (n, 2, H, W), gamma0, hundredths of a decibel, -32768 nodata."""

    label: NDArray[np.uint8]
    """Class ids (n, H, W), codes of sets, 255 where unknown."""

    classes: Sequence[LandCover] = CLASSES
    """Classes of the labels, in the order of their ids."""

    probabilities: NDArray[np.uint8] | None = None
    """Probability of each class (n, K, H, W), percent; 0 in all where the label is certain."""

    weight: NDArray[np.uint8] | None = None
    """How much a pixel counts (n, H, W), percent; None for 100 everywhere."""

    sets: Sequence[LabelSet] = ()
    """Sets of classes that labels may give instead of one class, by code from 254 down."""

    def __post_init__(self) -> None:
        check_sets(self.sets, [cover.name for cover in self.classes])
        planes = (self.s2, self.s1, self.label, self.probabilities, self.weight)
        arrays = [each for each in planes if each is not None]
        shapes = {array.shape[:1] + array.shape[-2:] for array in arrays}
        if len(shapes) != 1 or any(size % MULTIPLE for size in self.label.shape[1:]):
            raise ValueError(
                f"chips of shapes {self.s2.shape}, {self.s1.shape} and {self.label.shape} do not "
                f"match, or their sides are not multiples of {MULTIPLE}"
            )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The chips in ``s2.npy``, ``s1.npy`` and ``label.npy`` of a folder, memory-mapped.

        ``probabilities.npy`` and ``weight.npy`` are read too if they are there.
        """
        planes = {name: folder / f"{name}.npy" for name in ("s2", "s1", "label")}
        soft = {name: folder / f"{name}.npy" for name in ("probabilities", "weight")}
        planes |= {name: path for name, path in soft.items() if path.exists()}
        return cls(**{name: np.load(path, mmap_mode="r") for name, path in planes.items()})

    @property
    def digest(self) -> str:
        """Hash of the labels."""
        total = hashlib.sha256()
        for planes in (self.label, self.probabilities, self.weight):
            if planes is not None:
                total.update(np.ascontiguousarray(planes).tobytes())
        return total.hexdigest()

    def __len__(self) -> int:
        return len(self.label)

    def sample(self, index: int) -> Sample:
        """One chip."""
        soft, weight = self.probabilities, self.weight
        return Sample(
            self.s2[index],
            self.s1[index],
            self.label[index],
            None if soft is None else soft[index],
            None if weight is None else weight[index],
        )


@dataclass(frozen=True)
class ChipFolder:
    """Chips of a dataset on disk, read on demand and cached as far as memory allows.

    A training reads every chip in every epoch, and decoding a chip takes longer than augmenting it.
    """

    dataset: Dataset
    """Dataset, as built by ``lulcmap dataset build``."""

    chips: Sequence[Chip]
    """Chips of the dataset to use."""

    cache_bytes: float = 0.0
    """Largest size of the cache, bytes; 0 caches nothing."""

    _cache: dict[int, Sample] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def classes(self) -> Sequence[LandCover]:
        """Classes of the dataset, in the order of their ids."""
        return self.dataset.classes

    @property
    def sets(self) -> Sequence[LabelSet]:
        """Sets of classes in the dataset, by code from 254 down."""
        return self.dataset.sets

    @property
    def digest(self) -> str:
        """Hash of the dataset's build settings and of the chips' names and class counts."""
        built = json.dumps(self.dataset.settings, sort_keys=True)
        rows = [f"{chip.chip} {list(chip.counts)}" for chip in self.chips]
        rows += [f"{chip.chip} {chip.partial}" for chip in self.chips if chip.partial]
        rows += [str(one) for one in self.sets]
        return hashlib.sha256("\n".join([built, *rows]).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.chips)

    def sample(self, index: int) -> Sample:
        """One chip, padded with nodata to sides that are multiples of 32: 510 px become 512."""
        cached = self._cache.get(index)
        if cached is not None:
            return cached
        sample = pad_sample(self.dataset.read(self.chips[index]))
        # Chips have about the same size; two threads may both find room for the last one.
        if (len(self._cache) + 1) * sample.nbytes <= self.cache_bytes:
            for planes in sample.planes():
                planes.flags.writeable = False
            self._cache[index] = sample
        return sample


def pad_sample(sample: Sample, *, min_size: tuple[int, int] = (0, 0)) -> Sample:
    """A sample padded with nodata at its lower and right edge, to sides that are multiples of 32.

    Args:
        sample: sample of any size.
        min_size: least number of rows and columns.

    """
    sides = [max(pair) for pair in zip(sample.shape, min_size, strict=True)]
    edges = [
        (0, side - size + -side % MULTIPLE) for side, size in zip(sides, sample.shape, strict=True)
    ]
    if not any(after for _, after in edges):
        return sample
    soft, weight = sample.probabilities, sample.weight
    return Sample(
        np.pad(sample.s2, [(0, 0), *edges], constant_values=S2_NODATA),
        np.pad(sample.s1, [(0, 0), *edges], constant_values=S1_NODATA),
        np.pad(sample.label, edges, constant_values=NODATA),
        None if soft is None else np.pad(soft, [(0, 0), *edges]),
        None if weight is None else np.pad(weight, edges),
    )


@dataclass(frozen=True)
class Histograms:
    """Number of pixels of each value, and of each class, in the chips."""

    s2: NDArray[np.int64]
    """Number of valid pixels of each DN, (9, 65536)."""

    s1: NDArray[np.int64]
    """Number of valid pixels of each value, from -32768 up, (2, 65536)."""

    classes: NDArray[np.int64]
    """Number of pixels of each class, (K,)."""


def histograms_of(
    samples: Samples, *, step: int = 4, workers: int = 2, part: slice = slice(None)
) -> Histograms:
    """Count the values of every band and class.

    Args:
        samples: samples to count; each is read once.
        step: use every ``step``-th row and column of the bands.
        workers: number of reader threads.
        part: the samples to use, by their index.

    """
    s2 = np.zeros((len(S2_BANDS), 1 << 16), np.int64)
    s1 = np.zeros((len(S1_BANDS), 1 << 16), np.int64)
    classes = np.zeros(NODATA + 1, np.int64)
    numbers = range(len(samples))[part]
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(numbers), 64):  # not all at once: they would fill the memory
            for sample in pool.map(samples.sample, numbers[start : start + 64]):
                _count_values(s2, sample.s2[:, ::step, ::step], S2_NODATA, lowest=0)
                _count_values(s1, sample.s1[:, ::step, ::step], S1_NODATA, lowest=S1_NODATA)
                classes += np.bincount(sample.label.ravel(), minlength=NODATA + 1)
    return Histograms(s2, s1, classes[: len(samples.classes)])


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


def _band_statistics(counts: NDArray[np.int64], lowest: int, sensor: str) -> BandStatistics:
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


def _percentile(counts: NDArray[np.int64], q: float) -> float:
    """Percentile of values 0, 1, 2, ... with these counts; interpolated linearly, as in numpy."""
    below = np.cumsum(counts)
    position = q / 100 * (below[-1] - 1)
    first, second = np.searchsorted(below, [np.floor(position), np.ceil(position)], side="right")
    return float(first + (second - first) * (position % 1))


def class_weights_of(counts: NDArray[np.int64], *, power: float) -> list[float]:
    """Weight of a pixel of each class: frequency to the power of ``-power``, 1 on average.

    A class without pixels has weight 0.

    Raises:
        UsageError: no class has a pixel.

    """
    if not counts.any():
        raise UsageError("No chip has a labelled pixel. Check the labels: lulcmap dataset check.")
    share = counts / counts.sum()
    weights = np.where(counts > 0, np.maximum(share, 1e-4) ** -power, 0)
    return [float(weight) for weight in weights / (share * weights).sum()]
