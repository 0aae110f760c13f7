"""The confusion matrix of a map against its truth, and the metrics computed from it."""

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import CLASSES, NODATA


def confusion(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], *, n_classes: int = len(CLASSES)
) -> NDArray[np.int64]:
    """Count the pixels by true and predicted class.

    Matrices of parts of a map may be added.

    Args:
        truth: (...) true class ids; 255 is not counted.
        predicted: (...) predicted class ids, in the same shape; 255 is not counted.
        n_classes: number of classes, K; ids are 0 to K - 1.

    Returns:
        (K, K) pixels: row the true class, column the predicted one.

    Raises:
        ValueError: the shapes differ, or an id is neither a class nor 255.

    Examples:
        >>> confusion(np.uint8([0, 0, 1, 255]), np.uint8([0, 1, 1, 1]), n_classes=2)
        array([[1, 1],
               [0, 1]])

    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth has shape {truth.shape}, predicted {predicted.shape}")
    counted = (truth != NODATA) & (predicted != NODATA)
    true_ids, predicted_ids = truth[counted].astype(np.int64), predicted[counted].astype(np.int64)
    for name, ids in (("truth", true_ids), ("predicted", predicted_ids)):
        if ids.size and not 0 <= ids.min() <= ids.max() < n_classes:
            raise ValueError(
                f"{name} holds ids {ids.min()} to {ids.max()}; classes are 0 to {n_classes - 1}"
            )
    pairs = np.bincount(true_ids * n_classes + predicted_ids, minlength=n_classes**2)
    return pairs.reshape(n_classes, n_classes).astype(np.int64)


def accuracy(matrix: NDArray[np.int64]) -> float:
    """Overall accuracy, 0 to 1: correct pixels / all pixels. NaN without pixels."""
    return float(_ratio(np.trace(matrix), matrix.sum()))


def iou(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Intersection over union of each class, TP / (TP + FP + FN).

    Args:
        matrix: (K, K) as ``confusion`` gives it.

    Returns:
        (K,) 0 to 1; NaN for a class neither in the truth nor in the prediction.

    """
    hits = np.diag(matrix)
    return _ratio(hits, matrix.sum(axis=0) + matrix.sum(axis=1) - hits)


def precision(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Precision of each class, TP / (TP + FP): the share of its predicted pixels that are correct.

    Remote sensing calls it user's accuracy.

    Args:
        matrix: (K, K) as ``confusion`` gives it.

    Returns:
        (K,) 0 to 1; NaN for a class that is not in the prediction.

    """
    return _ratio(np.diag(matrix), matrix.sum(axis=0))


def recall(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Recall of each class, TP / (TP + FN): the share of its true pixels that are predicted as it.

    Remote sensing calls it producer's accuracy.

    Args:
        matrix: (K, K) as ``confusion`` gives it.

    Returns:
        (K,) 0 to 1; NaN for a class that is not in the truth.

    """
    return _ratio(np.diag(matrix), matrix.sum(axis=1))


def f1(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 of each class, 2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall.

    Args:
        matrix: (K, K) as ``confusion`` gives it.

    Returns:
        (K,) 0 to 1; NaN for a class neither in the truth nor in the prediction.

    """
    return _ratio(2 * np.diag(matrix), matrix.sum(axis=0) + matrix.sum(axis=1))


def mean_iou(matrix: NDArray[np.int64]) -> float:
    """Mean intersection over union of the classes in the truth, 0 to 1. NaN without pixels.

    A class that is predicted but not in the truth is left out of the mean; it still counts in the
    unions of the classes that it was predicted instead of.
    """
    return _mean_over_truth(iou(matrix), matrix)


def mean_f1(matrix: NDArray[np.int64]) -> float:
    """Mean F1 of the classes in the truth, 0 to 1. NaN without pixels."""
    return _mean_over_truth(f1(matrix), matrix)


def _mean_over_truth(values: NDArray[np.float64], matrix: NDArray[np.int64]) -> float:
    present = matrix.sum(axis=1) > 0
    return float(values[present].mean()) if present.any() else float("nan")


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)
