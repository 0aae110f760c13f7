"""Synthetic points that the recipe's tests share."""

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from lulcmap.sensors import S2_BANDS
from recipes.real_land import points as real
from recipes.real_land.regional_points import (
    AFRICA_FILE,
    HELD_OUT_REGION,
    LESOTHO_CLASSES,
    LESOTHO_FILE,
)
from tests.recipes.spectra import SPECTRA


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder of synthetic points: four places of each class in each of eight distant regions."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(5)
    rows = []
    for region in range(8):
        for code, spectrum in SPECTRA.items():
            for _ in range(4):
                lat, lon = 40 + rng.uniform(0, 5), -120 + 30 * region + rng.uniform(0, 5)
                for step in range(12):
                    seen = np.array(spectrum, np.float64)
                    seen[:9] = np.rint(seen[:9] * np.exp(rng.normal(0, 0.05, 9)))
                    if step == 3 and code in (30, 40):  # January
                        seen[:9] = (7000, 6800, 6600, 6500, 6300, 6200, 6100, 1200, 900)
                    if step == 5:
                        seen[9:] = np.nan
                    rows.append((lat, lon, step, *seen, code, "global"))
    names = ("lat", "lon", "step", *real.BANDS, "worldcover", "source")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    (folder / "points").mkdir()
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "points" / real.POINTS_FILE)
    return folder


@pytest.fixture(scope="session")
def points(data):
    return real.load_points(data / "points")


@pytest.fixture(scope="session")
def regional(data):
    """The folder of the points, with synthetic ones of Africa and Lesotho too."""
    rng, points = np.random.default_rng(1), data / "points"
    rows = []
    for number in range(400):
        code = list(LESOTHO_CLASSES)[number % len(LESOTHO_CLASSES)]
        x, y = rng.integers(0, 100, 2) * 2000.0 + 500_000
        for step in range(6):
            green = rng.uniform(0.1, 0.8)
            dn = [500, 700, 700, 1100, 1700, 2000, 700 * (1 + green) / (1 - green), 2400, 1700]
            rows.append((code, x, y, step, *(0.0 if number == 0 else v for v in dn)))
    _write(points / LESOTHO_FILE, ("label", "x", "y", "step", *S2_BANDS), rows)
    rows = []
    for number in range(600):
        bright, green = rng.uniform(0.4, 1.6), rng.choice([0.05, 0.2, 0.3])
        dn = np.array([1500, 2400, 3600, 4000, 4100, 4200, 0, 5700, 5000]) * bright
        dn[6] = dn[2] * (1 + green) / (1 - green)
        region = (HELD_OUT_REGION, "sahel", "northern")[number % 3]
        rows.append((region, int(green > 0.25 and number % 2), *np.repeat(dn, 2)))
    names = [f"{band}_s{half}" for band in S2_BANDS for half in (1, 2)]
    _write(points / AFRICA_FILE, ("region", "crop", *names), rows)
    return points


def _write(path, names, rows):
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
