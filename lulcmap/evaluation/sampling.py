"""Draw a stratified random sample of a map, to be labelled.

The strata are the classes of the map; within each, all pixels are equally probable. The map is read
twice in windows: to count the pixels, then to find those whose ranks were drawn. So memory depends
on the sample, not on the map.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.evaluation.classmap import ClassMap, open_class_map
from lulcmap.evaluation.pixel_area import pixel_areas, pixel_lonlat
from lulcmap.geo import has_known_areas
from lulcmap.legend import NODATA
from lulcmap.system import Progress, no_progress

_WINDOW_PX = 2048
"""Side of the windows that are read at once, pixels. The sample depends on it: pixels are ranked
window by window."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """One class of the map."""

    value: int
    """Value of the class in the map."""

    name: str
    """Name of the class."""

    pixels: int
    """Pixels of the class."""

    km2: float
    """True area of these pixels on the ellipsoid, square kilometres."""

    points: int
    """Points in the sample."""

    def to_json(self) -> dict[str, Any]:
        """The stratum as plain JSON values."""
        return {
            "class": self.name,
            "value": self.value,
            "pixels": self.pixels,
            "km2": self.km2,
            "points": self.points,
        }


@dataclass(frozen=True)
class MapSample:
    """A sample, its points in random order."""

    strata: tuple[Stratum, ...]
    """Strata, sorted by value."""

    stratum: NDArray[np.int64]
    """(n,) index of each point's stratum."""

    lon: NDArray[np.float64]
    """(n,) longitude of the pixel's centre, degrees."""

    lat: NDArray[np.float64]
    """(n,) latitude of the pixel's centre, degrees."""

    pixel_m2: NDArray[np.float64]
    """(n,) true area of the pixel, square metres."""


def draw_sample(
    path: Path,
    *,
    size: int,
    min_per_class: int,
    seed: int = 0,
    progress: Progress = no_progress,
) -> MapSample:
    """Draw a stratified random sample of a map.

    Args:
        path: path of the map.
        size: points in all; a class with fewer pixels than its share gives them all.
        min_per_class: points of the rarest class.
        seed: random seed; the same map, size and seed give the same points.
        progress: called with the stage and its progress in windows.

    Raises:
        UsageError: the file is not a class map, is empty, or the size is too small.

    """
    with open_class_map(path) as class_map:
        if not has_known_areas(class_map.crs):
            raise UsageError(f"{path} has a CRS with unknown areas; warp it to UTM.")
        windows = sample_windows(class_map.shape)
        counts = np.zeros((len(windows), NODATA), np.int64)
        square_metres = np.zeros(NODATA)
        for i, box in enumerate(windows):
            values = class_map.window(*box)
            counts[i] = np.bincount(values.ravel(), minlength=256)[:NODATA]
            if counts[i].any():
                each = pixel_areas(class_map, box).ravel()
                square_metres += np.bincount(values.ravel(), each, 256)[:NODATA]
            progress("counting", i + 1, len(windows))
        present = np.flatnonzero(counts.sum(axis=0))
        if not present.size:
            raise UsageError(f"{path} has no pixel with a class; there is nothing to sample.")
        pixels = counts.sum(axis=0)[present]
        points = allocate(square_metres[present], pixels, size=size, min_per_class=min_per_class)
        strata = tuple(
            Stratum(
                int(value),
                class_map.legend.get(int(value), f"class {value}"),
                int(pixels[i]),
                float(square_metres[value] / 1e6),
                int(points[i]),
            )
            for i, value in enumerate(present)
        )
        return _draw_points(class_map, windows, counts[:, present], strata, seed, progress)


