"""Fit a head to labels: multinomial logistic regression that is held to the head it starts from."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from lulcmap.adaptation.places import folds_of
from lulcmap.adaptation.seen import SeenLabels
from lulcmap.model import Head

HOLDS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
"""How strongly the head may be held to its start: weight of its squared change, in units of the
features' mean square, against the mean loss of the labels. Cross-validation within the labels
chooses."""

_INNER_FOLDS = 4
_MAX_STEPS, _TOLERANCE = 300, 1e-7
_LEAST_PROBABILITY = 1e-12


def start_head(
    head: Head, seen: SeenLabels, truth: NDArray[np.intp], n_new: int, temperature: float
) -> Head:
    """The head to start from: the model's own, and a row for each new class.

    A new class starts as the class that the model most often takes it for, a little less likely,
    so that it takes over only where the labels say so.

    Args:
        head: the model's head of K classes.
        seen: the labels.
        truth: (n,) class of each label; new ones from K on.
        n_new: number of new classes.
        temperature: divisor of the logits.

    """
    weight, bias = head.weight, head.bias
    given = seen.of_labels(softmax(head.logits(seen.features) / temperature, axis=1))
    for number in range(len(head.bias), len(head.bias) + n_new):
        own = given[truth == number]
        likeliest = int(own.mean(0).argmax()) if len(own) else 0
        weight = np.vstack([weight, head.weight[likeliest]])
        bias = np.append(bias, head.bias[likeliest] - temperature)
    return Head(weight, bias)


def fit_head(
    start: Head,
    seen: SeenLabels,
    truth: NDArray[np.intp],
    weights: NDArray[np.float64],
    *,
    hold: float,
    temperature: float,
) -> Head:
    """Fit a head to labels.

    Args:
        start: head to start from and to be held to.
        seen: the labels.
        truth: (n,) class of each label.
        weights: (n,) how much each counts; its pixels share it.
        hold: how strongly the head is held to its start, as in ``HOLDS``.
        temperature: divisor of the logits.

    """
    n_classes, n_features = start.weight.shape
    each = seen.shared(weights)
    each = each / each.sum()
    scale = float(np.sqrt(np.maximum((each @ seen.features**2).mean(), 1e-12)))
    inputs = np.column_stack([seen.features / scale, np.ones(len(seen.features))])
    first = np.column_stack([start.weight * scale, start.bias]) / temperature
    target = np.zeros((len(each), n_classes))
    target[np.arange(len(each)), truth[seen.label]] = 1.0

    def loss(change: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        change = change.reshape(first.shape)
        log_p = log_softmax(inputs @ (first + change).T, axis=1)
        value = -float((each[:, None] * target * log_p).sum()) + hold / 2 * float((change**2).sum())
        slope = (each[:, None] * (np.exp(log_p) - target)).T @ inputs + hold * change
        return value, slope.ravel()

    found = minimize(
        loss,
        np.zeros(first.size),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MAX_STEPS, "ftol": _TOLERANCE},
    )
    fitted = (first + found.x.reshape(first.shape)) * temperature
    return Head(fitted[:, :n_features] / scale, fitted[:, n_features])


def probabilities(head: Head, seen: SeenLabels, temperature: float) -> NDArray[np.float64]:
    """(n, K) probability of each class for each label, the mean over its pixels."""
    return seen.of_labels(softmax(head.logits(seen.features) / temperature, axis=1))


def choose_hold(
    start: Head,
    seen: SeenLabels,
    truth: NDArray[np.intp],
    weights: NDArray[np.float64],
    places: NDArray[np.intp],
    *,
    temperature: float,
    seed: int,
    holds: Sequence[float] = HOLDS,
) -> float:
    """How strongly to hold the head: what makes labels of places left out most likely.

    Args:
        start: head to start from.
        seen: the labels.
        truth: (n,) class of each label.
        weights: (n,) how much each counts.
        places: (n,) number of each label's place.
        temperature: divisor of the logits.
        seed: random seed of the folds.
        holds: strengths to choose from, the strongest first.

    """
    folds = folds_of(places, folds=_INNER_FOLDS, seed=seed)
    surprises = np.zeros(len(holds))
    for fold in range(_INNER_FOLDS):
        out = folds == fold
        if not out.any() or out.all():
            continue
        own, other = seen.part(~out), seen.part(out)
        for number, hold in enumerate(holds):
            head = fit_head(
                start, own, truth[~out], weights[~out], hold=hold, temperature=temperature
            )
            given = probabilities(head, other, temperature)
            right = given[np.arange(other.n), truth[out]]
            surprises[number] -= weights[out] @ np.log(right + _LEAST_PROBABILITY)
    return float(holds[int(surprises.argmin())])
