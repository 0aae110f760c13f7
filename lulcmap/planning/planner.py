"""What there is to do, before any pixel is read: the area, its scenes, the plan, the blocks."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import shapely
import shapely.affinity
from shapely.geometry.base import BaseGeometry

from lulcmap import __version__
from lulcmap.blocks.block import REACH, Job, ZoneJob
from lulcmap.catalog.scene import Scene
from lulcmap.catalog.search import Found, outline, search
from lulcmap.catalog.search import digest as items_digest
from lulcmap.catalog.selection import (
    Pass,
    Period,
    Plan,
    choose_s1,
    own_grid_first,
    rank_s2,
    s1_period,
)
from lulcmap.catalog.sources import Source, is_remote, sources_of
from lulcmap.errors import ModelError, NoScenesError, UsageError
from lulcmap.geo import grid
from lulcmap.geo import utm as zones
from lulcmap.geo.area import Area
from lulcmap.geo.map_grid import SPARSE, Target, digest, targets
from lulcmap.geo.tiling import Blend, Box
from lulcmap.imagery.composite import Rules
from lulcmap.model.contract import Prior
from lulcmap.model.registry import find_model
from lulcmap.model.session import Session, open_session
from lulcmap.output.assemble import Progress
from lulcmap.run import Number, RunFolder
from lulcmap.run.folder import check_version

logger = logging.getLogger(__name__)

MARGIN = 0.06
"""Degrees of latitude, 6.6 km: how far beyond the area scenes are looked for; a window of 512 px
reaches 5.1 km."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a map is made. The defaults are the command's."""

    model: str | None = None
    """A shipped model's name or a file; None is the registry's default."""

    catalog: str = "planetary-computer"
    """A provider's name, the URL of a STAC API, or an ItemCollection file."""

    profile: str | None = None
    """The provider whose layout an API or a file has; None is the Planetary Computer's, or what
    the file looks like."""

    s1_catalog: str | None = None
    """Provider or API of Sentinel-1; None is ``catalog``."""

    max_cloud: float = 95.0
    """Percent of cloud cover above which a Sentinel-2 scene is skipped."""

    crs: str = "auto"
    """Of the map: ``"auto"`` (as of ``targets.targets``) or ``"EPSG:<code>"``."""

    sparse: bool = False
    """Whether a map may be made that is nearly all empty."""

    s1: Literal["off", "optional", "required"] = "optional"
    """Whether Sentinel-1 is used; required, a pixel without it is not mapped."""

    orbit: str = "descending"
    """Sentinel-1's preferred direction; the other fills in where it has nothing."""

    max_s1_scenes: int = 12
    """Sentinel-1 dates of each relative orbit."""

    rules: Rules = field(default_factory=Rules)
    """Of the Sentinel-2 composite."""

    blend: Blend = "hann"
    """How windows are joined."""

    prior: Prior = "natural"
    """How common classes are taken to be."""

    block_size: int = 4608
    """Pixels a side of a block, a multiple of the model's step; memory grows with it."""

    max_lost: float = 0.10
    """Share of a block's assets that may be unreadable; with more it fails."""

    retry_failed: bool = False
    """Whether only blocks are made that failed before."""

    min_coverage: float = 0.99
    """Share of the area that a complete map has a class for."""

    zones: bool = False
    """Whether each UTM zone is written too, as a map on its own grid."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs."""

    batch_size: int = 4
    """Windows in one call of the model."""

    workers: int = 4
    """Threads that read."""

    max_memory: int | None = None
    """Bytes that the run may take; None is what the machine has."""

    patience: float = 300.0
    """Seconds that a server of scenes is waited for while it gives nothing."""

    workdir: Path | None = None
    """Folder of the run folder; None is the map's own."""

    keep_run: bool = False
    """Whether the run folder stays after success."""

    overwrite: bool = False
    """Whether a map made to another plan may be replaced."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything that is known of a map before it is made."""

    area: Area
    """What is mapped."""

    period: Period
    """When."""

    session: Session
    """The model, ready to run."""

    found: Found
    """The scenes and their items."""

    job: Job
    """The plan, with its values in hand."""

    skipped: tuple[tuple[str, str], ...]
    """Ids of items that are not used, and why."""

    targets: tuple[Target, ...]
    """The maps, the largest first."""

    @property
    def notes(self) -> list[str]:
        """Sentences for the report."""
        return [*self.area.notes, *self.period.notes, *self.found.notes, *self.job.s1.notes]


