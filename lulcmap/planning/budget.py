"""The memory a run takes, and how to make it fit.

The constants were measured with ``lulcformer-tiny`` on the CPU, 24 Sentinel-2 dates, blocks of 384
to 2304 px. They predict a run's peak to within 10 % above and 30 % below.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from lulcmap.errors import UsageError
from lulcmap.imagery import reader_threads, strip_threads
from lulcmap.system import available_cores, free_memory

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


PLANE_BYTES_PER_PIXEL = 4
"""Bytes per pixel of a band that waits to be composited; the figures above include four of them."""


_INCLUDED_PLANES = 4
"""Bands waiting for each block that is composited, included in ``COMPOSITE_BYTES_PER_PIXEL``."""


_CORES_PER_COMPOSITE = 4
"""Cores that one thread of compositing keeps busy on a GPU's machine: itself, and what reads for
it."""


_CPU_CORES_PER_COMPOSITE = 32
"""The same where the network runs on the same cores, and takes most of them."""


_GPU_BATCHES = 6
"""Batches held beside one for each block composited, where the network runs on a GPU: the next,
three given to it, and two in memory that it reads."""


_MOST_COMPOSITES = 8
"""Blocks composited at once at most: they feed some 200 windows a second."""


_MEMORY_SHARE = 0.8
"""Share of the free memory that a run may take if no limit was set."""


_KEPT_SHARE = 0.1
"""Share of the memory allowed that windows kept for the next blocks may take."""


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """What a run keeps in memory at once."""

    blocks: int
    """Blocks in memory: those composited, the one that the network sees, the one being written."""

    composites: int
    """Blocks composited at once, each in a thread."""

    readers: int
    """Reader threads."""

    calls: int
    """Calls of the network at once."""

    strips: int
    """Threads of each composite."""

    kept: float
    """Bytes of windows kept for the next blocks."""

    peak: float
    """Estimated peak, bytes."""

    @property
    def planes(self) -> int:
        """Bands that are read ahead for each block that is composited."""
        return -(-self.readers // self.composites)


def memory_budget(
    shape: tuple[int, int],
    *,
    readers: int | None,
    allowed: int | None,
    reach: int = 512,
    logits: float = LOGIT_BYTES_PER_PIXEL,
    n_blocks: int = 2,
    kept: float = 0.0,
    on_gpu: bool = False,
    batch: float = 0.0,
    calls: int = 1,
    call: float = 0.0,
) -> MemoryBudget:
    """Fit a run into memory: with fewer readers and blocks at a time, calls, and kept windows.

    Args:
        shape: height and width of the largest block, pixels.
        readers: number of reader threads wanted; None is what the cores take.
        allowed: memory limit, bytes; None is 80 % of the machine's free memory.
        reach: pixels by which the windows of a block reach beyond it, both sides together.
        logits: bytes per pixel of the model's blended logits.
        n_blocks: number of blocks.
        kept: bytes of the windows that neighbouring blocks share.
        on_gpu: whether the network leaves the cores to the rest.
        batch: bytes of the pixels of a batch; those of a GPU count.
        calls: calls of the network to make at once, at most.
        call: bytes of each of them; 0 on a GPU.

    Raises:
        UsageError: a limit was set, and not even one block fits.

    """
    cores = available_cores()
    threads = readers or reader_threads(cores)
    limit = allowed if allowed is not None else free_memory() * _MEMORY_SHARE
    kept = min(kept, limit * _KEPT_SHARE)
    pixels = (shape[0] + reach) * (shape[1] + reach)
    extra = max(logits - LOGIT_BYTES_PER_PIXEL, 0)
    composites = cores // (_CORES_PER_COMPOSITE if on_gpu else _CPU_CORES_PER_COMPOSITE)
    choices = [*_choices(composites, threads, n_blocks)]
    fewer = (calls, 1) if call else (calls,)  # those on a GPU take none of this memory
    for n_calls, (at_once, blocks, n_readers) in product(dict.fromkeys(fewer), choices):
        planes = max(-(-n_readers // at_once) - _INCLUDED_PLANES, 0) * PLANE_BYTES_PER_PIXEL
        block = max(blocks - 1, 1) * extra + at_once * (COMPOSITE_BYTES_PER_PIXEL + planes)
        block += (blocks - at_once) * AHEAD_BYTES_PER_PIXEL
        peak = BASE_BYTES + pixels * block + n_readers * READER_BYTES
        peak += (at_once + _GPU_BATCHES) * batch if on_gpu else 0
        peak += (n_calls - 1) * call
        if peak + kept <= limit:
            strips = strip_threads(cores, at_once)
            return MemoryBudget(blocks, at_once, n_readers, n_calls, strips, kept, peak + kept)
    # An estimate is not a reason to refuse, nor are windows: what is not kept is run again.
    if allowed is None or peak <= limit:
        kept = max(limit - peak, 0.0)
        strips = strip_threads(cores, at_once)
        return MemoryBudget(blocks, at_once, n_readers, n_calls, strips, kept, peak + kept)
    raise UsageError(
        f"--max-memory is {allowed / 1e9:.1f} GB, and blocks of {shape[0]} x {shape[1]} px need "
        f"about {peak / 1e9:.1f} GB. Give a smaller --block-size, or a larger --max-memory."
    )


def _choices(composites: int, readers: int, n_blocks: int) -> Iterator[tuple[int, int, int]]:
    """Blocks composited at once, blocks in memory and reader threads, the most first."""
    composites = max(min(composites, n_blocks, _MOST_COMPOSITES), 1)
    fewer = max(readers // 2, 1)
    while composites > 1:
        blocks = min(2 * composites + 1, n_blocks)  # one before the network, the others behind it
        yield composites, blocks, readers
        yield composites, blocks, fewer
        composites //= 2
    if n_blocks > 1:
        yield 1, 2, readers
        yield 1, 2, fewer
    yield 1, 1, readers
    yield 1, 1, min(readers, _INCLUDED_PLANES)
    yield 1, 1, 1
