from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.geo.tiling import Box, Lattice, blend_weights

BOXES = st.builds(
    Box,
    row=st.integers(-1_000_000, 1_000_000),
    col=st.integers(-50_000, 100_000),
    height=st.integers(1, 12_000),
    width=st.integers(1, 12_000),
)
SMALL_BOXES = st.builds(
    Box,
    row=st.integers(-60, 60),
    col=st.integers(-60, 60),
    height=st.integers(1, 50),
    width=st.integers(1, 50),
)
SMALL_LATTICES = st.sampled_from(
    [Lattice(16, 12), Lattice(16, 8), Lattice(12, 12), Lattice(20, 14)]
)


def test_a_box_of_no_pixels_is_wrong_code():
    with pytest.raises(ValueError, match="0 x 3"):
        Box(0, 0, 0, 3)


@given(SMALL_BOXES, SMALL_BOXES)
def test_the_intersection_is_what_both_boxes_cover(one, other):
    pixels = [
        {(row, col) for row in range(box.row, box.stop[0]) for col in range(box.col, box.stop[1])}
        for box in (one, other, one.intersection(other))
        if box is not None
    ]

    shared = pixels[2] if len(pixels) == 3 else set()
    assert shared == pixels[0] & pixels[1]


@given(SMALL_BOXES, st.data())
def test_within_takes_the_pixels_of_the_inner_box(outer, data):
    row = data.draw(st.integers(outer.row, outer.stop[0] - 1))
    col = data.draw(st.integers(outer.col, outer.stop[1] - 1))
    height = data.draw(st.integers(1, outer.stop[0] - row))
    width = data.draw(st.integers(1, outer.stop[1] - col))
    rows, cols = np.mgrid[outer.row : outer.stop[0], outer.col : outer.stop[1]]

    part = Box(row, col, height, width).within(outer)

    assert rows[part].shape == (height, width)
    assert (rows[part][0, 0], cols[part][0, 0]) == (row, col)


@pytest.mark.parametrize("inner", [Box(-1, 0, 2, 2), Box(0, -1, 2, 2), Box(3, 0, 2, 2)])
def test_within_refuses_a_box_that_sticks_out(inner):
    with pytest.raises(ValueError, match="not inside"):
        inner.within(Box(0, 0, 4, 4))


def test_grown_adds_on_each_side():
    assert Box(5, 6, 2, 3).grown(1) == Box(4, 5, 4, 5)


@given(BOXES, st.integers(1, 12))
def test_blocks_tile_the_area_exactly(area, steps):
    lattice = Lattice()
    blocks = lattice.blocks(area, block_size=steps * lattice.step)

    assert sum(box.height * box.width for _, box in blocks) == area.height * area.width
    for _, box in blocks:
        assert box.intersection(area) == box
    rows = {(box.row, box.stop[0]) for _, box in blocks}
    cols = {(box.col, box.stop[1]) for _, box in blocks}
    for spans, start, stop in ((rows, area.row, area.stop[0]), (cols, area.col, area.stop[1])):
        edges = sorted(spans)
        assert edges[0][0] == start
        assert edges[-1][1] == stop
        assert all(one[1] == other[0] for one, other in pairwise(edges))
    assert len({number for number, _ in blocks}) == len(blocks) == len(rows) * len(cols)


@given(BOXES, BOXES, st.integers(1, 12))
def test_a_block_has_one_number_in_every_area(one, other, steps):
    size = steps * 384
    lattice = Lattice()
    numbers = dict(lattice.blocks(one, block_size=size))

    for number, box in lattice.blocks(other, block_size=size):
        if number in numbers:
            both = union_of(box, numbers[number])
            assert both.height <= size
            assert both.width <= size


def union_of(one, other):
    row, col = min(one.row, other.row), min(one.col, other.col)
    stop = max(one.stop[0], other.stop[0]), max(one.stop[1], other.stop[1])
    return Box(row, col, stop[0] - row, stop[1] - col)


def test_a_block_size_that_is_not_a_multiple_of_the_step_is_wrong_code():
    with pytest.raises(ValueError, match="not a multiple of 384"):
        Lattice().blocks(Box(0, 0, 10, 10), block_size=1000)


@given(SMALL_BOXES, SMALL_LATTICES)
def test_reaching_finds_every_window_with_a_pixel_of_the_box_and_no_other(box, lattice):
    every = [
        Box(row * lattice.step, col * lattice.step, lattice.size, lattice.size)
        for row in range(-20, 21)
        for col in range(-20, 21)
    ]

    assert lattice.reaching(box) == [window for window in every if window.intersection(box)]


@given(SMALL_BOXES, SMALL_LATTICES)
def test_windows_cover_every_pixel(box, lattice):
    covered = np.zeros(box.shape, bool)
    for window in lattice.reaching(box):
        covered[window.intersection(box).within(box)] = True

    assert covered.all()


@pytest.mark.parametrize("blend", ["hann", "centre"])
@pytest.mark.parametrize(
    ("lattice", "stride"),
    [
        (Lattice(), 4),
        (Lattice(), 1),
        (Lattice(), 32),
        (Lattice(512, 256), 4),
        (Lattice(512, 512), 8),
        (Lattice(16, 12), 2),
    ],
)
def test_the_weights_over_a_cell_sum_to_one(lattice, stride, blend):
    along = blend_weights(lattice, stride=stride, blend=blend)
    step, total = lattice.step // stride, np.zeros(5 * lattice.size // stride, np.float32)
    for start in range(0, len(total) - len(along) + 1, step):
        total[start : start + len(along)] += along
    whole = total[len(along) : start]

    assert len(along) == lattice.size // stride
    np.testing.assert_allclose(whole, 1, rtol=0, atol=1e-6)
    assert (along >= 0).all()
    np.testing.assert_allclose(along, along[::-1], rtol=0, atol=1e-6)


def test_centre_keeps_the_middle_step_only():
    assert blend_weights(Lattice(16, 12), stride=2, blend="centre").tolist() == [
        0,
        1,
        1,
        1,
        1,
        1,
        1,
        0,
    ]


@pytest.mark.parametrize(("size", "step"), [(16, 7), (16, 17)])
def test_a_step_under_half_a_window_or_over_one_is_wrong_code(size, step):
    with pytest.raises(ValueError, match="between half"):
        Lattice(size, step)


def test_a_stride_that_does_not_divide_the_lattice_is_wrong_code():
    with pytest.raises(ValueError, match="stride 5"):
        blend_weights(Lattice(), stride=5)
