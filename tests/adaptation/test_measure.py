import numpy as np

from lulcmap.adaptation.measure import gain

CLASSES = ("a", "b", "c")


def compare(truth, before, after, places=None, weights=None):
    n = len(truth)
    places = np.arange(n) // 2 if places is None else places
    weights = np.ones(n) if weights is None else weights
    return gain(truth, before, after, places=places, weights=weights, classes=CLASSES)


def test_the_same_model_is_not_better():
    truth = np.random.default_rng(0).integers(0, 3, 100)
    given = np.where(np.arange(100) % 3 == 0, truth, (truth + 1) % 3)

    found = compare(truth, given, given)

    assert found.before == found.after
    assert found.interval == (0, 0)
    assert not found.is_better


def test_accuracy_is_the_share_of_weight_that_is_right():
    truth = np.array([0, 0, 1, 1])
    before, after = np.array([0, 1, 1, 1]), np.array([1, 0, 1, 1])
    weights = np.array([2.0, 1.0, 0.5, 0.5])

    found = compare(truth, before, after, places=np.arange(4), weights=weights)

    assert np.isclose(found.before, 3 / 4)
    assert np.isclose(found.after, 2 / 4)
    assert {name: n for name, (n, _, _) in found.of_classes.items()} == {"a": 2, "b": 2}


def test_a_gain_by_one_lucky_place_is_not_better():
    truth = np.zeros(40, int)
    before = np.ones(40, int)
    after = np.where(np.arange(40) < 20, 0, 1)

    one_place = compare(truth, before, after, places=np.where(np.arange(40) < 20, 0, np.arange(40)))
    many = compare(truth, before, np.zeros(40, int))

    assert one_place.after > one_place.before
    assert not one_place.is_better
    assert many.is_better


def test_the_interval_holds_the_true_difference_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(60):
        truth = np.zeros(120, int)
        places = np.arange(120) // 3
        right = [(rng.random(40).repeat(3) < 0.5) & (rng.random(120) < p) for p in (0.6, 0.9)]
        found = compare(truth, *(np.where(one, 0, 1) for one in right), places=places)
        held += found.interval[0] <= 0.15 <= found.interval[1]

    assert 51 <= held <= 60
