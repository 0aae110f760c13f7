"""Compare a finished map with labels: rasters, points or polygons."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from lulcmap.errors import UsageError
from lulcmap.evaluation import stratified
from lulcmap.evaluation.classmap import transformer
from lulcmap.evaluation.compared_maps import ComparedMaps, centres, reproject
from lulcmap.evaluation.counts import Counts
from lulcmap.evaluation.crosswalk import Crosswalk
from lulcmap.evaluation.design import check_random
from lulcmap.evaluation.paired import PairedCounts
from lulcmap.evaluation.stratified import LabelledSample
from lulcmap.evaluation.vectors import (
    ANSWERED,
    ANSWERED_AT,
    WGS84,
    Features,
    is_blank,
    load_features,
)
from lulcmap.geo import datum_doubt, first_line, understood_crs
from lulcmap.legend import NODATA
from lulcmap.system import Steps, check_is_file, no_progress, open_geotiff

RASTERS = {".tif", ".tiff", ".vrt"}

_SQUARE_PX = 64
"""Side, in pixels, of the squares of a label raster that the bootstrap draws; doubled for a large
raster until there are few enough."""

_MAX_SQUARES = 20_000
"""Most squares of one raster, so that memory does not grow with it."""

_TILE_PX = 8 * _SQUARE_PX
"""Side of the tiles that are compared at once, pixels."""

_POINT_CELL_DEG = 0.01
"""Side of the cells whose points are one place for the bootstrap, degrees; about a kilometre. Also
the longest edge of a polygon in degrees before it is projected."""

_MAX_EDGE_M = 1000.0
"""Longest edge of a polygon before it is projected, metres; it then curves by less than 0.1 m."""


@dataclass(slots=True)
class Comparison:
    """A map compared with labels."""

    counts: Counts
    """Counts of all places."""

    kind: str
    """Kind of the labels: ``"raster"``, ``"points"`` or ``"polygons"``."""

    unknown: Counter[str] = field(default_factory=Counter)
    """Labels that match no class, with how often they occur."""

    unlabelled: int = 0
    """Points or polygons with an empty label."""

    undecided: int = 0
    """Of these, the ones that were answered: with "not sure", or with as many answers for one class
    as for another."""

    sample: LabelledSample | None = None
    """The labelled points, if they are a stratified sample of a map."""

    paired: PairedCounts | None = None
    """Counts of two maps at the same places, instead of ``counts``; None with one map."""

    second_sample: LabelledSample | None = None
    """The same points as ``sample``, with the classes of the second map."""

    def add(
        self,
        name: str,
        truth: NDArray[np.uint8],
        mapped: NDArray[np.uint8],
        *,
        at: tuple[float, float],
        confidence: NDArray[np.floating] | None = None,
    ) -> None:
        """Count some pixels of a place.

        Args:
            name: name of the place.
            truth: (n,) true class ids.
            mapped: (M, n) class ids of the maps.
            at: longitude and latitude of the place, degrees.
            confidence: (n,) probability of the first map's class, 0 to 1.

        """
        if self.paired is None:
            self.counts.add(name, truth, mapped[0], at=at, confidence=confidence)
        else:
            self.paired.add(name, truth, mapped[0], mapped[1])


def compare(
    maps: ComparedMaps,
    labels: Path,
    crosswalk: Crosswalk,
    *,
    label_column: str | None = None,
    progress: Steps = no_progress,
) -> Comparison:
    """Count the classes of a map, or of two, where there are labels.

    A raster of labels, on any grid, is compared at its own pixels' centres; a point at the pixel it
    lies in; a polygon at the pixels, of the first map, whose centres it holds.

    Args:
        maps: the map, or both.
        labels: path of a raster (``RASTERS``), or of a file that ``load_features`` reads.
        crosswalk: from the labels to the classes that are compared.
        label_column: column of points and polygons that holds the label; None as of
            ``Features.labels``.
        progress: called with the number of parts done, and of all parts.

    Raises:
        UsageError: the labels cannot be read, or were chosen for training.

    """
    n_classes = len(crosswalk.classes)
    paired = PairedCounts(n_classes) if len(maps.maps) > 1 else None
    comparison = Comparison(Counts(n_classes), "raster", paired=paired)
    if labels.suffix.lower() in RASTERS:
        _count_raster(maps, labels, crosswalk, comparison, progress)
        return comparison
    features = load_features(labels)
    check_random(features)
    missing = shapely.is_missing(features.shapes)
    kinds = set(shapely.get_type_id(features.shapes[~missing]).tolist())
    areal = {int(shapely.GeometryType.POLYGON), int(shapely.GeometryType.MULTIPOLYGON)}
    truth = _label_classes(features, crosswalk, label_column, comparison)
    if kinds <= {int(shapely.GeometryType.POINT)}:
        comparison.kind = "points"
        _count_points(maps, features, truth, comparison)
    elif kinds <= areal:
        comparison.kind = "polygons"
        _count_polygons(maps, features, truth, comparison, progress)
    else:
        raise UsageError(f"{labels} mixes kinds of shapes; give points, or polygons.")
    return comparison


def _label_classes(
    features: Features, crosswalk: Crosswalk, column: str | None, comparison: Comparison
) -> NDArray[np.uint8]:
    """(n,) class of each feature's label, 255 for none."""
    truth = np.full(len(features.shapes), NODATA, np.uint8)
    answered = [False] * len(truth)
    if column is None and set(features.columns) >= ANSWERED:
        answered = [not is_blank(when) for when in features.column(ANSWERED_AT)]
    for i, label in enumerate(features.labels(column)):
        if is_blank(label):
            comparison.unlabelled += 1
            comparison.undecided += answered[i]
            continue
        index = crosswalk.of_label(label)
        if index is None:
            comparison.unknown[str(label)] += 1
        else:
            truth[i] = index
    return truth


