"""What a user opened: maps with their parts and layers, and pictures of composites."""

import math
from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
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
from lulcmap.legend import MAX_CLASSES, MAX_NAME_CHARS, NODATA, LandCover, default_colour
from lulcmap.output import COMPOSITE, PLAN_TAG, PROBABILITIES, QUALITY, MapReport, layer_path
from lulcmap.products import class_colours, class_names, map_the_same, map_values
from lulcmap.viewer.rasters import Raster
from lulcmap.viewer.tiles import Bounds, degree_bounds, finest_zoom, shown_bounds

_LOOK_PX = 1024
"""Side of the overview that is looked through for values and for the stretch of a composite."""

_SLOW_PX = 2**25
"""Pixels from which a file without overviews is slow to show."""

BRIGHTEST = {"true colour": 3000, "false colour": 5000}
"""Reflectance x 10000 above which a pixel is white, so that snow does not darken the rest."""

MIXES = {"true colour": ("B04", "B03", "B02"), "false colour": ("B08", "B04", "B03")}
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

    extent: Bounds
    """Its extent."""

    bounds: Bounds
    """Its extent as far as it can be shown: Web Mercator ends before the poles."""

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
    """Open some maps; files of one run are the parts of one map, if they map different places.

    Raises:
        UsageError: a file is no class map.

    """
    own: dict[Path, Path] = {}
    for path in paths:
        own.setdefault(path.resolve(), path)  # the same file twice counts once
    with ExitStack() as stack:
        files = [stack.enter_context(open_class_map(path)) for path in own.values()]
        groups: list[list[ClassMap]] = []
        for one in files:
            group = next((group for group in groups if _belongs(one, group)), None)
            if group is None:
                groups.append([one])
            else:
                group.append(one)
        return tuple(_unique([_open_map(group) for group in groups]))


def _belongs(one: ClassMap, group: Sequence[ClassMap]) -> bool:
    """Whether a file is a further part of the map of some files.

    A copy or a cleaned map of the same run is not: its areas would count twice.
    """
    plan = one.tags.get(PLAN_TAG)
    return plan is not None and all(
        plan == other.tags.get(PLAN_TAG)
        and one.legend == other.legend
        and not map_the_same(one, other)
        for other in group
    )


def _open_map(files: Sequence[ClassMap]) -> OpenMap:
    """The map of some files, its parts."""
    parts = tuple(_open_part(one) for one in files)
    values: NDArray[np.int64] = np.unique(np.concatenate([_values(one) for one in files]))
    legend, notes = _legend(files, values)
    notes += [
        f"{part.raster.path.name} has no overviews in the file, so that far views of it are slow. "
        "Make it a COG: rio cogeo create --overview-resampling mode."
        for part in parts
        if part.shape[0] * part.shape[1] > _SLOW_PX and not part.overviews
    ]
    report = None
    for one in files:
        with suppress(LulcmapError):  # a report of another version: the map is shown without
            report = report or MapReport.read(one.path, min_coverage=0)
    return OpenMap(files[0].path.stem, parts, legend, report, tuple(notes))


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


def _open_part(class_map: ClassMap) -> Part:
    """A file of a map."""
    path = class_map.path
    if not has_known_areas(class_map.crs):
        raise UsageError(f"{path} has a CRS with unknown places; warp it to UTM.")
    raster = Raster(path)
    with raster.opened() as dataset:
        extent = degree_bounds(dataset)
        if not all(map(math.isfinite, extent)):
            raise UsageError(f"{path} lies outside its CRS ({class_map.crs.name}).")
        zoom = finest_zoom(dataset)
        overviews = tuple(int(one) for one in dataset.overviews(1))
    return Part(
        raster,
        class_map.shape,
        class_map.transform,
        class_map.crs,
        extent,
        shown_bounds(extent, path),
        zoom,
        overviews,
        _layers(path, class_map),
    )


def _legend(
    files: Sequence[ClassMap], values: NDArray[np.int64]
) -> tuple[tuple[LandCover, ...], list[str]]:
    """Classes of a map, with its own names and colours where it has them, and notes."""
    names, notes = class_names(files, values)
    colours = class_colours(files[0])
    named = {value: name for value, name in sorted(names.items()) if value < MAX_CLASSES}
    covers: list[LandCover] = []
    for number, (value, name) in enumerate(named.items()):
        colour = default_colour(number, name, len(named))
        if value in colours:
            colour = "{:02X}{:02X}{:02X}".format(*colours[value])
        covers.append(LandCover(value, _short(value, name, named.values()), colour))
    return tuple(covers), notes


def _short(value: int, name: str, names: Collection[str]) -> str:
    """The name of a class, cut so that no class of another name has it."""
    short = name[:MAX_NAME_CHARS].strip() or f"class {value}"
    alike = {one for one in names if one[:MAX_NAME_CHARS].strip() == short}
    if len(alike) < 2 or name == short:
        return short
    end = f" ({value})"
    return name[: MAX_NAME_CHARS - len(end)].strip() + end


def _values(class_map: ClassMap) -> NDArray[np.int64]:
    """Values that occur in a map; in one that lulcmap named, those of an overview.

    A map made elsewhere is read through: it may name its classes, and have other values too.

    Raises:
        UsageError: a value is none that a class can have.

    """
    if class_map.is_named and PLAN_TAG in class_map.tags:
        with Raster(class_map.path).opened() as dataset:
            shape = tuple(min(side, _LOOK_PX) for side in dataset.shape)
            values = np.unique(dataset.read(1, out_shape=shape)).astype(np.int64)
            values = values[(values < NODATA) & (values != dataset.nodata)]
    else:
        values = map_values(class_map)
    if values.size and values[-1] >= MAX_CLASSES:
        raise UsageError(
            f"{class_map.path} has the value {values[-1]}; classes are 0 to {MAX_CLASSES - 1}, and "
            f"{NODATA} is nodata. If it is nodata too, say so (gdal_edit.py -a_nodata "
            f"{values[-1]}); else give the class another value."
        )
    return values


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
    known = {picture.raster.path.resolve() for picture in pictures}
    for path in paths:
        if path.resolve() not in known:
            pictures += _pictures(Raster(path), path.stem)
    return tuple(pictures)


def _pictures(raster: Raster, label: str) -> list[Picture]:
    """Every way to look at a composite."""
    with raster.opened() as dataset:
        if dataset.crs is None:
            raise UsageError(f"{raster.path} has no CRS; a composite lies somewhere.")
        bounds, zoom = shown_bounds(degree_bounds(dataset), raster.path), finest_zoom(dataset)
        names = list(dataset.descriptions)
        mixes = {
            mix: tuple(names.index(band) + 1 for band in bands)
            for mix, bands in MIXES.items()
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
            stretch = _stretch(dataset, bands, BRIGHTEST.get(mix, math.inf))
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
    return stretch_of(values.compressed(), brightest)


def stretch_of(values: NDArray[Any], brightest: float) -> tuple[float, float]:
    """Values shown as black and white: the 2nd and the 98th percentile, or less."""
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = np.minimum(np.percentile(known, (2, 98)), (brightest / 2, brightest))
    return float(low), float(max(high, low + 1e-6))
