import numpy as np
import pytest
from sklearn import metrics

from lulcmap.evaluation.scores import (
    accuracy,
    confusion,
    f1,
    iou,
    mean_f1,
    mean_iou,
    precision,
    recall,
)


@pytest.fixture
def maps():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 9, (60, 70), dtype=np.uint8)
    predicted = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, 9, truth.shape))
    predicted = predicted.astype(np.uint8)
    truth[:3], predicted[:, :5] = 255, 255
    return truth, predicted


def test_every_figure_equals_scikit_learn(maps):
    truth, predicted = maps
    kept = (truth != 255) & (predicted != 255)
    pair = truth[kept], predicted[kept]

    matrix = confusion(truth, predicted)

    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(*pair))
    np.testing.assert_allclose(iou(matrix), metrics.jaccard_score(*pair, average=None))
    np.testing.assert_allclose(f1(matrix), metrics.f1_score(*pair, average=None))
    np.testing.assert_allclose(precision(matrix), metrics.precision_score(*pair, average=None))
    np.testing.assert_allclose(recall(matrix), metrics.recall_score(*pair, average=None))
    assert mean_iou(matrix) == pytest.approx(metrics.jaccard_score(*pair, average="macro"))
    assert mean_f1(matrix) == pytest.approx(metrics.f1_score(*pair, average="macro"))
    assert accuracy(matrix) == pytest.approx(metrics.accuracy_score(*pair))


def test_rows_are_the_truth():
    matrix = confusion(np.uint8([2, 2]), np.uint8([0, 1]), n_classes=3)

    assert matrix.tolist() == [[0, 0, 0], [0, 0, 0], [1, 1, 0]]


def test_a_class_in_neither_map_has_no_score_and_does_not_count():
    matrix = confusion(np.uint8([0, 0, 1]), np.uint8([0, 1, 1]), n_classes=3)

    np.testing.assert_allclose(iou(matrix), [1 / 2, 1 / 2, np.nan])
    assert mean_iou(matrix) == 0.5


def test_a_class_only_predicted_scores_zero_and_is_not_in_the_mean():
    matrix = confusion(np.uint8([0, 0, 0, 0]), np.uint8([0, 0, 0, 1]), n_classes=2)

    np.testing.assert_allclose(iou(matrix), [3 / 4, 0])
    np.testing.assert_allclose(f1(matrix), [6 / 7, 0])
    np.testing.assert_allclose(precision(matrix), [1, 0])
    np.testing.assert_allclose(recall(matrix), [3 / 4, np.nan])
    assert mean_iou(matrix) == 3 / 4


def test_nothing_to_compare_gives_nan_without_a_warning():
    matrix = confusion(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8))

    assert matrix.sum() == 0
    assert np.isnan([mean_iou(matrix), mean_f1(matrix), accuracy(matrix)]).all()


@pytest.mark.parametrize("other", [np.zeros(3, np.uint8), np.full(2, 9, np.uint8)])
def test_maps_that_cannot_be_compared_are_wrong_code(other):
    with pytest.raises(ValueError, match=r"shape|ids 9 to 9"):
        confusion(np.zeros(2, np.uint8), other)
