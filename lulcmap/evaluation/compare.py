"""Compare two models on the same chips, or two maps against the same labels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.dataset import Dataset
from lulcmap.errors import UsageError
from lulcmap.evaluation import reference
from lulcmap.evaluation.chips import ModelDescription, chip_sun, chip_truth, id_table
from lulcmap.evaluation.classmap import ClassMap, open_class_map
from lulcmap.evaluation.compared_maps import ComparedMaps
from lulcmap.evaluation.comparison import Comparison
from lulcmap.evaluation.crosswalk import OTHER, Crosswalk, load_crosswalk
from lulcmap.evaluation.evaluate import (
    check_known,
    chips_of,
    crosswalk_of,
    no_labels_reason,
    votes_text,
)
from lulcmap.evaluation.metrics import unknown_note
from lulcmap.evaluation.olofsson import Estimate, estimate_difference
from lulcmap.evaluation.onnx_predictor import Predictor
from lulcmap.evaluation.paired import PairedCounts
from lulcmap.system import Steps, no_progress


def compare_models(
    models: Sequence[tuple[Predictor, ModelDescription]],
    dataset: Dataset,
    *,
    split: str,
    scheme: str,
    subjects: Sequence[Mapping[str, Any]],
    progress: Steps = no_progress,
) -> Comparison:
    """Compare two models on a dataset, with all the sensors that each takes.

    Args:
        models: both models, and their classes and inputs.
        dataset: dataset with the labels.
        split: ``"train"``, ``"validation"``, ``"test"`` or ``"all"``.
        scheme: scheme that merges the votes, where several annotators labelled a chip.
        subjects: the models as plain JSON, each with a ``"name"``.
        progress: called with the number of chips done, and of all chips.

    Raises:
        UsageError: the split is empty, a model and the dataset do not fit, or no pixel has a label
            and a class of both models.

    """
    chips = chips_of(dataset, split)
    tables = [id_table(description.classes, dataset.names) for _, description in models]
    counts, voted = PairedCounts(len(dataset.names)), 0
    for done, chip in enumerate(chips, 1):
        seen = dataset.read(chip)
        truth = chip_truth(dataset, chip, seen, scheme=scheme)
        voted += truth.voted
        first, second = (
            table[predict(seen.s2, seen.s1, None, chip_sun(chip, description)).classes]
            for (predict, description), table in zip(models, tables, strict=True)
        )
        counts.add(chip.place, truth.ids, first, second)
        progress(done, len(chips))
    if not counts.places:
        raise UsageError("No pixel of these chips has both a label and a class from both models.")
    first_subject, second_subject = subjects
    return Comparison(
        first=first_subject,
        second=second_subject,
        labels={
            "name": f"{dataset.folder.absolute().name}, {split}",
            "kind": "dataset",
            "chips": len(chips),
            "votes": votes_text(voted, len(chips), scheme),
        },
        classes=dataset.names,
        counts=counts,
    )


def compare_maps(
    first: Path,
    second: Path,
    labels: Path,
    *,
    crosswalk: str | None,
    label_column: str | None,
    progress: Steps = no_progress,
) -> Comparison:
    """Compare two finished maps where there are labels.

    Args:
        first: path of the first map.
        second: path of the second map, on any grid.
        labels: path of a raster, points or polygons.
        crosswalk: path or name of a crosswalk; None where labels have the first map's own values
            or names. Both maps' classes then match by their names.
        label_column: column of points and polygons that holds the label; None as in
            ``evaluate_map``.
        progress: called with the number of parts of the labels done, and of all parts.

    Raises:
        UsageError: a file cannot be read, labels have no class, none lies on both maps, or the maps
            have no class in common.

    """
    with open_class_map(first) as one, open_class_map(second) as other:
        walk = crosswalk_of(one, labels, crosswalk)
        maps = ComparedMaps((one, other), (walk.values, _values_of(other, walk, crosswalk)))
        found = reference.compare(maps, labels, walk, label_column=label_column, progress=progress)
        check_known(found, labels, crosswalk)
    if found.paired is None or not found.paired.places:
        raise UsageError(
            f"No label of {labels} that is a class lies on a mapped pixel of both {first} and "
            f"{second}{no_labels_reason(found, label_column)}."
        )
    counts, classes = _without_other(found.paired, walk.classes)
    notes = [*unknown_note(found.unknown)]
    if found.sample is not None:
        notes.append(
            "The labels are a stratified sample: only the area-adjusted difference describes the "
            "maps; the others describe the points."
        )
    names = [first.name, second.name]
    if names[0] == names[1]:
        names = [f"{path.absolute().parent.name}/{path.name}" for path in (first, second)]
    return Comparison(
        first={"name": names[0], "kind": "map"},
        second={"name": names[1], "kind": "map"},
        labels={
            "name": labels.name,
            "kind": found.kind,
            "crosswalk": crosswalk and Path(crosswalk).name,
            "votes": "none, labels as given",
        },
        classes=classes,
        counts=counts,
        adjusted=_adjusted(found),
        notes=notes,
    )


def _values_of(other: ClassMap, walk: Crosswalk, crosswalk: str | None) -> NDArray[np.uint8]:
    """(256,) class of the second map's values."""
    if crosswalk is not None:
        return load_crosswalk(crosswalk, other.legend).values
    table = np.full(256, len(walk.classes) - 1, np.uint8)  # OTHER, which is always wrong
    table[255] = 255
    shared = [name for name in other.legend.values() if name in walk.names]
    if not shared:
        raise UsageError(
            f"{other.path} has no class of the first map ({', '.join(walk.classes[:-1])}), but "
            f"{', '.join(other.legend.values())}. Give a --crosswalk that names the classes of "
            "both."
        )
    for value, name in other.legend.items():
        if name in walk.names:
            table[value] = walk.names[name]
    return table


def _without_other(
    counts: PairedCounts, classes: tuple[str, ...]
) -> tuple[PairedCounts, tuple[str, ...]]:
    """The counts without the column ``OTHER``, if it is empty."""
    if classes[-1] != OTHER or counts.matrices[:, :, -1].any():
        return counts, classes
    places = {
        name: replace(place, matrices=place.matrices[:, :-1, :-1])
        for name, place in counts.places.items()
    }
    return replace(counts, n_classes=len(classes) - 1, places=places), classes[:-1]


def _adjusted(found: reference.Comparison) -> Estimate | None:
    """Difference of the area-adjusted accuracies, if the labels are a stratified sample."""
    sample, second = found.sample, found.second_sample
    if sample is None or second is None:
        return None
    sample.check_sizes()
    return estimate_difference(
        sample.strata,
        sample.mapped == sample.truth,
        second.mapped == second.truth,
        areas=sample.areas,
        weights=sample.weights,
    )
