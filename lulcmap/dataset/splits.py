"""Places and splits: labels of the same ground never fall into different splits."""

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

_SHRINK_M = 5.0
"""Metres by which a footprint is shrunk: tiles that only touch share no ground, even where the edge
of one is curved in the other's zone."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Place and split of samples."""

    place: Mapping[str, str]
    """Place by sample."""

    split: Mapping[str, Split]
    """Split by sample; samples that are left out have none."""

    left_out: Mapping[str, str]
    """Reason by sample that is left out: it shows ground of a test tile."""


def assign_splits(samples: Sequence[Sample], *, validation: float, test: float = 0.0) -> Assignment:
    """Put samples that overlap into one place, and each place into one split.

    A place's split depends on the place alone, not on the order or the number of the others. If no
    place would fall into validation, one does.

    Args:
        samples: samples in any order.
        validation: share of the places for validation, which decides when training stops, 0 to 1.
        test: share of the places for testing, besides the hold-out, 0 to 1.

    """
    by_name = {sample.name: sample for sample in samples}
    places, splits = dict[str, str](), dict[str, Split]()
    left_out: dict[str, str] = {}
    draws: dict[str, float] = {}
    for group in _components(samples):
        place = _place_name(samples[min(group, key=lambda i: _sort_key(samples[i]))])
        places |= {samples[i].name: place for i in group}
        held_out = sorted(samples[i].name for i in group if samples[i].is_test)
        if held_out:
            splits |= dict.fromkeys(held_out, "test")
            reason = f"it shares ground with the hold-out's {by_name[held_out[0]].source}"
            left_out |= {samples[i].name: reason for i in group if not samples[i].is_test}
        else:
            draws[place] = _fraction(place)
    split_of: dict[str, Split] = {
        place: "test" if draw < test else "validation" if draw < test + validation else "train"
        for place, draw in draws.items()
    }
    training = sorted((draws[place], place) for place, to in split_of.items() if to == "train")
    if validation > 0 and "validation" not in split_of.values() and len(training) > 1:
        split_of[training[0][1]] = "validation"
    splits |= {name: split_of[place] for name, place in places.items() if place in split_of}
    return Assignment(places, splits, left_out)


def _fraction(place: str) -> float:
    """A number from 0 to 1, evenly distributed, from a place's name."""
    return int.from_bytes(hashlib.sha256(place.encode()).digest()[:8], "big") / 2**64


def grid_centre(grid: GeoBox) -> tuple[float, float]:
    """Longitude and latitude of a grid's centre, degrees."""
    height, width = grid.shape
    x, y = grid.affine @ (width / 2, height / 2)
    lon, lat = Transformer.from_crs(str(grid.crs), 4326, always_xy=True).transform(x, y)
    return float(lon), float(lat)


def _sort_key(sample: Sample) -> tuple[float, ...]:
    lon, lat = grid_centre(sample.grid)
    return round(lat, 4), round(lon, 4)


def _place_name(sample: Sample) -> str:
    lat, lon = _sort_key(sample)
    return f"{abs(lat):07.4f}{'NS'[lat < 0]}{abs(lon):08.4f}{'EW'[lon < 0]}"


def _components(samples: Sequence[Sample]) -> list[list[int]]:
    """Indices of samples in groups that overlaps connect."""
    linked = DisjointSet(range(len(samples)))
    for one, other in overlapping_pairs([sample.grid for sample in samples]):
        linked.merge(one, other)
    groups: dict[int, list[int]] = {}
    for i in range(len(samples)):
        groups.setdefault(linked[i], []).append(i)
    return list(groups.values())


def overlapping_pairs(grids: Sequence[GeoBox]) -> list[tuple[int, int]]:
    """Pairs of grids that share ground, also across UTM zones.

    Args:
        grids: grids, each in a UTM zone.

    Returns:
        Pairs of indices, the smaller first, sorted.

    """
    if not grids:
        return []
    boxes, owners = [], []
    for number, grid in enumerate(grids):
        west, south, east, north = footprint(grid)
        east += 360 * (east < west)
        for turn in (-360, 0, 360):  # repeated on the other side, for grids at 180 degrees
            if west + turn < 360 and east + turn > -180:
                boxes.append(shapely.box(west + turn, south, east + turn, north))
                owners.append(number)
    tree = shapely.STRtree(boxes)
    near = {
        (min(pair), max(pair))
        for i, j in tree.query(boxes, predicate="intersects").T.tolist()
        if (pair := (owners[i], owners[j])) and pair[0] != pair[1]
    }
    return [(i, j) for i, j in sorted(near) if _share_ground(grids[i], grids[j])]


def _share_ground(one: GeoBox, other: GeoBox) -> bool:
    """Whether two grids share ground, compared in the first one's zone."""
    outline, other_outline = _outline(one), _outline(other)
    if one.crs != other.crs:
        to_first = Transformer.from_crs(str(other.crs), str(one.crs), always_xy=True)
        other_outline = shapely.transform(
            shapely.segmentize(other_outline, 500),
            lambda xy: np.column_stack(to_first.transform(*xy.T)),
        )
        if not all(map(math.isfinite, other_outline.bounds)):
            return False
    return bool(outline.intersects(other_outline))


def _outline(grid: GeoBox) -> shapely.Polygon:
    left, bottom, right, top = grid.boundingbox.bbox
    return shapely.box(left + _SHRINK_M, bottom + _SHRINK_M, right - _SHRINK_M, top - _SHRINK_M)
