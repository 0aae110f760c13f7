"""The STAC item of a map: ``<map>.json``, which catalogues and QGIS read."""

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rasterio
import shapely
from odc.geo.geobox import GeoBox

from lulcmap.geo import unproject
from lulcmap.legend import NODATA, LandCover
from lulcmap.output.report import MapReport, WrittenFile, report_path
from lulcmap.sensors import SENSOR_NAMES
from lulcmap.system import GDAL_OPTIONS

STAC_VERSION = "1.1.0"

EXTENSIONS = {
    name: f"https://stac-extensions.github.io/{name}/{version}/schema.json"
    for name, version in (
        *(("classification", "v2.0.0"), ("file", "v2.1.0"), ("processing", "v1.2.0")),
        *(("projection", "v2.0.0"), ("raster", "v2.0.0")),
    )
}
"""Extensions of the items, and their schemas."""

COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
"""Media type of the map."""

_SHA2_256 = "1220"
"""Beginning of a multihash: SHA-256, of 32 bytes."""

_RESOLUTION_M = 10

_DIGITS = 7
"""Decimals of degrees, 1 cm."""


def stac_item(
    path: Path,
    written: WrittenFile,
    report: MapReport,
    *,
    layers: Sequence[tuple[str, WrittenFile]] = (),
    beside: Mapping[str, Path],
) -> dict[str, Any]:
    """The STAC item of one file of a map, as JSON values; all hrefs are names of files beside it.

    Args:
        path: path of the file.
        written: what the report says of it.
        report: report of the map.
        layers: name and file of each layer of it.
        beside: paths of its ``"style"`` and ``"thumbnail"``, of those that were written.

    """
    with rasterio.Env(**GDAL_OPTIONS), rasterio.open(path, driver="GTiff") as dataset:
        grid = GeoBox(dataset.shape, dataset.transform, dataset.crs)
    geometry = unproject(grid)
    boxes = [polygon.bounds for polygon in geometry.geoms]
    first, last = boxes[0], boxes[-1]  # of two, the first ends at 180 degrees
    shape = geometry if len(boxes) > 1 else geometry.geoms[0]
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": sorted(EXTENSIONS.values()),
        "id": path.stem,
        "geometry": _rounded(shapely.geometry.mapping(shape)),
        "bbox": _rounded((first[0], first[1], last[2], first[3])),
        "properties": {**_properties(report), **_projection(grid, written.crs)},
        "links": _links(report),
        "assets": {
            "map": _map_asset(written, report),
            **{name: _layer_asset(name, file) for name, file in layers},
            **_other_assets(report, beside),
        },
    }


def file_facts(written: WrittenFile) -> dict[str, Any]:
    """Size and checksum of a file, as the extension ``file`` has them."""
    return {"file:size": written.bytes, "file:checksum": f"{_SHA2_256}{written.sha256}"}


def class_objects(legend: Sequence[LandCover]) -> list[dict[str, Any]]:
    """The classes of a legend, as the extension ``classification`` has them.

    Its names are letters of ASCII, digits, hyphens and underscores; the legend's are the titles.
    """
    names: list[str] = []
    for cover in legend:
        name = re.sub(r"[^0-9A-Za-z_-]+", "_", cover.name).strip("_")
        plain = name if name and name not in names else f"class_{cover.id}"
        names.append(plain)
    return [
        {
            "value": cover.id,
            "name": name,
            "title": cover.name,
            "description": cover.name,
            "color_hint": cover.colour.upper(),
        }
        for cover, name in zip(legend, names, strict=True)
    ]


def stac_license(spdx: str | None) -> str:
    """A licence as STAC names it: an SPDX id, or ``"other"`` also for expressions."""
    is_id = spdx is not None and re.fullmatch(r"[\w.+-]+", spdx) and "LicenseRef-" not in spdx
    return spdx if spdx is not None and is_id else "other"


