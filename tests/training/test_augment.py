"""Shifts, speckle, blur and mirrored margins of training samples."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import shift

from lulcmap.dataset.pixels import Pixels
from lulcmap.model.mirror import mirrored
from lulcmap.training.augment import (
    STRENGTHS,
    augment,
    blur_s1,
    move_sensors,
    moved_by,
    shift_s1,
    strength_of,
)
from lulcmap.training.batches import batches
from lulcmap.training.margins import mirror_gaps, pad_sample
from lulcmap.training.settings import TrainingSettings
from tests.support.networks import make_chips

STRONG = STRENGTHS["strong"]
HALF = st.floats(-0.5, 0.5)


@given(arrays(np.float32, (2, 7, 9), elements=st.floats(0, 100, width=32)), HALF, HALF)
def test_a_shift_is_bilinear_as_in_scipy(values, down, right):
    valid = np.ones(values.shape, bool)

    moved = moved_by(values, valid, down, right)

    expected = shift(values, (0, -down, -right), order=1, mode="nearest")
    np.testing.assert_allclose(moved[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=1e-3)


@given(arrays(np.bool_, (1, 6, 6)), HALF, HALF)
def test_a_shift_takes_nothing_from_nodata_nor_from_outside(valid, down, right):
    values = np.where(valid, np.float32(5), np.float32(1e6))

    moved = moved_by(values, valid, down, right)

    np.testing.assert_allclose(moved[valid], 5, rtol=1e-5)


def test_both_sensors_move_by_themselves_and_nodata_stays():
    sample = make_chips(1).sample(0)
    s2, s1 = sample.s2.copy(), sample.s1.copy()
    s2[:, 5:9], s1[:, :, :7] = 0, -32768
    every = replace(STRONG, pixel_shift=1.0)

    moved_s2, moved_s1 = move_sensors(s2, s1, np.random.default_rng(0), every)

    assert ((moved_s2 == 0) == (s2 == 0)).all()
    assert ((moved_s1 == -32768) == (s1 == -32768)).all()
    assert (moved_s2 != s2).mean() > 0.5
    assert (moved_s1 != s1).mean() > 0.5
    even = move_sensors(np.full_like(s2, 700), np.full_like(s1, -1234), np.random.default_rng(0))
    assert (even[0] == 700).all()
    assert (even[1] == -1234).all()


def test_gentle_moves_nothing_unless_asked_to():
    settings = TrainingSettings(augmentation="gentle")

    assert strength_of(settings) is STRENGTHS["gentle"]
    assert strength_of(settings).pixel_shift == 0
    assert strength_of(replace(settings, pixel_shift=0.3)).pixel_shift == 0.3
    assert strength_of(replace(settings, augmentation="strong")).pixel_shift == 0.5
    assert strength_of(replace(settings, augmentation="strong", pixel_shift=0.0)).pixel_shift == 0
    s1 = make_chips(1).s1[0]
    assert blur_s1(s1, np.random.default_rng(0), STRENGTHS["gentle"]) is s1


def test_speckle_keeps_the_mean_power_and_reaches_a_single_date():
    s1 = np.full((2, 128, 128), -1500, np.int16)
    only = replace(STRONG, s1_blur=0.0)

    deviations = []
    for seed in range(200):
        power = 10 ** (blur_s1(s1, np.random.default_rng(seed), only) / 1000) / 10**-1.5
        assert power.mean() == pytest.approx(1, abs=0.02)
        deviations.append(power.std())

    assert 0.3 < np.mean(np.equal(deviations, 0)) < 0.7
    assert 0.42 < max(deviations) < 0.5
    assert np.corrcoef(power[0].ravel(), power[1].ravel())[0, 1] < 0.9


def test_a_blur_lowers_contrast_and_takes_nothing_from_nodata():
    rng = np.random.default_rng(1)
    s1 = rng.normal(-1500, 300, (2, 64, 64)).astype(np.int16)
    s1[:, :, :9] = -32768
    only = replace(STRONG, s1_speckle=0.0)

    spreads = []
    for seed in range(20):
        blurred = blur_s1(s1, np.random.default_rng(seed), only)
        assert ((blurred == -32768) == (s1 == -32768)).all()
        spreads.append(blurred[:, :, 9:].std() / s1[:, :, 9:].std())
    even = np.where(s1 == -32768, s1, -1234).astype(np.int16)

    assert max(spreads) == 1
    assert min(spreads) < 0.6
    for seed in range(20):
        blurred = blur_s1(even, np.random.default_rng(seed), only)
        assert np.abs(blurred.astype(int) - even).max() <= 1


def test_strong_backscatter_covers_sigma0_and_gamma0():
    s1 = np.full((2, 4, 4), -1500, np.int16)

    shifts = np.array(
        [shift_s1(s1, np.random.default_rng(n), STRONG)[:, 0, 0] + 1500 for n in range(2000)]
    )

    assert np.percentile(shifts.mean(1), [2.5, 97.5]) == pytest.approx([-300, 300], abs=40)
    assert np.std(shifts[:, 0] - shifts[:, 1]) == pytest.approx(50 * 2**0.5, rel=0.1)


def test_a_missing_sensor_leaves_soft_labels_and_weights_as_they_are():
    chips = make_chips(1)
    soft = np.zeros((9, 64, 64), np.uint8)
    soft[0], soft[4] = chips.label[0] * 10, 100 - chips.label[0] * 10
    weight = chips.label[0] * 5
    sample = replace(chips.sample(0), probabilities=soft, weight=weight.astype(np.uint8))

    for seed in range(20):
        seen = augment(
            sample,
            np.random.default_rng(seed),
            crop=32,
            missing_s2=0.5,
            missing_s1=0.5,
            strength=STRONG,
        )
        assert (seen.s2 == 0).any() != (seen.s1 == -32768).any()
        assert (seen.probabilities[0] == seen.label * 10).all()
        assert (seen.probabilities.sum(0) == 100).all()
        assert (seen.weight == seen.label * 5).all()


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 9))
def test_margins_are_those_of_the_windows_of_a_map(rows, cols, seed):
    rng = np.random.default_rng(seed)
    sample = Pixels(
        rng.integers(1, 9999, (9, rows, cols)).astype(np.uint16),
        rng.integers(-2500, 0, (2, rows, cols)).astype(np.int16),
        rng.integers(0, 9, (rows, cols)).astype(np.uint8),
        weight=np.full((rows, cols), 30, np.uint8),
    )

    padded = pad_sample(sample, min_size=(40, 8))

    assert all(side % 32 == 0 for side in padded.shape)
    valid = np.zeros(padded.shape, bool)
    valid[:rows, :cols] = True
    row, col = mirrored(valid)
    assert (padded.s2 == sample.s2[:, row, col]).all()
    assert (padded.s1 == sample.s1[:, row, col]).all()
    assert (padded.label[:rows, :cols] == sample.label).all()
    assert (padded.label[~valid] == 255).all()
    assert padded.weight.shape == padded.shape


def test_only_gaps_of_all_sensors_are_mirrored():
    sample = make_chips(1).sample(0)
    s2, s1 = sample.s2.copy(), sample.s1.copy()
    s2[:, :20], s1[:, 10:] = 0, -32768
    gappy = replace(sample, s2=s2, s1=s1)

    both = mirror_gaps(gappy)
    optical = mirror_gaps(gappy, ("s2",))

    gap = np.zeros((64, 64), bool)
    gap[10:20] = True
    assert (both.label == np.where(gap, 255, sample.label)).all()
    assert (both.s2[:, ~gap] == s2[:, ~gap]).all()
    assert (both.s2[:, 15:20] == s2[:, 25:20:-1]).all()
    assert (both.s1[:, 10:14] == s1[:, 8:4:-1]).all()
    assert (optical.label[:20] == 255).all()
    assert (optical.s2 != 0).all()
    empty = mirror_gaps(replace(gappy, s2=np.zeros_like(s2), s1=np.full_like(s1, -32768)))
    assert (empty.label == 255).all()


def test_a_network_of_one_sensor_sees_mirrored_land_where_it_is_blind():
    chips = make_chips(4)
    chips.s2[:, :, :, :7] = 0
    settings = TrainingSettings(batch=4, crop=64, missing_s1=0, missing_s2=0)

    both, optical = (
        next(batches(chips, settings, 0, inputs=inputs))[0] for inputs in (("s2", "s1"), ("s2",))
    )

    assert (both.s2 == 0).any()
    assert (both.target.label != 255).all()
    assert (optical.s2 != 0).all()
    assert ((optical.target.label == 255) == (both.s2 == 0).any(1)).all()
