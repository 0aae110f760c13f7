"""From a polygon to its land-cover map: the stages, composed."""

import hashlib
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import shapely
import shapely.affinity
from odc.geo.geobox import GeoBox
from pyproj import CRS
from pyproj.exceptions import CRSError

from lulcmap import __version__, grid
from lulcmap.area import Area, load_area
from lulcmap.block import REACH, Job, finish, prepare
from lulcmap.catalog import Found, digest, freeze, search
from lulcmap.cog import plan_of, write_cog
from lulcmap.composite import Composite, Rules, composite
from lulcmap.errors import ModelError, NoScenesError, OutputError, ProviderError, UsageError
from lulcmap.models import find_model
from lulcmap.mosaic import mosaic
from lulcmap.plan import Period, Plan, choose_s1, rank_s2, s1_period
from lulcmap.read import Reader
from lulcmap.report import MapReport
from lulcmap.run import RunFolder
from lulcmap.scenes import Scene
from lulcmap.session import Session, open_session
from lulcmap.signing import signer
from lulcmap.windows import Blend, Box

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, how much of it is done, and how much there is."""

MARGIN = 0.06
"""Degrees of latitude, 6.6 km: how far beyond the area scenes are looked for; a window of 512 px
reaches 5.1 km."""

FURTHEST = 6.0
"""Degrees from a zone's central meridian that the zone's grid is used for; the scale there is off
by 0.2 % on the equator."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a map is made. The defaults are the command's."""

    model: str | None = None
    """A shipped model's name or a file; None is the registry's default."""

    catalog: str = "planetary-computer"
    """A provider's name, the URL of a STAC API, or an ItemCollection file."""

    crs: str = "auto"
    """Of the map: ``"auto"`` (the area's UTM zone) or ``"EPSG:<code>"``."""

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

    block_size: int = 4608
    """Pixels a side of a block, a multiple of the model's step; memory grows with it."""

    max_lost: float = 0.10
    """Share of the assets that may be unreadable before the run fails."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs."""

    batch_size: int = 4
    """Windows in one call of the model."""

    workers: int = 4
    """Threads that read."""

    workdir: Path | None = None
    """Folder of the run folder; None is the map's own."""

    keep_run: bool = False
    """Whether the run folder stays after success."""

    overwrite: bool = False
    """Whether a map made to another plan may be replaced."""


def map_area(
    aoi: str,
    out: Path | None = None,
    *,
    period: Period,
    layer: str | None = None,
    settings: Settings | None = None,
    progress: Progress = lambda *_: None,
) -> MapReport:
    """Map the land cover of an area and write it as a Cloud-Optimized GeoTIFF.

    Killed at any moment, the same call goes on from the blocks that are finished.

    Args:
        aoi: a vector file, or ``west,south,east,north`` in degrees.
        out: the COG to write; None is ``<aoi>-<period>.tif`` in the current folder.
        period: what is mapped.
        layer: of the vector file, where it has several.
        settings: how the map is made.
        progress: told how far each stage is.

    Returns:
        The map's report, also written beside it.

    Raises:
        AreaError: the area cannot be used.
        NoScenesError: nothing was found for this area and period.
        ProviderError: the provider failed, or too many assets were lost.
        ModelError: the model does not fit; ``DeviceError``: the device cannot be had.
        OutputError: the map exists or cannot be written.

    """
    settings = settings or Settings()
    area = load_area(aoi, layer=layer)
    out = out or Path(f"{area.name}-{period.label}.tif")
    _check_place(out)
    zone = _zone(area)
    target = _target_crs(settings.crs, zone)
    session = open_session(
        find_model(settings.model), device=settings.device, batch_size=settings.batch_size
    )
    for note in session.notes:
        logger.warning(note)
    session = _with_s1(session, settings)
    folder = _run_folder(out, settings)
    found = _find(area, period, session, settings, folder)
    job, skipped = _job(area, period, found, session, settings, zone=zone, target=target)
    if out.exists() and plan_of(out) == job.plan.digest:
        made = MapReport.read(out)
        if made is not None and made.facts.get("plan") == job.plan.digest:
            return made
    elif out.exists() and not settings.overwrite:
        raise OutputError(
            f"{out} exists and is not this map. Give --overwrite to replace it, or another --out."
        )

    run = RunFolder.open(folder, job.plan.to_json(), freeze(found))
    try:
        _map_blocks(job, run, session, settings, found, progress)
    except BaseException:
        if not any(run.block_path(number).exists() for number, _ in job.blocks):
            run.remove()  # nothing to go on from
        raise
    report = _report(out, job, run, session, found, skipped, area, period)
    if not report.coverage:
        run.remove()
        raise NoScenesError(
            f"No pixel of {area.name} could be mapped: none of {len(found.scenes)} scenes shows it "
            "clearly. Choose a longer period, or look at --mask-codes."
        )
    _write(out, job, run, report, area, target, progress)
    report.write()
    if not settings.keep_run:
        run.remove()
    return report