def survey(
    area: Area,
    folder: Path,
    *,
    period: Period,
    settings: Settings,
    progress: Progress = lambda *_: None,
) -> Survey:
    """Find the scenes of an area and decide how it is mapped.

    Args:
        area: what is mapped.
        folder: the run folder; a run that was begun there keeps its scenes.
        period: when.
        settings: how the map is made.
        progress: told how far the search is.

    Raises:
        AreaError: the area is where no map can be made.
        NoScenesError: nothing was found for this area and period.
        ProviderError: the provider failed.
        ModelError: the model does not fit; ``DeviceError``: the device cannot be had.
        UsageError: the settings cannot be used, or the run folder is of another area or period.

    """
    maps = targets(area.polygon, settings.crs)
    if not settings.sparse:
        _check_filled(maps)
    session = open_session(
        find_model(settings.model), device=settings.device, batch_size=settings.batch_size
    )
    for note in session.notes:
        logger.warning(note)
    session.contract.told_apart(settings.prior)  # a model that cannot is said now
    session = _with_s1(session, settings)
    found = _find(area, period, session, settings, folder, progress)
    job, superseded = _job(area, period, found, session, settings, maps=maps)
    return Survey(area, period, session, found, job, (*found.skipped, *superseded), maps)


def _check_filled(maps: Sequence[Target]) -> None:
    for target in maps:
        if target.filled < SPARSE:
            height, width = target.grid.shape
            raise UsageError(
                f"Of a map's {height:,} x {width:,} pixels in {target.crs} only "
                f"{target.filled:.2%} would lie in the area. Give --yes if you want it so, or "
                "another --crs, or map the area's parts one by one."
            )


def _find(
    area: Area,
    period: Period,
    session: Session,
    settings: Settings,
    folder: Path,
    progress: Progress,
) -> Found:
    """The scenes: those the catalogue has now, or the frozen ones of a run that was stopped.

    A file is read again, so that a change in it is refused; a provider's answer changes by the day.
    """
    wants_s1 = settings.s1 != "off" and "s1" in session.contract.inputs
    begun = RunFolder(folder).plan() if is_remote(settings.catalog) else None
    if begun is not None:
        check_version(folder, begun, {"version": __version__})
        sources, _ = sources_of(
            settings.catalog,
            None,
            profile=settings.profile,
            s1_catalog=settings.s1_catalog,
            s1=wants_s1,
        )
        asked = {
            "area": digest(area.polygon),
            "period": [period.start.isoformat(), period.end.isoformat()],
            "sources": _named(sources),
            "max_cloud": settings.max_cloud,
            "s1": settings.s1,
        }
        others = [name for name, value in asked.items() if begun.get(name) != value]
        if others:
            raise UsageError(
                f"The run folder {folder} was begun for another {' and another '.join(others)}. "
                "Give the old options to go on, name another folder with --workdir, or delete it."
            )
    found = search(
        _around(area.polygon),
        s2_period=(period.start, period.end),
        s1_period=s1_period(period),
        catalog=settings.catalog if begun is None else str(RunFolder(folder).items_path),
        profile=settings.profile if begun is None else None,
        s1_catalog=settings.s1_catalog if begun is None else None,
        s1=wants_s1,
        max_cloud=settings.max_cloud,
        progress=progress,
    )
    where = found.provider if is_remote(settings.catalog) else settings.catalog
    pairs = zip(found.items, found.scenes, strict=True)
    near = [scene for item, scene in pairs if area.polygon.intersects(outline(item))]
    sensors = {scene.sensor for scene in near}
    if not near:
        raise NoScenesError(
            f"No scene of {area.name} was found from {period.start} to {period.end} in "
            f"{where}. Check the area's place and the period, or try another --catalog."
        )
    if settings.s1 == "required" and "s1" not in sensors:
        raise NoScenesError(
            f"No Sentinel-1 scene of {area.name} was found in {where}, and --s1 is "
            "required. Give --s1 optional to map from Sentinel-2 alone."
        )
    if not sensors & set(session.contract.inputs):
        raise NoScenesError(
            f"Only {' and '.join(sorted(sensors)).upper()} scenes of {area.name} were found in "
            f"{where}, which model {session.contract.name} does not take. Choose "
            "another --model or --catalog."
        )
    logger.info("%d scenes found, %d items skipped", len(found.scenes), len(found.skipped))
    return found


def _around(polygon: shapely.MultiPolygon) -> shapely.MultiPolygon:
    """A polygon and a little more than a window around it, in degrees.

    Windows at the border see pixels beyond it, and must see the same ones whatever the area is.
    """
    _, south, _, north = polygon.bounds
    widest = math.cos(math.radians(min(max(abs(south), abs(north)), 85)))
    grown = shapely.affinity.scale(polygon, xfact=widest, yfact=1, origin=(0, 0)).buffer(MARGIN)
    grown = shapely.affinity.scale(grown, xfact=1 / widest, yfact=1, origin=(0, 0))
    inside = shapely.intersection(grown, shapely.box(-180, -90, 180, 90))
    return grid.polygons(inside)


