"""What an adapted model tells of itself: the order of its classes, its origin and its contract."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.adaptation.labels import Labels
from lulcmap.adaptation.measure import Gain
from lulcmap.adaptation.ways import FOLDS, Made, Task, WayName
from lulcmap.adaptation.windows import Imagery
from lulcmap.legend import default_colour
from lulcmap.model import Contract
from lulcmap.system import sha256_of

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


def class_order(contract: Contract, n_classes: int) -> NDArray[np.intp]:
    """Classes in the order of the new logits: with new ones, by their ids, so that ids stay."""
    n_old = len(contract.classes)
    if n_classes == n_old:
        return np.arange(n_old)
    return np.concatenate([np.argsort(contract.ids), np.arange(n_old, n_classes)])


def id_notes(before: Contract, after: Contract) -> list[str]:
    """What to say where new classes change the ids of old ones."""
    ids = dict(zip(after.classes, after.ids, strict=True))
    if any(ids[name] != number for name, number in zip(before.classes, before.ids, strict=True)):
        return ["The ids of the classes in its maps are others than in maps of the model before."]
    return []


def judging_notes(judging: NDArray[np.bool_]) -> list[str]:
    """What to say where the model was adapted before, to labels at some of the places."""
    known = int((~judging).sum())
    if not known:
        return []
    return [
        f"{known} labels lie at places that the model learnt from already; it learnt from them "
        f"again, and the figures are of the other {int(judging.sum())}."
    ]


def end_notes(n_near_end: int) -> list[str]:
    """What to say where kept composites end beside labels."""
    if not n_near_end:
        return []
    return [
        f"{n_near_end} labels lie within some 500 m of the end of a composite, or of a large hole "
        "in it. A map also sees the land beyond the end, so it may "
        "differ a little there from what was learnt. Keep a composite of an area with a margin, or "
        "give --aoi and a period instead."
    ]


def notes_of(labels: Labels, truth: NDArray[np.intp], classes: Sequence[str]) -> list[str]:
    """What to say of classes with few labels or none, and of labels that are no random sample."""
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


def origin_of(
    task: Task, best: Tried, made: Made, labels: Labels, imagery: Sequence[Imagery]
) -> dict[str, Any]:
    """What the contract's ``training`` says of the adaptation, plain JSON."""
    counts = np.bincount(task.truth, minlength=len(task.classes)).tolist()
    contract = task.network.contract
    return {
        "way": best.way,
        "origin": contract.training.get("adapted", {}).get("origin", contract.name),
        "parent": {"name": contract.name, "sha256": task.network.file.sha256},
        "labels": len(task.truth),
        "judging": int(task.judging.sum()),
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


def adapted_contract(
    task: Task,
    best: Tried,
    made: Made,
    new: Mapping[str, str | None],
    adapted: dict[str, Any],
    name: str,
) -> Contract:
    """The contract of the adapted model."""
    contract = task.network.contract
    n = len(task.classes)
    order = class_order(contract, n)
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
        # A model of simulated land that learnt real labels is neither.
        trained_on="unknown" if contract.trained_on == "simulated" else contract.trained_on,
        quality=(
            f"was adapted from {contract.name} to {adapted['labels']} labels of one land; it is "
            f"{best.gain.describe()}"
        ),
        precision=made.precision,
        training={**training, **made.training, "adapted": adapted},
    )
    changed.check()
    return changed
