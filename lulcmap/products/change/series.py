"""The maps that are compared: opened, checked against each other, and read in windows."""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.evaluation import CHANGE_TAG, ClassMap, open_class_map
from lulcmap.geo import has_known_areas
from lulcmap.legend import MAX_CLASSES, NODATA
from lulcmap.products.change.legends import UNSURE, joint_legend
from lulcmap.products.regions import one_line

ALLOWED = ("grid", "legend", "model", "order")
"""Differences between the maps that are refused unless they are allowed."""

YEARLY = "yearly"
"""What the tag of a most probable map says; other rasters of changes are no maps."""

Box = tuple[int, int, int, int]
"""Row, column, height and width of a window."""

_WINDOW_PX = 1024
"""Side of the windows, pixels."""

_GRID_PX = 1e-3
"""Pixels by which the corners of two maps on one grid may differ."""

_MODEL_TAGS = ("LULCMAP_MODEL_SHA256", "LULCMAP_PRIOR")


@dataclass(slots=True)
class _Layer:
    """One band of a map, read in windows of one row of windows after the other."""

    class_map: ClassMap
    band: int
    values: NDArray[np.uint8] | None = None
    """(256,) value that each of its values stands for; None if they stay."""

    _rows: tuple[int, int] = (0, 0)
    _kept: NDArray[np.uint8] | None = field(default=None, repr=False)

    def window(self, box: Box) -> NDArray[np.uint8]:
        """(H, W) values. Of a striped file, rows are decoded once, for all windows in them."""
        row, col, height, width = box
        if self.class_map.is_striped:
            if self._kept is None or self._rows != (row, height):
                self._rows = row, height
                self._kept = self.class_map.window(
                    row, 0, height, self.class_map.shape[1], band=self.band
                )
            read = self._kept[:, col : col + width]
        else:
            read = self.class_map.window(*box, band=self.band)
        return read if self.values is None else self.values[read]


@dataclass(frozen=True)
class Series:
    """Two maps or more of one place, in the order of time."""

    maps: tuple[ClassMap, ...]
    """The maps, all on the grid of the first."""

    labels: tuple[str, ...]
    """What each is called: its year or period, or the name of its file."""

    legend: Mapping[int, str]
    """Names of the classes by value."""

    colours: Mapping[int, tuple[int, int, int]]
    """Red, green and blue of the classes."""

    is_named: bool
    """Whether a map names its classes; if none does, the legend is Dynamic World's."""

    notes: tuple[str, ...]
    """What a reader has to know of the maps, in sentences."""

    layers: tuple[_Layer, ...]
    confidences: tuple[_Layer, ...] | None
    """Bands of confidence in percent; None if a map has none."""

    def boxes(self) -> list[Box]:
        """The windows that tile the maps, row by row."""
        height, width = self.maps[0].shape
        return [
            (row, col, min(_WINDOW_PX, height - row), min(_WINDOW_PX, width - col))
            for row in range(0, height, _WINDOW_PX)
            for col in range(0, width, _WINDOW_PX)
        ]

    def classes(self, box: Box) -> NDArray[np.uint8]:
        """(T, H, W) classes of the maps in a window, 255 for none.

        Raises:
            UsageError: a map has the value 254, which no class may have, or cannot be read.

        """
        values = np.stack([layer.window(box) for layer in self.layers])
        if (values == UNSURE).any():
            wrong = next(i for i, one in enumerate(values) if (one == UNSURE).any())
            raise UsageError(
                f"{self.maps[wrong].path} has the value {UNSURE}, or one that its legend does not "
                f"name. Classes are 0 to {MAX_CLASSES - 1}, and {NODATA} is no class."
            )
        return values

    def confidence(self, box: Box) -> NDArray[np.uint8]:
        """(T, H, W) percent in a window, 255 where unknown."""
        return np.stack([layer.window(box) for layer in self.confidences or ()])


@contextmanager
def open_series(
    paths: Sequence[Path], *, allow: Collection[str] = (), need_confidence: bool = False
) -> Iterator[Series]:
    """Open maps that are to be compared.

    Args:
        paths: paths of the maps, the oldest first.
        allow: differences that are not refused, of ``ALLOWED``.
        need_confidence: whether each map must have a confidence.

    Raises:
        UsageError: a file is no class map, or the maps cannot be compared.

    """
    _check_paths(paths)
    with ExitStack() as stack:
        maps = [stack.enter_context(open_class_map(path)) for path in paths]
        if not has_known_areas(maps[0].crs):
            raise UsageError(f"{paths[0]} has a CRS with unknown areas; warp it to UTM.")
        for one in maps:
            if one.tags.get(CHANGE_TAG, YEARLY) != YEARLY:
                raise UsageError(
                    f"{one.path} is itself a raster of changes. Give the maps of the years."
                )
        notes = [*_order_notes(maps, allow), *_model_notes(maps, allow)]
        confidences = _confidences(stack, maps, needed=need_confidence)
        for i, one in enumerate(maps[1:], 1):
            if (difference := _grid_difference(maps[0], one)) is None:
                continue
            if "grid" not in allow:
                raise UsageError(
                    f"{one.path} is on another grid than {maps[0].path}: {difference}. Make both "
                    "with the same --aoi and --crs, or give --allow grid to read it at the other's "
                    "pixels (nearest neighbour)."
                )
            maps[i] = stack.enter_context(one.on_grid_of(maps[0]))
            if confidences is not None:
                other = stack.enter_context(confidences[i].class_map.on_grid_of(maps[0]))
                confidences[i] = _Layer(other, confidences[i].band)
            notes.append(
                f"{one.path.name} is on another grid ({difference}); it is read at the pixels of "
                f"{maps[0].path.name}, nearest neighbour. Borders may change where nothing did."
            )
        legend, colours, tables, more = joint_legend(maps, allow)
        yield Series(
            tuple(maps),
            _labels(maps),
            legend,
            colours,
            any(one.is_named for one in maps),
            (*notes, *more),
            tuple(_Layer(one, 1, table) for one, table in zip(maps, tables, strict=True)),
            None if confidences is None else tuple(confidences),
        )


