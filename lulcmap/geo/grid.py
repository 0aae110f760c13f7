"""The 10 m grid of each UTM zone: from polygons in degrees to boxes of whole pixels, and back."""

import math
import threading
from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from rasterio.features import geometry_mask

from lulcmap.errors import AreaError
from lulcmap.geo.tiling import Box

RESOLUTION_M = 10
"""Pixel size, metres."""

_RASTERIZE_LOCK = threading.Lock()
"""Held around rasterio's rasterize, which briefly changes Python's warning filters, those of all
threads."""

_CLIP_LOCK = threading.Lock()
"""Held while a polygon is clipped: GEOS notes its envelope at the first use, and a thread that sees
half of it finds nothing there."""

_MAX_EDGE_DEGREES = 0.01
"""Degrees; edges are straight in longitude and latitude, so they are cut into pieces this long
before they are projected (0.01 degrees of a parallel at 60 N bend by less than 0.05 m in UTM)."""


def project(polygon: shapely.MultiPolygon, crs: str) -> shapely.MultiPolygon:
    """Project a polygon from degrees to a CRS; its edges stay straight in degrees.

    The parts of a polygon cut at 180 degrees are joined again if the CRS is continuous there.

    Args:
        polygon: polygon in longitude, latitude, degrees (EPSG:4326).
        crs: target CRS, ``"EPSG:<code>"`` or a PROJ string.

    Raises:
        AreaError: part of the polygon cannot be projected to that CRS.

    """
    to_crs = Transformer.from_crs(4326, crs, always_xy=True)
    fine = shapely.segmentize(_joined(polygon, to_crs), _MAX_EDGE_DEGREES)
    projected = shapely.transform(fine, lambda xy: np.column_stack(to_crs.transform(*xy.T)))
    if not np.isfinite(shapely.get_coordinates(projected)).all():
        raise AreaError(
            f"The area cannot be projected to {crs}. Choose a CRS that covers it with --crs, or "
            "leave --crs auto."
        )
    return projected


def _joined(polygon: shapely.MultiPolygon, to_crs: Transformer) -> shapely.MultiPolygon:
    """A polygon without its cut at 180 degrees; the same if the CRS is not continuous there.

    Longitudes then continue past 180. The two sides of the cut may have different corners, and
    pixels would lie in the gaps between them.
    """
    west, south, east, north = polygon.bounds
    if (west, east) != (-180, 180):
        return polygon
    xs, ys = to_crs.transform([-179.999999, 179.999999] * 2, [south, south, north, north])
    if not np.hypot(np.diff(xs), np.diff(ys))[::2].max() < 1:  # metre; infinite outside the CRS
        return polygon
    parts = [
        shapely.transform(part, lambda xy: xy + np.array([360, 0])) if part.bounds[2] <= 0 else part
        for part in polygon.geoms
    ]
    return only_polygons(shapely.union_all(parts))


def only_polygons(shape: shapely.Geometry) -> shapely.MultiPolygon:
    """The polygons of a geometry, without lines and points, to which slivers shrink."""
    parts = shapely.get_parts(shape)
    return shapely.MultiPolygon([part for part in parts if isinstance(part, shapely.Polygon)])


def covering_box(polygon: shapely.MultiPolygon) -> Box:
    """The smallest box of whole pixels around a polygon.

    Args:
        polygon: polygon in metres of a UTM zone.

    """
    left, bottom, right, top = polygon.bounds
    row, col = math.floor(-top / RESOLUTION_M), math.floor(left / RESOLUTION_M)
    stop_row, stop_col = math.ceil(-bottom / RESOLUTION_M), math.ceil(right / RESOLUTION_M)
    return Box(row, col, max(stop_row - row, 1), max(stop_col - col, 1))


def box_polygons(boxes: Sequence[Box]) -> NDArray[np.object_]:
    """(N,) rectangles around boxes of whole pixels, in metres of their zone."""
    corners = np.array([(box.row, box.col, *box.stop) for box in boxes], np.int64).reshape(-1, 4)
    top, left, bottom, right = corners.T * RESOLUTION_M
    return np.asarray(shapely.box(left, -bottom, right, -top), object)


