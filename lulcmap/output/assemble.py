"""From the finished blocks of a run to its maps and their report.

Everything comes from the run folder, so any machine that sees it can do this.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import shapely
from odc.geo.geobox import GeoBox

from lulcmap.errors import NothingMappedError, OutputError, ProviderError, UsageError
from lulcmap.geo import (
    Box,
    ZonePart,
    area_digest,
    covering_grid,
    planned_grids,
    project,
    split_by_zone,
)
from lulcmap.output.cog import write_cog
from lulcmap.output.existing import finished_map, made_before
from lulcmap.output.mosaic import ZoneBlocks, write_mosaic
from lulcmap.output.paths import check_outside, check_writable, hold_map, map_paths
from lulcmap.output.provenance import map_tags
from lulcmap.output.report import MapReport, WrittenFile
from lulcmap.run import (
    DAMAGED,
    About,
    Plan,
    RunFolder,
    check_block,
    hold_run,
    start_heartbeat,
)
from lulcmap.system import Progress, Steps, no_progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MapFile:
    """One file to be written: a map, or what is mapped in a UTM zone on the zone's own grid."""

    out: Path
    """Path of the COG."""

    grid: GeoBox
    """Grid of the file."""

    polygon: shapely.MultiPolygon
    """The part of the area it shows, in its CRS."""

    crs: str
    """``"EPSG:<code>"`` or a PROJ string."""

    parts: Sequence[ZonePart]
    """The part of the polygon in each UTM zone, in the file's CRS."""

    @property
    def written(self) -> WrittenFile:
        """What the report says of the file."""
        height, width = self.grid.shape
        return WrittenFile(self.out.name, self.crs, height, width)


def check_finished(run: RunFolder, plan: Plan) -> None:
    """Check that every block of a run is done.

    Args:
        run: the run.
        plan: its plan.

    Raises:
        UsageError: blocks are missing.
        ProviderError: blocks are missing that failed.
        OutputError: the folder cannot be read.

    """
    blocks, digest = plan.placed_blocks, plan.digest
    faults = {block.id: run.fault(block, plan=digest) for block in blocks}
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
        progress: called with how far it is.

    Raises:
        UsageError: there is no run, it is of another version of lulcmap, or blocks are missing.
        ProviderError: blocks failed.
        NoScenesError: no pixel was mapped.
        OutputError: the map exists or cannot be written, or another process works on the run.

    """
    if out is None and path.suffix != ".run":
        raise UsageError(f"{path} is not named <out>.run. Give --out too.")
    out = out or path.with_suffix("")
    check_writable(out)
    check_outside(out, path)
    if not RunFolder(path).is_begun():
        report = finished_map(out, zones=zones, min_coverage=min_coverage)
        if report is None:
            raise UsageError(f"No run in {path}. Give the run folder of a map, <out>.run.")
        if path.is_dir():  # a killed process left it half removed
            with hold_run(path) as run:
                run.remove()
        return report
    with hold_run(path) as run:
        with start_heartbeat(run) as heartbeat:
            heartbeat.stage("assembly")
            run.clean()
            plan, about = run.frozen()
            check_finished(run, plan)
            report = made_before(
                out,
                plan,
                remote=about.remote,
                zones=zones,
                overwrite=overwrite,
                min_coverage=min_coverage,
            )
            if report is None:
                report = assemble_map(
                    run, out, min_coverage=min_coverage, zones=zones, progress=progress
                )
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
    progress: Progress = no_progress,
) -> MapReport:
    """Write the maps of a run whose blocks are all done, and the report beside the first.

    Args:
        run: the run; all its blocks are done.
        out: path of the COG to write; further ones are named after it.
        min_coverage: share of the area's pixels, below which the maps are marked incomplete.
        zones: whether a file of each UTM zone is written too, on its own grid.
        progress: called with how far it is.

    Returns:
        The report.

    Raises:
        NothingMappedError: no pixel was mapped.
        OutputError: a block cannot be read, or a map cannot be written.

    """
    plan, about = run.frozen()
    if area_digest(about.area) != plan.area:
        raise OutputError(
            f"The area in {run.about_path} is not the plan's: the file was changed. Delete the "
            "folder, then map the area again."
        )
    logger.debug("assembling %s", out.name)
    files = list(_map_files(out, plan, about, zones=zones))
    report = MapReport.collect(
        out,
        [run.facts(number) for number in plan.blocks],
        plan,
        about,
        maps=[file.written for file in files],
        min_coverage=min_coverage,
    )
    if not report.coverage:
        count = sum(map(len, plan.scenes.values()))
        raise NothingMappedError(
            f"No pixel of {about.name} could be mapped: none of {count} scenes shows it clearly. "
            "Choose a longer period, or check --mask-codes."
        )
    tags = map_tags(plan, about, report)
    written = []
    with hold_map(out):
        for number, file in enumerate(files, 1):
            stage = "mosaic" if len(files) == 1 else f"mosaic {number} of {len(files)}"
            _join(run, file, plan, partial(progress, stage))
            size, sha256 = write_cog(run.joined_path, file.out, tags=tags, legend=about.legend)
            written.append(replace(file.written, bytes=size, sha256=sha256))
            run.joined_path.unlink()
        # The tags say nothing of damage: the map is the same as without it.
        report = replace(report, maps=tuple(written)).with_damage(run.damaged())
        report.write()
    return report


def _map_files(out: Path, plan: Plan, about: About, *, zones: bool) -> Iterator[MapFile]:
    zone_parts = split_by_zone(about.area)
    grids = planned_grids(about.area, plan.crs)
    paths = map_paths(out, plan.crs, [part.epsg for part in zone_parts] if zones else [])
    for map_grid, path in zip(grids, paths, strict=False):
        crs = map_grid.crs
        parts = [
            ZonePart(part.epsg, project(part.polygon, crs)) for part in split_by_zone(map_grid.area)
        ]
        yield MapFile(path, map_grid.grid, map_grid.polygon, crs, parts)
    for part, path in zip(zone_parts if zones else [], paths[len(grids) :], strict=True):
        crs = f"EPSG:{part.epsg}"
        polygon = project(part.polygon, crs)
        yield MapFile(
            path, covering_grid(polygon, crs), polygon, crs, [ZonePart(part.epsg, polygon)]
        )


def _join(run: RunFolder, file: MapFile, plan: Plan, progress: Steps) -> None:
    """Write the blocks on a file's grid."""
    blocks: dict[int, list[tuple[Path, Box]]] = {}
    for block in plan.placed_blocks:
        blocks.setdefault(block.id.zone, []).append((run.block_path(block.id), block.box))
    write_mosaic(
        [ZoneBlocks(part.epsg, part.polygon, blocks.get(part.epsg, [])) for part in file.parts],
        target=file.grid,
        polygon=file.polygon,
        out=run.joined_path,
        check=check_block,
        progress=progress,
    )
