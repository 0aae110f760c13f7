"""CRS as users' files write them, and how well PROJ knows their place on the globe."""

import logging
import re

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError
from pyproj.transformer import AreaOfInterest, TransformerGroup

from lulcmap.errors import UsageError

logger = logging.getLogger(__name__)

_WEB_MERCATOR = 3857
_WEB_RADIUS_M = 6378137.0
_WEB_NAMES = re.compile(r"google|web.?mercator|pseudo.?mercator|popular.?vis|900913", re.IGNORECASE)
"""Names of Web Mercator; some programs write it with the ellipsoid it is not computed on."""

_NAMED = (
    re.compile(r"urn:(?:x-)?ogc:def:crs:(?P<of>\w+):[^:]*:(?P<code>\w+)", re.IGNORECASE),
    re.compile(r"https?://[\w.]*opengis\.net/def/crs/(?P<of>\w+)/[^/]*/(?P<code>\w+)/?", re.I),
    re.compile(r"https?://[\w.]*opengis\.net/gml/srs/(?P<of>\w+)\.xml#(?P<code>\w+)", re.I),
    re.compile(r"urn:ogc:def:crs:(?P<of>\w+):(?P<code>\w+)", re.IGNORECASE),
    re.compile(r"(?P<of>\w+)::?(?:[\d.]+:)?(?P<code>\w+)", re.IGNORECASE),
)
"""Forms of a CRS's name: URN, address and authority with code."""

MAX_EDGE_M = 1000.0
"""Metres; straight edges in a projected CRS are cut into pieces this long before they are converted
to degrees (a kilometre bends by less than 0.1 m below 80 degrees of latitude)."""

_SURE_M = 10.0
"""Metres, a pixel; a CRS that may be shifted by more is warned of."""

_TRIED = 32
"""Corners at which the shift to WGS 84 is looked up."""


def understood_crs(crs: object) -> CRS:
    """A CRS as the programs that write it mean it.

    Web Mercator is EPSG:3857 in each of its spellings. On a sphere, longitude and latitude are
    those of WGS 84, as every GIS takes them: its zero shift to WGS 84 (``TOWGS84[0,0,0]``), which
    some files write, would turn latitudes into geocentric ones and move the area by up to 21 km.

    Args:
        crs: what pyproj accepts.

    Raises:
        CRSError: it is no CRS.

    """
    known = crs if isinstance(crs, CRS) else CRS.from_user_input(crs)
    base = known.source_crs if known.is_bound and known.source_crs is not None else known
    if _is_web_mercator(base):
        return CRS.from_epsg(_WEB_MERCATOR)
    return base if _on_sphere(base) else known


def crs_by_name(name: str) -> CRS:
    """A CRS by its name in a GeoJSON file, such as ``urn:ogc:def:crs:EPSG::25832``.

    Raises:
        CRSError: the name is not known.

    """
    text = name.strip()
    if text.upper() in ("CRS84", "WGS84", "WGS 84"):
        return CRS.from_user_input("OGC:CRS84")
    for form in _NAMED:
        match = form.fullmatch(text)
        if match is not None:
            return understood_crs(_of_authority(match["of"].upper(), match["code"].upper()))
    return understood_crs(text)


def _of_authority(authority: str, code: str) -> CRS:
    try:
        return CRS.from_authority(authority, code)
    except CRSError:
        if authority != "EPSG":
            raise
        return CRS.from_authority("ESRI", code)  # ArcGIS writes EPSG:102100


def _on_sphere(crs: CRS) -> bool:
    ellipsoid = crs.ellipsoid
    return ellipsoid is not None and ellipsoid.semi_major_metre == ellipsoid.semi_minor_metre


def _is_web_mercator(crs: CRS) -> bool:
    operation, ellipsoid = crs.coordinate_operation, crs.ellipsoid
    if operation is None or ellipsoid is None or ellipsoid.semi_major_metre != _WEB_RADIUS_M:
        return False
    if "mercator" not in operation.method_name.lower() or "transverse" in (
        operation.method_name.lower()
    ):
        return False
    values = {param.name.lower(): param.value for param in operation.params}
    if any(value for name, value in values.items() if "scale" not in name):
        return False  # another meridian, parallel or origin
    scale = values.get("scale factor at natural origin", 1)
    metres = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1
    by_name = bool(_WEB_NAMES.search(crs.name))
    return scale == 1 and metres == 1 and (_on_sphere(crs) or by_name)


