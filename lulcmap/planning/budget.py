"""How much memory a run takes, and what fits.

The constants were measured with ``lulcformer-tiny`` on the CPU, 24 Sentinel-2 dates, blocks of 384
to 2304 px; with them a run's peak was predicted to within 10 % above and 30 % below.
"""

from dataclasses import dataclass

from lulcmap.errors import UsageError
from lulcmap.system import free_memory

BASE_BYTES = 0.6e9
"""Bytes of a run with tiny blocks: Python, its libraries, and the model at work."""


COMPOSITE_BYTES_PER_PIXEL = 99
"""Bytes a pixel of a block, and of the windows around it, that is composited."""


AHEAD_BYTES_PER_PIXEL = 28
"""Bytes a pixel more, where the block before is classified meanwhile."""


LOGIT_BYTES_PER_PIXEL = 2.25
"""Bytes a pixel of the blended logits in that: nine classes in cells of 4 x 4 pixels, float32."""


READER_BYTES = 25e6
"""Bytes that a thread holds that reads: what it has fetched, and what it has decoded."""


WINDOW_MARGIN_PX = 512
"""Pixels by which a block's windows reach beyond it, both sides together."""


_MEMORY_SHARE = 0.8
"""Of the memory that is free, what a run may take that was told nothing."""


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """What may be in memory at once."""

    blocks: int
    """Blocks: 2 where one is composited while the one before is classified, else 1."""

    readers: int
    """Threads that read."""

    peak: float
    """Bytes that this takes, about."""


def memory_budget(
    shape: tuple[int, int],
    *,
    readers: int,
    allowed: int | None,
    logits: float = LOGIT_BYTES_PER_PIXEL,
) -> MemoryBudget:
    """What fits into memory: first fewer threads read, then blocks are made one after the other.

    Args:
        shape: of the largest block, pixels.
        readers: threads that are wanted.
        allowed: bytes; None is what the machine has free.
        logits: bytes a pixel that the model's blended logits take.

    Raises:
        UsageError: not even one block fits, and the memory was stated.

    """
    pixels = (shape[0] + WINDOW_MARGIN_PX) * (shape[1] + WINDOW_MARGIN_PX)
    room = allowed if allowed is not None else free_memory() * _MEMORY_SHARE
    more = max(logits - LOGIT_BYTES_PER_PIXEL, 0)
    for blocks, threads in ((2, readers), (2, max(readers // 2, 1)), (1, readers), (1, 1)):
        block = COMPOSITE_BYTES_PER_PIXEL + (blocks - 1) * AHEAD_BYTES_PER_PIXEL + more
        peak = BASE_BYTES + pixels * block + threads * READER_BYTES
        if peak <= room:
            return MemoryBudget(blocks, threads, peak)
    if allowed is None:  # an estimate is no reason to refuse
        return MemoryBudget(1, 1, peak)
    raise UsageError(
        f"--max-memory is {allowed / 1e9:.1f} GB, and blocks of {shape[0]} x {shape[1]} px need "
        f"about {peak / 1e9:.1f} GB. Give a smaller --block-size, or more memory."
    )
