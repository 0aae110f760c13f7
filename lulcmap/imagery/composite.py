"""Many scenes to one image: the median of the first clear observations, the mean backscatter.

Dates come ranked once for the whole run, and each pixel goes down that list on its own: a date on
which it has data is one try, and it stops after enough clear ones. So no pixel depends on the grid
it is computed in. Never more than ``min_clear`` planes of one band are held, as integers.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.catalog import Scene
from lulcmap.errors import ReadError
from lulcmap.geo import footprint
from lulcmap.imagery import kernels
from lulcmap.imagery.rules import CompositeRules
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_BANDS, S2_NODATA, SCL_DILATED
from lulcmap.system import as_xarray

if TYPE_CHECKING:
    import xarray

_BBOX_TOLERANCE_DEGREES = 0.02
"""Degrees (2 km) by which a scene's bbox may miss a grid and the scene still be read: catalogues
round their boxes, and their edges bend."""


_MAX_COUNT = 254
"""Largest count in a block's file, where 255 is no data."""


@dataclass(frozen=True, slots=True)
class LostAsset:
    """An asset that could not be read."""

    scene: str
    """Id of its scene."""

    band: str
    """Which of its bands."""

    reason: str
    """One line."""


@dataclass(frozen=True, slots=True)
class Composite:
    """One image, and what it was made of."""

    s2: NDArray[np.uint16]
    """(9, H, W) DN without offset, 0 nodata: in all bands or in none."""

    s1: NDArray[np.int16]
    """(2, H, W) gamma-nought, hundredths of a decibel, -32768 nodata: in both bands or in none."""

    s2_count: NDArray[np.uint8]
    """(H, W) clear observations behind the pixel, in the band that has fewest."""

    s1_count: NDArray[np.uint8]
    """(H, W) passes behind the pixel; 254 stands for more."""

    s1_other: NDArray[np.bool_]
    """(H, W) whether those are passes of the other orbit direction."""

    used: tuple[str, ...]
    """Ids of the scenes that gave pixels, in the order they were given."""

    lost: tuple[LostAsset, ...]
    """Assets that could not be read; the image is made without them."""

    opened: int
    """Assets asked for."""

    unmasked: tuple[str, ...]
    """Ids of the scenes taken as clear, for they have no scene classification."""

    grid: GeoBox
    """Grid of the composite."""

    @property
    def has_s2(self) -> NDArray[np.bool_]:
        """(H, W) whether a pixel has Sentinel-2."""
        return self.s2[0] != S2_NODATA

    @property
    def has_s1(self) -> NDArray[np.bool_]:
        """(H, W) whether a pixel has Sentinel-1."""
        return self.s1[0] != S1_NODATA

    def to_xarray(self) -> "xarray.Dataset":
        """A Dataset of ``s2`` (reflectance = DN x ``scale_factor``), ``s1`` and their counts.

        Needs the extra ``xarray``: ``pip install 'lulcmap[xarray]'``.

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
    """Gives bands of scenes on a grid, in order; ``Reader.planes`` is one."""

    def __call__(
        self, requests: Sequence[tuple[Scene, str]], grid: GeoBox
    ) -> Generator[NDArray[Any] | ReadError, None, None]:
        """For each request, in order, its pixels as ``Reader.read`` gives them, or the error."""
        ...


@dataclass(slots=True)
class _Log:
    """What happened while reading."""

    used: list[str] = field(default_factory=list)
    lost: list[LostAsset] = field(default_factory=list)
    unmasked: list[str] = field(default_factory=list)
    opened: int = 0

    def take(
        self, stream: Iterator[NDArray[Any] | ReadError], scene: Scene, band: str
    ) -> NDArray[Any] | None:
        """The next plane of a stream, or None where it was lost."""
        plane = next(stream)
        self.opened += 1
        if isinstance(plane, ReadError):
            self.lost.append(LostAsset(scene.id, band, str(plane)))
            return None
        return plane


def make_composite(
    planes: Planes,
    grid: GeoBox,
    *,
    s2_dates: Sequence[Sequence[Scene]],
    s1_passes: Sequence[Sequence[Scene]],
    s1_others: Sequence[Sequence[Scene]] = (),
    rules: CompositeRules | None = None,
) -> Composite:
    """The image of a grid.

    Args:
        planes: gives the pixels.
        grid: 10 m, its edges on multiples of 20 m.
        s2_dates: datatakes of Sentinel-2, best first; each its scenes, and a pixel takes the first
            that has data there.
        s1_passes: datatakes of Sentinel-1, likewise.
        s1_others: of the other orbit direction, for pixels that lack those.
        rules: of Sentinel-2; None for the usual ones.

    Raises:
        ValueError: the grid is not on multiples of 20 m.

    """
    rules = rules or CompositeRules()
    corner = (grid.affine.c / 20, grid.affine.f / 20)
    if any(size % 2 for size in grid.shape) or any(abs(x - round(x)) > 1e-4 for x in corner):
        raise ValueError(f"a composite's grid must lie on multiples of 20 m: {grid}")
    near = _SceneFilter(grid)
    log = _Log()
    s2, s2_count = _optical(planes, grid, near.only(s2_dates), rules, log)
    s1, s1_count, s1_other = _radar(planes, grid, near.only(s1_passes), near.only(s1_others), log)
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
    )


def mean_backscatter(
    planes: Planes, grid: GeoBox, passes: Sequence[Sequence[Scene]]
) -> tuple[NDArray[np.int16], tuple[str, ...], tuple[LostAsset, ...]]:
    """The mean of passes of Sentinel-1, as a composite has it, on any grid.

    Args:
        planes: gives the pixels.
        grid: north-up.
        passes: datatakes; each its scenes, and a pixel takes the first that has data there.

    Returns:
        (2, H, W) gamma-nought, hundredths of a decibel, -32768 nodata: the mean of the linear power
        of all passes that reach the pixel; ids of the scenes that gave pixels; assets that could
        not be read.

    """
    log = _Log()
    image, _, _ = _radar(planes, grid, _SceneFilter(grid).only(passes), [], log)
    return image, tuple(log.used), tuple(log.lost)


class _SceneFilter:
    """Tells which scenes may reach a grid, from their boxes alone."""

    def __init__(self, grid: GeoBox) -> None:
        self._west, self._south, east, self._north = footprint(grid)
        self._east = east + 360 * (east < self._west)  # it crosses 180 degrees

    def only(self, dates: Sequence[Sequence[Scene]]) -> list[list[Scene]]:
        """The scenes near the grid; dates without any are left out."""
        near = [[scene for scene in date if self._touches(scene.bbox)] for date in dates]
        return [date for date in near if date]

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


def _optical(
    planes: Planes, grid: GeoBox, dates: list[list[Scene]], rules: CompositeRules, log: _Log
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """(9, H, W) median of each pixel's first clear observations, and (H, W) how many."""
    image = np.zeros((len(S2_BANDS), *grid.shape), np.uint16)
    scenes = [scene for date in dates for scene in date]
    picks = _pick(planes, grid, dates, rules, log)
    picked = [int(number) for number in np.unique(picks) if number != kernels.NONE]
    if not picked:
        return image, np.zeros(grid.shape, np.uint8)
    count = np.full(grid.shape, 255, np.uint8)
    stack = np.zeros((rules.slots, *grid.shape), np.uint16)
    lacking = np.zeros(grid.shape, np.uint16)  # stands for a lost plane
    gave = set()
    requests = [(scenes[number], band) for band in S2_BANDS for number in picked]
    with closing(planes(requests, grid)) as stream:
        for index, band in enumerate(S2_BANDS):
            for number in picked:  # every band fills the same places: the stack needs no clearing
                plane = log.take(stream, scenes[number], band)
                if plane is not None:
                    gave.add(number)
                kernels.fill(
                    stack, picks, number, lacking if plane is None else plane, scenes[number].offset
                )
            kernels.median(stack, kernels.network(rules.slots), image[index], count)
    kernels.blank(image, count)
    log.used += [scenes[number].id for number in picked if number in gave]
    return image, count


