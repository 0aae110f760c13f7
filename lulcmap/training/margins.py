"""Margins and gaps of samples: mirrored land, as in the windows of a map, and no label.

A network classifies a pixel by its surroundings, so it must see in training what it will see at
the edge of a map: ``lulcmap.model.mirrored`` says what that is.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NODATA
from lulcmap.model import mirrored
from lulcmap.sensors import S1_NODATA, S2_NODATA
from lulcmap.training.augment import Sample
from lulcmap.training.lulcformer import MULTIPLE, Inputs

_BOTH: Inputs = ("s2", "s1")


def has_data(sample: Sample, inputs: Inputs = _BOTH) -> NDArray[np.bool_]:
    """Where at least one of a network's sensors has data: (H, W)."""
    valid = np.zeros(sample.shape, np.bool_)
    if "s2" in inputs:
        valid |= (sample.s2 != S2_NODATA).all(0)
    if "s1" in inputs:
        valid |= (sample.s1 != S1_NODATA).all(0)
    return valid


def mirror_gaps(sample: Sample, inputs: Inputs = _BOTH) -> Sample:
    """A sample with mirrored land where none of a network's sensors has data, unlabelled there.

    Without any data the sample stays empty, and nothing of it is labelled.
    """
    valid = has_data(sample, inputs)
    if valid.all():
        return sample
    label = np.where(valid, sample.label, NODATA).astype(np.uint8)
    if not valid.any():
        return replace(sample, label=label)
    rows, cols = mirrored(valid)
    return replace(sample, s2=sample.s2[:, rows, cols], s1=sample.s1[:, rows, cols], label=label)


def pad_sample(
    sample: Sample, *, min_size: tuple[int, int] = (0, 0), inputs: Inputs = _BOTH
) -> Sample:
    """A sample with mirrored land at its lower and right edge: its sides are multiples of 32.

    Gaps in it are mirrored too, as by ``mirror_gaps``.

    Args:
        sample: sample of any size.
        min_size: least number of rows and columns.
        inputs: sensors that the network takes.

    """
    sides = [max(pair) for pair in zip(sample.shape, min_size, strict=True)]
    edges = [
        (0, side - size + -side % MULTIPLE) for side, size in zip(sides, sample.shape, strict=True)
    ]
    if any(after for _, after in edges):

        def pad(planes: NDArray[Any] | None, value: int = 0) -> Any:
            if planes is None:
                return None
            fixed = [(0, 0)] * (planes.ndim - 2)
            return np.pad(planes, [*fixed, *edges], constant_values=value)

        sample = Sample(
            pad(sample.s2, S2_NODATA),
            pad(sample.s1, S1_NODATA),
            pad(sample.label, NODATA),
            pad(sample.probabilities),
            pad(sample.weight),
        )
    return mirror_gaps(sample, inputs)
