"""Labels from polygons with a code each."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS

from lulcmap.dataset.legend import Legend, code_text
from lulcmap.dataset.sample import Sample
from lulcmap.dataset.user_labels import UserLabels, chip_cells
from lulcmap.errors import UsageError
from lulcmap.geo import (
    datum_doubt,
    open_vectors,
    pixels_inside,
    project,
    repaired,
    split_by_zone,
    to_degrees,
    within_180,
)
from lulcmap.legend import NODATA


@dataclass
class VectorLabels(UserLabels):
    """Polygons with a code each; a chip's pixel takes the last one that its centre lies in."""

    path: Path
    """Path of a vector file."""

    legend: Legend
    """Meaning of the codes."""

    attribute: str = "code"
    """Attribute that holds the code."""

    layer: str | None = None
    """Layer of the file; None takes its only one."""

    samples: list[Sample] = field(default_factory=list, init=False)
    left_out: dict[str, str] = field(default_factory=dict, init=False)
    kind = "vector"

    def __post_init__(self) -> None:
        crs, shapes, codes = self._load()
        self._codes = [code_text(code) for code in codes]
        datum_doubt(crs, shapely.get_coordinates(shapes), str(self.path))
        degrees = to_degrees(shapes, crs, str(self.path))
        self._shapes = np.array([within_180(one, str(self.path)) for one in degrees], object)
        self._zones: dict[int, tuple[NDArray[np.object_], list[str], shapely.STRtree]] = {}

    def settings(self) -> dict[str, Any]:
        """Settings that decide how the labels are read, plain JSON."""
        return {**super().settings(), "attribute": self.attribute, "layer": self.layer}

    def _load(self) -> tuple[CRS, NDArray[np.object_], list[Any]]:
        """CRS, polygons and their codes, in the order of the file."""
        if not self.path.is_file():
            raise UsageError(f"No file {self.path}; check --labels.")
        with open_vectors(self.path) as file:
            read = file.read(self.layer)
        if read.crs is None:
            raise UsageError(
                f"The labels {self.path} have no CRS. Save them with one, such as EPSG:4326."
            )
        if self.attribute not in read.columns:
            raise UsageError(
                f"{self.path} has no attribute {self.attribute!r}; it has "
                f"{', '.join(read.columns) or 'none'}. Give the one that holds the codes with "
                "--attribute."
            )
        codes = list(read.columns[self.attribute])
        kinds = shapely.get_type_id(read.shapes)
        areal = np.isin(kinds, (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON))
        if not areal.any():
            raise UsageError(f"{self.path} has no polygons; expected polygons with a code.")
        if not areal.all():
            self.left_out[self.path.name] = (
                f"features that are not polygons: {len(codes) - areal.sum()}"
            )
        shapes = repaired(read.shapes[areal], str(self.path))
        return read.crs, shapes, [code for code, ok in zip(codes, areal, strict=True) if ok]

    def cells(self) -> Iterator[tuple[int, int, int]]:
        """The chips that the polygons' bounding boxes intersect."""
        west, south, east, north = shapely.total_bounds(self._shapes)
        if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
            raise UsageError(
                f"{self.path} has coordinates beyond 180 degrees of longitude or 90 of latitude. "
                "Check its CRS."
            )
        area = shapely.MultiPolygon([shapely.box(west, south, east, north)])
        for part in split_by_zone(area):
            epsg, near = part.epsg, shapely.intersects(self._shapes, part.polygon)
            if not near.any():
                continue
            shapes = np.array(
                [project(_polygons(shape), f"EPSG:{epsg}") for shape in self._shapes[near]],
                object,
            )
            codes = [self._codes[i] for i in np.flatnonzero(near)]
            self._zones[epsg] = (shapes, codes, shapely.STRtree(shapes))
            for shape in shapes:
                yield from chip_cells(shape.bounds, epsg)

    def ids(self, grid: GeoBox, codes: set[str]) -> NDArray[np.uint8]:
        """(H, W) class ids of the last polygon that a pixel's centre lies in."""
        ids = np.full(grid.shape, NODATA, np.uint8)
        epsg = grid.crs.epsg if grid.crs else None
        shapes, shape_codes, tree = self._zones[int(epsg or 0)]
        hits = tree.query(shapely.box(*grid.boundingbox.bbox), predicate="intersects")
        for number in sorted(hits.tolist()):
            mask = pixels_inside(shapes[number], grid)
            if mask.any():
                code = shape_codes[number]
                codes.add(code)
                ids[mask] = self.legend.codes.get(code, NODATA)
        return ids


def _polygons(shape: Any) -> shapely.MultiPolygon:
    parts = shapely.get_parts(shapely.get_parts(shape))
    return shapely.MultiPolygon([part for part in parts if isinstance(part, shapely.Polygon)])
