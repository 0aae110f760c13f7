"""From a polygon to its land-cover map: the stages, composed."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import shapely
from odc.geo.geobox import GeoBox

from lulcmap import __version__, grid
from lulcmap.area import load_area
from lulcmap.block import Job, finish, prepare
from lulcmap.catalog import first_hrefs, freeze, search
from lulcmap.cog import write_cog
from lulcmap.composite import Composite, composite
from lulcmap.errors import NoScenesError, ProviderError
from lulcmap.mosaic import ZoneBlocks, mosaic
from lulcmap.output import check_place, is_made, run_folder
from lulcmap.plan import Period, choose_s1, own_grid_first, rank_s2, s1_period
from lulcmap.read import Reader
from lulcmap.report import MapReport
from lulcmap.run import RunFolder
from lulcmap.signing import signer
from lulcmap.survey import Progress, Settings, Survey, survey
from lulcmap.zones import split

__all__ = ["Settings", "composite_of", "map_area"]

logger = logging.getLogger(__name__)


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
    check_place(out)
    folder = run_folder(out, settings.workdir)
    known = survey(area, folder, period=period, settings=settings, progress=progress)
    job = known.job
    if is_made(out, job.plan.digest, overwrite=settings.overwrite):
        made = MapReport.read(out)
        if made is not None and made.facts.get("plan") == job.plan.digest:
            return made
    run = RunFolder.open(folder, job.plan.to_json(), freeze(known.found))
    try:
        _map_blocks(known, run, settings, progress)
    except BaseException:
        if not any(run.block_path(number).exists() for number, _ in job.blocks):
            run.remove()  # nothing to go on from
        raise
    report = _report(out, known, run)
    if not report.coverage:
        run.remove()
        raise NoScenesError(
            f"No pixel of {area.name} could be mapped: none of {len(known.found.scenes)} scenes "
            "shows it clearly. Choose a longer period, or look at --mask-codes."
        )
    _write(out, known, run, report, progress)
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
    dates = own_grid_first(rank_s2(sensors["s2"], period)[0], zone)
    s1 = choose_s1(sensors["s1"], period)
    with Reader(workers=workers, sign=signer(*found.profiles), private=found.private) as reader:
        return composite(
            reader.planes, on, s2_dates=dates, s1_passes=s1.passes, s1_others=s1.others
        )


def _map_blocks(known: Survey, run: RunFolder, settings: Settings, progress: Progress) -> None:
    """Map every block that is not done: one is composited while the one before is classified."""
    job, session, found = known.job, known.session, known.found
    todo = [(number, box) for number, box in job.blocks if not run.done(number, box)]
    done = len(job.blocks) - len(todo)
    progress("blocks", done, len(job.blocks))
    if not todo:
        return
    sign = signer(*found.profiles)
    for href in first_hrefs(found).values():
        sign(href)  # a credential that is missing shows now, not after hours
    ahead = ThreadPoolExecutor(1, "composite")
    try:
        with Reader(
            workers=settings.workers,
            sign=sign,
            private=found.private,
            patience=settings.patience,
        ) as reader:
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


def _report(out: Path, known: Survey, run: RunFolder) -> MapReport:
    job, found, contract = known.job, known.found, known.session.contract
    warnings = known.notes
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
        skipped=known.skipped,
        warnings=warnings,
        facts={
            "software": f"lulcmap {__version__}",
            "plan": job.plan.digest,
            "area": known.area.name,
            "period": list(job.plan.period),
            "crs": job.plan.crs,
            "model": {
                "name": contract.name,
                "sha256": known.session.sha256,
                "knows": contract.knows,
            },
            "counted_on": [f"EPSG:{zone.epsg}" for zone in job.zones],
            "device": sorted({block["device"] for block in blocks}),
            "catalog": found.provider,
            "platforms": found.platforms,
            "s1_orbit": job.s1.direction,
        },
    )


def _write(out: Path, known: Survey, run: RunFolder, report: MapReport, progress: Progress) -> None:
    """Join the blocks on the map's grid, and make the COG of them."""
    job, joined = known.job, run.joined_path
    polygon, on = known.target()
    parts = split(known.area.polygon)
    mosaic(
        [
            ZoneBlocks(
                zone.epsg,
                grid.project(part, job.plan.crs),
                [(run.block_path(number), box) for number, box in zone.blocks],
            )
            for zone, (_, part) in zip(job.zones, parts, strict=True)
        ],
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
        "LULCMAP_CATALOG": report.facts["catalog"],
        "LULCMAP_COVERAGE": f"{report.coverage:.6f}",
        "LICENSE": "CC-BY-4.0",
        "ATTRIBUTION": f"Contains modified Copernicus Sentinel data {covered}; made with lulcmap",
    }
    if report.warnings:
        tags["LULCMAP_WARNINGS"] = " ".join(report.warnings)
    return tags