def _with_s1(session: Session, settings: Settings) -> Session:
    """The session, if what is asked of Sentinel-1 fits the model; it demands what is required."""
    wanted = session.contract.inputs.get("s1")
    name = session.contract.name
    if settings.s1 == "required" and wanted is None:
        raise ModelError(
            f"--s1 is required, and model {name} takes no Sentinel-1. Give --s1 off, or choose "
            "another --model."
        )
    if settings.s1 == "off" and wanted is not None and not wanted.optional:
        raise ModelError(
            f"--s1 is off, and model {name} cannot do without Sentinel-1. Give --s1 optional, or "
            "choose another --model."
        )
    if settings.s1 != "required" or wanted is None:
        return session
    inputs = {**session.contract.inputs, "s1": replace(wanted, optional=False)}
    return replace(session, contract=replace(session.contract, inputs=inputs))


def _job(
    area: Area,
    period: Period,
    found: Found,
    session: Session,
    settings: Settings,
    *,
    maps: Sequence[Target],
) -> tuple[Job, tuple[tuple[str, str], ...]]:
    """The job, and scenes of which there is a newer processing."""
    contract = session.contract
    s2_dates, superseded = rank_s2(
        [scene for scene in found.scenes if scene.sensor == "s2"], period
    )
    parts = tuple(
        _zone(epsg, part, zones.beyond(area.polygon, epsg), s2_dates, session, settings)
        for epsg, part in zones.split(area.polygon)
    )
    s1 = choose_s1(
        [scene for scene in found.scenes if scene.sensor == "s1"],
        period,
        orbit=settings.orbit,
        max_scenes=settings.max_s1_scenes,
    )
    plan = Plan(
        version=__version__,
        period=(period.start.isoformat(), period.end.isoformat()),
        area=digest(area.polygon),
        crs=tuple(target.crs for target in maps),
        lattice=(contract.window, contract.step),
        block_size=settings.block_size,
        blocks=tuple(number for zone in parts for number, _ in zone.blocks),
        boxes=tuple((box.row, box.col, *box.shape) for zone in parts for _, box in zone.blocks),
        s2_dates=_ids(s2_dates),
        s1_passes=_ids(s1.passes),
        s1_others=_ids(s1.others),
        rules=asdict(settings.rules),
        s1=settings.s1,
        blend=settings.blend,
        prior=settings.prior,
        model=contract.name,
        model_sha256=session.sha256,
        items=items_digest(found),
        sources=_named(found.sources),
        max_cloud=settings.max_cloud,
    )
    return Job(plan, parts, s1, settings.rules, plan.digest), superseded


def _zone(
    epsg: int,
    part: shapely.MultiPolygon,
    beyond: shapely.MultiPolygon,
    s2_dates: Sequence[Pass],
    session: Session,
    settings: Settings,
) -> ZoneJob:
    """What is mapped in a zone, given the part of the area there, and beside it, in degrees."""
    polygon = grid.project(part, f"EPSG:{epsg}")
    whole: BaseGeometry = polygon.buffer(REACH)
    if not beyond.is_empty:
        whole = shapely.union(whole, grid.project(beyond, f"EPSG:{epsg}").buffer(REACH))
    reach = grid.polygons(whole)
    blocks = tuple(_blocks(reach, epsg, session, settings))
    return ZoneJob(epsg, polygon, reach, blocks, own_grid_first(s2_dates, epsg))


def _named(sources: Mapping[str, Source]) -> dict[str, list[str]]:
    return {sensor: [source.name, source.profile.name] for sensor, source in sources.items()}


def _ids(groups: Sequence[Sequence[Scene]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(scene.id for scene in group) for group in groups)


def _blocks(
    reach: shapely.MultiPolygon, zone: int, session: Session, settings: Settings
) -> Iterator[tuple[Number, Box]]:
    try:
        blocks = session.contract.lattice.blocks(
            grid.covering(reach), block_size=settings.block_size
        )
    except ValueError:
        raise UsageError(
            f"--block-size is {settings.block_size}; it takes a multiple of the model's step, "
            f"{session.contract.step}."
        ) from None
    shapely.prepare(reach)
    met = shapely.intersects(reach, grid.outlines([part for _, part in blocks]))
    for ((row, col), part), is_met in zip(blocks, met.tolist(), strict=True):
        if is_met:
            yield (zone, row, col), part
