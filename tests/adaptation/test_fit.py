import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from lulcmap.adaptation.fit import HOLDS, choose_hold, fit_head, probabilities, start_head
from lulcmap.adaptation.seen import SeenLabels
from lulcmap.model import Head


def seen_of(features, label=None):
    n = len(features)
    label = np.arange(n) if label is None else np.asarray(label)
    return SeenLabels(features, label.astype(np.intp), int(label.max()) + 1, np.zeros((n, 3), int))


@pytest.fixture
def task():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 90)
    features = rng.normal(size=(90, 5)) + 1.5 * np.eye(3, 5)[truth]
    return seen_of(features), truth, Head(rng.normal(size=(3, 5)), rng.normal(size=3))


def test_the_head_is_the_minimum_of_the_stated_loss(task):
    seen, truth, start = task
    hold, temperature = 0.05, 1.7
    weights = np.linspace(0.5, 2, 90)

    head = fit_head(start, seen, truth, weights, hold=hold, temperature=temperature)

    scale = np.sqrt((weights @ seen.features**2 / weights.sum()).mean())

    def loss(flat):  # written out, without a gradient
        weight, bias = flat[:15].reshape(3, 5), flat[15:]
        log_p = log_softmax((seen.features @ weight.T + bias) / temperature, axis=1)
        change = np.append((weight - start.weight) * scale, bias - start.bias) / temperature
        surprise = -(weights * log_p[np.arange(90), truth]).sum() / weights.sum()
        return surprise + hold / 2 * (change**2).sum()

    found = np.append(head.weight.ravel(), head.bias)
    best = minimize(loss, found, method="BFGS")
    assert loss(found) <= best.fun + 1e-5
    assert loss(found) < loss(np.append(start.weight.ravel(), start.bias))


def test_a_strong_hold_leaves_the_head_as_it_is(task):
    seen, truth, start = task

    head = fit_head(start, seen, truth, np.ones(90), hold=1e6, temperature=1.0)

    assert np.allclose(head.weight, start.weight, atol=1e-4)


def test_a_label_of_weight_two_counts_as_two_labels(task):
    seen, truth, start = task
    twice = seen_of(np.vstack([seen.features, seen.features[:30]]))
    weights = np.where(np.arange(90) < 30, 2.0, 1.0)

    one = fit_head(start, seen, truth, weights, hold=0.1, temperature=1.0)
    other = fit_head(
        start, twice, np.append(truth, truth[:30]), np.ones(120), hold=0.1, temperature=1.0
    )

    assert np.allclose(one.weight, other.weight, atol=2e-3)


def test_the_pixels_of_a_label_share_its_weight(task):
    seen, truth, start = task
    repeated = seen_of(seen.features.repeat(4, 0), np.arange(90).repeat(4))

    one = fit_head(start, seen, truth, np.ones(90), hold=0.1, temperature=1.0)
    other = fit_head(start, repeated, truth, np.ones(90), hold=0.1, temperature=1.0)

    assert np.allclose(one.weight, other.weight, atol=2e-3)


def test_a_new_class_starts_as_the_class_it_is_taken_for():
    features = np.repeat([[3.0, 0], [0, 3.0], [0, 3.1]], 20, axis=0)
    truth = np.repeat([0, 1, 2], 20)
    old = Head(np.eye(2), np.zeros(2))

    start = start_head(old, seen_of(features), truth, 1, temperature=1.0)

    assert np.array_equal(start.weight[2], old.weight[1])
    given = probabilities(start, seen_of(features), 1.0)
    assert (given.argmax(1) == np.repeat([0, 1, 1], 20)).all()


def test_noise_is_held_more_strongly_than_what_can_be_learnt():
    rng = np.random.default_rng(3)
    start = Head(np.zeros((2, 8)), np.zeros(2))
    truth, places = rng.integers(0, 2, 120), np.arange(120) // 3
    noise = seen_of(rng.normal(size=(120, 8)))
    clear = seen_of(noise.features + 4 * np.eye(2, 8)[truth])

    of_noise, of_clear = (
        choose_hold(start, seen, truth, np.ones(120), places, temperature=1.0, seed=0)
        for seen in (noise, clear)
    )

    assert of_noise > of_clear
    assert {of_noise, of_clear} <= set(HOLDS)
