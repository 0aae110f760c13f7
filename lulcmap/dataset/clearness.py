"""Which pixels of one Sentinel-2 date are clear: by its classification, and by their colours."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from lulcmap.sensors import S2_BANDS, S2_NODATA, SCL_DILATED, SCL_MASKED

_SCL_SNOW = 11
"""Code of snow, which the colours alone could take for cloud."""

_HAZE_ABOVE = 600
"""DN of B02 minus half of B04 above which a pixel is hazy or cloudy.

Clear land has blue below red: this difference, Zhu and Woodcock's haze test of Fmask (2012) in
surface reflectance, is at most 460 over the dusty plains of Punjab and 500 on glinting rivers; in a
thin veil of cloud over Congo it is above 600 on 97 % of the pixels."""

_SNOW_ABOVE = 0.4
"""Normalised difference of B03 and B11 above which a bright pixel is snow or water, not cloud."""

_SMALLEST_PX, _SMALLEST_VEIL_PX = 5, 31
"""Side of the smallest cloud, pixels: single roofs and roads are as bright. Where a classification
finds the clouds, of the smallest veil that it may have missed: large halls are as bright, too."""

_SCL_REACH_PX, _COLOUR_REACH_PX = 4, 12
"""Pixels of 10 m by which clouds are grown: of the classification as in a composite, of the colours
more, for a cloud's veil is fainter than its middle."""


def clear_by_classes(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(H, W) True where a scene classification (H, W), 0 where there is none, names no cloud.

    Clouds and their shadows are grown, as in a composite.
    """
    masked = np.isin(codes, SCL_MASKED) & (codes != 0)
    return ~masked & ~_grown(np.isin(codes, SCL_DILATED), _SCL_REACH_PX)


def clear_by_colours(
    s2: NDArray[np.uint16], codes: NDArray[np.uint8] | None = None
) -> NDArray[np.bool_]:
    """Find the pixels of an image whose colours are not those of cloud or haze.

    Snow is not cloud. Shadows of clouds are not found, and large white ground that is not snow,
    such as salt flats and greenhouses, is taken for cloud.

    Args:
        s2: (9, H, W) DN without offset; 0 nodata.
        codes: (H, W) scene classification, 0 where there is none; None without one. It knows snow,
            and where it is, only wide veils are looked for.

    Returns:
        (H, W) True where there is data, and neither haze nor its surroundings.

    """
    hazy = _looks_hazy(s2, codes)
    clouds = _opened(hazy, _SMALLEST_PX)
    if codes is not None:
        clouds = np.where(codes == 0, clouds, _opened(hazy, _SMALLEST_VEIL_PX))
    return np.asarray((s2[0] != S2_NODATA) & ~_grown(clouds, _COLOUR_REACH_PX))


def _looks_hazy(s2: NDArray[np.uint16], codes: NDArray[np.uint8] | None) -> NDArray[np.bool_]:
    blue, green, red, swir = (
        s2[S2_BANDS.index(band)].astype(np.float32) for band in ("B02", "B03", "B04", "B11")
    )
    snow = (green - swir) / np.maximum(green + swir, 1) > _SNOW_ABOVE
    if codes is not None:
        snow |= codes == _SCL_SNOW
    return np.asarray((blue - red / 2 > _HAZE_ABOVE) & ~snow)


def _opened(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """The squares of a side of pixels that fit into a mask."""
    inner = minimum_filter(mask.view(np.uint8), side)
    return np.asarray(maximum_filter(inner, side).astype(bool))


def _grown(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """The pixels within some pixels of a mask, on both axes."""
    return np.asarray(maximum_filter(mask.view(np.uint8), 2 * reach + 1).astype(bool))
