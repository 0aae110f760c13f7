"""Chips: labelled composites to train on."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from lulcmap.dataset import Chip, Dataset, LabelSet, check_sets
from lulcmap.legend import CLASSES, LandCover
from lulcmap.training.augment import Sample
from lulcmap.training.cache import ChipCache
from lulcmap.training.lulcformer import MULTIPLE
from lulcmap.training.margins import pad_sample


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

    cache: ChipCache = field(default_factory=ChipCache, compare=False)
    """Where chips are kept once they are read; the default keeps none."""

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
        """One chip, padded with mirrored land to sides that are multiples of 32: 510 px become 512.

        The padding has no label; gaps of both sensors are mirrored too.
        """
        chip = self.chips[index]
        return self.cache.get((self._place, chip.chip), lambda: pad_sample(self.dataset.read(chip)))

    @cached_property
    def _place(self) -> Path:
        return self.dataset.folder.resolve()
