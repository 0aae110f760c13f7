"""What blocks will read, from footprints and cloud covers: the composite's rules without pixels.

A composite reads a scene's bands for the whole block as soon as one pixel needs it, so the pixels
that are filled last decide, not the average one. At each of a few points of a block, datatakes are
added in rank order until hardly any pixel there can lack a clear observation; a scene's cloud cover
is the probability of a cloud.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from lulcmap.catalog import Datatake, SearchResult
from lulcmap.geo import RESOLUTION_M, Box, box_polygons
from lulcmap.imagery import TIFF_HEADER_BYTES
from lulcmap.model import Contract
from lulcmap.planning.estimate.footprints import Footprints, pixel_boxes, to_degrees
from lulcmap.planning.estimate.values import Reads
from lulcmap.planning.job import Job, ZoneJob
from lulcmap.sensors import S1_BANDS, S2_BANDS

ASSET_BYTES_PER_PIXEL: Mapping[str, float] = {"s2": 1.65, "SCL": 0.1, "s1": 2.8}
"""Bytes per pixel of an asset, in its own pixels, compressed with DEFLATE and a predictor.
Sentinel-2: uint16, mean of 120 files of real scenes (1.3 to 2.0). SCL: simulated ones have 0.12.
Sentinel-1: float32, eight files of recorded items of sentinel-1-rtc, whose ``file:size`` is 2.4 to
3.0 per pixel, empty corners included."""

ASSET_TILE_PX = 512
"""Side of an asset's tiles, pixels, as in the COGs of the Planetary Computer and Microsoft; a
window reads every tile that it touches whole."""

_PIXEL_SIZE_M = dict.fromkeys((*S1_BANDS, "B02", "B03", "B04", "B08"), 10)
"""Pixel sizes of assets by band, metres; 20 m for the bands not listed."""

_POINTS_PER_SIDE = 8
"""Points per side of a block at which the composite is followed."""

_MAX_LACKING_SHARE = 1e-3
"""Share of a point's surroundings that may lack an observation at the end; clouds are kilometres
wide, so a block of 46 km has about a thousand independent places."""

_UNKNOWN_CLOUD_SHARE = 0.5
"""Cloud cover, as a share, of a scene that does not state it."""


def block_windows(
    zone: ZoneJob, contract: Contract, boxes: Sequence[Box]
) -> list[NDArray[np.int64]]:
    """The windows that each block classifies, from the polygon instead of its pixels.

    They include every window that the pixels need, and hardly any other.

    Args:
        zone: zone whose ``reach`` is mapped.
        contract: contract of the model.
        boxes: boxes of blocks in the zone.

    Returns:
        For each block, (n, 2) first row and column of its windows.

    """
    shapely.prepare(zone.reach)
    full = shapely.covers(zone.reach, box_polygons(boxes))  # most blocks, in a large area
    return [
        _windows(box, contract, None if is_full else zone.reach)
        for box, is_full in zip(boxes, full.tolist(), strict=True)
    ]


def _windows(box: Box, contract: Contract, reach: shapely.MultiPolygon | None) -> NDArray[np.int64]:
    """(n, 2) first row and column of the windows that a block needs; all if ``reach`` is None."""
    stride, lattice = contract.stride, contract.lattice
    starts = (
        lattice.starts(start - stride, stop + stride)
        for start, stop in zip((box.row, box.col), box.stop, strict=True)
    )
    windows = np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 2)
    if reach is None:
        return windows
    # A pixel is interpolated from its own cell and those around it; its centre is mapped.
    top, left = (np.maximum(windows - stride, (box.row, box.col)) + 0.5).T * RESOLUTION_M
    stop = np.minimum(windows + lattice.size + stride, box.stop)
    bottom, right = (stop - 0.5).T * RESOLUTION_M
    met: NDArray[np.bool_] = shapely.intersects(reach, shapely.box(left, -bottom, right, -top))
    return windows[met]


def _bounds(box: Box) -> tuple[float, float, float, float]:
    """Left, bottom, right, top of a box of pixels, metres."""
    size = RESOLUTION_M
    return box.col * size, -box.stop[0] * size, box.stop[1] * size, -box.row * size


class ReadCounter:
    """Counts what the blocks of a zone read.

    Args:
        job: job with the datatakes of Sentinel-1.
        zone: zone with the ranked datatakes of Sentinel-2.
        scenes: scenes of the map.
        footprints: footprints of the scenes.
        contract: contract of the model; a sensor it does not take is not read.

    """

    def __init__(
        self,
        job: Job,
        zone: ZoneJob,
        scenes: SearchResult,
        footprints: Footprints,
        contract: Contract,
    ) -> None:
        self._rules, self._zone, self._size = job.rules, zone.epsg, contract.window
        self._footprints = footprints
        self._boxes = pixel_boxes(scenes.scenes, zone.epsg)
        is_near = ~np.isnan(self._boxes[:, 0])

        def numbered(datatakes: Sequence[Datatake]) -> list[NDArray[np.int64]]:
            """The scene numbers of each datatake with scenes near the zone."""
            numbers = (
                np.array([footprints.numbers[scene.sensor, scene.id] for scene in datatake], int)
                for datatake in datatakes
            )
            near = (of_one[is_near[of_one]] for of_one in numbers)
            return [of_one for of_one in near if len(of_one)]

        datatakes = numbered(zone.s2_dates if "s2" in contract.inputs else ())
        self._s2, self._datatake = _joined(datatakes), _numbers_of(datatakes)
        self._passes, self._others = numbered(job.s1.passes), numbered(job.s1.others)
        self._clear = 1 - np.array(
            [
                _UNKNOWN_CLOUD_SHARE if s.cloud_cover is None else s.cloud_cover / 100
                for s in scenes.scenes
            ]
        )
        older = {s.id for datatake in zone.s2_dates for s in datatake if s.behind is not None}
        self._behind = np.array([scene.id in older for scene in scenes.scenes], bool)
        self._has_scl = np.array(["SCL" in scene.assets for scene in scenes.scenes], bool)
        self._warped = np.array([s.epsg not in (zone.epsg, None) for s in scenes.scenes], bool)
        self._opened: dict[str, set[int]] = {}  # by band, scenes whose header was read

    def total(
        self,
        boxes: Sequence[Box],
        windows: Sequence[NDArray[np.int64]],
        run: Sequence[NDArray[np.int64]],
        *,
        share: float = 1.0,
    ) -> Reads:
        """Total of what some blocks read: around the windows that they run, and their own pixels.

        Args:
            boxes: boxes of the blocks.
            windows: windows that each block needs, as ``block_windows`` gives them.
            run: those of them that it runs, as of ``windows_run``.
            share: share of the blocks that are counted; the others are taken to read as much per
                window.

        """
        blocks = [block for block in zip(boxes, windows, run, strict=True) if len(block[2])]
        n = math.ceil(len(blocks) * share)
        counted = np.random.default_rng(0).permutation(len(blocks))[:n]
        sums = np.zeros(6)
        for number in sorted(counted.tolist()):
            box, needed, fresh = blocks[number]
            own = np.maximum(needed.min(axis=0), (box.row, box.col))
            own_stop = np.minimum(needed.max(axis=0) + self._size, box.stop)
            row, col = np.minimum(fresh.min(axis=0), own).tolist()
            stop = np.maximum(fresh.max(axis=0) + self._size, own_stop)
            over = Box(row, col, *(stop - (row, col)).tolist())
            sums[4] += math.prod(over.shape)
            for band, scenes in self._requests(over).items():
                cost = self._cost(np.array(scenes, int), band, over)
                sums[:4] += cost
                sums[5] += cost[1] if band in S1_BANDS else 0.0
        if n:
            of_counted = sum(len(blocks[number][2]) for number in counted.tolist())
            sums *= sum(len(fresh) for *_, fresh in blocks) / of_counted
        requests, *others = sums.tolist()
        return Reads(round(requests), *others)

    def _requests(self, over: Box) -> dict[str, list[int]]:
        """From band to the scenes whose band a block requests."""
        before = self._boxes[:, :2] < np.array(over.stop)
        after = self._boxes[:, 2:] > np.array([over.row, over.col])
        near: NDArray[np.bool_] = np.all(before & after, axis=1)
        points = _points(over, self._zone)
        masked, composited = self._s2_scenes(near, points)
        requests = {band: list(composited) for band in S2_BANDS}
        requests["SCL"] = [number for number in masked if self._has_scl[number]]
        requests["B02"] += [number for number in masked if not self._has_scl[number]]
        passes = _joined(self._passes)
        reached = self._footprints.show(passes[near[passes]], points).any(axis=0)
        s1 = _joined([*self._passes, *([] if reached.all() else self._others)])
        return requests | {band: s1[near[s1]].tolist() for band in S1_BANDS}

    def _s2_scenes(
        self, near: NDArray[np.bool_], points: NDArray[np.float64]
    ) -> tuple[list[int], list[int]]:
        """Scenes whose cloud mask is read, and scenes whose bands are read.

        Args:
            near: (N,) whether each scene touches the block.
            points: (P, 2) longitude, latitude of points of the block, degrees.

        """
        rules, n = self._rules, len(points)
        # probability of 0, 1, ... clear observations so far
        chance = np.zeros((n, rules.min_clear))
        chance[:, 0] = 1
        tries, left = np.zeros(n, int), np.ones(n, bool)
        masked: list[int] = []
        composited: list[int] = []
        is_near = near[self._s2]
        scenes, datatakes = self._s2[is_near], self._datatake[is_near]
        ends = np.flatnonzero(np.diff(datatakes, append=-1)) + 1
        for start, end in pairwise([0, *ends.tolist()]):
            unseen = left.copy()  # by this datatake
            numbers = scenes[start:end]
            shown = self._footprints.show(numbers, points)
            for number, is_shown in zip(numbers.tolist(), shown, strict=True):
                at = np.flatnonzero(is_shown & unseen)
                if self._behind[number] and not len(at):
                    continue
                masked.append(number)
                clear = self._clear[number]
                if len(at) and clear > 0:
                    composited.append(number)
                unseen[at] = False
                tries[at] += 1
                cloudy = chance[at] * (1 - clear)
                cloudy[:, 1:] += chance[at, :-1] * clear
                chance[at] = cloudy
            left = (tries < rules.max_scenes) & (chance.sum(axis=1) > _MAX_LACKING_SHARE)
            if not left.any():
                break
        return masked, composited

    def _cost(self, scenes: NDArray[np.int64], band: str, over: Box) -> NDArray[np.float64]:
        """(4,) requests, bytes, samples and warped samples of one band of scenes in a block."""
        scale = _PIXEL_SIZE_M.get(band, 20) / RESOLUTION_M
        boxes = self._boxes[scenes]
        whole = (boxes[:, 2:] - boxes[:, :2]) / scale
        inside = np.minimum(boxes[:, 2:], over.stop) - np.maximum(
            boxes[:, :2], (over.row, over.col)
        )
        # A window starts anywhere in a tile, so it touches nearly one more than it fills.
        touched = np.minimum(inside / scale + ASSET_TILE_PX - 1, whole)
        kind = band if band == "SCL" else "s1" if band in S1_BANDS else "s2"
        opened = self._opened.setdefault(band, set())
        is_new = [number not in opened for number in scenes.tolist()]
        opened.update(scenes.tolist())
        headers = np.minimum(TIFF_HEADER_BYTES, whole.prod(axis=1) * ASSET_BYTES_PER_PIXEL[kind])[
            is_new
        ]
        pixels_per_sample = 4 if band == "SCL" else 1  # pixels of 10 m
        return np.array(
            [
                len(scenes),
                touched.prod(axis=1).sum() * ASSET_BYTES_PER_PIXEL[kind] + headers.sum(),
                len(scenes) * math.prod(over.shape) / pixels_per_sample,
                inside[self._warped[scenes]].prod(axis=1).sum() / pixels_per_sample,
            ]
        )


def _joined(datatakes: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(datatakes) if datatakes else np.empty(0, int)


def _numbers_of(datatakes: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The number of the datatake of each scene of ``_joined``."""
    return np.repeat(np.arange(len(datatakes)), [len(scenes) for scenes in datatakes])


def _points(over: Box, zone: int) -> NDArray[np.float64]:
    """(N, 2) longitude, latitude, degrees: the middles of equal parts of a box of pixels."""
    left, bottom, right, top = _bounds(over)
    along = (np.arange(_POINTS_PER_SIDE) + 0.5) / _POINTS_PER_SIDE
    xs, ys = np.meshgrid(left + along * (right - left), bottom + along * (top - bottom))
    return to_degrees(xs, ys, zone)
