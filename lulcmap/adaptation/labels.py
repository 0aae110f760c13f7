"""Labels to adapt a model with: points or polygons of one class each, read from a file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from lulcmap.errors import UsageError
from lulcmap.evaluation import AREA, STRATUM
from lulcmap.geo import datum_doubt, open_vectors
from lulcmap.legend import LandCover

COLUMNS = ("class", "label")
"""Columns that may hold the class, the first one found counts: what ``lulcmap label`` writes, and
what ``lulcmap sample`` leaves to be filled in."""

_ANSWERED = {"class", "interpreter", "answered_at"}
"""Columns of a file that ``lulcmap label`` answered. There ``label`` counts where ``class`` is
empty, as for ``lulcmap evaluate``: some points may have been answered by hand."""

_WGS84 = CRS.from_epsg(4326)
_TABLES = {".csv"}
_EDGE_DEG, _EDGE_M = 0.01, 1000.0
"""Longest edge of a polygon before it is projected, degrees or metres."""

_MOST_EDGES = 10_000
"""Most of them along a side."""

_WIDEST_KM = 50
"""Largest side of a polygon's box: no land of one class is larger, and a mistake soon is."""

_KM_PER_DEGREE = 111.32

_FALSE = {"false", "f", "no", "n"}
_POINT = int(shapely.GeometryType.POINT)
_MULTIPOINT = int(shapely.GeometryType.MULTIPOINT)
_AREAL = {int(shapely.GeometryType.POLYGON), int(shapely.GeometryType.MULTIPOLYGON)}


@dataclass(frozen=True)
class Labels:
    """Labels of a land."""

    path: Path
    """Their file."""

    shapes: NDArray[np.object_]
    """(n,) points or polygons, longitude and latitude, degrees."""

    classes: NDArray[np.str_]
    """(n,) names of their classes."""

    weights: NDArray[np.float64]
    """(n,) how much land each stands for, 1 on average."""

    is_random: bool
    """Whether they are a random sample with known strata, so that ``weights`` differ."""

    left_out: Mapping[str, int] = field(default_factory=dict)
    """Rows that are not used, by reason."""

    def __len__(self) -> int:
        return len(self.shapes)


def read_labels(
    path: Path, legend: Sequence[LandCover], *, new_classes: Sequence[str] = ()
) -> Labels:
    """Read labels: every layer of points or polygons with a column ``class`` (or ``label``).

    Rows without a class, rows whose column ``sure`` is false, and rows that lie nowhere on the
    globe are left out. Rows of one ``id`` by several ``interpreter`` are one label, of the class
    that most of them gave; none if there is no such class.

    Args:
        path: vector file; or CSV with the columns ``lon`` and ``lat``, degrees.
        legend: classes of the model, by whose names or ids the labels may go.
        new_classes: names of further classes.

    Raises:
        UsageError: the file cannot be read, has no such column, mixes in other shapes or polygons
            of a whole region, or gives classes that are neither the model's nor new.

    """
    layers = list(_layers(path))
    known = [
        (shapes, columns) for shapes, columns in layers if not columns.keys().isdisjoint(COLUMNS)
    ]
    if not known:
        found = sorted({name for _, columns in layers for name in columns})
        raise UsageError(
            f"{path} has no column class; it has {', '.join(found) or 'none'}. Give each point or "
            "polygon the name or id of its class in a column class."
        )
    reader = _ClassReader(
        [cover.name for cover in legend], {c.id: c.name for c in legend}, new_classes
    )
    left_out: Counter[str] = Counter()
    parts = [_rows(shapes, columns, reader, left_out) for shapes, columns in known]
    reader.check(path)
    parts = [part for part in parts if len(part.shapes)]
    if not parts:
        gone = ", ".join(f"{n} {reason}" for reason, n in left_out.items())
        raise UsageError(
            f"{path} has no label to use ({gone or 'it is empty'}). Label some points."
        )
    shapes = np.concatenate([part.shapes for part in parts])
    others = set(shapely.get_type_id(shapes).tolist()) - {_POINT, *_AREAL}
    if others:
        raise UsageError(
            f"{path} holds shapes other than points and polygons; leave them out. Split "
            "multipoints into points."
        )
    _check_sizes(path, shapes)
    is_random = all(part.weights is not None for part in parts)
    weights = np.ones(len(shapes))
    if is_random:
        weights = np.concatenate([part.weights for part in parts if part.weights is not None])
        weights /= weights.mean()
    classes = np.concatenate([part.classes for part in parts]).astype(str)
    return Labels(path, shapes, classes, weights, is_random, dict(left_out))