def _properties(report: MapReport) -> dict[str, Any]:
    """What the item says of the map."""
    start, end = report.period
    sensors = [SENSOR_NAMES[sensor] for sensor, scenes in report.scenes.items() if scenes]
    model = f"{report.model.name} (SHA-256 {report.model.sha256})"
    said: dict[str, Any] = {
        "title": report.title,
        "description": " ".join(
            (
                f"Land cover of {report.area}, {start} to {end}, from {' and '.join(sensors)},",
                f"{_RESOLUTION_M} m. Model {report.model.name} {report.model.quality}.",
                *report.warnings,
            )
        ),
        "datetime": None,
        "start_datetime": f"{start}T00:00:00Z",
        "end_datetime": f"{end}T23:59:59Z",
        "gsd": _RESOLUTION_M,
        "processing:level": "L4",
        "processing:software": {"lulcmap": report.software.removeprefix("lulcmap ")},
        "processing:lineage": (
            f"Composite of {' and '.join(sensors)}, classified by the model {model}, class prior "
            f"{report.prior}. {report.attribution}."
        ),
        "lulcmap:plan": report.plan,
        "lulcmap:coverage": round(report.coverage, 6),
        "lulcmap:scenes": {sensor: list(scenes) for sensor, scenes in report.scenes.items()},
    }
    if report.observed is not None:
        said["lulcmap:observed"] = list(report.observed)
    if report.license is not None:
        said["license"] = stac_license(report.license)
    return said


def _projection(grid: GeoBox, crs: str) -> dict[str, Any]:
    """The grid, as the extension ``projection`` has it."""
    box = grid.extent.boundingbox
    said: dict[str, Any] = {"proj:code": crs if crs.startswith("EPSG:") else None}
    if said["proj:code"] is None and grid.crs is not None:
        said["proj:wkt2"] = grid.crs.proj.to_wkt()
    return {
        **said,
        "proj:shape": list(grid.shape),
        "proj:transform": list(grid.affine[:6]),
        "proj:bbox": list(box.bbox),
    }


def _links(report: MapReport) -> list[dict[str, Any]]:
    """The scenes that gave pixels, where they have an address, and the model by its digest."""
    digest = base64.urlsafe_b64encode(bytes.fromhex(report.model.sha256)).decode().rstrip("=")
    model = {
        "rel": "derived_from",
        "href": f"ni:///sha-256;{digest}",
        "type": "application/octet-stream",
        "title": f"Model {report.model.name}",
        "mlm:name": report.model.name,
        "mlm:framework": "ONNX",
        "file:checksum": f"{_SHA2_256}{report.model.sha256}",
    }
    scenes = [
        {
            "rel": "derived_from",
            "href": report.addresses[scene],
            "type": "application/geo+json",
            "title": scene,
        }
        for ids in report.scenes.values()
        for scene in ids
        if scene in report.addresses
    ]
    return [model, *scenes]


def _map_asset(written: WrittenFile, report: MapReport) -> dict[str, Any]:
    return {
        "href": f"./{written.file}",
        "type": COG_TYPE,
        "title": "Land cover",
        "roles": ["data"],
        **file_facts(written),
        "data_type": "uint8",
        "nodata": NODATA,
        "raster:sampling": "area",
        "raster:spatial_resolution": _RESOLUTION_M,
        "bands": [{"name": "land_cover", "description": "Class of the legend"}],
        "classification:classes": class_objects(report.legend),
    }


def _layer_asset(name: str, written: WrittenFile) -> dict[str, Any]:
    return {
        "href": f"./{written.file}",
        "type": COG_TYPE,
        "title": name.capitalize(),
        "roles": ["data"],
        **file_facts(written),
        "raster:spatial_resolution": _RESOLUTION_M,
    }


def _other_assets(report: MapReport, beside: Mapping[str, Path]) -> dict[str, Any]:
    assets: dict[str, Any] = {
        "report": {
            "href": f"./{report_path(report.map).name}",
            "type": "application/json",
            "title": "Report: what the map was made from, and what is missing",
            "roles": ["metadata"],
        }
    }
    if "thumbnail" in beside:
        assets["thumbnail"] = {
            "href": f"./{beside['thumbnail'].name}",
            "type": "image/png",
            "title": "Quick look with legend",
            "roles": ["thumbnail", "overview"],
        }
    if "style" in beside:
        assets["style"] = {
            "href": f"./{beside['style'].name}",
            "type": "application/xml",
            "title": "Style for QGIS",
            "roles": ["style"],
        }
    return assets


def _rounded(value: Any) -> Any:
    """JSON values with coordinates of ``_DIGITS`` decimals, tuples as lists."""
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return value
