"""The memory a run takes, and how to make it fit.

The constants were measured with ``lulcformer-tiny`` on the CPU, 24 Sentinel-2 dates, blocks of 384
to 2304 px. They predict a run's peak to within 10 % above and 30 % below.
"""

from dataclasses import dataclass

from lulcmap.errors import UsageError
from lulcmap.system import free_memory

BASE_BYTES = 0.6e9
"""Bytes of a run with tiny blocks: Python, its libraries, and the model while it runs."""


COMPOSITE_BYTES_PER_PIXEL = 99
"""Bytes per pixel composited: the pixels of a block and of the windows around it."""


AHEAD_BYTES_PER_PIXEL = 28
"""Further bytes per pixel while the previous block is classified at the same time."""


LOGIT_BYTES_PER_PIXEL = 2.25
"""Bytes per pixel of the blended logits, included in the figures above: nine classes in cells of
4 x 4 pixels, float32."""


READER_BYTES = 25e6
"""Bytes held by a reader thread: what it has fetched, and what it has decoded."""


WINDOW_MARGIN_PX = 512
"""Pixels by which a block's windows reach beyond it, both sides together."""


_MEMORY_SHARE = 0.8
"""Share of the free memory that a run may take if no limit was set."""


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """What a run keeps in memory at once."""

    blocks: int
    """Blocks in memory: 2 if one is composited while the previous one is classified, else 1."""

    readers: int
    """Reader threads."""

    peak: float
    """Estimated peak, bytes."""


def memory_budget(
    shape: tuple[int, int],
    *,
    readers: int,
    allowed: int | None,
    logits: float = LOGIT_BYTES_PER_PIXEL,
) -> MemoryBudget:
    """Fit a run into memory: first with fewer reader threads, then with one block at a time.

    Args:
        shape: height and width of the largest block, pixels.
        readers: number of reader threads wanted.
        allowed: memory limit, bytes; None is 80 % of the machine's free memory.
        logits: bytes per pixel of the model's blended logits.

    Raises:
        UsageError: a limit was set, and not even one block fits.

    """
    pixels = (shape[0] + WINDOW_MARGIN_PX) * (shape[1] + WINDOW_MARGIN_PX)
    limit = allowed if allowed is not None else free_memory() * _MEMORY_SHARE
    extra = max(logits - LOGIT_BYTES_PER_PIXEL, 0)
    for blocks, threads in ((2, readers), (2, max(readers // 2, 1)), (1, readers), (1, 1)):
        block = COMPOSITE_BYTES_PER_PIXEL + (blocks - 1) * AHEAD_BYTES_PER_PIXEL + extra
        peak = BASE_BYTES + pixels * block + threads * READER_BYTES
        if peak <= limit:
            return MemoryBudget(blocks, threads, peak)
    if allowed is None:  # an estimate is not a reason to refuse
        return MemoryBudget(1, 1, peak)
    raise UsageError(
        f"--max-memory is {allowed / 1e9:.1f} GB, and blocks of {shape[0]} x {shape[1]} px need "
        f"about {peak / 1e9:.1f} GB. Give a smaller --block-size, or a larger --max-memory."
    )
