"""Count a model's classes against the labels of a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lulcmap.dataset import Chip, Dataset, merge_votes
from lulcmap.errors import UsageError
from lulcmap.evaluation.counts import Counts
from lulcmap.evaluation.onnx_predictor import Predictor
from lulcmap.legend import NODATA
from lulcmap.model import ModelInput
from lulcmap.system import Steps, no_progress

_SENSOR_NAMES = {"s2": "Sentinel-2", "s1": "Sentinel-1"}


class ModelDescription(Protocol):
    """Classes and inputs of a model."""

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, in the order of the model's outputs."""

    @property
    def inputs(self) -> Any:
        """``ModelInput`` by name: ``"s2"``, ``"s1"`` or both."""


@dataclass(frozen=True)
class ChipCounts:
    """Counts of a model on a dataset."""

    by_sensors: dict[str, Counts]
    """Counts by the sensors used: first all that the model takes, then with each one removed."""

    voted: int
    """Chips whose label is merged from several annotators' votes; the others have one annotator."""

    chips: int
    """Chips in all."""

    notes: tuple[str, ...]
    """What was not measured, in sentences."""


def count_chips(
    dataset: Dataset,
    chips: Sequence[Chip],
    predict: Predictor,
    description: ModelDescription,
    *,
    scheme: str,
    progress: Steps = no_progress,
) -> ChipCounts:
    """Classify the chips of a dataset and count the result, also with a sensor removed.

    Args:
        dataset: dataset of the chips.
        chips: chips to classify.
        predict: the model.
        description: its classes and inputs.
        scheme: scheme that merges votes, one of ``lulcmap.dataset.votes.SCHEMES``.
        progress: called with the number of chips done, and of all chips.

    Raises:
        UsageError: the model has classes that the dataset lacks, or a chip cannot be read.

    """
    ids = _id_table(description.classes, dataset.names)
    cases, notes = _cases(description.inputs)
    by_sensors = {name: Counts(len(dataset.names)) for name in cases}
    voted = 0
    for done, chip in enumerate(chips, 1):
        seen = dataset.read(chip)
        s2, s1 = seen.s2, seen.s1
        # a set of classes has no row in the matrix
        truth = np.where(seen.label < len(dataset.names), seen.label, NODATA).astype(np.uint8)
        votes = dataset.votes(chip)
        if votes is not None:
            truth = merge_votes(votes, scheme)
            voted += 1
        for name, without in cases.items():
            nodata = description.inputs[without].nodata if without else 0
            classes, confidence = predict(
                np.full_like(s2, nodata) if without == "s2" else s2,
                np.full_like(s1, nodata) if without == "s1" else s1,
            )
            by_sensors[name].add(
                chip.place, truth, ids[classes], at=(chip.lon, chip.lat), confidence=confidence
            )
        progress(done, len(chips))
    return ChipCounts(by_sensors, voted, len(chips), tuple(notes))


def _id_table(classes: Sequence[str], names: Sequence[str]) -> NDArray[np.uint8]:
    """(256,) dataset's id by position in the model's legend; 255 stays."""
    unknown = [name for name in classes if name not in names]
    if unknown:
        raise UsageError(
            f"The model has the classes {', '.join(unknown)}, which the dataset's legend lacks "
            f"({', '.join(names)}). Evaluate it on a dataset with the model's legend."
        )
    table = np.full(256, NODATA, np.uint8)
    table[: len(classes)] = [names.index(name) for name in classes]
    return table


def _cases(inputs: dict[str, ModelInput]) -> tuple[dict[str, str | None], list[str]]:
    """Sensors used, each case with the sensor that is removed; and notes on impossible cases."""
    every = " and ".join(_SENSOR_NAMES[name] for name in ("s2", "s1") if name in inputs)
    cases: dict[str, str | None] = {every: None}
    notes = []
    if len(inputs) > 1:
        for kept, without in (("s2", "s1"), ("s1", "s2")):
            if inputs[without].optional:
                cases[f"{_SENSOR_NAMES[kept]} only"] = without
            else:
                notes.append(
                    f"{_SENSOR_NAMES[kept]} alone is not measured: the model needs "
                    f"{_SENSOR_NAMES[without]}."
                )
    return cases, notes
