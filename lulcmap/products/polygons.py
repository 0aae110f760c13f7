"""A map as polygons: one for each patch, with its class and true area."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyogrio

from lulcmap.errors import OutputError, UsageError
from lulcmap.evaluation import open_class_map
from lulcmap.products.cutting import MIN_TILE_PX, Cutting
from lulcmap.products.destinations import check_format, check_product
from lulcmap.products.minimum import MinimumArea
from lulcmap.products.polygon_files import ENDINGS, Chunk, is_ours, write_chunks
from lulcmap.products.regions import one_line
from lulcmap.system import Progress, no_progress, replacing


@dataclass(frozen=True, slots=True)
class PolygonClass:
    """The polygons of one class."""

    class_id: int
    """Value in the map."""

    name: str
    """Name of the class."""

    polygons: int
    """How many there are."""

    ha: float
    """Their hectares on the WGS 84 ellipsoid."""

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON values, its columns in order."""
        return {
            "class_id": self.class_id,
            "class": self.name,
            "polygons": self.polygons,
            "ha": round(self.ha, 4),
        }


@dataclass(frozen=True, slots=True)
class PolygonReport:
    """The polygons that were written."""

    out: Path
    """Path of the file."""

    classes: tuple[PolygonClass, ...]
    """A row for each class that has polygons."""

    tiles: int
    """Tiles that the map was cut into; 1 if no patch was cut."""

    notes: tuple[str, ...]
    """What a reader has to know, in sentences."""

    @property
    def polygons(self) -> int:
        """How many polygons there are."""
        return sum(row.polygons for row in self.classes)

    @property
    def ha(self) -> float:
        """Their hectares."""
        return sum(row.ha for row in self.classes)

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "file": str(self.out),
            "polygons": self.polygons,
            "ha": round(self.ha, 4),
            "tiles": self.tiles,
            "classes": [row.to_json() for row in self.classes],
            "notes": list(self.notes),
        }


def write_polygons(
    path: str | Path,
    out: str | Path,
    *,
    classes: Sequence[str] = (),
    min_area: str | None = None,
    tile_size: int | None = None,
    crs: str | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> PolygonReport:
    """Write the patches of a map as polygons: GeoPackage, FlatGeobuf or GeoParquet.

    The polygons follow the sides of the pixels. Neighbours have the same vertices on their common
    border, so there are no gaps and no overlaps. The columns are ``class_id``, ``class`` and
    ``ha``, and ``tile`` where the map is cut into tiles.

    Args:
        path: path of the map.
        out: path of the file to write; ``.gpkg``, ``.fgb`` or ``.parquet``.
        classes: names or ids of the classes to write; none for all.
        min_area: the area of the smallest polygon to write, with its unit, such as ``"0.5ha"``;
            the places of smaller ones stay empty. A polygon that a tile cuts is always written.
        tile_size: pixels a side of the tiles that polygons are cut at; memory grows with it. None
            cuts maps of more than ``MAX_WHOLE_PX`` pixels into tiles of ``TILE_PX``.
        crs: CRS of the polygons, such as ``"EPSG:4326"``; None is the map's.
        overwrite: whether polygons at ``out`` may be replaced.
        progress: called with a stage's name, how much of it is done, and how much there is.

    Returns:
        Polygons and hectares by class.

    Raises:
        UsageError: the map cannot be read, an argument cannot be used, or nothing is left to write.
        OutputError: the file exists or is another one, or cannot be written.

    """
    path, out = Path(path), Path(out)
    minimum = None if min_area is None else MinimumArea.of(min_area)
    if tile_size is not None and tile_size < MIN_TILE_PX:
        raise UsageError(f"--tile-size is {tile_size}; give at least {MIN_TILE_PX} pixels.")
    check_polygons_path(out, path, overwrite=overwrite)
    with open_class_map(path) as class_map:
        cutting = Cutting.of(class_map, classes, minimum, tile_size, crs)
        try:
            with replacing(out) as part:
                chunks = cutting.chunks(part.parent, progress)
                first = next(chunks, None)
                if first is None:
                    raise UsageError(cutting.nothing())
                layer = _layer_name(path)
                write_chunks(part, _chain(first, chunks), layer=layer, crs=cutting.crs)
        except (OSError, pyogrio.errors.DataSourceError, pyogrio.errors.FeatureError) as error:
            raise OutputError(
                f"The polygons cannot be written to {out} ({error}). Check that the folder is "
                "writable and the disk is not full."
            ) from error
    rows = tuple(PolygonClass(*row) for row in cutting.rows())
    return PolygonReport(out, rows, len(cutting.boxes), tuple(cutting.notes()))


def check_polygons_path(out: Path, path: Path, *, overwrite: bool) -> None:
    """Check that polygons may be written, before the work begins.

    Args:
        out: path of the file to write.
        path: path of the map.
        overwrite: whether polygons there may be replaced.

    Raises:
        UsageError: the ending is no format's, or the package that writes it is missing.
        OutputError: the file exists or is another one, or cannot be written.

    """
    check_format(out, ENDINGS)
    check_product(out, is_ours, kind="a file of polygons", overwrite=overwrite, inputs=[path])


def _layer_name(path: Path) -> str:
    """The map's name, as a GeoPackage can call a layer."""
    name = one_line(path.stem) or "polygons"
    return f"map_{name}" if name.lower().startswith(("gpkg", "rtree", "sqlite")) else name


def _chain(first: Chunk, rest: Iterator[Chunk]) -> Iterator[Chunk]:
    yield first
    yield from rest
