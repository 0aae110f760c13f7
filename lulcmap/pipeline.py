"""From a polygon to its land-cover map: the stages, composed."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import shapely

from lulcmap.blocks.engine import Engine, make_blocks, map_blocks
from lulcmap.catalog.search import freeze
from lulcmap.catalog.selection import Period
from lulcmap.catalog.sources import is_remote
from lulcmap.errors import NothingMappedError, OutputError
from lulcmap.geo.area import load_area
from lulcmap.imagery.area_composite import composite_of
from lulcmap.output.assemble import Progress, assemble
from lulcmap.output.cog import plan_of
from lulcmap.output.paths import check_place, is_made, outputs, run_folder
from lulcmap.output.report import MapReport, ShardReport
from lulcmap.planning.planner import Settings, Survey, survey
from lulcmap.run import Beat, RunFolder, Shard, beat, planning, work
from lulcmap.run.folder import writing
from lulcmap.system.memory import give_back

__all__ = ["Settings", "composite_of", "map_area", "map_shard"]


def map_area(
    aoi: str,
    out: Path | None = None,
    *,
    period: Period,
    layer: str | None = None,
    settings: Settings | None = None,
    engine: Engine = map_blocks,
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
        engine: what maps the blocks.
        progress: told how far each stage is.

    Returns:
        The map's report, also written beside it.

    Raises:
        AreaError: the area cannot be used.
        NoScenesError: nothing was found for this area and period.
        ProviderError: the provider failed, or blocks lost too many assets.
        ModelError: the model does not fit; ``DeviceError``: the device cannot be had.
        OutputError: the map exists or cannot be written, or another process works on the run.

    """
    settings = settings or Settings()
    with _begun(aoi, out, period, layer, settings, None, progress) as begun:
        report = begun.report
        if report is None:
            make_blocks(
                begun.known,
                begun.run,
                settings=settings,
                engine=engine,
                pulse=begun.pulse,
                progress=progress,
            )
            begun.known.session.close()
            give_back()
            begun.pulse.stage("assembly")
            report = assemble(
                begun.run,
                begun.out,
                min_coverage=settings.min_coverage,
                zones=settings.zones,
                progress=progress,
            )
    return report


def map_shard(
    aoi: str,
    out: Path | None = None,
    *,
    shard: Shard,
    period: Period,
    layer: str | None = None,
    settings: Settings | None = None,
    engine: Engine = map_blocks,
    progress: Progress = lambda *_: None,
) -> ShardReport:
    """Do a share of ``map_area``'s blocks, beside other processes that do the others.

    They share the run folder; whoever comes first freezes the scenes and the plan for all. When
    every shard is done, ``assembly.assemble_run`` makes the map.

    Args:
        aoi: as of ``map_area``, and so are the others and what is raised.
        out: the COG that is to be made.
        shard: which blocks.
        period: what is mapped.
        layer: of the vector file.
        settings: how the map is made.
        engine: what maps the blocks.
        progress: told how far each stage is.

    """
    settings = settings or Settings()
    with _begun(aoi, out, period, layer, settings, shard, progress) as begun:
        blocks, run = begun.known.job.blocks, begun.run
        if begun.report is not None:
            made = left = 0
        else:
            made = make_blocks(
                begun.known,
                run,
                settings=settings,
                engine=engine,
                pulse=begun.pulse,
                shard=shard,
                progress=progress,
            )
            left = sum(not run.block_path(number).is_file() for number, _ in blocks)
        then = _assembling(run, begun.out, settings)
        return ShardReport(run.path, str(shard), len(shard.of(blocks)), made, left, then)


def _assembling(run: RunFolder, out: Path, settings: Settings) -> str:
    """The command that makes the map of a run, as its user wanted it."""
    words = ["lulcmap", "assemble", str(run.path)]
    if out != run.path.with_suffix(""):
        words += ["--out", str(out)]
    if settings.min_coverage != Settings().min_coverage:
        words += ["--min-coverage", f"{settings.min_coverage:g}"]
    flags = {
        "--zones": settings.zones,
        "--keep-run": settings.keep_run,
        "--overwrite": settings.overwrite,
    }
    return shlex.join([*words, *(flag for flag, given in flags.items() if given)])


@dataclass(frozen=True, slots=True)
class _Begun:
    """A run that this process works on."""

    known: Survey
    """The scenes and the plan."""

    run: RunFolder
    """Where the blocks are."""

    pulse: Beat
    """What says how far they are."""

    out: Path
    """The map."""

    report: MapReport | None
    """Of the map, if it is made already."""


@contextmanager
def _begun(
    aoi: str,
    out: Path | None,
    period: Period,
    layer: str | None,
    settings: Settings,
    shard: Shard | None,
    progress: Progress,
) -> Iterator[_Begun]:
    """Begin a run, or go on with one, in the body; afterwards, without a shard, it is removed."""
    area = load_area(aoi, layer=layer)
    out = out or Path(f"{area.name}-{period.label}.tif")
    check_place(out)
    folder = run_folder(out, settings.workdir)
    with writing(folder), work(folder, shard=shard) as run:
        try:
            with beat(run, shard) as pulse:
                with planning(run) if shard else nullcontext():
                    known = survey(
                        area, run.path, period=period, settings=settings, progress=progress
                    )
                    report = _made(out, known, settings)
                    plan = known.job.plan.to_json()
                    # The map may be there, and beside it the begun run of another one.
                    ours = report is None or run.plan() in (None, plan)
                    if report is None:
                        about = _about(known)
                        RunFolder.open(
                            run.path, plan, freeze(known.found), about, alone=shard is None
                        )
                yield _Begun(known, run, pulse, out, report)
        except NothingMappedError:
            if shard is None:
                with suppress(OutputError, OSError):
                    run.remove()  # it would find nothing again
            raise
        if shard is None and not settings.keep_run and ours:
            run.remove()


def _made(out: Path, known: Survey, settings: Settings) -> MapReport | None:
    """The report of the map, if it was made before to the same plan."""
    plan = known.job.plan
    codes = [zone.epsg for zone in known.job.zones] if settings.zones else []
    outs = outputs(out, plan.crs, codes)
    # What a provider has changes by the day, also of a year that is over: no reason to map anew.
    request = plan.request if is_remote(settings.catalog) else None
    if not is_made(outs, plan.digest, overwrite=settings.overwrite, request=request):
        return None
    made = MapReport.read(out, min_coverage=settings.min_coverage)
    if made is None or made.facts.get("plan") != plan_of(out):
        return None
    if plan_of(out) == plan.digest:
        return made
    note = "The catalogue has other scenes now than when the map was made; --overwrite maps anew."
    return replace(made, warnings=[*made.warnings, note])


def _about(known: Survey) -> dict[str, Any]:
    """What a map says of itself beyond its plan, as JSON."""
    job, found = known.job, known.found
    return {
        "area": shapely.geometry.mapping(known.area.polygon),
        "name": known.area.name,
        "plan": job.plan.digest,
        "request": job.plan.request,
        "notes": known.notes,
        "skipped": known.skipped,
        "catalog": found.provider,
        "platforms": found.platforms,
        "simulated": found.simulated,
        "s1_orbit": job.s1.direction,
        "knows": known.session.contract.knows,
        "worth": known.session.contract.worth,
        "legend": [asdict(cover) for cover in known.session.contract.legend],
    }
