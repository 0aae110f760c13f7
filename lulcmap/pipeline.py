"""From an area to its land-cover map: the stages, in order.

::

    area -> geo -> catalog -> planning -> [ imagery -> model -> run ] -> output -> map
                                          '------ each block -----'
"""

import logging
import os
import shlex
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

from lulcmap.blocks import Engine, make_blocks, map_blocks
from lulcmap.catalog import Period, freeze_items
from lulcmap.errors import UsageError
from lulcmap.geo import Area, AreaLike, load_area
from lulcmap.output import (
    MapReport,
    ShardReport,
    assemble_map,
    check_writable,
    complete_sidecars,
    made_before,
    run_path,
)
from lulcmap.planning import Estimate, PlannedMap, Settings, estimate_run, plan_map
from lulcmap.run import (
    RunFolder,
    Shard,
    hold_plan,
    hold_run,
    removed_if_nothing_mapped,
    start_heartbeat,
)
from lulcmap.system import Progress, no_progress, release_memory

logger = logging.getLogger(__name__)


def map_area(
    aoi: AreaLike,
    out: Path | None = None,
    *,
    period: Period,
    layer: str | None = None,
    settings: Settings | None = None,
    engine: Engine = map_blocks,
    progress: Progress = no_progress,
) -> MapReport:
    """Map the land cover of an area and write it as a Cloud-Optimized GeoTIFF.

    If interrupted, the same call resumes from the blocks that are finished.

    Args:
        aoi: what ``load_area`` takes.
        out: path of the COG to write; None is ``<area>-<period>.tif`` in the current folder.
        period: the period.
        layer: layer of the vector file, where it has several.
        settings: how the map is made; None is the defaults.
        engine: makes the blocks.
        progress: called with how far each stage is.

    Returns:
        The map's report, also written beside it.

    Raises:
        AreaError: the area cannot be used.
        NoScenesError: nothing was found for this area and period.
        ProviderError: the provider failed, or blocks lost too many assets.
        ModelError: the model does not fit; ``DeviceError``: the device is not available.
        OutputError: the map exists or cannot be written, or another process works on the run.

    """
    settings = settings or Settings()
    area = load_area(aoi, layer=layer)
    out = out or default_out(area, period)
    check_writable(out)
    with hold_run(run_path(out, settings.workdir, settings.catalog)) as run:
        with removed_if_nothing_mapped(run), start_heartbeat(run) as heartbeat:
            planned = plan_map(area, run.path, period=period, settings=settings, progress=progress)
            report = _made_before(out, planned)
            # The map may exist, and beside it the run of another one.
            is_ours = report is None or run.is_free_for(planned.plan)
            if report is None:
                planned = _freeze(run, planned)
                make_blocks(planned, run, engine=engine, heartbeat=heartbeat, progress=progress)
                planned.session.close()
                release_memory()
                heartbeat.stage("assembly")
                report = assemble_map(
                    run,
                    out,
                    min_coverage=settings.min_coverage,
                    zones=settings.zones,
                    extras=settings.extras,
                    progress=progress,
                )
                report = replace(report, stages=heartbeat.stages())
        if is_ours and not settings.keep_run:
            run.remove()
    return report


def map_shard(
    aoi: AreaLike,
    out: Path | None = None,
    *,
    shard: Shard,
    period: Period,
    layer: str | None = None,
    settings: Settings | None = None,
    engine: Engine = map_blocks,
    progress: Progress = no_progress,
) -> ShardReport:
    """Make a share of a map's blocks, beside other processes that make the others.

    They share the run folder; the first one freezes the scenes and the plan for all. When every
    shard is done, ``assemble_run`` makes the map.

    Args:
        aoi: as for ``map_area``; so are the other arguments and the errors.
        out: path of the COG.
        shard: the shard.
        period: the period.
        layer: layer of the vector file.
        settings: how the map is made.
        engine: makes the blocks.
        progress: called with how far each stage is.

    """
    settings = settings or Settings()
    area = load_area(aoi, layer=layer)
    out = out or default_out(area, period)
    check_writable(out)
    folder = run_path(out, settings.workdir, settings.catalog)
    with hold_run(folder, shard=shard) as run, start_heartbeat(run, shard) as heartbeat:
        with hold_plan(run, shard=shard):
            planned = plan_map(area, run.path, period=period, settings=settings, progress=progress)
            is_made = _made_before(out, planned) is not None
            if not is_made:
                planned = _freeze(run, planned, shard=shard)
        made = left = 0
        if not is_made:
            made = make_blocks(
                planned, run, engine=engine, heartbeat=heartbeat, shard=shard, progress=progress
            )
            logger.info("busy in the blocks: %s", heartbeat.stages()["blocks"])
            left = sum(not run.block_path(block.id).is_file() for block in planned.job.blocks)
        total = len(shard.of(planned.job.blocks))
        return ShardReport(
            run.path, str(shard), total, made, left, _assemble_command(run, out, settings)
        )


