"""Which windows a block runs, and which it has from its neighbours: each is run once in a process.

Blocks that share windows are made one after the other, and those windows are kept in memory until
the last block that needs them is done.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lulcmap.geo import Block, Box, Lattice
from lulcmap.model import Contract
from lulcmap.planning.budget import MemoryBudget, memory_budget
from lulcmap.planning.planner import PlannedMap

_NEIGHBOURS = range(-3, 4)
"""How many blocks further, in rows and columns, a block can need the same window: three of one step
each, of windows of two steps."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Which of the windows a block needs it runs, and which it shares."""

    fresh: tuple[Box, ...]
    """Windows that it runs."""

    known: tuple[Box, ...] = ()
    """Windows that earlier blocks run for it; it need not be composited there."""

    owners: frozenset[int] = frozenset()
    """The earlier blocks that run those."""

    kept: Mapping[Box, int] = field(default_factory=dict)
    """Windows among ``fresh`` that later blocks need, with the last block that does."""

    def alone(self) -> "Shares":
        """The same block if it takes nothing from others; it gives what it would have given."""
        return Shares((*self.fresh, *self.known), kept=self.kept)


class SharePlan:
    """Decides, block after block, which windows a block runs and which it takes.

    The plan depends on the blocks and their order alone, not on how fast any of them is.

    Args:
        blocks: the blocks, in the order in which the network sees them.
        reach: pixels beyond a block's box from which it may need a window.
        most: most windows to keep at once.
        behind: blocks in memory at once; a window is kept until the last one that needs it is done.

    """

    def __init__(self, blocks: Sequence[Block], *, reach: int, most: int, behind: int) -> None:
        self._numbers = {block.id: number for number, block in enumerate(blocks)}
        self._reach, self._margin = [block.box.grown(reach) for block in blocks], reach
        self._most, self._behind = most, behind
        self._kept: dict[tuple[int, Box], tuple[int, int]] = {}  # the owner, the last user

    def share(self, block: Block, needed: Sequence[Box], renounced: frozenset[int]) -> Shares:
        """What a block runs and what it shares; to be called in the order of the blocks.

        Args:
            block: the block.
            needed: the windows it needs.
            renounced: blocks that keep nothing for others; their neighbours rely on nobody.

        """
        number, zone = self._numbers[block.id], block.id.zone
        near = self._near(block)
        oldest = number - self._behind
        self._kept = {at: use for at, use in self._kept.items() if use[1] >= oldest}
        known: list[Box] = []
        if not renounced.intersection(near):
            nobody = -1, -1
            known = [
                window for window in needed if self._kept.get((zone, window), nobody)[1] >= number
            ]
        owners = frozenset(self._kept[zone, window][0] for window in known)
        shared = set(known)
        fresh = tuple(window for window in needed if window not in shared)
        later = [other for other in near if other > number]
        kept: dict[Box, int] = {}
        for window in fresh:
            if self._is_inner(window, block.box):
                continue
            users = [other for other in later if window.intersection(self._reach[other])]
            if users and len(self._kept) < self._most:
                kept[window] = max(users)
                self._kept[zone, window] = number, max(users)
        return Shares(fresh, tuple(known), owners, kept)

    def _is_inner(self, window: Box, box: Box) -> bool:
        """Whether a window lies so far inside a block that no other one reaches it."""
        (stop_row, stop_col), (last_row, last_col) = window.stop, box.stop
        margin = self._margin
        return (
            window.row >= box.row + margin
            and window.col >= box.col + margin
            and stop_row <= last_row - margin
            and stop_col <= last_col - margin
        )

    def _near(self, block: Block) -> list[int]:
        """Numbers of the blocks around a block."""
        row, col = block.id.row, block.id.col
        around = (
            block.id._replace(row=row + down, col=col + right)
            for down in _NEIGHBOURS
            for right in _NEIGHBOURS
            if (down, right) != (0, 0)
        )
        return [self._numbers[other] for other in around if other in self._numbers]


def in_order(blocks: Sequence[Block]) -> list[Block]:
    """Blocks in the order in which few windows are kept at once: along the shorter side of a zone.

    Each block then needs windows of the one before, and of the line before.
    """
    rows: dict[int, set[int]] = {}
    cols: dict[int, set[int]] = {}
    for block in blocks:
        rows.setdefault(block.id.zone, set()).add(block.id.row)
        cols.setdefault(block.id.zone, set()).add(block.id.col)

    def place(block: Block) -> tuple[int, int, int]:
        zone, row, col = block.id
        return (zone, row, col) if len(cols[zone]) <= len(rows[zone]) else (zone, col, row)

    return sorted(blocks, key=place)


