"""Filling slots run by run gives what filling them pixel by pixel gives."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.imagery.kernels import NO_SCENE
from lulcmap.imagery.resample import CoarsePlane
from lulcmap.imagery.slots import fill_slots, find_runs
from lulcmap.imagery.strips import Strips

SCENES = (0, 3, 7)


def picked(rng, slots: int, shape: tuple[int, int], run: int) -> np.ndarray:
    """(slots, h, w) scenes, each in one slot of a pixel at most, in runs of about a length."""
    numbers = np.array([*SCENES, *[NO_SCENE] * slots])
    wide = rng.permuted(numbers)[:slots]
    cells = rng.permuted(np.tile(numbers, (*shape, 1)), axis=2)[..., :slots]
    keep = np.kron(rng.random((shape[0], -(-shape[1] // run))) < 0.5, np.ones((1, run)))
    chosen = np.where(keep[:, : shape[1], None] > 0, wide, cells)
    return np.ascontiguousarray(chosen.transpose(2, 0, 1)).astype(np.uint16)


def without_offset(raw: np.ndarray, offset: int) -> np.ndarray:
    return np.where(raw == 0, 0, np.clip(raw.astype(int) - offset, 1, 65535))


def filled(stack: np.ndarray, picks: np.ndarray, number: int, values: np.ndarray) -> np.ndarray:
    mine = np.kron(picks == number, np.ones((2, 2), bool))
    return np.where(mine, values, stack)


sizes = st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 90))


@given(st.integers(0, 2**32 - 1), sizes, st.integers(1, 50))
def test_runs_are_all_pixels_of_each_scene_once(seed, size, length):
    slots, *shape = size
    picks = picked(np.random.default_rng(seed), slots, tuple(shape), length)

    runs = find_runs(picks)

    assert list(runs) == [number for number in SCENES if (picks == number).any()]
    again = np.full_like(picks, NO_SCENE)
    for number, places in runs.items():
        for slot, y, start, stop in places.tolist():
            assert (again[slot, y, start:stop] == NO_SCENE).all()
            again[slot, y, start:stop] = number
    np.testing.assert_array_equal(again, picks)


@given(
    st.integers(0, 2**32 - 1),
    sizes,
    st.integers(1, 50),
    st.sampled_from([0, 1, 1000, -1000, 65535, 70_000, -65535, -70_000]),
)
def test_a_plane_fills_the_slots_that_picked_its_scene(seed, size, length, offset):
    rng, (slots, height, width) = np.random.default_rng(seed), size
    picks = picked(rng, slots, (height, width), length)
    stack = rng.integers(0, 65536, (slots, 2 * height, 2 * width)).astype(np.uint16)
    raw = rng.choice([0, 1, 999, 1001, 5000, 65535], (2 * height, 2 * width)).astype(np.uint16)

    for number, runs in find_runs(picks).items():
        expected = filled(stack, picks, number, without_offset(raw, offset))
        fill_slots(stack, runs, raw, offset, Strips(1))
        np.testing.assert_array_equal(stack, expected)


@given(
    st.integers(0, 2**32 - 1),
    sizes,
    st.integers(1, 50),
    st.tuples(st.integers(0, 1), st.integers(0, 1)),
    st.sampled_from([0.0, 0.01, 0.5]),
)
def test_a_coarse_plane_fills_what_it_would_fill_doubled(seed, size, length, odd, gaps):
    rng, (slots, height, width) = np.random.default_rng(seed), size
    picks = picked(rng, slots, (height, width), length)
    stack = np.zeros((slots, 2 * height, 2 * width), np.uint16)
    samples = rng.integers(1, 65536, (height + 2 + odd[0], width + 2 + odd[1])).astype(np.uint16)
    samples[rng.random(samples.shape) < gaps] = 0
    coarse = CoarsePlane(samples, *odd, (2 * height, 2 * width))

    for number, runs in find_runs(picks).items():
        expected = filled(stack, picks, number, without_offset(coarse.doubled(), 1000))
        fill_slots(stack, runs, coarse, 1000, Strips(1))
        np.testing.assert_array_equal(stack, expected)


def test_nothing_picked_is_no_run():
    assert find_runs(np.full((2, 3, 4), NO_SCENE, np.uint16)) == {}
