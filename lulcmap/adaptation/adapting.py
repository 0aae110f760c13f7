"""Adapt a model to a land: see its labels, learn in a way or two, measure, keep the better."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from lulcmap.adaptation.card import adapted_card
from lulcmap.adaptation.checks import check_enough, check_judging, check_names, check_out
from lulcmap.adaptation.confidence import calibration_error, fit_temperature
from lulcmap.adaptation.described import (
    Tried,
    adapted_contract,
    class_order,
    end_notes,
    id_notes,
    judging_notes,
    notes_of,
    origin_of,
)
from lulcmap.adaptation.labels import Labels, read_labels
from lulcmap.adaptation.learnt import is_unlearnt, learnt_cells, learnt_metadata
from lulcmap.adaptation.measure import gain
from lulcmap.adaptation.places import places_of
from lulcmap.adaptation.seen import SeenLabels, see_labels
from lulcmap.adaptation.ways import HeadWay, Made, Task, Way, WayName
from lulcmap.adaptation.whole import WholeWay, WindowStore
from lulcmap.adaptation.windows import Imagery
from lulcmap.errors import OutputError, UsageError
from lulcmap.model import (
    METADATA_KEY,
    Contract,
    FeatureNetwork,
    Head,
    deepness_metadata,
    find_model,
    model_card,
    open_features,
    open_session,
)
from lulcmap.system import (
    Progress,
    no_progress,
    replacing,
)


@dataclass(frozen=True)
class Adaptation:
    """What became of an adaptation."""

    out: Path | None
    """The model's file; None if no way is better than the model as it is: nothing is written."""

    parent: str
    """Name of the model as it is."""

    tried: tuple[Tried, ...]
    """The ways, in the order they were tried."""

    chosen: WayName | None
    """The way of the file."""

    n_labels: int
    """Labels that were seen."""

    n_places: int
    """Places they lie in."""

    left_out: Mapping[str, int]
    """Labels left out, by reason."""

    notes: tuple[str, ...]
    """What the user has to know."""

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return {
            "out": None if self.out is None else str(self.out),
            "parent": self.parent,
            "labels": self.n_labels,
            "places": self.n_places,
            "left_out": dict(self.left_out),
            "chosen": self.chosen,
            "ways": {one.way: one.gain.to_json() for one in self.tried},
            "notes": list(self.notes),
        }


