"""A stratified random sample of a map, to be labelled.

The strata are the classes of the map; within each, all pixels are equally probable. The map is read
twice in windows: to count, then to find the pixels whose ranks were drawn. So memory depends on the
sample, not on the map.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray

from lulcmap.errors import OutputError, UsageError
from lulcmap.evaluation.classmap import ClassMap, opened
from lulcmap.evaluation.pixel_area import areas, degrees, measurable
from lulcmap.evaluation.stratified import AREA, PIXEL_AREA, PIXELS, STRATUM
from lulcmap.legend import NODATA
from lulcmap.system import Progress, no_progress, replacing

_WINDOW = 2048
"""Pixels a side of what is read at once. The sample depends on it, for ranks follow the windows."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """One class of the map."""

    value: int
    """In the map."""

    name: str
    """Of the class."""

    pixels: int
    """That have it."""

    km2: float
    """Their true area, on the ellipsoid."""

    points: int
    """Drawn."""


@dataclass(frozen=True)
class Drawn:
    """A sample, its points in random order."""

    strata: tuple[Stratum, ...]
    """By value."""

    stratum: NDArray[np.int64]
    """(n,) index of each point's stratum."""

    lon: NDArray[np.float64]
    """(n,) of the pixel's centre, degrees."""

    lat: NDArray[np.float64]
    """(n,) of the pixel's centre, degrees."""

    pixel_m2: NDArray[np.float64]
    """(n,) true area of the pixel, square metres."""


