"""Whether a map is there already, and whether it is the one that is asked for."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lulcmap.errors import OutputError
from lulcmap.output.cog import plan_of, request_of
from lulcmap.output.paths import map_paths
from lulcmap.output.report import MapReport
from lulcmap.run import Plan


def made_before(
    out: Path, plan: Plan, *, remote: bool, zones: bool, overwrite: bool, min_coverage: float
) -> MapReport | None:
    """The report of a map that need not be made, for all its files exist; None if it must be.

    A map made under the same plan is that map. So is one made for the same request from other
    scenes, where the catalogue is remote: what a provider has changes by the day, also of a year
    that is over, and is no reason to map again.

    Args:
        out: path of the map.
        plan: the plan of the map that is asked for.
        remote: whether the catalogue is a provider or an API.
        zones: whether a file of each UTM zone is asked for too.
        overwrite: whether other maps may be replaced; then only the same plan counts.
        min_coverage: share of the area's pixels that is asked for.

    Raises:
        OutputError: another file is in the place of the map, and may not be replaced.

    """
    digest = plan.digest
    outs = map_paths(out, plan.crs, plan.zones if zones else [])
    plans = {path: plan_of(path) for path in outs if path.exists()}
    others = [path for path, found in plans.items() if found != digest]
    if remote and others and not overwrite:
        request = plan.request
        others = [path for path in others if request_of(path) != request]
    if others and not overwrite:
        raise OutputError(
            f"{others[0]} exists and is not this map. Give --overwrite to replace it, or choose "
            "another --out."
        )
    if others or len(plans) < len(outs):
        return None
    report = MapReport.read(out, min_coverage=min_coverage)
    if report is None or report.plan != plans[out]:
        return None
    if report.plan == digest:
        return report
    note = "The catalogue has other scenes now than when the map was made; --overwrite maps anew."
    return replace(report, warnings=(*report.warnings, note))


def finished_map(out: Path, *, zones: bool, min_coverage: float) -> MapReport | None:
    """The report of a finished map whose run is gone; None if there is none, or files are missing.

    Args:
        out: path of the map.
        zones: whether a file of each UTM zone is asked for too.
        min_coverage: share of the area's pixels that is asked for.

    """
    report = MapReport.read(out, min_coverage=min_coverage) if out.exists() else None
    if report is None or report.plan != plan_of(out):
        return None
    zone_files: Sequence[Path] = []
    if zones:
        codes = [crs.removeprefix("EPSG:") for crs in report.counted_on]
        zone_files = map_paths(out, [""], codes)
    names = {written.file for written in report.maps} | {path.name for path in zone_files}
    return report if all((out.parent / name).exists() for name in names) else None
