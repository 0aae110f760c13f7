"""Adapt a model to a land: see its labels, learn in a way or two, measure, keep the better."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.adaptation.card import adapted_card, is_card
from lulcmap.adaptation.labels import Labels, read_labels
from lulcmap.adaptation.measure import Gain, gain
from lulcmap.adaptation.places import places_of
from lulcmap.adaptation.seen import SeenLabels, see_labels
from lulcmap.adaptation.ways import FOLDS, HeadWay, Made, Task, Way, WayName
from lulcmap.adaptation.whole import WholeWay, WindowStore
from lulcmap.adaptation.windows import Imagery
from lulcmap.errors import ModelError, OutputError, UsageError
from lulcmap.evaluation import calibration_error, fit_temperature
from lulcmap.legend import default_colour, is_plain_name
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
    read_model,
)
from lulcmap.system import (
    Progress,
    check_destination,
    check_ours,
    no_progress,
    replacing,
    sha256_of,
)

MIN_LABELS, MIN_PLACES = 50, 10
"""Fewest labels, and places of 1 km, that a model is adapted to."""

MIN_NEW_LABELS, MIN_NEW_PLACES = 15, 5
"""Fewest labels and places of a new class."""

_FEW_LABELS = 10
"""Labels of a class below which its figures say little."""

_PRIOR_LABELS = 50
"""Labels that the class shares of the model's own training count for, beside the new ones."""


@dataclass(frozen=True)
class Tried:
    """One way to adapt a model, and what it brought."""

    way: WayName
    """The way."""

    gain: Gain
    """How much better it is at places left out."""

    temperature: float
    """Temperature that makes its confidence honest there."""

    calibration_error: float
    """Expected calibration error with it, 0 to 1."""


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
    _check_out(out, path, overwrite=overwrite)
    network = open_features(path)
    contract = network.contract
    _check_new(new, contract)
    labels = read_labels(labels_path, contract.legend, new_classes=list(new))
    classes = (*contract.classes, *new)
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
        _check_enough(labels_path, truth, places, classes, new, left_out)
        tried = [(way, _try(way, task, progress)) for way in able]
        better = [(way, one) for way, one in tried if one.gain.is_better]
        notes = _notes(labels, truth, classes)
        written = None
        if better:
            way, best = max(better, key=lambda pair: pair[1].gain.after)
            order = _order(contract, len(classes))
            made = way.make(task, order, progress)
            notes += _id_notes(contract, new)
            adapted = _origin(task, best, made, labels, imagery)
            changed = _contract(task, best, made, order, new, adapted, name or out.stem)
            _write(out, made, changed, adapted, parent=str(model or contract.name), notes=notes)
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
    places = np.unique(places_of(labels)[kept], return_inverse=True)[1].ravel().astype(np.intp)
    weights = labels.weights[kept] / labels.weights[kept].mean()
    truth = np.array([_position(one, classes, labels) for one in labels.classes[kept]], np.intp)
    return Task(network, seen, truth, weights, places, classes, seed)


def _way_of(name: WayName, path: Path, store: WindowStore | None) -> Way:
    return HeadWay() if name == "head" or store is None else WholeWay.open(path, store)


def _check_out(out: Path, model: Path, *, overwrite: bool) -> None:
    card = out.with_suffix(".md")
    for path, is_ours, kind in ((out, _is_model, "a model"), (card, is_card, "a model's card")):
        check_destination(path)
        if path.exists() and path.samefile(model):
            raise OutputError(f"{path} is the model that is adapted. Change --out.")
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists. Give another --out, or --overwrite.")
        check_ours(path, is_ours, kind=kind)


def _is_model(path: Path) -> bool:
    try:
        read_model(path)
    except ModelError:
        return False
    return True


def _check_new(new: Mapping[str, str | None], contract: Contract) -> None:
    for name in new:
        if not is_plain_name(name):
            raise UsageError(f"--new-class {name!r} is no plain name.")
        if name in contract.classes:
            raise UsageError(f"--new-class {name}: the model has this class already. Leave it out.")


def _position(name: str, classes: Sequence[str], labels: Labels) -> int:
    """Position of a class; a model may lack one of the legend's."""
    if name not in classes:
        raise UsageError(
            f"{labels.path} has labels of the class {name}, which the model cannot give; it gives "
            f"{', '.join(classes)}. Add it: --new-class {name}."
        )
    return list(classes).index(name)


def _check_enough(
    path: Path,
    truth: NDArray[np.intp],
    places: NDArray[np.intp],
    classes: Sequence[str],
    new: Mapping[str, str | None],
    left_out: Mapping[str, int],
) -> None:
    """Check that there are labels enough to learn from and to judge by.

    Raises:
        UsageError: there are too few.

    """
    n_places = len(np.unique(places))
    gone = ", ".join(f"{n} {reason}" for reason, n in left_out.items())
    if len(truth) < MIN_LABELS or n_places < MIN_PLACES:
        raise UsageError(
            f"{path} has {len(truth)} labels to use at {n_places} places of 1 km"
            f"{f' (left out: {gone})' if gone else ''}; adapting needs {MIN_LABELS} labels at "
            f"{MIN_PLACES} places at least. Label more, spread over the land."
        )
    if len(np.unique(truth)) < 2:
        raise UsageError(f"{path} has labels of one class only; label others too.")
    for name in new:
        own = truth == classes.index(name)
        near = len(np.unique(places[own]))
        if own.sum() < MIN_NEW_LABELS or near < MIN_NEW_PLACES:
            raise UsageError(
                f"{path} has {own.sum()} labels of the new class {name} at {near} places; a new "
                f"class needs {MIN_NEW_LABELS} at {MIN_NEW_PLACES} places at least. Label more."
            )


