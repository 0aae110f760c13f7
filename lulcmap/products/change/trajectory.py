"""The most probable path of a pixel's classes through the years: flicker goes, change stays.

The model is a small hidden Markov model with two numbers, the same for all classes. From one map to
the next the true class changes with the probability ``change``, to each other class alike; a map
shows a wrong class with the probability ``error``, each other class alike. Both are estimated from
the maps themselves: under this model, only which years of a pixel agree matters (AABA, ABBB), and
there are few such patterns. Where the maps have a confidence, it stands for 1 - ``error`` of that
pixel and year.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NODATA
from lulcmap.products.change.legends import UNSURE
from lulcmap.system import compiled

START_CHANGE, START_ERROR = 0.02, 0.10
"""Where the estimation starts, and what it stays at where the maps say nothing."""

_PRIOR_PX = 50
"""Pixels that these beginnings weigh as much as."""

_CHANGE_RANGE, _ERROR_RANGE = (1e-4, 0.2), (1e-3, 0.4)
"""What the two may be."""

_MAX_CONFIDENCE = 0.99
"""Confidence above which a model is not believed."""

_MAX_STEPS, _TOLERANCE = 300, 1e-6


@dataclass(frozen=True, slots=True)
class Rates:
    """The numbers of the model."""

    change: float
    """Probability that the true class of a pixel changes from one map to the next."""

    error: float
    """Probability that a map shows a wrong class at a pixel."""

    n_classes: int
    """Number of classes, K."""

    def expected_change(self, *, steps: int) -> float:
        """Share of pixels whose true class differs after some steps from one map to the next."""
        others = (self.n_classes - 1) / self.n_classes
        return float(others * (1 - (1 - self.change / others) ** steps))

    def score_tables(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(256,) log-probabilities of seeing the true class and a certain other one, by percent.

        Percent above 100 is unknown: the rate of errors then stands for it.
        """
        right = np.full(256, 1 - self.error)
        right[:101] = np.clip(np.arange(101) / 100, 1 / self.n_classes, _MAX_CONFIDENCE)
        return np.log(right), np.log((1 - right) / (self.n_classes - 1))


