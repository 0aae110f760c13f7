"""How a landscape comes to a satellite: relief, texture, blur, coarse bands, speckle, numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from lulcmap.sensors import S1_NODATA, S2_BANDS
from recipes.real_land.canvas import BUILT, Canvas
from recipes.real_land.noise import Field, fractal, smooth

TEXTURE = np.array([0.02, 0.15, 0.05, 0.08, 0.03, 0.11, 0.18, 0.08, 0.04], np.float32)
"""Deviation of the logarithm of reflectance within a patch, by class: measured on clips of real
scenes and rounded; of fields so that their smoothest tenth is as smooth as in scenes of fields."""

TEXTURE_BY_BAND = np.array([1.5, 1.4, 1.7, 1.6, 1.1, 1.2, 1.15, 1.6, 1.8], np.float32)
"""How much of it each band shows. With these, and with fields and houses, the deviations within
7 x 7 pixels are three quarters or more of those in the archive's scenes (``contrast.py``)."""

COARSE_BANDS = tuple(S2_BANDS.index(band) for band in ("B05", "B06", "B07", "B11", "B12"))
"""Bands of 20 m."""

DIFFUSE_LIGHT = np.array([0.55, 0.45, 0.35, 0.30, 0.27, 0.25, 0.23, 0.15, 0.12], np.float32)
"""Share of the light that comes from the whole sky, by band: why shade is blue."""


@dataclass(frozen=True, slots=True)
class Look:
    """How strongly a landscape differs from bare samples; all 0 shows the samples themselves."""

    mixing: float = 1.0
    """Of a pixel's two patches."""

    texture: float = 1.0
    """Of the surface, relative to ``TEXTURE``."""

    relief: float = 1.0
    """Of the terrain's light and shade."""

    blur: float = 1.0
    """Of the point spread, and of 20 m bands."""

    speckle: float = 1.0
    """Of the radar, and its change of level."""

    noise: float = 1.0
    """Of single pixels, relative to ``NOISE_RANGE``."""

    gain: float = 1.0
    """Of each patch's own light."""


PIXEL_NOISE, BAND_NOISE, DN_NOISE, DB_NOISE = 0.05, 0.04, 15.0, 0.7
"""Deviations of single pixels' noise where it is strongest: of the logarithm of the light in all
bands alike, and in each by itself; DN of each band; of each polarisation."""

NOISE_RANGE = (0.1, 1.0)
"""How much of it a landscape's optical bands have. Many fields of real scenes are as smooth as the
weakest leaves them; where all land had more, they were unlike any."""

CLIP_SHARE = 0.4
"""Share of the landscapes whose texture is of a real clip. Its seams and furrows are of farmland,
so the others have noise: a forest must not look ploughed."""

LOOKS_RANGE = (1.6, 60.0)
"""Looks of the radar before its grain is smoothed, from one pass to the mean of many: what is left
deviates by 2 dB or less, as in single scenes of the archive."""

CORNER_DEVIATION = 0.9
"""Deviation of the logarithm of the power in towns, where walls reflect straight back or not."""


def to_optical(
    planes: NDArray[np.float32],
    canvas: Canvas,
    height: Field,
    rng: np.random.Generator,
    *,
    textures: Sequence[NDArray[np.float32]],
    look: Look,
) -> NDArray[np.uint16]:
    """Sentinel-2 (9, N, N) DN of a landscape of reflectances (9, N, N)."""
    light = np.zeros(planes.shape, np.float32)
    if look.texture:
        light += look.texture * _texture(canvas, rng, textures)
    if look.relief and rng.random() < 0.45:
        light += look.relief * _shade(height * canvas.rough, rng)
    seen = planes * np.exp(light)
    if look.blur:
        spread = look.blur * rng.uniform(0.35, 0.75)
        seen = np.stack([gaussian_filter(plane, spread) for plane in seen])
        smooth_grid = rng.random() < 0.4
        for band in COARSE_BANDS:
            seen[band] = _resample_20m(seen[band], smooth_grid=smooth_grid)
    if look.noise:
        alike, each, counts = (_normal(rng, shape) for shape in (seen.shape[1:], *[seen.shape] * 2))
        much = look.noise * float(np.exp(rng.uniform(*np.log(NOISE_RANGE))))
        light = np.float32(much * PIXEL_NOISE) * alike + np.float32(much * BAND_NOISE) * each
        seen = seen * np.exp(light) + np.float32(much * DN_NOISE) * counts
    # a reflectance of 0 is nodata, so the darkest pixel is 1
    return np.rint(seen).clip(1, 65535).astype(np.uint16)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return rng.standard_normal(shape, dtype=np.float32)


