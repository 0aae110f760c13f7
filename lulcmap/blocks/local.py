"""Blocks made in this process."""

import logging
import math
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from lulcmap.blocks.block import PreparedBlock, finish_block, prepare_block
from lulcmap.blocks.engine import BlockResult
from lulcmap.catalog import signer
from lulcmap.geo import Block
from lulcmap.imagery import Reader
from lulcmap.planning import PlannedMap, memory_budget
from lulcmap.run import RunFolder

logger = logging.getLogger(__name__)


def map_blocks(
    planned: PlannedMap, run: RunFolder, todo: Sequence[Block]
) -> Generator[BlockResult, None, None]:
    """Make blocks in this process: one is composited while the one before is classified.

    Args:
        planned: the map.
        run: the run folder.
        todo: the blocks.

    """
    settings, scenes = planned.settings, planned.scenes
    budget = memory_budget(
        max((block.box.shape for block in todo), key=math.prod),
        readers=settings.workers,
        allowed=settings.max_memory,
        logits=planned.session.contract.bytes_per_pixel + 2 * planned.kept_bytes,
    )
    with (
        Reader(
            workers=budget.readers,
            sign=signer(*scenes.profiles),
            private=scenes.private,
            patience=settings.patience,
        ) as reader,
        closing(_prepared(planned, reader, todo, ahead=budget.blocks > 1)) as blocks,
    ):
        for prepared in blocks:
            for asset in prepared.composite.lost:
                logger.info("lost: %s", asset.reason)
            number = prepared.block.id
            logger.debug("classifying %s", number)
            failure = finish_block(planned, run, prepared)
            del prepared
            yield BlockResult(number, failure)


def _prepared(
    planned: PlannedMap, reader: Reader, todo: Sequence[Block], *, ahead: bool
) -> Generator[PreparedBlock, None, None]:
    """Each block with its composite; with ``ahead``, the next is prepared while one is in use."""
    if not ahead:
        for block in todo:
            yield prepare_block(planned, reader, block)
        return
    pool = ThreadPoolExecutor(1, "composite")
    try:
        following = pool.submit(prepare_block, planned, reader, todo[0])
        for i in range(1, len(todo) + 1):
            prepared = following.result()
            if i < len(todo):
                following = pool.submit(prepare_block, planned, reader, todo[i])
            yield prepared
            del prepared
    finally:
        # Without waiting: nobody wants what is read ahead of an error or a signal.
        pool.shutdown(wait=False, cancel_futures=True)
