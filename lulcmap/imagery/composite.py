"""Composite scenes: the median of the first clear observations, the mean backscatter.

Datatakes are ranked once for the whole run. Each pixel goes down that list on its own: a datatake
with data there is one try, and the pixel stops after enough clear ones. So no pixel depends on the
grid it is computed in. At most ``min_clear`` planes of one band are in memory, as integers.
"""

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.catalog import Datatake, Scene
from lulcmap.errors import ReadError
from lulcmap.geo import footprint
from lulcmap.imagery import kernels
from lulcmap.imagery.reader import FallbackPlane, Plane
from lulcmap.imagery.rules import CompositeRules
from lulcmap.imagery.sun import SunMean
from lulcmap.sensors import NO_SUN, S1_BANDS, S1_NODATA, S2_BANDS, S2_NODATA, SCL_DILATED
from lulcmap.system import as_xarray, busy

if TYPE_CHECKING:
    import xarray

_BBOX_TOLERANCE_DEGREES = 0.02
"""Distance (2 km) by which a scene's bbox may miss a grid and the scene is still read: catalogues
round their boxes, and a scene's edges are curved in degrees."""

_MAX_COUNT = 254
"""Largest count in a block's file, where 255 is nodata."""


@dataclass(frozen=True, slots=True)
class LostAsset:
    """An asset that could not be read."""

    scene: str
    """Id of the asset's scene."""

    band: str
    """Band of the scene: B02 ... B12, SCL, VV or VH."""

    reason: str
    """Why the asset could not be read, in one line."""


@dataclass(frozen=True, slots=True)
class Composite:
    """One composited image, and the scenes behind it."""

    s2: NDArray[np.uint16]
    """(9, H, W) DN without offset, bands as ``S2_BANDS``; 0 nodata, in all bands or in none."""

    s1: NDArray[np.int16]
    """(2, H, W) gamma-nought, hundredths of a decibel, VV and VH; -32768 nodata, in both bands or
    in none."""

    s2_count: NDArray[np.uint8]
    """(H, W) clear Sentinel-2 observations of the pixel, in the band with the fewest."""

    s1_count: NDArray[np.uint8]
    """(H, W) Sentinel-1 datatakes averaged in the pixel; 254 also stands for more."""

    s1_other: NDArray[np.bool_]
    """(H, W) True where those datatakes are of the other orbit direction."""

    used: tuple[str, ...]
    """Ids of the scenes that contributed pixels, in the order of the input."""

    lost: tuple[LostAsset, ...]
    """Assets that could not be read; the image was composited without them."""

    opened: int
    """Number of assets that were read, the lost ones included."""

    unmasked: tuple[str, ...]
    """Ids of the scenes treated as clear because they have no scene classification."""

    grid: GeoBox
    """Grid of the composite."""

    fallback: tuple[LostAsset, ...] = ()
    """Assets read from the second provider, for the first could not give them."""

    replaced: int = 0
    """Number of lost assets whose pixels came from an older product of the same scene instead."""

    implausible: Mapping[str, int] = field(default_factory=dict)
    """Pixels of implausible Sentinel-1 power, by the id of the scene they were left out of."""

    sun: NDArray[np.uint16] | None = None
    """(H, W) mean zenith of the sun in the pixel's Sentinel-2 observations, hundredths of a degree,
    ``NO_SUN`` without any; None if it was not asked for."""

    used_in: tuple[frozenset[str], ...] = ()
    """Ids of the scenes that contributed pixels to each of the parts asked for."""

    @property
    def has_s2(self) -> NDArray[np.bool_]:
        """(H, W) True where the pixel has Sentinel-2 data."""
        return self.s2[0] != S2_NODATA

    @property
    def has_s1(self) -> NDArray[np.bool_]:
        """(H, W) True where the pixel has Sentinel-1 data."""
        return self.s1[0] != S1_NODATA

    def to_xarray(self) -> "xarray.Dataset":
        """Convert to a Dataset of ``s2``, ``s1`` and their counts.

        ``scale_factor`` converts ``s2`` to reflectance and ``s1`` to decibels. Needs the extra
        ``xarray``: ``pip install 'lulcmap[xarray]'``.

        Raises:
            UsageError: xarray is not installed.

        """
        reflectance = {"long_name": "surface reflectance", "units": "1", "scale_factor": 1e-4}
        backscatter = {"long_name": "gamma-nought", "units": "dB", "scale_factor": 0.01}
        return as_xarray(
            self.grid,
            {
                "s2": (self.s2, {**reflectance, "_FillValue": np.uint16(S2_NODATA)}),
                "s1": (self.s1, {**backscatter, "_FillValue": np.int16(S1_NODATA)}),
                "s2_count": (self.s2_count, {"long_name": "clear observations", "units": "1"}),
                "s1_count": (self.s1_count, {"long_name": "passes", "units": "1"}),
            },
            bands={"s2": S2_BANDS, "s1": S1_BANDS},
        )


