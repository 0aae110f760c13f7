"""What a chip may also have looked like: other cuts, turns, light, noise and gaps."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lulcmap.sensors import S1_NODATA, S2_NODATA

T = TypeVar("T", bound=np.generic)

Sample = tuple[NDArray[np.uint16], NDArray[np.int16], NDArray[np.uint8]]
"""Sentinel-2 (9, H, W) DN, Sentinel-1 (2, H, W) hundredths of a decibel, classes (H, W)."""

S2_GAIN = 0.05
"""Standard deviation of the logarithm of the light on a whole sample."""

S2_BAND_GAIN = 0.03
"""Standard deviation of the logarithm of each band's own gain."""

S2_NOISE = 15.0
"""Standard deviation of a pixel's noise, DN."""

S1_SHIFT = 50.0
"""Standard deviation of a sample's shift, hundredths of a decibel: incidence angle, wetness."""

S1_BAND_SHIFT = 20.0
"""Standard deviation of each polarisation's own shift, hundredths of a decibel."""

WHOLLY = 0.6
"""Share of the missing sensors that are missing everywhere; the others end at a swath's edge."""


def augmented(
    sample: Sample,
    rng: np.random.Generator,
    *,
    crop: int,
    missing_s2: float,
    missing_s1: float,
) -> Sample:
    """One random cut of a chip, turned, flipped, relit, perhaps with a sensor missing.

    Everything happens in raw integers, so what the network gets is what a composite could be.

    Args:
        sample: the chip.
        rng: draws everything.
        crop: pixels a side of the cut; the chip's side if that is smaller.
        missing_s2: how often Sentinel-2 is taken away.
        missing_s1: how often Sentinel-1 is; never both.

    """
    s2, s1, label = turned(cut(sample, rng, crop=crop), rng)
    s2, s1 = relit_s2(s2, rng), shifted_s1(s1, rng)
    draw = rng.random()
    if draw < missing_s2:
        s2[:, gap(label.shape, rng)] = S2_NODATA
    elif draw < missing_s2 + missing_s1:
        s1[:, gap(label.shape, rng)] = S1_NODATA
    return s2, s1, np.ascontiguousarray(label)


def cut(sample: Sample, rng: np.random.Generator, *, crop: int) -> Sample:
    """A random square of the chip."""
    height, width = sample[2].shape
    rows, cols = min(crop, height), min(crop, width)
    row, col = int(rng.integers(height - rows + 1)), int(rng.integers(width - cols + 1))
    window = np.s_[..., row : row + rows, col : col + cols]
    return sample[0][window], sample[1][window], sample[2][window]


def turned(sample: Sample, rng: np.random.Generator) -> Sample:
    """One of the square's eight turns and reflections; of a longer chip, a half turn at most."""
    square = sample[2].shape[0] == sample[2].shape[1]
    quarters = int(rng.integers(4)) if square else 2 * int(rng.integers(2))
    mirrored = bool(rng.integers(2))
    columns = slice(None, None, -1 if mirrored else 1)

    def turn(array: NDArray[T]) -> NDArray[T]:
        return np.rot90(array, quarters, (-2, -1))[..., columns]

    return turn(sample[0]), turn(sample[1]), turn(sample[2])


def relit_s2(s2: NDArray[np.uint16], rng: np.random.Generator) -> NDArray[np.uint16]:
    """Under other light: (9, H, W) DN with gains and noise; 0 stays nodata, and only it is 0."""
    gain = np.exp(rng.normal(0, S2_GAIN) + rng.normal(0, S2_BAND_GAIN, (len(s2), 1, 1)))
    noise = rng.standard_normal(s2.shape, dtype=np.float32)
    lit = s2 * gain.astype(np.float32) + np.float32(S2_NOISE) * noise
    return np.where(s2 == S2_NODATA, S2_NODATA, np.rint(lit).clip(1, 65535)).astype(np.uint16)


def shifted_s1(s1: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.int16]:
    """A little brighter or darker: (2, H, W) hundredths of a decibel; nodata stays."""
    shift = rng.normal(0, S1_SHIFT) + rng.normal(0, S1_BAND_SHIFT, (len(s1), 1, 1))
    moved = np.rint(s1 + shift).clip(S1_NODATA + 1, 32767)
    return np.where(s1 == S1_NODATA, S1_NODATA, moved).astype(np.int16)


def gap(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Where a sensor has nothing: everywhere, or beyond a straight line across the sample."""
    if rng.random() < WHOLLY:
        return np.ones(shape, np.bool_)
    angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(-0.35, 0.35)
    y, x = (np.linspace(-0.5, 0.5, size) for size in shape)
    return np.cos(angle) * x[None, :] + np.sin(angle) * y[:, None] > distance
