"""The signal: what the satellites measure of a country on one day."""

import json
import math
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NAMES
from lulcmap.sensors import S1_NODATA, S2_BANDS
from lulcmap.simulation.clouds import Atmosphere
from lulcmap.simulation.cover import LATENT_SCALE, N_PLACE, N_TEXTURE
from lulcmap.simulation.land import Land
from lulcmap.simulation.noise import mixed, smooth
from lulcmap.system import compiled

LOOKS = 4.4
"""Equivalent number of looks of Sentinel-1 IW GRD (``sar:looks_equivalent_number``)."""

STEPS = 36
"""Number of ten-day steps of a year; each has its own class means."""

_DB_PER_NEPER = 10 / math.log(10)
"""Decibels per natural unit (ln) of power."""

_PLACE_SPREAD, _TEXTURE_SPREAD, _DAY_SPREAD = 0.65, 0.5, 0.35
"""Shares of the real standard deviations to use: that between places for places and, as single
samples say nothing about neighbours, that within a place over the year for pixels and days."""

_HAZE_BY_BAND = np.array([1.0, 0.78, 0.62, 0.52, 0.44, 0.40, 0.32, 0.10, 0.05], np.float32)
"""Haze by band, relative to B02."""

_CLOUD_BY_BAND = np.array([1.0, 0.97, 0.98, 1.0, 1.03, 1.05, 1.06, 0.68, 0.52], np.float32)
"""Reflectance of cloud by band, relative to B02: ice and drops absorb at 1.6 and 2.2 um."""

_ROWS_AT_ONCE = 128
"""Rows to make at a time: limits the memory for the floats."""

_N_OPTICAL = len(S2_BANDS)
"""Number of optical features; the radar's follow."""

_FINE, _COARSE = (0, 1, 2, 6), (3, 4, 5, 7, 8)
"""Indices of the 10 m and of the 20 m bands."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of the classes. Features are ln(reflectance x 10000) and ln(gamma0)."""

    mean: NDArray[np.float32]
    """Mean features by ten-day step and class, (STEPS, 9, 11)."""

    spread: NDArray[np.float32]
    """Change of each feature per unit of each latent, (9, 11, N_PLACE + N_TEXTURE)."""

    day: NDArray[np.float32]
    """Change of each feature per unit of each of a day's two smooth fields, (9, 11, 2)."""


def load_statistics() -> Statistics:
    """Read ``statistics.json`` beside this file, which names its own source."""
    table = json.loads((files("lulcmap.simulation") / "statistics.json").read_text("utf-8"))
    features = len(table["features"])
    unit = np.ones(features)
    unit[_N_OPTICAL:] = _DB_PER_NEPER
    mean = np.empty((STEPS, len(NAMES), features), np.float32)
    spread = np.empty((len(NAMES), features, N_PLACE + N_TEXTURE), np.float32)
    day = np.empty((len(NAMES), features, 2), np.float32)
    middle = (np.arange(STEPS) + 0.5) * 12 / STEPS - 0.5  # in months, 0 the middle of January
    for number, name in enumerate(NAMES):
        class_statistics = table["classes"][name]
        monthly = np.array(class_statistics["mean"]) / unit
        for feature in range(features):
            mean[:, number, feature] = np.interp(
                middle, np.arange(-1, 13), np.pad(monthly[:, feature], 1, mode="wrap")
            )
        scale = np.outer(unit, unit)
        texture_axes = _leading_axes(np.array(class_statistics["within"]) / scale, N_TEXTURE)
        place_axes = _leading_axes(np.array(class_statistics["between"]) / scale, N_PLACE)
        spread[number, :, :N_PLACE] = _PLACE_SPREAD * place_axes
        spread[number, :, N_PLACE:] = _TEXTURE_SPREAD * texture_axes
        day[number] = _DAY_SPREAD * texture_axes[:, :2]
        if name == "water":  # one country's lakes differ less than the world's
            spread[number] *= 0.5
            day[number] *= 0.5
    return Statistics(mean, spread, day)


