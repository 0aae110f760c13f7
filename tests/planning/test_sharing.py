"""Which block runs a window that several need."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lulcmap.geo import Block, BlockId, Box, Lattice
from lulcmap.planning.budget import MemoryBudget, memory_budget
from lulcmap.planning.sharing import (
    SharePlan,
    blocks_budget,
    in_order,
    most_kept,
    share_plan,
    windows_run,
)

ZONES = 32632, 32633


@st.composite
def cut(draw):
    """Blocks of an area with holes, the windows each needs, and how many may be kept.

    Then what they were made with: lattice, and pixels a side of a block.
    """
    size, step = draw(st.sampled_from([(64, 48), (64, 32), (64, 64), (512, 384)]))
    lattice = Lattice(size, step)
    block_size = step * draw(st.integers(1, 3))
    area = Box(
        *draw(st.tuples(*[st.integers(-500, 500)] * 2)), *[draw(st.integers(1, 6 * step))] * 2
    )
    whole = [
        Block(BlockId(zone, *place), box)
        for zone in ZONES
        for place, box in lattice.blocks(area, block_size=block_size)
    ]
    blocks = draw(st.lists(st.sampled_from(whole), min_size=1, unique_by=lambda block: block.id))
    if draw(st.booleans()):
        blocks = in_order(blocks)
    needed = {}
    for block in blocks:
        windows = lattice.reaching(block.box.grown(4))
        gone = draw(st.sets(st.sampled_from(windows), max_size=3))
        needed[block.id] = [window for window in windows if window not in gone]
    return blocks, needed, draw(st.sampled_from([0, 1, 3, 10**6])), lattice, block_size


@settings(max_examples=50)
@given(cut(), st.integers(1, 4))
def test_every_window_is_run_or_was_kept_and_once_if_all_may_be_kept(case, behind):
    blocks, needed, most, *_ = case
    plan = SharePlan(blocks, reach=8, most=most, behind=behind)
    kept, runs = {}, {}

    for number, block in enumerate(blocks):
        shares = plan.share(block, needed[block.id], frozenset())
        zone = block.id.zone

        assert sorted([*shares.fresh, *shares.known], key=str) == sorted(needed[block.id], key=str)
        for window in shares.known:
            owner, last = kept[zone, window]
            assert owner in shares.owners
            assert last >= number
        assert set(shares.kept) <= set(shares.fresh)
        for window in shares.fresh:
            runs[zone, window] = runs.get((zone, window), 0) + 1
        kept.update({(zone, window): (number, shares.kept[window]) for window in shares.kept})
        assert sum(last > number for _, last in kept.values()) <= most

    if most == 10**6:
        assert set(runs.values()) <= {1}


@pytest.mark.parametrize("behind", [1, 2, 5, 17])
@pytest.mark.parametrize("shape", [(20_000, 10_000), (20_000, 20_000), (3_000, 20_000)])
@pytest.mark.parametrize(
    ("lattice", "block_size"),
    [
        (Lattice(512, 384), 4608),
        (Lattice(512, 384), 1536),
        (Lattice(512, 256), 2048),
        (Lattice(512, 256), 1024),
        (Lattice(512, 448), 1344),
        (Lattice(512, 512), 1024),
    ],
)
def test_no_window_is_run_twice_where_as_many_may_be_kept_as_are_asked_for(
    lattice, block_size, shape, behind
):
    cells = lattice.blocks(Box(1000, 2000, *shape), block_size=block_size)
    blocks = in_order([Block(BlockId(32632, *place), box) for place, box in cells])
    most = most_kept(blocks, lattice, block_size=block_size, reach=8, behind=behind)
    plan = SharePlan(blocks, reach=8, most=most, behind=behind)
    run = []

    for block in blocks:
        run += plan.share(block, lattice.reaching(block.box.grown(4)), frozenset()).fresh

    assert len(run) == len(set(run))


@settings(max_examples=50)
@given(cut())
def test_the_neighbours_of_a_block_that_keeps_nothing_rely_on_nobody(case):
    blocks, needed, *_ = case
    plan = SharePlan(blocks, reach=8, most=10**6, behind=1)

    for block in blocks:
        shares = plan.share(block, needed[block.id], frozenset(range(len(blocks))))
        near = {
            other.id
            for other in blocks
            if other.id != block.id
            and other.id.zone == block.id.zone
            and max(abs(other.id.row - block.id.row), abs(other.id.col - block.id.col)) <= 3
        }
        assert not (shares.known and near)


def test_few_windows_are_kept_along_the_shorter_side():
    tall = [
        Block(BlockId(32632, row, col), Box(0, 0, 1, 1)) for row in range(9) for col in range(2)
    ]
    wide = [
        Block(BlockId(32632, row, col), Box(0, 0, 1, 1)) for row in range(2) for col in range(9)
    ]

    assert [block.id[1:] for block in in_order(tall)][:3] == [(0, 0), (0, 1), (1, 0)]
    assert [block.id[1:] for block in in_order(wide)][:3] == [(0, 0), (1, 0), (0, 1)]


@settings(max_examples=50)
@given(cut(), st.integers(1, 4))
def test_the_windows_foretold_are_those_that_the_blocks_run(case, behind):
    blocks, needed, most, lattice, block_size = case
    blocks = in_order([block for block in blocks if block.id.zone == blocks[0].id.zone])
    planned = planned_with(lattice, block_size)
    kept = most * planned.session.contract.window_bytes
    budget = MemoryBudget(
        blocks=behind, composites=1, readers=1, calls=1, strips=1, kept=kept, peak=0.0
    )
    corners = [
        np.array([(window.row, window.col) for window in needed[block.id]], int).reshape(-1, 2)
        for block in blocks
    ]
    plan = share_plan(planned.session.contract, blocks, budget)

    run = windows_run(planned, blocks, corners, budget)

    for block, windows in zip(blocks, run, strict=True):
        fresh = plan.share(block, needed[block.id], frozenset()).fresh
        assert windows.tolist() == [[window.row, window.col] for window in fresh]


@pytest.mark.parametrize(("size", "step"), [(512, 384), (256, 192), (256, 128), (64, 64)])
def test_memory_is_taken_for_all_windows_of_a_block(size, step):
    """Windows of two steps reach a whole window beyond a block on each side."""
    lattice = Lattice(size, step)
    ((place, box),) = lattice.blocks(
        Box(size // 2, size // 2, 4 * step, 4 * step), block_size=4 * step
    )
    windows = lattice.reaching(box.grown(4))
    height = windows[-1].stop[0] - windows[0].row

    budget = blocks_budget(planned_with(lattice, 4 * step), [Block(BlockId(32632, *place), box)])

    whole = memory_budget((height, height), readers=1, allowed=10**12, reach=0, n_blocks=1)
    assert budget.peak == whole.peak


def planned_with(lattice, block_size):
    """A planned map, as far as sharing asks it."""
    agreed = SimpleNamespace(
        window=lattice.size,
        stride=4,
        window_bytes=100,
        lattice=lattice,
        bytes_per_pixel=0,
        shown_bytes=0,
    )
    return SimpleNamespace(
        session=SimpleNamespace(
            contract=agreed, device="cpu", batch_size=1, in_flight=1, call_bytes=0.0
        ),
        settings=SimpleNamespace(block_size=block_size, workers=1, max_memory=10**12),
        kept_bytes=0,
    )
