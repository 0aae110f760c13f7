"""Read one map, or two at the same places, in the classes that they are compared in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.features import geometry_mask
from rasterio.windows import Window
from rasterio.windows import transform as window_transform

from lulcmap.evaluation.classmap import MAX_PIXELS, ClassMap, transformer

Read = tuple[NDArray[np.uint8], NDArray[np.float32] | None]
"""Classes (M, n) of each of M maps at n places, 255 where there is none; and confidences (n,) of
the first, 0 to 1, if it has any."""


@dataclass(frozen=True, slots=True)
class ComparedMaps:
    """Maps that are read at the same places."""

    maps: Sequence[ClassMap]
    """One map, or two."""

    tables: Sequence[NDArray[np.uint8]]
    """Of each, (256,) class by value; 255 stays."""

    def at(self, crs: CRS, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> Read:
        """Classes at points: those of the pixels that they lie in.

        Args:
            crs: CRS of the points.
            xs: (n,) eastings or longitudes; not finite where a point has no place.
            ys: (n,) northings or latitudes.

        """
        mapped, confidences = [], []
        for one, table in zip(self.maps, self.tables, strict=True):
            values, confidence = one.at(*reproject(crs, one.crs, xs, ys))
            mapped.append(table[values])
            confidences.append(confidence)
        return np.stack(mapped), confidences[0]

    def pixels_in(self, shape: Any) -> Iterator[Read]:
        """Yield classes at the first map's pixels whose centres lie in a polygon of its CRS."""
        class_map = self.maps[0]
        if shape.is_empty or not np.isfinite(shape.bounds).all():
            return
        left, bottom, right, top = shape.bounds
        rows, cols = class_map.pixels(
            np.array([left, left, right, right]), np.array([bottom, top] * 2)
        )
        first_row, first_col = max(int(rows.min()), 0), max(int(cols.min()), 0)
        last_row = min(int(rows.max()) + 1, class_map.shape[0])
        last_col = min(int(cols.max()) + 1, class_map.shape[1])
        if first_row >= last_row or first_col >= last_col:
            return
        step = max(MAX_PIXELS // (last_col - first_col), 1)
        for row in range(first_row, last_row, step):
            box = Window(first_col, row, last_col - first_col, min(step, last_row - row))
            mask = geometry_mask(
                [shape],
                out_shape=(box.height, box.width),
                transform=window_transform(box, class_map.transform),
                invert=True,
            )
            if mask.any():
                yield self._pixels_of(box, mask)

    def _pixels_of(self, box: Window, mask: NDArray[np.bool_]) -> Read:
        """Classes at the masked pixels of a window of the first map."""
        (class_map, *others), (table, *other_tables) = self.maps, self.tables
        at = box.row_off, box.col_off, box.height, box.width
        confidence, band = None, class_map.confidence_band
        if band:
            confidence = (class_map.window(*at, band=band)[mask] / 100).astype(np.float32)
        mapped = [table[class_map.window(*at)[mask]]]
        rows, cols = np.nonzero(mask)
        xs, ys = centres(class_map.transform, rows + box.row_off, cols + box.col_off)
        for other, other_table in zip(others, other_tables, strict=True):
            values, _ = other.at(*reproject(class_map.crs, other.crs, xs, ys))
            mapped.append(other_table[values])
        return np.stack(mapped), confidence


def centres(
    transform: Affine, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates of the centres of pixels, x before y."""
    x, y = cols + 0.5, rows + 0.5
    t = transform
    return t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f


def reproject(
    source: CRS, target: CRS, xs: NDArray[np.float64], ys: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points in another CRS; infinite where they do not exist in it."""
    if source == target:
        return xs, ys
    x, y = transformer(source, target).transform(xs, ys)
    return np.asarray(x), np.asarray(y)
