import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lulcmap.model.decide import interpolation, logits_at, write_pixels, write_probabilities


def places_of(row, col, shape, stride):
    """Where pixels lie in cells that begin one before the first, and the number of cells."""
    axes, cells = [], []
    for first, n in zip((row, col), shape, strict=True):
        first_cell = first // stride - 1
        axes += interpolation(first, n, first_cell=first_cell, stride=stride)
        cells.append(-(-(first + n) // stride) - first_cell + 1)
    return axes, cells


def decided(total, places, wanted, ids, temperature):
    """Class, confidence and margin of every pixel in double precision, one by one."""
    out = np.full((3, *wanted.shape), 255, np.uint8)
    for y, x in np.argwhere(wanted):
        (logits,) = logits_at(total, *places, np.array([y]), np.array([x]))
        best = int(np.argmax(logits))
        others = np.delete(logits, best) - logits[best]
        odds, second = 0.0, 0.0
        for other in others:
            odd = np.exp(np.float64(other) / temperature)
            odds += odd
            second = max(second, odd)
        shares = 100 / (1 + odds), 100 * (1 - second) / (1 + odds)
        out[:, y, x] = ids[best], *(int(share + 0.5) for share in shares)
    return out


def written(total, places, wanted, ids, temperature):
    out = np.full((3, *wanted.shape), 255, np.uint8)
    write_pixels(total, *places, wanted, ids, temperature, out)
    return out


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    corner=st.tuples(st.integers(-99, 99), st.integers(-99, 99)),
    shape=st.tuples(st.integers(1, 3), st.sampled_from([1, 2, 3, 5, 40, 511, 512, 513, 700])),
    stride=st.sampled_from([1, 2, 4, 7]),
    n=st.sampled_from([1, 2, 3, 9, 40]),
    spread=st.sampled_from([0.01, 1.0, 5.0, 300.0]),
    temperature=st.sampled_from([1, 0.05, 0.9, 3.0, 1e6, 1e-30, 1e-40, 9e29]),
    whole=st.booleans(),
)
def test_bytes_are_those_of_double_precision(
    seed, corner, shape, stride, n, spread, temperature, whole
):
    rng = np.random.default_rng(seed)
    places, cells = places_of(*corner, shape, stride)
    total = (spread * rng.normal(size=(*cells, n))).astype(np.float32)
    if whole:  # ties
        total = np.rint(total)
    wanted = rng.random(shape) < rng.choice([0.1, 1])
    ids = rng.permutation(60)[:n].astype(np.uint8)

    out = written(total, places, wanted, ids, temperature)

    np.testing.assert_array_equal(out, decided(total, places, wanted, ids, temperature))


def test_a_percent_that_is_half_way_is_that_of_double_precision():
    """Odds whose percent, plus a half, lie within a few millionths of whole numbers."""
    percent = np.repeat(np.arange(50, 100) + 0.5, 200)
    near = percent + np.random.default_rng(0).uniform(-3e-5, 3e-5, percent.size)
    total = np.zeros((2, near.size + 1, 2), np.float32)
    total[:, :-1, 1] = np.log(100 / near - 1)
    places = [np.zeros(1, np.int64), np.zeros(1, np.float32)]
    places += [np.arange(near.size), np.zeros(near.size, np.float32)]
    wanted, ids = np.ones((1, near.size), bool), np.arange(2, dtype=np.uint8)

    out = written(total, places, wanted, ids, 1.0)

    np.testing.assert_array_equal(out, decided(total, places, wanted, ids, 1.0))
    assert len(np.unique(out[1])) == 51


@pytest.mark.parametrize("n", [9, 255])
def test_many_classes_are_decided_as_in_double_precision(n):
    rng = np.random.default_rng(n)
    places, cells = places_of(0, 0, (8, 600), 4)
    total = rng.normal(size=(*cells, n)).astype(np.float32) * np.float32(2)
    wanted, ids = np.ones((8, 600), bool), np.arange(n, dtype=np.uint8)

    out = written(total, places, wanted, ids, 1.3)

    np.testing.assert_array_equal(out, decided(total, places, wanted, ids, 1.3))


def test_probabilities_are_those_of_the_classes_written():
    rng = np.random.default_rng(3)
    places, cells = places_of(-7, 5, (30, 50), 4)
    total = 3 * rng.normal(size=(*cells, 9)).astype(np.float32)
    wanted, ids = rng.random((30, 50)) < 0.7, rng.permutation(12)[:9].astype(np.uint8)
    shares = np.full((12, 30, 50), 255, np.uint8)

    write_probabilities(total, *places, wanted, ids, 1.5, shares)

    out = written(total, places, wanted, ids, 1.5)
    rows, cols = np.nonzero(wanted)
    np.testing.assert_array_equal(shares[out[0][wanted], rows, cols], out[1][wanted])
    assert (shares[:, ~wanted] == 255).all()