def _pick(
    planes: Planes, grid: GeoBox, dates: list[list[Scene]], rules: CompositeRules, log: _Log
) -> NDArray[np.uint16]:
    """(slots, H/2, W/2) which scene, counted through all dates, fills each slot; else ``NONE``.

    The classification is read with a margin as wide as the dilation, so that a cloud beyond the
    edge masks what it would mask on a larger grid.
    """
    coarse = grid.zoom_out(2)
    picks = np.full((rules.slots, *coarse.shape), kernels.NONE, np.uint16)
    tries, clear = np.zeros(coarse.shape, np.uint8), np.zeros(coarse.shape, np.uint8)
    requests = [(scene, "SCL") for date in dates for scene in date if "SCL" in scene.assets]
    first = 0
    with closing(planes(requests, coarse.pad(rules.mask_dilation))) as stream:
        for date in dates:
            source, masked = _observe(planes, stream, grid, date, rules, log)
            source[source != kernels.NONE] += first
            if kernels.try_date(source, masked, tries, clear, picks, rules.max_scenes) == 0:
                break
            first += len(date)
    return picks


def _observe(
    planes: Planes,
    classes: Iterator[NDArray[Any] | ReadError],
    grid: GeoBox,
    date: list[Scene],
    rules: CompositeRules,
    log: _Log,
) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """What one date shows at 20 m.

    A scene without a classification counts as clear wherever a pixel has blue.

    Args:
        planes: gives blue where there is no classification.
        classes: the classifications of this date's scenes, in order.
        grid: 10 m.
        date: the scenes of one datatake.
        rules: of the mask.
        log: is written.

    Returns:
        (H/2, W/2) index in ``date`` of the scene seen, or ``NONE``; and True where not clear.

    """
    height, width = grid.shape[0] // 2, grid.shape[1] // 2
    margin = rules.mask_dilation
    core = (slice(margin, margin + height), slice(margin, margin + width))
    codes = np.zeros((height + 2 * margin, width + 2 * margin), np.uint8)
    source = np.full((height, width), kernels.NONE, np.uint16)
    plain = np.zeros((height, width), bool)
    for index, scene in enumerate(date):
        if "SCL" in scene.assets:
            plane = log.take(classes, scene, "SCL")
            if plane is None:
                continue  # lost: what is cloud cannot be told, so the scene is left out
            source[(source == kernels.NONE) & (plane[core] != 0)] = index
            codes = np.where(codes == 0, plane, codes)
            continue
        with closing(planes([(scene, "B02")], grid)) as stream:
            blue = log.take(stream, scene, "B02")
        if blue is not None:
            new = (blue.reshape(height, 2, width, 2) != 0).any((1, 3)) & (source == kernels.NONE)
            source[new] = index
            plain |= new
            log.unmasked.append(scene.id)
    return source, _mask(codes, rules)[core] & ~plain