def _check_paths(paths: Sequence[Path]) -> None:
    if len(paths) < 2:
        raise UsageError(
            f"Change needs two maps of one place, the older one first; there is "
            f"{len(paths) or 'none'}."
        )
    for i, one in enumerate(paths):
        for other in paths[:i]:
            if one.exists() and other.exists() and one.samefile(other):
                raise UsageError(f"{one} is given twice. Give the map of each year once.")


def _period(class_map: ClassMap) -> tuple[str, str] | None:
    """First and last day of the period of a map, if it says so."""
    first, slash, last = class_map.tags.get("LULCMAP_PERIOD", "").partition("/")
    return (first, last) if slash else None


def _labels(maps: Sequence[ClassMap]) -> tuple[str, ...]:
    labels = []
    for one in maps:
        period = _period(one)
        if period is None:
            labels.append(one_line(one.path.stem))
        elif (period[0][4:], period[1][4:]) == ("-01-01", "-12-31"):
            years = dict.fromkeys(day[:4] for day in period)
            labels.append("-".join(years))
        else:
            labels.append(one_line(" to ".join(period)))
    if len(set(labels)) < len(labels):
        labels = [f"{number} {one_line(one.path.name)}" for number, one in enumerate(maps, 1)]
    return tuple(labels)


def _order_notes(maps: Sequence[ClassMap], allow: Collection[str]) -> Iterator[str]:
    """Check that the maps are in the order of time, where they say so."""
    dated = [(one, period) for one in maps if (period := _period(one)) is not None]
    for (one, period), (other, later) in itertools.pairwise(dated):
        if later[0] > period[0]:
            continue
        told = f"{other.path.name} maps {'/'.join(later)}, {one.path.name} {'/'.join(period)}"
        if "order" not in allow:
            raise UsageError(
                f"The maps are not in the order of time: {told}. Give the older one first, or "
                "--allow order."
            )
        yield f"The maps are compared in the order given: {told}."


def _model_notes(maps: Sequence[ClassMap], allow: Collection[str]) -> Iterator[str]:
    """Check that one model made all maps, where they say which."""
    first = maps[0]
    for one in maps[1:]:
        models = [[other.tags.get(tag) for tag in _MODEL_TAGS] for other in (first, one)]
        if models[0] == models[1]:
            continue
        told = " and ".join(f"{other.path.name} by {_model(other)}" for other in (first, one))
        if "model" not in allow:
            raise UsageError(
                f"The maps are by different models, whose errors differ too: {told}. Make both "
                "with one model, or give --allow model."
            )
        yield f"Part of the change is between the models: {told}."


def _model(class_map: ClassMap) -> str:
    name = class_map.tags.get("LULCMAP_MODEL")
    if name is None:
        return "an unknown one"
    digest = class_map.tags.get(_MODEL_TAGS[0], "")[:8]
    return f"{one_line(name)} ({digest}, prior {class_map.tags.get(_MODEL_TAGS[1], 'unknown')})"


def _grid_difference(one: ClassMap, other: ClassMap) -> str | None:
    """How the grids of two maps differ; None if they do not."""
    if one.crs != other.crs:
        return f"CRS {other.crs.name}, not {one.crs.name}"
    if one.shape != other.shape:
        return "{} x {} px, not {} x {}".format(*other.shape[::-1], *one.shape[::-1])
    height, width = one.shape
    for corner in ((0, 0), (width, 0), (0, height)):
        col, row = ~one.transform @ (other.transform @ corner)
        if max(abs(col - corner[0]), abs(row - corner[1])) > _GRID_PX:
            return "its pixels lie elsewhere"
    return None


def _confidences(
    stack: ExitStack, maps: Sequence[ClassMap], *, needed: bool
) -> list[_Layer] | None:
    """The confidence of each map; None if one has none, and none is needed."""
    layers = []
    for one in maps:
        layer = _confidence(stack, one)
        if layer is None and needed:
            raise UsageError(
                f"{one.path} has no confidence: no band of it, and no {_quality_path(one).name} "
                "beside it. Make the map with --confidence, or leave --min-confidence out."
            )
        if layer is None:
            return None
        layers.append(layer)
    return layers


def _quality_path(class_map: ClassMap) -> Path:
    return class_map.path.with_name(f"{class_map.path.stem}-quality.tif")


def _confidence(stack: ExitStack, class_map: ClassMap) -> _Layer | None:
    """The confidence of a map: a band of it, or of the file beside it."""
    if class_map.confidence_band is not None:
        return _Layer(class_map, class_map.confidence_band)
    path = _quality_path(class_map)
    if not path.exists():
        return None
    quality = stack.enter_context(open_class_map(path))
    if quality.confidence_band is None:
        raise UsageError(f"{path} has no band described as confidence. Make the map again.")
    difference = _grid_difference(class_map, quality)
    if difference is not None:
        raise UsageError(
            f"{path} is not of {class_map.path}: {difference}. Make the map again, or move it away."
        )
    return _Layer(quality, quality.confidence_band)
