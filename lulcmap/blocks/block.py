"""One block: from its scenes to a finished file. The unit of work, of resuming and of memory."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.geo import Block, Box, geobox, pixels_inside
from lulcmap.imagery import Composite, Reader, make_composite
from lulcmap.legend import NODATA
from lulcmap.model import Classified, bounding_box, classify, needed_windows
from lulcmap.output import COMPOSITE, PROBABILITIES
from lulcmap.planning import PlannedMap, Settings
from lulcmap.run import BLOCK_BANDS, PIXEL_ORIGINS, BlockFacts, RunFolder
from lulcmap.sensors import KEPT_S1_OFFSET_DB, S1_BANDS, S1_NODATA, S2_BANDS
from lulcmap.system import busy

logger = logging.getLogger(__name__)

_CLASS, _S2_COUNT, _S1_COUNT, _ORIGIN = (
    BLOCK_BANDS.index(name) for name in ("class", "s2_count", "s1_count", "origin")
)


@dataclass(frozen=True, slots=True)
class PreparedBlock:
    """A block with its composite, ready for the network."""

    block: Block
    """The block."""

    wanted: NDArray[np.bool_]
    """(H, W) over the block's box, True where it is to be mapped."""

    windows: list[Box]
    """Windows the network has to see."""

    over: Box
    """The box around the windows."""

    composite: Composite
    """Composite over ``over``."""


@busy("compositing")
def prepare_block(planned: PlannedMap, reader: Reader, block: Block) -> PreparedBlock:
    """Make the composite a block needs: of its pixels, and of the windows around them."""
    logger.debug("compositing %s", block.id)
    contract, job, zone = planned.session.contract, planned.job, planned.job.zone(block.id)
    wanted = pixels_inside(zone.reach, geobox(block.box, zone.epsg))
    windows = needed_windows(wanted, block.box, lattice=contract.lattice, stride=contract.stride)
    # A block that only touches the area wants no pixel: it gets an empty composite of any window.
    over = bounding_box(windows or contract.lattice.reaching(block.box)[:1])
    composite = make_composite(
        reader.planes,
        geobox(over, zone.epsg),
        s2_dates=zone.s2_dates if windows and "s2" in contract.inputs else (),
        s1_passes=job.s1.passes if windows else (),
        s1_others=job.s1.others if windows else (),
        rules=job.rules,
        counted=_within(over, wanted, block.box),
        sun=bool(contract.scalars),
    )
    return PreparedBlock(block, wanted, windows, over, composite)


def _within(over: Box, wanted: NDArray[np.bool_], box: Box) -> NDArray[np.bool_]:
    """(H, W) of ``over``: True where the block's own pixels are wanted."""
    inside = np.zeros(over.shape, bool)
    part = box.intersection(over)
    if part is not None:
        inside[part.within(over)] = wanted[part.within(box)]
    return inside


@busy("writing")
def finish_block(planned: PlannedMap, run: RunFolder, prepared: PreparedBlock) -> str | None:
    """Classify a block and write its file.

    Returns:
        None, or why the block could not be made: more than ``max_lost`` of its assets could not be
        read, or some could not and no pixel was mapped.

    """
    session, settings = planned.session, planned.settings
    block, composite = prepared.block, prepared.composite
    reason = _too_much_lost(composite, settings.max_lost)
    if reason is None:
        classified = classify(
            session.run,
            session.contract,
            s2=composite.s2,
            s1=composite.s1,
            over=prepared.over,
            windows=prepared.windows,
            box=block.box,
            batch_size=session.batch_size,
            in_flight=session.in_flight,
            blend=settings.blend,
            prior=settings.prior,
            probabilities=settings.probabilities,
            sun=composite.sun,
        )
        bands = _bands(classified, prepared)
        if composite.lost and prepared.wanted.any() and not bands[_ORIGIN].any():
            reason = f"nothing could be mapped, and {_lost(composite)}"
    if reason is not None:
        run.fail(block.id, reason)
        return reason
    zone = planned.job.zone(block.id)
    grid = geobox(block.box, zone.epsg)
    inside = pixels_inside(zone.part, grid)
    facts = _facts(planned, bands, inside, composite, classified.sun_zenith)
    run.write_block(block.id, bands, grid, facts, _layers(settings, classified, prepared))
    return None


