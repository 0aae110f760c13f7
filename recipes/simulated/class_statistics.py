"""Compute the moments of each land-cover class from real samples, for the simulated country.

    python recipes/simulated/class_statistics.py DATA lulcmap/simulation/statistics.json

DATA holds ``points/l2a_worldcover_points.parquet`` (single pixels of Sentinel-2 L2A and Sentinel-1
with ESA WorldCover 2021 labels) and ``archive/`` (Sentinel-2 and Sentinel-1 of one all-snow scene).
Only means and covariances are kept. For lack of samples, these are substituted:

- Months of the global points are inferred from their phenology: step 0 is November.
- Places south of 15 S are shifted by half a year; the tropics are used only for shrub and flooded
  vegetation, which are rare elsewhere.
- Flooded vegetation is WorldCover's herbaceous wetland and mangroves; Canadian wetlands are used
  only from May to September, when they are free of snow.
- Snow and ice is one scene of one winter day: every month has its mean, and blocks of 160 m are its
  places.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from numpy.typing import NDArray

from lulcmap.legend import NAMES
from lulcmap.sensors import S1_BANDS, S2_BANDS

FEATURES = (*S2_BANDS, *S1_BANDS)
WORLDCOVER = {10: 1, 20: 5, 30: 2, 40: 4, 50: 6, 60: 7, 80: 0, 90: 3, 95: 3}
FLOODED, SHRUB, SNOW = 3, 5, 8
SNOW_LABEL = 7
BLOCK = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with points/ and archive/")
    parser.add_argument("out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    points = clean(pd.read_parquet(arguments.data / "points" / "l2a_worldcover_points.parquet"))
    classes = {
        name: moments(*samples(points[points.cover == number])) if number != SNOW else None
        for number, name in enumerate(NAMES)
    }
    classes[NAMES[SNOW]] = moments(*snow(arguments.data / "archive"))
    table = {
        "source": "Moments of Copernicus Sentinel-1 and Sentinel-2 L2A samples with "
        "ESA WorldCover 2021 labels (CC BY 4.0); snow: one scene, Ontario, 2020-01-11. "
        "Contains modified Copernicus Sentinel data 2017-2023. Made by "
        "recipes/simulated/class_statistics.py, which says what was substituted.",
        "features": list(FEATURES),
        "unit": "ln(reflectance x 10000) for B02 to B12, dB of gamma0 for VV and VH",
        "classes": classes,
    }
    arguments.out.write_text(json.dumps(table).replace('"mean"', '\n"mean"') + "\n")
    for name, values in classes.items():
        print(f"{name:20s} {values['places']:5d} places {values['samples']:6d} samples")


def clean(points: pd.DataFrame) -> pd.DataFrame:
    """Select rows without snow and cloud, and add columns cover, month (0 January) and place.

    The thresholds (DN of L2A) find snow and cloud in rows that keep their summer label.
    """
    points = points.dropna(subset=list(FEATURES)).copy()
    index = (points.B03 - points.B11) / (points.B03 + points.B11)
    cloudy = points.B02 > 2200  # also full snow
    partial = (index > 0.2) & (points.B02 > 1200) & (points.worldcover != 80)  # water has it too
    is_odd = (points[list(S2_BANDS)] > 16000).any(axis=1) | (points[list(S2_BANDS)] < 1).any(axis=1)
    points = points[~cloudy & ~partial & ~is_odd].copy()
    points["cover"] = points.worldcover.map(WORLDCOVER)
    points["place"] = points.groupby(["source", "lat", "lon"]).ngroup()
    is_global = points.source == "global"
    points["month"] = np.where(is_global, (points.step + 10) % 12, points.step - 1)
    points.loc[points.lat < -15, "month"] = (points.month + 6) % 12
    is_wetland = (points.cover == FLOODED) & points.month.between(4, 8)
    temperate = points.lat.abs() > 20
    return points[
        (is_global & (temperate | points.cover.isin([FLOODED, SHRUB]))) | (~is_global & is_wetland)
    ]


def samples(points: pd.DataFrame) -> tuple[NDArray, NDArray, NDArray]:
    """Features (N, 11) in the table's units, month (N,) and place (N,)."""
    values = points[list(FEATURES)].to_numpy(np.float64, copy=True)
    values[:, : len(S2_BANDS)] = np.log(values[:, : len(S2_BANDS)])
    return values, points.month.to_numpy(int), points.place.to_numpy(int)


def snow(archive: Path) -> tuple[NDArray, NDArray, NDArray]:
    """Like ``samples``, from the snow-covered pixels of the all-snow scene."""
    label = _pixels(archive / "labels" / "ontario.tif")
    optical = [_pixels(archive / f"sentinel-2-l2a/S2_ontario_20200111/{b}.tif") for b in S2_BANDS]
    radar = [
        _pixels(archive / f"sentinel-1-rtc/S1_ontario_20200111_rtc/{b.lower()}.tif")
        for b in S1_BANDS
    ]
    used = (label == SNOW_LABEL) & np.all([np.array(band) > 0 for band in optical + radar], axis=0)
    values = np.stack([*np.log(optical), *(10 * np.log10(np.where(used, radar, 1)))], axis=-1)
    row, col = np.nonzero(used)
    place = row // BLOCK * 1000 + col // BLOCK
    return values[used], np.full(len(row), -1), place


def _pixels(path: Path) -> NDArray:
    with rasterio.open(path) as file:
        return np.where((band := file.read(1).astype(np.float64)) > 0, band, 1e-6)


def moments(values: NDArray, month: NDArray, place: NDArray) -> dict[str, object]:
    """Means by month, covariance between places, covariance within a place over the year.

    Args:
        values: (N, 11) features.
        month: (N,) month, 0 to 11, or -1 if there is only one date.
        place: (N,) number of the place.

    """
    mean = values.mean(axis=0)
    means = np.tile(mean, (12, 1))
    for number in range(12):
        of_month = values[month == number]
        weight = len(of_month) / (len(of_month) + 20)  # few samples: rely on the year
        means[number] = weight * of_month.mean(axis=0) + (1 - weight) * mean if weight else mean
    means = (np.roll(means, 1, axis=0) + 2 * means + np.roll(means, -1, axis=0)) / 4
    residual = values - means[month] if month.min() >= 0 else values - mean
    places, number = np.unique(place, return_inverse=True)
    count = np.bincount(number)
    centre = np.stack([np.bincount(number, column) / count for column in residual.T], axis=-1)
    inner = residual - centre[number]
    within = inner.T @ inner / max(len(values) - len(places), 1)
    # Subtract the scatter of means of few dates; the rest is between the places.
    between = np.cov(centre[count >= 3].T) - within * np.mean(1 / count[count >= 3])
    size, axes = np.linalg.eigh(between)
    between = axes * np.maximum(size, 0) @ axes.T
    return {
        "places": len(places),
        "samples": len(values),
        "mean": means.round(3).tolist(),
        "between": between.round(4).tolist(),
        "within": within.round(4).tolist(),
    }


if __name__ == "__main__":
    main()
