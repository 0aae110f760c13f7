"""A model against the labels of a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lulcmap.dataset import Chip, Dataset, vote
from lulcmap.errors import UsageError
from lulcmap.evaluation.counts import Tally
from lulcmap.evaluation.onnx_predictor import Predict
from lulcmap.legend import NODATA
from lulcmap.model import ModelInput
from lulcmap.system import Steps, no_progress

_NAMES = {"s2": "Sentinel-2", "s1": "Sentinel-1"}


class Described(Protocol):
    """What has to be known of a model."""

    @property
    def classes(self) -> Sequence[str]:
        """Names, in the order of what it gives."""

    @property
    def inputs(self) -> Any:
        """``ModelInput`` by name: ``"s2"``, ``"s1"`` or both."""


@dataclass(frozen=True)
class Measured:
    """What was counted on a dataset."""

    tallies: dict[str, Tally]
    """By the sensors used: first those the model wants, then with each one taken away."""

    voted: int
    """Chips whose label is from several annotators' votes; the others have one."""

    chips: int
    """In all."""

    notes: tuple[str, ...]
    """What was not measured, in sentences."""


def measure(
    dataset: Dataset,
    chips: Sequence[Chip],
    predict: Predict,
    described: Described,
    *,
    scheme: str,
    progress: Steps = no_progress,
) -> Measured:
    """Count what a model says of the chips of a dataset, also with a sensor taken away.

    Args:
        dataset: that holds the chips.
        chips: to be classified.
        predict: the model.
        described: its classes and inputs.
        scheme: of the votes, one of ``lulcmap.votes.SCHEMES``.
        progress: told how many chips of how many are done.

    Raises:
        UsageError: the model has classes the dataset does not have, or a chip cannot be read.

    """
    ids = _ids(described.classes, dataset.names)
    cases, notes = _cases(described.inputs)
    tallies = {name: Tally(len(dataset.names)) for name in cases}
    voted = 0
    for done, chip in enumerate(chips, 1):
        s2, s1, truth = dataset.read(chip)
        votes = dataset.votes(chip)
        if votes is not None:
            truth = vote(votes, scheme)
            voted += 1
        for name, without in cases.items():
            nodata = described.inputs[without].nodata if without else 0
            classes, confidence = predict(
                np.full_like(s2, nodata) if without == "s2" else s2,
                np.full_like(s1, nodata) if without == "s1" else s1,
            )
            tallies[name].add(
                chip.place, truth, ids[classes], at=(chip.lon, chip.lat), confidence=confidence
            )
        progress(done, len(chips))
    return Measured(tallies, voted, len(chips), tuple(notes))


def _ids(classes: Sequence[str], names: Sequence[str]) -> NDArray[np.uint8]:
    """(256,) from the places in the model's legend to the dataset's ids; 255 stays."""
    unknown = [name for name in classes if name not in names]
    if unknown:
        raise UsageError(
            f"The model gives {', '.join(unknown)}, which the dataset's legend does not have "
            f"({', '.join(names)}). Evaluate it on a dataset with its own legend."
        )
    table = np.full(256, NODATA, np.uint8)
    table[: len(classes)] = [names.index(name) for name in classes]
    return table


def _cases(inputs: dict[str, ModelInput]) -> tuple[dict[str, str | None], list[str]]:
    """Which sensors are used, each with the one that is taken away; and what cannot be."""
    every = " and ".join(_NAMES[name] for name in ("s2", "s1") if name in inputs)
    cases: dict[str, str | None] = {every: None}
    notes = []
    if len(inputs) > 1:
        for kept, without in (("s2", "s1"), ("s1", "s2")):
            if inputs[without].optional:
                cases[f"{_NAMES[kept]} only"] = without
            else:
                notes.append(
                    f"{_NAMES[kept]} alone is not measured: the model needs {_NAMES[without]}."
                )
    return cases, notes