def most_probable(
    observed: NDArray[np.uint8], rates: Rates, confidence: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """The most probable path of each pixel.

    A pixel without a class in a year before its first or after its last one stays so; in a year
    between it, and where it is unsure, it gets the class of the path. Of two paths that are
    equally probable, the one with the earlier class is taken.

    Args:
        observed: (T, H, W) classes of the maps; 254 unsure, 255 none.
        rates: the model.
        confidence: (T, H, W) percent, 255 where unknown; None for none.

    Returns:
        (T, H, W) classes of the path; 254 where no year is sure, 255 none.

    """
    years = observed.shape[0]
    flat = np.ascontiguousarray(observed.reshape(years, -1))
    percent = np.full((years, 1), 255, np.uint8)
    if confidence is not None:
        percent = np.ascontiguousarray(confidence.reshape(years, -1))
    right, wrong = rates.score_tables()
    move = math.log(rates.change / (rates.n_classes - 1))
    paths = np.empty_like(flat)
    _decode(flat, percent, right, wrong, math.log(1 - rates.change), move, paths)
    return paths.reshape(observed.shape)


@compiled
def _shown_classes(observed: NDArray[Any], i: int, classes: NDArray[Any]) -> tuple[int, int, int]:
    """Number of classes that a pixel shows, put into ``classes``, and its first and last year."""
    count, first, last = 0, observed.shape[0], -1
    for t in range(observed.shape[0]):
        value = observed[t, i]
        if value == NODATA:
            continue
        first, last = min(first, t), t
        known = value == UNSURE
        for j in range(count):
            known = known or classes[j] == value
        if not known:
            classes[count] = value
            count += 1
    return count, first, last


@compiled
def _decode(
    observed: NDArray[Any],
    percent: NDArray[Any],
    right: NDArray[np.float64],
    wrong: NDArray[np.float64],
    stay: float,
    move: float,
    paths: NDArray[Any],
) -> None:
    """Viterbi's algorithm at each pixel, over the classes that it shows in some year.

    A class that it never shows is never better. A change costs the same from any class, so the best
    way into a class is to stay in it, or to come from the best one.
    """
    years, pixels = observed.shape
    classes = np.empty(years, observed.dtype)
    score = np.empty(years)
    came = np.empty((years, years), np.int64)
    for i in range(pixels):
        count, first, last = _shown_classes(observed, i, classes)
        for t in range(years):
            paths[t, i] = NODATA
        if count <= 1:
            only = classes[0] if count else UNSURE
            for t in range(first, last + 1):
                paths[t, i] = only
            continue
        for j in range(count):
            score[j] = 0.0
        for t in range(first, last + 1):
            if t > first:
                best = 0
                for j in range(1, count):
                    if score[j] > score[best]:
                        best = j
                reached = score[best] + move
                for j in range(count):
                    came[t, j] = j
                    score[j] += stay
                    if reached > score[j]:
                        came[t, j] = best
                        score[j] = reached
            value = observed[t, i]
            if value != NODATA and value != UNSURE:
                sure = percent[t, i] if percent.shape[1] > 1 else percent[t, 0]
                for j in range(count):
                    score[j] += right[sure] if classes[j] == value else wrong[sure]
        at = 0
        for j in range(1, count):
            if score[j] > score[at]:
                at = j
        for t in range(last, first - 1, -1):
            paths[t, i] = classes[at]
            if t > first:
                at = came[t, at]


def estimate_rates(observed: NDArray[np.uint8], n_classes: int) -> Rates:
    """Estimate the model from pixels, by expectation and maximisation.

    Args:
        observed: (T, N) classes of the maps at some pixels; 254 unsure, 255 none.
        n_classes: number of classes, at least 2.

    """
    patterns, counts = np.unique(_patterns(observed), axis=1, return_counts=True)
    several = (patterns < UNSURE).sum(axis=0) > 1
    patterns, counts = patterns[:, several], counts[several].astype(np.float64)
    change, error = START_CHANGE, START_ERROR
    for _ in range(_MAX_STEPS):
        before = change, error
        changes, steps, errors, seen = _expected(patterns, counts, n_classes, change, error)
        change = (changes + START_CHANGE * _PRIOR_PX) / (steps + _PRIOR_PX)
        error = (errors + START_ERROR * _PRIOR_PX) / (seen + _PRIOR_PX)
        change, error = (
            float(np.clip(rate, *limits))
            for rate, limits in ((change, _CHANGE_RANGE), (error, _ERROR_RANGE))
        )
        if max(abs(change - before[0]), abs(error - before[1])) < _TOLERANCE:
            break
    return Rates(change, error, n_classes)


def _patterns(observed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(T, N) the classes of each pixel, numbered by their first year; 254 and 255 are 255."""
    patterns = np.full_like(observed, NODATA)
    for t in range(len(observed)):
        known = observed[t] < UNSURE
        taken = np.where(patterns[:t] < UNSURE, patterns[:t], 0)
        number = (taken.max(axis=0, initial=0) + (patterns[:t] < UNSURE).any(axis=0)).astype(
            np.uint8
        )
        for earlier in range(t):
            same = known & (observed[earlier] == observed[t])
            number = np.where(same, patterns[earlier], number)
        patterns[t] = np.where(known, number, NODATA)
    return patterns


def _expected(
    patterns: NDArray[np.uint8],
    counts: NDArray[np.float64],
    n_classes: int,
    change: float,
    error: float,
) -> tuple[float, float, float, float]:
    """Expected changes, steps, errors and classes seen, by the forward-backward algorithm.

    The states of a pattern are its own classes, and one that stands for all others.

    Args:
        patterns: (T, U) patterns, 255 for no class.
        counts: (U,) pixels of each.
        n_classes: number of classes.
        change: probability of a change.
        error: probability of a wrong class.

    """
    years, number = patterns.shape
    own = np.where(patterns < UNSURE, patterns.astype(np.int64) + 1, 0).max(axis=0, initial=0)
    states = int(own.max(initial=0)) + 1
    sizes = (np.arange(states) < own[:, None]).astype(np.float64)  # (U, S) classes of a state
    sizes[:, -1] = n_classes - own
    move = change / (n_classes - 1)
    ways = np.broadcast_to(move * sizes[:, None, :], (number, states, states)).copy()
    diagonal = np.arange(states)
    inner = move * np.maximum(sizes - 1, 0)  # changes within a state, which stands for several
    ways[:, diagonal, diagonal] = (1 - change + inner) * (sizes > 0)
    hits = patterns[:, :, None] == diagonal  # (T, U, S)
    is_seen = (patterns < UNSURE)[:, :, None]
    emitted = np.where(is_seen, np.where(hits, 1 - error, error / (n_classes - 1)), 1.0)
    forward, backward = np.empty((2, years, number, states))
    forward[0] = sizes * emitted[0]
    backward[-1] = 1.0
    for t in range(1, years):
        forward[t] = np.einsum("us,usr->ur", forward[t - 1], ways) * emitted[t]
        forward[t] /= forward[t].sum(axis=1, keepdims=True)
    for t in range(years - 2, -1, -1):
        backward[t] = np.einsum("usr,ur->us", ways, backward[t + 1] * emitted[t + 1])
        backward[t] /= backward[t].sum(axis=1, keepdims=True)
    now = forward * backward
    now /= now.sum(axis=2, keepdims=True)
    errors = float((now * ~hits * is_seen).sum(axis=(0, 2)) @ counts)
    changes = 0.0
    stays = np.zeros_like(ways)
    stays[:, diagonal, diagonal] = (1 - change) * (sizes > 0)
    for t in range(1, years):
        after = backward[t] * emitted[t]
        all_ways = np.einsum("us,usr,ur->u", forward[t - 1], ways, after)
        stayed = np.einsum("us,usr,ur->u", forward[t - 1], stays, after) / all_ways
        changes += float((1 - stayed) @ counts)
    return (
        changes,
        float((years - 1) * counts.sum()),
        errors,
        float(is_seen[:, :, 0].sum(axis=0) @ counts),
    )
