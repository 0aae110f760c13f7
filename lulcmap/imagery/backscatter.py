"""The Sentinel-1 half of a composite: the mean backscatter of the datatakes."""

from collections.abc import Sequence
from contextlib import closing
from functools import partial

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.catalog import Datatake
from lulcmap.imagery import kernels
from lulcmap.imagery.read_log import LostAsset, Planes, ReadLog
from lulcmap.imagery.scene_filter import SceneFilter
from lulcmap.imagery.strips import Strips
from lulcmap.sensors import S1_BANDS

_MAX_COUNT = 254
"""Largest count in a block's file, where 255 is nodata."""


def mean_backscatter(
    planes: Planes, grid: GeoBox, passes: Sequence[Datatake]
) -> tuple[NDArray[np.int16], tuple[str, ...], tuple[LostAsset, ...]]:
    """Average Sentinel-1 datatakes as a composite does, on any grid.

    Args:
        planes: reader of the pixels.
        grid: north-up grid.
        passes: Sentinel-1 datatakes. In each, a pixel takes the first scene that has data there.

    Returns:
        (2, H, W) gamma-nought, hundredths of a decibel, -32768 nodata: the mean of the linear power
        of all datatakes that cover the pixel; ids of the scenes that contributed pixels; assets
        that could not be read.

    """
    log = ReadLog()
    with Strips(1) as strips:
        only = SceneFilter(grid).only(passes)
        image, _, _ = composite_s1(planes, grid, only, [], log, strips=strips)
    return image, tuple(log.used), tuple(log.lost)


def composite_s1(
    planes: Planes,
    grid: GeoBox,
    passes: list[Datatake],
    others: list[Datatake],
    log: ReadLog,
    counted: NDArray[np.bool_] | None = None,
    *,
    strips: Strips,
) -> tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the mean backscatter, its number of datatakes, and where they are the other orbit's.

    Returns:
        (2, H, W) hundredths of a decibel; (H, W) datatakes; (H, W) True where of ``others``.

    """
    total = np.zeros((len(S1_BANDS), *grid.shape), np.float32)
    count = np.zeros(grid.shape, np.uint16)  # many orbits may cover a pixel
    everywhere = np.ones(grid.shape, bool)
    arrays = everywhere if counted is None else counted, total, count
    _add_datatakes(planes, grid, passes, everywhere, arrays, log, strips)
    lacking = count == 0
    if others and lacking.any():
        _add_datatakes(planes, grid, others, lacking, arrays, log, strips)
    image = np.empty((len(S1_BANDS), *grid.shape), np.int16)

    def convert(start: int, stop: int) -> None:
        for power, level in zip(total, image, strict=True):
            kernels.mean_decibel(power[start:stop], count[start:stop], level[start:stop])

    strips.share(grid.shape[0], convert)
    return image, np.minimum(count, _MAX_COUNT).astype(np.uint8), lacking & (count > 0)


def _add_datatakes(
    planes: Planes,
    grid: GeoBox,
    datatakes: list[Datatake],
    wanted: NDArray[np.bool_],
    arrays: tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.uint16]],
    log: ReadLog,
    strips: Strips,
) -> None:
    """Add datatakes, in order, to the wanted pixels; ``arrays`` are those of ``add_scene``."""
    requests = [(scene, band) for datatake in datatakes for scene in datatake for band in S1_BANDS]
    with closing(planes(requests, grid)) as stream:
        for datatake in datatakes:
            pending = wanted.copy()
            for scene in datatake:
                vv, vh = (log.take(stream, scene, band) for band in S1_BANDS)
                if vv is None or vh is None:
                    continue
                before = pending.copy() if log.parts else None
                add = partial(kernels.add_scene, vv, vh, pending, *arrays)
                n_added, n_implausible = map(
                    sum, zip(*strips.share(grid.shape[0], add), strict=True)
                )
                if n_added:
                    log.used.append(scene.id)
                    if before is not None:
                        log.added(scene, before & ~pending)
                if n_implausible:
                    log.implausible[scene.id] += n_implausible