def allocate(
    sizes: NDArray[np.float64], pixels: NDArray[np.int64], *, size: int, min_per_class: int
) -> NDArray[np.int64]:
    """Allocate the points to the strata.

    As Olofsson et al. (2014), section 5.1.1, recommend: rare classes get a fixed number, so that
    their user's accuracy is precise enough; the others share the rest by area.

    Args:
        sizes: (S,) areas of the strata, any unit.
        pixels: (S,) pixels of the strata; no stratum gets more points than pixels.
        size: points in all.
        min_per_class: least points of each stratum.

    Returns:
        (S,) points; together ``size``, or all pixels if there are fewer.

    Raises:
        UsageError: the size is too small for so many strata.

    Examples:
        >>> allocate(np.array([2, 1.5, 32, 64.5]), np.full(4, 10**6), size=640, min_per_class=75)
        array([ 75,  75, 162, 328])

    """
    if size < min_per_class * len(sizes):
        raise UsageError(
            f"--size {size} is too small: {len(sizes)} classes need at least "
            f"{min_per_class} points each, {min_per_class * len(sizes)} in all. Give a larger "
            "--size or a smaller --min-per-class."
        )
    floor = np.minimum(min_per_class, pixels)
    points = np.zeros(len(sizes), np.int64)
    fixed = np.zeros(len(sizes), bool)
    while not fixed.all():
        left = size - points[fixed].sum()
        share = np.where(fixed, 0, sizes / sizes[~fixed].sum() * left)
        off = ~fixed & ((share < floor) | (share > pixels))
        if not off.any():
            points[~fixed] = _round_shares(share[~fixed], int(left))
            break
        low = off & (share < floor)
        # The rare ones first: they reduce what is left for the large ones.
        chosen = low if low.any() else off
        points[chosen] = np.where(share < floor, floor, pixels)[chosen]
        fixed |= chosen
    return points


def _round_shares(shares: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Integers near the shares that add up to the total: the largest remainders are rounded up."""
    whole = np.floor(shares).astype(np.int64)
    up = np.argsort(whole - shares, kind="stable")[: total - int(whole.sum())]
    whole[up] += 1
    return whole


def sample_windows(shape: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Row, column, height and width of the windows of a map, row by row."""
    height, width = shape
    return [
        (row, col, min(_WINDOW_PX, height - row), min(_WINDOW_PX, width - col))
        for row in range(0, height, _WINDOW_PX)
        for col in range(0, width, _WINDOW_PX)
    ]


def _draw_points(
    class_map: ClassMap,
    windows: list[tuple[int, int, int, int]],
    counts: NDArray[np.int64],
    strata: tuple[Stratum, ...],
    seed: int,
    progress: Progress,
) -> MapSample:
    """Draw ranks in each stratum, and find the pixels that have them.

    Args:
        class_map: the map.
        windows: row, column, height and width of its windows.
        counts: (windows, S) pixels of each stratum by window.
        strata: strata, with the number of points of each.
        seed: random seed of the ranks and of the order.
        progress: called with the progress, as in ``draw_sample``.

    """
    before = np.cumsum(counts, axis=0) - counts
    ranks = [
        np.sort(np.random.default_rng([seed, one.value]).choice(one.pixels, one.points, False))
        for one in strata
    ]
    parts = []
    for i, box in enumerate(windows):
        in_window = [
            rank[(rank >= before[i, s]) & (rank < before[i, s] + counts[i, s])] - before[i, s]
            for s, rank in enumerate(ranks)
        ]
        if any(rank.size for rank in in_window):
            values = class_map.window(*box).ravel()
            each = pixel_areas(class_map, box).ravel()
            for s, rank in enumerate(in_window):
                at = np.flatnonzero(values == strata[s].value)[rank]
                rows, cols = np.divmod(at, box[3])
                stratum = np.full(len(at), s)
                parts.append(np.stack([stratum, rows + box[0], cols + box[1], each[at]]))
        progress("drawing", i + 1, len(windows))
    stratum, rows, cols, pixel = np.concatenate(parts, axis=1)
    order = np.random.default_rng([seed, NODATA]).permutation(len(rows))
    lon, lat = pixel_lonlat(class_map, rows[order] + 0.5, cols[order] + 0.5)
    return MapSample(strata, stratum[order].astype(np.int64), lon, lat, pixel[order])
