"""Areas of the classes within an outline, from the overview that is fine enough."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.enums import Resampling
from rasterio.windows import Window

from lulcmap.errors import UsageError
from lulcmap.evaluation import transformer
from lulcmap.geo import grid_areas
from lulcmap.legend import NODATA
from lulcmap.products import covered_classes, polygon_edges
from lulcmap.viewer.maps import OpenMap, Part
from lulcmap.viewer.tiles import Bounds

MAX_PIXELS = 2**22
"""Most pixels that are counted for a view: it has to follow the mouse."""

_EDGES = 1024
"""Pieces that the longest side of a box is cut into, before it is projected: around a pole, where a
parallel is a circle, the chords of the pieces then lie within some metres of it."""

_ROOM_DEG = 0.01
"""Room about a map, degrees, beyond which an outline is cut off."""

_WGS84 = CRS.from_epsg(4326)


@dataclass(frozen=True, slots=True)
class ViewAreas:
    """Areas of the classes within an outline."""

    square_metres: NDArray[np.float64]
    """(256,) true areas on the WGS 84 ellipsoid, by value of the map."""

    coarseness: int
    """How many times coarser than the map the pixels are that were counted; 1 is exact."""

    def to_json(self, one: OpenMap) -> dict[str, Any]:
        """Hectares by the classes' ids, and by values of no class, as plain JSON values."""
        hectares = self.square_metres / 10_000
        ids = {cover.id for cover in one.legend} | set(np.flatnonzero(hectares[:NODATA]).tolist())
        return {
            "hectares": {value: round(float(hectares[value]), 4) for value in sorted(ids)},
            "coarseness": self.coarseness,
        }


def areas_within(one: OpenMap, outline: shapely.Geometry) -> ViewAreas:
    """Measure the classes of a map within an outline.

    At full resolution a pixel at the border counts with the exact share that lies inside. A large
    outline is measured on an overview, where the commonest class of a few pixels stands for all.

    Args:
        one: the map.
        outline: polygons of longitude and latitude, degrees on WGS 84.

    Raises:
        UsageError: the file cannot be read.

    """
    sums, coarseness = np.zeros(256), 1
    for part in one.parts:
        edges = _edges(part, outline)
        if len(edges):
            found = _measured(part, edges)
            sums += found.square_metres
            coarseness = max(coarseness, found.coarseness)
    return ViewAreas(sums, coarseness)


def view_box(bounds: Bounds) -> shapely.Geometry:
    """The outline of a view.

    Raises:
        UsageError: it is none.

    """
    west, south, east, north = bounds
    if not (west < east and south < north and abs(west) <= 1000 and abs(east) <= 1000):
        raise UsageError("A view has west < east and south < north, in degrees.")
    return shapely.box(west, max(south, -90), east, min(north, 90))


def _edges(part: Part, outline: shapely.Geometry) -> NDArray[np.float64]:
    """(n, 4) edges of an outline in columns and rows of a file, cut off near it."""
    west, south, east, north = part.extent
    near = shapely.box(west - _ROOM_DEG, south - _ROOM_DEG, east + _ROOM_DEG, north + _ROOM_DEG)
    to_map, to_pixel = transformer(_WGS84, part.crs), ~part.transform
    copies = [shapely.transform(outline, _turned(turn)) for turn in (-360, 0, 360)]
    # A view may lie on another copy of the world, or hold several; each place counts once.
    there = shapely.intersection(shapely.union_all(copies), near)
    parts = shapely.get_parts(shapely.get_parts([there]))
    polygons = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
    if not len(polygons):
        return np.zeros((0, 4))

    def project(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        xs, ys = to_map.transform(*xy.T)
        cols, rows = to_pixel * (np.asarray(xs), np.asarray(ys))
        return np.column_stack([cols, rows])

    west, south, east, north = there.bounds
    cut = shapely.segmentize(polygons, max(east - west, north - south) / _EDGES)
    edges = polygon_edges(shapely.transform(cut, project))
    return edges[np.isfinite(edges).all(axis=1)]


def _turned(degrees: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """What moves places along the parallels."""
    return lambda xy: xy + np.array([degrees, 0.0])


def _measured(part: Part, edges: NDArray[np.float64]) -> ViewAreas:
    """Count the pixels of a file within some edges."""
    corners = edges.reshape(-1, 2)
    left, top = np.floor(corners.min(axis=0)).clip(0).astype(int)
    right, foot = np.ceil(corners.max(axis=0)).astype(int)
    right, foot = min(int(right), part.shape[1]), min(int(foot), part.shape[0])
    sums = np.zeros(256)
    if right <= left or foot <= top:
        return ViewAreas(sums, 1)
    factor = _factor(part, (foot - top) * (right - left))
    top, left = int(top) // factor * factor, int(left) // factor * factor
    height, width = -(-(foot - top) // factor), -(-(right - left) // factor)
    # Whole pixels of the overview; the last ones may reach a little beyond the file.
    window = Window(
        left,
        top,
        min(width * factor, part.shape[1] - left),
        min(height * factor, part.shape[0] - top),
    )
    with part.raster.opened() as dataset:
        values = dataset.read(
            1, window=window, out_shape=(height, width), resampling=Resampling.nearest
        )
        nodata = dataset.nodata
    if nodata is not None and 0 <= nodata < NODATA:
        values[values == nodata] = NODATA
    scale = window.width / width, window.height / height
    transform = part.transform * Affine.translation(left, top) * Affine.scale(*scale)
    box = (0, 0, height, width)
    areas = grid_areas(part.crs, transform, box)
    own = (edges - [left, top, left, top]) / [*scale, *scale]
    _, square_metres = covered_classes(values, areas, own, box)
    return ViewAreas(square_metres, factor)


def _factor(part: Part, pixels: int) -> int:
    """How many times coarser than a file the pixels are that are counted of it."""
    for factor in (1, *part.overviews):
        if pixels / factor**2 <= MAX_PIXELS:
            return factor
    factor = max(part.overviews, default=1)
    while pixels / factor**2 > MAX_PIXELS:
        factor *= 2
    return factor