def to_degrees(shapes: NDArray[np.object_], crs: CRS, source: str) -> NDArray[np.object_]:
    """Geometries in longitude and latitude (EPSG:4326), with the edges of projected ones bent.

    Args:
        shapes: (n,) geometries.
        crs: their CRS.
        source: what they belong to, for messages.

    Returns:
        (n,) geometries; the same array if they are in degrees of WGS 84.

    Raises:
        UsageError: the CRS cannot be converted, or coordinates do not exist in it.

    """
    if crs.to_authority(min_confidence=70) in (("EPSG", "4326"), ("OGC", "CRS84")):
        return shapes
    try:
        transformer = Transformer.from_crs(crs, 4326, always_xy=True)
    except ProjError as error:
        raise UsageError(
            f"The CRS of {source} ({crs.name}) cannot be converted to longitude and latitude. "
            "Convert the file to EPSG:4326."
        ) from error
    if crs.is_projected:
        metres = crs.axis_info[0].unit_conversion_factor or 1.0
        shapes = shapely.segmentize(shapes, MAX_EDGE_M / metres)
    converted = shapely.transform(shapes, lambda xy: np.column_stack(transformer.transform(*xy.T)))
    if not np.isfinite(shapely.get_coordinates(converted)).all():
        raise UsageError(
            f"{source} has coordinates that do not exist in its CRS ({crs.name}). Check that the "
            "CRS is the right one."
        )
    return np.asarray(converted, dtype=object)


def datum_doubt(
    crs: CRS, corners: NDArray[np.float64], source: str, *, remedy: str | None = None
) -> str | None:
    """Log and return a warning if PROJ's shift to WGS 84 is unknown or coarser than a pixel.

    Args:
        crs: a CRS.
        corners: (n, 2) coordinates in it, x before y.
        source: what they belong to, for the log.
        remedy: what to do, if it is not to convert a file.

    """
    if not len(corners):
        return None
    transformer = Transformer.from_crs(crs, 4326, always_xy=True)
    chosen = corners[np.unique(np.linspace(0, len(corners) - 1, _TRIED).astype(int))]
    accuracies = [_accuracy(transformer, float(x), float(y)) for x, y in chosen]
    if all(value is not None and value <= _SURE_M for value in accuracies):
        return None
    known = [value for value in accuracies if value is not None]
    size = "unknown" if len(known) < len(accuracies) else f"{max(known):g} m"
    lon, lat = transformer.transform(*chosen.T)
    doubt = (
        f"The accuracy of the shift from {crs.name} to WGS 84 is {size}: what is in it may lie "
        f"beside its place, by hundreds of metres at worst. {_remedy(crs, lon, lat, remedy)}, and "
        "check the place."
    )
    logger.warning("%s: %s", source, doubt)
    return doubt


def _accuracy(transformer: Transformer, x: float, y: float) -> float | None:
    """Metres to which a place is converted; None if that is unknown."""
    transformer.transform(x, y)
    try:
        accuracy = float(transformer.get_last_used_operation().accuracy)
    except ProjError:  # there is one operation only
        accuracy = float(transformer.accuracy)
    return accuracy if accuracy >= 0 else None


def _remedy(
    crs: CRS, lon: NDArray[np.float64], lat: NDArray[np.float64], otherwise: str | None
) -> str:
    """What to do: PROJ's missing grids by name, if there are any."""
    place = AreaOfInterest(lon.min(), lat.min(), lon.max(), lat.max())
    group = TransformerGroup(crs, 4326, always_xy=True, area_of_interest=place)
    grids = [
        grid.short_name
        for operation in group.unavailable_operations[:1]
        for grid in operation.grids
        if not grid.available
    ]
    if grids:
        return f"Install what PROJ lacks ('pyproj sync --file {grids[0]}')"
    return otherwise or "Convert the file to EPSG:4326 in a program that knows the shift"
