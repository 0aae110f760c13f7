"""Pixels in one byte: reflectance on a logarithmic scale, backscatter in fifths of a decibel."""

import numpy as np
from numpy.typing import NDArray

from lulcmap.sensors import S1_NODATA

DARK_DN, BRIGHT_DN = 60.0, 16000.0
"""Reflectance that is added before the logarithm, and the brightest that is kept, DN."""

S2_LEVELS = 254
"""Steps of the scale, of 2 to 4 % in reflectance."""

LOWEST_DB, DB_STEP = -40.0, 0.2
"""Backscatter of code 1, and the step, dB."""

_SCALE = S2_LEVELS / np.log((BRIGHT_DN + DARK_DN) / DARK_DN)


def s2_codes(s2: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Codes 1 to 255 of DN, 0 nodata."""
    codes = 1 + np.rint(_SCALE * np.log((s2.clip(0, BRIGHT_DN) + DARK_DN) / DARK_DN))
    return np.where(s2 == 0, 0, codes.clip(1, 255)).astype(np.uint8)


def s2_of(codes: NDArray[np.uint8], rng: np.random.Generator | None = None) -> NDArray[np.uint16]:
    """DN of codes; with a source of randomness anywhere within the code's step."""
    place = codes.astype(np.float32) - 1
    if rng is not None:
        place += rng.uniform(-0.5, 0.5, codes.shape).astype(np.float32)
    dn = DARK_DN * (np.exp(place / _SCALE) - 1)
    return np.where(codes == 0, 0, np.rint(dn).clip(1, BRIGHT_DN)).astype(np.uint16)


def s1_codes(s1: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Codes 1 to 255 of hundredths of a decibel, 0 nodata."""
    codes = 1 + np.rint((s1 / 100.0 - LOWEST_DB) / DB_STEP)
    return np.where(s1 == S1_NODATA, 0, codes.clip(1, 255)).astype(np.uint8)


def s1_of(codes: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Hundredths of a decibel of codes."""
    decibels = LOWEST_DB + DB_STEP * (codes.astype(np.float32) - 1)
    return np.where(codes == 0, S1_NODATA, np.rint(100 * decibels)).astype(np.int16)
