"""Soft labels of several dates, against the arithmetic of one pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lulcmap.dataset.soft_labels import (
    agreement_of,
    mean_probabilities,
    percent,
    soft_label,
)

UNKNOWN = 255


def pixel(*shares):
    """(K, 1, 1) probabilities of one pixel."""
    return np.array(shares, np.float32).reshape(-1, 1, 1)


SEEN = np.ones((1, 1), bool)

SHARES = st.integers(1, 12).flatmap(
    lambda k: arrays(np.float32, (k, 3, 4), elements=st.floats(0, 1, width=32))
)


@given(SHARES)
def test_percent_sums_to_100_and_moves_no_class_by_one(raw):
    raw[0] += np.float32(1e-3)
    shares = raw / raw.sum(axis=0)

    whole = percent(shares)

    exact = 100 * shares.astype(float) / shares.sum(axis=0, dtype=float)
    assert (whole.sum(axis=0, dtype=int) == 100).all()
    assert (np.abs(whole - exact) < 1).all()
    best = np.take_along_axis(whole, shares.argmax(axis=0)[None], 0)[0]
    assert (best == whole.max(axis=0)).all()  # the label stays the most probable class


def test_the_largest_remainders_get_what_is_missing():
    assert percent(pixel(0.334, 0.333, 0.333))[:, 0, 0].tolist() == [34, 33, 33]
    assert percent(pixel(0.006, 0.006, 0.988))[:, 0, 0].tolist() == [1, 0, 99]
    assert percent(pixel(0, 0))[:, 0, 0].tolist() == [0, 0]


def test_dates_count_by_their_weight_and_not_where_they_see_nothing():
    dates = [pixel(1, 0), pixel(0, 1), pixel(np.nan, np.nan)]
    weights = [np.full((1, 1), weight, np.float32) for weight in (0.75, 0.25, 1)]

    assert mean_probabilities(dates, weights)[:, 0, 0].tolist() == [0.75, 0.25]
    assert np.isnan(mean_probabilities(dates, [0 * weight for weight in weights])).all()


def test_a_date_alone_weighs_by_its_margin():
    label = soft_label(pixel(0.2, 0.7, 0.1), seen=SEEN)

    assert label.ids[0, 0] == 1
    assert label.probabilities[:, 0, 0].tolist() == [20, 70, 10]
    assert label.weight[0, 0] == 50


def test_a_pixel_that_no_date_shows_has_no_label():
    label = soft_label(pixel(0.2, 0.8), seen=~SEEN)

    assert (label.ids[0, 0], label.weight[0, 0], label.probabilities.max()) == (UNKNOWN, 0, 0)


@pytest.mark.parametrize(("least", "known"), [(0.0, True), (0.1, True), (0.3, False)])
def test_a_margin_below_the_least_one_gives_no_label(least, known):
    label = soft_label(pixel(0.4, 0.6), seen=SEEN, min_margin=least)

    assert (label.ids[0, 0] != UNKNOWN) == known


def test_a_labelled_pixel_always_weighs_something():
    assert soft_label(pixel(0.5, 0.5), seen=SEEN).weight[0, 0] == 1


def test_the_weight_falls_as_a_date_drifts_from_the_label():
    mean = pixel(0.8, 0.15, 0.05)
    owns = [pixel(0.8, 0.15, 0.05), pixel(0.6, 0.3, 0.1), pixel(0.4, 0.5, 0.1)]

    labels = [soft_label(mean, own, seen=SEEN) for own in owns]

    weights = [int(label.weight[0, 0]) for label in labels]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == 65  # the margin: both agree
    assert [label.ids[0, 0] for label in labels] == [0, 0, 0]


def test_a_date_that_is_sure_of_another_class_has_no_label():
    flooded = pixel(0.9, 0.05, 0.05)
    dry = pixel(0.02, 0.9, 0.08)
    mean = mean_probabilities([flooded, dry, dry], [np.ones((1, 1), np.float32)] * 3)

    assert soft_label(mean, flooded, seen=SEEN).ids[0, 0] == UNKNOWN
    assert soft_label(mean, dry, seen=SEEN).ids[0, 0] == 1


@given(SHARES, st.randoms(use_true_random=False))
def test_agreement_is_one_minus_half_the_difference(raw, rng):
    raw[0] += np.float32(1e-3)
    one = raw / raw.sum(axis=0)
    order = list(range(len(one)))
    rng.shuffle(order)
    other = one[order]

    expected = 1 - np.abs(one - other).sum(axis=0) / 2
    np.testing.assert_allclose(agreement_of(one, other), expected, atol=1e-5)