def geobox(box: Box, epsg: int) -> GeoBox:
    """The georeferenced grid of a box.

    Args:
        box: whole pixels from easting 0, northing 0.
        epsg: EPSG code of the zone.

    """
    left, top = box.col * RESOLUTION_M, -box.row * RESOLUTION_M
    right, bottom = left + box.width * RESOLUTION_M, top - box.height * RESOLUTION_M
    return GeoBox.from_bbox((left, bottom, right, top), f"EPSG:{epsg}", shape=box.shape, tight=True)


def covering_grid(polygon: shapely.MultiPolygon, crs: str) -> GeoBox:
    """The smallest grid around a projected polygon, its edges on multiples of the pixel.

    Args:
        polygon: polygon in units of ``crs``.
        crs: ``"EPSG:<code>"`` or a PROJ string. Pixels are 10 m; in a geographic CRS 1/12000
            degree, 9.3 m on the equator.

    """
    pixel = 1 / 12000 if CRS.from_user_input(crs).is_geographic else float(RESOLUTION_M)
    left, bottom, right, top = polygon.bounds
    return GeoBox.from_bbox(
        (
            math.floor(left / pixel) * pixel,
            math.floor(bottom / pixel) * pixel,
            math.ceil(right / pixel) * pixel,
            math.ceil(top / pixel) * pixel,
        ),
        crs,
        resolution=pixel,
        tight=True,
    )


def even_grid(grid: GeoBox) -> GeoBox:
    """The smallest grid of 10 m pixels around a grid, its edges on multiples of 20 m.

    Args:
        grid: north-up grid in metres.

    """
    left, bottom, right, top = grid.boundingbox.bbox
    pair = 2 * RESOLUTION_M
    return GeoBox.from_bbox(
        (
            math.floor(left / pair) * pair,
            math.floor(bottom / pair) * pair,
            math.ceil(right / pair) * pair,
            math.ceil(top / pair) * pair,
        ),
        grid.crs,
        resolution=RESOLUTION_M,
        tight=True,
    )


def pixels_inside(polygon: shapely.MultiPolygon, grid: GeoBox) -> NDArray[np.bool_]:
    """Which pixels of a grid have their centre in a polygon.

    Args:
        polygon: polygon in the grid's CRS.
        grid: north-up grid.

    Returns:
        (H, W) mask, True inside.

    """
    clipped = clip(polygon, grid)
    if clipped.is_empty:
        return np.zeros(grid.shape, bool)
    if shapely.get_num_coordinates(clipped) == 5 and clipped.area == _around(grid).area:
        return np.ones(grid.shape, bool)  # inland: a rectangle, and the whole one
    with _RASTERIZE_LOCK:
        mask = geometry_mask([clipped], out_shape=grid.shape, transform=grid.affine, invert=True)
    return np.asarray(mask, bool)


def clip(polygon: shapely.MultiPolygon, grid: GeoBox) -> shapely.MultiPolygon:
    """The part of a polygon on a grid or within a pixel of it; may be empty.

    Threads may share the polygon.

    Args:
        polygon: polygon in the grid's CRS.
        grid: north-up grid.

    """
    with _CLIP_LOCK:
        clipped = shapely.intersection(polygon, _around(grid))
    # A polygon that only touches the box leaves a line, which would be burned as pixels.
    return only_polygons(clipped)


def _around(grid: GeoBox) -> shapely.Polygon:
    """The rectangle around a grid and a pixel more."""
    return shapely.box(*grid.pad(1).boundingbox.bbox)


def footprint(grid: GeoBox) -> tuple[float, float, float, float]:
    """West, south, east, north of a grid, degrees; west > east where it crosses 180 degrees."""
    to_degrees = Transformer.from_crs(str(grid.crs), 4326, always_xy=True)
    west, south, east, north = to_degrees.transform_bounds(*grid.extent.boundingbox)
    return west, south, east, north


def unproject(grid: GeoBox) -> shapely.MultiPolygon:
    """A box in degrees around a grid, cut at 180 degrees where it crosses."""
    west, south, east, north = footprint(grid)
    sides = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    return shapely.MultiPolygon([shapely.box(w, south, e, north) for w, e in sides])
