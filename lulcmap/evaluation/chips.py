"""Count a model's classes against the labels of a dataset."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lulcmap.dataset import Chip, Dataset, Pixels, merge_votes
from lulcmap.errors import UsageError
from lulcmap.evaluation.counts import Counts
from lulcmap.evaluation.onnx_predictor import Prediction, Predictor
from lulcmap.evaluation.sets import SetCounts
from lulcmap.evaluation.temperature import LogitSample, TemperatureFit, positions
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

    @property
    def temperature(self) -> float:
        """Divisor of the logits before the softmax."""


@dataclass(frozen=True)
class ChipCounts:
    """Counts of a model on a dataset."""

    by_sensors: dict[str, Counts]
    """Counts by the sensors used: first all that the model takes, then with each one removed."""

    sets: SetCounts
    """Counts of the pixels whose label is a set of classes, with all sensors."""

    temperature: TemperatureFit | None
    """Best temperature, with all sensors; None if the model gives no logits."""

    voted: int
    """Chips whose label is merged from several annotators' votes; the others have one annotator."""

    chips: int
    """Chips in all."""

    notes: tuple[str, ...]
    """What was not measured, in sentences."""


@dataclass(frozen=True, slots=True)
class ChipTruth:
    """The label of a chip, as it is judged by."""

    ids: NDArray[np.uint8]
    """(H, W) class ids; 255 where the class is unknown or a set."""

    codes: NDArray[np.uint8]
    """(H, W) codes of label sets; 255 elsewhere."""

    voted: bool
    """Whether it was merged from several annotators' votes."""

    soft: bool
    """Whether some of its pixels are labelled with probabilities, of which the highest counts."""


def chip_truth(dataset: Dataset, chip: Chip, seen: Pixels, *, scheme: str) -> ChipTruth:
    """The label of a chip: a pixel of weight 0 has none, any other weight counts as whole.

    Args:
        dataset: dataset of the chip.
        chip: the chip.
        seen: its pixels.
        scheme: scheme that merges votes, one of ``lulcmap.dataset.votes.SCHEMES``.

    """
    votes = dataset.votes(chip)
    label = seen.label if votes is None else merge_votes(votes, scheme)
    if seen.weight is not None:
        label = np.where(seen.weight > 0, label, NODATA)
    is_class = label < len(dataset.names)
    return ChipTruth(
        np.where(is_class, label, NODATA).astype(np.uint8),
        np.where(is_class, NODATA, label).astype(np.uint8),
        votes is not None,
        seen.probabilities is not None and bool((seen.probabilities.any(0) & is_class).any()),
    )


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
    ids = id_table(description.classes, dataset.names)
    cases, notes = _cases(description.inputs)
    by_sensors = {name: Counts(len(dataset.names)) for name in cases}
    sets, sample = SetCounts(dataset.sets, dataset.names), LogitSample(len(chips))
    place = positions(description.classes, dataset.names)
    voted = soft = 0
    for done, chip in enumerate(chips, 1):
        seen = dataset.read(chip)
        truth = chip_truth(dataset, chip, seen, scheme=scheme)
        voted, soft = voted + truth.voted, soft + truth.soft
        sun = chip_sun(chip, description)
        for name, without in cases.items():
            nodata = description.inputs[without].nodata if without else 0
            made = predict(
                np.full_like(seen.s2, nodata) if without == "s2" else seen.s2,
                np.full_like(seen.s1, nodata) if without == "s1" else seen.s1,
                None if without else sample.choose(truth.ids != NODATA, seed=done),
                sun,
            )
            given = ids[made.classes]
            by_sensors[name].add(
                chip.place,
                truth.ids,
                given,
                at=(chip.lon, chip.lat),
                confidence=made.confidence,
            )
            if without is None:
                sets.add(chip.place, truth.codes, given)
                _take_logits(sample, chip.place, made, truth.ids, place, seed=done)
        progress(done, len(chips))
    if soft:
        notes.append(
            f"{soft} of {len(chips)} chips have soft labels; their most probable class counts as "
            "the true one."
        )
    fit = sample.fit(description.temperature)
    return ChipCounts(by_sensors, sets, fit, voted, len(chips), tuple(notes))


def chip_sun(chip: Chip, description: ModelDescription) -> float | None:
    """The sun's zenith over a chip at Sentinel-2's overpass on its day, degrees, 0 to 90.

    None for a model that does not take it.
    """
    if SUN_ZENITH not in description.scalars:
        return None
    try:
        day = datetime.fromisoformat(chip.date).date()
    except ValueError:
        raise UsageError(
            f"Chip {chip.chip} has the date {chip.date!r}, and the model takes the sun's zenith, "
            "which is computed from an ISO 8601 date. Build the dataset again."
        ) from None
    passed = overpass_time(day, chip.lon, chip.lat)
    return min(float(solar_zenith(passed, chip.lon, chip.lat)), 90.0)


def measure_temperature(
    dataset: Dataset,
    chips: Sequence[Chip],
    predict: Predictor,
    description: ModelDescription,
    *,
    scheme: str = "consensus",
    progress: Steps = no_progress,
) -> TemperatureFit:
    """Fit the temperature of a model on a dataset, with all its sensors.

    Args:
        dataset: dataset of the chips.
        chips: chips to classify.
        predict: the model.
        description: its classes and inputs.
        scheme: scheme that merges votes.
        progress: called with the number of chips done, and of all chips.

    Raises:
        UsageError: no pixel has a label that the model knows, or a chip cannot be read.

    """
    sample, place = LogitSample(len(chips)), positions(description.classes, dataset.names)
    for done, chip in enumerate(chips, 1):
        seen = dataset.read(chip)
        truth = chip_truth(dataset, chip, seen, scheme=scheme).ids
        chosen = sample.choose(truth != NODATA, seed=done)
        made = predict(seen.s2, seen.s1, chosen, chip_sun(chip, description))
        _take_logits(sample, chip.place, made, truth, place, seed=done)
        progress(done, len(chips))
    fit = sample.fit(description.temperature)
    if fit is None:
        raise UsageError(
            f"No pixel of these chips of {dataset.folder} has a label that the model knows, so no "
            "temperature can be fitted. Give another dataset or split."
        )
    return fit


def _take_logits(
    sample: LogitSample,
    name: str,
    made: Prediction,
    truth: NDArray[np.uint8],
    place: NDArray[np.int64],
    *,
    seed: int,
) -> None:
    """Add the pixels of a chip that have both a label and a class of the model."""
    if made.logits is not None:
        pixels = sample.choose(truth != NODATA, seed=seed)
        kept = made.classes.ravel()[pixels] != NODATA
        sample.add(name, made.logits[kept], place[truth.ravel()[pixels[kept]]])


def id_table(classes: Sequence[str], names: Sequence[str]) -> NDArray[np.uint8]:
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
