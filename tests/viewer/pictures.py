"""A small map with its composite, to be labelled."""

import numpy as np
import rasterio
from affine import Affine

from tests.evaluation.test_sampling import write_map

TRANSFORM = Affine(10, 0, 500_000, 0, -10, 6_400_000)

BANDS = ("B02", "B03", "B04", "B08")


def write_labelled_land(folder):
    """A map of trees, crops and built land in one zone, and the composite beside it.

    Returns:
        Path of the map, and its values.

    """
    rng = np.random.default_rng(5)
    values = np.kron(
        rng.choice(np.uint8([1, 4, 6]), (10, 12), p=[0.5, 0.35, 0.15]), np.ones((12, 12), np.uint8)
    )
    path = write_map(folder / "land.tif", values)
    colours = {1: (200, 500, 300, 3000), 4: (700, 1100, 1500, 2200), 6: (1700, 1700, 1900, 2100)}
    spectra = np.zeros((4, *values.shape), np.uint16)
    for value, colour in colours.items():
        spectra[:, values == value] = np.array(colour, np.uint16)[:, None]
    spectra += rng.integers(0, 120, spectra.shape).astype(np.uint16)
    write_composite(folder / "land-composite.tif", spectra)
    write_composite(folder / "land-2023.tif", spectra[::-1])
    return path, values


def write_composite(path, spectra):
    """A composite with named bands on the grid of the map."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="uint16",
        count=len(spectra),
        height=spectra.shape[1],
        width=spectra.shape[2],
        crs="EPSG:32632",
        transform=TRANSFORM,
        nodata=0,
    ) as file:
        file.write(spectra)
        for number, name in enumerate(BANDS, 1):
            file.set_band_description(number, name)
