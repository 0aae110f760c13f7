"""From the finished blocks of a run to its maps and their report.

Everything comes from the run's folder, so any machine that sees it can do this.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import shapely
from odc.geo.geobox import GeoBox

from lulcmap import __version__
from lulcmap.errors import NothingMappedError, OutputError, ProviderError, UsageError
from lulcmap.geo import grid
from lulcmap.geo.map_grid import digest, planned
from lulcmap.geo.tiling import Box
from lulcmap.geo.utm import split
from lulcmap.legend import LandCover
from lulcmap.output.cog import plan_of, write_cog
from lulcmap.output.mosaic import ZoneBlocks, mosaic
from lulcmap.output.paths import check_place, held, is_made, outputs
from lulcmap.output.provenance import report_of, tags_of
from lulcmap.output.report import MapReport
from lulcmap.run import Number, RunFolder, beat, work
from lulcmap.run.folder import check_version, writing

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], object]
"""Called with a stage's name, how much of it is done, and how much there is."""

Block = tuple[Number, Box]
"""A block's zone, row and column, and its place in the zone's pixels."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One file to be written: a map, or what is mapped in a zone on the zone's own grid."""

    out: Path
    """The COG."""

    on: GeoBox
    """Its pixels."""

    polygon: shapely.MultiPolygon
    """What it shows of the area, in its CRS."""

    crs: str
    """``"EPSG:<code>"`` or a PROJ string."""

    parts: Sequence[tuple[int, shapely.MultiPolygon]]
    """Of the polygon, what lies in each UTM zone (EPSG code), in the file's CRS."""

    @property
    def facts(self) -> dict[str, Any]:
        """What the report says of the file."""
        height, width = self.on.shape
        return {"file": self.out.name, "crs": self.crs, "height": height, "width": width}


def blocks_of(plan: Mapping[str, Any]) -> list[Block]:
    """Number and box of each block of a plan."""
    return [
        ((zone, row, col), Box(*box))
        for (zone, row, col), box in zip(plan["blocks"], plan["boxes"], strict=True)
    ]


def frozen(run: RunFolder) -> tuple[dict[str, Any], dict[str, Any]]:
    """The plan of a run, and what else a map of it says.

    Raises:
        UsageError: no run was begun there, or by another version of lulcmap.
        OutputError: the folder cannot be read.

    """
    plan = run.plan()
    if plan is None:
        raise UsageError(f"There is no run in {run.path}; give the folder <out>.run of a map.")
    about = run.about()
    if "version" in plan:
        check_version(run.path, plan, {"version": __version__})
    if not (plan.keys() >= _PLAN and about.keys() >= _ABOUT):
        raise UsageError(
            f"What {run.path} holds is no run of this lulcmap; give the folder <out>.run of a map."
        )
    return plan, about


_PLAN = {"area", "blocks", "boxes", "crs", "version"}
"""What every plan has, as far as a map is put together of it."""

_ABOUT = {
    *("area", "catalog", "knows", "legend", "name", "notes", "plan", "platforms"),
    *("request", "s1_orbit", "simulated", "skipped", "worth"),
}
"""What is known beside it."""


def check_finished(run: RunFolder) -> None:
    """See that every block of a run is done.

    Raises:
        UsageError: no run was begun there, it is of another lulcmap, or blocks are missing.
        ProviderError: blocks are missing that failed.
        OutputError: the folder cannot be read.

    """
    plan, about = frozen(run)
    blocks, digest = blocks_of(plan), about["plan"]
    missing = [number for number, box in blocks if not run.is_done(number, box, plan=digest)]
    if not missing:
        return
    failures = run.failures()
    said = f"{len(missing):,} of {len(blocks):,} blocks in {run.path} are not made"
    if len(failures) == len(missing):
        number, reason = next(iter(failures.items()))
        raise ProviderError(
            f"{said}, and failed ({run.block_path(number).stem}: {reason}). Give "
            "the run's command again with --retry-failed, then assemble."
        )
    raise UsageError(f"{said}. Run the shards that are left, or the run's command, then assemble.")


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