def draw_sample(
    path: Path,
    *,
    size: int,
    least: int,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Drawn:
    """A stratified random sample of a map.

    Args:
        path: the map.
        size: points in all; a class with fewer pixels than its share gives them all.
        least: points of the rarest class.
        seed: the same map, size and seed give the same points.
        progress: told the stage, and how many windows of how many are done.

    Raises:
        UsageError: the file is no class map, is empty, or the size is too small.

    """
    with opened(path) as given:
        if not measurable(given.crs):
            raise UsageError(f"{path} has a CRS in which areas are not known; warp it to UTM.")
        windows = _windows(given.shape)
        counts = np.zeros((len(windows), NODATA), np.int64)
        square_metres = np.zeros(NODATA)
        for i, box in enumerate(windows):
            values = given.window(*box)
            counts[i] = np.bincount(values.ravel(), minlength=256)[:NODATA]
            if counts[i].any():
                each = areas(given, box).ravel()
                square_metres += np.bincount(values.ravel(), each, 256)[:NODATA]
            progress("counting", i + 1, len(windows))
        there = np.flatnonzero(counts.sum(axis=0))
        if not there.size:
            raise UsageError(f"{path} has no pixel with a class; there is nothing to sample.")
        pixels = counts.sum(axis=0)[there]
        points = allocate(square_metres[there], pixels, size=size, least=least)
        strata = tuple(
            Stratum(
                int(value),
                given.legend.get(int(value), f"class {value}"),
                int(pixels[i]),
                float(square_metres[value] / 1e6),
                int(points[i]),
            )
            for i, value in enumerate(there)
        )
        return _located(given, windows, counts[:, there], strata, seed, progress)


def allocate(
    sizes: NDArray[np.float64], pixels: NDArray[np.int64], *, size: int, least: int
) -> NDArray[np.int64]:
    """How many points each stratum gets.

    As Olofsson et al. (2014), section 5.1.1, recommend: rare classes get a fixed number, so that
    their user's accuracy is known well enough; the others share the rest by area.

    Args:
        sizes: (S,) areas of the strata, any unit.
        pixels: (S,) of the strata; none gives more points.
        size: points in all.
        least: of each stratum.

    Returns:
        (S,) points; together ``size``, or all pixels if there are fewer.

    Raises:
        UsageError: the size is too small for so many strata.

    Examples:
        >>> allocate(np.array([2, 1.5, 32, 64.5]), np.full(4, 10**6), size=640, least=75)
        array([ 75,  75, 162, 328])

    """
    if size < least * len(sizes):
        raise UsageError(
            f"--size {size} is too small: {len(sizes)} classes with at least {least} points each "
            f"need {least * len(sizes)}. Give a larger --size or a smaller --min-per-class."
        )
    floor = np.minimum(least, pixels)
    points = np.zeros(len(sizes), np.int64)
    fixed = np.zeros(len(sizes), bool)
    while not fixed.all():
        left = size - points[fixed].sum()
        share = np.where(fixed, 0, sizes / sizes[~fixed].sum() * left)
        off = ~fixed & ((share < floor) | (share > pixels))
        if not off.any():
            points[~fixed] = _rounded(share[~fixed], int(left))
            break
        low = off & (share < floor)
        # The rare ones first: what they take is not there for the large ones any more.
        chosen = low if low.any() else off
        points[chosen] = np.where(share < floor, floor, pixels)[chosen]
        fixed |= chosen
    return points


def _rounded(shares: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Whole numbers near the shares that add up to the total: the largest remainders go up."""
    whole = np.floor(shares).astype(np.int64)
    up = np.argsort(whole - shares, kind="stable")[: total - int(whole.sum())]
    whole[up] += 1
    return whole


def _windows(shape: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Row, column, height and width of the windows of a map, row by row."""
    height, width = shape
    return [
        (row, col, min(_WINDOW, height - row), min(_WINDOW, width - col))
        for row in range(0, height, _WINDOW)
        for col in range(0, width, _WINDOW)
    ]


def _located(
    given: ClassMap,
    windows: list[tuple[int, int, int, int]],
    counts: NDArray[np.int64],
    strata: tuple[Stratum, ...],
    seed: int,
    progress: Progress,
) -> Drawn:
    """Draw ranks in each stratum, and find the pixels that have them.

    Args:
        given: the map.
        windows: of it.
        counts: (windows, S) pixels.
        strata: with how many points each gets.
        seed: of the ranks and of the order.
        progress: as of ``draw_sample``.

    """
    before = np.cumsum(counts, axis=0) - counts
    ranks = [
        np.sort(np.random.default_rng([seed, one.value]).choice(one.pixels, one.points, False))
        for one in strata
    ]
    parts = []
    for i, box in enumerate(windows):
        wanted = [
            rank[(rank >= before[i, s]) & (rank < before[i, s] + counts[i, s])] - before[i, s]
            for s, rank in enumerate(ranks)
        ]
        if any(rank.size for rank in wanted):
            values = given.window(*box).ravel()
            each = areas(given, box).ravel()
            for s, rank in enumerate(wanted):
                at = np.flatnonzero(values == strata[s].value)[rank]
                rows, cols = np.divmod(at, box[3])
                stratum = np.full(len(at), s)
                parts.append(np.stack([stratum, rows + box[0], cols + box[1], each[at]]))
        progress("drawing", i + 1, len(windows))
    stratum, rows, cols, pixel = np.concatenate(parts, axis=1)
    order = np.random.default_rng([seed, NODATA]).permutation(len(rows))
    lon, lat = degrees(given, rows[order] + 0.5, cols[order] + 0.5)
    return Drawn(strata, stratum[order].astype(np.int64), lon, lat, pixel[order])


def check_sample_path(out: Path, *, overwrite: bool) -> None:
    """See that a sample may be written there, before anything takes time.

    Raises:
        OutputError: the file is there, or its folder is not.

    """
    if out.exists() and not overwrite:
        raise OutputError(
            f"{out} exists, maybe with labels in it. Give --overwrite to replace it, or another "
            "--out."
        )
    if not out.absolute().parent.is_dir():
        raise OutputError(f"There is no folder {out.absolute().parent}; make it, or change --out.")


def write_sample(out: Path, drawn: Drawn, *, overwrite: bool = False) -> None:
    """Write the points as a GeoPackage, whole or not at all.

    Its columns begin with ``id`` and the empty ``label``. What would tell the labeller what the map
    says, the stratum, comes last, and the points are in random order.

    Args:
        out: file to write.
        drawn: the points.
        overwrite: whether a file that is there may be replaced.

    Raises:
        OutputError: the file is there, or cannot be written.

    """
    check_sample_path(out, overwrite=overwrite)
    strata = drawn.strata
    columns: Mapping[str, NDArray[np.generic] | NDArray[np.object_]] = {
        "id": np.arange(1, len(drawn.lon) + 1),
        "label": np.full(len(drawn.lon), None, object),
        "lon": drawn.lon,
        "lat": drawn.lat,
        PIXEL_AREA: drawn.pixel_m2,
        STRATUM: np.array([one.value for one in strata])[drawn.stratum],
        PIXELS: np.array([one.pixels for one in strata])[drawn.stratum],
        AREA: np.array([one.km2 for one in strata])[drawn.stratum],
    }
    try:
        with replacing(out) as part:
            pyogrio.raw.write(
                part,
                geometry=shapely.to_wkb(shapely.points(drawn.lon, drawn.lat)),
                field_data=list(columns.values()),
                fields=list(columns),
                layer="sample",
                driver="GPKG",
                geometry_type="Point",
                crs="EPSG:4326",
            )
    except (pyogrio.errors.DataSourceError, OSError) as error:
        raise OutputError(
            f"The sample cannot be written to {out} ({error}). See that the folder is there and "
            "can be written, and the disk is not full."
        ) from error
