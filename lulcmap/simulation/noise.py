"""Random numbers and smooth noise as functions of place: any part can be made by itself."""

import math

import numpy as np

from lulcmap.system import compiled

_ONE = np.uint64(1)
_MIX_1, _MIX_2, _MIX_3 = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
)
_S30, _S27, _S31, _S40 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(40)
_COS, _SIN = math.cos(0.65), math.sin(0.65)


@compiled
def mixed(key: np.uint64, row: int, col: int) -> np.uint64:
    """64 random bits from a key and two integers (SplitMix64's finaliser, Steele et al. 2014)."""
    x = key + np.uint64(row) * _MIX_1 + _ONE
    x = (x ^ (x >> _S30)) * _MIX_2
    x = (x ^ (x >> _S27)) + np.uint64(col) * _MIX_1
    x = (x ^ (x >> _S30)) * _MIX_2
    x = (x ^ (x >> _S27)) * _MIX_3
    return x ^ (x >> _S31)


@compiled
def uniform(key: np.uint64, row: int, col: int) -> float:
    """A uniform number from 0 to 1, the same for the same key and integers."""
    return float(mixed(key, row, col) >> _S40) / 16777216.0


@compiled
def normal(key: np.uint64, row: int, col: int) -> float:
    """A nearly normal number (sum of four uniform ones), mean 0, deviation 1, within +-3.5."""
    bits = mixed(key, row, col)
    total = 0.0
    for _ in range(4):
        total += float(bits & np.uint64(65535))
        bits = bits >> np.uint64(16)
    return (total / 65535.0 - 2.0) * 1.7320508


@compiled
def smooth(key: np.uint64, y: float, x: float) -> float:
    """Value noise: uniform numbers at integer places, interpolated; mean 0, deviation 1."""
    row, col = math.floor(y), math.floor(x)
    v, u = y - row, x - col
    v = v * v * (3 - 2 * v)
    u = u * u * (3 - 2 * u)
    i, j = int(row), int(col)
    above = uniform(key, i, j) * (1 - u) + uniform(key, i, j + 1) * u
    below = uniform(key, i + 1, j) * (1 - u) + uniform(key, i + 1, j + 1) * u
    return (above * (1 - v) + below * v - 0.5) * 4.66


@compiled
def fractal(key: np.uint64, y: float, x: float, wavelength: float, octaves: int) -> float:
    """Value noise at ever shorter wavelengths, each rotated so that no axis shows.

    Args:
        key: random bits of the field.
        y: row, pixels.
        x: column, pixels.
        wavelength: wavelength of the longest octave, pixels.
        octaves: number of octaves, each half as long and half as strong.

    Returns:
        Noise with mean 0 and deviation about 1.

    """
    total, strength, square = 0.0, 1.0, 0.0
    y, x = y / wavelength, x / wavelength
    for octave in range(octaves):
        y, x = _COS * y - _SIN * x + 17.3, _SIN * y + _COS * x + 5.7
        total += strength * smooth(key + np.uint64(octave), y, x)
        square += strength * strength
        strength *= 0.5
        y, x = y * 2.03, x * 2.03
    return total / math.sqrt(square)
