"""Blocks made in this process, by a line of threads that feed one network."""

import math
from collections.abc import Generator, Sequence

from lulcmap.blocks.engine import BlockResult
from lulcmap.blocks.kept import most_kept
from lulcmap.blocks.line import Line
from lulcmap.catalog import signer
from lulcmap.geo import Block
from lulcmap.imagery import Reader
from lulcmap.planning import MemoryBudget, PlannedMap, memory_budget
from lulcmap.run import RunFolder


def map_blocks(
    planned: PlannedMap, run: RunFolder, todo: Sequence[Block]
) -> Generator[BlockResult, None, None]:
    """Make blocks in this process: some are composited and others written while one is classified.

    Args:
        planned: the map.
        run: the run folder.
        todo: the blocks; neighbours that follow each other run no window twice.

    """
    settings, scenes = planned.settings, planned.scenes
    budget = _budget(planned, todo)
    with Reader(
        workers=budget.readers,
        ahead=budget.planes,
        sign=signer(*scenes.profiles),
        private=scenes.private,
        patience=settings.patience,
    ) as reader:
        yield from Line(planned, run, reader, todo, budget).results()


def _budget(planned: PlannedMap, todo: Sequence[Block]) -> MemoryBudget:
    """What the blocks may keep in memory at once."""
    settings, session, contract = planned.settings, planned.session, planned.session.contract

    def budget(kept: float) -> MemoryBudget:
        return memory_budget(
            max((block.box.shape for block in todo), key=math.prod),
            readers=settings.workers,
            allowed=settings.max_memory,
            logits=contract.bytes_per_pixel + 2 * planned.kept_bytes,
            n_blocks=len(todo),
            on_gpu=session.device != "cpu",
            batch=session.batch_size * contract.shown_bytes,
            kept=kept,
        )

    n_kept = most_kept(
        todo,
        contract.lattice,
        block_size=settings.block_size,
        reach=2 * contract.stride,
        behind=budget(0.0).blocks,
    )
    return budget(n_kept * contract.window_bytes)
