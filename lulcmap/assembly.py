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

from lulcmap import __version__, grid
from lulcmap.cog import write_cog
from lulcmap.errors import NothingMappedError, OutputError, ProviderError, UsageError
from lulcmap.mosaic import ZoneBlocks, mosaic
from lulcmap.report import MapReport
from lulcmap.run import Number, RunFolder
from lulcmap.run.folder import check_version
from lulcmap.targets import digest, files, planned
from lulcmap.windows import Box
from lulcmap.zones import split

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


def outputs(out: Path, crs: Sequence[str], codes: Sequence[int | str]) -> list[Path]:
    """The files that are written for a map.

    Args:
        out: the first of them.
        crs: of each map.
        codes: of the UTM zones that are written too.

    """
    return [*files(out, len(crs)), *(out.with_stem(f"{out.stem}-z{code}") for code in codes)]


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
    *("area", "catalog", "knows", "name", "notes", "plan", "platforms", "request", "s1_orbit"),
    *("simulated", "skipped"),
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
    sheets = list(_sheets(run, out, plan, about, zones=zones))
    report = _report(run, out, plan, about, sheets, min_coverage=min_coverage)
    if not report.coverage:
        count = sum(map(len, (*plan["s2_dates"], *plan["s1_passes"], *plan["s1_others"])))
        raise NothingMappedError(
            f"No pixel of {about['name']} could be mapped: none of {count} scenes shows it "
            "clearly. Choose a longer period, or look at --mask-codes."
        )
    tags = _tags(plan, about, report)
    for number, sheet in enumerate(sheets, 1):
        what = "mosaic" if len(sheets) == 1 else f"mosaic {number} of {len(sheets)}"
        _write(run, sheet, plan, tags, partial(progress, what))
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


def _write(
    run: RunFolder,
    sheet: Sheet,
    plan: Mapping[str, Any],
    tags: Mapping[str, str],
    progress: Callable[[int, int], object],
) -> None:
    """Join the blocks on a file's grid, and make the COG of them."""
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
    write_cog(run.joined_path, sheet.out, tags=tags)
    run.joined_path.unlink()


def _report(
    run: RunFolder,
    out: Path,
    plan: Mapping[str, Any],
    about: Mapping[str, Any],
    sheets: Sequence[Sheet],
    *,
    min_coverage: float,
) -> MapReport:
    blocks = [run.facts(number) for number, _ in blocks_of(plan)]
    model = {"name": plan["model"], "sha256": plan["model_sha256"], "knows": about["knows"]}
    warnings = list(about["notes"])
    if about["knows"] == "simulated" and not about["simulated"]:
        warnings.append(
            f"Model {plan['model']} knows simulated landscapes only; do not use this map of a real "
            "place for any decision."
        )
    return MapReport.collect(
        out,
        blocks,
        scenes={
            "s2": [scene for group in plan["s2_dates"] for scene in group],
            "s1": [scene for group in (*plan["s1_passes"], *plan["s1_others"]) for scene in group],
        },
        skipped=[(name, reason) for name, reason in about["skipped"]],
        warnings=warnings,
        min_coverage=min_coverage,
        facts={
            "software": f"lulcmap {plan['version']}",
            "plan": about["plan"],
            "area": about["name"],
            "period": list(plan["period"]),
            "maps": [
                {
                    "file": sheet.out.name,
                    "crs": sheet.crs,
                    "height": sheet.on.shape[0],
                    "width": sheet.on.shape[1],
                }
                for sheet in sheets
            ],
            "model": model,
            "counted_on": sorted({f"EPSG:{zone}" for zone, *_ in plan["blocks"]}),
            "device": sorted({block["device"] for block in blocks}),
            "catalog": about["catalog"],
            "platforms": about["platforms"],
            "s1_orbit": about["s1_orbit"],
        },
    )


def _tags(plan: Mapping[str, Any], about: Mapping[str, Any], report: MapReport) -> dict[str, str]:
    years = f"{plan['period'][0][:4]}-{plan['period'][1][:4]}"
    first, last = years.split("-")
    covered = first if first == last else years
    tags = {
        "TIFFTAG_SOFTWARE": f"lulcmap {plan['version']}",
        "TIFFTAG_IMAGEDESCRIPTION": "Land cover in Dynamic World's nine classes, 255 = no data",
        "TIFFTAG_COPYRIGHT": f"Contains modified Copernicus Sentinel data {covered}",
        "LULCMAP_PLAN": report.facts["plan"],
        "LULCMAP_REQUEST": about["request"],
        "LULCMAP_MODEL": plan["model"],
        "LULCMAP_MODEL_SHA256": plan["model_sha256"],
        "LULCMAP_PERIOD": "/".join(plan["period"]),
        "LULCMAP_LATTICE": "/".join(map(str, plan["lattice"])),
        "LULCMAP_BLOCK": str(plan["block_size"]),
        "LULCMAP_SOURCES": ", ".join(
            f"{len(group)} {sensor.upper()} scenes" for sensor, group in report.scenes.items()
        ),
        "LULCMAP_CATALOG": report.facts["catalog"],
        "LULCMAP_COVERAGE": f"{report.coverage:.6f}",
        "LULCMAP_COMPLETE": "yes" if report.complete else "no",
        "LICENSE": "CC-BY-4.0",
        "ATTRIBUTION": f"Contains modified Copernicus Sentinel data {covered}; made with lulcmap",
    }
    if report.warnings:
        tags["LULCMAP_WARNINGS"] = " ".join(report.warnings)
    return tags