@dataclass(frozen=True)
class _Rows:
    """The labels of one layer."""

    shapes: NDArray[np.object_]
    classes: NDArray[np.object_]
    weights: NDArray[np.float64] | None


@dataclass
class _ClassReader:
    """From what is written in a row to the name of a class."""

    names: Sequence[str]
    by_id: Mapping[int, str]
    new: Sequence[str]
    unknown: Counter[str] = field(default_factory=Counter)

    def read(self, value: object) -> str | None:
        """Name of the class; None of an unknown one, which is counted."""
        text = str(value).strip()
        for written in (text, text.lower().replace(" ", "_")):
            if written in self.names or written in self.new:
                return written
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if number.is_integer() and int(number) in self.by_id:
            return self.by_id[int(number)]
        self.unknown[text] += 1
        return None

    def check(self, path: Path) -> None:
        """Check that all classes were known.

        Raises:
            UsageError: some were not.

        """
        if self.unknown:
            most = ", ".join(f"{name!r} ({n})" for name, n in self.unknown.most_common(5))
            first = next(iter(self.unknown))
            raise UsageError(
                f"{path} has labels of classes that the model does not have: {most}. Its classes "
                f"are {', '.join(self.names)}. Correct them, or add a class: --new-class {first}."
            )


def _layers(path: Path) -> list[tuple[NDArray[np.object_], dict[str, NDArray[Any]]]]:
    """Shapes in degrees, and columns, of each layer."""
    if path.suffix.lower() in _TABLES:
        from lulcmap.evaluation import load_features

        table = load_features(path)
        return [(_in_degrees(table.shapes, table.crs), table.columns)]
    read = []
    with open_vectors(path) as file:
        for name in file.layers:
            layer = file.read(name)
            if layer.crs is None:
                raise UsageError(f"{path} has no CRS; save it with one, such as EPSG:4326.")
            datum_doubt(layer.crs, shapely.get_coordinates(layer.shapes), str(path))
            read.append((_in_degrees(layer.shapes, layer.crs), layer.columns))
    return read


def _in_degrees(shapes: NDArray[np.object_], crs: CRS) -> NDArray[np.object_]:
    is_multiple = shapely.get_type_id(shapes) == _MULTIPOINT
    is_alone = is_multiple & (shapely.get_num_geometries(shapes) == 1)  # as many programs write
    shapes = np.where(is_alone, shapely.get_geometry(shapes, 0), shapes)
    if crs == _WGS84:
        return shapes
    edge = _EDGE_M if crs.is_projected else _EDGE_DEG
    to_degrees = Transformer.from_crs(crs, _WGS84, always_xy=True)
    is_areal = np.isin(shapely.get_type_id(shapes), list(_AREAL))
    west, south, east, north = shapely.bounds(shapes).T
    # of inf and of 1e300 metres no edges could be made; such shapes are refused or left out later
    with np.errstate(invalid="ignore"):
        is_sane = np.fmax(east - west, north - south) < _MOST_EDGES * edge
    fine = shapes.copy()
    fine[is_areal & is_sane] = shapely.segmentize(shapes[is_areal & is_sane], edge)
    moved: NDArray[np.object_] = shapely.transform(
        fine, lambda xy: np.column_stack(to_degrees.transform(*xy.T))
    )
    return moved


def _is_on_globe(shape: shapely.Geometry) -> bool:
    lon, lat = shapely.get_coordinates(shape).T
    return bool((np.abs(lon) <= 180).all() and (np.abs(lat) <= 90).all())  # NaN is not


