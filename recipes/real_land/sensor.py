"""How a satellite sees a landscape: relief, texture, blur, coarse bands, speckle and noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from lulcmap.sensors import S1_NODATA, S2_BANDS
from recipes.real_land.canvas import BUILT, Canvas
from recipes.real_land.noise import Field, fractal, smooth

TEXTURE = np.array([0.02, 0.15, 0.05, 0.08, 0.03, 0.11, 0.18, 0.08, 0.04], np.float32)
"""Deviation of the logarithm of reflectance within a patch, by class: measured on real clips and
rounded; for fields set so that their smoothest tenth is as smooth as in real scenes of fields."""

TEXTURE_BY_BAND = np.array([1.5, 1.4, 1.7, 1.6, 1.1, 1.2, 1.15, 1.6, 1.8], np.float32)
"""Factor of ``TEXTURE`` in each band. With these, and with fields and houses, the deviations within
7 x 7 pixels are at least three quarters of those in the archive's scenes (``contrast.py``)."""

COARSE_BANDS = tuple(S2_BANDS.index(band) for band in ("B05", "B06", "B07", "B11", "B12"))
"""Indices of the 20 m bands."""

DIFFUSE_LIGHT = np.array([0.55, 0.45, 0.35, 0.30, 0.27, 0.25, 0.23, 0.15, 0.12], np.float32)
"""Share of diffuse sky light by band, which makes shade blue."""


@dataclass(frozen=True, slots=True)
class Look:
    """Strength of all that makes a landscape differ from bare samples; all 0 shows the samples."""

    mixing: float = 1.0
    """Strength of the mixing of a pixel's two patches."""

    texture: float = 1.0
    """Strength of the surface texture, relative to ``TEXTURE``."""

    relief: float = 1.0
    """Strength of the terrain's light and shade."""

    blur: float = 1.0
    """Strength of the point spread and of the 20 m bands' blur."""

    speckle: float = 1.0
    """Strength of the radar's speckle and change of level."""

    noise: float = 1.0
    """Strength of the noise of single pixels, relative to ``NOISE_RANGE``."""

    gain: float = 1.0
    """Strength of each patch's own gain."""


PIXEL_NOISE, BAND_NOISE, DN_NOISE, DB_NOISE = 0.05, 0.04, 15.0, 0.7
"""Deviations of the strongest noise of single pixels: of the logarithm of the light, common to all
bands and of each band; of each band, DN; of each polarisation, dB."""

NOISE_RANGE = (0.1, 1.0)
"""Range of the optical noise of a landscape. The weakest is that of many real fields, which were
unlike any landscape when all landscapes had more."""

CLIP_SHARE = 0.4
"""Share of the landscapes with the texture of a real clip; the others have noise. Clips have the
seams and furrows of farmland, and a forest must not look ploughed."""

LOOKS_RANGE = (1.6, 60.0)
"""Range of the radar's looks before the grain is smoothed, from one pass to the mean of many: the
remaining deviation is 2 dB or less, as in single scenes of the archive."""

NOISE_FLOOR_DB = (-34.0, -22.0)
"""Range of the radar's own noise, which hides calm water and sand; a little less in VV."""

CORNER_DEVIATION = 0.9
"""Deviation of the logarithm of the power in towns, where some walls reflect straight back."""


def to_optical(
    planes: NDArray[np.float32],
    canvas: Canvas,
    height: Field,
    rng: np.random.Generator,
    *,
    textures: Sequence[NDArray[np.float32]],
    look: Look,
    sun_zenith: float | None = None,
) -> NDArray[np.uint16]:
    """Sentinel-2 of a landscape, (9, N, N) DN, from its reflectances (9, N, N).

    Relief is lit from ``sun_zenith``, degrees; for None in some landscapes from any.
    """
    light = np.zeros(planes.shape, np.float32)
    if look.texture:
        light += look.texture * _texture(canvas, rng, textures)
    if look.relief and (sun_zenith is not None or rng.random() < 0.45):
        light += look.relief * _shade(height * canvas.rough, rng, sun_zenith)
    pixels = planes * np.exp(light)
    if look.blur:
        spread = look.blur * rng.uniform(0.35, 0.75)
        pixels = np.stack([gaussian_filter(plane, spread) for plane in pixels])
        smooth_grid = rng.random() < 0.4
        for band in COARSE_BANDS:
            pixels[band] = _resample_20m(pixels[band], smooth_grid=smooth_grid)
    if look.noise:
        common, own, counts = (
            _normal(rng, shape) for shape in (pixels.shape[1:], *[pixels.shape] * 2)
        )
        noise_level = look.noise * float(np.exp(rng.uniform(*np.log(NOISE_RANGE))))
        light = (
            np.float32(noise_level * PIXEL_NOISE) * common
            + np.float32(noise_level * BAND_NOISE) * own
        )
        pixels = pixels * np.exp(light) + np.float32(noise_level * DN_NOISE) * counts
    # a reflectance of 0 is nodata, so the darkest pixel is 1
    return np.rint(pixels).clip(1, 65535).astype(np.uint16)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return rng.standard_normal(shape, dtype=np.float32)


