"""Mirroring land into parts without data, against numpy's padding."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lulcmap.model.mirror import mirrored

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=24)).filter(np.any)


@settings(deadline=None)
@given(size=st.tuples(st.integers(1, 12), st.integers(1, 12)), data=st.data())
def test_a_rectangle_is_mirrored_as_numpy_pads_it(size, data):
    top, bottom, left, right = (data.draw(st.integers(0, size[i // 2] - 1)) for i in range(4))
    valid = np.pad(np.ones(size, bool), ((top, bottom), (left, right)))
    land = np.arange(valid[valid].size).reshape(size)

    rows, cols = mirrored(valid)

    expected = np.pad(land, ((top, bottom), (left, right)), mode="reflect")
    np.testing.assert_array_equal(land[rows - top, cols - left], expected)


@settings(deadline=None)
@given(valid=MASKS)
def test_every_pixel_shows_a_valid_one_and_valid_pixels_show_themselves(valid):
    rows, cols = mirrored(valid)

    assert valid[rows, cols].all()
    own = np.indices(valid.shape)
    np.testing.assert_array_equal(np.stack([rows, cols])[:, valid], own[:, valid])


def test_a_strip_is_mirrored_again_and_again():
    valid = np.zeros((8, 40), bool)
    valid[:, :5] = True

    rows, cols = mirrored(valid)

    np.testing.assert_array_equal(rows, np.indices(valid.shape)[0])
    expected = np.pad(np.arange(5), (0, 35), mode="reflect")
    np.testing.assert_array_equal(cols[:, :9], np.tile(expected[:9], (8, 1)))
    assert (np.abs(np.diff(cols, axis=1)) == 1).all()  # without a seam


def test_a_lone_pixel_and_a_line_are_repeated():
    lone = np.zeros((7, 9), bool)
    lone[2, 5] = True
    line = np.zeros((7, 9), bool)
    line[:, 5] = True

    rows, cols = mirrored(lone)
    assert set(rows.flat) == {2}
    assert set(cols.flat) == {5}
    rows, cols = mirrored(line)
    np.testing.assert_array_equal(rows, np.indices(line.shape)[0])
    assert set(cols.flat) == {5}


def test_across_a_slanting_edge_the_land_is_mirrored_across_it():
    y, x = np.indices((40, 40))
    valid = y + x < 40

    rows, _ = mirrored(valid)

    expected = np.where(valid, y, 39 - x)
    assert np.median(np.abs(rows - expected)) == 0
    assert np.percentile(np.abs(rows - expected), 95) <= 2  # a slanting edge is stairs
