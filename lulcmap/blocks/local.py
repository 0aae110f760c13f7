"""Blocks made in this process, by a line of threads that feed one network."""

from collections.abc import Generator, Sequence

from lulcmap.blocks.engine import BlockResult
from lulcmap.blocks.line import Line
from lulcmap.catalog import signer
from lulcmap.geo import Block
from lulcmap.imagery import Reader
from lulcmap.planning import PlannedMap, blocks_budget
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
    budget = blocks_budget(planned, todo)
    with Reader(
        workers=budget.readers,
        ahead=budget.planes,
        sign=signer(*scenes.profiles),
        private=scenes.private,
        patience=settings.patience,
    ) as reader:
        yield from Line(planned, run, reader, todo, budget).results()
