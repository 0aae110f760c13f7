"""What fits into memory."""

import pytest

from lulcmap.errors import UsageError
from lulcmap.planning import budget
from lulcmap.planning.budget import (
    AHEAD_BYTES_PER_PIXEL,
    BASE_BYTES,
    COMPOSITE_BYTES_PER_PIXEL,
    LOGIT_BYTES_PER_PIXEL,
    PLANE_BYTES_PER_PIXEL,
    READER_BYTES,
    memory_budget,
)

SHAPE = 4608, 4608
PIXELS = 5120 * 5120
PLANES = 4 * PLANE_BYTES_PER_PIXEL  # of eight readers, four are counted with the composite
ONE = BASE_BYTES + PIXELS * COMPOSITE_BYTES_PER_PIXEL
TWO = ONE + PIXELS * AHEAD_BYTES_PER_PIXEL


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch):
    monkeypatch.setattr(budget, "available_cores", lambda: 2)


@pytest.mark.parametrize(
    ("allowed", "blocks", "readers"),
    [
        (TWO + PIXELS * PLANES + 8 * READER_BYTES, 2, 8),
        (TWO + PIXELS * PLANES + 7 * READER_BYTES, 2, 4),
        (TWO + 3 * READER_BYTES, 1, 8),
        (ONE + READER_BYTES, 1, 1),
    ],
)
def test_first_readers_go_then_the_block_ahead(allowed, blocks, readers):
    fits = memory_budget(SHAPE, readers=8, allowed=int(allowed))

    assert (fits.blocks, fits.readers, fits.composites) == (blocks, readers, 1)
    assert fits.peak <= allowed


@pytest.mark.parametrize(
    ("cores", "n_blocks", "blocks", "composites", "readers"),
    [
        (1, 9, 2, 1, 4),
        (2, 9, 2, 1, 4),
        (4, 9, 2, 1, 6),
        (8, 9, 5, 2, 12),
        (16, 100, 9, 4, 24),
        (16, 3, 3, 3, 24),
        (16, 1, 1, 1, 24),
        (96, 1000, 17, 8, 32),
    ],
)
def test_cores_decide_what_is_done_at_once(
    monkeypatch, cores, n_blocks, blocks, composites, readers
):
    monkeypatch.setattr(budget, "available_cores", lambda: cores)

    fits = memory_budget(SHAPE, readers=None, allowed=10**12, n_blocks=n_blocks, on_gpu=True)

    assert (fits.blocks, fits.composites, fits.readers) == (blocks, composites, readers)
    assert fits.planes * composites >= readers


def test_a_network_on_the_cores_is_fed_by_one_composite(monkeypatch):
    monkeypatch.setattr(budget, "available_cores", lambda: 16)

    fits = memory_budget(SHAPE, readers=None, allowed=10**12, n_blocks=100)

    assert (fits.blocks, fits.composites) == (2, 1)


@pytest.mark.parametrize("gigabytes", [4, 6, 8, 16, 32, 64])
def test_with_less_memory_less_is_done_at_once(monkeypatch, gigabytes):
    monkeypatch.setattr(budget, "available_cores", lambda: 16)

    fits = memory_budget(
        SHAPE, readers=None, allowed=int(gigabytes * 1e9), n_blocks=9, kept=1e8, on_gpu=True
    )
    less = memory_budget(
        SHAPE, readers=None, allowed=int(gigabytes * 9e8), n_blocks=9, kept=1e8, on_gpu=True
    )

    assert fits.peak <= gigabytes * 1e9
    assert less.blocks <= fits.blocks
    assert less.composites <= fits.composites


@pytest.mark.parametrize(("call", "calls"), [(1e7, 16), (1e9, 1)])
def test_calls_of_the_network_count(call, calls):
    fits = memory_budget(SHAPE, readers=1, allowed=10**10, calls=16, call=call)
    alone = memory_budget(SHAPE, readers=1, allowed=10**10, calls=1, call=call)

    assert fits.calls == calls
    assert fits.peak - alone.peak == pytest.approx((calls - 1) * call)


def test_a_gpu_keeps_its_calls_where_nothing_fits(monkeypatch):
    monkeypatch.setattr(budget, "free_memory", lambda: 1e8)

    assert memory_budget(SHAPE, readers=1, allowed=None, on_gpu=True, calls=2).calls == 2


def test_one_call_at_once_is_better_than_none():
    allowed = int(ONE + READER_BYTES)

    fits = memory_budget(SHAPE, readers=8, allowed=allowed, calls=16, call=1e8)

    assert (fits.blocks, fits.readers, fits.calls) == (1, 1, 1)


def test_windows_kept_for_the_next_blocks_take_a_tenth_of_the_memory_at_most():
    few = memory_budget(SHAPE, readers=1, allowed=10**10, kept=1e8)
    many = memory_budget(SHAPE, readers=1, allowed=10**10, kept=1e11)

    assert few.kept == 1e8
    assert many.kept == 1e9
    assert many.peak - few.peak == pytest.approx(9e8)


@pytest.mark.parametrize("left", [0, 5e7])
def test_windows_are_kept_in_what_one_block_leaves(left):
    allowed = int(ONE + READER_BYTES + left)

    fits = memory_budget(SHAPE, readers=8, allowed=allowed, kept=1e9)

    assert (fits.blocks, fits.readers) == (1, 1)
    assert fits.kept == pytest.approx(left, abs=1)
    assert fits.peak <= allowed


def test_the_batches_of_a_gpu_count():
    """Of 32 windows, of 5.8 MB each; on the CPU a batch is one window, which the base includes."""
    batch = 32 * 22 * 512 * 512
    none, gpu, cpu = (
        memory_budget(SHAPE, readers=1, allowed=10**11, on_gpu=on_gpu, batch=size)
        for on_gpu, size in ((True, 0), (True, batch), (False, batch))
    )

    assert gpu.peak - none.peak == pytest.approx(7 * batch)
    assert cpu.peak == none.peak


def test_more_classes_take_more():
    usual = memory_budget(SHAPE, readers=1, allowed=10**11, logits=LOGIT_BYTES_PER_PIXEL)
    many = memory_budget(SHAPE, readers=1, allowed=10**11, logits=4 * 254 / 16)

    assert many.peak - usual.peak == pytest.approx(5120 * 5120 * 4 * (254 - 9) / 16)


def test_what_does_not_fit_is_refused_with_what_is_needed():
    with pytest.raises(UsageError, match=r"--max-memory is 0\.5 GB.*--block-size"):
        memory_budget(SHAPE, readers=4, allowed=500_000_000)


def test_a_small_machine_is_tried(monkeypatch):
    monkeypatch.setattr(budget, "free_memory", lambda: 3e8)

    fits = memory_budget(SHAPE, readers=4, allowed=None)

    assert (fits.blocks, fits.readers) == (1, 1)
