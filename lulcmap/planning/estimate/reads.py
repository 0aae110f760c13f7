"""What blocks will read, from outlines and cloud covers: the composite's rules without pixels.

A composite reads a scene's bands for the whole block as soon as one pixel takes it, so what counts
is not the usual pixel but the last ones: at each of a few points of a block, dates are gone through
in rank order until hardly any pixel there can lack a clear observation, with each scene's cloud
cover as the chance of a cloud.
"""

import math
from collections.abc import Sequence

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

BYTES_A_PIXEL = {"s2": 1.65, "SCL": 0.1, "s1": 2.8}
"""Of an asset's own pixels, compressed with DEFLATE and a predictor. Sentinel-2: uint16, mean of
120 files of real scenes (1.3 to 2.0). SCL: simulated ones have 0.12. Sentinel-1: float32, eight
files of recorded items of sentinel-1-rtc, whose ``file:size`` is 2.4 to 3.0 a pixel, empty corners
counted."""

TILE = 512
"""Pixels a side of an asset's tiles, as the Planetary Computer's and Microsoft's COGs have them:
what a window touches is read in whole tiles."""

_METRES = dict.fromkeys((*S1_BANDS, "B02", "B03", "B04", "B08"), 10)
"""Pixel size of assets; 20 m where it is not said here."""

_POINTS = 8
"""A side of a block: where dates are gone through."""

_FEW = 1e-3
"""Share of a point's surroundings that may lack an observation when its dates are over; clouds are
kilometres wide, so a block of 46 km holds some thousand independent places."""

_UNKNOWN_CLOUD = 0.5
"""Share, of a scene that does not say."""


def needed(zone: ZoneJob, contract: Contract, boxes: Sequence[Box]) -> list[NDArray[np.int64]]:
    """The windows that each block runs, from the polygon and not from its pixels: hardly too many.

    Args:
        zone: its ``reach`` is what is mapped.
        contract: of the model.
        boxes: of blocks in it.

    Returns:
        For each block, (n, 2) first row and column of its windows.

    """
    shapely.prepare(zone.reach)
    full = shapely.covers(zone.reach, box_polygons(boxes))  # most, in a large area
    return [
        _windows(box, contract, None if is_full else zone.reach)
        for box, is_full in zip(boxes, full.tolist(), strict=True)
    ]


def _windows(box: Box, contract: Contract, reach: shapely.MultiPolygon | None) -> NDArray[np.int64]:
    """(n, 2) first row and column of a block's windows, those only that a polygon needs."""
    stride, lattice = contract.stride, contract.lattice
    starts = (
        lattice.starts(start - stride, stop + stride)
        for start, stop in zip((box.row, box.col), box.stop, strict=True)
    )
    windows = np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 2)
    if reach is None:
        return windows
    # a pixel is interpolated from its own cell and those around it; its centre is what is mapped
    top, left = (np.maximum(windows - stride, (box.row, box.col)) + 0.5).T * RESOLUTION_M
    stop = np.minimum(windows + lattice.size + stride, box.stop)
    bottom, right = (stop - 0.5).T * RESOLUTION_M
    met: NDArray[np.bool_] = shapely.intersects(reach, shapely.box(left, -bottom, right, -top))
    return windows[met]


def _metres(box: Box) -> tuple[float, float, float, float]:
    """Left, bottom, right, top."""
    size = RESOLUTION_M
    return box.col * size, -box.stop[0] * size, box.stop[1] * size, -box.row * size


