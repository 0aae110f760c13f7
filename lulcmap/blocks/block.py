"""One block: from its scenes to a finished file. The unit of work, of resuming and of memory."""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.blocks.kept import KeptWindow, WindowFacts
from lulcmap.geo import Block, Box, Lattice, geobox, pixels_inside
from lulcmap.imagery import Composite, LostAsset, Reader, make_composite
from lulcmap.legend import NODATA
from lulcmap.model import (
    Blending,
    Classified,
    Windows,
    bounding_box,
    corner,
    needed_windows,
    zenith_range,
)
from lulcmap.output import COMPOSITE, PROBABILITIES
from lulcmap.planning import PlannedMap, Shares
from lulcmap.run import BLOCK_BANDS, PIXEL_ORIGINS, BlockFacts, RunFolder
from lulcmap.sensors import KEPT_S1_OFFSET_DB, S1_BANDS, S1_NODATA, S2_BANDS
from lulcmap.system import busy

logger = logging.getLogger(__name__)

_CLASS, _ORIGIN = BLOCK_BANDS.index("class"), BLOCK_BANDS.index("origin")


@dataclass(frozen=True, slots=True)
class BlockNeed:
    """What a block needs to be composited."""

    block: Block
    """The block."""

    wanted: NDArray[np.bool_]
    """(H, W) over the block's box, True where it is to be mapped."""

    shares: Shares
    """The windows that the network has to see, by who runs them."""


@dataclass(frozen=True, slots=True)
class PreparedBlock:
    """A block with its composite, ready for the network."""

    need: BlockNeed
    """What was composited."""

    windows: Windows | None
    """The windows it runs; None once they have been run."""

    facts: Mapping[Box, WindowFacts]
    """What is known of the windows it runs."""

    usable: NDArray[np.bool_]
    """(H, W) over the block's box, True where a wanted pixel can be mapped."""

    quality: NDArray[np.uint8]
    """(3, H, W) the bands of its file that tell what each pixel can be mapped from."""

    composite: NDArray[np.uint16] | None
    """(11, H, W) what it keeps of the composite; None if nothing."""

    read: "_Read"
    """What was read for it."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read for a block, and what was not."""

    opened: int
    lost: tuple[LostAsset, ...]
    replaced: int
    fallback: tuple[LostAsset, ...]
    implausible: Mapping[str, int]


def need_of(
    planned: PlannedMap, block: Block, share: Callable[[Block, list[Box]], Shares]
) -> BlockNeed:
    """What a block needs.

    Args:
        planned: the map.
        block: the block.
        share: says which of its windows the block runs.

    """
    contract, zone = planned.session.contract, planned.job.zone(block.id)
    wanted = pixels_inside(zone.reach, geobox(block.box, zone.epsg))
    windows = needed_windows(wanted, block.box, lattice=contract.lattice, stride=contract.stride)
    return BlockNeed(block, wanted, share(block, windows))


@busy("compositing")
def prepare_block(
    planned: PlannedMap, reader: Reader, need: BlockNeed, *, threads: int = 1
) -> PreparedBlock:
    """Make the composite a block needs: of its pixels, and of the windows that it runs.

    Args:
        planned: the map.
        reader: reads the scenes.
        need: what the block needs.
        threads: threads that composite.

    """
    block, fresh = need.block, need.shares.fresh
    logger.debug("compositing %s", block.id)
    contract, job, zone = planned.session.contract, planned.job, planned.job.zone(block.id)
    over, any_wanted = _over(need, contract.lattice), bool(need.wanted.any())
    composite = make_composite(
        reader.planes,
        geobox(over, zone.epsg),
        s2_dates=zone.s2_dates if any_wanted and "s2" in contract.inputs else (),
        s1_passes=job.s1.passes if any_wanted else (),
        s1_others=job.s1.others if any_wanted else (),
        rules=job.rules,
        counted=_within(over, need.wanted, block.box),
        sun=bool(contract.scalars),
        parts=[window.within(over) for window in fresh],
        threads=threads,
    )
    windows = Windows(
        contract, s2=composite.s2, s1=composite.s1, over=over, windows=fresh, sun=composite.sun
    )
    zeniths = dict(zip(windows.filled, windows.zeniths, strict=True))
    unmasked = frozenset(composite.unmasked)
    facts = {
        window: WindowFacts(used, used & unmasked, zeniths.get(window))
        for window, used in zip(fresh, composite.used_in, strict=True)
    }
    return PreparedBlock(
        need=need,
        windows=windows,
        facts=facts,
        usable=_within(block.box, windows.usable, over) & need.wanted,
        quality=_quality(composite, need, over),
        composite=_composite_values(composite, need, over)
        if planned.settings.save_composite
        else None,
        read=_Read(
            composite.opened,
            composite.lost,
            composite.replaced,
            composite.fallback,
            composite.implausible,
        ),
    )