def _mask(codes: NDArray[np.uint8], rules: CompositeRules) -> NDArray[np.bool_]:
    """(h, w) True where a classification is no clear observation, clouds and shadows grown."""
    is_masked, grows = np.zeros(256, bool), np.zeros(256, bool)
    is_masked[list(rules.mask_codes)] = True
    grows[[code for code in SCL_DILATED if code in rules.mask_codes]] = True
    along = kernels.grow(grows[codes], rules.mask_dilation)
    return kernels.grow(along.T, rules.mask_dilation).T | is_masked[codes]


def _radar(
    planes: Planes,
    grid: GeoBox,
    passes: list[list[Scene]],
    others: list[list[Scene]],
    log: _Log,
) -> tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.bool_]]:
    """(2, H, W) mean backscatter in dB, (H, W) passes in it, (H, W) whether of the other orbit."""
    total = np.zeros((len(S1_BANDS), *grid.shape), np.float32)
    count = np.zeros(grid.shape, np.uint16)  # many orbits may reach a pixel
    _add_passes(planes, grid, passes, np.ones(grid.shape, bool), (total, count), log)
    lacking = count == 0
    if others and lacking.any():
        _add_passes(planes, grid, others, lacking, (total, count), log)
    image = np.empty((len(S1_BANDS), *grid.shape), np.int16)
    for index in range(len(S1_BANDS)):
        kernels.decibel(total[index], count, image[index])
    return image, np.minimum(count, _MAX_COUNT).astype(np.uint8), lacking & (count > 0)


def _add_passes(
    planes: Planes,
    grid: GeoBox,
    passes: list[list[Scene]],
    wanted: NDArray[np.bool_],
    sums: tuple[NDArray[np.float32], NDArray[np.uint16]],
    log: _Log,
) -> None:
    """Add passes, in order, to the power and the count of the pixels that are wanted."""
    requests = [(scene, band) for date in passes for scene in date for band in S1_BANDS]
    with closing(planes(requests, grid)) as stream:
        for date in passes:
            left = wanted.copy()
            for scene in date:
                vv, vh = (log.take(stream, scene, band) for band in S1_BANDS)
                if vv is not None and vh is not None and kernels.add_pass(vv, vh, left, *sums):
                    log.used.append(scene.id)
