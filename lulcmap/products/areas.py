"""Areas of the classes of a map, of the whole or by region."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.evaluation import ClassMap, open_class_map, pixel_areas, read_points
from lulcmap.geo import has_known_areas
from lulcmap.legend import NODATA
from lulcmap.products.adjusted import Adjusted, ReferenceSample
from lulcmap.products.coverage import all_classes, covered_box, covered_classes
from lulcmap.products.maps import check_one_map, class_colours, class_names
from lulcmap.products.regions import NamedRegions, load_named_regions, told
from lulcmap.system import Progress, no_progress

WHOLE = "all"
"""Region of the rows of a whole map."""

NOT_MAPPED = "not mapped"
"""Class of the part of a region without a class."""

_ROUNDING = 1e-5
"""Share of a region that its area and the sum of its pixels may differ by."""

_ROUNDING_PX = 0.01
"""Pixels by which a region may lie beyond the map's edge and still count as within it."""


@dataclass(frozen=True, slots=True)
class AreaRow:
    """The area of one class in one region."""

    region: str
    """Name of the region; ``"all"`` for the whole map."""

    class_id: int | None
    """Value of the class in the map; None for what is not mapped."""

    name: str
    """Name of the class."""

    pixels: float | None
    """Pixels, those at a border in part; None where some lie beyond the map."""

    ha: float
    """Hectares on the WGS 84 ellipsoid."""

    percent: float | None
    """Percent of the mapped area of the region; None for what is not mapped."""

    adjusted: Adjusted | None = None
    """The area that a reference sample gives; None without one."""

    @property
    def km2(self) -> float:
        """Square kilometres."""
        return self.ha / 100

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON values, its columns in order."""
        return {
            "region": self.region,
            "class_id": self.class_id,
            "class": self.name,
            "pixels": None if self.pixels is None else round(self.pixels, 3),
            "ha": round(self.ha, 4),
            "km2": round(self.km2, 6),
            "percent": None if self.percent is None else round(self.percent, 4),
            **({} if self.adjusted is None else self.adjusted.to_json()),
        }


@dataclass(frozen=True)
class AreaTable:
    """Areas by region and class."""

    title: str
    """Names of the map's files."""

    rows: tuple[AreaRow, ...]
    """A row for each region and class that occurs in some region, and for what is not mapped."""

    colours: Mapping[int, tuple[int, int, int]]
    """Red, green and blue of the classes."""

    regions: NamedRegions | None
    """The regions; None for a whole map."""

    notes: tuple[str, ...]
    """What a reader has to know, in sentences."""

    def by_region(self) -> dict[str, list[AreaRow]]:
        """The rows of each region."""
        groups: dict[str, list[AreaRow]] = {}
        for row in self.rows:
            groups.setdefault(row.region, []).append(row)
        return groups

    def to_json(self) -> dict[str, Any]:
        """The table as plain JSON values."""
        return {"rows": [row.to_json() for row in self.rows], "notes": list(self.notes)}


@dataclass(slots=True)
class _Sums:
    """What the windows of the maps add up to."""

    pixels: NDArray[np.float64]
    """(R, 256) pixels by region and value."""

    square_metres: NDArray[np.float64]
    """(R, 256) their areas."""

    whole: NDArray[np.float64]
    """(256,) square metres of the whole maps, by value; zeros if only regions were counted."""

    inside: NDArray[np.bool_]
    """(R,) whether the region lies within the pixels of the one map."""


