"""Synthetic points that the recipe's tests share."""

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from recipes.real_land import points as real
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
