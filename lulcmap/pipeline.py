"""From a polygon to its land-cover map: the stages, composed."""

import logging
import math
import shlex
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import shapely
from odc.geo.geobox import GeoBox

from lulcmap.area import load_area
from lulcmap.assembly import Block, Progress, assemble, check_finished, frozen, outputs
from lulcmap.block import BYTES_A_PIXEL, Prepared, finish, prepare
from lulcmap.catalog import first_hrefs, freeze, search
from lulcmap.cog import plan_of
from lulcmap.composite import Composite, composite
from lulcmap.disk import free
from lulcmap.errors import NothingMappedError, OutputError, ProviderError, UsageError
from lulcmap.memory import budget
from lulcmap.output import check_place, is_made, run_folder
from lulcmap.plan import Period, choose_s1, own_grid_first, rank_s2, s1_period
from lulcmap.read import Reader
from lulcmap.report import MapReport, ShardReport
from lulcmap.run import Beat, Number, RunFolder, Shard, beat, planning, work
from lulcmap.run.folder import writing
from lulcmap.signing import signer
from lulcmap.sources import is_remote
from lulcmap.survey import Settings, Survey, survey
from lulcmap.windows import Box

__all__ = [
    "Engine",
    "Settings",
    "assemble_run",
    "composite_of",
    "map_area",
    "map_blocks",
    "map_shard",
]

logger = logging.getLogger(__name__)

Done = tuple[Number, str | None]
"""A block, and why it could not be made, if so."""

Engine = Callable[[Survey, RunFolder, Settings, Sequence[Block]], Generator[Done, None, None]]
"""Maps some blocks of a run, in any order, and tells each when its file is written."""

_IN_A_ROW = 3
"""Blocks that fail one after the other, before any is made, until the run is given up."""


def map_blocks(
    known: Survey, run: RunFolder, settings: Settings, todo: Sequence[Block]
) -> Generator[Done, None, None]:
    """Map blocks in this process: one is composited while the one before is classified.

    Args:
        known: the scenes and the plan.
        run: where the blocks are written.
        settings: how they are made.
        todo: the blocks.

    """
    job, session, found = known.job, known.session, known.found
    fits = budget(
        max((box.shape for _, box in todo), key=math.prod),
        readers=settings.workers,
        allowed=settings.max_memory,
    )
    with (
        Reader(
            workers=fits.readers,
            sign=signer(*found.profiles),
            private=found.private,
            patience=settings.patience,
        ) as reader,
        closing(
            _prepared(todo, partial(prepare, job, reader, session), ahead=fits.blocks > 1)
        ) as prepared,
    ):
        for block in prepared:
            for asset in block.composite.lost:
                logger.info("lost: %s", asset.reason)
            logger.debug("classifying %s", run.block_path(block.number).stem)
            reason = finish(
                job,
                run,
                session,
                block,
                batch_size=settings.batch_size,
                blend=settings.blend,
                max_lost=settings.max_lost,
            )
            number = block.number
            del block
            yield number, reason


def _prepared(
    todo: Sequence[Block], make: Callable[[Number, Box], Prepared], *, ahead: bool
) -> Generator[Prepared, None, None]:
    """Each block with its composite; ``ahead``, the next one is begun while one is in use."""
    if not ahead:
        for number, box in todo:
            yield make(number, box)
        return
    pool = ThreadPoolExecutor(1, "composite")
    try:
        following = pool.submit(make, *todo[0])
        for i in range(1, len(todo) + 1):
            block = following.result()
            if i < len(todo):
                following = pool.submit(make, *todo[i])
            yield block
            del block
    finally:
        # Without waiting: what is read ahead of an error or a signal is wanted by nobody.
        pool.shutdown(wait=False, cancel_futures=True)


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
            _map(begun, settings, None, engine, progress)
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
    every shard is done, ``assembly.assemble`` makes the map.

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
            made = _map(begun, settings, shard, engine, progress)
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


