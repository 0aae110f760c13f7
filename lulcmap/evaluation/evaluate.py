"""Evaluate a model or a map against labels.

``evaluate_model`` runs a model on the chips of a dataset; ``evaluate_map`` reads a finished map
where there are labels. Both count place by place (``counts``), and ``metrics`` computes everything
from these counts. ``sampling`` draws the points from which ``olofsson`` estimates true areas.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lulcmap.dataset import Chip, Dataset
from lulcmap.errors import UsageError
from lulcmap.evaluation.chips import ModelDescription, count_chips
from lulcmap.evaluation.classmap import ClassMap, open_class_map
from lulcmap.evaluation.compared_maps import ComparedMaps
from lulcmap.evaluation.counts import Counts
from lulcmap.evaluation.crosswalk import (
    OTHER,
    SHIPPED_CROSSWALKS,
    Crosswalk,
    identity_crosswalk,
    load_crosswalk,
)
from lulcmap.evaluation.metrics import Evaluation, unknown_note
from lulcmap.evaluation.onnx_predictor import Predictor
from lulcmap.evaluation.reference import Comparison, compare
from lulcmap.evaluation.regions import Regions
from lulcmap.evaluation.vectors import LABEL
from lulcmap.legend import NAMES
from lulcmap.system import Steps, no_progress

_DYNAMIC_WORLD_TILE = re.compile(r"dw_.*-\d{8}")
"""Name of a label tile as Dynamic World released them."""

_MAX_NAMES = 5
"""Unknown labels that a message names."""


def evaluate_model(
    predict: Predictor,
    description: ModelDescription,
    dataset: Dataset,
    *,
    split: str,
    scheme: str,
    regions: Regions,
    subject: Mapping[str, Any],
    progress: Steps = no_progress,
) -> Evaluation:
    """Evaluate a model on a dataset.

    Args:
        predict: the model.
        description: its classes and inputs.
        dataset: dataset with the labels.
        split: ``"train"``, ``"validation"``, ``"test"`` or ``"all"``.
        scheme: scheme that merges the votes, where several annotators labelled a chip.
        regions: regions to give metrics for.
        subject: the model as plain JSON, with a ``"name"``.
        progress: called with the number of chips done, and of all chips.

    Raises:
        UsageError: the split is empty, or the model and the dataset do not fit.

    """
    chips = chips_of(dataset, split)
    result = count_chips(dataset, chips, predict, description, scheme=scheme, progress=progress)
    first, *others = result.by_sensors.values()
    if not first.places:
        raise UsageError("No pixel of these chips has both a label and a class from the model.")
    name = f"{dataset.folder.absolute().name}, {split}"
    return Evaluation(
        subject=subject,
        labels={
            "name": name,
            "kind": "dataset",
            "chips": len(chips),
            "votes": votes_text(result.voted, result.chips, scheme),
        },
        classes=dataset.names,
        counts=first,
        regions=regions,
        sensors=result.by_sensors if others else {},
        sets=result.sets,
        temperature=result.temperature,
        notes=result.notes,
    )


def chips_of(dataset: Dataset, split: str) -> Sequence[Chip]:
    """The chips of a split, or of all.

    Raises:
        UsageError: there are none.

    """
    chips: Sequence[Chip] = dataset.rows if split == "all" else dataset.split(split)
    if not chips:
        raise UsageError(
            f"The dataset {dataset.folder} has no chip in the split {split!r}; choose another with "
            "--split."
        )
    return chips


def votes_text(voted: int, chips: int, scheme: str) -> str:
    """How votes were merged into labels."""
    if not voted:
        return "none, one annotator a chip"
    if voted == chips:
        return scheme
    return f"{scheme} in {voted} of {chips} chips, one annotator in the others"


def evaluate_map(
    path: Path,
    labels: Path,
    *,
    crosswalk: str | None,
    label_column: str | None,
    regions: Regions,
    progress: Steps = no_progress,
) -> Evaluation:
    """Evaluate a finished map where there are labels.

    Args:
        path: path of the map: one uint8 band of classes, and optionally one of confidence.
        labels: path of a raster, points or polygons.
        crosswalk: path or name of a crosswalk; None where labels have the map's own values or
            names.
        label_column: column of points and polygons that holds the label; None takes ``class`` where
            ``lulcmap label`` wrote it, and else ``label``.
        regions: regions to give metrics for.
        progress: called with the number of parts of the labels done, and of all parts.

    Raises:
        UsageError: a file cannot be read, labels have no class, or none lies on the map.

    """
    with open_class_map(path) as class_map:
        walk = crosswalk_of(class_map, labels, crosswalk)
        maps = ComparedMaps((class_map,), (walk.values,))
        result = compare(maps, labels, walk, label_column=label_column, progress=progress)
        check_known(result, labels, crosswalk)
        notes = [*unknown_note(result.unknown), *_notes(class_map, result, crosswalk)]
    if not result.counts.places:
        raise UsageError(
            f"No label of {labels} that is a class lies on a mapped pixel of {path}"
            f"{no_labels_reason(result, label_column)}."
        )
    counts, classes = _without_other(result.counts, walk.classes)
    return Evaluation(
        subject={"name": path.name, "kind": "map"},
        labels={
            "name": labels.name,
            "kind": result.kind,
            "crosswalk": crosswalk
            if crosswalk in SHIPPED_CROSSWALKS
            else crosswalk and Path(crosswalk).name,
            "votes": "none, labels as given",
        },
        classes=classes,
        counts=counts,
        regions=regions,
        adjusted=result.sample.estimate(len(classes)) if result.sample else None,
        sample=result.sample,
        notes=notes,
    )


def check_known(result: Comparison, labels: Path, crosswalk: str | None) -> None:
    """Check that without a crosswalk every label is a class of the map.

    Raises:
        UsageError: one is not.

    """
    if crosswalk is None and result.unknown:
        raise UsageError(
            f"{labels} has labels that match no class of the map: {_unknown_names(result)}. "
            "Give a --crosswalk: a CSV file with code, name and map_classes, or one of "
            f"{', '.join(SHIPPED_CROSSWALKS)}."
        )


def _unknown_names(result: Comparison) -> str:
    return ", ".join(label for label, _ in result.unknown.most_common(_MAX_NAMES))


def no_labels_reason(result: Comparison, label_column: str | None) -> str:
    """What the file holds instead of labels, as the end of a sentence."""
    if result.unlabelled:
        return (
            f": {result.unlabelled:,} {result.kind} have an empty column "
            f"{label_column or LABEL!r}; write the classes into it, or give them with lulcmap label"
        )
    if result.unknown:
        return f": they are {_unknown_names(result)}, which the --crosswalk lacks"
    return ". They may lie elsewhere, or their CRS may be wrong"


def crosswalk_of(class_map: ClassMap, labels: Path, crosswalk: str | None) -> Crosswalk:
    """The crosswalk of a name or file; without one, labels have the map's own values or names."""
    if crosswalk is not None:
        return load_crosswalk(crosswalk, class_map.legend)
    if _DYNAMIC_WORLD_TILE.fullmatch(labels.stem):
        raise UsageError(
            f"{labels} has the name of a Dynamic World label tile, whose codes are id + 1. Give "
            "--crosswalk dynamic-world, or rename the file if it holds plain ids."
        )
    return identity_crosswalk(class_map.legend)