def composite_of(
    area: shapely.MultiPolygon, on: GeoBox, *, period: Period, catalog: str, workers: int = 4
) -> Composite:
    """The composite that ``map_area`` shows the network, with its default rules.

    Args:
        area: whose scenes are looked for; longitude, latitude, degrees.
        on: 10 m grid in a UTM zone, of even height and width, edges on multiples of 20 m.
        period: that is mapped.
        catalog: as of ``Settings``.
        workers: threads that read.

    """
    found = search(
        area,
        s2_period=(period.start, period.end),
        s1_period=s1_period(period),
        catalog=catalog,
        s1=True,
    )
    zone = on.crs.epsg if on.crs else None
    if zone is None:
        raise ValueError("the grid has no EPSG code")
    sensors = {
        sensor: [scene for scene in found.scenes if scene.sensor == sensor]
        for sensor in ("s2", "s1")
    }
    dates, _ = rank_s2(sensors["s2"], period, epsg=zone)
    s1 = choose_s1(sensors["s1"], period)
    with Reader(workers=workers, sign=signer(found.signs)) as reader:
        return composite(
            reader.planes, on, s2_dates=dates, s1_passes=s1.passes, s1_others=s1.others
        )


def _zone(area: Area) -> int:
    centre = area.polygon.centroid
    zone = grid.utm_zone(centre.x, centre.y)
    meridian = (zone % 100 - 1) * 6 - 177
    west, south, east, north = area.polygon.bounds
    for latitude in (south, north):
        grid.utm_zone(centre.x, latitude)  # refuses the poles
    if west < meridian - FURTHEST or east > meridian + FURTHEST:
        raise UsageError(
            f"The area spans {west:.1f} to {east:.1f} degrees east; one map reaches {FURTHEST:g} "
            f"degrees from the central meridian of its UTM zone ({meridian} degrees). "
            "Split the area into parts."
        )
    return zone


def _target_crs(crs: str, zone: int) -> int:
    if crs.lower() == "auto":
        return zone
    try:
        code = int(crs.upper().removeprefix("EPSG:"))
        asked = CRS.from_epsg(code)
    except (ValueError, CRSError):
        raise UsageError(
            f"--crs is {crs!r}; it takes auto, or an EPSG code such as EPSG:3035."
        ) from None
    units = {axis.unit_name for axis in asked.axis_info}
    if len(asked.axis_info) != 2 or units not in ({"metre"}, {"degree"}):
        raise UsageError(
            f"--crs is {crs!r}, {asked.name}, in {' and '.join(sorted(units))}; a map needs a CRS "
            "of two axes in metres or degrees, such as EPSG:3035."
        )
    return code


def _run_folder(out: Path, settings: Settings) -> Path:
    if settings.workdir and not settings.workdir.is_dir():
        raise OutputError(f"There is no folder {settings.workdir}; make it, or change --workdir.")
    folder = settings.workdir or out.parent
    return folder / f"{out.name}.run"


def _check_place(out: Path) -> None:
    """See that a file can be written there, before anything is looked for."""
    if out.is_dir():
        raise OutputError(f"{out} is a folder; --out takes the name of a file to write.")
    if not out.parent.is_dir():
        raise OutputError(f"There is no folder {out.parent}; make it, or change --out.")
    if not os.access(out.parent, os.W_OK):
        raise OutputError(f"The folder {out.parent} cannot be written to; change --out.")


