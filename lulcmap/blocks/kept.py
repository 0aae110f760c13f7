"""Windows that neighbouring blocks share: each is run once in a process, by the first of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lulcmap.geo import Block, Box, Lattice

_NEIGHBOURS = range(-3, 4)
"""How many blocks further, in rows and columns, a block can need the same window: three of one step
each, of windows of two steps."""


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """What a block says of a window in its facts, whichever block ran it."""

    used: frozenset[str]
    """Ids of the scenes that gave it pixels."""

    unmasked: frozenset[str]
    """Those of them without a scene classification."""

    zenith: float | None = None
    """Mean zenith of the sun, degrees; None if the model takes none or there is no Sentinel-2."""


@dataclass(frozen=True, slots=True)
class KeptWindow:
    """A window that a block has run, for those that need it too."""

    facts: WindowFacts
    """What is known of it."""

    logits: NDArray[np.float32] | None
    """(K, h, w) logits; None if it has no usable pixel, and was not run."""


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
        self._reach = [block.box.grown(reach) for block in blocks]
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
            users = [other for other in later if window.intersection(self._reach[other])]
            if users and len(self._kept) < self._most:
                kept[window] = max(users)
                self._kept[zone, window] = number, max(users)
        return Shares(fresh, tuple(known), owners, kept)

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


class KeptWindows:
    """The windows that are kept. Threads may read them; one adds and drops."""

    def __init__(self) -> None:
        self._windows: dict[tuple[int, Box], tuple[int, KeptWindow]] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def keep(self, zone: int, window: Box, last: int, kept: KeptWindow) -> None:
        """Keep a window of a zone until block ``last`` is done."""
        self._windows[zone, window] = last, kept

    def get(self, zone: int, window: Box) -> KeptWindow:
        """A window that is kept."""
        return self._windows[zone, window][1]

    def done(self, number: int) -> None:
        """Drop what only a block and those before it needed."""
        self._windows = {at: use for at, use in self._windows.items() if use[0] > number}


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
