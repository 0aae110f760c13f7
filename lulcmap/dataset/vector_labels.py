"""Labels from polygons with a code each."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from lulcmap.dataset.legend import Legend, code_text
from lulcmap.dataset.sample import Sample
from lulcmap.dataset.user_labels import UserLabels, chip_cells
from lulcmap.errors import UsageError
from lulcmap.geo import pixels_inside, project, split_by_zone
from lulcmap.legend import NODATA

_MAX_EDGE_M = 1000.0
"""Longest edge of a polygon before it is projected, metres; longer ones are split."""


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
        if crs.is_projected:
            metres = crs.axis_info[0].unit_conversion_factor or 1.0
            shapes = shapely.segmentize(shapes, _MAX_EDGE_M / metres)
        to_degrees = Transformer.from_crs(crs, 4326, always_xy=True)
        self._shapes = shapely.transform(
            shapes, lambda xy: np.column_stack(to_degrees.transform(*xy.T))
        )
        if not np.isfinite(shapely.get_coordinates(self._shapes)).all():
            raise UsageError(
                f"{self.path} has coordinates outside its CRS ({crs.name}). Check its CRS."
            )
        self._zones: dict[int, tuple[NDArray[np.object_], list[str], shapely.STRtree]] = {}

    def settings(self) -> dict[str, Any]:
        """Settings that decide how the labels are read, plain JSON."""
        return {**super().settings(), "attribute": self.attribute, "layer": self.layer}

    def _load(self) -> tuple[CRS, NDArray[np.object_], list[Any]]:
        """CRS, polygons and their codes, in the order of the file."""
        if not self.path.is_file():
            raise UsageError(f"No file {self.path}; check --labels.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # GDAL's warnings about the file
                layers = [str(name) for name, kind in pyogrio.list_layers(self.path) if kind]
                if self.layer is None and len(layers) > 1:
                    raise UsageError(
                        f"{self.path} has several layers: {', '.join(layers)}. Choose one with "
                        "--layer."
                    )
                meta, _, blobs, columns = pyogrio.raw.read(
                    self.path, layer=self.layer, force_2d=True
                )
            shapes = np.atleast_1d(np.asarray(shapely.from_wkb(blobs), object))
            crs = CRS.from_user_input(meta["crs"])
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise UsageError(
                f"The labels {self.path} cannot be read ({error}). Give a GeoPackage, GeoJSON or "
                "Shapefile with polygons."
            ) from error
        except (CRSError, shapely.errors.GEOSException) as error:
            raise UsageError(
                f"The labels {self.path} have an unknown CRS or a broken geometry. Check the file "
                "in QGIS."
            ) from error
        names = list(meta["fields"])
        if self.attribute not in names:
            raise UsageError(
                f"{self.path} has no attribute {self.attribute!r}; it has "
                f"{', '.join(names) or 'none'}. Give the one that holds the codes with --attribute."
            )
        codes = list(columns[names.index(self.attribute)])
        areal = [
            (shapely.make_valid(shape), code)
            for shape, code in zip(shapes, codes, strict=True)
            if shape is not None and shape.geom_type in ("Polygon", "MultiPolygon")
        ]
        if not areal:
            raise UsageError(f"{self.path} has no polygons; expected polygons with a code.")
        if len(areal) < len(codes):
            self.left_out[self.path.name] = (
                f"features that are not polygons: {len(codes) - len(areal)}"
            )
        return crs, np.array([shape for shape, _ in areal], object), [code for _, code in areal]

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
