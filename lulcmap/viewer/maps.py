"""What a user opened: maps with their parts and layers, and pictures of composites."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.enums import ColorInterp

from lulcmap.errors import LulcmapError, UsageError
from lulcmap.evaluation import ClassMap, open_class_map
from lulcmap.geo import has_known_areas
from lulcmap.legend import NODATA, LandCover, default_colour
from lulcmap.output import COMPOSITE, PLAN_TAG, PROBABILITIES, QUALITY, MapReport, layer_path
from lulcmap.products import class_colours, class_names
from lulcmap.viewer.rasters import Raster
from lulcmap.viewer.tiles import degree_bounds, finest_zoom

Bounds = tuple[float, float, float, float]
"""West, south, east and north, degrees; east may lie beyond 180."""

_LOOK_PX = 1024
"""Side of the overview that is looked through for values and for the stretch of a composite."""

_SLOW_PX = 2**25
"""Pixels from which a file without overviews is slow to show."""

_BRIGHTEST = {"true colour": 3000, "false colour": 5000}
"""Reflectance x 10000 above which a pixel is white, so that snow does not darken the rest."""

_MIXES = {"true colour": ("B04", "B03", "B02"), "false colour": ("B08", "B04", "B03")}
"""Bands, shown as red, green and blue, of the ways to look at a composite."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a map."""

    raster: Raster
    """Its pixels."""

    shape: tuple[int, int]
    """Rows and columns."""

    transform: Affine
    """Transform from (column, row) to (x, y) of the CRS."""

    crs: CRS
    """CRS of the file."""

    bounds: Bounds
    """Its extent."""

    max_zoom: int
    """Zoom at which each of its pixels is shown."""

    overviews: tuple[int, ...]
    """How many times coarser each of its overviews is."""

    layers: dict[str, Raster]
    """Its layers by name, on the same grid."""


@dataclass(frozen=True, slots=True)
class OpenMap:
    """A map, of one file or of several parts."""

    label: str
    """Short name of it, unique among those opened."""

    parts: tuple[Part, ...]
    """Its files."""

    legend: tuple[LandCover, ...]
    """Its classes."""

    report: MapReport | None
    """Its report; None without one."""

    notes: tuple[str, ...]
    """What a reader has to know, in sentences."""

    @property
    def bounds(self) -> Bounds:
        """Its extent."""
        return united([part.bounds for part in self.parts])


@dataclass(frozen=True, slots=True)
class Picture:
    """A composite, shown in one mix of its bands."""

    label: str
    """Name of it and of the mix."""

    raster: Raster
    """Its pixels."""

    bands: tuple[int, ...]
    """Numbers of the bands shown as red, green and blue."""

    stretch: tuple[float, float]
    """Values shown as black and white."""

    bounds: Bounds
    """Its extent."""

    max_zoom: int
    """Zoom at which each of its pixels is shown."""


def united(bounds: Sequence[Bounds]) -> Bounds:
    """The extent of several extents."""
    west, south, east, north = zip(*bounds, strict=True)
    return min(west), min(south), max(east), max(north)


def open_maps(paths: Sequence[Path]) -> tuple[OpenMap, ...]:
    """Open some maps; files of one run are the parts of one map.

    Raises:
        UsageError: a file is no class map.

    """
    opened = [_open_file(path) for path in paths]
    groups: dict[str, list[OpenMap]] = {}
    for path, (one, plan) in zip(paths, opened, strict=True):
        groups.setdefault(plan or str(path.absolute()), []).append(one)
    maps = [_joined(group) for group in groups.values()]
    return tuple(_unique(maps))


def _joined(group: Sequence[OpenMap]) -> OpenMap:
    """The map of some parts of one run; the same file twice counts once."""
    first = group[0]
    parts = {part.raster.path.absolute(): part for one in group for part in one.parts}
    notes = dict.fromkeys(note for one in group for note in one.notes)
    report = next((one.report for one in group if one.report is not None), None)
    return OpenMap(first.label, tuple(parts.values()), first.legend, report, tuple(notes))


def _unique(maps: Sequence[OpenMap]) -> list[OpenMap]:
    """The maps, those of one name with their folders or numbers."""
    labels: list[str] = []
    for one in maps:
        label, number = one.label, 2
        if label in labels:
            label = f"{one.parts[0].raster.path.absolute().parent.name}/{one.label}"
        while label in labels:
            label, number = f"{one.label} ({number})", number + 1
        labels.append(label)
    return [
        OpenMap(label, one.parts, one.legend, one.report, one.notes)
        for label, one in zip(labels, maps, strict=True)
    ]


