"""Smooth random fields on a square of pixels, made by two small matrix products."""

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
"""(N, N)."""


def smooth(rng: np.random.Generator, size: int, wavelength: float) -> Field:
    """Random numbers at places ``wavelength`` pixels apart, joined by cubic B-splines.

    Args:
        rng: draws them.
        size: pixels a side.
        wavelength: of the longest waves, pixels; 2 at least.

    Returns:
        Mean 0 and deviation 1 over many fields, not over each.

    """
    rows, cols = (_spline(rng, size, wavelength) for _ in range(2))
    coarse = rng.standard_normal((rows.shape[1], cols.shape[1]), dtype=np.float32)
    return (rows @ coarse @ cols.T / np.float32(_SPLINE_DEVIATION**2)).astype(
        np.float32, copy=False
    )


def fractal(rng: np.random.Generator, size: int, wavelength: float, *, octaves: int = 4) -> Field:
    """Smooth fields of ever shorter waves, each half as long and a little over half as strong."""
    total, square = np.zeros((size, size), np.float32), 0.0
    for octave in range(octaves):
        length = wavelength / 2**octave
        if length < 2:
            break
        total += np.float32(0.55**octave) * smooth(rng, size, length)
        square += 0.55 ** (2 * octave)
    return total / np.float32(max(square, 1e-6) ** 0.5)


def smooth_line(rng: np.random.Generator, size: int, wavelength: float) -> NDArray[np.float32]:
    """(N,) the same along one line."""
    spline = _spline(rng, size, wavelength)
    return (
        spline
        @ rng.standard_normal(spline.shape[1], dtype=np.float32)
        / np.float32(_SPLINE_DEVIATION)
    )


def coordinates(size: int, angle: float) -> tuple[Field, Field]:
    """Where each pixel is along two axes turned by an angle, pixels from the middle."""
    place = np.arange(size, dtype=np.float32) - size / 2
    y, x = place[:, None], place[None, :]
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


_SPLINE_DEVIATION = 0.6925
"""Of a sum of unit normals under a cubic B-spline's weights, over all phases."""


def _spline(rng: np.random.Generator, size: int, wavelength: float) -> NDArray[np.float32]:
    """(N, M) weights of M places at N pixels, at a random phase."""
    place = np.arange(size) / wavelength + rng.random()
    first = np.floor(place).astype(np.int64)
    t = place - first
    weights = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], 1
    )
    matrix = np.zeros((size, int(first[-1]) + 4), np.float32)
    np.put_along_axis(matrix, first[:, None] + np.arange(4), weights / 6, 1)
    return matrix
