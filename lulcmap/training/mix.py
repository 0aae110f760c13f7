"""Several datasets as one: how much of an epoch each gives."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lulcmap.dataset import LabelSet
from lulcmap.errors import UsageError
from lulcmap.legend import NODATA, LandCover
from lulcmap.training.augment import Sample
from lulcmap.training.chips import Samples


@dataclass(frozen=True)
class MixedSamples:
    """Samples of several sources with the same classes, each a share of every epoch.

    An epoch draws as many samples as there are. A source whose share is larger than its part of
    them is drawn several times, each time with another crop; of one whose share is smaller, every
    epoch draws others.

    Raises:
        UsageError: the classes differ, a source is empty, or a share is not a number above 0.

    """

    sources: Sequence[Samples]
    """Samples to mix."""

    shares: Sequence[float] | None = None
    """Share of each source in the draws, in any unit: 2 and 1 are two thirds and a third. None
    draws every sample once an epoch."""

    names: Sequence[str] = ()
    """What messages call the sources."""

    def __post_init__(self) -> None:
        names = self.names or [f"source {number}" for number in range(1, len(self.sources) + 1)]
        if not self.sources:
            raise UsageError("No samples to mix. Give at least one dataset.")
        check_legends(names, [source.classes for source in self.sources])
        for name, source in zip(names, self.sources, strict=True):
            if not len(source):
                raise UsageError(f"{name} has no chips to train on. Leave it out.")
        for name, share in zip(names, self.shares or [1.0] * len(names), strict=True):
            if not (math.isfinite(share) and share > 0):
                raise UsageError(f"The share of {name} is {share}. Give a number above 0.")
        if len(self.sets) > NODATA - len(self.classes):
            raise UsageError(f"{', '.join(names)} have {len(self.sets)} label sets. Give fewer.")

    @property
    def classes(self) -> Sequence[LandCover]:
        """Classes of the labels, in the order of their ids."""
        return self.sources[0].classes

    @cached_property
    def sets(self) -> tuple[LabelSet, ...]:
        """The label sets of all sources; those of the same classes are one."""
        names: dict[frozenset[str], LabelSet] = {}
        for source in self.sources:
            for one in source.sets:
                code = NODATA - 1 - len(names)
                names.setdefault(frozenset(one.classes), LabelSet(code, one.name, one.classes))
        return tuple(names.values())

    @property
    def digest(self) -> str:
        """Hash of the sources and their shares."""
        shares = "" if self.shares is None else str([float(share) for share in self.shares])
        parts = [*(source.digest for source in self.sources), shares]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def __len__(self) -> int:
        """Number of samples, and of the draws of an epoch."""
        return self._starts[-1]

    def sample(self, index: int) -> Sample:
        """One sample; its label has the codes of this mixture's sets."""
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        sample = self.sources[number].sample(index - self._starts[number])
        codes = self._codes[number]
        if codes is None:
            return sample
        return Sample(
            sample.s2, sample.s1, codes[sample.label], sample.probabilities, sample.weight
        )

    def counts(self) -> list[int]:
        """Number of draws from each source in an epoch; at least one."""
        sizes = np.array([len(source) for source in self.sources])
        if self.shares is None:
            return [int(size) for size in sizes]
        exact = len(self) * np.array(self.shares, np.float64) / math.fsum(self.shares)
        counts = np.maximum(np.floor(exact), 1).astype(np.int64)
        missing = max(len(self) - int(counts.sum()), 0)
        counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
        return [int(count) for count in counts]

    def rates(self) -> list[float]:
        """How often an epoch draws each sample of a source, on average."""
        return [
            count / len(source) for count, source in zip(self.counts(), self.sources, strict=True)
        ]

    def draws(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """The samples of an epoch by their index, in random order; some several times."""
        drawn = []
        for start, source, count in zip(self._starts, self.sources, self.counts(), strict=False):
            times, rest = divmod(count, len(source))
            drawn += [np.arange(len(source)) + start] * times
            drawn.append(rng.permutation(len(source))[:rest] + start)
        return rng.permutation(np.concatenate(drawn))

    @cached_property
    def _starts(self) -> list[int]:
        """Index of each source's first sample, and at the end the number of all."""
        return np.cumsum([0, *(len(source) for source in self.sources)]).tolist()

    @cached_property
    def _codes(self) -> list[NDArray[np.uint8] | None]:
        """Each source's table from its label values to this mixture's; None if nothing changes."""
        code_of = {frozenset(one.classes): one.code for one in self.sets}
        tables: list[NDArray[np.uint8] | None] = []
        for source in self.sources:
            table = np.arange(NODATA + 1, dtype=np.uint8)
            for one in source.sets:
                table[one.code] = code_of[frozenset(one.classes)]
            tables.append(None if (table == np.arange(NODATA + 1)).all() else table)
        return tables


def check_legends(names: Sequence[str], legends: Sequence[Sequence[LandCover]]) -> None:
    """Check that datasets have the same classes.

    Args:
        names: names of the datasets, for the message.
        legends: their classes, in the order of their ids.

    Raises:
        UsageError: the names of their classes, or their order, differ.

    """
    first, *others = ([cover.name for cover in legend] for legend in legends)
    for name, classes in zip(names[1:], others, strict=True):
        if classes != first:
            raise UsageError(
                f"{names[0]} has the classes {', '.join(first)}, but {name} has "
                f"{', '.join(classes)}. Give datasets with the same legend."
            )


def epoch_draws(samples: Samples, rng: np.random.Generator) -> list[int]:
    """The samples of an epoch by their index, in random order."""
    if isinstance(samples, MixedSamples) and samples.shares is not None:
        return [int(index) for index in samples.draws(rng)]
    return [int(index) for index in rng.permutation(len(samples))]
