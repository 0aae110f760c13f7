"""The temperature that makes an adapted model's confidence honest, each label with its weight."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

_LOG_BOUNDS = (-3.0, 3.0)
"""Bounds of the logarithm of a temperature."""

_BINS = 15
"""Bins of confidence, as ``lulcmap evaluate`` has."""


def fit_temperature(
    logits: NDArray[np.float64], truth: NDArray[np.intp], each: NDArray[np.float64]
) -> float:
    """Divisor of the logits that makes the labels most likely.

    Args:
        logits: (P, K) at pixels.
        truth: (P,) class of each pixel, 0 to K - 1.
        each: (P,) weight of each pixel.

    """
    at = np.arange(len(truth)), truth

    def surprise(log_temperature: float) -> float:
        return -float(each @ log_softmax(logits / np.exp(log_temperature), axis=1)[at])

    return float(np.exp(minimize_scalar(surprise, bounds=_LOG_BOUNDS, method="bounded").x))


def calibration_error(
    logits: NDArray[np.float64], truth: NDArray[np.intp], each: NDArray[np.float64]
) -> float:
    """Expected calibration error of the softmax, 0 to 1; arguments as of ``fit_temperature``."""
    confidence = np.exp(log_softmax(logits, axis=1).max(1))
    bins = np.clip(np.ceil(confidence.round(6) * _BINS).astype(np.intp) - 1, 0, _BINS - 1)
    gaps = np.bincount(bins, each * (confidence - (logits.argmax(1) == truth)))
    return float(np.abs(gaps).sum() / each.sum())