def estimate_map(
    aoi: AreaLike,
    out: Path | None = None,
    *,
    period: Period,
    layer: str | None = None,
    settings: Settings | None = None,
    progress: Progress = no_progress,
) -> Estimate:
    """What ``map_area`` with the same arguments will read, need and take. Writes nothing.

    Args:
        aoi: as for ``map_area``; so are the other arguments and the errors.
        out: path of the COG.
        period: the period.
        layer: layer of the vector file.
        settings: how the map is made.
        progress: called with how far the search is.

    """
    settings = settings or Settings()
    area = load_area(aoi, layer=layer)
    out = out or default_out(area, period)
    folder = run_path(out, settings.workdir, settings.catalog)
    planned = plan_map(
        area,
        folder,
        period=period,
        settings=settings,
        keep_items=_is_begun(out, folder),
        progress=progress,
    )
    return estimate_run(planned, out=out, folder=folder)


def _is_begun(out: Path, folder: Path) -> bool:
    """Whether there may be a map or a run, with which the plan is compared."""
    stem = _alike(out.stem)
    try:
        beside = [path.name for path in out.parent.iterdir()]
    except FileNotFoundError:
        beside = []
    except OSError:
        return True
    return os.path.lexists(folder) or any(_alike(name).startswith(stem) for name in beside)


def _alike(name: str) -> str:
    """A name as file systems see it that ignore case and how accents are composed."""
    return normalize("NFC", normalize("NFC", name).casefold())


def default_out(area: Area, period: Period) -> Path:
    """Path of a map that the user did not name: ``<area>-<period>.tif`` in the current folder."""
    return Path(f"{area.name}-{period.label}.tif")


def _made_before(out: Path, planned: PlannedMap) -> MapReport | None:
    """The report of the map, if it need not be made."""
    settings = planned.settings
    report = made_before(
        out,
        planned.plan,
        remote=planned.remote,
        zones=settings.zones,
        overwrite=settings.overwrite,
        min_coverage=settings.min_coverage,
        extras=settings.extras,
    )
    if report is not None and settings.sidecars:
        complete_sidecars(out, report)
    return report


def _freeze(run: RunFolder, planned: PlannedMap, *, shard: Shard | None = None) -> PlannedMap:
    """Keep the plan and its items in the run folder, or check that they are those kept there.

    Returns:
        The planned map without the items, which in a country take more memory than a block.

    """
    about = planned.about
    RunFolder.open(run.path, planned.plan, freeze_items(planned.scenes), about, alone=shard is None)
    begun = run.about().layers
    if begun != about.layers:
        options = {"composite": "--save-composite", "probabilities": "--probabilities"}
        had, has = (" ".join(options[name] for name in of) for of in (begun, about.layers))
        raise UsageError(
            f"The run folder {run.path} was begun {f'with {had}' if had else f'without {has}'}, "
            f"and all its blocks must keep the same. Give the old options to resume it, choose "
            "another folder with --workdir, or delete it."
        )
    return replace(planned, scenes=planned.scenes.without_items)


def _assemble_command(run: RunFolder, out: Path, settings: Settings) -> str:
    """The command that makes the map of a run with the user's settings."""
    words = ["lulcmap", "assemble", str(run.path)]
    if out != run.path.with_suffix(""):
        words += ["--out", str(out)]
    if settings.min_coverage != Settings().min_coverage:
        words += ["--min-coverage", f"{settings.min_coverage:g}"]
    if settings.license is not None:
        words += ["--license", settings.license]
    flags = {
        "--zones": settings.zones,
        "--confidence": settings.confidence,
        "--no-sidecars": not settings.sidecars,
        "--keep-run": settings.keep_run,
        "--overwrite": settings.overwrite,
    }
    return shlex.join([*words, *(flag for flag, is_set in flags.items() if is_set)])