def _try(way: Way, task: Task, progress: Progress) -> Tried:
    logits = way.held_out_logits(task, progress)
    truth = task.truth[task.seen.label]
    temperature = fit_temperature(logits, truth)
    odds = np.exp((logits - logits.max(1, keepdims=True)) / temperature)
    given = task.seen.of_labels(odds / odds.sum(1, keepdims=True))
    measured = gain(
        task.truth,
        task.before(),
        given.argmax(1).astype(np.intp),
        places=task.places,
        weights=task.weights,
        classes=task.classes,
    )
    return Tried(way.name, measured, temperature, calibration_error(logits / temperature, truth))


def _order(contract: Contract, n_classes: int) -> NDArray[np.intp]:
    """Classes in the order of the new logits: with new ones, by their ids, so that ids stay."""
    n_old = len(contract.classes)
    if n_classes == n_old:
        return np.arange(n_old)
    return np.concatenate([np.argsort(contract.ids), np.arange(n_old, n_classes)])


def _id_notes(contract: Contract, new: Mapping[str, str | None]) -> list[str]:
    if new and sorted(contract.ids) != list(range(len(contract.ids))):
        return ["The ids of the classes in its maps are others than in maps of the model before."]
    return []


def _notes(labels: Labels, truth: NDArray[np.intp], classes: Sequence[str]) -> list[str]:
    counts = np.bincount(truth, minlength=len(classes))
    few = [f"{classes[i]} ({n})" for i, n in enumerate(counts.tolist()) if 0 < n < _FEW_LABELS]
    none = [classes[i] for i, n in enumerate(counts.tolist()) if not n]
    notes = []
    if few:
        notes.append(f"Few labels, so that figures of these classes say little: {', '.join(few)}.")
    if none:
        notes.append(f"No labels, so that nothing was learnt of them: {', '.join(none)}.")
    if not labels.is_random:
        notes.append(
            "The labels are no random sample, so these figures are of the labels, not of the land."
        )
    return notes


def _origin(
    task: Task, best: Tried, made: Made, labels: Labels, imagery: Sequence[Imagery]
) -> dict[str, Any]:
    counts = np.bincount(task.truth, minlength=len(task.classes)).tolist()
    return {
        "way": best.way,
        "parent": {"name": task.network.contract.name, "sha256": task.network.file.sha256},
        "labels": len(task.truth),
        "places": len(np.unique(task.places)),
        "classes": {name: n for name, n in zip(task.classes, counts, strict=True) if n},
        "label_file": labels.path.name,
        "label_sha256": sha256_of(labels.path) if labels.path.is_file() else "",
        "imagery": ", ".join(one.describe() for one in imagery),
        "weighted": labels.is_random,
        "folds": FOLDS,
        "seed": task.seed,
        "settings": made.settings,
        "cross_validation": best.gain.to_json(),
        "calibration_error": round(best.calibration_error, 4),
    }


def _contract(
    task: Task,
    best: Tried,
    made: Made,
    order: NDArray[np.intp],
    new: Mapping[str, str | None],
    adapted: dict[str, Any],
    name: str,
) -> Contract:
    """The contract of the adapted model."""
    contract = task.network.contract
    n = len(task.classes)
    colours = [
        *contract.colours,
        *(
            colour or default_colour(n - len(new) + i, one, n)
            for i, (one, colour) in enumerate(new.items())
        ),
    ]
    prior: tuple[float, ...] = ()
    if contract.prior:
        own = np.bincount(task.truth, task.weights, minlength=n)
        before = _PRIOR_LABELS * np.array([*contract.prior, *(0.0 for _ in new)])
        prior = tuple(((own + before) / (own + before).sum())[order].tolist())
    dropped = ("figures", "calibration", "adapted")
    training = {key: value for key, value in contract.training.items() if key not in dropped}
    changed = replace(
        contract,
        name=name,
        classes=tuple(task.classes[i] for i in order),
        colours=tuple(colours[i] for i in order),
        temperature=best.temperature,
        prior=prior,
        quality=(
            f"was adapted from {contract.name} to {adapted['labels']} labels of one land; it is "
            f"{best.gain.describe()}"
        ),
        precision=made.precision,
        training={**training, **made.training, "adapted": adapted},
    )
    changed.check()
    return changed


def _write(
    out: Path,
    made: Made,
    contract: Contract,
    adapted: dict[str, Any],
    *,
    parent: str,
    notes: Sequence[str],
) -> None:
    """Write model and card, both or neither, once lulcmap can open the model."""
    data = made.file({METADATA_KEY: contract.to_json(), **deepness_metadata(contract)})
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