def _texture(
    canvas: Canvas, rng: np.random.Generator, textures: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """(9, N, N) what is added to the logarithm of reflectance: of a real clip, or noise."""
    size = canvas.size
    strong = TEXTURE[canvas.label] * np.float32(np.exp(rng.normal(0, 0.5)))
    strong = strong * TEXTURE_BY_BAND[:, None, None]
    grain = 0.6 * smooth(rng, size, 2) + 0.5 * smooth(rng, size, 4)
    own = rng.standard_normal((len(S2_BANDS), size, size), dtype=np.float32)
    noise = grain + np.float32(0.2) * own
    if len(textures) and rng.random() < CLIP_SHARE:
        clip = textures[int(rng.integers(len(textures)))]
        land = canvas.label != BUILT
        noise = np.where(land, 0.8 * _window(clip, rng, size) + 0.35 * noise, noise)
    return strong * noise


def _window(clip: NDArray[np.float32], rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """A square of a clip, turned; a smaller clip is mirrored at its edges."""
    short = [max(0, size - length) for length in clip.shape[1:]]
    clip = np.pad(clip, [(0, 0), (0, short[0]), (0, short[1])], mode="reflect")
    row, col = (int(rng.integers(length - size + 1)) for length in clip.shape[1:])
    square = clip[:, row : row + size, col : col + size]
    square = np.rot90(square, int(rng.integers(4)), (1, 2))
    return square[:, :, :: 1 if rng.random() < 0.5 else -1]


def _shade(height: Field, rng: np.random.Generator) -> NDArray[np.float32]:
    """(9, N, N) the logarithm of the light on a slope, beside that on flat ground."""
    steep = float(np.exp(rng.uniform(np.log(1.5), np.log(12))))
    south, east = np.gradient(steep * height)
    zenith, azimuth = np.radians(rng.uniform(20, 70)), rng.uniform(0, 2 * np.pi)
    direct = np.cos(zenith) + np.sin(zenith) * (np.cos(azimuth) * south + np.sin(azimuth) * east)
    direct = (direct / np.sqrt(1 + south**2 + east**2) / np.cos(zenith)).clip(0, 2.5)
    sky = DIFFUSE_LIGHT[:, None, None]
    return np.log(direct.astype(np.float32) * (1 - sky) + sky)


def _resample_20m(plane: Field, *, smooth_grid: bool) -> Field:
    """A band of 20 m on the 10 m grid, as nearest or bilinear resampling leaves it."""
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
    """Sentinel-1 (2, N, N) hundredths of a decibel of a landscape of powers (2, N, N).

    One pass has the speckle of few looks, a mean of many has next to none. The samples are
    sigma nought; half of the landscapes are shown as gamma nought of some incidence angle.
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
        power = power * speckle * np.exp(2 * look.speckle * rough) * level
    decibels = 10 * np.log10(np.maximum(power, 1e-5))
    if look.relief and rng.random() < 0.45:
        slopes = np.gradient(height * canvas.rough)
        angle = rng.uniform(0, 2 * np.pi)
        facing = np.cos(angle) * slopes[0] + np.sin(angle) * slopes[1]
        decibels = decibels + look.relief * (rng.uniform(2, 25) * facing).clip(-4, 5)
    if look.noise:
        decibels = decibels + np.float32(look.noise * DB_NOISE) * _normal(rng, power.shape)
    return np.rint(100 * decibels).clip(S1_NODATA + 1, 32767).astype(np.int16)