def _leading_axes(covariance: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Leading axes of a covariance, each scaled by its deviation, with a fixed sign."""
    size, axes = np.linalg.eigh(covariance)
    leading = axes[:, ::-1][:, :count] * np.sqrt(np.maximum(size[::-1][:count], 0))
    return leading * np.sign(leading.sum(axis=0))


@dataclass(frozen=True, slots=True)
class Swath:
    """The strip that a satellite sees: ``side * (column - edge - slope * row) >= 0``."""

    edge: float
    """Column of the swath's edge in the first row; may be outside the country."""

    slope: float
    """Columns that the edge moves per row."""

    side: int
    """Side that is seen: 1 east of the edge, -1 west of it."""


def optical_scene(
    land: Land,
    statistics: Statistics,
    key: np.uint64,
    *,
    step: int,
    atmosphere: Atmosphere,
    swath: Swath,
    offset: int,
) -> tuple[NDArray[np.uint16], NDArray[np.uint16], NDArray[np.uint8]]:
    """Simulate one Sentinel-2 scene.

    Args:
        land: land to show.
        statistics: statistics of the classes.
        key: random bits of the day.
        step: ten-day step of the year, 0 to 35.
        atmosphere: clouds, shadows and haze.
        swath: strip that is seen; pixels outside are 0.
        offset: DN added to every band, 0 or 1000.

    Returns:
        B02 B03 B04 B08 (4, H, W), B05 B06 B07 B11 B12 (5, H/2, W/2, halves up), SCL (H/2, W/2).

    """
    height, width = land.truth.shape
    half = -(-height // 2), -(-width // 2)
    fine = np.zeros((len(_FINE), height, width), np.uint16)
    coarse = np.zeros((len(_COARSE), *half), np.uint16)
    scl = np.zeros(half, np.uint8)
    day_fields = _day_fields(key, height, width)
    for row in range(0, height, _ROWS_AT_ONCE):
        stop = min(row + _ROWS_AT_ONCE, height)
        clear = _clear_rows(land, statistics, day_fields, slice(row, stop), step, (0, _N_OPTICAL))
        _add_atmosphere(
            clear,
            atmosphere.cloud,
            atmosphere.shadow,
            atmosphere.haze,
            key,
            row,
            (swath.edge, swath.slope, float(swath.side)),
            offset,
            fine,
            coarse,
            scl,
        )
    return fine, coarse, scl


def radar_scene(
    land: Land,
    statistics: Statistics,
    rng: np.random.Generator,
    key: np.uint64,
    *,
    step: int,
    swath: Swath,
) -> NDArray[np.float32]:
    """Simulate one Sentinel-1 scene: gamma-nought with gamma-distributed speckle.

    The speckle has ``LOOKS`` looks.

    Returns:
        (2, H, W) VV and VH, linear power, -32768 outside the swath.

    """
    height, width = land.truth.shape
    out = np.empty((2, height, width), np.float32)
    day_fields = _day_fields(key, height, width)
    gain = np.float32(np.exp(rng.normal(0, 0.06)))
    for row in range(0, height, _ROWS_AT_ONCE):
        stop = min(row + _ROWS_AT_ONCE, height)
        backscatter = _clear_rows(
            land, statistics, day_fields, slice(row, stop), step, (_N_OPTICAL, 2)
        )
        speckle = rng.standard_gamma(LOOKS, (2, stop - row, width), np.float32) / np.float32(LOOKS)
        out[:, row:stop] = backscatter * speckle * gain
        y, x = np.mgrid[row:stop, :width]
        out[:, row:stop][:, swath.side * (x - swath.edge - swath.slope * y) < 0] = S1_NODATA
    return out


def _clear_rows(
    land: Land,
    statistics: Statistics,
    day_fields: NDArray[np.float32],
    rows: slice,
    step: int,
    features: tuple[int, int],
) -> NDArray[np.float32]:
    """Some rows without atmosphere and speckle, linear, (count, h, W).

    ``features`` are the first feature and their count.
    """
    top = max(rows.start - 1, 0)  # one more row on each side: pixels mix with their neighbours
    wide = slice(top, rows.stop + 1)
    unblurred = _radiance(
        land.cover[wide],
        land.latents[:, wide],
        land.delay[wide],
        land.shade[wide],
        statistics.mean,
        statistics.spread,
        statistics.day,
        day_fields,
        top,
        step,
        *features,
    )
    return _blur(unblurred)[:, rows.start - top : rows.stop - top]


@compiled
def _day_fields(key: np.uint64, height: int, width: int) -> NDArray[np.float32]:
    """How a day differs from place to place, standard normal, (2, ceil(H / 4), ceil(W / 4))."""
    out = np.empty((2, (height + 3) // 4, (width + 3) // 4), np.float32)
    for k in range(2):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                out[k, i, j] = smooth(key + np.uint64(k + 1), i / 8.5, j / 8.5)
    return out


@compiled
def _radiance(
    cover: NDArray[np.uint8],
    latents: NDArray[np.int8],
    delay: NDArray[np.int8],
    shade: NDArray[np.int8],
    mean: NDArray[np.float32],
    spread: NDArray[np.float32],
    day: NDArray[np.float32],
    day_fields: NDArray[np.float32],
    first: int,
    step: int,
    feature: int,
    count: int,
) -> NDArray[np.float32]:
    """What each pixel shows by itself in clear air, linear, (count, h, w)."""
    rows, cols = cover.shape
    out = np.empty((count, rows, cols), np.float32)
    kinds = latents.shape[0]
    z = np.empty(kinds, np.float32)
    for i in range(rows):
        for j in range(cols):
            kind = cover[i, j]
            time = (step - delay[i, j]) % mean.shape[0]
            for k in range(kinds):
                z[k] = latents[k, i, j] / np.float32(LATENT_SCALE)
            a = day_fields[0, (first + i) // 4, j // 4]
            b = day_fields[1, (first + i) // 4, j // 4]
            light = shade[i, j] * np.float32(0.01) if feature == 0 else np.float32(0)
            for f in range(count):
                g = feature + f
                value = mean[time, kind, g] + light
                for k in range(kinds):
                    value += spread[kind, g, k] * z[k]
                value += day[kind, g, 0] * a + day[kind, g, 1] * b
                out[f, i, j] = math.exp(value)
    return out


@compiled
def _blur(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mix each pixel with its neighbours, like optics and resampling: 1 6 1 along each axis."""
    count, rows, cols = values.shape
    out = np.empty_like(values)
    side, middle = np.float32(1 / 8), np.float32(6 / 8)
    line = np.empty(cols, np.float32)
    for f in range(count):
        for i in range(rows):
            up, down = max(i - 1, 0), min(i + 1, rows - 1)
            for j in range(cols):
                line[j] = middle * values[f, i, j]
                line[j] += side * (values[f, up, j] + values[f, down, j])
            for j in range(cols):
                left, right = max(j - 1, 0), min(j + 1, cols - 1)
                out[f, i, j] = middle * line[j] + side * (line[left] + line[right])
    return out


@compiled
def _add_atmosphere(
    clear: NDArray[np.float32],
    cloud: NDArray[np.float32],
    shadow: NDArray[np.float32],
    haze: NDArray[np.float32],
    key: np.uint64,
    first: int,
    swath: tuple[float, float, float],
    offset: int,
    fine: NDArray[np.uint16],
    coarse: NDArray[np.uint16],
    scl: NDArray[np.uint8],
) -> None:
    """Add the atmosphere to some rows, quantise them and classify them like the L2A processor."""
    count, rows, cols = clear.shape
    half_rows, half_cols = cloud.shape
    dn = np.empty(count, np.float32)
    for p in range(first // 2, (first + rows + 1) // 2):
        for q in range(half_cols):
            if swath[2] * (2 * q - swath[0] - swath[1] * 2 * p) < 0:
                continue
            total = np.zeros(count, np.float32)
            members = 0
            for i in range(2 * p, min(2 * p + 2, first + rows)):
                for j in range(2 * q, min(2 * q + 2, cols)):
                    v, u = (i % 2) * 2 - 1, (j % 2) * 2 - 1
                    m = min(max(p + v, 0), half_rows - 1)
                    n = min(max(q + u, 0), half_cols - 1)
                    over = _interpolate(cloud, p, q, m, n)
                    dark = 1 - np.float32(0.6) * _interpolate(shadow, p, q, m, n)
                    veil = _interpolate(haze, p, q, m, n)
                    bits = mixed(key, i, j)
                    white = np.float32(3200) + np.float32(5200) * over
                    for f in range(count):
                        grain = np.float32(bits & np.uint64(127)) / np.float32(127) - np.float32(
                            0.5
                        )
                        bits = bits >> np.uint64(7)
                        value = clear[f, i - first, j] * dark * (1 + np.float32(0.07) * grain)
                        value = value * (1 - over) + white * _CLOUD_BY_BAND[f] * over
                        dn[f] = min(max(value + veil * _HAZE_BY_BAND[f], 1), 20000)
                        total[f] += dn[f]
                    members += 1
                    fine[0, i, j] = int(dn[0] + offset + 0.5)
                    fine[1, i, j] = int(dn[1] + offset + 0.5)
                    fine[2, i, j] = int(dn[2] + offset + 0.5)
                    fine[3, i, j] = int(dn[6] + offset + 0.5)
            for f in range(count):
                total[f] /= members
            coarse[0, p, q] = int(total[3] + offset + 0.5)
            coarse[1, p, q] = int(total[4] + offset + 0.5)
            coarse[2, p, q] = int(total[5] + offset + 0.5)
            coarse[3, p, q] = int(total[7] + offset + 0.5)
            coarse[4, p, q] = int(total[8] + offset + 0.5)
            scl[p, q] = _scene_class(total, cloud[p, q], shadow[p, q])


@compiled
def _interpolate(field: NDArray[np.float32], p: int, q: int, m: int, n: int) -> np.float32:
    """A 20 m field at the centre of a 10 m pixel, a quarter of the way to its neighbours."""
    near, far = np.float32(0.75), np.float32(0.25)
    here = near * field[p, q] + far * field[p, n]
    return near * here + far * (near * field[m, q] + far * field[m, n])


@compiled
def _scene_class(dn: NDArray[np.float32], cloud: float, shadow: float) -> int:
    """SCL code: cloud and shadow from the atmosphere, missing thin edges, else by reflectance."""
    if cloud > 0.62:
        return 9
    if cloud > 0.38:
        return 8
    if cloud > 0.22:
        return 10
    if shadow > 0.3:
        return 3
    green, red, near, short = dn[1], dn[2], dn[6], dn[7]
    if (green - short) / (green + short) > 0.4 and near > 1500:
        return 11
    if (near - red) / (near + red) > 0.4:
        return 4
    if green > near:
        return 6
    if near < 700:
        return 2
    return 5