def _over(need: BlockNeed, lattice: Lattice) -> Box:
    """The box to composite: around the windows that the block runs, and its wanted pixels."""
    boxes = list(need.shares.fresh)
    rows, cols = (np.flatnonzero(need.wanted.any(axis=axis)) for axis in (1, 0))
    if rows.size:
        box = need.block.box
        row, col = (box.row + rows[0]) // 2 * 2, (box.col + cols[0]) // 2 * 2  # pixels of 20 m
        height, width = box.row + rows[-1] + 1 - row, box.col + cols[-1] + 1 - col
        boxes.append(Box(int(row), int(col), int(height + height % 2), int(width + width % 2)))
    # A block that only touches the area wants no pixel: it gets an empty composite of any window.
    return bounding_box(boxes or lattice.reaching(need.block.box)[:1])


def _within(over: Box, wanted: NDArray[np.bool_], box: Box) -> NDArray[np.bool_]:
    """(H, W) of ``over``: True where ``wanted`` of ``box`` is; False outside ``box``."""
    inside = np.zeros(over.shape, bool)
    part = box.intersection(over)
    if part is not None:
        inside[part.within(over)] = wanted[part.within(box)]
    return inside


class BlockLogits:
    """The logits of a block: of the windows that it runs, and of those that were kept for it.

    Args:
        planned: the map.
        need: what the block needs.
        kept: gives a window that was kept.

    """

    def __init__(
        self, planned: PlannedMap, need: BlockNeed, kept: Callable[[Box], KeptWindow]
    ) -> None:
        settings = planned.settings
        self._blending = Blending(
            planned.session.contract,
            need.block.box,
            blend=settings.blend,
            prior=settings.prior,
        )
        self._kept, self._known = kept, deque(sorted(need.shares.known, key=corner))
        self.facts: list[WindowFacts] = []
        """What is known of the windows that were kept."""

    @busy("writing")
    def add(self, windows: Sequence[Box], logits: NDArray[np.float32]) -> None:
        """Add the (n, K, h, w) logits of windows that the block runs, row by row."""
        for window, part in zip(windows, logits, strict=True):
            while self._known and corner(self._known[0]) < corner(window):
                self._add_kept()
            self._blending.add(window, part)

    def whole(self) -> Blending:
        """The blended logits, once all windows that the block runs were added."""
        while self._known:
            self._add_kept()
        return self._blending

    def _add_kept(self) -> None:
        window = self._known.popleft()
        kept = self._kept(window)
        self.facts.append(kept.facts)
        if kept.logits is not None:
            self._blending.add(window, kept.logits)


@busy("writing")
def finish_block(
    planned: PlannedMap, run: RunFolder, prepared: PreparedBlock, logits: BlockLogits
) -> str | None:
    """Decide the classes of a block whose windows have been run, and write its file.

    Returns:
        None, or why the block could not be made: more than ``max_lost`` of its assets could not be
        read, or some could not and no pixel was mapped.

    """
    settings, block = planned.settings, prepared.need.block
    reason = lost_too_much(planned, prepared)
    if reason is None:
        blended = logits.whole()
        classified = blended.classified(prepared.usable, probabilities=settings.probabilities)
        bands = _bands(classified, prepared)
        if prepared.read.lost and prepared.need.wanted.any() and not bands[_ORIGIN].any():
            reason = f"nothing could be mapped, and {_lost(prepared.read)}"
    if reason is not None:
        run.fail(block.id, reason)
        return reason
    zone = planned.job.zone(block.id)
    grid = geobox(block.box, zone.epsg)
    inside = pixels_inside(zone.part, grid)
    windows = [*prepared.facts.values(), *logits.facts]
    facts = _facts(planned, bands, inside, prepared.read, windows)
    run.write_block(block.id, bands, grid, facts, _layers(classified, prepared))
    return None


def _layers(classified: Classified, prepared: PreparedBlock) -> dict[str, tuple[NDArray[Any], int]]:
    """What a block keeps for the layers of the map: values and nodata by name."""
    kept: dict[str, tuple[NDArray[Any], int]] = {}
    if prepared.composite is not None:
        kept[COMPOSITE] = prepared.composite, 0
    if classified.probabilities is not None:
        kept[PROBABILITIES] = classified.probabilities, NODATA
    return kept