def measure_areas(
    maps: str | Path | Sequence[str | Path],
    *,
    regions: str | Path | None = None,
    region_column: str | None = None,
    layer: str | None = None,
    accuracy: str | Path | None = None,
    progress: Progress = no_progress,
) -> AreaTable:
    """Measure the area of each class of a map, of the whole or by region.

    Pixels have their true areas on the WGS 84 ellipsoid, whatever the CRS of the map; a pixel at
    the border of a region counts with the exact share that the region covers. Memory does not
    depend on the size of the map.

    Args:
        maps: path of a map, or of all files of one map whose area has distant parts.
        regions: path of a vector file with polygons, in any CRS; None measures the whole map.
        region_column: column with their names; None takes the one that looks like it.
        layer: layer of the file, where it has several.
        accuracy: path of the folder that an evaluation of this map against a labelled sample
            wrote, for error-adjusted areas; None for none.
        progress: called with a stage's name, how many windows are done, and how many there are.

    Returns:
        The table; ``write_areas`` writes it, ``draw_areas`` draws it.

    Raises:
        UsageError: a file cannot be read, is no class map, or does not fit the others.

    """
    paths = [Path(one) for one in ([maps] if isinstance(maps, str | Path) else maps)]
    if not paths:
        raise UsageError("No map is given; give the file of one.")
    if accuracy is not None and len(paths) > 1:
        raise UsageError(
            f"A sample belongs to one file of a map, and there are {len(paths)}. Measure the files "
            "one by one, each with its own accuracy."
        )
    named = None
    if regions is not None:
        named = load_named_regions(Path(regions), column=region_column, layer=layer)
    points = None if accuracy is None else read_points(Path(accuracy))
    with ExitStack() as stack:
        class_maps = [stack.enter_context(open_class_map(path)) for path in paths]
        for class_map in class_maps:
            if not has_known_areas(class_map.crs):
                raise UsageError(f"{class_map.path} has a CRS with unknown areas; warp it to UTM.")
        check_one_map(class_maps)
        sums = _sum(class_maps, named, whole=points is not None, progress=progress)
        names, notes = class_names(class_maps, np.flatnonzero(sums.pixels.sum(axis=0)[:NODATA]))
        sample = None
        if points is not None:
            sample = ReferenceSample.of(points, class_maps[0], names, sums.whole[:NODATA])
        colours = class_colours(class_maps[0])
    rows, more = _rows(sums, names, named, sample)
    return AreaTable(
        ", ".join(path.name for path in paths),
        tuple(rows),
        colours,
        named,
        (*notes, *(named.notes if named else ()), *(named.overlap_note() if named else ()), *more),
    )


def _sum(
    class_maps: Sequence[ClassMap],
    named: NamedRegions | None,
    *,
    whole: bool,
    progress: Progress,
) -> _Sums:
    """Add up all windows of all maps.

    Args:
        class_maps: the maps.
        named: the regions; None for the whole maps.
        whole: whether to count the whole maps too.
        progress: called with the progress.

    """
    count = len(named.names) if named else 1
    sums = _Sums(
        np.zeros((count, 256)), np.zeros((count, 256)), np.zeros(256), np.zeros(count, np.bool_)
    )
    boxes = [class_map.boxes() for class_map in class_maps]
    done, total = 0, sum(map(len, boxes))
    for class_map, windows in zip(class_maps, boxes, strict=True):
        edges = named.on_map(class_map) if named else []
        if len(class_maps) == 1:
            sums.inside[:] = [_within(one, class_map.shape) for one in edges] or [True]
        for box in windows:
            _add_window(sums, class_map, box, edges, whole=whole or named is None)
            done += 1
            progress("measuring", done, total)
    if named is None:
        sums.square_metres[0] = sums.whole
    return sums


def _within(edges: NDArray[np.float64], shape: tuple[int, int]) -> bool:
    """Whether some edges lie within a map of a shape, but for rounding."""
    corners = edges.reshape(-1, 2)
    most = np.array(shape[::-1]) + _ROUNDING_PX
    return bool(len(corners) and (corners >= -_ROUNDING_PX).all() and (corners <= most).all())


