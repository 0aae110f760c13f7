"""How good a model or a map is, against labels.

``judge_model`` runs a model on the chips of a dataset; ``judge_map`` reads a finished map where
there are labels. Both count place by place (``tally``), and ``figures`` reads everything off these
counts. ``sampling`` draws the points from which ``olofsson`` estimates true areas.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lulcmap.dataset import Chip, Dataset
from lulcmap.errors import UsageError
from lulcmap.evaluation import crosswalk as walks
from lulcmap.evaluation.chips import Described, Measured, measure
from lulcmap.evaluation.classmap import ClassMap, opened
from lulcmap.evaluation.counts import Tally
from lulcmap.evaluation.crosswalk import OTHER, Crosswalk
from lulcmap.evaluation.metrics import Evaluation, unknown_note
from lulcmap.evaluation.onnx_predictor import Predict
from lulcmap.evaluation.reference import Compared, compare
from lulcmap.evaluation.regions import Regions
from lulcmap.legend import NAMES
from lulcmap.system import Steps, no_progress

_DYNAMIC_WORLD_TILE = re.compile(r"dw_.*-\d{8}")
"""Name of a label tile as Dynamic World released them."""


def judge_model(
    predict: Predict,
    described: Described,
    dataset: Dataset,
    *,
    split: str,
    scheme: str,
    regions: Regions,
    subject: Mapping[str, Any],
    progress: Steps = no_progress,
) -> Evaluation:
    """Measure a model on a dataset.

    Args:
        predict: the model.
        described: its classes and inputs.
        dataset: with the labels.
        split: ``"train"``, ``"validation"``, ``"test"`` or ``"all"``.
        scheme: of the votes, where several annotators labelled a chip.
        regions: that figures are given for.
        subject: the model, plain JSON with a ``"name"``.
        progress: told about chips.

    Raises:
        UsageError: the split is empty, or the model and the dataset do not fit.

    """
    chips: Sequence[Chip] = dataset.rows if split == "all" else dataset.split(split)
    if not chips:
        raise UsageError(
            f"The dataset {dataset.folder} has no chip in the split {split!r}; choose another with "
            "--split."
        )
    found = measure(dataset, chips, predict, described, scheme=scheme, progress=progress)
    first, *others = found.tallies.values()
    if not first.places:
        raise UsageError("No pixel of these chips has both a label and a class from the model.")
    name = f"{dataset.folder.absolute().name}, {split}"
    return Evaluation(
        subject=subject,
        labels={
            "name": name,
            "kind": "dataset",
            "chips": len(chips),
            "votes": _votes(found, scheme),
        },
        classes=dataset.names,
        tally=first,
        regions=regions,
        sensors=found.tallies if others else {},
        notes=found.notes,
    )


def _votes(found: Measured, scheme: str) -> str:
    """How labels were made of votes."""
    if not found.voted:
        return "none, one annotator a chip"
    if found.voted == found.chips:
        return scheme
    return f"{scheme} in {found.voted} of {found.chips} chips, one annotator in the others"


def judge_map(
    path: Path,
    labels: Path,
    *,
    crosswalk: str | None,
    label_column: str,
    regions: Regions,
    progress: Steps = no_progress,
) -> Evaluation:
    """Measure a finished map where there are labels.

    Args:
        path: the map, one uint8 band of classes and maybe one of confidence.
        labels: a raster, points or polygons.
        crosswalk: a file or a shipped name; None: labels have the map's own values or names.
        label_column: of points and polygons.
        regions: that figures are given for.
        progress: told about parts of the labels.

    Raises:
        UsageError: a file cannot be read, labels are no classes, or none is on the map.

    """
    with opened(path) as given:
        walk = _walk(given, labels, crosswalk)
        found = compare(given, labels, walk, label_column=label_column, progress=progress)
        if crosswalk is None and found.unknown:
            raise UsageError(
                f"{labels} holds labels that are no class of the map: "
                f"{', '.join(label for label, _ in found.unknown.most_common(5))}. Give a "
                f"--crosswalk: a CSV file with code, name and map_classes, or one of "
                f"{', '.join(walks.SHIPPED)}."
            )
        notes = [*unknown_note(found.unknown), *_notes(given, found, crosswalk)]
    if not found.tally.places:
        raise UsageError(
            f"No label of {labels} that is a class lies on a mapped pixel of {path}"
            f"{_why_none(found, label_column)}."
        )
    tally, classes = _without_other(found.tally, walk.classes)
    return Evaluation(
        subject={"name": path.name, "kind": "map"},
        labels={
            "name": labels.name,
            "kind": found.kind,
            "crosswalk": crosswalk
            if crosswalk in walks.SHIPPED
            else crosswalk and Path(crosswalk).name,
            "votes": "none, labels as given",
        },
        classes=classes,
        tally=tally,
        regions=regions,
        adjusted=found.sample.estimate(len(classes)) if found.sample else None,
        notes=notes,
    )


def _why_none(found: Compared, label_column: str) -> str:
    """What was found instead of labels, as the end of a sentence."""
    if found.unlabelled:
        return (
            f": {found.unlabelled:,} {found.kind} have nothing in the column {label_column!r}; "
            "write the classes into it"
        )
    if found.unknown:
        names = ", ".join(label for label, _ in found.unknown.most_common(5))
        return f": they are {names}, which the --crosswalk does not have"
    return ". They may be of another place, or their CRS may be wrong"


def _walk(given: ClassMap, labels: Path, crosswalk: str | None) -> Crosswalk:
    if crosswalk is not None:
        return walks.load_crosswalk(crosswalk, given.legend)
    if _DYNAMIC_WORLD_TILE.fullmatch(labels.stem):
        raise UsageError(
            f"{labels} is named as Dynamic World's label tiles, whose codes are id + 1. Give "
            "--crosswalk dynamic-world, or another name to a file of plain ids."
        )
    return walks.identity(given.legend)


def _notes(given: ClassMap, found: Compared, crosswalk: str | None) -> list[str]:
    notes = []
    if crosswalk is None and set(given.legend.values()) <= set(NAMES):
        notes.append(
            "Labels are read as the map's own values, 0 water to 8 snow_and_ice, or its names; "
            "Dynamic World's label tiles have id + 1: --crosswalk dynamic-world."
        )
    if found.unlabelled:
        notes.append(
            f"{found.kind.capitalize()} without a label, not counted: {found.unlabelled:,}."
        )
    if found.sample is not None:
        notes.append(
            "The labels are a stratified sample: rare classes have more points than their share, "
            "so only the area-adjusted figures are of the map; the others are of the points."
        )
    if given.confidence_band is None:
        notes.append("The map has no band of confidence, so calibration is not measured.")
    return notes


def _without_other(tally: Tally, classes: tuple[str, ...]) -> tuple[Tally, tuple[str, ...]]:
    """The counts without the column ``OTHER``, if there is nothing in it."""
    if classes[-1] != OTHER or tally.matrix[:, -1].any():
        return tally, classes
    places = {
        name: replace(place, matrix=place.matrix[:-1, :-1]) for name, place in tally.places.items()
    }
    return replace(tally, n_classes=len(classes) - 1, places=places), classes[:-1]
