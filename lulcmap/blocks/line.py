"""The line of a run's blocks: threads composite, assemble, blend and write around one network.

The thread that iterates over the results runs the network and little else; where the network takes
several batches at once, as a GPU does, threads run them and it waits. Blocks pass the network one
after the other, window by window, so the map does not depend on the threads.
"""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.blocks.block import (
    BlockLogits,
    BlockNeed,
    PreparedBlock,
    finish_block,
    lost_too_much,
    need_of,
    prepare_block,
)
from lulcmap.blocks.engine import BlockResult
from lulcmap.blocks.kept import KeptWindow, KeptWindows, WindowFacts
from lulcmap.geo import Block, Box
from lulcmap.imagery import Reader
from lulcmap.planning import MemoryBudget, PlannedMap, Shares, share_plan
from lulcmap.run import RunFolder

logger = logging.getLogger(__name__)

_Step = Callable[[], None]
"""What the network's thread does next: run a batch, or hand a block over to be written."""


_Landing = Callable[[NDArray[np.float32]], None]
"""What becomes of the logits of a batch."""


@dataclass(slots=True)
class _Waiting:
    """A block whose composite is being made."""

    number: int
    """Its place in the line."""

    block: Block
    """The block."""

    prepared: Future[PreparedBlock]
    """The block with its composite."""


@dataclass(slots=True)
class _Opened:
    """A block that passes the network."""

    number: int
    """Its place in the line."""

    block: Block
    """The block."""

    logits: BlockLogits
    """Its logits; only the thread of ``lane`` adds to them."""

    lane: ThreadPoolExecutor
    """The thread that blends its logits and writes its file."""

    kept: Mapping[Box, int]
    """Windows that later blocks need, with the last block that does."""

    added: list[Future[None]] = field(default_factory=list)
    """The batches added so far."""