def _composite_values(composite: Composite, need: BlockNeed, over: Box) -> NDArray[np.uint16]:
    """(11, H, W) composite of a block's pixels: Sentinel-2, then Sentinel-1, both with nodata 0."""
    box, n_s2 = need.block.box, len(S2_BANDS)
    values = np.zeros((n_s2 + len(S1_BANDS), *box.shape), np.uint16)
    part = box.intersection(over)
    if part is not None:
        in_block, in_composite = part.within(box), part.within(over)
        values[:n_s2, *in_block] = composite.s2[:, *in_composite]
        s1 = composite.s1[:, *in_composite]
        shifted = s1.astype(np.int32) - round(100 * KEPT_S1_OFFSET_DB)
        values[n_s2:, *in_block] = np.where(s1 == S1_NODATA, 0, shifted)
    values[:, ~need.wanted] = 0
    return values


def lost_too_much(planned: PlannedMap, prepared: PreparedBlock) -> str | None:
    """Why a block is not worth running: it lost more than ``max_lost``; None if it did not."""
    read, allowed = prepared.read, planned.settings.max_lost
    if len(read.lost) - read.replaced <= allowed * read.opened:
        return None
    return f"{_lost(read)}; --max-lost allows {allowed:.0%}"


def _lost(read: _Read) -> str:
    names = ", ".join(f"{asset.scene} {asset.band}" for asset in read.lost[:3])
    more = ", ..." if len(read.lost) > 3 else ""
    return (
        f"{len(read.lost)} of {read.opened} assets could not be read ({names}{more}: "
        f"{read.lost[0].reason})"
    )


def _bands(classified: Classified, prepared: PreparedBlock) -> NDArray[np.uint8]:
    """The bands of a block's file: (6, H, W), in the order of ``BLOCK_BANDS``."""
    bands = np.concatenate(
        [[classified.classes, classified.confidence, classified.margin], prepared.quality]
    )
    bands[_ORIGIN, bands[_CLASS] == NODATA] = 0
    return bands


def _quality(composite: Composite, need: BlockNeed, over: Box) -> NDArray[np.uint8]:
    """(3, H, W) counts of both sensors and origin of a block's wanted pixels."""
    box = need.block.box
    bands = np.zeros((3, *box.shape), np.uint8)
    part = box.intersection(over)
    if part is not None:
        in_block, in_composite = part.within(box), part.within(over)
        bands[(0, *in_block)] = composite.s2_count[in_composite]
        bands[(1, *in_block)] = composite.s1_count[in_composite]
        bands[(2, *in_block)] = _origin(composite, *in_composite)
    bands[:, ~need.wanted] = 0
    return bands


def _origin(composite: Composite, rows: slice, cols: slice) -> NDArray[np.uint8]:
    """(H, W) what each pixel can be mapped from: an index into ``PIXEL_ORIGINS``."""
    s2, s1 = composite.has_s2[rows, cols], composite.has_s1[rows, cols]
    other = composite.s1_other[rows, cols]
    cases = [s2 & s1 & other, s2 & s1, s2, s1 & other, s1]
    return np.select(cases, [4, 1, 2, 5, 3], 0).astype(np.uint8)


def _facts(
    planned: PlannedMap,
    bands: NDArray[np.uint8],
    inside: NDArray[np.bool_],
    read: _Read,
    windows: Sequence[WindowFacts],
) -> BlockFacts:
    """What the report needs to know of a block; it travels in the block's file.

    Scenes and sun are those of all windows the block needs, whoever ran them, so that they do not
    depend on which blocks were made in this process. ``fallback`` is what was read for this block.
    """
    session = planned.session
    origins = np.bincount(bands[_ORIGIN][inside], minlength=len(PIXEL_ORIGINS))
    classes = np.bincount(bands[_CLASS][inside], minlength=NODATA + 1)
    return BlockFacts(
        plan=planned.job.digest,
        device=f"{session.device}, {session.runtime}",
        pixels={name: int(origins[i]) for i, name in enumerate(PIXEL_ORIGINS)},
        classes={cover.name: int(classes[cover.id]) for cover in session.contract.legend},
        used=tuple(sorted({scene for window in windows for scene in window.used})),
        unmasked=tuple(sorted({scene for window in windows for scene in window.unmasked})),
        lost=tuple((asset.scene, asset.band, asset.reason) for asset in read.lost),
        fallback=tuple((asset.scene, asset.band, asset.reason) for asset in read.fallback),
        implausible=tuple(sorted(read.implausible.items())),
        sun_zenith=zenith_range(window.zenith for window in windows),
    )