def assemble(
    run: RunFolder,
    out: Path,
    *,
    min_coverage: float = 0.99,
    zones: bool = False,
    progress: Progress = lambda *_: None,
) -> MapReport:
    """Write the maps of a run whose blocks are all done, and the report beside the first.

    Args:
        run: all its blocks are done.
        out: the COG to write; further ones are named after it.
        min_coverage: share of the area, below which the maps are marked as incomplete.
        zones: whether each UTM zone is written too, on its own grid.
        progress: told how far it is.

    Returns:
        The report.

    Raises:
        NothingMappedError: no pixel was mapped.
        OutputError: a block cannot be read, or a map cannot be written.

    """
    plan, about = frozen(run)
    logger.debug("assembling %s", out.name)
    legend = _legend(run, about)
    sheets = list(_sheets(run, out, plan, about, zones=zones))
    report = report_of(
        out,
        [run.facts(number) for number, _ in blocks_of(plan)],
        plan,
        about,
        legend=legend,
        maps=[sheet.facts for sheet in sheets],
        min_coverage=min_coverage,
    )
    if not report.coverage:
        count = sum(map(len, (*plan["s2_dates"], *plan["s1_passes"], *plan["s1_others"])))
        raise NothingMappedError(
            f"No pixel of {about['name']} could be mapped: none of {count} scenes shows it "
            "clearly. Choose a longer period, or look at --mask-codes."
        )
    tags = tags_of(plan, about, report, legend=legend)
    with held(out):
        for number, sheet in enumerate(sheets, 1):
            what = "mosaic" if len(sheets) == 1 else f"mosaic {number} of {len(sheets)}"
            _join(run, sheet, plan, partial(progress, what))
            write_cog(run.joined_path, sheet.out, tags=tags, legend=legend)
            run.joined_path.unlink()
        report.write()
    return report


def _sheets(
    run: RunFolder, out: Path, plan: Mapping[str, Any], about: Mapping[str, Any], *, zones: bool
) -> Iterator[Sheet]:
    area = _area(run, plan, about)
    in_zones = split(area)
    targets = planned(area, tuple(plan["crs"]))
    paths = outputs(out, plan["crs"], [code for code, _ in in_zones] if zones else [])
    for target, path in zip(targets, paths, strict=False):
        parts = [(code, grid.project(part, target.crs)) for code, part in split(target.area)]
        yield Sheet(path, target.grid, target.polygon, target.crs, parts)
    for (code, part), path in zip(in_zones if zones else [], paths[len(targets) :], strict=True):
        crs = f"EPSG:{code}"
        polygon = grid.project(part, crs)
        yield Sheet(path, grid.covering_grid(polygon, crs), polygon, crs, [(code, polygon)])


def _area(
    run: RunFolder, plan: Mapping[str, Any], about: Mapping[str, Any]
) -> shapely.MultiPolygon:
    try:
        area = shapely.geometry.shape(about["area"])
    except (KeyError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError):
        area = None
    if not isinstance(area, shapely.MultiPolygon) or digest(area) != plan["area"]:
        raise OutputError(
            f"The area in {run.about_path} is not the plan's: the file was changed. Delete the "
            "folder, and map the area again."
        )
    return area


def _legend(run: RunFolder, about: Mapping[str, Any]) -> tuple[LandCover, ...]:
    try:
        legend = tuple(LandCover(**cover) for cover in about["legend"])
    except (TypeError, ValueError):
        legend = ()
    if not legend:
        raise OutputError(
            f"The legend in {run.about_path} cannot be read: the file was changed. Delete the "
            "folder, and map the area again."
        )
    return legend


def _join(
    run: RunFolder,
    sheet: Sheet,
    plan: Mapping[str, Any],
    progress: Callable[[int, int], object],
) -> None:
    """Join the blocks on a file's grid."""
    places: dict[int, list[tuple[Path, Box]]] = {}
    for number, box in blocks_of(plan):
        places.setdefault(number[0], []).append((run.block_path(number), box))
    mosaic(
        [ZoneBlocks(code, part, places.get(code, [])) for code, part in sheet.parts],
        target=sheet.on,
        polygon=sheet.polygon,
        out=run.joined_path,
        progress=progress,
    )
