"""How unsure a map is of each pixel: from its quality layer, or else from its boundaries."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from lulcmap.errors import UsageError
from lulcmap.evaluation.classmap import ClassMap
from lulcmap.geo import first_line, understood_crs
from lulcmap.legend import NODATA
from lulcmap.system import check_is_file, open_geotiff

_QUALITY, _COMPOSITE = "quality", "composite"
"""Layers of a map, the endings of their files' stems: ``map-quality.tif`` beside ``map.tif``."""

_LEAST = 0.02
"""Unsureness of a pixel that the model is quite sure of: it may be drawn too."""

_INSIDE, _UNKNOWN = 0.25, 0.5
"""Unsureness of a pixel amid its own class, where only boundaries are known; and of a pixel that
the quality layer says nothing of."""


@dataclass(frozen=True, slots=True)
class Unsureness:
    """How unsure a map is, to be read in windows."""

    class_map: ClassMap
    """The map."""

    source: str
    """What it is read from, for people: ``margin of map-quality.tif``."""

    is_margin: bool
    """Whether a model's margin or confidence is known, not only boundaries."""

    _dataset: Any = None
    _band: int = 0

    def window(
        self, values: NDArray[np.uint8], box: tuple[int, int, int, int]
    ) -> NDArray[np.float64]:
        """(H, W) unsureness of a window, 0.02 to 1; high where labels help.

        Args:
            values: (H, W) the map's values there, 255 for none.
            box: its row, column, height and width.

        Raises:
            UsageError: the layer cannot be read.

        """
        if not self.is_margin:
            return np.where(_boundaries(self.class_map, box), 1.0, _INSIDE)
        row, col, height, width = box
        if self._dataset is None:
            percent = self.class_map.window(*box, band=self._band)
        else:
            percent = _read(self._dataset, self._band, Window(col, row, width, height))
        sure = np.where(percent <= 100, percent / 100, 1 - _UNKNOWN)
        return np.clip(np.where(values == NODATA, 1, 1 - sure), _LEAST, 1)


@contextmanager
def open_unsureness(class_map: ClassMap, quality: Path | None) -> Iterator[Unsureness]:
    """Open what says how unsure a map is.

    Its quality layer: the given one, or the one beside the map; else a band of confidence in the
    map; else its boundaries.

    Raises:
        UsageError: the layer is of another grid, or has no margin and no confidence.

    """
    with ExitStack() as stack:
        path = quality or _beside(class_map.path, _QUALITY)
        if path is not None:
            dataset = stack.enter_context(open_on_grid(path, class_map, "--quality"))
            names = [str(name or "").lower() for name in dataset.descriptions]
            band = next((name for name in ("margin", "confidence") if name in names), None)
            if band is None:
                raise UsageError(
                    f"{path} has no band margin or confidence; it has {', '.join(names)}. Give "
                    "the layer that lulcmap predict --confidence writes."
                )
            yield Unsureness(
                class_map, f"{band} of {path.name}", True, dataset, names.index(band) + 1
            )
        elif class_map.confidence_band is not None:
            source = f"confidence of {class_map.path.name}"
            yield Unsureness(class_map, source, True, None, class_map.confidence_band)
        else:
            yield Unsureness(class_map, "boundaries between classes", False)


@contextmanager
def open_composite(class_map: ClassMap, composite: Path | None) -> Iterator[Any | None]:
    """Open the image that a map was made from: the given one, or the one beside it; or None.

    Raises:
        UsageError: it is of another grid.

    """
    path = composite or _beside(class_map.path, _COMPOSITE)
    if path is None:
        yield None
        return
    with open_on_grid(path, class_map, "--composite") as dataset:
        yield dataset


@contextmanager
def open_on_grid(path: Path, class_map: ClassMap, option: str) -> Iterator[Any]:
    """Open a layer of a map.

    Raises:
        UsageError: it cannot be read, or has other pixels than the map.

    """
    check_is_file(path, UsageError)
    try:
        dataset = open_geotiff(path)
    except RasterioError as error:
        raise UsageError(
            f"{path} is not a readable raster ({first_line(error)}); {option} takes a GeoTIFF."
        ) from error
    with dataset:
        same = dataset.shape == class_map.shape and dataset.transform.almost_equals(
            class_map.transform, precision=1e-6
        )
        if not (same and dataset.crs and understood_crs(dataset.crs.to_wkt()) == class_map.crs):
            raise UsageError(
                f"{path} has other pixels than {class_map.path}: it is a layer of another map. "
                f"Give the one that was written with this map ({option})."
            )
        yield dataset


def read_spectra(
    dataset: Any, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n, B) values of a composite at some pixels; NaN where it has none.

    Raises:
        UsageError: it cannot be read.

    """
    spectra = np.full((len(rows), dataset.count), np.nan)
    side = 512
    cells, members = np.unique(np.stack([rows, cols]) // side, axis=1, return_inverse=True)
    for number in range(cells.shape[1]):
        group = np.flatnonzero(members.ravel() == number)
        top, left = int(rows[group].min()), int(cols[group].min())
        box = Window(left, top, int(cols[group].max()) - left + 1, int(rows[group].max()) - top + 1)
        bands = _read(dataset, None, box)
        spectra[group] = bands[:, rows[group] - top, cols[group] - left].T
    if dataset.nodata is not None:
        spectra[spectra == dataset.nodata] = np.nan
    return spectra


def _beside(path: Path, layer: str) -> Path | None:
    """The layer beside a map, if it is there."""
    found = path.with_stem(f"{path.stem}-{layer}")
    return found if found.is_file() else None


def _read(dataset: Any, band: int | None, window: Window) -> NDArray[Any]:
    try:
        return dataset.read(band, window=window)
    except RasterioError as error:
        raise UsageError(
            f"{dataset.name} cannot be read to its end ({first_line(error)}); it may be truncated. "
            "Make it again."
        ) from error


def _boundaries(class_map: ClassMap, box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """(H, W) whether a pixel has a neighbour, on one of four sides, of another class."""
    row, col, height, width = box
    top, left = max(row - 1, 0), max(col - 1, 0)
    bottom = min(row + height + 1, class_map.shape[0])
    right = min(col + width + 1, class_map.shape[1])
    values = class_map.window(top, left, bottom - top, right - left)
    edge = np.zeros(values.shape, bool)
    for axis in (0, 1):
        one, other = (values[1:], values[:-1]) if axis == 0 else (values[:, 1:], values[:, :-1])
        differs = (one != other) & (one != NODATA) & (other != NODATA)
        first, second = (edge[1:], edge[:-1]) if axis == 0 else (edge[:, 1:], edge[:, :-1])
        first |= differs
        second |= differs
    return edge[row - top : row - top + height, col - left : col - left + width]
