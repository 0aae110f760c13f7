"""The engine: blocks mapped in this process, and what every engine is told and asked."""

import logging
import math
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

from lulcmap.blocks.block import BYTES_A_PIXEL, Prepared, finish, prepare
from lulcmap.catalog.search import first_hrefs
from lulcmap.catalog.signing import signer
from lulcmap.errors import ProviderError, UsageError
from lulcmap.geo.tiling import Box
from lulcmap.imagery.reader import Reader
from lulcmap.output.assemble import Block, Progress
from lulcmap.planning.planner import Settings, Survey
from lulcmap.run import Beat, Number, RunFolder, Shard
from lulcmap.system.disk import free
from lulcmap.system.memory import budget

logger = logging.getLogger(__name__)

Done = tuple[Number, str | None]
"""A block, and why it could not be made, if so."""

Engine = Callable[[Survey, RunFolder, Settings, Sequence[Block]], Generator[Done, None, None]]
"""Maps some blocks of a run, in any order, and tells each when its file is written."""

_IN_A_ROW = 3
"""Blocks that fail one after the other, before any is made, until the run is given up."""


def map_blocks(
    known: Survey, run: RunFolder, settings: Settings, todo: Sequence[Block]
) -> Generator[Done, None, None]:
    """Map blocks in this process: one is composited while the one before is classified.

    Args:
        known: the scenes and the plan.
        run: where the blocks are written.
        settings: how they are made.
        todo: the blocks.

    """
    job, session, found = known.job, known.session, known.found
    fits = budget(
        max((box.shape for _, box in todo), key=math.prod),
        readers=settings.workers,
        allowed=settings.max_memory,
        logits=session.contract.bytes_a_pixel,
    )
    with (
        Reader(
            workers=fits.readers,
            sign=signer(*found.profiles),
            private=found.private,
            patience=settings.patience,
        ) as reader,
        closing(
            _prepared(todo, partial(prepare, job, reader, session), ahead=fits.blocks > 1)
        ) as prepared,
    ):
        for block in prepared:
            for asset in block.composite.lost:
                logger.info("lost: %s", asset.reason)
            logger.debug("classifying %s", run.block_path(block.number).stem)
            reason = finish(
                job,
                run,
                session,
                block,
                batch_size=settings.batch_size,
                blend=settings.blend,
                prior=settings.prior,
                max_lost=settings.max_lost,
            )
            number = block.number
            del block
            yield number, reason


def _prepared(
    todo: Sequence[Block], make: Callable[[Number, Box], Prepared], *, ahead: bool
) -> Generator[Prepared, None, None]:
    """Each block with its composite; ``ahead``, the next one is begun while one is in use."""
    if not ahead:
        for number, box in todo:
            yield make(number, box)
        return
    pool = ThreadPoolExecutor(1, "composite")
    try:
        following = pool.submit(make, *todo[0])
        for i in range(1, len(todo) + 1):
            block = following.result()
            if i < len(todo):
                following = pool.submit(make, *todo[i])
            yield block
            del block
    finally:
        # Without waiting: what is read ahead of an error or a signal is wanted by nobody.
        pool.shutdown(wait=False, cancel_futures=True)


def make_blocks(
    known: Survey,
    run: RunFolder,
    *,
    settings: Settings,
    engine: Engine,
    pulse: Beat,
    shard: Shard | None = None,
    progress: Progress = lambda *_: None,
) -> int:
    """Have an engine map every block that is not done, those that failed before last.

    Args:
        known: the scenes and the plan.
        run: where the blocks are.
        settings: how they are made.
        engine: what maps them.
        pulse: what says how far they are.
        shard: whose blocks; None is all.
        progress: told how far they are.

    Returns:
        How many were made.

    Raises:
        ProviderError: some could not be made.
        UsageError: only those that had failed were asked for, and others are left.

    """
    blocks = shard.of(known.job.blocks) if shard else known.job.blocks
    digest = known.job.digest
    todo = [(number, box) for number, box in blocks if not run.done(number, box, plan=digest)]
    failed = run.failures()
    before = len(blocks) - len(todo)
    if settings.retry_failed:
        todo = [(number, box) for number, box in todo if number in failed]
    todo.sort(key=lambda block: block[0] in failed)
    made, failures = 0, dict[Number, str]()
    pulse.stage("blocks")
    pulse.blocks(len(blocks), done=before, made=0)
    progress("blocks", before, len(blocks))
    if todo:
        _check_room(run, todo)
        sign = signer(*known.found.profiles)
        for href in first_hrefs(known.found).values():
            sign(href)  # a credential that is missing shows now, not after hours
        with closing(engine(known, run, settings, todo)) as going:
            for number, reason in going:
                made += reason is None
                if reason is not None:
                    failures[number] = reason
                    logger.info("%s failed: %s", run.block_path(number).stem, reason)
                    if not made and len(failures) == _IN_A_ROW:
                        break
                else:
                    logger.info("block %d of %d is done", before + made, len(blocks))
                pulse.blocks(len(blocks), done=before + made, made=made)
                progress("blocks", before + made + len(failures), len(blocks))
    if failures:
        raise _failed(run, failures, of=len(blocks))
    left = len(blocks) - before - made
    if left and shard is None:
        raise UsageError(
            f"No failed block is left, but {left:,} of {len(blocks):,} that were never begun. Give "
            "the same command without --retry-failed."
        )
    return made


def _check_room(run: RunFolder, todo: Sequence[Block]) -> None:
    """Say beforehand if the disk may be too small; it is looked at again before each block."""
    needed = BYTES_A_PIXEL * sum(math.prod(box.shape) for _, box in todo)
    left = free(run.path)
    if left < needed:
        logger.warning(
            "The blocks may take up to %.1f GB, and the disk of %s has %.1f GB free. If it fills "
            "up the run stops, and goes on when there is room.",
            needed / 1e9,
            run.path,
            left / 1e9,
        )


def _failed(run: RunFolder, failures: dict[Number, str], *, of: int) -> ProviderError:
    number, reason = next(iter(failures.items()))
    return ProviderError(
        f"{len(failures):,} of {of:,} blocks could not be made ({run.block_path(number).stem}: "
        f"{reason}). Run the same command again later to go on, or raise --max-lost."
    )
