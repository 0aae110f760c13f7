"""Checks before an adaptation: where its model goes, new classes, and labels enough."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lulcmap.adaptation.card import is_card
from lulcmap.errors import OutputError, UsageError
from lulcmap.legend import PLAIN_NAME, is_plain_name
from lulcmap.model import Contract, is_model
from lulcmap.system import check_destination, check_ours

MIN_LABELS, MIN_PLACES = 50, 10
"""Fewest labels, and places of 1 km, that a model is adapted to."""

MIN_NEW_LABELS, MIN_NEW_PLACES = 15, 5
"""Fewest labels and places of a new class."""


def check_out(out: Path, model: Path, *, overwrite: bool) -> None:
    """Check that the model and its card may be written.

    Args:
        out: path of the new model.
        model: path of the one that is adapted.
        overwrite: whether a model at ``out`` may be replaced.

    Raises:
        UsageError: ``out`` is not named as an ONNX file, so that its card could take its place.
        OutputError: they may not.

    """
    if out.suffix.lower() != ".onnx":
        raise UsageError(
            f"{out} is not named as an ONNX file. Give --out a name that ends in .onnx."
        )
    card, replaces = out.with_suffix(".md"), overwrite and out.exists()
    for path, is_ours, kind in ((out, is_model, "a model"), (card, is_card, "a model's card")):
        check_destination(path)
        if path.exists() and path.samefile(model):
            raise OutputError(f"{path} is the model that is adapted. Change --out.")
        if path == card and card.exists() and _is_same(card, model.with_suffix(".md")):
            raise OutputError(f"{card} is the card of the model that is adapted. Change --out.")
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists. Give another --out, or --overwrite.")
        check_ours(path, is_ours, kind=kind)
        if path == card and card.exists() and not replaces:
            raise OutputError(f"{card} exists, and no {out.name} whose card it is. Change --out.")


def _is_same(path: Path, other: Path) -> bool:
    return other.exists() and path.samefile(other)


def check_names(name: str, new: Mapping[str, str | None], contract: Contract) -> None:
    """Check the names of the new model and of new classes.

    Raises:
        UsageError: one is not plain, or the model has the class already.

    """
    if not is_plain_name(name):
        raise UsageError(f"The model would be called {name!r}; {PLAIN_NAME}. Give --name.")
    for name in new:
        if not is_plain_name(name):
            raise UsageError(f"--new-class {name!r}: {PLAIN_NAME}.")
        if name in contract.classes:
            raise UsageError(f"--new-class {name}: the model has this class already. Leave it out.")


def check_judging(
    path: Path, places: NDArray[np.intp], judging: NDArray[np.bool_], contract: Contract
) -> None:
    """Check that there are labels enough where an adapted model has learnt nothing.

    Raises:
        UsageError: there are too few.

    """
    n_places = len(np.unique(places[judging]))
    if judging.all() or (judging.sum() >= MIN_LABELS and n_places >= MIN_PLACES):
        return
    origin = contract.training["adapted"]["origin"]
    raise UsageError(
        f"{path} has {judging.sum()} labels at {n_places} places of 1 km where {contract.name} has "
        f"learnt nothing; it was adapted to labels of the others, and judging it needs "
        f"{MIN_LABELS} new ones at {MIN_PLACES} places at least. Adapt the model it was made of, "
        f"{origin}, to all labels together: give that to --model."
    )


def check_enough(
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
