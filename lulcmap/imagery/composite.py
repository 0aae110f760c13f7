"""Composite scenes: the median of the first clear observations, the mean backscatter.

Datatakes are ranked once for the whole run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.catalog import Datatake
from lulcmap.imagery.backscatter import composite_s1
from lulcmap.imagery.read_log import LostAsset, Planes, ReadLog
from lulcmap.imagery.reflectance import composite_s2
from lulcmap.imagery.rules import CompositeRules
from lulcmap.imagery.scene_filter import SceneFilter
from lulcmap.imagery.strips import Strips
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_BANDS, S2_NODATA
from lulcmap.system import as_xarray

if TYPE_CHECKING:
    import xarray


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
    threads: int = 1,
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
        threads: threads that composite, besides those that read.

    Raises:
        ValueError: the grid's edges are not on multiples of 20 m.

    """
    rules = rules or CompositeRules()
    corner = (grid.affine.c / 20, grid.affine.f / 20)
    if any(size % 2 for size in grid.shape) or any(abs(x - round(x)) > 1e-4 for x in corner):
        raise ValueError(
            f"the edges of a composite's grid must be on multiples of 20 m, got {grid}"
        )
    nearby = SceneFilter(grid)
    log = ReadLog(parts=parts)
    passes, others = nearby.only(s1_passes), nearby.only(s1_others)
    with Strips(threads) as strips:
        s2, s2_count, zenith = composite_s2(
            planes, grid, nearby.only(s2_dates), rules, log, sun=sun, strips=strips
        )
        s1, s1_count, s1_other = composite_s1(
            planes, grid, passes, others, log, counted, strips=strips
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
