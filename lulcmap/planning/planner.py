"""The plan of a map, made before any pixel is read: the area, its scenes, the blocks."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely
import shapely.affinity
from shapely.geometry.base import BaseGeometry

from lulcmap import __version__
from lulcmap.catalog import (
    CatalogSource,
    Datatake,
    Period,
    Scene,
    SearchResult,
    choose_s1,
    fallback_sources,
    find_scenes,
    is_remote,
    items_digest,
    own_grid_first,
    rank_s2,
    s1_period,
    say_reasons,
    source_name,
    sources_of,
)
from lulcmap.errors import ModelError, NoScenesError, UsageError
from lulcmap.geo import (
    MIN_FILLED,
    Area,
    Block,
    BlockId,
    MapGrid,
    ZonePart,
    area_digest,
    beyond_zone,
    box_polygons,
    covering_box,
    crs_doubts,
    map_grids,
    only_polygons,
    project,
    split_by_zone,
)
from lulcmap.model import Session, find_model, open_session
from lulcmap.planning.job import REACH_M, Job, ZoneJob
from lulcmap.planning.settings import Settings
from lulcmap.run import About, Plan, RunFolder
from lulcmap.system import Progress, no_progress

logger = logging.getLogger(__name__)

SEARCH_MARGIN_DEGREES = 0.06
"""Degrees of latitude, 6.6 km, beyond the area in which scenes are searched; a window of 512 px
reaches 5.1 km. For larger windows it is as much larger."""

_MARGIN_WINDOW_PX = 512
"""Largest windows for which ``SEARCH_MARGIN_DEGREES`` is enough."""


@dataclass(frozen=True, slots=True)
class PlannedMap:
    """Everything known about a map before it is made."""

    area: Area
    """The area."""

    period: Period
    """The period."""

    settings: Settings
    """How the map is made."""

    session: Session
    """The model, ready to run."""

    scenes: SearchResult
    """The scenes and their items."""

    job: Job
    """The plan, with its values in hand."""

    skipped: tuple[tuple[str, str], ...]
    """Ids of the items that are not used, each with the reason."""

    grids: tuple[MapGrid, ...]
    """Grids of the maps, the largest first."""

    @property
    def plan(self) -> Plan:
        """What decides the map's pixels."""
        return self.job.plan

    @property
    def remote(self) -> bool:
        """Whether the catalogue is a provider or an API, whose answers change by the day."""
        return is_remote(self.settings.catalog)

    @property
    def kept_bytes(self) -> int:
        """Bytes a pixel that blocks keep for layers of the map; in memory, twice as many."""
        return self.settings.kept_bytes(len(self.session.contract.legend))

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the report."""
        notes = self.area.notes, self.period.notes, self.scenes.notes, self.job.s1.notes
        return tuple(note for of_one in notes for note in of_one)

    @property
    def about(self) -> About:
        """Metadata of the map that is not part of the plan."""
        contract = self.session.contract
        return About(
            area=self.area.polygon,
            name=self.area.name,
            plan=self.job.digest,
            request=self.plan.request,
            remote=self.remote,
            notes=self.notes,
            skipped=self.skipped,
            catalog=self.scenes.provider,
            platforms=self.scenes.platforms,
            simulated=self.scenes.simulated,
            s1_orbit=self.job.s1.direction,
            trained_on=contract.trained_on,
            quality=contract.describe(),
            legend=contract.legend,
            acquired={
                scene.id: f"{scene.acquired:%Y-%m-%dT%H:%M:%SZ}" for scene in self.scenes.scenes
            },
            addresses=self.scenes.addresses,
            layers=self.settings.kept_layers,
        )


def plan_map(
    area: Area,
    folder: Path,
    *,
    period: Period,
    settings: Settings,
    keep_items: bool = True,
    progress: Progress = no_progress,
) -> PlannedMap:
    """Find the scenes of an area and decide how it is mapped.

    Args:
        area: the area.
        folder: path of the run folder; a run that was begun there keeps its scenes.
        period: the period.
        settings: how the map is made.
        keep_items: whether to keep the items; without, the plan has no digest of them and begins no
            run.
        progress: called with how far the search is.

    Raises:
        AreaError: the area is where no map can be made.
        NoScenesError: nothing was found for this area and period.
        ProviderError: the provider failed.
        ModelError: the model does not fit; ``DeviceError``: the device is not available.
        UsageError: the settings cannot be used, or the run folder is of another area or period.

    """
    grids = map_grids(area.polygon, settings.crs)
    if not settings.sparse:
        _check_filled(grids)
    if doubts := crs_doubts(grids):
        area = replace(area, notes=(*area.notes, *doubts))
    session = open_session(
        find_model(settings.model),
        device=settings.device,
        batch_size=settings.batch_size,
        at_once=True,
        memory=settings.max_memory,
    )
    for note in session.notes:
        logger.warning(note)
    session.contract.logit_bias(settings.prior)  # a model that has none fails now
    session = _with_s1(session, settings)
    scenes = _find(area, period, session, settings, folder, progress, keep_items=keep_items)
    digest = items_digest(scenes) if keep_items else ""
    job = _job(area, period, scenes, session, settings, grids, digest)
    return PlannedMap(area, period, settings, session, scenes, job, scenes.skipped, grids)


def _check_filled(grids: Sequence[MapGrid]) -> None:
    for map_grid in grids:
        if map_grid.filled < MIN_FILLED:
            height, width = map_grid.grid.shape
            raise UsageError(
                f"Only {map_grid.filled:.2%} of the map's {height:,} x {width:,} pixels in "
                f"{map_grid.crs} lie in the area. Give --yes to proceed, or another --crs, or map "
                "the area's parts one by one."
            )


def _find(
    area: Area,
    period: Period,
    session: Session,
    settings: Settings,
    folder: Path,
    progress: Progress,
    *,
    keep_items: bool,
) -> SearchResult:
    """The scenes: those the catalogue has now, or the frozen ones of a run to resume.

    A file is read again, so that a change in it is refused; a provider's answer changes by the day.
    """
    wants_s1 = settings.s1 != "off" and "s1" in session.contract.inputs
    begun = RunFolder(folder).plan() if is_remote(settings.catalog) else None
    sources = None
    if begun is not None:
        sources = _checked_sources(begun, area, period, settings, folder, wants_s1=wants_s1)
    scenes = find_scenes(
        _around(area.polygon, window=session.contract.window),
        s2_period=(period.start, period.end),
        s1_period=s1_period(period),
        catalog=settings.catalog if begun is None else str(RunFolder(folder).items_path),
        profile=settings.profile if begun is None else None,
        s1_catalog=settings.s1_catalog if begun is None else None,
        fallback=settings.fallback,
        s1=wants_s1,
        max_cloud=settings.max_cloud,
        renew=sources,
        keep_items=keep_items,
        progress=progress,
    )
    where = settings.catalog if isinstance(settings.catalog, str) else "the items"
    if is_remote(settings.catalog):
        where = scenes.provider
    shapely.prepare(area.polygon)
    shows_area = shapely.intersects(area.polygon, scenes.footprints)
    sensors = {scenes.scenes[number].sensor for number in shows_area.nonzero()[0]}
    if not sensors:
        raise NoScenesError(_nothing_found(area, period, scenes, where))
    if settings.s1 == "required" and "s1" not in sensors:
        raise NoScenesError(
            f"No Sentinel-1 scene of {area.name} was found in {where}, and --s1 is required. "
            + "".join(f"{note} " for note in scenes.notes)
            + "Give --s1 optional to map from Sentinel-2 alone."
        )
    if not sensors & set(session.contract.inputs):
        raise NoScenesError(
            f"Only {' and '.join(sorted(sensors)).upper()} scenes of {area.name} were found in "
            f"{where}, which model {session.contract.name} does not take. Choose another --model "
            "or --catalog."
        )
    logger.info("%d scenes found, %d items skipped", len(scenes.scenes), len(scenes.skipped))
    return scenes


def _nothing_found(area: Area, period: Period, scenes: SearchResult, where: str) -> str:
    """Why an area has no scene: none was found, or all were skipped."""
    if not scenes.skipped:
        return (
            f"No scene of {area.name} was found from {period.start} to {period.end} in {where}. "
            "Check the area's coordinates and the period, or try another --catalog."
        )
    name, reason = scenes.skipped[0]
    return (
        f"No scene of {area.name} from {period.start} to {period.end} in {where} can be used. "
        f"Items that were skipped: {len(scenes.skipped):,}, because "
        f"{say_reasons(why for _, why in scenes.skipped)}; the first is {name}: {reason}. Mend "
        "the items, or try another --catalog."
    )


def _checked_sources(
    begun: Plan, area: Area, period: Period, settings: Settings, folder: Path, *, wants_s1: bool
) -> dict[str, CatalogSource]:
    """The sources asked for now; a run was begun for them, the area and the period."""
    sources, _ = sources_of(
        settings.catalog,
        None,
        profile=settings.profile,
        s1_catalog=settings.s1_catalog,
        s1=wants_s1,
    )
    for sensor, other in fallback_sources(settings.fallback, sources).items():
        if begun.sources.get(sensor) == _named({sensor: other})[sensor]:
            sources[sensor] = other  # the first could not be searched
    differs = {
        "area": begun.area != area_digest(area.polygon),
        "period": begun.period != _days(period),
        "sources": begun.sources != _named(sources),
        "fallback": begun.fallback != _fallback(settings),
        "max_cloud": begun.max_cloud != settings.max_cloud,
        "s1": begun.s1 != settings.s1,
    }
    names = [name for name, is_other in differs.items() if is_other]
    if names:
        raise UsageError(
            f"The run folder {folder} was begun for another {' and another '.join(names)}. Give "
            "the old options to resume it, choose another folder with --workdir, or delete it."
        )
    return sources


def _around(polygon: shapely.MultiPolygon, *, window: int) -> shapely.MultiPolygon:
    """A polygon and a little more than a window around it, in degrees.

    Windows at the border see pixels beyond it, and must see the same ones whatever the area is.
    """
    _, south, _, north = polygon.bounds
    widest = math.cos(math.radians(min(max(abs(south), abs(north)), 85)))
    grown = shapely.affinity.scale(polygon, xfact=widest, yfact=1, origin=(0, 0))
    grown = grown.buffer(SEARCH_MARGIN_DEGREES * max(1, window / _MARGIN_WINDOW_PX))
    grown = shapely.affinity.scale(grown, xfact=1 / widest, yfact=1, origin=(0, 0))
    globe = shapely.box(-180, -90, 180, 90)
    inside = only_polygons(shapely.intersection(grown, globe))
    beyond = [
        shapely.intersection(shapely.affinity.translate(grown, turn), globe)
        for turn, is_beyond in ((360, grown.bounds[0] < -180), (-360, grown.bounds[2] > 180))
        if is_beyond
    ]
    return only_polygons(shapely.union_all([inside, *beyond])) if beyond else inside


def _with_s1(session: Session, settings: Settings) -> Session:
    """The session, if the use of Sentinel-1 fits the model; it demands what is required."""
    wanted = session.contract.inputs.get("s1")
    name = session.contract.name
    if settings.s1 == "required" and wanted is None:
        raise ModelError(
            f"--s1 is required, but model {name} has no Sentinel-1 input. Give --s1 off, or choose "
            "another --model."
        )
    if settings.s1 == "off" and wanted is not None and not wanted.optional:
        raise ModelError(
            f"--s1 is off, but model {name} cannot do without Sentinel-1. Give --s1 optional, or "
            "choose another --model."
        )
    if settings.s1 != "required" or wanted is None:
        return session
    inputs = {**session.contract.inputs, "s1": replace(wanted, optional=False)}
    return replace(session, contract=replace(session.contract, inputs=inputs))


def _job(
    area: Area,
    period: Period,
    scenes: SearchResult,
    session: Session,
    settings: Settings,
    grids: Sequence[MapGrid],
    digest: str,
) -> Job:
    """The plan, with its values in hand.

    Args:
        area: the area.
        period: the period.
        scenes: the scenes.
        session: the model.
        settings: how the map is made.
        grids: grids of the maps.
        digest: SHA-256 of the items, hexadecimal.

    """
    s2_dates = rank_s2(scenes.of("s2"), period)
    zones = tuple(
        _zone_job(part, beyond_zone(area.polygon, part.epsg), s2_dates, session, settings)
        for part in split_by_zone(area.polygon)
    )
    s1 = choose_s1(scenes.of("s1"), period, orbit=settings.orbit, max_scenes=settings.max_s1_scenes)
    plan = Plan(
        version=__version__,
        period=_days(period),
        area=area_digest(area.polygon),
        crs=tuple(map_grid.crs for map_grid in grids),
        lattice=(session.contract.window, session.contract.step),
        block_size=settings.block_size,
        blocks=tuple(block.id for zone in zones for block in zone.blocks),
        boxes=tuple(
            (block.box.row, block.box.col, *block.box.shape)
            for zone in zones
            for block in zone.blocks
        ),
        s2_dates=_ids(s2_dates),
        s1_passes=_ids(s1.passes),
        s1_others=_ids(s1.others),
        rules=settings.rules.to_json(),
        s1=settings.s1,
        blend=settings.blend,
        prior=settings.prior,
        model=session.contract.name,
        model_sha256=session.sha256,
        items=digest,
        sources=_named(scenes.sources),
        fallback=_fallback(settings),
        twins=tuple((scene.id, scene.twin.id) for scene in scenes.scenes if scene.twin is not None),
        max_cloud=settings.max_cloud,
    )
    return Job(plan, plan.digest, zones, s1, settings.rules)


@np.errstate(all="ignore")  # GEOS meets corners that are next to each other in the last bit
def _zone_job(
    part: ZonePart,
    beyond: shapely.MultiPolygon,
    s2_dates: Sequence[Datatake],
    session: Session,
    settings: Settings,
) -> ZoneJob:
    """What is mapped in a zone.

    Args:
        part: the part of the area there, in degrees.
        beyond: the parts of the area beside the zone, in degrees.
        s2_dates: ranked datatakes.
        session: the model.
        settings: how the map is made.

    """
    crs = f"EPSG:{part.epsg}"
    polygon = project(part.polygon, crs)
    whole: BaseGeometry = polygon.buffer(REACH_M)
    if not beyond.is_empty:
        whole = shapely.union(whole, project(beyond, crs).buffer(REACH_M))
    reach = only_polygons(whole)
    blocks = tuple(_blocks(reach, part.epsg, session, settings))
    return ZoneJob(part.epsg, polygon, reach, blocks, own_grid_first(s2_dates, part.epsg))


def _blocks(
    reach: shapely.MultiPolygon, zone: int, session: Session, settings: Settings
) -> Iterator[Block]:
    lattice = session.contract.lattice
    try:
        blocks = lattice.blocks(covering_box(reach), block_size=settings.block_size)
    except ValueError:
        raise UsageError(
            f"--block-size is {settings.block_size}; it must be a multiple of the model's step, "
            f"{session.contract.step}."
        ) from None
    shapely.prepare(reach)
    met = shapely.intersects(reach, box_polygons([box for _, box in blocks]))
    for ((row, col), box), is_met in zip(blocks, met.tolist(), strict=True):
        if is_met:
            yield Block(BlockId(zone, row, col), box)


def _days(period: Period) -> tuple[str, str]:
    return period.start.isoformat(), period.end.isoformat()


def _fallback(settings: Settings) -> str | None:
    """Name of the second provider."""
    return None if settings.fallback is None else source_name(settings.fallback)


def _named(sources: Mapping[str, CatalogSource]) -> dict[str, tuple[str, str]]:
    return {sensor: (source.name, source.profile.name) for sensor, source in sources.items()}


def _ids(dates: Sequence[Sequence[Scene]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(scene.id for scene in date) for date in dates)
