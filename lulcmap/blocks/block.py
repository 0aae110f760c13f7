"""One block: from its scenes to a finished file. The unit of work, of resuming and of memory."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from lulcmap.catalog.selection import Pass, Plan, S1Choice
from lulcmap.geo import grid
from lulcmap.geo.tiling import Blend, Box
from lulcmap.imagery.composite import Composite, Rules, composite
from lulcmap.imagery.reader import Reader
from lulcmap.legend import NODATA, LandCover
from lulcmap.model.contract import Prior
from lulcmap.model.inference import Classified, classify, needed_windows, union
from lulcmap.model.session import Session
from lulcmap.output.report import SOURCES
from lulcmap.run import Number, RunFolder
from lulcmap.sensors import S1_NODATA, S2_NODATA

logger = logging.getLogger(__name__)

BYTES_A_PIXEL = 1.25
"""Of a block's file; simulated countries have 1.23, smooth land less."""

REACH = 20.0
"""Metres beyond the polygon that are mapped too."""


@dataclass(frozen=True, slots=True)
class ZoneJob:
    """What is mapped on the grid of one UTM zone."""

    epsg: int
    """Of the zone."""

    part: shapely.MultiPolygon
    """Of the area, what lies in the zone, in metres of the zone."""

    reach: shapely.MultiPolygon
    """What is mapped: the part; what the next zones have near the border with this one, because
    there the zones are joined; and ``REACH`` around both, so that a map in another CRS, which takes
    the nearest pixel, finds one all along the area's border."""

    blocks: tuple[tuple[Number, Box], ...]
    """Number and box of each block that has a pixel of the reach."""

    s2_dates: tuple[Pass, ...]
    """Ranked datatakes, in each the scenes on the zone's own grid first."""


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a block needs to be mapped: the plan, with its values in hand."""

    plan: Plan
    """What decides the result."""

    zones: tuple[ZoneJob, ...]
    """That the area lies in, by EPSG code."""

    s1: S1Choice
    """Passes of the preferred direction, and of the other."""

    rules: Rules
    """Of the Sentinel-2 composite."""

    digest: str
    """Of the plan."""

    @property
    def blocks(self) -> list[tuple[Number, Box]]:
        """Number and box of each block, zone by zone."""
        return [block for zone in self.zones for block in zone.blocks]

    def zone(self, number: Number) -> ZoneJob:
        """The zone of a block."""
        return next(zone for zone in self.zones if zone.epsg == number[0])


@dataclass(frozen=True, slots=True)
class Prepared:
    """A block with its composite, ready for the network."""

    number: Number
    """Its zone, row and column."""

    box: Box
    """Its pixels."""

    wanted: NDArray[np.bool_]
    """(H, W) over ``box``, True where it is to be mapped."""

    windows: list[Box]
    """What the network has to see."""

    over: Box
    """The box around the windows: the composite's."""

    composite: Composite
    """Over ``over``."""


def prepare(job: Job, reader: Reader, session: Session, number: Number, box: Box) -> Prepared:
    """Make the composite a block needs: its pixels, and the windows' around them."""
    logger.debug("compositing z%d_r%d_c%d", *number)
    contract, zone = session.contract, job.zone(number)
    wanted = grid.inside(zone.reach, grid.geobox(box, zone.epsg))
    windows = needed_windows(wanted, box, lattice=contract.lattice, stride=contract.stride)
    # A block that only touches the area wants no pixel: it gets an empty composite of any window.
    over = union(windows or contract.lattice.reaching(box)[:1])
    seen = composite(
        reader.planes,
        grid.geobox(over, zone.epsg),
        s2_dates=zone.s2_dates if windows and "s2" in contract.inputs else (),
        s1_passes=job.s1.passes if windows else (),
        s1_others=job.s1.others if windows else (),
        rules=job.rules,
    )
    return Prepared(number, box, wanted, windows, over, seen)


