"""What a map says of itself: its report, and the tags in its files."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lulcmap.legend import CLASSES, LandCover
from lulcmap.output.report import MapReport


def report_of(
    out: Path,
    blocks: Sequence[Mapping[str, Any]],
    plan: Mapping[str, Any],
    about: Mapping[str, Any],
    *,
    legend: Sequence[LandCover],
    maps: Sequence[Mapping[str, Any]],
    min_coverage: float,
) -> MapReport:
    """The report of a map.

    Args:
        out: the first of its files.
        blocks: what is known of each block, as ``RunFolder.facts`` gives it.
        plan: of the run.
        about: what else the run's folder says.
        legend: of the map.
        maps: name, CRS, height and width of each file.
        min_coverage: share of the area, below which the map is incomplete.

    """
    model = {"name": plan["model"], "sha256": plan["model_sha256"]}
    model |= {"knows": about["knows"], "worth": about["worth"]}
    warnings = list(about["notes"])
    if about["knows"] == "simulated" and not about["simulated"]:
        warnings.append(
            f"Model {plan['model']} knows simulated landscapes only; do not use this map of a real "
            "place for any decision."
        )
    return MapReport.collect(
        out,
        blocks,
        legend=legend,
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
            "legend": [asdict(cover) for cover in legend],
            "maps": list(maps),
            "model": model,
            "prior": plan["prior"],
            "counted_on": sorted({f"EPSG:{zone}" for zone, *_ in plan["blocks"]}),
            "device": sorted({block["device"] for block in blocks}),
            "catalog": about["catalog"],
            "platforms": about["platforms"],
            "s1_orbit": about["s1_orbit"],
        },
    )


def tags_of(
    plan: Mapping[str, Any],
    about: Mapping[str, Any],
    report: MapReport,
    *,
    legend: Sequence[LandCover],
) -> dict[str, str]:
    """The tags of a map's files.

    Args:
        plan: of the run.
        about: what else the run's folder says.
        report: of the map.
        legend: of the map.

    """
    classes = "Dynamic World's nine" if legend == CLASSES else f"{len(legend)} of the model's own"
    years = f"{plan['period'][0][:4]}-{plan['period'][1][:4]}"
    first, last = years.split("-")
    covered = first if first == last else years
    tags = {
        "TIFFTAG_SOFTWARE": f"lulcmap {plan['version']}",
        "TIFFTAG_IMAGEDESCRIPTION": f"Land cover in {classes} classes, 255 = no data",
        "TIFFTAG_COPYRIGHT": f"Contains modified Copernicus Sentinel data {covered}",
        "LULCMAP_PLAN": report.facts["plan"],
        "LULCMAP_REQUEST": about["request"],
        "LULCMAP_MODEL": plan["model"],
        "LULCMAP_MODEL_SHA256": plan["model_sha256"],
        "LULCMAP_PRIOR": plan["prior"],
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