class Planes(Protocol):
    """Reads bands of scenes on a grid, in order; ``Reader.planes`` is one."""

    def __call__(self, requests: Sequence[tuple[Scene, str]], grid: GeoBox) -> Generator[Plane]:
        """Yield for each request, in order, its pixels as of ``Reader.read``, or the error."""
        ...


@dataclass(slots=True)
class _ReadLog:
    """What was read and what was lost, noted while compositing."""

    used: list[str] = field(default_factory=list)
    lost: list[LostAsset] = field(default_factory=list)
    unmasked: list[str] = field(default_factory=list)
    implausible: Counter[str] = field(default_factory=Counter)
    fallback: list[LostAsset] = field(default_factory=list)
    opened: int = 0
    replaced: int = 0
    parts: Sequence[tuple[slice, slice]] = ()
    used_in: list[set[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.used_in = [set() for _ in self.parts]

    def picked(
        self, picks: NDArray[np.uint16], scenes: Sequence[Scene], sources: Mapping[int, set[int]]
    ) -> None:
        """Note which scenes of Sentinel-2 gave pixels to each part.

        Args:
            picks: (slots, H/2, W/2) numbers of the scenes picked.
            scenes: scenes of all datatakes.
            sources: the scenes that were read for each number.

        """
        for (rows, cols), used in zip(self.parts, self.used_in, strict=True):
            half = (slice(each.start // 2, -(-each.stop // 2)) for each in (rows, cols))
            numbers = np.bincount(picks[(slice(None), *half)].ravel())
            for number in np.flatnonzero(numbers).tolist():
                used.update(scenes[source].id for source in sources.get(number, ()))

    def added(self, scene: Scene, pixels: NDArray[np.bool_]) -> None:
        """Note which parts a scene of Sentinel-1 gave pixels to: (H, W) True where it did."""
        for part, used in zip(self.parts, self.used_in, strict=True):
            if pixels[part].any():
                used.add(scene.id)

    def take(self, stream: Iterator[Plane], scene: Scene, band: str) -> NDArray[Any] | None:
        """Return the next plane of a stream, or None if it was lost."""
        with busy(None):
            plane = next(stream)
        self.opened += 1
        if isinstance(plane, ReadError):
            self.lost.append(LostAsset(scene.id, band, str(plane)))
            return None
        if isinstance(plane, FallbackPlane):
            self.fallback.append(LostAsset(scene.id, band, plane.reason))
            return plane.pixels
        return plane


def make_composite(
    planes: Planes,
    grid: GeoBox,
    *,
    s2_dates: Sequence[Datatake],
    s1_passes: Sequence[Datatake],
    s1_others: Sequence[Datatake] = (),
    rules: CompositeRules | None = None,
    counted: NDArray[np.bool_] | None = None,
    sun: bool = False,
    parts: Sequence[tuple[slice, slice]] = (),
) -> Composite:
    """Composite scenes on a grid.

    Args:
        planes: reader of the pixels.
        grid: grid of 10 m pixels, its edges on multiples of 20 m.
        s2_dates: Sentinel-2 datatakes, best first. In each, a pixel takes the first scene that has
            data there.
        s1_passes: Sentinel-1 datatakes of the preferred orbit direction; scenes as in ``s2_dates``.
        s1_others: Sentinel-1 datatakes of the other direction, for pixels that lack the preferred.
        rules: rules of the Sentinel-2 composite; None for the defaults.
        counted: (H, W) True where implausible power is counted; None for everywhere.
        sun: whether the sun's zenith is wanted.
        parts: rows and columns of the parts whose scenes are wanted too.

    Raises:
        ValueError: the grid's edges are not on multiples of 20 m.

    """
    rules = rules or CompositeRules()
    corner = (grid.affine.c / 20, grid.affine.f / 20)
    if any(size % 2 for size in grid.shape) or any(abs(x - round(x)) > 1e-4 for x in corner):
        raise ValueError(
            f"the edges of a composite's grid must be on multiples of 20 m, got {grid}"
        )
    nearby = _SceneFilter(grid)
    log = _ReadLog(parts=parts)
    s2, s2_count, zenith = _composite_s2(planes, grid, nearby.only(s2_dates), rules, log, sun=sun)
    s1, s1_count, s1_other = _composite_s1(
        planes, grid, nearby.only(s1_passes), nearby.only(s1_others), log, counted
    )
    return Composite(
        s2=s2,
        s1=s1,
        s2_count=s2_count,
        s1_count=s1_count,
        s1_other=s1_other,
        used=tuple(log.used),
        lost=tuple(log.lost),
        opened=log.opened,
        unmasked=tuple(log.unmasked),
        grid=grid,
        fallback=tuple(log.fallback),
        replaced=log.replaced,
        implausible=dict(log.implausible),
        sun=zenith,
        used_in=tuple(map(frozenset, log.used_in)),
    )


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
    log = _ReadLog()
    image, _, _ = _composite_s1(planes, grid, _SceneFilter(grid).only(passes), [], log)
    return image, tuple(log.used), tuple(log.lost)


class _SceneFilter:
    """Selects the scenes that may cover a grid, by their bounding boxes alone."""

    def __init__(self, grid: GeoBox) -> None:
        self._west, self._south, east, self._north = footprint(grid)
        self._east = east + 360 * (east < self._west)  # the grid crosses 180 degrees

    def only(self, datatakes: Sequence[Datatake]) -> list[Datatake]:
        """Keep the scenes near the grid; drop datatakes without any."""
        nearby = [
            tuple(scene for scene in datatake if self._touches(scene.bbox))
            for datatake in datatakes
        ]
        return [datatake for datatake in nearby if datatake]

    def _touches(self, bbox: tuple[float, float, float, float]) -> bool:
        west, south, east, north = bbox
        east += 360 * (east < west)
        return (
            south - _BBOX_TOLERANCE_DEGREES < self._north
            and north + _BBOX_TOLERANCE_DEGREES > self._south
        ) and any(
            west + turn - _BBOX_TOLERANCE_DEGREES < self._east
            and east + turn + _BBOX_TOLERANCE_DEGREES > self._west
            for turn in (-360, 0, 360)
        )


def _composite_s2(
    planes: Planes,
    grid: GeoBox,
    datatakes: list[Datatake],
    rules: CompositeRules,
    log: _ReadLog,
    *,
    sun: bool,
) -> tuple[NDArray[np.uint16], NDArray[np.uint8], NDArray[np.uint16] | None]:
    """Return (9, H, W) the median of each pixel's first clear observations, (H, W) their number.

    And, if ``sun``, (H, W) the mean of their sun's zenith, as ``Composite.sun``.
    """
    image = np.zeros((len(S2_BANDS), *grid.shape), np.uint16)
    scenes = [scene for datatake in datatakes for scene in datatake]
    picks = _pick_scenes(planes, grid, datatakes, rules, log)
    picked = [int(number) for number in np.unique(picks) if number != kernels.NO_SCENE]
    if not picked:
        no_sun = np.full(grid.shape, NO_SUN, np.uint16) if sun else None
        return image, np.zeros(grid.shape, np.uint8), no_sun
    suns = SunMean(picks, scenes) if sun else None
    count = np.full(grid.shape, 255, np.uint8)
    stack = np.zeros((rules.slots, *grid.shape), np.uint16)
    lost_plane = np.zeros(grid.shape, np.uint16)
    sources: dict[int, set[int]] = {number: set() for number in picked}
    requests = [(scenes[number], band) for band in S2_BANDS for number in picked]
    with closing(planes(requests, grid)) as stream:
        for index, band in enumerate(S2_BANDS):
            for number in picked:  # every band fills the same slots: no need to clear the stack
                plane, source = log.take(stream, scenes[number], band), number
                if plane is None:
                    plane, source = _older_plane(planes, grid, scenes, number, band, log)
                if plane is not None:
                    sources[number].add(source)
                kernels.fill_slots(
                    stack,
                    picks,
                    number,
                    lost_plane if plane is None else plane,
                    scenes[source].offset,
                )
            kernels.median(stack, kernels.sorting_network(rules.slots), image[index], count)
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
    log: _ReadLog,
) -> tuple[NDArray[Any] | None, int]:
    """Read a band that was lost from an older product of the same tile and datatake.

    Args:
        planes: reader.
        grid: grid of 10 m pixels.
        scenes: scenes of all datatakes.
        number: number of the scene whose band was lost.
        band: band that was lost.
        log: reading log; written.

    Returns:
        (H, W) raw DN, or None if no older product has the band; and the number of its scene.

    """
    lost = scenes[number]
    for other, scene in enumerate(scenes):
        if scene.behind == lost.id and scene.datatake == lost.datatake:
            plane = _read_one(planes, grid, scene, band, log)
            if plane is not None:
                log.replaced += 1
                return plane, other
    return None, number


def _read_one(
    planes: Planes, grid: GeoBox, scene: Scene, band: str, log: _ReadLog
) -> NDArray[Any] | None:
    """Read one band on its own, or None if it was lost."""
    with closing(planes([(scene, band)], grid)) as stream:
        return log.take(stream, scene, band)


def _pick_scenes(
    planes: Planes, grid: GeoBox, datatakes: list[Datatake], rules: CompositeRules, log: _ReadLog
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
    log: _ReadLog,
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
            source[free & (plane[core] != 0)] = index
            codes = np.where(codes == 0, plane, codes)
        else:
            new = free & (plane.reshape(height, 2, width, 2) != 0).any((1, 3))
            source[new] = index
            unmasked |= new
            log.unmasked.append(scene.id)
    return source, _mask(codes, rules)[core] & ~unmasked


def _mask(codes: NDArray[np.uint8], rules: CompositeRules) -> NDArray[np.bool_]:
    """Return (h, w) True where a classification is not clear, clouds and shadows grown."""
    is_masked, grows = np.zeros(256, bool), np.zeros(256, bool)
    is_masked[list(rules.mask_codes)] = True
    grows[[code for code in SCL_DILATED if code in rules.mask_codes]] = True
    along = kernels.grow(grows[codes], rules.mask_dilation)
    return kernels.grow(along.T, rules.mask_dilation).T | is_masked[codes]


def _composite_s1(
    planes: Planes,
    grid: GeoBox,
    passes: list[Datatake],
    others: list[Datatake],
    log: _ReadLog,
    counted: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the mean backscatter, its number of datatakes, and where they are the other orbit's.

    Returns:
        (2, H, W) hundredths of a decibel; (H, W) datatakes; (H, W) True where of ``others``.

    """
    total = np.zeros((len(S1_BANDS), *grid.shape), np.float32)
    count = np.zeros(grid.shape, np.uint16)  # many orbits may cover a pixel
    everywhere = np.ones(grid.shape, bool)
    arrays = everywhere if counted is None else counted, total, count
    _add_datatakes(planes, grid, passes, everywhere, arrays, log)
    lacking = count == 0
    if others and lacking.any():
        _add_datatakes(planes, grid, others, lacking, arrays, log)
    image = np.empty((len(S1_BANDS), *grid.shape), np.int16)
    for index in range(len(S1_BANDS)):
        kernels.mean_decibel(total[index], count, image[index])
    return image, np.minimum(count, _MAX_COUNT).astype(np.uint8), lacking & (count > 0)


def _add_datatakes(
    planes: Planes,
    grid: GeoBox,
    datatakes: list[Datatake],
    wanted: NDArray[np.bool_],
    arrays: tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.uint16]],
    log: _ReadLog,
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
                n_added, n_implausible = kernels.add_scene(vv, vh, pending, *arrays)
                if n_added:
                    log.used.append(scene.id)
                    if before is not None:
                        log.added(scene, before & ~pending)
                if n_implausible:
                    log.implausible[scene.id] += n_implausible