def finish(
    job: Job,
    run: RunFolder,
    session: Session,
    block: Prepared,
    *,
    batch_size: int,
    blend: Blend,
    prior: Prior,
    max_lost: float,
) -> str | None:
    """Classify a block and write its file, or why it cannot be made.

    Returns:
        None, or the reason: more than ``max_lost`` of its assets could not be read, or some and
        then nothing was left to be mapped.

    """
    seen = block.composite
    reason = _too_much_lost(seen, max_lost)
    if reason is None:
        classified = classify(
            session.run,
            session.contract,
            s2=seen.s2,
            s1=seen.s1,
            over=block.over,
            windows=block.windows,
            box=block.box,
            batch_size=batch_size,
            blend=blend,
            prior=prior,
        )
        bands = _bands(classified, block)
        if seen.lost and block.wanted.any() and not bands[5].any():
            reason = f"nothing could be mapped, and {_lost(seen)}"
    if reason is not None:
        run.fail(block.number, reason)
        return reason
    zone = job.zone(block.number)
    on = grid.geobox(block.box, zone.epsg)
    device = f"{session.device}, {session.runtime}"
    facts = _facts(bands, grid.inside(zone.part, on), seen, legend=session.contract.legend)
    known = {"device": device, "plan": job.digest}
    run.write_block(block.number, bands, on, {**facts, **known})
    return None


def _too_much_lost(seen: Composite, max_lost: float) -> str | None:
    if len(seen.lost) <= max_lost * seen.opened:
        return None
    return f"{_lost(seen)}; --max-lost allows {max_lost:.0%}"


def _lost(seen: Composite) -> str:
    names = ", ".join(f"{asset.scene} {asset.band}" for asset in seen.lost[:3])
    more = ", ..." if len(seen.lost) > 3 else ""
    return (
        f"{len(seen.lost)} of {seen.opened} assets could not be read ({names}{more}: "
        f"{seen.lost[0].reason})"
    )


def _bands(classified: Classified, block: Prepared) -> NDArray[np.uint8]:
    """The six bands of a block's file: (6, H, W)."""
    seen = block.composite
    bands = np.zeros((6, *block.box.shape), np.uint8)
    bands[:3] = classified.classes, classified.confidence, classified.margin
    bands[:3, ~block.wanted] = NODATA
    part = block.box.intersection(block.over)
    if part is not None:
        at, of = part.within(block.box), part.within(block.over)
        mapped = bands[(0, *at)] != NODATA
        bands[(3, *at)] = seen.s2_count[of]
        bands[(4, *at)] = seen.s1_count[of]
        bands[(5, *at)] = np.where(mapped, _source(seen, *of), 0)
    bands[3:, ~block.wanted] = 0
    return bands


def _source(seen: Composite, rows: slice, cols: slice) -> NDArray[np.uint8]:
    """What each pixel can be mapped from: an index into ``SOURCES``."""
    s2 = seen.s2[0, rows, cols] != S2_NODATA
    s1 = seen.s1[0, rows, cols] != S1_NODATA
    other = seen.s1_other[rows, cols]
    cases = [s2 & s1 & other, s2 & s1, s2, s1 & other, s1]
    return np.select(cases, [4, 1, 2, 5, 3], 0).astype(np.uint8)


def _facts(
    bands: NDArray[np.uint8],
    inside: NDArray[np.bool_],
    seen: Composite,
    *,
    legend: Sequence[LandCover],
) -> dict[str, Any]:
    """What the report wants to know of a block; it travels in the block's file."""
    sources = Counter(dict(enumerate(np.bincount(bands[5][inside], minlength=len(SOURCES)))))
    classes = np.bincount(bands[0][inside], minlength=NODATA + 1)
    return {
        "pixels": {name: int(sources[i]) for i, name in enumerate(SOURCES)},
        "classes": {cover.name: int(classes[cover.id]) for cover in legend},
        "used": sorted(seen.used),
        "unmasked": sorted(seen.unmasked),
        "lost": [(asset.scene, asset.band, asset.reason) for asset in seen.lost],
    }
