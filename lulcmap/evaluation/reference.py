"""A finished map against labels: rasters, points or polygons."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.errors import RasterioError
from rasterio.features import geometry_mask
from rasterio.windows import Window
from rasterio.windows import transform as window_transform

from lulcmap.errors import UsageError
from lulcmap.evaluation import stratified
from lulcmap.evaluation.classmap import MOST_PIXELS, ClassMap, transformer
from lulcmap.evaluation.counts import Tally
from lulcmap.evaluation.crosswalk import Crosswalk
from lulcmap.evaluation.stratified import Sample
from lulcmap.evaluation.vectors import DEGREES, Features, load_features
from lulcmap.legend import NODATA
from lulcmap.system import Steps, no_progress

RASTERS = {".tif", ".tiff", ".vrt"}

_SQUARE = 64
"""Pixels a side of the squares of a label raster that the bootstrap draws; of a large raster twice,
four times ... as many."""

_MOST_SQUARES = 20_000
"""Of one raster, so that memory does not grow with it."""

_STRIP = 8 * _SQUARE
"""Pixels a side of what is compared at once."""

_NEAR = 0.01
"""Degrees a side of the cells in which all points are one place for the bootstrap, about a
kilometre."""

_LONGEST_EDGE = 1000.0
"""Metres of a polygon's edge before it is projected; it bends by less than 0.1 m then."""


@dataclass(slots=True)
class Compared:
    """A map against labels."""

    tally: Tally
    """What was counted."""

    kind: str
    """``"raster"``, ``"points"`` or ``"polygons"``."""

    unknown: Counter[str] = field(default_factory=Counter)
    """Labels that are no class, with how often they occur."""

    unlabelled: int = 0
    """Points or polygons with an empty label."""

    sample: Sample | None = None
    """The points, if they are a stratified sample of a map."""


def compare(
    given: ClassMap,
    labels: Path,
    crosswalk: Crosswalk,
    *,
    label_column: str = "label",
    progress: Steps = no_progress,
) -> Compared:
    """Count what a map says where there are labels.

    A raster of labels, on any grid, is compared at its own pixels' centres; a point at the pixel it
    lies in; a polygon at the pixels whose centres it holds.

    Args:
        given: the map.
        labels: a raster (``RASTERS``), or what ``load_features`` reads.
        crosswalk: from its codes or names, and the map's, to the classes that are compared.
        label_column: of points and polygons.
        progress: told about parts done.

    Raises:
        UsageError: the labels cannot be read.

    """
    compared = Compared(Tally(len(crosswalk.classes)), "raster")
    if labels.suffix.lower() in RASTERS:
        _raster(given, labels, crosswalk, compared, progress)
        return compared
    features = load_features(labels)
    missing = shapely.is_missing(features.shapes)
    kinds = set(shapely.get_type_id(features.shapes[~missing]).tolist())
    areal = {int(shapely.GeometryType.POLYGON), int(shapely.GeometryType.MULTIPOLYGON)}
    known = _known(features, crosswalk, label_column, compared)
    if kinds <= {int(shapely.GeometryType.POINT)}:
        compared.kind = "points"
        _points(given, features, known, crosswalk, compared)
    elif kinds <= areal:
        compared.kind = "polygons"
        _polygons(given, features, known, crosswalk, compared, progress)
    else:
        raise UsageError(f"{labels} mixes kinds of shapes; give points, or polygons.")
    return compared


def _known(
    features: Features, crosswalk: Crosswalk, column: str, compared: Compared
) -> NDArray[np.uint8]:
    """(n,) class of each feature's label, 255 for none."""
    known = np.full(len(features.shapes), NODATA, np.uint8)
    for i, label in enumerate(features.column(column)):
        if label is None or label != label or str(label).strip() == "":
            compared.unlabelled += 1
            continue
        found = crosswalk.of_label(label)
        if found is None:
            compared.unknown[str(label)] += 1
        else:
            known[i] = found
    return known


def _points(
    given: ClassMap,
    features: Features,
    known: NDArray[np.uint8],
    crosswalk: Crosswalk,
    compared: Compared,
) -> None:
    xy = _coordinates(features.shapes)
    lon, lat = _moved(features.crs, DEGREES, *xy)
    values, sure = given.at(*_moved(features.crs, given.crs, *xy))
    found = crosswalk.values[values]
    cells = np.floor(np.stack([lon, lat]) / _NEAR)
    _, cell, members = np.unique(cells, axis=1, return_index=True, return_inverse=True)
    for number, which in _groups(members.ravel()):
        middle = float(lon[cell[number]]), float(lat[cell[number]])
        part = None if sure is None else sure[which]
        compared.tally.add(str(number), known[which], found[which], at=middle, confidence=part)
    compared.sample = stratified.sample(features, known, found)