def _texture(
    canvas: Canvas, rng: np.random.Generator, textures: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Texture to add to the logarithm of reflectance, (9, N, N): of a real clip, or noise."""
    size = canvas.size
    strength = TEXTURE[canvas.label] * np.float32(np.exp(rng.normal(0, 0.5)))
    strength = strength * TEXTURE_BY_BAND[:, None, None]
    grain = 0.6 * smooth(rng, size, 2) + 0.5 * smooth(rng, size, 4)
    own = rng.standard_normal((len(S2_BANDS), size, size), dtype=np.float32)
    noise = grain + np.float32(0.2) * own
    if len(textures) and rng.random() < CLIP_SHARE:
        clip = textures[int(rng.integers(len(textures)))]
        land = canvas.label != BUILT
        noise = np.where(land, 0.8 * _window(clip, rng, size) + 0.35 * noise, noise)
    return strength * noise


def _window(clip: NDArray[np.float32], rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """A square of a clip, randomly turned; a smaller clip is mirrored at its edges."""
    short = [max(0, size - length) for length in clip.shape[1:]]
    clip = np.pad(clip, [(0, 0), (0, short[0]), (0, short[1])], mode="reflect")
    row, col = (int(rng.integers(length - size + 1)) for length in clip.shape[1:])
    square = clip[:, row : row + size, col : col + size]
    square = np.rot90(square, int(rng.integers(4)), (1, 2))
    return square[:, :, :: 1 if rng.random() < 0.5 else -1]


def _shade(
    height: Field, rng: np.random.Generator, sun_zenith: float | None
) -> NDArray[np.float32]:
    """Logarithm of the light on slopes relative to flat ground, (9, N, N)."""
    steep = float(np.exp(rng.uniform(np.log(1.5), np.log(12))))
    south, east = np.gradient(steep * height)
    zenith = np.radians(rng.uniform(20, 70) if sun_zenith is None else sun_zenith)
    azimuth = rng.uniform(0, 2 * np.pi)
    direct = np.cos(zenith) + np.sin(zenith) * (np.cos(azimuth) * south + np.sin(azimuth) * east)
    direct = (direct / np.sqrt(1 + south**2 + east**2) / np.cos(zenith)).clip(0, 2.5)
    diffuse = DIFFUSE_LIGHT[:, None, None]
    return np.log(direct.astype(np.float32) * (1 - diffuse) + diffuse)


def _resample_20m(plane: Field, *, smooth_grid: bool) -> Field:
    """A 20 m band on the 10 m grid, resampled by nearest neighbour or bilinearly."""
    size = plane.shape[0]
    coarse = plane.reshape(size // 2, 2, size // 2, 2).mean((1, 3))
    if not smooth_grid:
        return np.repeat(np.repeat(coarse, 2, 0), 2, 1)
    for axis in (0, 1):
        ends = [(0, 0), (0, 0)]
        ends[axis] = (1, 1)
        edged = np.pad(coarse, ends, mode="edge")
        length = coarse.shape[axis]
        before, here, after = (np.take(edged, np.arange(length) + step, axis) for step in range(3))
        pairs = np.stack([0.25 * before + 0.75 * here, 0.75 * here + 0.25 * after], axis + 1)
        shape = list(coarse.shape)
        shape[axis] *= 2
        coarse = pairs.reshape(shape)
    return coarse


def to_radar(
    planes: NDArray[np.float32],
    canvas: Canvas,
    height: Field,
    rng: np.random.Generator,
    *,
    look: Look,
) -> NDArray[np.int16]:
    """Sentinel-1 of a landscape, (2, N, N) hundredths of a decibel, from its powers (2, N, N).

    One pass has the speckle of few looks, the mean of many passes has almost none. The samples are
    sigma nought; half of the landscapes become gamma nought for a random incidence angle.
    """
    power, size = planes, canvas.size
    if look.blur:
        power = np.stack([gaussian_filter(plane, 0.5 * look.blur) for plane in power])
    if look.speckle:
        looks = float(np.exp(rng.uniform(*np.log(LOOKS_RANGE)))) / look.speckle
        speckle = rng.standard_gamma(looks, power.shape).astype(np.float32) / np.float32(looks)
        grain = rng.uniform(0.3, 0.7)
        speckle = np.stack([gaussian_filter(plane, grain) for plane in speckle])
        rough = TEXTURE[canvas.label] * fractal(rng, size, 6, octaves=2)
        corners = (canvas.label == BUILT) * smooth(rng, size, 2)
        rough = rough + np.float32(CORNER_DEVIATION / 2) * corners
        level = np.float32(1.0)
        if rng.random() < 0.5:
            level = np.float32(1 / np.cos(np.radians(rng.uniform(30, 46))))
        floor = 10 ** (rng.uniform(*NOISE_FLOOR_DB) / 10) * np.array([0.7, 1], np.float32)
        power = power * np.exp(2 * look.speckle * rough) + floor[:, None, None]
        power = power * speckle * level
    decibels = 10 * np.log10(np.maximum(power, 1e-5))
    if look.relief and rng.random() < 0.45:
        slopes = np.gradient(height * canvas.rough)
        angle = rng.uniform(0, 2 * np.pi)
        facing = np.cos(angle) * slopes[0] + np.sin(angle) * slopes[1]
        decibels = decibels + look.relief * (rng.uniform(2, 25) * facing).clip(-4, 5)
    if look.noise:
        decibels = decibels + np.float32(look.noise * DB_NOISE) * _normal(rng, power.shape)
    return np.rint(100 * decibels).clip(S1_NODATA + 1, 32767).astype(np.int16)