def _find(area: Area, period: Period, session: Session, settings: Settings, folder: Path) -> Found:
    """The scenes: those the catalogue has now, or the frozen ones of a run that was stopped.

    A file is read again, so that a change in it is refused; a provider's answer changes by the day.
    """
    begun = None if Path(settings.catalog).is_file() else RunFolder(folder).plan()
    if begun is not None:
        asked = {
            "area": _digest(area),
            "period": [period.start.isoformat(), period.end.isoformat()],
            "catalog": settings.catalog,
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
        s1=settings.s1 != "off" and "s1" in session.contract.inputs,
    )
    near = [s for s in found.scenes if area.polygon.intersects(shapely.box(*s.bbox))]
    sensors = {scene.sensor for scene in near}
    if not near:
        raise NoScenesError(
            f"No scene of {area.name} was found from {period.start} to {period.end} in "
            f"{settings.catalog}. Check the area's place and the period, or try another --catalog."
        )
    if settings.s1 == "required" and "s1" not in sensors:
        raise NoScenesError(
            f"No Sentinel-1 scene of {area.name} was found in {settings.catalog}, and --s1 is "
            "required. Give --s1 optional to map from Sentinel-2 alone."
        )
    if not sensors & set(session.contract.inputs):
        raise NoScenesError(
            f"Only {' and '.join(sorted(sensors)).upper()} scenes of {area.name} were found in "
            f"{settings.catalog}, which model {session.contract.name} does not take. Choose "
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
    return shapely.MultiPolygon(
        [part for part in shapely.get_parts(inside) if part.geom_type == "Polygon"]
    )


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
    zone: int,
    target: int,
) -> tuple[Job, list[tuple[str, str]]]:
    """The job, and what of the found was put aside."""
    contract = session.contract
    polygon = grid.project(area.polygon, zone)
    reach = shapely.MultiPolygon(shapely.get_parts(polygon.buffer(REACH)).tolist())
    blocks = tuple(_blocks(reach, zone, session, settings))
    s2_dates, superseded = rank_s2(
        [scene for scene in found.scenes if scene.sensor == "s2"], period, epsg=zone
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
        area=_digest(area),
        zone=zone,
        crs=target,
        lattice=(contract.window, contract.step),
        block_size=settings.block_size,
        blocks=tuple(number for number, _ in blocks),
        s2_dates=_ids(s2_dates),
        s1_passes=_ids(s1.passes),
        s1_others=_ids(s1.others),
        rules=asdict(settings.rules),
        s1=settings.s1,
        blend=settings.blend,
        model=contract.name,
        model_sha256=session.sha256,
        items=digest(found),
        catalog=found.provider,
    )
    job = Job(plan, zone, polygon, reach, blocks, s2_dates, s1, settings.rules)
    return job, [*found.skipped, *superseded]


def _digest(area: Area) -> str:
    return hashlib.sha256(shapely.normalize(area.polygon).wkb).hexdigest()