def _coordinates(points: NDArray[np.object_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates of points, x before y; NaN of a point that is nowhere."""
    there = ~(shapely.is_missing(points) | shapely.is_empty(points))
    xy = np.full((2, len(points)), np.nan)
    xy[:, there] = shapely.get_coordinates(points[there]).T
    return xy[0], xy[1]


def _groups(members: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each group's number, and which are in it."""
    order = np.argsort(members, kind="stable")
    ends = np.cumsum(np.bincount(members))
    yield from enumerate(np.split(order, ends[:-1]))


def _polygons(
    given: ClassMap,
    features: Features,
    known: NDArray[np.uint8],
    crosswalk: Crosswalk,
    compared: Compared,
    progress: Steps,
) -> None:
    shapes = features.shapes
    if features.crs.is_projected:
        shapes = shapely.segmentize(shapes, _LONGEST_EDGE)
    else:
        shapes = shapely.segmentize(shapes, _NEAR)
    middles = _coordinates(shapely.centroid(features.shapes))
    lon, lat = _moved(features.crs, DEGREES, *middles)
    to_map = transformer(features.crs, given.crs)
    for i, shape in enumerate(shapes):
        if known[i] != NODATA and shape is not None:
            there = shapely.transform(shape, lambda xy: np.column_stack(to_map.transform(*xy.T)))
            for values, sure in _inside(given, there):
                truth = np.full(values.shape, known[i])
                middle = float(lon[i]), float(lat[i])
                found = crosswalk.values[values]
                compared.tally.add(str(i), truth, found, at=middle, confidence=sure)
        progress(i + 1, len(shapes))


def _inside(
    given: ClassMap, shape: Any
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32] | None]]:
    """Values of the map's pixels whose centres are in a polygon of its CRS, and confidences."""
    if shape.is_empty or not np.isfinite(shape.bounds).all():
        return
    left, bottom, right, top = shape.bounds
    rows, cols = given.pixels(np.array([left, left, right, right]), np.array([bottom, top] * 2))
    first_row, first_col = max(int(rows.min()), 0), max(int(cols.min()), 0)
    last_row = min(int(rows.max()) + 1, given.shape[0])
    last_col = min(int(cols.max()) + 1, given.shape[1])
    if first_row >= last_row or first_col >= last_col:
        return
    step = max(MOST_PIXELS // (last_col - first_col), 1)
    for row in range(first_row, last_row, step):
        height, width = min(step, last_row - row), last_col - first_col
        window = Window(first_col, row, width, height)
        mask = geometry_mask(
            [shape],
            out_shape=(height, width),
            transform=window_transform(window, given.transform),
            invert=True,
        )
        if mask.any():
            sure = None
            if given.confidence_band:
                percent = given.window(row, first_col, height, width, band=given.confidence_band)
                sure = percent[mask].astype(np.float32) / 100
            yield given.window(row, first_col, height, width)[mask], sure


def _raster(
    given: ClassMap, path: Path, crosswalk: Crosswalk, compared: Compared, progress: Steps
) -> None:
    with _opened(path) as labels:
        side = _SQUARE
        while labels.height * labels.width > _MOST_SQUARES * side**2:
            side *= 2
        corners = [
            (row, col)
            for row in range(0, labels.height, _STRIP)
            for col in range(0, labels.width, _STRIP)
        ]
        for done, (row, col) in enumerate(corners, 1):
            box = Window(
                col, row, min(_STRIP, labels.width - col), min(_STRIP, labels.height - row)
            )
            truth = _classes(labels.read(1, window=box), labels.nodata, crosswalk, compared)
            if (truth != NODATA).any():
                _part(given, labels, box, truth, crosswalk=crosswalk, side=side, into=compared)
            progress(done, len(corners))


def _part(
    given: ClassMap,
    labels: Any,
    box: Window,
    truth: NDArray[np.uint8],
    *,
    crosswalk: Crosswalk,
    side: int,
    into: Compared,
) -> None:
    """Count a part of a label raster, square by square."""
    crs = CRS.from_wkt(labels.crs.to_wkt())
    rows, cols = np.indices(truth.shape)
    rows, cols = rows + box.row_off, cols + box.col_off
    xs, ys = _centres(labels.transform, rows, cols)
    values, sure = given.at(*_moved(crs, given.crs, xs.ravel(), ys.ravel()))
    found = crosswalk.values[values].reshape(truth.shape)
    sure = None if sure is None else sure.reshape(truth.shape)
    step = min(side, _STRIP)
    for y in range(0, truth.shape[0], step):
        for x in range(0, truth.shape[1], step):
            part = slice(y, y + step), slice(x, x + step)
            lon, lat = transformer(crs, DEGREES).transform(xs[part].mean(), ys[part].mean())
            into.tally.add(
                f"{rows[y, x] // side},{cols[y, x] // side}",
                truth[part],
                found[part],
                at=(lon, lat),
                confidence=None if sure is None else sure[part],
            )


def _centres(
    transform: Affine, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates of the centres of pixels, x before y."""
    x, y = cols + 0.5, rows + 0.5
    t = transform
    return t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with rasterio.open(path) as labels:
            if labels.crs is None:
                raise UsageError(f"{path} does not say its CRS; save it with one.")
            yield labels
    except RasterioError as error:
        raise UsageError(f"{path} cannot be read ({error}); give a GeoTIFF of labels.") from error


def _classes(
    codes: NDArray[Any], nodata: float | None, crosswalk: Crosswalk, compared: Compared
) -> NDArray[np.uint8]:
    """(H, W) classes of a part of a label raster."""
    truth = crosswalk.of_codes(codes)
    for code, count in zip(*np.unique(codes[truth == NODATA], return_counts=True), strict=True):
        if code not in (nodata, NODATA) and code == code:
            compared.unknown[f"{code:g}"] += int(count)
    return np.where(codes == nodata, NODATA, truth).astype(np.uint8)


def _moved(
    source: CRS, target: CRS, xs: NDArray[np.float64], ys: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points in another CRS; infinite where they have no place there."""
    if source == target:
        return xs, ys
    x, y = transformer(source, target).transform(xs, ys)
    return np.asarray(x), np.asarray(y)
