"""Augmentation: random crops, turns, shifts, light, noise and gaps of a chip."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from lulcmap.dataset import Pixels
from lulcmap.legend import NODATA
from lulcmap.sensors import S1_NODATA, S2_NODATA
from lulcmap.training.settings import Augmentation, TrainingSettings

Sample = Pixels
"""What a network is trained on or measured with: a chip's pixels, or those of a part of it."""


@dataclass(frozen=True, slots=True)
class Strength:
    """Strength of the augmentation: standard deviations where nothing else is said, 0 for none."""

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

    pixel_shift: float = 0.0
    """Share of the samples whose sensors are each shifted against the label, by up to half a pixel:
    labels are drawn on one image, and sensors lie that far apart."""

    s1_speckle: float = 0.0
    """Largest relative deviation of speckle drawn anew; half of the samples get none, the others up
    to this: 0.48 is a single date of 4.4 looks, little a mean of many dates."""

    s1_blur: float = 0.0
    """Largest deviation of a Gaussian that blurs backscatter, pixels; half of the samples get none:
    products differ in resolution."""


STRENGTHS: Mapping[Augmentation, Strength] = {
    "gentle": Strength(0.05, 0.03, 15.0, 50.0, 20.0),
    "strong": Strength(
        s2_gain=0.15,
        s2_band_gain=0.04,
        s2_noise=0.0,
        s1_shift=150.0,
        s1_band_shift=50.0,
        haze=150.0,
        pixel_shift=0.5,
        s1_speckle=0.48,
        s1_blur=1.0,
    ),
}
"""``gentle``: as composites of one archive differ. ``strong``: so much that no absolute level is
reliable, for networks of few samples that must work on other archives and atmospheres. Its shifts
of backscatter reach 3 dB, and 1 dB in each polarisation, at two deviations: as far as GRD sigma0 is
from terrain-flattened gamma0. Its speckle and blur go from a single date to the mean of a year.
Sentinel-2 gets no noise of single pixels."""


HAZE_COLOUR = np.array([1, 0.75, 0.55, 0.45, 0.3, 0.27, 0.22, 0.08, 0.05], np.float32)
"""Haze in each band, relative to B02."""

HAZE_BAND_DEVIATION = 0.2
"""Standard deviation of the logarithm of each band's haze."""

_LEAST_SPECKLE, _LEAST_BLUR = 0.02, 0.2
"""Relative deviation and pixels below which nothing is to be seen."""

WHOLE_GAP_SHARE = 0.6
"""Share of the gaps that cover the whole sample; the others end at a straight swath edge."""


def strength_of(settings: TrainingSettings) -> Strength:
    """The augmentation of a training."""
    strength = STRENGTHS[settings.augmentation]
    if settings.pixel_shift is None:
        return strength
    return replace(strength, pixel_shift=settings.pixel_shift)


def augment(
    sample: Sample,
    rng: np.random.Generator,
    *,
    crop: int,
    missing_s2: float,
    missing_s1: float,
    strength: Strength = STRENGTHS["gentle"],
) -> Sample:
    """Augment a chip: random crop, turn, shift and light, perhaps a missing sensor.

    A missing sensor leaves the label, hard or soft, as it is: the other sensor shows the same land.
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
    s2, s1 = move_sensors(turned.s2, turned.s1, rng, strength)
    s1 = blur_s1(s1, rng, strength)
    s2, s1 = relight_s2(s2, rng, strength), shift_s1(s1, rng, strength)
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


def move_sensors(
    s2: NDArray[np.uint16],
    s1: NDArray[np.int16],
    rng: np.random.Generator,
    strength: Strength = STRENGTHS["gentle"],
) -> tuple[NDArray[np.uint16], NDArray[np.int16]]:
    """Perhaps shift each sensor by up to half a pixel, bilinearly; nodata stays where it is."""
    if not strength.pixel_shift or rng.random() >= strength.pixel_shift:
        return s2, s1
    (down, right), (s1_down, s1_right) = rng.uniform(-0.5, 0.5, (2, 2)).tolist()
    moved = moved_by(s2.astype(np.float32), s2 != S2_NODATA, down, right)
    power = moved_by(_power(s1), s1 != S1_NODATA, s1_down, s1_right)
    return np.where(s2 == S2_NODATA, S2_NODATA, np.rint(moved).clip(1, 65535)).astype(
        np.uint16
    ), _backscatter(power, s1)


def moved_by(
    values: NDArray[np.float32], valid: NDArray[np.bool_], down: float, right: float
) -> NDArray[np.float32]:
    """Values (C, H, W) as seen ``down`` and ``right``, pixels, -0.5 to 0.5: bilinear.

    Pixels that are not valid add nothing, nor does what lies outside: the rest of the weight is
    shared out. The result is meaningless where a pixel itself is not valid.
    """
    total, weight = np.where(valid, values, np.float32(0)), valid.astype(np.float32)
    for axis, shift in ((1, down), (2, right)):
        near = np.arange(values.shape[axis]) + (1 if shift > 0 else -1)
        inside = (near >= 0) & (near < values.shape[axis])
        share = np.where(inside, abs(shift), 0).astype(np.float32)
        share = share[:, None] if axis == 1 else share
        index = np.where(inside, near, 0)
        total, weight = (
            (1 - np.float32(abs(shift))) * planes + share * planes.take(index, axis)
            for planes in (total, weight)
        )
    weight[~valid] = 1
    return (total / weight).astype(np.float32, copy=False)


def blur_s1(
    s1: NDArray[np.int16], rng: np.random.Generator, strength: Strength = STRENGTHS["gentle"]
) -> NDArray[np.int16]:
    """Draw speckle anew and blur: (2, H, W) hundredths of a decibel; nodata stays.

    Speckle is a gamma variate of each pixel and band, of mean 1; the blur comes after it, so that
    neighbours share it as they do in products.
    """
    if not strength.s1_speckle and not strength.s1_blur:
        return s1
    speckle = max(0.0, rng.uniform(-1, 1)) * strength.s1_speckle
    blur = max(0.0, rng.uniform(-1, 1)) * strength.s1_blur
    if speckle < _LEAST_SPECKLE and blur < _LEAST_BLUR:
        return s1
    valid = (s1 != S1_NODATA).astype(np.float32)
    power = _power(s1) * valid
    if speckle >= _LEAST_SPECKLE:
        looks = speckle**-2
        power *= rng.standard_gamma(looks, s1.shape, dtype=np.float32) / np.float32(looks)
    if blur >= _LEAST_BLUR:
        power, weight = (
            gaussian_filter(planes, blur, mode="nearest", axes=(1, 2)) for planes in (power, valid)
        )
        power /= np.where(valid > 0, weight, 1)
    return _backscatter(power, s1)


def _power(s1: NDArray[np.int16]) -> NDArray[np.float32]:
    """Power of hundredths of a decibel."""
    return np.exp(s1.astype(np.float32) * np.float32(np.log(10) / 1000))


def _backscatter(power: NDArray[np.float32], s1: NDArray[np.int16]) -> NDArray[np.int16]:
    """Hundredths of a decibel of power; nodata where ``s1`` has none."""
    decibels = 1000 * np.log10(np.maximum(power, np.finfo(np.float32).tiny))
    rounded = np.rint(decibels).clip(S1_NODATA + 1, 32767)
    return np.where(s1 == S1_NODATA, S1_NODATA, rounded).astype(np.int16)


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
