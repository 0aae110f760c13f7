"""Whether the requested map already exists."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lulcmap.errors import OutputError
from lulcmap.output.cog import plan_of, request_of
from lulcmap.output.extras import Extras
from lulcmap.output.layer_names import layer_path
from lulcmap.output.paths import check_map_file, map_paths
from lulcmap.output.report import MapReport, WrittenFile
from lulcmap.output.whole import map_fault, written_files, written_layers
from lulcmap.run import Plan

logger = logging.getLogger(__name__)


def made_before(
    out: Path,
    plan: Plan,
    *,
    remote: bool,
    zones: bool,
    overwrite: bool,
    min_coverage: float,
    extras: Extras | None = None,
) -> MapReport | None:
    """The report of a map that need not be made, for all its files are whole; None if it must be.

    A map made under the same plan is that map. So is one made for the same request from other
    scenes, where the catalogue is remote: what a provider has changes by the day, also of a year
    that is over, and is no reason to map again. A damaged map is made again, and a warning says so.

    Args:
        out: path of the map.
        plan: the plan of the map that is asked for.
        remote: whether the catalogue is a provider or an API.
        zones: whether a file of each UTM zone is asked for too.
        overwrite: whether other maps may be replaced; then only the same plan counts.
        min_coverage: share of the area's pixels that is asked for.
        extras: what is asked for beside the map; None is the defaults.

    Raises:
        OutputError: another map is in the place of this one and may not be replaced, or a file
            that lulcmap did not write, or a name is too long; or the map has another licence.

    """
    extras = extras or Extras()
    digest, request = plan.digest, plan.request
    outs = map_paths(out, plan.crs, plan.zones if zones else [])
    wanted: dict[Path, str | None] = dict.fromkeys(outs)
    wanted |= {layer_path(path, layer): layer for path in outs for layer in extras.layers}
    report = MapReport.read(out, min_coverage=min_coverage)
    recorded: dict[Path, WrittenFile] = {}
    if report is not None:
        recorded = {**written_files(out, report), **written_layers(out, report)}
    for path, layer in wanted.items():
        check_map_file(path, recorded.get(path), layer)
    present = {path: layer for path, layer in wanted.items() if path.exists()}
    others = [path for path, layer in present.items() if plan_of(path, layer) != digest]
    if remote and not overwrite:
        others = [path for path in others if request_of(path, wanted[path]) != request]
    if report is not None and report.plan == digest:
        # Lulcmap's and without a tag of another plan: its tags are damaged.
        others = [path for path in others if plan_of(path, wanted[path]) is not None]
    if others and not overwrite:
        raise OutputError(
            f"{others[0]} exists and is not this map. Give --overwrite to replace it, or choose "
            "another --out."
        )
    if others or len(present) < len(wanted):
        return None
    fault = _fault(out, list(wanted), report)
    if report is None or fault is not None:
        logger.warning("%s is made again: %s.", out, fault)
        return None
    _check_license(out, report, extras)
    if report.plan == digest:
        return report
    note = "The catalogue has other scenes now than when the map was made; --overwrite maps anew."
    return replace(report, warnings=(*report.warnings, note))


def finished_map(
    out: Path, *, zones: bool = False, min_coverage: float = 0.0, extras: Extras | None = None
) -> MapReport | None:
    """The report of a finished map whose run is gone; None if there is none, or files are missing.

    Args:
        out: path of the map.
        zones: whether a file of each UTM zone is asked for too.
        min_coverage: share of the area's pixels that is asked for.
        extras: what is asked for beside the map; None is the defaults.

    Raises:
        OutputError: a file is damaged, or the map has another licence.

    """
    extras = extras or Extras()
    report = MapReport.read(out, min_coverage=min_coverage) if out.exists() else None
    if report is None:
        return None
    paths = set(written_files(out, report))
    if zones:
        codes = [crs.removeprefix("EPSG:") for crs in report.counted_on]
        paths |= set(map_paths(out, [""], codes))
    paths |= {layer_path(path, layer) for path in paths for layer in extras.layers}
    if not all(path.is_file() for path in paths):
        return None
    fault = _fault(out, sorted(paths), report)
    if fault is not None:
        raise OutputError(f"{fault}, and its run is gone. Run the predict command again.")
    _check_license(out, report, extras)
    return report


def _check_license(out: Path, report: MapReport, extras: Extras) -> None:
    """Check that a finished map has the licence that is asked for: it is part of its file."""
    if extras.license in (None, report.license):
        return
    found = f"with --license {report.license}" if report.license else "without --license"
    raise OutputError(
        f"{out} was made {found}, and a finished map keeps its licence. Leave --license out, or "
        "move the map away to make it again."
    )


def _fault(out: Path, paths: Sequence[Path], report: MapReport | None) -> str | None:
    """Why a map whose files are all there does not count as made; None if it does."""
    if report is None:
        return f"the report of {out.name} is missing or damaged"
    try:
        fault = map_fault(out, paths, report)
    except OSError as error:
        raise OutputError(
            f"{out} cannot be read ({error.strerror or error}). Check the disk and its permissions."
        ) from error
    if fault is None and report.plan != plan_of(out):
        return f"the report of {out.name} is of another map"
    return fault
