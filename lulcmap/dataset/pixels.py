"""What a chip holds: both sensors' pixels and their label, hard, soft or a set of classes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NODATA
from lulcmap.sensors import S1_BANDS, S2_BANDS


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """The pixels of a chip, or of a part of it.

    A pixel whose ``label`` is 255 is unknown. One whose label is the code of a ``LabelSet`` is
    known to be one of the set's classes. For any other, ``probabilities`` say how likely each class
    is; where they are all 0, or there are none, the label is certain.
    """

    s2: NDArray[np.uint16]
    """(9, H, W) Sentinel-2 DN without offset, 0 nodata."""

    s1: NDArray[np.int16]
    """(2, H, W) Sentinel-1 gamma0, hundredths of a decibel, -32768 nodata."""

    label: NDArray[np.uint8]
    """(H, W) class ids, the most probable class of soft labels; codes of sets; 255 unknown."""

    probabilities: NDArray[np.uint8] | None = None
    """(K, H, W) probability of each class, percent; None if every label is certain."""

    weight: NDArray[np.uint8] | None = None
    """(H, W) how much a pixel counts in training, percent; None for 100 everywhere."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, cols = self.label.shape
        return rows, cols

    @property
    def nbytes(self) -> int:
        """Size of all planes, bytes."""
        return sum(planes.nbytes for planes in self.planes())

    def planes(self) -> Iterator[NDArray[Any]]:
        """The arrays there are, in the order of the fields."""
        for planes in (self.s2, self.s1, self.label, self.probabilities, self.weight):
            if planes is not None:
                yield planes

    def each(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Self:
        """The same change of every array: one that works on the last two axes, as a crop does."""
        soft, weight = self.probabilities, self.weight
        return type(self)(
            change(self.s2),
            change(self.s1),
            change(self.label),
            None if soft is None else change(soft),
            None if weight is None else change(weight),
        )

    def check(self, n_classes: int, codes: frozenset[int] = frozenset()) -> None:
        """Check shapes, data types, and what the label holds.

        Args:
            n_classes: number of classes, K.
            codes: codes of the label sets.

        Raises:
            ValueError: something does not fit; the text says what.

        """
        expected: dict[str, tuple[tuple[int, ...], type]] = {
            "s2": ((len(S2_BANDS), *self.shape), np.uint16),
            "s1": ((len(S1_BANDS), *self.shape), np.int16),
            "label": (self.shape, np.uint8),
            "probabilities": ((n_classes, *self.shape), np.uint8),
            "weight": (self.shape, np.uint8),
        }
        for name, (shape, dtype) in expected.items():
            planes = getattr(self, name)
            if planes is not None and (planes.shape != shape or planes.dtype != dtype):
                raise ValueError(
                    f"{name} is {planes.dtype} {planes.shape}; expected {np.dtype(dtype)} {shape}"
                )
        faults = {
            "label": label_faults(self.label, n_classes, codes),
            "probabilities": soft_faults(self.label, self.probabilities, n_classes),
            "weight": weight_faults(self.weight),
        }
        for name, found in faults.items():
            for fault in found:
                raise ValueError(f"{name} {fault}")


SUM_TOLERANCE = 5
"""Most that the probabilities of a pixel may differ from 100 in sum, percent: nine rounded values
differ by 4.5 at most."""


def label_faults(
    label: NDArray[np.uint8], n_classes: int, codes: frozenset[int] = frozenset()
) -> Iterator[str]:
    """What is wrong with a label: ids that are neither a class, nor a set, nor unknown."""
    known = {*range(n_classes), *codes, NODATA}
    unknown = sorted(set(np.unique(label).tolist()) - known)
    if unknown:
        sets = f", sets {', '.join(map(str, sorted(codes)))}" if codes else ""
        yield f"holds id {unknown[0]}; the legend has 0 to {n_classes - 1}{sets}"


def soft_faults(
    label: NDArray[np.uint8], probabilities: NDArray[np.uint8] | None, n_classes: int
) -> Iterator[str]:
    """What is wrong with probabilities: sums, and a label that is not the most probable class."""
    if probabilities is None:
        return
    sums = probabilities.sum(0, dtype=np.int64)
    far = (sums != 0) & (np.abs(sums - 100) > max(SUM_TOLERANCE, n_classes / 2))
    if far.any():
        yield f"has a pixel with a sum of {sums[far][0]} percent; expected 100, or 0 for none"
    soft = (sums > 0) & (label < n_classes)
    own = np.take_along_axis(probabilities, np.where(soft, label, 0)[None].astype(np.intp), 0)[0]
    other = soft & (own < probabilities.max(0))
    if other.any():
        yield f"has {np.count_nonzero(other)} pixels whose most probable class is not their label"


def weight_faults(weight: NDArray[np.uint8] | None) -> Iterator[str]:
    """What is wrong with weights: more than 100 percent."""
    if weight is not None and weight.size and weight.max() > 100:
        yield f"holds {weight.max()}; expected 0 to 100 percent"
