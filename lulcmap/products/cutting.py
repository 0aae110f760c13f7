"""Cut a map into polygons: which ones are wanted, tile by tile, and what they add up to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from lulcmap.errors import UsageError
from lulcmap.evaluation import ClassMap, transformer
from lulcmap.geo import understood_crs
from lulcmap.legend import NODATA
from lulcmap.products.maps import chosen_classes, class_names, map_values
from lulcmap.products.minimum import MinimumArea, PixelMeasure
from lulcmap.products.polygon_files import Chunk
from lulcmap.products.tiles import TilePolygons, tile_boxes, tile_polygons
from lulcmap.system import Progress, check_disk, free_memory

MAX_WHOLE_PX = 2**27
"""Pixels of the largest map whose patches are not cut by default."""

_BYTES_PER_PIXEL = 15
"""Memory for a pixel of a tile."""

TILE_PX = 8192
"""Side of a tile of a larger map, pixels."""

MIN_TILE_PX = 16
"""Smallest side of a tile, pixels."""

_EVERY_PX = 64
"""Pixels between vertices on straight lines that are reprojected; 640 m bend by about 1 cm."""


def _asked_crs(class_map: ClassMap, text: str | None) -> CRS:
    """The CRS of the polygons."""
    if text is None:
        return class_map.crs
    try:
        crs = understood_crs(text)
    except CRSError as error:
        raise UsageError(f"--crs is {text!r}; give an EPSG code such as EPSG:4326.") from error
    if not (crs.is_geographic or crs.is_projected):
        raise UsageError(f"--crs is {text!r}, {crs.name}; give a CRS of maps such as EPSG:4326.")
    return crs


def _names(class_map: ClassMap) -> tuple[dict[int, str], list[str]]:
    """Names of all values of a map, and notes on them; one without names is read through first."""
    if class_map.is_named:
        return class_names([class_map], np.arange(NODATA))
    return class_names([class_map], map_values(class_map))


@dataclass
class Cutting:
    """What is asked for, and the sums of the polygons made so far."""

    class_map: ClassMap
    """The map."""

    crs: CRS
    """CRS of the polygons."""

    boxes: Sequence[tuple[int, int, int, int]]
    """Row, column, height and width of the tiles."""

    wanted: NDArray[np.bool_]
    """(256,) values of the classes to write."""

    minimum: MinimumArea | None
    """Area of the smallest polygon to write."""

    names: Mapping[int, str] = field(init=False)
    """Names of the map's values."""

    def __post_init__(self) -> None:
        self.names, self._notes = _names(self.class_map)
        self._measure = self._sizing = PixelMeasure(self.class_map)
        self._least = 0
        if self.minimum is not None:
            if self.minimum.unit == "px":
                self._sizing = PixelMeasure(self.class_map, counts=True)
            self._least = self._sizing.least(self.minimum)
        self._counts, self._units = np.zeros(256, np.int64), np.zeros(256, np.int64)
        self._skipped = self._skipped_units = 0

    @classmethod
    def of(
        cls,
        class_map: ClassMap,
        classes: Sequence[str],
        minimum: MinimumArea | None,
        tile_size: int | None,
        crs: str | None,
    ) -> "Cutting":
        """What ``write_polygons`` is asked for.

        Raises:
            UsageError: it cannot be done.

        """
        wanted = np.ones(256, np.bool_)
        if classes:
            wanted[:] = False
            wanted[chosen_classes(class_map, classes, option="--classes")] = True
        height, width = class_map.shape
        side = tile_size or (TILE_PX if height * width > MAX_WHOLE_PX else max(height, width))
        boxes = tile_boxes(class_map.shape, side)
        needed = _BYTES_PER_PIXEL * max(box[2] * box[3] for box in boxes)
        if needed > (free := free_memory()):
            raise UsageError(
                f"A tile of {boxes[0][3]:,} x {boxes[0][2]:,} pixels takes some "
                f"{needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free. Give a "
                f"smaller --tile-size, such as {TILE_PX // 4}."
            )
        return cls(class_map, _asked_crs(class_map, crs), boxes, wanted, minimum)

    def chunks(self, folder: Path, progress: Progress) -> Iterator[Chunk]:
        """The polygons, a chunk at a time.

        Args:
            folder: path of the folder they are written to.
            progress: called with the tiles done, and of all.

        Raises:
            UsageError: a polygon has no place in the CRS.
            OutputError: the disk is nearly full.

        """
        every = 0 if self.crs == self.class_map.crs else _EVERY_PX
        for number, box in enumerate(self.boxes, 1):
            check_disk(folder, 0, "the polygons")
            polygons = tile_polygons(self.class_map, box, self._measure, self._sizing, every=every)
            wanted = self._chosen(polygons)
            for some, shapes in polygons.chunks(wanted, self.class_map.transform):
                values = polygons.values[some]
                yield Chunk(
                    self._placed(shapes),
                    values.astype(np.int64),
                    np.array([self.names[value] for value in values.tolist()], object),
                    polygons.areas[some].astype(np.float64) * (self._measure.square_metres / 1e4),
                    None if len(self.boxes) == 1 else number,
                )
            progress("cutting polygons", number, len(self.boxes))

    def _chosen(self, polygons: TilePolygons) -> NDArray[np.bool_]:
        """(n,) which polygons of a tile are written; they and the small ones are added up."""
        of_class = self.wanted[polygons.values]
        large = (polygons.sizes >= self._least) | polygons.is_cut
        small, chosen = of_class & ~large, of_class & large
        self._skipped += int(small.sum())
        self._skipped_units += int(polygons.areas[small].sum())
        np.add.at(self._counts, polygons.values[chosen], 1)
        np.add.at(self._units, polygons.values[chosen], polygons.areas[chosen])
        return chosen

    def _placed(self, shapes: NDArray[np.object_]) -> NDArray[np.object_]:
        """Polygons in the CRS that is asked for."""
        if self.crs == self.class_map.crs:
            return shapes
        convert = transformer(self.class_map.crs, self.crs).transform
        placed = shapely.transform(shapes, lambda xy: np.column_stack(convert(*xy.T)))
        bounds = shapely.bounds(placed)
        if not np.isfinite(bounds).all():
            raise UsageError(
                f"Parts of {self.class_map.path} have no place in {self.crs.name}. Choose another "
                "--crs, or leave it out."
            )
        if self.crs.is_geographic and (bounds[:, 2] - bounds[:, 0] > 180).any():
            raise UsageError(
                f"{self.class_map.path} crosses 180 degrees, where polygons in {self.crs.name} "
                "would break. Choose another --crs, or leave it out."
            )
        if not shapely.is_ccw(shapely.get_exterior_ring(placed[0])):  # of an axis turned round
            return shapely.reverse(placed)
        return placed

    def nothing(self) -> str:
        """Why there is no polygon."""
        if self._skipped:
            return f"No polygon reaches --min-area {self.minimum}; give a smaller one."
        if not self.wanted.all():
            return f"{self.class_map.path} has no pixel of these --classes; nothing to write."
        return f"{self.class_map.path} has no pixel with a class; nothing to write."

    def rows(self) -> Iterator[tuple[int, str, int, float]]:
        """Value, name, number of polygons and hectares of each class that has some."""
        hectares = self._units * (self._measure.square_metres / 1e4)
        for value in np.flatnonzero(self._counts).tolist():
            count, area = int(self._counts[value]), float(hectares[value])
            yield value, self.names[value], count, area

    def notes(self) -> list[str]:
        """What a reader has to know, in sentences."""
        notes = list(self._notes)
        if self._skipped:
            ha = self._skipped_units * (self._measure.square_metres / 1e4)
            notes.append(
                f"{self._skipped:,} polygons below {self.minimum}, {ha:,.2f} ha, are left out; "
                "their places are empty. lulcmap clean merges them into their neighbours."
            )
        if len(self.boxes) > 1:
            notes.append(
                f"The map is cut into {len(self.boxes):,} tiles; a patch in several of them is as "
                "many polygons. A larger --tile-size cuts less and takes more memory."
            )
        return notes