def _ids(groups: Sequence[Sequence[Scene]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(scene.id for scene in group) for group in groups)


def _blocks(
    reach: shapely.MultiPolygon, zone: int, session: Session, settings: Settings
) -> Iterator[tuple[tuple[int, int], Box]]:
    try:
        blocks = session.contract.lattice.blocks(
            grid.covering(reach), block_size=settings.block_size
        )
    except ValueError:
        raise UsageError(
            f"--block-size is {settings.block_size}; it takes a multiple of the model's step, "
            f"{session.contract.step}."
        ) from None
    for number, part in blocks:
        if shapely.intersects(reach, grid.geobox(part, zone).extent.geom):
            yield number, part


def _map_blocks(
    job: Job,
    run: RunFolder,
    session: Session,
    settings: Settings,
    found: Found,
    progress: Progress,
) -> None:
    """Map every block that is not done: one is composited while the one before is classified."""
    todo = [(number, box) for number, box in job.blocks if not run.done(number, box)]
    done = len(job.blocks) - len(todo)
    progress("blocks", done, len(job.blocks))
    if not todo:
        return
    ahead = ThreadPoolExecutor(1, "composite")
    try:
        with Reader(workers=settings.workers, sign=signer(found.signs)) as reader:
            following = ahead.submit(prepare, job, reader, session, *todo[0])
            for i in range(len(todo)):
                block = following.result()
                if i + 1 < len(todo):
                    following = ahead.submit(prepare, job, reader, session, *todo[i + 1])
                for asset in block.composite.lost:
                    logger.info("lost: %s", asset.reason)
                _check_lost(block.composite, settings.max_lost)
                finish(
                    job, run, session, block, batch_size=settings.batch_size, blend=settings.blend
                )
                del block
                progress("blocks", done + i + 1, len(job.blocks))
                logger.info("block %d of %d is done", done + i + 1, len(job.blocks))
    finally:
        # Without waiting: what is read ahead of an error or a signal is wanted by nobody.
        ahead.shutdown(wait=False, cancel_futures=True)


def _check_lost(seen: Composite, max_lost: float) -> None:
    if seen.lost and len(seen.lost) > max_lost * seen.opened:
        names = ", ".join(f"{asset.scene} {asset.band}" for asset in seen.lost[:3])
        raise ProviderError(
            f"{len(seen.lost)} of {seen.opened} assets of a block could not be read ({names}"
            f"{', ...' if len(seen.lost) > 3 else ''}: {seen.lost[0].reason}); --max-lost allows "
            f"{max_lost:.0%}. Run the same command again later to go on, or raise --max-lost."
        )


def _report(
    out: Path,
    job: Job,
    run: RunFolder,
    session: Session,
    found: Found,
    skipped: Sequence[tuple[str, str]],
    area: Area,
    period: Period,
) -> MapReport:
    contract = session.contract
    warnings = [*area.notes, *period.notes, *job.s1.notes]
    if contract.knows == "simulated" and not found.simulated:
        warnings.append(
            f"Model {contract.name} knows simulated landscapes only; do not use this map of a real "
            "place for any decision."
        )
    blocks = [run.facts(number) for number, _ in job.blocks]
    return MapReport.collect(
        out,
        blocks,
        scenes={
            "s2": [scene for group in job.plan.s2_dates for scene in group],
            "s1": [
                scene for group in (*job.plan.s1_passes, *job.plan.s1_others) for scene in group
            ],
        },
        skipped=skipped,
        warnings=warnings,
        facts={
            "software": f"lulcmap {__version__}",
            "plan": job.plan.digest,
            "area": area.name,
            "period": list(job.plan.period),
            "crs": f"EPSG:{job.plan.crs}",
            "model": {
                "name": contract.name,
                "sha256": session.sha256,
                "knows": contract.knows,
            },
            "counted_on": f"EPSG:{job.zone}",
            "device": sorted({block["device"] for block in blocks}),
            "catalog": found.provider,
        },
    )


def _write(
    out: Path,
    job: Job,
    run: RunFolder,
    report: MapReport,
    area: Area,
    target: int,
    progress: Progress,
) -> None:
    """Join the blocks on the map's grid, and make the COG of them."""
    if target == job.zone:
        polygon, on = job.polygon, grid.geobox(grid.covering(job.polygon), job.zone)
    else:
        polygon = grid.project(area.polygon, target)
        on = grid.covering_grid(polygon, target)
    joined = run.joined_path
    mosaic(
        [(run.block_path(number), box) for number, box in job.blocks],
        zone=job.zone,
        target=on,
        polygon=polygon,
        out=joined,
        progress=lambda done, total: progress("mosaic", done, total),
    )
    write_cog(joined, out, tags=_tags(job, report))
    joined.unlink()


def _tags(job: Job, report: MapReport) -> dict[str, str]:
    years = f"{job.plan.period[0][:4]}-{job.plan.period[1][:4]}"
    first, last = years.split("-")
    covered = first if first == last else years
    tags = {
        "TIFFTAG_SOFTWARE": f"lulcmap {__version__}",
        "TIFFTAG_IMAGEDESCRIPTION": "Land cover in Dynamic World's nine classes, 255 = no data",
        "TIFFTAG_COPYRIGHT": f"Contains modified Copernicus Sentinel data {covered}",
        "LULCMAP_PLAN": job.plan.digest,
        "LULCMAP_MODEL": job.plan.model,
        "LULCMAP_MODEL_SHA256": job.plan.model_sha256,
        "LULCMAP_PERIOD": "/".join(job.plan.period),
        "LULCMAP_SOURCES": ", ".join(
            f"{len(group)} {sensor.upper()} scenes" for sensor, group in report.scenes.items()
        ),
        "LULCMAP_CATALOG": job.plan.catalog,
        "LULCMAP_COVERAGE": f"{report.coverage:.6f}",
        "LICENSE": "CC-BY-4.0",
        "ATTRIBUTION": f"Contains modified Copernicus Sentinel data {covered}; made with lulcmap",
    }
    if report.warnings:
        tags["LULCMAP_WARNINGS"] = " ".join(report.warnings)
    return tags