class Reading:
    """Counts what the blocks of a zone read.

    Args:
        job: with its passes.
        zone: with its ranked dates.
        found: the scenes.
        contract: of the model; a sensor it does not take is not read.

    """

    def __init__(
        self, job: Job, zone: ZoneJob, found: SearchResult, outlines: Footprints, contract: Contract
    ) -> None:
        self._rules, self._zone, self._size = job.rules, zone.epsg, contract.window
        self._outlines = outlines
        self._boxes = pixel_boxes(found.scenes, zone.epsg)
        here = ~np.isnan(self._boxes[:, 0])

        def numbered(passes: Sequence[Datatake]) -> list[NDArray[np.int64]]:
            groups = (
                np.array([outlines.numbers[s.sensor, s.id] for s in group], int) for group in passes
            )
            near = (group[here[group]] for group in groups)
            return [group for group in near if len(group)]

        self._dates = numbered(zone.s2_dates if "s2" in contract.inputs else ())
        self._passes, self._others = numbered(job.s1.passes), numbered(job.s1.others)
        self._clear = 1 - np.array(
            [_UNKNOWN_CLOUD if s.cloud_cover is None else s.cloud_cover / 100 for s in found.scenes]
        )
        self._masked = np.array(["SCL" in scene.assets for scene in found.scenes], bool)
        self._warped = np.array([s.epsg not in (zone.epsg, None) for s in found.scenes], bool)
        self._known: dict[str, set[int]] = {}  # by band, scenes whose header was read

    def total(self, blocks: Sequence[NDArray[np.int64]], *, share: float = 1.0) -> Reads:
        """What some blocks read.

        Args:
            blocks: the windows of each, as of ``needed``.
            share: of the blocks, how many are gone through; the others read as much a window.

        """
        blocks = [windows for windows in blocks if len(windows)]
        n = math.ceil(len(blocks) * share)
        looked = np.random.default_rng(0).permutation(len(blocks))[:n]
        sums = np.zeros(4)
        for number in sorted(looked.tolist()):
            (row, col), last = blocks[number].min(axis=0), blocks[number].max(axis=0)
            over = Box(int(row), int(col), *(last - (row, col) + self._size).tolist())
            for band, scenes in self._requests(over).items():
                sums += self._cost(np.array(scenes, int), band, over)
        if n:
            sums *= sum(map(len, blocks)) / sum(len(blocks[number]) for number in looked.tolist())
        requests, size, samples, warped = sums.tolist()
        return Reads(round(requests), size, samples, warped)

    def _requests(self, over: Box) -> dict[str, list[int]]:
        """By band, the scenes of which a block asks for it."""
        before = self._boxes[:, :2] < np.array(over.stop)
        after = self._boxes[:, 2:] > np.array([over.row, over.col])
        near: NDArray[np.bool_] = np.all(before & after, axis=1)
        point, scene = self._outlines.over(_points(over, self._zone))
        tried, picked = self._picked(near, point, scene)
        asked = {band: list(picked) for band in S2_BANDS}
        asked["SCL"] = [number for number in tried if self._masked[number]]
        asked["B02"] += [number for number in tried if not self._masked[number]]
        reached = np.zeros(_POINTS**2, bool)
        reached[point[np.isin(scene, _joined(self._passes))]] = True
        groups = [*self._passes, *([] if reached.all() else self._others)]
        seen = _joined(groups)
        return asked | {band: seen[near[seen]].tolist() for band in S1_BANDS}

    def _picked(
        self, near: NDArray[np.bool_], point: NDArray[np.int64], scene: NDArray[np.int64]
    ) -> tuple[list[int], list[int]]:
        """Scenes of which the classification is read, and those of which the bands are.

        Args:
            near: (N,) which scenes touch the block.
            point: (M,) with ``scene``, what shows what.
            scene: (M,) numbers of scenes.

        """
        rules, n = self._rules, _POINTS**2
        order = np.argsort(scene, kind="stable")
        each, first = np.unique(scene[order], return_index=True)
        split = np.split(point[order], first[1:])  # one empty part where nothing is shown
        shown = dict(zip(each.tolist(), split, strict=False))
        chance = np.zeros((n, rules.min_clear))  # of so many clear observations until now
        chance[:, 0] = 1
        tries, left = np.zeros(n, int), np.ones(n, bool)
        tried: list[int] = []
        picked: list[int] = []
        for date in self._dates:
            here = date[near[date]].tolist()
            tried += here
            new = left.copy()
            for number in here:
                points = shown.get(number, np.empty(0, int))
                points = points[new[points]]
                clear = self._clear[number]
                if len(points) and clear > 0:
                    picked.append(number)
                new[points] = False
                tries[points] += 1
                cloudy = chance[points] * (1 - clear)
                cloudy[:, 1:] += chance[points, :-1] * clear
                chance[points] = cloudy
            left = (tries < rules.max_scenes) & (chance.sum(axis=1) > _FEW)
            if not left.any():
                break
        return tried, picked

    def _cost(self, scenes: NDArray[np.int64], band: str, over: Box) -> NDArray[np.float64]:
        """(4,) requests, bytes, samples and warped samples of a band of some scenes on a block."""
        scale = _METRES.get(band, 20) / RESOLUTION_M
        boxes = self._boxes[scenes]
        whole = (boxes[:, 2:] - boxes[:, :2]) / scale
        inside = np.minimum(boxes[:, 2:], over.stop) - np.maximum(
            boxes[:, :2], (over.row, over.col)
        )
        # a window begins anywhere in a tile, so it touches nearly one more than it fills
        touched = np.minimum(inside / scale + TILE - 1, whole)
        kind = band if band == "SCL" else "s1" if band in S1_BANDS else "s2"
        known = self._known.setdefault(band, set())
        new = [number not in known for number in scenes.tolist()]
        known.update(scenes.tolist())
        headers = np.minimum(TIFF_HEADER_BYTES, whole.prod(axis=1) * BYTES_A_PIXEL[kind])[new]
        on_grid = 4 if band == "SCL" else 1  # pixels of 10 m a sample
        return np.array(
            [
                len(scenes),
                touched.prod(axis=1).sum() * BYTES_A_PIXEL[kind] + headers.sum(),
                len(scenes) * math.prod(over.shape) / on_grid,
                inside[self._warped[scenes]].prod(axis=1).sum() / on_grid,
            ]
        )


def _joined(groups: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(groups) if groups else np.empty(0, int)


def _points(over: Box, zone: int) -> NDArray[np.float64]:
    """(N, 2) degrees: the middles of equal parts of a box."""
    left, bottom, right, top = _metres(over)
    along = (np.arange(_POINTS) + 0.5) / _POINTS
    xs, ys = np.meshgrid(left + along * (right - left), bottom + along * (top - bottom))
    return to_degrees(xs, ys, zone)