def _open_file(path: Path) -> tuple[OpenMap, str | None]:
    """A map of one file, and the digest of its plan."""
    with open_class_map(path) as class_map:
        if not has_known_areas(class_map.crs):
            raise UsageError(f"{path} has a CRS with unknown places; warp it to UTM.")
        plan = class_map.tags.get(PLAN_TAG)
        raster = Raster(path)
        with raster.opened() as dataset:
            values = _look(dataset)
            bounds, zoom = degree_bounds(dataset), finest_zoom(dataset)
            overviews = tuple(int(one) for one in dataset.overviews(1))
        if not all(map(math.isfinite, bounds)):
            raise UsageError(f"{path} lies outside its CRS ({class_map.crs.name}).")
        legend, notes = _legend(class_map, values)
        part = Part(
            raster,
            class_map.shape,
            class_map.transform,
            class_map.crs,
            bounds,
            zoom,
            overviews,
            _layers(path, class_map),
        )
    if class_map.shape[0] * class_map.shape[1] > _SLOW_PX and not overviews:
        notes.append(
            f"{path.name} has no overviews in the file, so that far views of it are slow. Make it "
            "a COG: rio cogeo create --overview-resampling mode."
        )
    report = None
    with suppress(LulcmapError):  # a report of another version: the map is shown without
        report = MapReport.read(path, min_coverage=0)
    return OpenMap(path.stem, (part,), legend, report, tuple(notes)), plan


def _legend(
    class_map: ClassMap, values: NDArray[np.int64]
) -> tuple[tuple[LandCover, ...], list[str]]:
    """Classes of a map, with its own names and colours where it has them, and notes."""
    names, notes = class_names([class_map], values)
    colours = class_colours(class_map)
    covers = []
    for number, (value, name) in enumerate(sorted(names.items())):
        colour = default_colour(number, name, len(names))
        if value in colours:
            colour = "{:02X}{:02X}{:02X}".format(*colours[value])
        covers.append(LandCover(value, name[:100].strip() or f"class {value}", colour))
    return tuple(covers), notes


def _look(dataset: Any) -> NDArray[np.int64]:
    """Values that occur in an overview of a class map."""
    shape = tuple(min(side, _LOOK_PX) for side in dataset.shape)
    values = np.unique(dataset.read(1, out_shape=shape)).astype(np.int64)
    return values[(values < NODATA) & (values != dataset.nodata)]


def _layers(path: Path, class_map: ClassMap) -> dict[str, Raster]:
    """Layers of a map's file: files beside it, of the same run and on the same grid."""
    found = {}
    for name in (QUALITY, PROBABILITIES, COMPOSITE):
        beside = Raster(layer_path(path, name))
        if not beside.path.is_file():
            continue
        with suppress(UsageError), beside.opened() as dataset:
            same_run = dataset.tags().get(PLAN_TAG) == class_map.tags.get(PLAN_TAG)
            same_grid = (dataset.shape, dataset.transform) == (class_map.shape, class_map.transform)
            if same_run and same_grid:
                found[name] = beside
    return found


def open_pictures(maps: Sequence[OpenMap], paths: Sequence[Path]) -> tuple[Picture, ...]:
    """The pictures of the maps' own composites and of further ones.

    Args:
        maps: the maps.
        paths: paths of composites, or of any pictures with red, green and blue.

    Raises:
        UsageError: a file cannot be read, or has no bands to show.

    """
    pictures = []
    for one in maps:
        for part in one.parts:
            if COMPOSITE in part.layers:
                label = one.label if len(one.parts) == 1 else part.raster.path.stem
                pictures += _pictures(part.layers[COMPOSITE], label)
    known = {picture.raster.path.absolute() for picture in pictures}
    for path in paths:
        if path.absolute() not in known:
            pictures += _pictures(Raster(path), path.stem)
    return tuple(pictures)


def _pictures(raster: Raster, label: str) -> list[Picture]:
    """Every way to look at a composite."""
    with raster.opened() as dataset:
        if dataset.crs is None:
            raise UsageError(f"{raster.path} has no CRS; a composite lies somewhere.")
        bounds, zoom = degree_bounds(dataset), finest_zoom(dataset)
        names = list(dataset.descriptions)
        mixes = {
            mix: tuple(names.index(band) + 1 for band in bands)
            for mix, bands in _MIXES.items()
            if set(bands) <= set(names)
        }
        interps = list(dataset.colorinterp)
        if not mixes and ColorInterp.red in interps:
            colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
            mixes["picture"] = tuple(interps.index(one) + 1 for one in colours)
        if not mixes:
            raise UsageError(
                f"{raster.path} has no bands to show. A composite names its bands B02, B03, B04 "
                "and B08, as lulcmap predict --save-composite does; a picture has red, green and "
                "blue."
            )
        pictures = []
        for mix, bands in mixes.items():
            stretch = _stretch(dataset, bands, _BRIGHTEST.get(mix, math.inf))
            pictures.append(Picture(f"{label}, {mix}", raster, bands, stretch, bounds, zoom))
        return pictures


def _stretch(dataset: Any, bands: tuple[int, ...], brightest: float) -> tuple[float, float]:
    """Values shown as black and white: the 2nd and the 98th percentile of all three bands, or less.

    One stretch for the three, so that grey stays grey, and for the whole file, so that tiles fit.
    """
    if all(dataset.dtypes[band - 1] == "uint8" for band in bands):
        return 0.0, 255.0
    shape = tuple(min(side, _LOOK_PX) for side in dataset.shape)
    values = dataset.read(list(bands), out_shape=(len(bands), *shape), masked=True)
    known = values.compressed()
    known = known[np.isfinite(known)]
    if not known.size:
        return 0.0, 1.0
    low, high = np.minimum(np.percentile(known, (2, 98)), (brightest / 2, brightest))
    return float(low), float(max(high, low + 1e-6))
