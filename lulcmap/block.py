"""One block: from its scenes to a finished file. The unit of work, of resuming and of memory."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from lulcmap import grid
from lulcmap.composite import Composite, Rules, composite
from lulcmap.legend import CLASSES, NODATA
from lulcmap.plan import Plan, S1Choice
from lulcmap.predict import classify, needed_windows, union
from lulcmap.read import Reader
from lulcmap.report import SOURCES
from lulcmap.run import RunFolder
from lulcmap.scenes import Scene
from lulcmap.sensors import S1_NODATA, S2_NODATA
from lulcmap.session import Session
from lulcmap.windows import Blend, Box


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a block needs to be mapped: the plan, with its values in hand."""

    plan: Plan
    """What decides the result."""

    zone: int
    """EPSG code of the UTM zone the area is mapped in."""

    polygon: shapely.MultiPolygon
    """Of the area, in metres of the zone."""

    blocks: tuple[tuple[tuple[int, int], Box], ...]
    """Number and box of each block that has a pixel of the polygon."""

    s2_dates: tuple[tuple[Scene, ...], ...]
    """Ranked datatakes."""

    s1: S1Choice
    """Passes of the preferred direction, and of the other."""

    rules: Rules
    """Of the Sentinel-2 composite."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A block with its composite, ready for the network."""

    number: tuple[int, int]
    box: Box
    mask: NDArray[np.bool_]
    windows: list[Box]
    over: Box
    composite: Composite


def prepare(
    job: Job, reader: Reader, session: Session, number: tuple[int, int], box: Box
) -> Prepared:
    contract = session.contract
    mask = grid.inside(job.polygon, grid.geobox(box, job.zone))
    windows = needed_windows(mask, box, lattice=contract.lattice, stride=contract.stride)
    over = union(windows) if windows else box
    seen = composite(
        reader.planes,
        grid.geobox(over, job.zone),
        s2_dates=job.s2_dates if "s2" in contract.inputs else (),
        s1_passes=job.s1.passes,
        s1_others=job.s1.others,
        rules=job.rules,
    )
    return Prepared(number, box, mask, windows, over, seen)


def finish(
    job: Job, run: RunFolder, session: Session, settings: Settings, block: Prepared
) -> None:
    seen = block.composite
    classified = classify(
        session.run,
        session.contract,
        s2=seen.s2,
        s1=seen.s1,
        over=block.over,
        windows=block.windows,
        box=block.box,
        batch_size=settings.batch_size,
        blend=settings.blend,
    )
    rows, cols = block.box.within(block.over)
    source = _source(classified.classes, seen, rows, cols)
    bands = np.stack(
        [
            classified.classes,
            classified.confidence,
            classified.margin,
            seen.s2_count[rows, cols],
            seen.s1_count[rows, cols],
            source,
        ]
    )
    run.write_block(
        block.number,
        bands,
        grid.geobox(block.box, job.zone),
        _facts(bands, block.mask, seen),
    )


def _source(
    classes: NDArray[np.uint8], seen: Composite, rows: slice, cols: slice
) -> NDArray[np.uint8]:
    """What each pixel was mapped from: an index into ``SOURCES``."""
    s2 = seen.s2[0, rows, cols] != S2_NODATA
    s1 = seen.s1[0, rows, cols] != S1_NODATA
    other = seen.s1_other[rows, cols]
    source = np.select([s2 & s1 & other, s2 & s1, s2, s1 & other, s1], [4, 1, 2, 5, 3], 0)
    source[classes == NODATA] = 0
    return source.astype(np.uint8)


def _facts(bands: NDArray[np.uint8], mask: NDArray[np.bool_], seen: Composite) -> dict[str, Any]:
    """What the report wants to know of a block; it travels in the block's file."""
    sources = Counter(dict(enumerate(np.bincount(bands[5][mask], minlength=len(SOURCES)))))
    classes = np.bincount(bands[0][mask], minlength=NODATA + 1)
    return {
        "pixels": {name: int(sources[i]) for i, name in enumerate(SOURCES)},
        "classes": {cover.name: int(classes[cover.id]) for cover in CLASSES},
        "used": sorted(seen.used),
        "unmasked": sorted(seen.unmasked),
        "lost": [(asset.scene, asset.band, asset.reason) for asset in seen.lost],
    }