def _notes(class_map: ClassMap, result: Comparison, crosswalk: str | None) -> list[str]:
    notes = []
    if crosswalk is None and set(class_map.legend.values()) <= set(NAMES):
        notes.append(
            "Labels are read as the map's own values, 0 water to 8 snow_and_ice, or its names; "
            "Dynamic World's label tiles have id + 1: --crosswalk dynamic-world."
        )
    if result.unlabelled:
        notes.append(
            f"{result.kind.capitalize()} without a label, not counted: {result.unlabelled:,}."
        )
    if result.undecided:
        notes.append(
            f"Of these, {result.undecided:,} were answered without one class: nobody was sure, or "
            "interpreters disagree. They may be the hard ones, so the map may be worse than "
            "estimated; decide on them together in lulcmap label."
        )
    if result.sample is not None:
        notes.append(
            "The labels are a stratified sample: rare classes have more points than their share, "
            "so only the area-adjusted figures describe the map; the others describe the points."
        )
    if class_map.confidence_band is None:
        notes.append("The map has no confidence band, so calibration is not measured.")
    return notes


def _without_other(counts: Counts, classes: tuple[str, ...]) -> tuple[Counts, tuple[str, ...]]:
    """The counts without the column ``OTHER``, if it is empty."""
    if classes[-1] != OTHER or counts.matrix[:, -1].any():
        return counts, classes
    places = {
        name: replace(place, matrix=place.matrix[:-1, :-1]) for name, place in counts.places.items()
    }
    return replace(counts, n_classes=len(classes) - 1, places=places), classes[:-1]