def _count_points(
    maps: ComparedMaps,
    features: Features,
    truth: NDArray[np.uint8],
    comparison: Comparison,
) -> None:
    xy = _coordinates(features.shapes)
    lon, lat = reproject(features.crs, WGS84, *xy)
    mapped, confidence = maps.at(features.crs, *xy)
    cells = np.floor(np.stack([lon, lat]) / _POINT_CELL_DEG)
    _, cell, members = np.unique(cells, axis=1, return_index=True, return_inverse=True)
    for number, group in _groups(members.ravel()):
        first_point = float(lon[cell[number]]), float(lat[cell[number]])
        part = None if confidence is None else confidence[group]
        comparison.add(str(number), truth[group], mapped[:, group], at=first_point, confidence=part)
    in_all = np.where((mapped != NODATA).all(0), mapped, NODATA).astype(np.uint8)
    comparison.sample, *others = (
        stratified.labelled_sample(features, truth, one, lon=lon, lat=lat) for one in in_all
    )
    comparison.second_sample = others[0] if others else None


def _coordinates(points: NDArray[np.object_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates of points, x before y; NaN for a missing or empty point."""
    placed = ~(shapely.is_missing(points) | shapely.is_empty(points))
    xy = np.full((2, len(points)), np.nan)
    xy[:, placed] = shapely.get_coordinates(points[placed]).T
    return xy[0], xy[1]


def _groups(members: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each group's number, and the indices of its members."""
    order = np.argsort(members, kind="stable")
    ends = np.cumsum(np.bincount(members))
    yield from enumerate(np.split(order, ends[:-1]))


def _count_polygons(
    maps: ComparedMaps,
    features: Features,
    truth: NDArray[np.uint8],
    comparison: Comparison,
    progress: Steps,
) -> None:
    shapes = features.shapes
    if features.crs.is_projected:
        shapes = shapely.segmentize(shapes, _MAX_EDGE_M)
    else:
        shapes = shapely.segmentize(shapes, _POINT_CELL_DEG)
    centroids = _coordinates(shapely.centroid(features.shapes))
    lon, lat = reproject(features.crs, WGS84, *centroids)
    to_map = transformer(features.crs, maps.maps[0].crs)
    for i, shape in enumerate(shapes):
        if truth[i] != NODATA and shape is not None:
            on_map = shapely.transform(shape, lambda xy: np.column_stack(to_map.transform(*xy.T)))
            centroid = float(lon[i]), float(lat[i])
            for mapped, confidence in maps.pixels_in(on_map):
                comparison.add(
                    str(i),
                    np.full(mapped.shape[1], truth[i]),
                    mapped,
                    at=centroid,
                    confidence=confidence,
                )
        progress(i + 1, len(shapes))


def _count_raster(
    maps: ComparedMaps, path: Path, crosswalk: Crosswalk, comparison: Comparison, progress: Steps
) -> None:
    with _open_labels(path) as labels:
        side = _SQUARE_PX
        while labels.height * labels.width > _MAX_SQUARES * side**2:
            side *= 2
        corners = [
            (row, col)
            for row in range(0, labels.height, _TILE_PX)
            for col in range(0, labels.width, _TILE_PX)
        ]
        for done, (row, col) in enumerate(corners, 1):
            box = Window(
                col, row, min(_TILE_PX, labels.width - col), min(_TILE_PX, labels.height - row)
            )
            truth = _raster_classes(
                labels.read(1, window=box), labels.nodata, crosswalk, comparison
            )
            if (truth != NODATA).any():
                _count_tile(maps, labels, box, truth, side=side, comparison=comparison)
            progress(done, len(corners))


def _count_tile(
    maps: ComparedMaps,
    labels: Any,
    box: Window,
    truth: NDArray[np.uint8],
    *,
    side: int,
    comparison: Comparison,
) -> None:
    """Count a tile of a label raster, square by square."""
    crs = understood_crs(labels.crs.to_wkt())
    rows, cols = np.indices(truth.shape)
    rows, cols = rows + box.row_off, cols + box.col_off
    xs, ys = centres(labels.transform, rows, cols)
    mapped, confidence = maps.at(crs, xs.ravel(), ys.ravel())
    mapped = mapped.reshape(-1, *truth.shape)
    confidence = None if confidence is None else confidence.reshape(truth.shape)
    step = min(side, _TILE_PX)
    for y in range(0, truth.shape[0], step):
        for x in range(0, truth.shape[1], step):
            part = slice(y, y + step), slice(x, x + step)
            lon, lat = transformer(crs, WGS84).transform(xs[part].mean(), ys[part].mean())
            comparison.add(
                f"{rows[y, x] // side},{cols[y, x] // side}",
                truth[part],
                mapped[:, *part],
                at=(lon, lat),
                confidence=None if confidence is None else confidence[part],
            )


@contextmanager
def _open_labels(path: Path) -> Iterator[Any]:
    check_is_file(path, UsageError)
    try:
        with open_geotiff(path) as labels:
            if labels.crs is None:
                raise UsageError(f"{path} has no CRS; save it with one.")
            bounds = np.reshape(labels.bounds, (2, 2))
            datum_doubt(understood_crs(labels.crs.to_wkt()), bounds, str(path))
            yield labels
    except RasterioError as error:
        raise UsageError(
            f"{path} cannot be read ({first_line(error)}); give a GeoTIFF of labels."
        ) from error


def _raster_classes(
    codes: NDArray[Any], nodata: float | None, crosswalk: Crosswalk, comparison: Comparison
) -> NDArray[np.uint8]:
    """(H, W) classes of a tile of a label raster."""
    truth = crosswalk.of_codes(codes)
    for code, count in zip(*np.unique(codes[truth == NODATA], return_counts=True), strict=True):
        if code not in (nodata, NODATA) and code == code:
            comparison.unknown[f"{code:g}"] += int(count)
    return np.where(codes == nodata, NODATA, truth).astype(np.uint8)
