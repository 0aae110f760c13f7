"""Ways to adapt a model: what each says of labels left out, and the file it makes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lulcmap.adaptation.fit import choose_hold, fit_head, probabilities, start_head
from lulcmap.adaptation.places import folds_of
from lulcmap.adaptation.seen import SeenLabels
from lulcmap.model import FeatureNetwork, Head, with_head
from lulcmap.system import Progress

FOLDS = 5
"""Parts of the places in the cross-validation."""

WayName = Literal["head", "whole"]


@dataclass(frozen=True)
class Task:
    """What a model is to learn."""

    network: FeatureNetwork
    """The model as it is."""

    seen: SeenLabels
    """The labels as the network sees them."""

    truth: NDArray[np.intp]
    """(n,) class of each label, in the order of ``classes``."""

    weights: NDArray[np.float64]
    """(n,) how much each label counts, 1 on average."""

    places: NDArray[np.intp]
    """(n,) number of each label's place."""

    judging: NDArray[np.bool_]
    """(n,) whether a label may judge: the model as it is has not learnt at its place."""

    classes: tuple[str, ...]
    """Names of the classes: the model's in its order, then new ones."""

    seed: int
    """Random seed of the folds."""

    @property
    def temperature(self) -> float:
        """Divisor of the model's logits."""
        return self.network.contract.temperature

    @property
    def n_new(self) -> int:
        """Number of new classes."""
        return len(self.classes) - len(self.network.contract.classes)

    @property
    def folds(self) -> NDArray[np.intp]:
        """(n,) fold of each label; places are never split. -1 of labels that may not judge."""
        found = np.full(len(self.places), -1, np.intp)
        found[self.judging] = folds_of(self.places[self.judging], folds=FOLDS, seed=self.seed)
        return found

    def before(self) -> NDArray[np.intp]:
        """(n,) class that the model as it is gives each label."""
        given = probabilities(self.network.head, self.seen, self.temperature)
        return given.argmax(1).astype(np.intp)


class Way(Protocol):
    """A way to adapt a model."""

    @property
    def name(self) -> WayName:
        """Name of the way."""
        ...

    def held_out_logits(self, task: Task, progress: Progress) -> NDArray[np.float64]:
        """(P, K) logits at the labels' pixels, each by a network that did not learn their place.

        Those of labels that may not judge are 0.
        """
        ...

    def make(self, task: Task, order: NDArray[np.intp], progress: Progress) -> "Made":
        """Learn from all labels.

        Args:
            task: what to learn.
            order: classes in the order that the logits are to have.
            progress: called with the progress.

        """
        ...


@dataclass(frozen=True)
class Made:
    """A network that learnt from all labels."""

    file: Callable[[dict[str, str]], bytes]
    """Makes its ONNX file with the metadata given."""

    settings: dict[str, Any]
    """How it learnt, plain JSON."""

    precision: Literal["fp32", "fp16"]
    """Precision of the file."""

    training: dict[str, Any]
    """Entries of the contract's ``training`` that it changes."""


@dataclass(frozen=True)
class HeadWay:
    """The head alone, on the network's own features."""

    name: WayName = "head"

    def held_out_logits(self, task: Task, progress: Progress) -> NDArray[np.float64]:
        """As of ``Way``."""
        folds, logits = task.folds, np.zeros((len(task.seen.features), len(task.classes)))
        for fold in range(FOLDS):
            progress("head", fold, FOLDS)
            out = folds == fold
            if out.any():
                head, _ = self.fit(task, ~out)
                at = out[task.seen.label]
                logits[at] = head.logits(task.seen.features[at])
        progress("head", FOLDS, FOLDS)
        return logits

    def make(self, task: Task, order: NDArray[np.intp], progress: Progress) -> Made:  # noqa: ARG002
        """As of ``Way``."""
        head, hold = self.fit(task, np.ones(task.seen.n, bool))
        ordered = Head(head.weight[order], head.bias[order])
        network = task.network
        training = dict(network.contract.training)
        shape = training.get("network")
        changed: dict[str, Any] = {}
        if isinstance(shape, dict) and "classes" in shape:
            changed["network"] = {**shape, "classes": len(order)}

        def file(metadata: dict[str, str]) -> bytes:
            return with_head(network.file.data, network.place, ordered, metadata)

        settings = {"hold": hold, "features": head.weight.shape[1]}
        return Made(file, settings, network.contract.precision, changed)

    def fit(self, task: Task, chosen: NDArray[np.bool_]) -> tuple[Head, float]:
        """The head fitted to some labels, and how strongly it was held to its start."""
        seen, truth, weights = task.seen.part(chosen), task.truth[chosen], task.weights[chosen]
        start = start_head(task.network.head, seen, truth, task.n_new, task.temperature)
        hold = choose_hold(
            start,
            seen,
            truth,
            weights,
            task.places[chosen],
            temperature=task.temperature,
            seed=task.seed,
        )
        head = fit_head(start, seen, truth, weights, hold=hold, temperature=task.temperature)
        return head, hold
