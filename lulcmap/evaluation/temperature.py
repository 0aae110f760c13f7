"""The temperature that makes a model's confidence honest (Guo et al. 2017, arXiv:1706.04599).

Logits are divided by it before the softmax, which changes no class. It is fitted to some pixels of
every chip, and judged crosswise: the pixels of a place with the temperature of the other places,
for nearby pixels are alike.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.evaluation.calibration import Reliability

_PIXELS_A_CHIP, _FEWEST_A_CHIP = 500, 20
"""Most and fewest pixels that are drawn from a chip."""

_MAX_PIXELS = 200_000
"""Pixels in all, about; with more chips, each gives fewer."""

_FOLDS = 10
"""Most parts that places are split into for the crosswise fit."""

_LOG_BOUNDS = (-3.0, 3.0)
"""Bounds of the logarithm of a temperature."""


@dataclass(frozen=True, slots=True)
class TemperatureFit:
    """The best temperature on some labelled pixels, and the calibration error with it."""

    temperature: float
    """Temperature that makes the labels of all the pixels most likely."""

    ece: float
    """Expected calibration error of the pixels with the temperature the model has, 0 to 1."""

    ece_with_temperature: float
    """The same with the fitted temperature, crosswise if ``cross_fitted``."""

    cross_fitted: bool
    """Whether the pixels of each place were judged with the temperature of other places; with one
    place the error is measured where the temperature was fitted, and is too low."""

    pixels: int
    """Number of pixels."""

    places: int
    """Number of places that they lie in."""

    def to_json(self) -> dict[str, Any]:
        """The fit as plain JSON values, rounded to what it can tell."""
        values = asdict(self)
        return values | {
            name: round(values[name], 4) for name in ("temperature", "ece", "ece_with_temperature")
        }


@dataclass(slots=True)
class LogitSample:
    """Logits and labels of some pixels of every chip."""

    n_chips: int
    """Number of chips there will be."""

    logits: list[NDArray[np.float32]] = field(default_factory=list)
    """Of each chip, (n, K)."""

    truth: list[NDArray[np.int64]] = field(default_factory=list)
    """Of each chip, (n,) position in the model's legend; -1 for a class that it does not know."""

    places: list[str] = field(default_factory=list)
    """Of each chip, the name of its place."""

    def choose(self, known: NDArray[np.bool_], *, seed: int) -> NDArray[np.intp]:
        """Pixels of a chip to take, counted row by row.

        Args:
            known: (H, W) True where a pixel has a label.
            seed: number of the chip; the same chip gives the same pixels.

        """
        each = min(max(_MAX_PIXELS // self.n_chips, _FEWEST_A_CHIP), _PIXELS_A_CHIP)
        all_known = np.flatnonzero(known)
        chosen = np.random.default_rng(seed).choice(
            all_known, min(each, all_known.size), replace=False
        )
        return np.sort(chosen)

    def add(self, place: str, logits: NDArray[np.float32], truth: NDArray[np.int64]) -> None:
        """Add the pixels of a chip."""
        if len(truth):
            self.logits.append(logits)
            self.truth.append(truth)
            self.places.append(place)

    def fit(self, temperature: float) -> TemperatureFit | None:
        """Fit the temperature; None without a pixel of a class that the model knows.

        Args:
            temperature: temperature that the model has.

        """
        if not any((truth >= 0).any() for truth in self.truth):
            return None
        logits, truth = np.concatenate(self.logits), np.concatenate(self.truth)
        names, of_chip = np.unique(self.places, return_inverse=True)
        place = np.repeat(of_chip, [len(one) for one in self.truth])
        best = fit_temperature(logits, truth)
        divisor, cross_fitted = _crosswise(logits, truth, place, len(names), whole=best)
        return TemperatureFit(
            best,
            calibration_error(logits / temperature, truth),
            calibration_error(logits / divisor[:, None], truth),
            cross_fitted,
            len(truth),
            len(names),
        )


def _crosswise(
    logits: NDArray[np.float32],
    truth: NDArray[np.int64],
    place: NDArray[np.intp],
    n_places: int,
    *,
    whole: float,
) -> tuple[NDArray[np.float64], bool]:
    """(n,) temperature for each pixel, fitted to other places; whether there are any."""
    folds = np.random.default_rng(0).permutation(n_places) % _FOLDS
    fold = folds[place]
    divisor = np.full(len(truth), whole)
    if n_places < 2:
        return divisor, False
    for number in np.unique(folds).tolist():
        others = fold != number
        if not (truth[others] >= 0).any():
            return np.full(len(truth), whole), False
        divisor[~others] = fit_temperature(logits[others], truth[others])
    return divisor, True


def fit_temperature(logits: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """Divisor of the logits that makes the labels most likely.

    Args:
        logits: (n, K).
        truth: (n,) class of each pixel, 0 to K - 1; pixels with -1 are left out.

    Raises:
        ValueError: no pixel has a class.

    """
    from scipy.optimize import minimize_scalar

    kept = truth >= 0
    if not kept.any():
        raise ValueError("no pixel has a class that the model knows")
    values, classes = logits[kept].astype(np.float64), truth[kept].astype(np.intp)
    own = values[np.arange(len(classes)), classes]

    def surprise(log_temperature: float) -> float:
        divisor = np.exp(log_temperature)
        return float((_log_sum(values / divisor) - own / divisor).mean())

    return float(np.exp(minimize_scalar(surprise, bounds=_LOG_BOUNDS, method="bounded").x))


def calibration_error(logits: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """Expected calibration error of the softmax, 0 to 1.

    Args:
        logits: (n, K), divided by the temperature.
        truth: (n,) class of each pixel; -1 is one that no logit stands for.

    """
    values = logits.astype(np.float64)
    confidence = np.exp(values.max(1) - _log_sum(values))
    return Reliability.of(confidence, values.argmax(1) == truth).ece


def positions(classes: Sequence[str], names: Sequence[str]) -> NDArray[np.int64]:
    """(256,) position in a model's legend by id of a dataset's class; -1 where it has none."""
    table = np.full(256, -1, np.int64)
    for number, name in enumerate(names):
        if name in classes:
            table[number] = classes.index(name)
    return table


def _log_sum(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    highest: NDArray[np.float64] = logits.max(1)
    return highest + np.log(np.exp(logits - highest[:, None]).sum(1))