class Line:
    """Makes blocks: those ahead are composited, those behind are written.

    Args:
        planned: the map.
        run: the run folder.
        reader: reads the scenes.
        todo: the blocks, in order.
        budget: how many blocks and threads there may be.

    """

    def __init__(
        self,
        planned: PlannedMap,
        run: RunFolder,
        reader: Reader,
        todo: Sequence[Block],
        budget: MemoryBudget,
    ) -> None:
        self._planned, self._run_folder, self._reader = planned, run, reader
        self._todo, self._budget = todo, budget
        self._plan = share_plan(planned.session.contract, todo, budget)
        self._kept = KeptWindows()
        self._renounced: frozenset[int] = frozenset()  # blocks that keep nothing for others
        self._begun, self._in_line = 0, 0
        self._waiting: deque[_Waiting] = deque()
        self._passing: Iterator[_Step] | None = None  # what is left of the block being opened
        self._steps: deque[_Step] = deque()
        self._in_flight: deque[tuple[Future[NDArray[np.float32]], _Landing]] = deque()
        self._writing: deque[tuple[_Opened, Future[str | None]]] = deque()

    def results(self) -> Generator[BlockResult, None, None]:
        """Each block when its file is written."""
        with self._threads():
            while True:
                while self._writing and self._writing[0][1].done():
                    yield self._written()
                self._begin_blocks()
                self._look_ahead()
                if self._steps:
                    self._steps.popleft()()
                elif self._writing:
                    yield self._written()
                else:
                    return

    @contextmanager
    def _threads(self) -> Iterator[None]:
        budget = self._budget
        self._planner = ThreadPoolExecutor(1, "plan")
        self._composites = ThreadPoolExecutor(budget.composites, "composite")
        self._assembly = ThreadPoolExecutor(budget.composites, "windows")
        self._network = ThreadPoolExecutor(budget.calls, "network")
        self._lanes = [ThreadPoolExecutor(1, "write") for _ in range(budget.composites)]
        stopped = True
        try:
            yield
        except Exception:
            stopped = False
            raise
        finally:
            # Without waiting: nobody wants what is read ahead of an error or a signal.
            for pool in (self._planner, self._composites, self._assembly, self._network):
                pool.shutdown(wait=False, cancel_futures=True)
            # A file that is begun is written, and after an error those of all blocks that have
            # passed the network; it takes moments.
            for lane in self._lanes:
                lane.shutdown(cancel_futures=stopped)

    def _begin_blocks(self) -> None:
        """Have the next blocks composited, as many as memory takes."""
        while self._begun < len(self._todo) and self._in_line < self._budget.blocks:
            block = self._todo[self._begun]
            need = self._planner.submit(need_of, self._planned, block, self._share)
            prepared = self._composites.submit(self._prepare, need)
            self._waiting.append(_Waiting(self._begun, block, prepared))
            self._begun += 1
            self._in_line += 1

    def _share(self, block: Block, windows: Sequence[Box]) -> Shares:
        return self._plan.share(block, windows, self._renounced)

    def _prepare(self, need: Future[BlockNeed]) -> PreparedBlock:
        return prepare_block(
            self._planned, self._reader, need.result(), threads=self._budget.strips
        )

    def _look_ahead(self) -> None:
        """Have the next batches assembled, also those of the next block if it is there."""
        while len(self._steps) <= self._budget.composites:
            if self._passing is None:
                if not self._waiting or (self._steps and not _is_made(self._waiting[0].prepared)):
                    return
                self._passing = self._pass(self._waiting.popleft())
            step = next(self._passing, None)
            if step is None:
                self._passing = None
            else:
                self._steps.append(step)

    def _pass(self, waiting: _Waiting) -> Iterator[_Step]:
        """Open a block, and yield what the network's thread does for it."""
        number, block = waiting.number, waiting.block
        prepared = self._prepared(waiting)
        del waiting  # and with it the composite
        for asset in prepared.read.lost:
            logger.info("lost: %s", asset.reason)
        logger.debug("classifying %s", block.id)
        need, windows, facts = prepared.need, prepared.windows, prepared.facts
        opened = _Opened(
            number,
            block,
            BlockLogits(self._planned, need, partial(self._kept.get, block.id.zone)),
            self._lanes[number % len(self._lanes)],
            need.shares.kept,
        )
        if prepared.read.lost:  # its windows lack what a neighbour may be able to read
            self._renounced |= {number}
            opened.kept = {}
        if windows is not None and lost_too_much(self._planned, prepared) is None:
            for window in set(opened.kept).difference(windows.filled):
                self._keep(opened, window, KeptWindow(facts[window], None))
            size = self._planned.session.batch_size
            for start in range(0, len(windows.filled), size):
                batch = windows.filled[start : start + size]
                shown = self._assembly.submit(windows.shown, start, start + size)
                yield partial(self._run, opened, batch, shown, facts)
        prepared, windows = replace(prepared, windows=None), None  # frees the composite
        yield partial(self._end, opened, prepared)

    def _prepared(self, waiting: _Waiting) -> PreparedBlock:
        """The block, composited whole if it cannot rely on the windows of others.

        So its pixels and facts are those of a run that makes no other block. Where it lost an asset
        the others may not have, and where they did, they kept nothing.
        """
        prepared = waiting.prepared.result()
        need, lost = prepared.need, prepared.read.lost
        if not need.shares.known or not (lost or need.shares.owners & self._renounced):
            return prepared
        del prepared  # in the pool, so that memory holds no more composites than the budget says
        need = replace(need, shares=need.shares.alone())
        waiting.prepared = self._composites.submit(
            prepare_block, self._planned, self._reader, need, threads=self._budget.strips
        )
        return waiting.prepared.result()

    def _run(
        self,
        opened: _Opened,
        windows: Sequence[Box],
        shown: Future[list[NDArray[Any]]],
        facts: Mapping[Box, WindowFacts],
    ) -> None:
        """Run a batch of windows, or have it run beside the batch before."""
        session, arguments = self._planned.session, shown.result()
        landing = partial(self._landed, opened, windows, facts)
        if self._budget.calls == 1:
            landing(session.run(*arguments))
            return
        self._in_flight.append((self._network.submit(session.run, *arguments), landing))
        self._land(self._budget.calls)

    def _land(self, left: int) -> None:
        """Wait for the first batches in flight until so many are left."""
        while len(self._in_flight) > left:
            batch, landing = self._in_flight.popleft()
            landing(batch.result())

    def _landed(
        self,
        opened: _Opened,
        windows: Sequence[Box],
        facts: Mapping[Box, WindowFacts],
        logits: NDArray[np.float32],
    ) -> None:
        """Keep what later blocks need of a batch that was run, and have the rest blended."""
        for window, part in zip(windows, logits, strict=True):
            if window in opened.kept:
                self._keep(opened, window, KeptWindow(facts[window], np.array(part)))
        opened.added.append(opened.lane.submit(opened.logits.add, windows, logits))

    def _keep(self, opened: _Opened, window: Box, kept: KeptWindow) -> None:
        self._kept.keep(opened.block.id.zone, window, opened.kept[window], kept)

    def _end(self, opened: _Opened, prepared: PreparedBlock) -> None:
        """Have a block written whose windows have been run."""
        self._land(0)
        self._writing.append((opened, opened.lane.submit(self._finish, opened, prepared)))

    def _finish(self, opened: _Opened, prepared: PreparedBlock) -> str | None:
        for batch in opened.added:  # done before this, in the same thread
            batch.result()
        return finish_block(self._planned, self._run_folder, prepared, opened.logits)

    def _written(self) -> BlockResult:
        """Wait for the first of the blocks that are being written."""
        opened, future = self._writing.popleft()
        failure = future.result()
        self._kept.done(opened.number)
        self._in_line -= 1
        return BlockResult(opened.block.id, failure)


def _is_made(prepared: Future[PreparedBlock]) -> bool:
    """Whether a block is composited; its error waits for the blocks before it to be made."""
    return prepared.done() and prepared.exception() is None
