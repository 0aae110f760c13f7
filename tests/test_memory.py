"""What fits into memory."""

import pytest

from lulcmap import memory
from lulcmap.errors import UsageError
from lulcmap.memory import BASE, BLOCK_A_PIXEL, READER, budget

PIXELS = 4608 * 4608
BLOCK = PIXELS * BLOCK_A_PIXEL


@pytest.mark.parametrize(
    ("allowed", "blocks", "readers"),
    [
        (BASE + 2 * BLOCK + 8 * READER, 2, 8),
        (BASE + 2 * BLOCK + 7 * READER, 2, 4),
        (BASE + 2 * BLOCK, 1, 8),
        (BASE + BLOCK + READER, 1, 1),
    ],
)
def test_first_readers_go_then_the_block_ahead(allowed, blocks, readers):
    fits = budget(PIXELS, readers=8, allowed=int(allowed))

    assert (fits.blocks, fits.readers) == (blocks, readers)
    assert fits.peak <= allowed


def test_what_does_not_fit_is_refused_with_what_is_needed():
    with pytest.raises(UsageError, match=r"--max-memory is 0\.5 GB.*--block-size"):
        budget(PIXELS, readers=4, allowed=500_000_000)


def test_a_small_machine_is_tried(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 3e8)

    fits = budget(PIXELS, readers=4, allowed=None)

    assert (fits.blocks, fits.readers) == (1, 1)


def test_a_container_s_limit_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    whole = memory.free()
    (tmp_path / "memory.max").write_text("300000000\n")
    (tmp_path / "memory.current").write_text("100000000\n")

    assert whole > 2e8
    assert memory.free() == 2e8
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free() > 2e8
