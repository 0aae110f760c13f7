"""Count a model's classes against the labels of a dataset."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lulcmap.dataset import Chip, Dataset, merge_votes
from lulcmap.errors import UsageError
from lulcmap.evaluation.counts import Counts
from lulcmap.evaluation.onnx_predictor import Predictor
from lulcmap.geo import overpass_time, solar_zenith
from lulcmap.legend import NODATA
from lulcmap.model import SUN_ZENITH, ModelInput
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

    @property
    def scalars(self) -> Collection[str]:
        """Numbers that it takes too: ``"sun_zenith"`` or none."""


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
        UsageError: the model has classes that the dataset lacks, or a chip cannot be read, or has
            no date that the sun's zenith can be computed from.

    """
    ids = _id_table(description.classes, dataset.names)
    cases, notes = _cases(description.inputs)
    by_sensors = {name: Counts(len(dataset.names)) for name in cases}
    voted = 0
    for done, chip in enumerate(chips, 1):
        s2, s1, truth = dataset.read(chip)
        votes = dataset.votes(chip)
        if votes is not None:
            truth = merge_votes(votes, scheme)
            voted += 1
        sun = [_sun_zenith(chip)] if SUN_ZENITH in description.scalars else []
        for name, without in cases.items():
            nodata = description.inputs[without].nodata if without else 0
            classes, confidence = predict(
                np.full_like(s2, nodata) if without == "s2" else s2,
                np.full_like(s1, nodata) if without == "s1" else s1,
                *sun,
            )
            by_sensors[name].add(
                chip.place, truth, ids[classes], at=(chip.lon, chip.lat), confidence=confidence
            )
        progress(done, len(chips))
    return ChipCounts(by_sensors, voted, len(chips), tuple(notes))


def _sun_zenith(chip: Chip) -> float:
    """The sun's zenith over a chip at Sentinel-2's overpass on its day, degrees, 0 to 90."""
    try:
        day = datetime.fromisoformat(chip.date).date()
    except ValueError:
        raise UsageError(
            f"Chip {chip.chip} has the date {chip.date!r}, and the model takes the sun's zenith, "
            "which is computed from an ISO 8601 date. Build the dataset again."
        ) from None
    passed = overpass_time(day, chip.lon, chip.lat)
    return min(float(solar_zenith(passed, chip.lon, chip.lat)), 90.0)


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
