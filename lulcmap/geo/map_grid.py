"""The grids of maps: one per map, and one map for each distant part of an area."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import shapely
from odc.geo.geobox import GeoBox
from pyproj import CRS
from pyproj.exceptions import CRSError

from lulcmap.errors import UsageError
from lulcmap.geo.crs import datum_doubt, understood_crs
from lulcmap.geo.grid import covering_grid, project
from lulcmap.geo.parts import distant_parts
from lulcmap.geo.utm import map_crs

MIN_FILLED = 0.01
"""Share of a map's pixels inside its area below which it is made only with --yes."""


@dataclass(frozen=True)
class MapGrid:
    """The area of one map, and its CRS and pixels."""

    area: shapely.MultiPolygon
    """Area of the map, longitude, latitude, degrees."""

    crs: str
    """CRS of the map, ``"EPSG:<code>"`` or a PROJ string."""

    @cached_property
    def polygon(self) -> shapely.MultiPolygon:
        """The area in units of the CRS."""
        return project(self.area, self.crs)

    @cached_property
    def grid(self) -> GeoBox:
        """The map's pixels."""
        return covering_grid(self.polygon, self.crs)

    @property
    def filled(self) -> float:
        """Share of the pixels that lie in the area, 0 to 1."""
        height, width = self.grid.shape
        affine = self.grid.affine
        return float(min(self.polygon.area / abs(affine.a * affine.e) / (height * width), 1.0))


def map_grids(area: shapely.MultiPolygon, crs: str) -> tuple[MapGrid, ...]:
    """The maps of an area, the largest part first.

    Args:
        area: area in longitude, latitude, degrees.
        crs: ``"auto"``: one map for each part more than 500 km from the others, in the CRS that
            ``map_crs`` finds for it; or ``"EPSG:<code>"``: one map.

    Raises:
        UsageError: the CRS is unknown, or is not in metres or degrees.
        AreaError: UTM does not reach the area.

    """
    if crs.lower() == "auto":
        return tuple(MapGrid(part, map_crs(part)) for part in distant_parts(area))
    try:
        code = int(crs.upper().removeprefix("EPSG:"))
        requested = CRS.from_epsg(code)
    except (ValueError, CRSError):
        raise UsageError(
            f"--crs is {crs!r}; give auto, or an EPSG code such as EPSG:3035."
        ) from None
    units = {axis.unit_name for axis in requested.axis_info}
    if len(requested.axis_info) != 2 or units not in ({"metre"}, {"degree"}):
        raise UsageError(
            f"--crs is {crs!r}, {requested.name}, in {' and '.join(sorted(units))}; a map needs a "
            "CRS with two axes in metres or degrees, such as EPSG:3035."
        )
    return (MapGrid(area, f"EPSG:{code}"),)


def planned_grids(area: shapely.MultiPolygon, crs: tuple[str, ...]) -> tuple[MapGrid, ...]:
    """The maps of a plan, whose CRSs are already decided.

    Args:
        area: area in longitude, latitude, degrees.
        crs: CRS of each map.

    """
    parts = distant_parts(area) if len(crs) > 1 else [area]
    return tuple(MapGrid(part, one) for part, one in zip(parts, crs, strict=True))


def map_files(out: Path, n: int) -> list[Path]:
    """Paths of the files of ``n`` maps.

    Examples:
        >>> [path.name for path in map_files(Path("fiji.tif"), 3)]
        ['fiji.tif', 'fiji-2.tif', 'fiji-3.tif']

    """
    return [out, *(out.with_stem(f"{out.stem}-{number}") for number in range(2, n + 1))]


def area_digest(area: shapely.MultiPolygon) -> str:
    """SHA-256 of an area's polygon, hexadecimal, as a plan records it."""
    return hashlib.sha256(shapely.normalize(area).wkb).hexdigest()


def crs_doubts(grids: Sequence[MapGrid]) -> tuple[str, ...]:
    """Warnings, also logged, of map CRS whose place on the globe PROJ does not know to a pixel."""
    doubts = [
        datum_doubt(
            understood_crs(crs),
            shapely.get_coordinates(map_grid.polygon),
            f"--crs {crs}",
            remedy="Give another --crs",
        )
        for crs, map_grid in {map_grid.crs: map_grid for map_grid in grids}.items()
    ]
    return tuple(doubt for doubt in doubts if doubt)
