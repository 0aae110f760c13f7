"""The Sentinel-2 half of a composite: the median of each pixel's first clear observations.

A pixel goes down the list of datatakes on its own: a datatake with data there is one try, and the
pixel stops after enough clear ones. So no pixel depends on the grid it is computed in. At most
``min_clear`` planes of one band are in memory, as integers.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.catalog import Datatake, Scene
from lulcmap.imagery import kernels
from lulcmap.imagery.read_log import Planes, ReadLog
from lulcmap.imagery.reader import Plane
from lulcmap.imagery.resample import CoarsePlane
from lulcmap.imagery.rules import CompositeRules
from lulcmap.imagery.slots import fill_slots, find_runs
from lulcmap.imagery.strips import Strips
from lulcmap.imagery.sun import SunMean
from lulcmap.sensors import NO_SUN, S2_BANDS, SCL_DILATED


def composite_s2(
    planes: Planes,
    grid: GeoBox,
    datatakes: list[Datatake],
    rules: CompositeRules,
    log: ReadLog,
    *,
    sun: bool,
    strips: Strips,
) -> tuple[NDArray[np.uint16], NDArray[np.uint8], NDArray[np.uint16] | None]:
    """Return (9, H, W) the median of each pixel's first clear observations, (H, W) their number.

    And, if ``sun``, (H, W) the mean of their sun's zenith, as ``Composite.sun``.
    """
    image = np.zeros((len(S2_BANDS), *grid.shape), np.uint16)
    scenes = [scene for datatake in datatakes for scene in datatake]
    picks = _pick_scenes(planes, grid, datatakes, rules, log)
    runs = find_runs(picks)
    if not runs:
        no_sun = np.full(grid.shape, NO_SUN, np.uint16) if sun else None
        return image, np.zeros(grid.shape, np.uint8), no_sun
    suns = SunMean(picks, scenes) if sun else None
    count = np.full(grid.shape, 255, np.uint8)
    stack = np.zeros((rules.slots, *grid.shape), np.uint16)
    network = kernels.sorting_network(rules.slots)
    lost_plane = np.zeros(grid.shape, np.uint16)
    sources: dict[int, set[int]] = {number: set() for number in runs}
    requests = [(scenes[number], band) for band in S2_BANDS for number in runs]
    with closing(planes(requests, grid)) as stream:
        for index, band in enumerate(S2_BANDS):
            for number in runs:  # every band fills the same slots: no need to clear the stack
                plane, source = log.take_coarse(stream, scenes[number], band), number
                if plane is None:
                    plane, source = _older_plane(planes, grid, scenes, number, band, log)
                if plane is not None:
                    sources[number].add(source)
                filled = lost_plane if plane is None else plane
                fill_slots(stack, runs[number], filled, scenes[source].offset, strips)
            strips.share(
                grid.shape[0],
                partial(kernels.median, stack, network, image[index], count),
            )
            if suns is not None:
                suns.add(stack)
    kernels.settle_incomplete(image, count)
    log.used += [scenes[source].id for source in sorted(set().union(*sources.values()))]
    log.picked(picks, scenes, sources)
    return image, count, None if suns is None else suns.mean(image)


def _older_plane(
    planes: Planes,
    grid: GeoBox,
    scenes: Sequence[Scene],
    number: int,
    band: str,
    log: ReadLog,
) -> tuple[NDArray[Any] | CoarsePlane | None, int]:
    """Read a band that was lost from an older product of the same tile and datatake.

    Args:
        planes: reader.
        grid: grid of 10 m pixels.
        scenes: scenes of all datatakes.
        number: number of the scene whose band was lost.
        band: band that was lost.
        log: reading log; written.

    Returns:
        Raw DN on the grid, or None if no older product has the band; and the number of its scene.

    """
    lost = scenes[number]
    for other, scene in enumerate(scenes):
        if scene.behind == lost.id and scene.datatake == lost.datatake:
            with closing(planes([(scene, band)], grid)) as stream:
                plane = log.take_coarse(stream, scene, band)
            if plane is not None:
                log.replaced += 1
                return plane, other
    return None, number


def _read_one(
    planes: Planes, grid: GeoBox, scene: Scene, band: str, log: ReadLog
) -> NDArray[Any] | None:
    """Read one band on its own, or None if it was lost."""
    with closing(planes([(scene, band)], grid)) as stream:
        return log.take(stream, scene, band)


def _pick_scenes(
    planes: Planes, grid: GeoBox, datatakes: list[Datatake], rules: CompositeRules, log: ReadLog
) -> NDArray[np.uint16]:
    """Return (slots, H/2, W/2) the number of the scene that fills each slot, or ``NO_SCENE``.

    Scenes are numbered through all datatakes. The classification is read with a margin as wide as
    the dilation, so that a cloud beyond the edge masks what it would mask on a larger grid.
    """
    coarse = grid.zoom_out(2)
    picks = np.full((rules.slots, *coarse.shape), kernels.NO_SCENE, np.uint16)
    tries, clear = np.zeros(coarse.shape, np.uint8), np.zeros(coarse.shape, np.uint8)
    requests = [
        (scene, "SCL")
        for datatake in datatakes
        for scene in datatake
        if "SCL" in scene.assets and scene.behind is None
    ]
    first = 0
    with closing(planes(requests, coarse.pad(rules.mask_dilation))) as stream:
        for datatake in datatakes:
            source, masked = _observe(planes, stream, grid, datatake, rules, log)
            source[source != kernels.NO_SCENE] += first
            if kernels.try_datatake(source, masked, tries, clear, picks, rules.max_scenes) == 0:
                break
            first += len(datatake)
    return picks


def _observe(
    planes: Planes,
    classes: Iterator[Plane],
    grid: GeoBox,
    datatake: Datatake,
    rules: CompositeRules,
    log: ReadLog,
) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Find what one datatake observes, in 20 m pixels.

    A scene without a classification counts as clear wherever B02 has data. A scene that stands
    behind a newer product is read only if those before it leave a pixel empty, in the margin too:
    so a cloud in it masks the same pixels on any grid.

    Args:
        planes: reader of what ``classes`` lacks.
        classes: classifications of this datatake's scenes that stand behind no other, in order.
        grid: grid of 10 m pixels.
        datatake: scenes of the datatake.
        rules: rules of the mask.
        log: reading log; written.

    Returns:
        (H/2, W/2) index in ``datatake`` of the scene a pixel takes, or ``NO_SCENE``; (H/2, W/2)
        True where it is not clear.

    """
    height, width = grid.shape[0] // 2, grid.shape[1] // 2
    margin = rules.mask_dilation
    core = (slice(margin, margin + height), slice(margin, margin + width))
    codes = np.zeros((height + 2 * margin, width + 2 * margin), np.uint8)
    source = np.full((height, width), kernels.NO_SCENE, np.uint16)
    unmasked = np.zeros((height, width), bool)
    lost = set()
    for index, scene in enumerate(datatake):
        has_scl, free = "SCL" in scene.assets, source == kernels.NO_SCENE
        if scene.behind is not None and (codes.all() if has_scl else not free.any()):
            continue
        if not has_scl:
            plane = _read_one(planes, grid, scene, "B02", log)
        elif scene.behind is None:
            plane = log.take(classes, scene, "SCL")
        else:
            plane = _read_one(planes, grid.zoom_out(2).pad(margin), scene, "SCL", log)
        if plane is None:
            lost.add(scene.id)  # without its classification clouds are unknown: skip the scene
            continue
        log.replaced += scene.behind in lost
        lost.discard(str(scene.behind))
        if has_scl:
            np.copyto(source, np.uint16(index), where=free & (plane[core] != 0))
            np.copyto(codes, plane, where=codes == 0)
        else:
            new = free & (plane.reshape(height, 2, width, 2) != 0).any((1, 3))
            source[new] = index
            unmasked |= new
            log.unmasked.append(scene.id)
    masked = np.empty(source.shape, bool)
    kernels.find_masked(codes, _kinds(rules), margin, masked)
    if unmasked.any():
        masked &= ~unmasked
    return source, masked


def _kinds(rules: CompositeRules) -> NDArray[np.uint8]:
    """Kind of each class for ``kernels.find_masked``."""
    kinds = np.zeros(256, np.uint8)
    kinds[list(rules.mask_codes)] = 1
    kinds[[code for code in SCL_DILATED if code in rules.mask_codes]] = 2
    return kinds
