"""What a chip may also have looked like: other cuts, turns, light, noise and gaps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NODATA
from lulcmap.sensors import S1_NODATA, S2_NODATA
from lulcmap.training.settings import Augmentation

T = TypeVar("T", bound=np.generic)

Sample = tuple[NDArray[np.uint16], NDArray[np.int16], NDArray[np.uint8]]
"""Sentinel-2 (9, H, W) DN, Sentinel-1 (2, H, W) hundredths of a decibel, classes (H, W)."""


@dataclass(frozen=True, slots=True)
class Strength:
    """How far a sample may stray from its chip: standard deviations, 0 where it does not."""

    s2_gain: float
    """Of the logarithm of the light on a whole sample."""

    s2_band_gain: float
    """Of the logarithm of each band's own gain."""

    s2_noise: float
    """Of each pixel's and band's noise, DN."""

    s1_shift: float
    """Of a sample's shift, hundredths of a decibel: incidence angle, wetness, sigma or gamma."""

    s1_band_shift: float
    """Of each polarisation's own shift, hundredths of a decibel."""

    haze: float = 0.0
    """Of what haze adds to B02, DN; less than nothing where it was over-corrected."""


STRENGTHS: Mapping[Augmentation, Strength] = {
    "gentle": Strength(0.05, 0.03, 15.0, 50.0, 20.0),
    "strong": Strength(
        s2_gain=0.15,
        s2_band_gain=0.04,
        s2_noise=0.0,
        s1_shift=90.0,
        s1_band_shift=60.0,
        haze=150.0,
    ),
}
"""Gentle: as composites of one archive differ. Strong: so far that no level can be relied on, for
networks of few samples that must read other archives and other skies; but no pixel has noise of
its own, for chips are made with theirs."""

HAZE_COLOUR = np.array([1, 0.75, 0.55, 0.45, 0.3, 0.27, 0.22, 0.08, 0.05], np.float32)
"""What haze adds to each band, beside B02."""

HAZE_BAND_DEVIATION = 0.2
"""Standard deviation of the logarithm of each band's haze."""

WHOLE_GAP_SHARE = 0.6
"""Share of the missing sensors that are missing everywhere; the others end at a swath's edge."""


def augment(
    sample: Sample,
    rng: np.random.Generator,
    *,
    crop: int,
    missing_s2: float,
    missing_s1: float,
    strength: Strength = STRENGTHS["gentle"],
) -> Sample:
    """One random cut of a chip, turned, flipped, relit, perhaps with a sensor missing.

    Everything happens in raw integers, so what the network gets is what a composite could be.

    Args:
        sample: the chip.
        rng: draws everything.
        crop: pixels a side of the cut; the chip's side if that is smaller.
        missing_s2: how often Sentinel-2 is taken away.
        missing_s1: how often Sentinel-1 is; never both.
        strength: how far light and backscatter stray.

    """
    s2, s1, label = random_turn(random_crop(sample, rng, crop=crop), rng)
    s2, s1 = relight_s2(s2, rng, strength), shift_s1(s1, rng, strength)
    draw = rng.random()
    if draw < missing_s2:
        s2[:, random_gap(label.shape, rng)] = S2_NODATA
    elif draw < missing_s2 + missing_s1:
        s1[:, random_gap(label.shape, rng)] = S1_NODATA
    return s2, s1, np.ascontiguousarray(label)


def random_crop(sample: Sample, rng: np.random.Generator, *, crop: int) -> Sample:
    """A random square of the chip; one with a label in it, for others teach nothing."""
    label = sample[2]
    height, width = label.shape
    rows, cols = min(crop, height), min(crop, width)
    row, col = int(rng.integers(height - rows + 1)), int(rng.integers(width - cols + 1))
    if (label[row : row + rows, col : col + cols] == NODATA).all() and (label != NODATA).any():
        # sparse labels: around one of their pixels instead
        places = np.argwhere(label != NODATA)
        y, x = places[rng.integers(len(places))] - rng.integers((rows, cols))
        row, col = int(np.clip(y, 0, height - rows)), int(np.clip(x, 0, width - cols))
    window = np.s_[..., row : row + rows, col : col + cols]
    return sample[0][window], sample[1][window], sample[2][window]


def random_turn(sample: Sample, rng: np.random.Generator) -> Sample:
    """One of the square's eight turns and reflections; of a longer chip, a half turn at most."""
    square = sample[2].shape[0] == sample[2].shape[1]
    quarters = int(rng.integers(4)) if square else 2 * int(rng.integers(2))
    mirrored = bool(rng.integers(2))
    columns = slice(None, None, -1 if mirrored else 1)

    def turn(array: NDArray[T]) -> NDArray[T]:
        return np.rot90(array, quarters, (-2, -1))[..., columns]

    return turn(sample[0]), turn(sample[1]), turn(sample[2])


def relight_s2(
    s2: NDArray[np.uint16], rng: np.random.Generator, strength: Strength = STRENGTHS["gentle"]
) -> NDArray[np.uint16]:
    """In other light: (9, H, W) DN with gains, haze and noise; 0 stays nodata, and only it is 0."""
    bands = (len(s2), 1, 1)
    gain = np.exp(rng.normal(0, strength.s2_gain) + rng.normal(0, strength.s2_band_gain, bands))
    lit = s2 * gain.astype(np.float32)
    if strength.haze:
        colour = HAZE_COLOUR[:, None, None] * np.exp(rng.normal(0, HAZE_BAND_DEVIATION, bands))
        lit = lit + (rng.normal(0, strength.haze) * colour).astype(np.float32)
    if strength.s2_noise:
        noise = rng.standard_normal(s2.shape, dtype=np.float32)
        lit = lit + np.float32(strength.s2_noise) * noise
    return np.where(s2 == S2_NODATA, S2_NODATA, np.rint(lit).clip(1, 65535)).astype(np.uint16)


def shift_s1(
    s1: NDArray[np.int16], rng: np.random.Generator, strength: Strength = STRENGTHS["gentle"]
) -> NDArray[np.int16]:
    """A little brighter or darker: (2, H, W) hundredths of a decibel; nodata stays."""
    bands = (len(s1), 1, 1)
    shift = rng.normal(0, strength.s1_shift) + rng.normal(0, strength.s1_band_shift, bands)
    moved = s1 + shift
    moved = np.rint(moved).clip(S1_NODATA + 1, 32767)
    return np.where(s1 == S1_NODATA, S1_NODATA, moved).astype(np.int16)


def random_gap(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Where a sensor has nothing: everywhere, or beyond a straight line across the sample."""
    if rng.random() < WHOLE_GAP_SHARE:
        return np.ones(shape, np.bool_)
    angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(-0.35, 0.35)
    y, x = (np.linspace(-0.5, 0.5, size) for size in shape)
    return np.cos(angle) * x[None, :] + np.sin(angle) * y[:, None] > distance