def most_kept(
    blocks: Sequence[Block], lattice: Lattice, *, block_size: int, reach: int, behind: int
) -> int:
    """Most windows that blocks in order keep at once, if all may be kept.

    A line of blocks has windows in common with the next, and each block with the one after it.

    Args:
        blocks: the blocks.
        lattice: lattice of the windows.
        block_size: pixels a side of a block.
        reach: as of ``SharePlan``.
        behind: as of ``SharePlan``.

    """
    if len(blocks) < 2:
        return 0
    edge = lattice.size // 2  # edges of blocks lie in the middle of a window
    on_an_edge = len(lattice.starts(edge - reach, edge + reach))
    return (_longest_line(blocks) + 2 * behind + 2) * (block_size // lattice.step + 1) * on_an_edge


def _longest_line(blocks: Sequence[Block]) -> int:
    """Most blocks in one line of ``in_order``."""
    lines: dict[int, tuple[set[int], set[int]]] = {}
    for block in blocks:
        rows, cols = lines.setdefault(block.id.zone, (set(), set()))
        rows.add(block.id.row)
        cols.add(block.id.col)
    return max(min(len(rows), len(cols)) for rows, cols in lines.values())


def blocks_budget(planned: PlannedMap, todo: Sequence[Block]) -> MemoryBudget:
    """What the blocks of a map that are to be made may keep in memory at once, in one process.

    Args:
        planned: the map.
        todo: the blocks.

    Raises:
        UsageError: a limit was set, and not even one block fits.

    """
    settings, session, contract = planned.settings, planned.session, planned.session.contract

    def budget(kept: float) -> MemoryBudget:
        return memory_budget(
            max((block.box.shape for block in todo), key=math.prod),
            readers=settings.workers,
            allowed=settings.max_memory,
            reach=_beyond(contract),
            logits=contract.bytes_per_pixel + 2 * planned.kept_bytes,
            n_blocks=len(todo),
            on_gpu=session.device != "cpu",
            batch=session.batch_size * contract.shown_bytes,
            calls=session.in_flight,
            call=session.call_bytes,
            kept=kept,
        )

    return budget(_kept_bytes(planned, todo, behind=budget(0.0).blocks))


def share_plan(contract: Contract, todo: Sequence[Block], budget: MemoryBudget) -> SharePlan:
    """Which windows the blocks of a run share, in one process.

    Args:
        contract: contract of the model.
        todo: the blocks that are to be made, in order.
        budget: what they may keep in memory.

    """
    return SharePlan(
        todo,
        reach=_reach(contract),
        most=int(budget.kept // contract.window_bytes),
        behind=budget.blocks,
    )


def windows_run(
    planned: PlannedMap,
    todo: Sequence[Block],
    needed: Sequence[NDArray[np.int64]],
    budget: MemoryBudget,
) -> list[NDArray[np.int64]]:
    """The windows that each block runs: those it needs, less those that others run for it.

    Args:
        planned: the map.
        todo: blocks of one zone that are to be made, in order.
        needed: for each block, (n, 2) first row and column of the windows that it needs.
        budget: what all blocks may keep in memory.

    """
    if budget.kept >= _kept_bytes(planned, todo, behind=budget.blocks):
        return _once(needed)
    contract = planned.session.contract
    plan, size, run = share_plan(contract, todo, budget), contract.window, []
    for block, corners in zip(todo, needed, strict=True):
        windows = [Box(row, col, size, size) for row, col in corners.tolist()]
        known = set(plan.share(block, windows, frozenset()).known)
        run.append(corners[[window not in known for window in windows]])
    return run


def _once(blocks: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """The windows of blocks without those of the blocks before."""
    sizes = [len(windows) for windows in blocks]
    windows = np.concatenate([*blocks, np.empty((0, 2), np.int64)])
    _, first = np.unique(windows, axis=0, return_index=True)
    is_first = np.zeros(len(windows), bool)
    is_first[first] = True
    parts = np.split(is_first, np.cumsum(sizes))[: len(sizes)]
    return [windows[part] for windows, part in zip(blocks, parts, strict=True)]


def _kept_bytes(planned: PlannedMap, todo: Sequence[Block], *, behind: int) -> float:
    """Bytes of the windows that are kept at once if all that blocks share are."""
    contract = planned.session.contract
    n_kept = most_kept(
        todo,
        contract.lattice,
        block_size=planned.settings.block_size,
        reach=_reach(contract),
        behind=behind,
    )
    return float(n_kept * contract.window_bytes)


def _reach(contract: Contract) -> int:
    """Pixels beyond a block's box from which it may need a window."""
    return 2 * contract.stride


def _beyond(contract: Contract) -> int:
    """Pixels by which the windows of a block reach beyond it, both sides together."""
    lattice, stride = contract.lattice, contract.stride
    edge = lattice.size // 2  # edges of blocks lie in the middle of a window
    starts = lattice.starts(edge - stride, edge + lattice.step + stride)
    return starts[-1] + lattice.size - starts[0] - lattice.step
