"""Count pairs of neighbours across the borders of UTM zones: meridians and the equator."""

import numpy as np
from numpy.typing import NDArray

from lulcmap.evaluation.seams.counts import STRETCH_PX, BorderCounts, Crossings, stretch_ids
from lulcmap.evaluation.seams.lines import AWAY_PX, Lines
from lulcmap.evaluation.seams.rasters import Patch
from lulcmap.geo import RESOLUTION_M, transformer, zone_pixels
from lulcmap.legend import NODATA

HALO_PX = AWAY_PX + 2
"""Pixels around a patch that hold the pairs away from its borders."""

_STEP_DEG = 1e-4
"""Degrees from a pixel to a point that shows in which direction a border is crossed; 11 m."""

_Places = NDArray[np.int64]
"""(2, N) rows and columns of pixels of a patch."""


def count_zone_borders(
    patch: Patch, zones: NDArray[np.int64], *, lines: Lines, counts: BorderCounts
) -> None:
    """Count a patch's pairs whose pixels lie in two zones, and pairs 32 pixels from them.

    Each pixel of a pair was classified at the centre of a pixel of its zone. Across a border these
    centres lie 0 to 2 pixels apart, more than one on average. The chance that two places differ
    grows with their distance, so changes are counted per distance.

    Args:
        patch: patch of a map, with ``HALO_PX`` pixels around its core.
        zones: (H, W) EPSG code of each pixel's zone, 0 for none.
        lines: lines that the pairs away from the border must not cross.
        counts: counts of zone borders.

    """
    good = (patch.values != NODATA) & (zones > 0)
    sources = _sources(patch, zones)
    for first, second in patch.pairs():
        crossing = good[first] & good[second] & (zones[first] != zones[second])
        one = _places(crossing, first)
        if not one.size:
            continue
        other = one + np.array([[b.start - a.start] for a, b in zip(first, second, strict=True)])
        stretch = _stretches(patch, zones, one, other)
        beside = _across(patch, zones, one, other)
        for shift in (np.zeros_like(beside), beside, -beside):
            away = bool(shift.any())
            chosen = _inside(patch, one + shift) & _inside(patch, other + shift)
            here, there = (one + shift)[:, chosen], (other + shift)[:, chosen]
            usable = good[*here] & good[*there]
            if away:
                usable &= (zones[*here] == zones[*there]) & ~_cut(sources, here, there, lines)
            here, there = here[:, usable], there[:, usable]
            x, y = patch.centres(*here)
            pairs = Crossings(
                stretch[chosen][usable],
                np.full(here.shape[1], away),
                _lengths(zones, sources, here, there),
                patch.values[*here] != patch.values[*there],
                x,
                y,
            )
            counts.add(pairs, patch.to_degrees)


def _sources(patch: Patch, zones: NDArray[np.int64]) -> NDArray[np.int64]:
    """(2, H, W) row and column, in its own zone, of the pixel that each pixel was taken from."""
    sources = np.zeros((2, *zones.shape), np.int64)
    for code in np.unique(zones[zones > 0]).tolist():
        mine = zones == code
        pixels = zone_pixels(patch.grid, transformer(str(patch.grid.crs), f"EPSG:{code}"))
        sources[:, mine] = [axis[mine] for axis in pixels]
    return sources


def _places(chosen: NDArray[np.bool_], origin: tuple[slice, slice]) -> _Places:
    row, col = np.nonzero(chosen)
    return np.stack([row + origin[0].start, col + origin[1].start])


def _inside(patch: Patch, places: _Places) -> NDArray[np.bool_]:
    """Which places are in the patch."""
    height, width = patch.values.shape
    row, col = places
    return (row >= 0) & (row < height) & (col >= 0) & (col < width)


def _along_meridian(zones: NDArray[np.int64], one: _Places, other: _Places) -> NDArray[np.bool_]:
    """Whether the border between two pixels is a meridian; otherwise it is the equator."""
    north: NDArray[np.bool_] = zones[*one] // 100 == zones[*other] // 100
    return north


def _stretches(
    patch: Patch, zones: NDArray[np.int64], one: _Places, other: _Places
) -> NDArray[np.int64]:
    """Ids of the stretches of border that pairs cross."""
    x, y = patch.centres(*one)
    affine = patch.grid.affine
    along = np.where(_along_meridian(zones, one, other), y / affine.e, x / affine.a) // STRETCH_PX
    low, high = np.sort([zones[*one], zones[*other]], axis=0) - 32600
    return stretch_ids(256 * low + high, 0, along.astype(np.int64))


def _across(patch: Patch, zones: NDArray[np.int64], one: _Places, other: _Places) -> _Places:
    """(2, N) rows and columns from pairs to those ``AWAY`` pixels further, across the border."""
    x, y = patch.centres(*one)
    lon, lat = patch.to_degrees.transform(x, y)
    meridian = _along_meridian(zones, one, other)
    from_degrees = transformer("EPSG:4326", str(patch.grid.crs))
    beyond = from_degrees.transform(lon + _STEP_DEG * meridian, lat + _STEP_DEG * ~meridian)
    affine = patch.grid.affine
    step = np.stack([(beyond[1] - y) / affine.e, (beyond[0] - x) / affine.a])
    return np.round(AWAY_PX * step / np.hypot(*step)).astype(np.int64)


def _cut(
    sources: NDArray[np.int64], here: _Places, there: _Places, lines: Lines
) -> NDArray[np.bool_]:
    """Which pairs, each within one zone, lie on both sides of a line."""
    cut = np.zeros(here.shape[1], bool)
    for axis in sources:
        low, high = np.sort([axis[*here], axis[*there]], axis=0)
        for back in (0, 1):  # a map's pixel may skip one of the zone's
            cut |= (high - back > low) & lines.any(high - back)
    return cut


def _lengths(
    zones: NDArray[np.int64], sources: NDArray[np.int64], here: _Places, there: _Places
) -> NDArray[np.float64]:
    """Distances between the pixels that two pixels were taken from, pixels of the first's zone."""
    begin, end = sources[:, *here] + 0.5, sources[:, *there] + 0.5
    codes = np.stack([zones[*here], zones[*there]])
    for source, target in np.unique(codes[:, codes[0] != codes[1]], axis=1).T[:, ::-1].tolist():
        moved = (codes[0] == target) & (codes[1] == source)
        to_first = transformer(f"EPSG:{source}", f"EPSG:{target}")
        x, y = to_first.transform(RESOLUTION_M * end[1, moved], -RESOLUTION_M * end[0, moved])
        end[:, moved] = np.stack([-y, x]) / RESOLUTION_M
    distances: NDArray[np.float64] = np.hypot(*(end - begin))
    return distances
