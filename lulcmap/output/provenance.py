"""What a map's files say of themselves: their tags."""

import re

from lulcmap.legend import CLASSES
from lulcmap.output.cog import PLAN_TAG, REQUEST_TAG
from lulcmap.output.report import MapReport
from lulcmap.run import About, Plan

_NOT_XML = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufdd0-\\ufdef\\ufffe\\uffff]")
"""Letters that XML 1.0 forbids or discourages, or that readers change, such as line ends."""


def map_tags(plan: Plan, about: About, report: MapReport) -> dict[str, str]:
    """The tags of a map's files.

    Args:
        plan: the plan of the run.
        about: what else the run knows.
        report: the report of the map.

    """
    is_dynamic_world = about.legend == CLASSES
    classes = (
        "Dynamic World's nine" if is_dynamic_world else f"{len(about.legend)} of the model's own"
    )
    first, last = (day[:4] for day in plan.period)
    covered = first if first == last else f"{first}-{last}"
    tags = {
        "TIFFTAG_SOFTWARE": report.software,
        "TIFFTAG_IMAGEDESCRIPTION": f"Land cover in {classes} classes, 255 = no data",
        "TIFFTAG_COPYRIGHT": f"Contains modified Copernicus Sentinel data {covered}",
        PLAN_TAG: report.plan,
        REQUEST_TAG: about.request,
        "LULCMAP_MODEL": plan.model,
        "LULCMAP_MODEL_SHA256": plan.model_sha256,
        "LULCMAP_PRIOR": plan.prior,
        "LULCMAP_PERIOD": "/".join(plan.period),
        "LULCMAP_LATTICE": "/".join(map(str, plan.lattice)),
        "LULCMAP_BLOCK": str(plan.block_size),
        "LULCMAP_SOURCES": ", ".join(
            f"{len(scenes)} {sensor.upper()} scenes" for sensor, scenes in report.scenes.items()
        ),
        "LULCMAP_CATALOG": report.catalog,
        "LULCMAP_COVERAGE": f"{report.coverage:.6f}",
        "LULCMAP_COMPLETE": "yes" if report.complete else "no",
        "ATTRIBUTION": report.attribution,
    }
    if report.fallback:
        tags["LULCMAP_FALLBACK"] = f"{plan.fallback}: {len(report.fallback)} assets"
    if report.observed is not None:  # never the clock: a map has the same bytes on every run
        newest = report.observed[1]
        tags["TIFFTAG_DATETIME"] = f"{newest[:10].replace('-', ':')} {newest[11:19]}"
    if report.license is not None:
        tags["LICENSE"] = report.license
    if report.warnings:
        tags["LULCMAP_WARNINGS"] = " ".join(report.warnings)
    return {name: _plain(text) for name, text in tags.items()}


def _plain(text: str) -> str:
    """A text as it comes back from a tag: GDAL keeps tags in XML, without what XML cannot hold."""
    escaped = _NOT_XML.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
    return escaped.strip() or "-"
