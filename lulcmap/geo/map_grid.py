"""The grids that maps are written on: one a map, and a map for each part of an area far away."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import shapely
from odc.geo.geobox import GeoBox
from pyproj import CRS
from pyproj.exceptions import CRSError

from lulcmap.errors import UsageError
from lulcmap.geo import grid
from lulcmap.geo import utm as zones
from lulcmap.geo.parts import distant_parts

MIN_FILLED = 0.01
"""Share of a map's pixels inside its area, below which a map is made only if it is confirmed."""


@dataclass(frozen=True)
class MapGrid:
    """What one map shows, and its CRS."""

    area: shapely.MultiPolygon
    """Longitude, latitude, degrees."""

    crs: str
    """``"EPSG:<code>"`` or a PROJ string."""

    @cached_property
    def polygon(self) -> shapely.MultiPolygon:
        """The area in units of the CRS."""
        return grid.project(self.area, self.crs)

    @cached_property
    def grid(self) -> GeoBox:
        """The map's pixels."""
        return grid.covering_grid(self.polygon, self.crs)

    @property
    def filled(self) -> float:
        """Share of the pixels that lie in the area, 0 to 1."""
        height, width = self.grid.shape
        affine = self.grid.affine
        return float(min(self.polygon.area / abs(affine.a * affine.e) / (height * width), 1.0))


def map_grids(area: shapely.MultiPolygon, crs: str) -> tuple[MapGrid, ...]:
    """The maps of an area, the largest part first.

    Args:
        area: longitude, latitude, degrees.
        crs: ``"auto"``: a map for each part that lies more than 500 km from the others, in the CRS
            ``zones.map_crs`` finds for it; or ``"EPSG:<code>"``: one map.

    Raises:
        UsageError: the CRS is unknown, or no map can be in it.
        AreaError: UTM does not reach the area.

    """
    if crs.lower() == "auto":
        return tuple(MapGrid(part, zones.map_crs(part)) for part in distant_parts(area))
    try:
        code = int(crs.upper().removeprefix("EPSG:"))
        asked = CRS.from_epsg(code)
    except (ValueError, CRSError):
        raise UsageError(
            f"--crs is {crs!r}; it takes auto, or an EPSG code such as EPSG:3035."
        ) from None
    units = {axis.unit_name for axis in asked.axis_info}
    if len(asked.axis_info) != 2 or units not in ({"metre"}, {"degree"}):
        raise UsageError(
            f"--crs is {crs!r}, {asked.name}, in {' and '.join(sorted(units))}; a map needs a CRS "
            "of two axes in metres or degrees, such as EPSG:3035."
        )
    return (MapGrid(area, f"EPSG:{code}"),)


def planned_grids(area: shapely.MultiPolygon, crs: tuple[str, ...]) -> tuple[MapGrid, ...]:
    """The maps that a plan has.

    Args:
        area: as of ``map_grids``.
        crs: of each map.

    """
    parts = distant_parts(area) if len(crs) > 1 else [area]
    return tuple(MapGrid(part, one) for part, one in zip(parts, crs, strict=True))


def map_files(out: Path, n: int) -> list[Path]:
    """The files of ``n`` maps.

    Examples:
        >>> [path.name for path in files(Path("fiji.tif"), 3)]
        ['fiji.tif', 'fiji-2.tif', 'fiji-3.tif']

    """
    return [out, *(out.with_stem(f"{out.stem}-{number}") for number in range(2, n + 1))]


def area_digest(area: shapely.MultiPolygon) -> str:
    """SHA-256 of an area's polygon, hexadecimal: how a plan knows it."""
    return hashlib.sha256(shapely.normalize(area).wkb).hexdigest()
