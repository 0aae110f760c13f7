"""Augmentation: random crops, turns, light, noise and gaps of a chip."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.dataset import Pixels
from lulcmap.legend import NODATA
from lulcmap.sensors import S1_NODATA, S2_NODATA
from lulcmap.training.settings import Augmentation

Sample = Pixels
"""What a network is trained on or measured with: a chip's pixels, or those of a part of it."""


@dataclass(frozen=True, slots=True)
class Strength:
    """Strength of the augmentation: standard deviations, 0 for none."""

    s2_gain: float
    """Deviation of the logarithm of a sample's gain, common to all bands."""

    s2_band_gain: float
    """Deviation of the logarithm of each band's own gain."""

    s2_noise: float
    """Deviation of the noise of each pixel and band, DN."""

    s1_shift: float
    """Deviation of a sample's backscatter shift, 0.01 dB: incidence angle, wetness, sigma/gamma."""

    s1_band_shift: float
    """Deviation of each polarisation's own shift, hundredths of a decibel."""

    haze: float = 0.0
    """Deviation of the haze in B02, DN; negative haze stands for over-correction."""


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
"""``gentle``: as composites of one archive differ. ``strong``: so much that no absolute level is
reliable, for networks of few samples that must work on other archives and atmospheres; without
noise of single pixels, because the recipe's chips already contain it."""

HAZE_COLOUR = np.array([1, 0.75, 0.55, 0.45, 0.3, 0.27, 0.22, 0.08, 0.05], np.float32)
"""Haze in each band, relative to B02."""

HAZE_BAND_DEVIATION = 0.2
"""Standard deviation of the logarithm of each band's haze."""

WHOLE_GAP_SHARE = 0.6
"""Share of the gaps that cover the whole sample; the others end at a straight swath edge."""


def augment(
    sample: Sample,
    rng: np.random.Generator,
    *,
    crop: int,
    missing_s2: float,
    missing_s1: float,
    strength: Strength = STRENGTHS["gentle"],
) -> Sample:
    """Augment a chip: random crop, turn, flip and light, perhaps a missing sensor.

    All steps work on raw integers, so the network sees only what a composite could be.

    Args:
        sample: chip to augment.
        rng: source of all random draws.
        crop: side of the crop, pixels; smaller chips stay whole.
        missing_s2: probability that Sentinel-2 is removed.
        missing_s1: probability that Sentinel-1 is removed; never both.
        strength: how much light and backscatter vary.

    """
    turned = random_turn(random_crop(sample, rng, crop=crop), rng).each(np.ascontiguousarray)
    s2, s1 = relight_s2(turned.s2, rng, strength), shift_s1(turned.s1, rng, strength)
    draw = rng.random()
    if draw < missing_s2:
        s2[:, random_gap(turned.shape, rng)] = S2_NODATA
    elif draw < missing_s2 + missing_s1:
        s1[:, random_gap(turned.shape, rng)] = S1_NODATA
    return replace(turned, s2=s2, s1=s1)


def random_crop(sample: Sample, rng: np.random.Generator, *, crop: int) -> Sample:
    """A random square of the chip that contains a label, since others teach nothing."""
    label = sample.label
    height, width = sample.shape
    rows, cols = min(crop, height), min(crop, width)
    row, col = int(rng.integers(height - rows + 1)), int(rng.integers(width - cols + 1))
    if (label[row : row + rows, col : col + cols] == NODATA).all() and (label != NODATA).any():
        # sparse labels: crop around a labelled pixel instead
        labelled = np.argwhere(label != NODATA)
        y, x = labelled[rng.integers(len(labelled))] - rng.integers((rows, cols))
        row, col = int(np.clip(y, 0, height - rows)), int(np.clip(x, 0, width - cols))
    window = np.s_[..., row : row + rows, col : col + cols]
    return sample.each(lambda planes: planes[window])


def random_turn(sample: Sample, rng: np.random.Generator) -> Sample:
    """Turn and reflect a square in one of eight ways; a longer chip by a half turn at most."""
    square = sample.shape[0] == sample.shape[1]
    quarters = int(rng.integers(4)) if square else 2 * int(rng.integers(2))
    is_mirrored = bool(rng.integers(2))
    columns = slice(None, None, -1 if is_mirrored else 1)

    def turn(planes: NDArray[Any]) -> NDArray[Any]:
        return np.rot90(planes, quarters, (-2, -1))[..., columns]

    return sample.each(turn)


def relight_s2(
    s2: NDArray[np.uint16], rng: np.random.Generator, strength: Strength = STRENGTHS["gentle"]
) -> NDArray[np.uint16]:
    """Vary the light: (9, H, W) DN with gains, haze and noise; nodata stays 0, and only nodata."""
    bands = (len(s2), 1, 1)
    gain = np.exp(rng.normal(0, strength.s2_gain) + rng.normal(0, strength.s2_band_gain, bands))
    relit = s2 * gain.astype(np.float32)
    if strength.haze:
        colour = HAZE_COLOUR[:, None, None] * np.exp(rng.normal(0, HAZE_BAND_DEVIATION, bands))
        relit = relit + (rng.normal(0, strength.haze) * colour).astype(np.float32)
    if strength.s2_noise:
        noise = rng.standard_normal(s2.shape, dtype=np.float32)
        relit = relit + np.float32(strength.s2_noise) * noise
    return np.where(s2 == S2_NODATA, S2_NODATA, np.rint(relit).clip(1, 65535)).astype(np.uint16)


def shift_s1(
    s1: NDArray[np.int16], rng: np.random.Generator, strength: Strength = STRENGTHS["gentle"]
) -> NDArray[np.int16]:
    """Shift the backscatter: (2, H, W) hundredths of a decibel; nodata stays."""
    bands = (len(s1), 1, 1)
    shift = rng.normal(0, strength.s1_shift) + rng.normal(0, strength.s1_band_shift, bands)
    shifted = s1 + shift
    shifted = np.rint(shifted).clip(S1_NODATA + 1, 32767)
    return np.where(s1 == S1_NODATA, S1_NODATA, shifted).astype(np.int16)


def random_gap(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Mask of a sensor's gap: everything, or all beyond a straight line across the sample."""
    if rng.random() < WHOLE_GAP_SHARE:
        return np.ones(shape, np.bool_)
    angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(-0.35, 0.35)
    y, x = (np.linspace(-0.5, 0.5, size) for size in shape)
    return np.cos(angle) * x[None, :] + np.sin(angle) * y[:, None] > distance
