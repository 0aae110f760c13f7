"""Chips: labelled composites to learn from, and what is read off them before training."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from lulcmap.dataset import Chip, Dataset
from lulcmap.errors import UsageError
from lulcmap.legend import CLASSES, NODATA, LandCover
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_BANDS, S2_NODATA
from lulcmap.training.augment import Sample
from lulcmap.training.deployable import BandStatistics, Normalisation
from lulcmap.training.lulcformer import MULTIPLE, Inputs


class Samples(Protocol):
    """What can be learnt from, or measured on."""

    @property
    def classes(self) -> Sequence[LandCover]:
        """In the order of the ids."""

    @property
    def digest(self) -> str:
        """The same for the same samples."""

    def __len__(self) -> int:
        """How many there are."""

    def sample(self, index: int) -> Sample:
        """One: (9, H, W), (2, H, W) and (H, W); H and W multiples of 32."""


@dataclass(frozen=True)
class Chips:
    """Labelled composites, in memory or memory-mapped."""

    s2: NDArray[np.uint16]
    """(n, 9, H, W) DN, 0 nodata; H and W multiples of 32."""

    s1: NDArray[np.int16]
    """(n, 2, H, W) gamma0, hundredths of a decibel, -32768 nodata."""

    label: NDArray[np.uint8]
    """(n, H, W) class ids, 255 where unknown."""

    classes: Sequence[LandCover] = CLASSES
    """In the order of the ids."""

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

    @property
    def digest(self) -> str:
        """Of the labels."""
        return hashlib.sha256(np.ascontiguousarray(self.label).tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.label)

    def sample(self, index: int) -> Sample:
        """One chip: (9, H, W), (2, H, W) and (H, W)."""
        return self.s2[index], self.s1[index], self.label[index]


@dataclass(frozen=True)
class ChipFolder:
    """Chips of a dataset on disk, read when they are wanted, and kept while there is room.

    A training wants every chip in every epoch, and decoding one takes a core longer than the
    augmentation does.
    """

    dataset: Dataset
    """As ``lulcmap dataset build`` makes it."""

    chips: Sequence[Chip]
    """Those to be learnt from."""

    room: float = 0.0
    """Bytes that chips may be kept in."""

    _kept: dict[int, Sample] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def classes(self) -> Sequence[LandCover]:
        """Of the dataset."""
        return self.dataset.classes

    @property
    def digest(self) -> str:
        """Of what the dataset was built with, and of the chips' names and class counts."""
        built = json.dumps(self.dataset.settings, sort_keys=True)
        rows = [f"{chip.chip} {list(chip.counts)}" for chip in self.chips]
        return hashlib.sha256("\n".join([built, *rows]).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.chips)

    def sample(self, index: int) -> Sample:
        """One chip, filled up with nodata to sides that are multiples of 32: 510 px become 512."""
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        read = pad_sample(self.dataset.read(self.chips[index]))
        # Chips are about as large as each other; two threads may both find room for the last.
        if (len(self._kept) + 1) * sum(array.nbytes for array in read) <= self.room:
            for array in read:
                array.flags.writeable = False
            self._kept[index] = read
        return read


def pad_sample(sample: Sample, *, least: tuple[int, int] = (0, 0)) -> Sample:
    """A sample with nodata at its lower and right edge, so that its sides are multiples of 32.

    Args:
        sample: of any size.
        least: rows and columns it is to have at least.

    """
    s2, s1, label = sample
    sides = [max(pair) for pair in zip(label.shape, least, strict=True)]
    edges = [
        (0, side - size + -side % MULTIPLE) for side, size in zip(sides, label.shape, strict=True)
    ]
    if not any(after for _, after in edges):
        return sample
    return (
        np.pad(s2, [(0, 0), *edges], constant_values=S2_NODATA),
        np.pad(s1, [(0, 0), *edges], constant_values=S1_NODATA),
        np.pad(label, edges, constant_values=NODATA),
    )


@dataclass(frozen=True)
class Histograms:
    """How often every value occurs: all that is asked of the chips before training."""

    s2: NDArray[np.int64]
    """(9, 65536) valid pixels of each DN."""

    s1: NDArray[np.int64]
    """(2, 65536) valid pixels of each value, from -32768 up."""

    classes: NDArray[np.int64]
    """(K,) pixels of each class."""


def histograms_of(
    samples: Samples, *, step: int = 4, workers: int = 2, part: slice = slice(None)
) -> Histograms:
    """Count the values of every band and class.

    Args:
        samples: to be described; each is read once.
        step: of the bands, every ``step``-th row and column is looked at.
        workers: threads that read.
        part: of the samples.

    """
    s2 = np.zeros((len(S2_BANDS), 1 << 16), np.int64)
    s1 = np.zeros((len(S1_BANDS), 1 << 16), np.int64)
    classes = np.zeros(NODATA + 1, np.int64)
    numbers = range(len(samples))[part]
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(numbers), 64):  # not all at once: they would all be in memory
            for optical, radar, label in pool.map(samples.sample, numbers[start : start + 64]):
                _count_values(s2, optical[:, ::step, ::step], S2_NODATA, lowest=0)
                _count_values(s1, radar[:, ::step, ::step], S1_NODATA, lowest=S1_NODATA)
                classes += np.bincount(label.ravel(), minlength=NODATA + 1)
    return Histograms(s2, s1, classes[: len(samples.classes)])


def _count_values(
    counts: NDArray[np.int64], bands: NDArray[Any], nodata: int, *, lowest: int
) -> None:
    valid = (bands != nodata).all(0)
    for band, values in enumerate(bands):
        places = values[valid].astype(np.int64) - lowest
        counts[band] += np.bincount(places, minlength=counts.shape[1])


def normalisation_of(found: Histograms, inputs: Inputs = ("s2", "s1")) -> Normalisation:
    """The percentiles, mean and standard deviation of every band, over its valid pixels.

    Args:
        found: of the training set.
        inputs: sensors the network takes; of the others nothing is said.

    Raises:
        UsageError: one of them has no valid pixel.

    """
    return Normalisation(
        s2=_band_statistics(found.s2, 0, "Sentinel-2") if "s2" in inputs else None,
        s1=_band_statistics(found.s1, S1_NODATA, "Sentinel-1") if "s1" in inputs else None,
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
    """Of values 0, 1, 2, ... that occur this often; between two, as numpy's, in a straight line."""
    below = np.cumsum(counts)
    place = q / 100 * (below[-1] - 1)
    first, second = np.searchsorted(below, [np.floor(place), np.ceil(place)], side="right")
    return float(first + (second - first) * (place % 1))


def class_weights_of(counts: NDArray[np.int64], *, power: float) -> list[float]:
    """What a pixel of each class counts: frequency to the power of ``-power``, 1 on average.

    A class without a pixel counts 0: nothing is known of it.

    Raises:
        UsageError: no class has one.

    """
    if not counts.any():
        raise UsageError("No chip has a labelled pixel. Look at the labels: lulcmap dataset check.")
    share = counts / counts.sum()
    weights = np.where(counts > 0, np.maximum(share, 1e-4) ** -power, 0)
    return [float(weight) for weight in weights / (share * weights).sum()]