def adapt_model(
    model: str | Path | None,
    labels_path: Path,
    imagery: Sequence[Imagery],
    out: Path,
    *,
    ways: Sequence[WayName] = ("head",),
    new_classes: Mapping[str, str | None] | None = None,
    name: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Adaptation:
    """Make a better model for a land from labels of it, if it is better.

    Args:
        model: name or file of the model to start from; None for the default.
        labels_path: file of the labels, as of ``read_labels``.
        imagery: where they are looked at; the first with data counts.
        out: ONNX file to write; its card gets the suffix ``.md``.
        ways: ways to try.
        new_classes: colours, RRGGBB or None, of further classes by name.
        name: name of the new model; None for that of ``out``.
        seed: random seed of the cross-validation.
        overwrite: whether to replace a model at ``out``.
        progress: called with a stage, how much of it is done, and how much there is.

    Returns:
        What was measured; and what was written, if anything.

    Raises:
        UsageError: the labels cannot be used, or are too few.
        ModelError: the model cannot be adapted.
        ProviderError: imagery cannot be read.
        OutputError: ``out`` exists or is none that lulcmap wrote, or cannot be written.

    """
    new = dict(new_classes or {})
    path = find_model(model)
    check_out(out, path, overwrite=overwrite)
    network = open_features(path)
    contract = network.contract
    check_names(name or out.stem, new, contract)
    labels = read_labels(labels_path, contract.legend, new_classes=list(new))
    classes = (*contract.classes, *new)
    learnt = learnt_cells(network)
    every = _positions(labels, classes), places_of(labels)
    check_enough(labels_path, *every, classes, new, labels.left_out)
    check_judging(labels_path, every[1], is_unlearnt(labels, every[1], learnt), contract)
    with ExitStack() as stack:
        store = stack.enter_context(WindowStore()) if "whole" in ways else None
        able = [_way_of(one, path, store) for one in ways]
        seen, kept = see_labels(
            network,
            labels,
            imagery,
            keep=None if store is None else store.keep,
            progress=lambda done, total: progress("imagery", done, total),
        )
        left_out = dict(labels.left_out)
        if len(kept) < len(labels):
            left_out["no imagery"] = len(labels) - len(kept)
        task = _task(network, labels, seen, kept, classes, seed)
        truth, places = task.truth, task.places
        check_enough(labels_path, truth, places, classes, new, left_out)
        check_judging(labels_path, places, task.judging, contract)
        tried = [(way, _try(way, task, progress)) for way in able]
        better = [(way, one) for way, one in tried if one.gain.is_better]
        notes = [
            *judging_notes(task.judging),
            *end_notes(seen.n_near_end),
            *notes_of(labels, truth, classes),
        ]
        written = None
        if better:
            way, best = max(better, key=lambda pair: pair[1].gain.after)
            made = way.make(task, class_order(contract, len(classes)), progress)
            adapted = origin_of(task, best, made, labels, imagery)
            changed = adapted_contract(task, best, made, new, adapted, name or out.stem)
            notes += id_notes(contract, changed)
            where = learnt_metadata(labels, kept, learnt)
            parent = str(model or contract.name)
            _write(out, made, changed, adapted, where, parent=parent, notes=notes)
            written = best.way
    return Adaptation(
        out=out if written else None,
        parent=contract.name,
        tried=tuple(one for _, one in tried),
        chosen=written,
        n_labels=len(kept),
        n_places=int(places.max()) + 1,
        left_out=left_out,
        notes=tuple(notes),
    )


def fitted_head(
    network: FeatureNetwork, labels: Labels, seen: SeenLabels, kept: NDArray[np.intp]
) -> Head:
    """The head of an adapted model, without a measurement of what it brings.

    Args:
        network: the model as it is.
        labels: the labels.
        seen: what the network sees of them, as of ``see_labels``.
        kept: their numbers, likewise.

    """
    task = _task(network, labels, seen, kept, network.contract.classes, seed=0)
    return HeadWay().fit(task, np.ones(seen.n, bool))[0]


def _task(
    network: FeatureNetwork,
    labels: Labels,
    seen: SeenLabels,
    kept: NDArray[np.intp],
    classes: tuple[str, ...],
    seed: int,
) -> Task:
    """What a model is to learn of the labels that are seen."""
    every = places_of(labels)
    judging = is_unlearnt(labels, every, learnt_cells(network))[kept]
    places = np.unique(every[kept], return_inverse=True)[1].ravel().astype(np.intp)
    weights = labels.weights[kept] / labels.weights[kept].mean()
    truth = _positions(labels, classes)[kept]
    return Task(network, seen, truth, weights, places, judging, classes, seed)


def _way_of(name: WayName, path: Path, store: WindowStore | None) -> Way:
    return HeadWay() if name == "head" or store is None else WholeWay.open(path, store)


def _positions(labels: Labels, classes: tuple[str, ...]) -> NDArray[np.intp]:
    """(n,) position of each label's class; a model may lack one of the legend's."""
    lacking = sorted({*labels.classes.tolist()} - {*classes})
    if lacking:
        raise UsageError(
            f"{labels.path} has labels of the class {lacking[0]}, which the model cannot give; it "
            f"gives {', '.join(classes)}. Add it: --new-class {lacking[0]}."
        )
    return np.array([classes.index(one) for one in labels.classes.tolist()], np.intp)


def _try(way: Way, task: Task, progress: Progress) -> Tried:
    logits, seen = way.held_out_logits(task, progress), task.seen
    # A map's classes do not depend on the temperature; a polygon's mean does, so both take one.
    given = seen.of_labels(softmax(logits / task.temperature, axis=1))
    judging, pixels = task.judging, task.judging[seen.label]
    measured = gain(
        task.truth[judging],
        task.before()[judging],
        given.argmax(1).astype(np.intp)[judging],
        places=task.places[judging],
        weights=task.weights[judging],
        classes=task.classes,
    )
    judged = logits[pixels], task.truth[seen.label][pixels], seen.shared(task.weights)[pixels]
    temperature = fit_temperature(*judged)
    error = calibration_error(judged[0] / temperature, *judged[1:])
    return Tried(way.name, measured, temperature, error)


def _write(
    out: Path,
    made: Made,
    contract: Contract,
    adapted: dict[str, Any],
    where: Mapping[str, str],
    *,
    parent: str,
    notes: Sequence[str],
) -> None:
    """Write model and card, both or neither, once lulcmap can open the model."""
    data = made.file({METADATA_KEY: contract.to_json(), **deepness_metadata(contract), **where})
    card = adapted_card(contract, adapted, parent_card=model_card(parent), notes=notes)
    try:
        with ExitStack() as stack:
            beside = stack.enter_context(replacing(out.with_suffix(".md")))
            part = stack.enter_context(replacing(out))
            beside.write_text(card, encoding="utf-8")
            part.write_bytes(data)
            open_session(part, device="cpu").close()
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror}.") from error
