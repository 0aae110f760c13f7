"""Places and splits: labels that show the same ground never lie in different splits."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from scipy.cluster.hierarchy import DisjointSet

from lulcmap.dataset.chips import Split
from lulcmap.dataset.sample import Sample
from lulcmap.geo import footprint

_EDGE = 5.0
"""Metres that a footprint is shrunk by: tiles that only touch share no ground, also where the edge
of one is bent in the zone of the other."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where samples are, and for what."""

    of: Mapping[str, str]
    """By sample, its place."""

    split: Mapping[str, Split]
    """By sample; those left out have none."""

    left_out: Mapping[str, str]
    """Samples that show ground of a test tile, and which one's."""


def arrange(samples: Sequence[Sample], *, validation: float, test: float = 0.0) -> Places:
    """Put samples that overlap into one place, and each place into one split.

    A place's split depends on the place alone, not on the order or the number of the others. Where
    none would be for validation, one is.

    Args:
        samples: in any order.
        validation: share of the places that training is stopped by, 0 to 1.
        test: share of the places to test with, besides the hold-out.

    """
    names = {sample.name: sample for sample in samples}
    groups = _components(samples)
    of, split = dict[str, str](), dict[str, Split]()
    left_out: dict[str, str] = {}
    draws: dict[str, float] = {}
    for group in groups:
        place = _name(samples[min(group, key=lambda i: _key(samples[i]))])
        of |= {samples[i].name: place for i in group}
        held = sorted(samples[i].name for i in group if samples[i].is_test)
        if held:
            split |= dict.fromkeys(held, "test")
            left_out |= {
                samples[i].name: f"it shares ground with the hold-out's {names[held[0]].source}"
                for i in group
                if not samples[i].is_test
            }
        else:
            draws[place] = _draw(place)
    chosen: dict[str, Split] = {
        place: "test" if draw < test else "validation" if draw < test + validation else "train"
        for place, draw in draws.items()
    }
    learnt = sorted((draws[place], place) for place, to in chosen.items() if to == "train")
    if validation > 0 and "validation" not in chosen.values() and len(learnt) > 1:
        chosen[learnt[0][1]] = "validation"
    split |= {name: chosen[place] for name, place in of.items() if place in chosen}
    return Places(of, split, left_out)


def _draw(place: str) -> float:
    """0 to 1, evenly, of a place's name."""
    return int.from_bytes(hashlib.sha256(place.encode()).digest()[:8], "big") / 2**64


def middle(grid: GeoBox) -> tuple[float, float]:
    """Longitude and latitude of a grid's middle, degrees."""
    height, width = grid.shape
    x, y = grid.affine @ (width / 2, height / 2)
    lon, lat = Transformer.from_crs(str(grid.crs), 4326, always_xy=True).transform(x, y)
    return float(lon), float(lat)


def _key(sample: Sample) -> tuple[float, ...]:
    lon, lat = middle(sample.grid)
    return round(lat, 4), round(lon, 4)


def _name(sample: Sample) -> str:
    lat, lon = _key(sample)
    return f"{abs(lat):07.4f}{'NS'[lat < 0]}{abs(lon):08.4f}{'EW'[lon < 0]}"


def _components(samples: Sequence[Sample]) -> list[list[int]]:
    """Groups of samples that are linked by overlaps."""
    linked = DisjointSet(range(len(samples)))
    for one, other in overlaps([sample.grid for sample in samples]):
        linked.merge(one, other)
    groups: dict[int, list[int]] = {}
    for i in range(len(samples)):
        groups.setdefault(linked[i], []).append(i)
    return list(groups.values())


def overlaps(grids: Sequence[GeoBox]) -> list[tuple[int, int]]:
    """Pairs of grids that share ground, of whatever UTM zones.

    Args:
        grids: each in a UTM zone.

    """
    boxes, owners = [], []
    for number, grid in enumerate(grids):
        west, south, east, north = footprint(grid)
        east += 360 * (east < west)
        for turn in (-360, 0, 360):  # once more on the other side, for those at 180 degrees
            if west + turn < 360 and east + turn > -180:
                boxes.append(shapely.box(west + turn, south, east + turn, north))
                owners.append(number)
    tree = shapely.STRtree(boxes)
    near = {
        (min(pair), max(pair))
        for i, j in tree.query(boxes, predicate="intersects").T.tolist()
        if (pair := (owners[i], owners[j])) and pair[0] != pair[1]
    }
    return [(i, j) for i, j in sorted(near) if _share(grids[i], grids[j])]


def _share(one: GeoBox, other: GeoBox) -> bool:
    """Whether two grids share ground, looked at in the first one's zone."""
    mine, theirs = _outline(one), _outline(other)
    if one.crs != other.crs:
        to_mine = Transformer.from_crs(str(other.crs), str(one.crs), always_xy=True)
        theirs = shapely.transform(
            shapely.segmentize(theirs, 500), lambda xy: np.column_stack(to_mine.transform(*xy.T))
        )
        if not all(map(math.isfinite, theirs.bounds)):
            return False
    return bool(mine.intersects(theirs))


def _outline(grid: GeoBox) -> shapely.Polygon:
    left, bottom, right, top = grid.boundingbox.bbox
    return shapely.box(left + _EDGE, bottom + _EDGE, right - _EDGE, top - _EDGE)