def _add_window(
    sums: _Sums,
    class_map: ClassMap,
    box: tuple[int, int, int, int],
    edges: Sequence[NDArray[np.float64]],
    *,
    whole: bool,
) -> None:
    """Add one window of a map to the sums, reading it only if something of it counts."""
    parts = [(i, part) for i, one in enumerate(edges) if (part := covered_box(one, box))]
    if not parts and not whole:
        return
    values = class_map.window(*box)
    if not parts and (values == NODATA).all():
        return
    areas = pixel_areas(class_map, box)
    if whole:
        pixels, square_metres = all_classes(values, areas)
        sums.whole += square_metres
        if not edges:
            sums.pixels[0] += pixels
    for i, part in parts:
        rows = slice(part[0] - box[0], part[0] - box[0] + part[2])
        cols = slice(part[1] - box[1], part[1] - box[1] + part[3])
        pixels, square_metres = covered_classes(
            values[rows, cols], areas[rows, cols], edges[i], part
        )
        sums.pixels[i] += pixels
        sums.square_metres[i] += square_metres


def _rows(
    sums: _Sums,
    names: Mapping[int, str],
    named: NamedRegions | None,
    sample: ReferenceSample | None,
) -> tuple[list[AreaRow], list[str]]:
    """The rows of the table, and notes on them."""
    regions = named.names if named else (WHOLE,)
    if not sums.pixels[:, :NODATA].any():
        raise UsageError(_nothing(named))
    mapped = sums.square_metres[:, :NODATA].sum(axis=1)
    missing = _missing(sums, named, mapped)
    rows: list[AreaRow] = []
    notes: list[str] = []
    estimates: list[Mapping[int, Adjusted]] = [{} for _ in regions]
    values = sorted(np.flatnonzero(sums.pixels.sum(axis=0)[:NODATA]).tolist())
    if sample is not None:
        estimates, notes = sample.adjust(named, sums.square_metres[:, :NODATA])
        values = sorted({*values, *sample.values})
    for i, region in enumerate(regions):
        for value in values:
            square_metres = float(sums.square_metres[i, value])
            rows.append(
                AreaRow(
                    region,
                    value,
                    names[value],
                    float(sums.pixels[i, value]),
                    square_metres / 1e4,
                    100 * square_metres / float(mapped[i]) if mapped[i] else None,
                    estimates[i].get(value),
                )
            )
        if named and missing[i]:
            pixels = float(sums.pixels[i, NODATA]) if sums.inside[i] else None
            unknown = None if sample is None else Adjusted(None, None, "")
            rows.append(AreaRow(region, None, NOT_MAPPED, pixels, missing[i] / 1e4, None, unknown))
    return rows, [*notes, *_coverage_notes(named, mapped, missing)]


def _missing(
    sums: _Sums, named: NamedRegions | None, mapped: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(R,) square metres of each region that are not mapped.

    Within the map these are its pixels without a class. Beyond it there are none to count, so they
    are what the mapped pixels leave of the region's own area.
    """
    if named is None:
        return np.zeros(1)
    left = named.square_metres - mapped
    left[left < _ROUNDING * named.square_metres] = 0
    return np.where(sums.inside, sums.square_metres[:, NODATA], left)


def _coverage_notes(
    named: NamedRegions | None, mapped: NDArray[np.float64], missing: NDArray[np.float64]
) -> Iterator[str]:
    """Sentences on the regions that are not mapped, or not whole."""
    if named is None:
        return
    outside = [named.names[i] for i in np.flatnonzero(mapped == 0).tolist()]
    if outside:
        yield f"Regions of which nothing is mapped ({len(outside):,}): {told(outside)}."
    share = mapped / np.maximum(mapped + missing, 1e-9)
    partly = np.flatnonzero((mapped > 0) & (share < 0.999)).tolist()
    if partly:
        text = told([f"{named.names[i]} {share[i]:.1%}" for i in partly])
        yield (
            f"Regions that are mapped in part ({len(partly):,}), their percentages are of this "
            f"part: {text}."
        )


def _nothing(named: NamedRegions | None) -> str:
    if named is None:
        return "The map has no pixel with a class; there is nothing to measure."
    return (
        f"No region of {named.path} lies on a mapped pixel. They may lie elsewhere, or their CRS "
        f"({named.crs.name}) may be wrong."
    )