def assemble_run(
    path: Path,
    out: Path | None = None,
    *,
    min_coverage: float = 0.99,
    zones: bool = False,
    keep_run: bool = False,
    overwrite: bool = False,
    progress: Progress = lambda *_: None,
) -> MapReport:
    """Make the map of a run whose shards are done.

    Args:
        path: of the run folder.
        out: the COG to write; None is the run folder's name without ``.run``.
        min_coverage: as of ``Settings``, and so are the others.
        zones: whether each UTM zone is written too.
        keep_run: whether the run folder stays.
        overwrite: whether another map may be replaced.
        progress: told how far it is.

    Raises:
        UsageError: there is no run, it is of another lulcmap, or blocks are not made.
        ProviderError: blocks failed.
        NoScenesError: no pixel was mapped.
        OutputError: the map exists or cannot be written, or another process works on the run.

    """
    if out is None and path.suffix != ".run":
        raise UsageError(f"{path} is not named <out>.run; give --out too.")
    out = out or path.with_suffix("")
    check_place(out)
    if RunFolder(path).plan() is None:
        made = MapReport.read(out, min_coverage=min_coverage) if out.exists() else None
        if made is None or made.facts.get("plan") != plan_of(out) or not _all_there(made, zones):
            raise UsageError(f"There is no run in {path}; give the folder <out>.run of a map.")
        if path.is_dir():  # killed when it was being removed
            with work(path) as run:
                run.remove()
        return made
    with writing(path), work(path) as run:
        with beat(run) as pulse:
            pulse.stage("assembly")
            run.clean()
            check_finished(run)
            plan, about = frozen(run)
            codes = sorted({zone for zone, *_ in plan["blocks"]}) if zones else []
            outs = outputs(out, plan["crs"], codes)
            there = is_made(outs, about["plan"], overwrite=overwrite)
            made = MapReport.read(out, min_coverage=min_coverage) if there else None
            if made is None or made.facts.get("plan") != about["plan"]:
                made = assemble(run, out, min_coverage=min_coverage, zones=zones, progress=progress)
        if not keep_run:
            run.remove()
    return made


def _all_there(made: MapReport, zones: bool) -> bool:
    """Whether the files of a map are where its report says, with those of zones if asked for."""
    codes = [crs.removeprefix("EPSG:") for crs in made.facts["counted_on"]] if zones else []
    names = {one["file"] for one in made.facts["maps"]}
    names |= {path.name for path in outputs(made.map, [""], codes)}
    return all((made.map.parent / name).exists() for name in names)


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
        fresh = run.plan() is None and run.is_blank()
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
        except BaseException as error:
            over = isinstance(error, NothingMappedError)
            if shard is None and (over or (fresh and run.is_blank())):
                with suppress(OutputError, OSError):
                    run.remove()  # nothing to go on from
            raise
        if shard is None and not settings.keep_run and ours:
            run.remove()


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
    }


def _map(
    begun: _Begun,
    settings: Settings,
    shard: Shard | None,
    engine: Engine,
    progress: Progress,
) -> int:
    """Map every block of a shard that is not done, those that failed before last.

    Returns:
        How many were made.

    Raises:
        ProviderError: some could not be made.
        UsageError: only those that had failed were asked for, and others are left.

    """
    known, run, pulse = begun.known, begun.run, begun.pulse
    blocks = shard.of(known.job.blocks) if shard else known.job.blocks
    digest = known.job.digest
    todo = [(number, box) for number, box in blocks if not run.done(number, box, plan=digest)]
    failed = run.failures()
    before = len(blocks) - len(todo)
    if settings.retry_failed:
        todo = [(number, box) for number, box in todo if number in failed]
    todo.sort(key=lambda block: block[0] in failed)
    made, failures = 0, dict[Number, str]()
    pulse.stage("blocks")
    pulse.blocks(len(blocks), done=before, made=0)
    progress("blocks", before, len(blocks))
    if todo:
        _check_room(run, todo)
        sign = signer(*known.found.profiles)
        for href in first_hrefs(known.found).values():
            sign(href)  # a credential that is missing shows now, not after hours
        with closing(engine(known, run, settings, todo)) as going:
            for number, reason in going:
                made += reason is None
                if reason is not None:
                    failures[number] = reason
                    logger.info("%s failed: %s", run.block_path(number).stem, reason)
                    if not made and len(failures) == _IN_A_ROW:
                        break
                else:
                    logger.info("block %d of %d is done", before + made, len(blocks))
                pulse.blocks(len(blocks), done=before + made, made=made)
                progress("blocks", before + made + len(failures), len(blocks))
    if failures:
        raise _failed(run, failures, of=len(blocks))
    left = len(blocks) - before - made
    if left and shard is None:
        raise UsageError(
            f"No failed block is left, but {left:,} of {len(blocks):,} that were never begun. Give "
            "the same command without --retry-failed."
        )
    return made


def _check_room(run: RunFolder, todo: Sequence[Block]) -> None:
    """Say beforehand if the disk may be too small; it is looked at again before each block."""
    needed = BYTES_A_PIXEL * sum(math.prod(box.shape) for _, box in todo)
    left = free(run.path)
    if left < needed:
        logger.warning(
            "The blocks may take up to %.1f GB, and the disk of %s has %.1f GB free. If it fills "
            "up the run stops, and goes on when there is room.",
            needed / 1e9,
            run.path,
            left / 1e9,
        )


def _failed(run: RunFolder, failures: dict[Number, str], *, of: int) -> ProviderError:
    number, reason = next(iter(failures.items()))
    return ProviderError(
        f"{len(failures):,} of {of:,} blocks could not be made ({run.block_path(number).stem}: "
        f"{reason}). Run the same command again later to go on, or raise --max-lost."
    )
