import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lulcmap.products.change.trajectory import Rates, estimate_rates, most_probable


def log_probability(path, observed, percent, rates):
    """Of a path and what is seen of it, straight from the definition of the model."""
    others = rates.n_classes - 1
    total = 0.0
    for t, state in enumerate(path):
        if t:
            stays = state == path[t - 1]
            total += math.log(1 - rates.change if stays else rates.change / others)
        if observed[t] < 254:
            right = 1 - rates.error
            if percent is not None and percent[t] <= 100:
                right = min(max(percent[t] / 100, 1 / rates.n_classes), 0.99)
            total += math.log(right if state == observed[t] else (1 - right) / others)
    return total


@st.composite
def pixels(draw):
    n_classes = draw(st.integers(2, 4))
    rates = Rates(draw(st.floats(0.001, 0.2)), draw(st.floats(0.001, 0.4)), n_classes)
    years = draw(st.integers(2, 5))
    classes = st.one_of(st.integers(0, n_classes - 1), st.just(254))
    observed = draw(st.lists(classes, min_size=years, max_size=years))
    percent = draw(
        st.one_of(
            st.none(),
            st.lists(st.integers(0, 100) | st.just(255), min_size=years, max_size=years),
        )
    )
    return rates, observed, percent


@settings(max_examples=150, deadline=None)
@given(pixels())
def test_no_path_of_all_is_more_probable(pixel):
    rates, observed, percent = pixel
    as_map = None if percent is None else np.array(percent, np.uint8)[:, None, None]

    path = most_probable(np.array(observed, np.uint8)[:, None, None], rates, as_map)[:, 0, 0]

    if all(value == 254 for value in observed):
        assert (path == 254).all()
        return
    best = max(
        log_probability(one, observed, percent, rates)
        for one in itertools.product(range(rates.n_classes), repeat=len(observed))
    )
    assert log_probability(path.tolist(), observed, percent, rates) == pytest.approx(best)


@pytest.mark.parametrize(
    ("seen", "path"),
    [
        ("AABAA", "AAAAA"),  # flicker
        ("AABBB", "AABBB"),  # change
        ("ABABA", "AAAAA"),
        ("AAAAB", "AAAAA"),  # one year does not tell
        (".AA.A", ".AAAA"),  # a gap between years is filled, one before them is not
        ("A?BBB", "ABBBB"),
        ("??A??", "AAAAA"),
        (".?.?.", ".???."),
        (".....", "....."),
    ],
)
def test_flicker_goes_and_change_stays(seen, path):
    codes = {"A": 3, "B": 7, "?": 254, ".": 255}
    observed = np.array([codes[one] for one in seen], np.uint8)[:, None, None]

    found = most_probable(observed, Rates(0.02, 0.1, 9))[:, 0, 0]

    if seen == "A?BBB":  # the unsure year is either: both paths are equally probable
        assert found.tolist() in ([3, 3, 7, 7, 7], [3, 7, 7, 7, 7], [7, 7, 7, 7, 7])
        return
    assert found.tolist() == [codes[one] for one in path]


def simulated(rng, years, change, error, n_classes=9, pixels=100_000):
    """True classes and what maps with errors show of them."""
    truth = np.empty((years, pixels), np.uint8)
    truth[0] = rng.integers(0, n_classes, pixels)
    for t in range(1, years):
        step = np.where(rng.random(pixels) < change, rng.integers(1, n_classes, pixels), 0)
        truth[t] = (truth[t - 1] + step) % n_classes
    wrong = np.where(rng.random(truth.shape) < error, rng.integers(1, n_classes, truth.shape), 0)
    return truth, ((truth + wrong) % n_classes).astype(np.uint8)


@pytest.mark.parametrize(
    ("years", "change", "error"),
    [(3, 0.03, 0.02), (3, 0.01, 0.08), (5, 0.01, 0.1), (8, 0.02, 0.15)],
)
def test_the_model_is_found_in_the_maps(years, change, error):
    _, observed = simulated(np.random.default_rng(years), years, change, error)
    observed[:, ::7] = 254  # unsure pixels tell nothing

    rates = estimate_rates(observed, 9)

    assert rates.change == pytest.approx(change, rel=0.1)
    assert rates.error == pytest.approx(error, rel=0.05)


def test_paths_are_nearer_to_the_truth_than_the_maps():
    truth, observed = simulated(np.random.default_rng(1), 6, 0.02, 0.1)

    paths = most_probable(observed[:, None], estimate_rates(observed, 9))[:, 0]

    assert (observed == truth).mean() == pytest.approx(0.9, abs=0.01)
    assert (paths == truth).mean() > 0.98
    changed, mapped, kept = (one[0] != one[-1] for one in (truth, observed, paths))
    assert mapped.mean() > 2.5 * changed.mean()
    assert 0.4 * changed.mean() < kept.mean() < changed.mean()
    assert changed[kept].mean() > 0.9


def test_the_model_tells_how_much_land_differs_between_the_first_and_the_last_year():
    truth, observed = simulated(np.random.default_rng(2), 6, 0.02, 0.1)

    expected = estimate_rates(observed, 9).expected_change(steps=5)

    assert expected == pytest.approx(np.mean(truth[0] != truth[-1]), rel=0.05)


def test_maps_without_two_sure_years_leave_the_model_where_it_starts():
    nothing = np.full((3, 50), 254, np.uint8)

    rates = estimate_rates(nothing, 9)

    assert (rates.change, rates.error) == pytest.approx((0.02, 0.1))
