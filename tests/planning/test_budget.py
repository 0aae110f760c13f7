"""What fits into memory."""

import pytest

from lulcmap.errors import UsageError
from lulcmap.planning import budget
from lulcmap.planning.budget import (
    AHEAD_BYTES_PER_PIXEL,
    BASE_BYTES,
    COMPOSITE_BYTES_PER_PIXEL,
    LOGIT_BYTES_PER_PIXEL,
    READER_BYTES,
    memory_budget,
)

SHAPE = 4608, 4608
ONE = BASE_BYTES + 5120 * 5120 * COMPOSITE_BYTES_PER_PIXEL
TWO = ONE + 5120 * 5120 * AHEAD_BYTES_PER_PIXEL


@pytest.mark.parametrize(
    ("allowed", "blocks", "readers"),
    [
        (TWO + 8 * READER_BYTES, 2, 8),
        (TWO + 7 * READER_BYTES, 2, 4),
        (TWO, 1, 8),
        (ONE + READER_BYTES, 1, 1),
    ],
)
def test_first_readers_go_then_the_block_ahead(allowed, blocks, readers):
    fits = memory_budget(SHAPE, readers=8, allowed=int(allowed))

    assert (fits.blocks, fits.readers) == (blocks, readers)
    assert fits.peak <= allowed


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
