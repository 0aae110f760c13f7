"""What every engine is given and gives back, and the blocks of a run that it is to make."""

import logging
import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import NamedTuple

from lulcmap.catalog import first_hrefs, signer
from lulcmap.errors import ProviderError, UsageError
from lulcmap.geo import Block, BlockId
from lulcmap.planning import PlannedMap, in_order
from lulcmap.run import BLOCK_BYTES_PER_PIXEL, Heartbeat, RunFolder, Shard
from lulcmap.system import Progress, free_disk, no_progress

logger = logging.getLogger(__name__)


class BlockResult(NamedTuple):
    """What became of a block."""

    id: BlockId
    """The block."""

    failure: str | None
    """Why it could not be made; None if it was made."""


Engine = Callable[[PlannedMap, RunFolder, Sequence[Block]], Generator[BlockResult, None, None]]
"""Makes some blocks of a run, in any order, and yields each when its file is written."""

_MAX_FIRST_FAILURES = 3
"""The run is given up if this many blocks fail before the first is made."""


def make_blocks(
    planned: PlannedMap,
    run: RunFolder,
    *,
    engine: Engine,
    heartbeat: Heartbeat,
    shard: Shard | None = None,
    progress: Progress = no_progress,
) -> int:
    """Have an engine make every missing block, those that failed before last of all.

    Args:
        planned: the map.
        run: the run folder.
        engine: makes the blocks.
        heartbeat: says how far they are.
        shard: the shard to do; None is all blocks.
        progress: called with how far they are.

    Returns:
        How many blocks were made.

    Raises:
        ProviderError: some could not be made.
        UsageError: only blocks that had failed were asked for, and others are left.

    """
    blocks = shard.of(planned.job.blocks) if shard else planned.job.blocks
    digest, layers = planned.job.digest, planned.settings.kept_layers
    todo = [b for b in blocks if not run.discard_invalid(b, plan=digest, layers=layers)]
    failed = run.failures()
    done = len(blocks) - len(todo)
    if planned.settings.retry_failed:
        todo = [block for block in todo if block.id in failed]
    todo = sorted(in_order(todo), key=lambda block: block.id in failed)
    made, failures = 0, dict[BlockId, str]()
    heartbeat.stage("blocks")
    heartbeat.blocks(len(blocks), done=done, made=0)
    progress("blocks", done, len(blocks))
    if todo:
        _check_ready(planned, run, todo)
        with closing(engine(planned, run, todo)) as results:
            for number, failure in results:
                if failure is None:
                    made += 1
                    logger.info("block %d of %d is done", done + made, len(blocks))
                else:
                    failures[number] = failure
                    logger.info("%s failed: %s", number, failure)
                    if not made and len(failures) == _MAX_FIRST_FAILURES:
                        break
                heartbeat.blocks(len(blocks), done=done + made, made=made)
                progress("blocks", done + made + len(failures), len(blocks))
    if failures:
        number, reason = next(iter(failures.items()))
        raise ProviderError(
            f"{len(failures):,} of {len(blocks):,} blocks could not be made ({number}: {reason}). "
            "Run the same command again later to resume, or raise --max-lost."
        )
    left = len(blocks) - done - made
    if left and shard is None:
        raise UsageError(
            f"No failed block is left, but {left:,} of {len(blocks):,} were never begun. Run the "
            "same command without --retry-failed."
        )
    return made


def _check_ready(planned: PlannedMap, run: RunFolder, todo: Sequence[Block]) -> None:
    """Say before the first block what would stop a later one."""
    sign = signer(*planned.scenes.profiles)
    for href in first_hrefs(planned.scenes).values():
        try:
            sign(href)  # a missing credential shows now, not after hours
        except ProviderError as error:
            if planned.plan.fallback is None:
                raise
            logger.warning("%s What %s holds is read there.", error, planned.plan.fallback)
    bytes_per_pixel = BLOCK_BYTES_PER_PIXEL + planned.kept_bytes
    needed = bytes_per_pixel * sum(math.prod(block.box.shape) for block in todo)
    left = free_disk(run.path)
    if left < needed:  # checked again before each block
        logger.warning(
            "The blocks may take up to %.1f GB, and the disk of %s has %.1f GB free. If it fills "
            "up, the run stops; free some space, then run the same command again to resume.",
            needed / 1e9,
            run.path,
            left / 1e9,
        )
