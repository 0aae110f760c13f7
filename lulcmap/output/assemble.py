"""From the finished blocks of a run to its maps and their report.

Everything comes from the run folder, so any machine that sees it can do this.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import NothingMappedError, OutputError, ProviderError, UsageError
from lulcmap.geo import (
    area_digest,
)
from lulcmap.legend import NODATA
from lulcmap.output.existing import finished_map, made_before
from lulcmap.output.extras import Extras
from lulcmap.output.files import MapFile, map_files, write_layer_file, write_map_file
from lulcmap.output.layers import LAYERS, remove_old_layers
from lulcmap.output.paths import check_outside, check_writable, hold_map
from lulcmap.output.provenance import map_tags
from lulcmap.output.report import MapReport, WrittenFile
from lulcmap.output.sidecars import complete_sidecars, remove_sidecars, write_sidecars
from lulcmap.run import (
    DAMAGED,
    PIXEL_ORIGINS,
    About,
    Plan,
    RunFolder,
    hold_run,
    start_heartbeat,
)
from lulcmap.system import Progress, no_progress

logger = logging.getLogger(__name__)

M2_PER_HA = 10_000
"""Square metres of a hectare."""


def check_finished(run: RunFolder, plan: Plan, layers: Sequence[str] = ()) -> None:
    """Check that every block of a run is done.

    Args:
        run: the run.
        plan: its plan.
        layers: layers of the map for which its blocks keep more.

    Raises:
        UsageError: blocks are missing.
        ProviderError: blocks are missing that failed.
        OutputError: the folder cannot be read.

    """
    blocks, digest = plan.placed_blocks, plan.digest
    faults = {block.id: run.fault(block, plan=digest, layers=layers) for block in blocks}
    missing = [number for number, fault in faults.items() if fault]
    if not missing:
        return
    failures = run.failures()
    summary = f"{len(missing):,} of {len(blocks):,} blocks in {run.path} are missing"
    damaged = [str(number) for number in missing if faults[number] == DAMAGED]
    if damaged:
        summary += f" or damaged (damaged: {', '.join(damaged[:3])}{', ...' * (len(damaged) > 3)})"
    if len(failures) == len(missing):
        number, reason = next(iter(failures.items()))
        raise ProviderError(
            f"{summary}, and failed ({number}: {reason}). Rerun the predict command with "
            "--retry-failed, then assemble."
        )
    raise UsageError(f"{summary}. Run the remaining shards, or the predict command, then assemble.")


def assemble_run(
    path: Path,
    out: Path | None = None,
    *,
    min_coverage: float = 0.99,
    zones: bool = False,
    keep_run: bool = False,
    overwrite: bool = False,
    extras: Extras | None = None,
    progress: Progress = no_progress,
) -> MapReport:
    """Make the map of a run whose shards are done.

    Args:
        path: path of the run folder.
        out: path of the COG to write; None is the run folder's name without ``.run``.
        min_coverage: as in ``Settings``, and so are the others.
        zones: whether a file of each UTM zone is written too.
        keep_run: whether the run folder stays.
        overwrite: whether another map may be replaced.
        extras: what is written beside the map; None is the defaults.
        progress: called with how far it is.

    Raises:
        UsageError: there is no run, it is of another version of lulcmap, or blocks are missing.
        ProviderError: blocks failed.
        NoScenesError: no pixel was mapped.
        OutputError: the map exists or cannot be written, or another process works on the run.

    """
    if out is None and path.suffix != ".run":
        raise UsageError(f"{path} is not named <out>.run. Give --out too.")
    out, extras = out or path.with_suffix(""), extras or Extras()
    check_writable(out)
    check_outside(out, path)
    if not RunFolder(path).is_begun():
        report = finished_map(out, zones=zones, min_coverage=min_coverage, extras=extras)
        if report is None:
            raise UsageError(f"No run in {path}. Give the run folder of a map, <out>.run.")
        if extras.sidecars:
            complete_sidecars(out, report)
        if path.is_dir():  # a killed process left it half removed
            with hold_run(path) as run:
                run.remove()
        return report
    with hold_run(path) as run:
        with start_heartbeat(run) as heartbeat:
            heartbeat.stage("assembly")
            run.clean()
            plan, about = run.frozen()
            check_finished(run, plan, about.layers)
            extras = replace(extras, layers=tuple(dict.fromkeys((*extras.layers, *about.layers))))
            report = made_before(
                out,
                plan,
                remote=about.remote,
                zones=zones,
                overwrite=overwrite,
                min_coverage=min_coverage,
                extras=extras,
            )
            if report is None:
                report = assemble_map(
                    run,
                    out,
                    min_coverage=min_coverage,
                    zones=zones,
                    extras=extras,
                    progress=progress,
                )
            elif extras.sidecars:
                complete_sidecars(out, report)
        # The map may be one of the same request from other scenes: then the blocks stay.
        if not keep_run and report.plan == plan.digest:
            run.remove()
    return report


def assemble_map(
    run: RunFolder,
    out: Path,
    *,
    min_coverage: float = 0.99,
    zones: bool = False,
    extras: Extras | None = None,
    progress: Progress = no_progress,
) -> MapReport:
    """Write the maps of a run whose blocks are all done, and the report beside the first.

    Args:
        run: the run; all its blocks are done.
        out: path of the COG to write; further ones are named after it.
        min_coverage: share of the area's pixels, below which the maps are marked incomplete.
        zones: whether a file of each UTM zone is written too, on its own grid.
        extras: what is written beside each map; None is the defaults.
        progress: called with how far it is.

    Returns:
        The report.

    Raises:
        NothingMappedError: no pixel was mapped.
        OutputError: a block cannot be read, or a map cannot be written.

    """
    extras = extras or Extras()
    plan, about = run.frozen()
    if area_digest(about.area) != plan.area:
        raise OutputError(
            f"The area in {run.about_path} is not the plan's: the file was changed. Delete the "
            "folder, then map the area again."
        )
    logger.debug("assembling %s", out.name)
    files = list(map_files(out, plan, about, zones=zones))
    report = MapReport.collect(
        out,
        [run.facts(number) for number in plan.blocks],
        plan,
        about,
        maps=[file.written for file in files],
        min_coverage=min_coverage,
        license=extras.license,
    )
    if not report.coverage:
        count = sum(map(len, plan.scenes.values()))
        raise NothingMappedError(
            f"No pixel of {about.name} could be mapped: none of {count} scenes shows it clearly. "
            "Choose a longer period, or check --mask-codes."
        )
    with hold_map(out):
        report = _write_files(run, files, extras, report, progress)
        report.write()
    return report


def _write_files(
    run: RunFolder,
    files: Sequence[MapFile],
    extras: Extras,
    report: MapReport,
    progress: Progress,
) -> MapReport:
    """Write the files of a map, their layers and sidecars.

    Returns:
        The report with what was written.

    """
    plan, about = run.frozen()
    tags = map_tags(plan, about, report)
    layers = [LAYERS[name](about) for name in extras.layers]
    areas = np.zeros(NODATA + 1)
    maps: list[WrittenFile] = []
    made: dict[str, list[WrittenFile]] = {layer.name: [] for layer in layers}
    for number, file in enumerate(files, 1):
        stage = "mosaic" if len(files) == 1 else f"mosaic {number} of {len(files)}"
        of_map = None if file.is_of_zone else areas
        maps.append(write_map_file(run, file, tags, of_map, partial(progress, stage)))
        for layer in layers:
            steps = partial(progress, f"{layer.name}, {stage}")
            made[layer.name].append(write_layer_file(run, file, layer, tags, steps))
    # The tags say nothing of damage: the map is the same as without it.
    report = replace(report, maps=tuple(maps), hectares=_hectares(areas, about), layers=made)
    report = report.with_damage(run.damaged())
    for number, file in enumerate(files):
        remove_old_layers(file.out, plan.digest)
        if extras.sidecars:
            beside = {name: written[number] for name, written in made.items()}
            write_sidecars(file.out, maps[number], report, layers=beside)
        else:
            remove_sidecars(file.out)
    return report


def _hectares(areas: NDArray[np.float64], about: About) -> dict[str, float]:
    """Hectares of each class that occurs and of what is not mapped, from square metres by value."""
    names = {cover.id: cover.name for cover in about.legend} | {NODATA: PIXEL_ORIGINS[0]}
    return {name: areas[value] / M2_PER_HA for value, name in names.items() if areas[value]}
