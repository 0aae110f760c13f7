"""What blocks will read, from outlines and cloud covers: the composite's rules without pixels.

A composite reads a scene's bands for the whole block as soon as one pixel takes it, so what counts
is not the usual pixel but the last ones: at each of a few points of a block, dates are gone through
in rank order until hardly any pixel there can lack a clear observation, with each scene's cloud
cover as the chance of a cloud.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from lulcmap import grid, tiff
from lulcmap.block import Job
from lulcmap.catalog import Found
from lulcmap.contract import Contract
from lulcmap.estimate.outlines import Outlines, pixel_boxes, to_degrees
from lulcmap.estimate.values import Reads
from lulcmap.plan import Pass
from lulcmap.predict import union
from lulcmap.sensors import S1_BANDS, S2_BANDS
from lulcmap.windows import Box

BYTES_A_PIXEL = {"s2": 1.65, "SCL": 0.1, "s1": 2.8}
"""Of an asset's own pixels, compressed. Sentinel-2: uint16, DEFLATE with its predictor, the mean of
109 bands of real scenes (1.3 to 2.0). SCL: four classes in five tiles are runs; simulated ones take
0.12. Sentinel-1: float32, the eight files of four recorded items of sentinel-1-rtc, whose
``file:size`` is 2.4 to 3.0 a pixel, empty corners counted."""

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


def needed(job: Job, contract: Contract, boxes: Sequence[Box]) -> list[list[Box]]:
    """The windows that each block runs, from the polygon and not from its pixels.

    Args:
        job: its ``reach`` is what is mapped.
        contract: of the model.
        boxes: of blocks.

    """
    candidates, limits, owners = [], [], []
    for number, box in enumerate(boxes):
        for window in contract.lattice.reaching(box.grown(2 * contract.stride)):
            part = window.grown(2 * contract.stride).intersection(box)
            if part is not None:
                candidates.append(window)
                limits.append(_metres(part))
                owners.append(number)
    shapely.prepare(job.reach)
    found: list[list[Box]] = [[] for _ in boxes]
    for index in np.flatnonzero(shapely.intersects(job.reach, shapely.box(*np.array(limits).T))):
        found[owners[index]].append(candidates[index])
    return found


def _metres(box: Box) -> tuple[float, float, float, float]:
    """Left, bottom, right, top."""
    size = grid.RESOLUTION
    return box.col * size, -box.stop[0] * size, box.stop[1] * size, -box.row * size


class Reading:
    """Counts what blocks read.

    Args:
        job: with its ranked dates and passes.
        found: the scenes.
        contract: of the model; a sensor it does not take is not read.

    """

    def __init__(self, job: Job, found: Found, outlines: Outlines, contract: Contract) -> None:
        numbers = {(s.sensor, s.id): number for number, s in enumerate(found.scenes)}

        def numbered(passes: Sequence[Pass]) -> list[NDArray[np.int64]]:
            return [np.array([numbers[s.sensor, s.id] for s in group], int) for group in passes]

        self._job = job
        self._outlines = outlines
        self._boxes = pixel_boxes(found.scenes, job.zone)
        self._dates = numbered(job.s2_dates if "s2" in contract.inputs else ())
        self._passes, self._others = numbered(job.s1.passes), numbered(job.s1.others)
        self._clear = 1 - np.array(
            [_UNKNOWN_CLOUD if s.cloud_cover is None else s.cloud_cover / 100 for s in found.scenes]
        )
        self._masked = np.array(["SCL" in scene.assets for scene in found.scenes], bool)
        self._warped = np.array([s.epsg not in (job.zone, None) for s in found.scenes], bool)
        self._known: set[tuple[int, str]] = set()  # assets whose headers were read

    def total(self, blocks: Sequence[Sequence[Box]]) -> Reads:
        """What some blocks read, given the windows of each."""
        sums = np.zeros(4)
        for windows in blocks:
            if windows:
                over = union(windows)
                for scene, band in self._requests(over):
                    sums += self._cost(scene, band, over)
        requests, size, samples, warped = sums.tolist()
        return Reads(round(requests), size, samples, warped)

    def _requests(self, over: Box) -> Iterator[tuple[int, str]]:
        """Scenes and bands that a block asks for."""
        corner = self._boxes[:, :2] < np.array(over.stop)
        near = (corner & (self._boxes[:, 2:] > np.array([over.row, over.col]))).all(axis=1)
        point, scene = self._outlines.over(_points(over, self._job.zone))
        tried, picked = self._picked(near, point, scene)
        for number in tried:
            yield number, "SCL" if self._masked[number] else "B02"
        for number in picked:
            for band in S2_BANDS:
                yield number, band
        reached = np.zeros(_POINTS**2, bool)
        reached[point[np.isin(scene, _joined(self._passes))]] = True
        for group in [*self._passes, *([] if reached.all() else self._others)]:
            for number in group[near[group]].tolist():
                for band in S1_BANDS:
                    yield number, band

    def _picked(
        self, near: NDArray[np.bool_], point: NDArray[np.int64], scene: NDArray[np.int64]
    ) -> tuple[list[int], list[int]]:
        """Scenes of which the classification is read, and those of which the bands are.

        Args:
            near: (N,) which scenes touch the block.
            point: (M,) with ``scene``, what shows what.
            scene: (M,) numbers of scenes.

        """
        rules, n = self._job.rules, _POINTS**2
        shown: dict[int, NDArray[np.int64]] = {}
        order = np.argsort(scene, kind="stable")
        each, first = np.unique(scene[order], return_index=True)
        for number, points in zip(each, np.split(point[order], first[1:]), strict=True):
            shown[int(number)] = points
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
                if not len(points) or clear <= 0:
                    tries[points] += 1
                    continue
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

    def _cost(self, scene: int, band: str, over: Box) -> tuple[float, float, float, float]:
        """Requests, bytes, samples and warped samples of a band of a scene on a block."""
        scale = _METRES.get(band, 20) / grid.RESOLUTION
        box = self._boxes[scene]
        inside = np.minimum(box[2:], over.stop) - np.maximum(box[:2], (over.row, over.col))
        # a window begins anywhere in a tile, so it touches one more than it fills
        touched = np.minimum(inside / scale + TILE - 1, (box[2:] - box[:2]) / scale)
        kind = band if band == "SCL" else "s1" if band in S1_BANDS else "s2"
        size = float(touched.prod()) * BYTES_A_PIXEL[kind]
        if (scene, band) not in self._known:
            self._known.add((scene, band))
            size += min(tiff.HEAD, float(((box[2:] - box[:2]) / scale).prod()))
        samples = math.prod(over.shape) / (4 if band == "SCL" else 1)
        warped = float(inside.prod()) / (4 if band == "SCL" else 1) if self._warped[scene] else 0.0
        return 1, size, samples, warped


def _joined(groups: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(groups) if groups else np.empty(0, int)


def _points(over: Box, zone: int) -> NDArray[np.float64]:
    """(N, 2) degrees: the middles of equal parts of a box."""
    left, bottom, right, top = _metres(over)
    along = (np.arange(_POINTS) + 0.5) / _POINTS
    xs, ys = np.meshgrid(left + along * (right - left), bottom + along * (top - bottom))
    return to_degrees(xs, ys, zone)