def _check_sizes(path: Path, shapes: NDArray[np.object_]) -> None:
    """Check that no polygon is as wide as a region.

    Raises:
        UsageError: one is.

    """
    west, south, east, north = shapely.bounds(shapes).T
    width = (east - west) * np.cos(np.radians((south + north) / 2))
    largest = float((np.maximum(width, north - south) * _KM_PER_DEGREE).max())
    if largest > _WIDEST_KM:
        raise UsageError(
            f"{path} has a polygon that spans {largest:,.0f} km; a label is land of one class, of "
            f"at most {_WIDEST_KM} km. Split it, or leave it out."
        )


def _written(columns: Mapping[str, NDArray[Any]]) -> list[Any]:
    """What is written as the class of each row."""
    first, *others = [columns[name].tolist() for name in COLUMNS if name in columns]
    if not others or not columns.keys() >= _ANSWERED:
        return first
    pairs = zip(first, others[0], strict=True)
    return [by_hand if _is_blank(answer) else answer for answer, by_hand in pairs]


def _rows(
    shapes: NDArray[np.object_],
    columns: Mapping[str, NDArray[Any]],
    reader: _ClassReader,
    left_out: Counter[str],
) -> _Rows:
    """The rows of a layer that have a class, and what became of the others."""
    chosen: list[int] = []
    classes: list[str] = []
    for number, value in enumerate(_written(columns)):
        if _is_blank(value):
            left_out["without a class"] += 1
        elif "sure" in columns and _is_false(columns["sure"][number]):
            left_out["not sure"] += 1
        elif shapes[number] is None or shapes[number].is_empty:
            left_out["without a place"] += 1
        elif not _is_on_globe(shapes[number]):
            left_out["outside the globe"] += 1
        else:
            given = reader.read(value)
            if given is not None:
                chosen.append(number)
                classes.append(given)
    kept, agreed = _by_majority(np.array(chosen, np.intp), classes, columns, left_out)
    return _Rows(shapes[kept], np.array(agreed, object), _land_of(kept, columns))


def _is_false(value: object) -> bool:
    """Whether a value means no: a word, or 0 as any number or text."""
    text = str(value).strip().lower()
    try:
        return float(text) == 0  # booleans with a NULL among them are read as 0.0 and 1.0
    except ValueError:
        return text in _FALSE


def _is_blank(value: object) -> bool:
    return value is None or value != value or str(value).strip() == ""


def _by_majority(
    rows: NDArray[np.intp],
    classes: list[str],
    columns: Mapping[str, NDArray[Any]],
    left_out: Counter[str],
) -> tuple[NDArray[np.intp], list[str]]:
    """One row of each ``id`` that several interpreters labelled, of the class most of them gave."""
    if not {"id", "interpreter"} <= set(columns):
        return rows, classes
    answers: dict[object, list[tuple[int, str]]] = {}
    for row, given in zip(rows.tolist(), classes, strict=True):
        key = columns["id"][row]
        key = ("row", row) if _is_blank(key) else key
        answers.setdefault(key, []).append((row, given))
    kept, agreed = [], []
    for given_rows in answers.values():
        (first, most), *others = Counter(given for _, given in given_rows).most_common(2)
        if others and others[0][1] == most:
            left_out["interpreters disagree"] += 1
            continue
        kept.append(given_rows[0][0])
        agreed.append(first)
    return np.array(kept, np.intp), agreed


def _land_of(
    rows: NDArray[np.intp], columns: Mapping[str, NDArray[Any]]
) -> NDArray[np.float64] | None:
    """(n,) land that each row of a stratified random sample stands for; None of other rows."""
    if not {STRATUM, AREA} <= set(columns):
        return None
    designs = columns["design"][rows].tolist() if "design" in columns else []
    if any(not _is_blank(one) and str(one).strip() != "random" for one in designs):
        return None
    try:
        areas = columns[AREA][rows].astype(np.float64)
    except (TypeError, ValueError):
        return None
    if not (np.isfinite(areas) & (areas > 0)).all():
        return None
    _, stratum, sizes = np.unique(
        columns[STRATUM][rows].astype(str), return_inverse=True, return_counts=True
    )
    land: NDArray[np.float64] = areas / sizes[stratum.ravel()]
    return land