def _layers(
    settings: Settings, classified: Classified, prepared: PreparedBlock
) -> dict[str, tuple[NDArray[Any], int]]:
    """What a block keeps for the layers of the map: values and nodata by name."""
    kept: dict[str, tuple[NDArray[Any], int]] = {}
    if settings.save_composite:
        kept[COMPOSITE] = _composite_values(prepared), 0
    if classified.probabilities is not None:
        classified.probabilities[:, ~prepared.wanted] = NODATA
        kept[PROBABILITIES] = classified.probabilities, NODATA
    return kept


def _composite_values(prepared: PreparedBlock) -> NDArray[np.uint16]:
    """(11, H, W) composite of a block's pixels: Sentinel-2, then Sentinel-1, both with nodata 0."""
    composite, box = prepared.composite, prepared.block.box
    n_s2 = len(S2_BANDS)
    values = np.zeros((n_s2 + len(S1_BANDS), *box.shape), np.uint16)
    part = box.intersection(prepared.over)
    if part is not None:
        in_block, in_composite = part.within(box), part.within(prepared.over)
        values[:n_s2, *in_block] = composite.s2[:, *in_composite]
        s1 = composite.s1[:, *in_composite]
        shifted = s1.astype(np.int32) - round(100 * KEPT_S1_OFFSET_DB)
        values[n_s2:, *in_block] = np.where(s1 == S1_NODATA, 0, shifted)
    values[:, ~prepared.wanted] = 0
    return values


def _too_much_lost(composite: Composite, max_lost: float) -> str | None:
    if len(composite.lost) - composite.replaced <= max_lost * composite.opened:
        return None
    return f"{_lost(composite)}; --max-lost allows {max_lost:.0%}"


def _lost(composite: Composite) -> str:
    names = ", ".join(f"{asset.scene} {asset.band}" for asset in composite.lost[:3])
    more = ", ..." if len(composite.lost) > 3 else ""
    return (
        f"{len(composite.lost)} of {composite.opened} assets could not be read ({names}{more}: "
        f"{composite.lost[0].reason})"
    )


def _bands(classified: Classified, prepared: PreparedBlock) -> NDArray[np.uint8]:
    """The bands of a block's file: (6, H, W), in the order of ``BLOCK_BANDS``."""
    composite, box = prepared.composite, prepared.block.box
    bands = np.zeros((len(BLOCK_BANDS), *box.shape), np.uint8)
    bands[:3] = classified.classes, classified.confidence, classified.margin
    bands[:3, ~prepared.wanted] = NODATA
    part = box.intersection(prepared.over)
    if part is not None:
        in_block, in_composite = part.within(box), part.within(prepared.over)
        mapped = bands[(_CLASS, *in_block)] != NODATA
        bands[(_S2_COUNT, *in_block)] = composite.s2_count[in_composite]
        bands[(_S1_COUNT, *in_block)] = composite.s1_count[in_composite]
        bands[(_ORIGIN, *in_block)] = np.where(mapped, _origin(composite, *in_composite), 0)
    bands[3:, ~prepared.wanted] = 0
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
    composite: Composite,
    sun_zenith: tuple[float, float] | None,
) -> BlockFacts:
    """What the report needs to know of a block; it travels in the block's file."""
    session = planned.session
    origins = np.bincount(bands[_ORIGIN][inside], minlength=len(PIXEL_ORIGINS))
    classes = np.bincount(bands[_CLASS][inside], minlength=NODATA + 1)
    return BlockFacts(
        plan=planned.job.digest,
        device=f"{session.device}, {session.runtime}",
        pixels={name: int(origins[i]) for i, name in enumerate(PIXEL_ORIGINS)},
        classes={cover.name: int(classes[cover.id]) for cover in session.contract.legend},
        used=tuple(sorted(composite.used)),
        unmasked=tuple(sorted(composite.unmasked)),
        lost=tuple((asset.scene, asset.band, asset.reason) for asset in composite.lost),
        fallback=tuple((asset.scene, asset.band, asset.reason) for asset in composite.fallback),
        implausible=tuple(sorted(composite.implausible.items())),
        sun_zenith=sun_zenith,
    )
