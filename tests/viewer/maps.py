"""Maps for the tests of the viewer."""

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from lulcmap.output.cog import PLAN_TAG, LayerBand, write_cog, write_layer_cog
from tests.products.maps import GRID

HOSTILE = "<img src=x onerror=alert(1)>"


def patches(shape, *, seed=0, side=16, classes=9):
    """Values in square patches, with a frame that is not mapped."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes, [-(-one // side) for one in shape], np.uint8)
    values = np.kron(coarse, np.ones((side, side), np.uint8))[: shape[0], : shape[1]].copy()
    values[:5] = values[-7:] = values[:, :3] = values[:, -9:] = 255
    return values


def write_whole(path: Path, values, *, transform=GRID, crs="EPSG:32632", plan="a", **options):
    """A map as lulcmap writes it: a COG with overviews."""
    write_cog(_raw(path, values[None], transform, crs, 255), path, tags={PLAN_TAG: plan}, **options)
    return path


def write_layers(path: Path, shape, *, transform=GRID, crs="EPSG:32632", plan="a"):
    """The layers of quality and composite of a map; their values tell the row and the column."""
    rows, cols = np.indices(shape)
    bands = [rows % 101, cols % 101, rows % 7, cols % 5, np.full(shape, 2)]
    origins = {"flag_meanings": "not_mapped s2_and_s1 s2_only"}
    names = ("confidence", "margin", "s2_count", "s1_count", "origin")
    quality = path.with_stem(f"{path.stem}-quality")
    write_layer_cog(
        _raw(quality, np.stack(bands).astype(np.uint8), transform, crs, 255),
        quality,
        layer="quality",
        bands=[LayerBand(one, tags=origins if one == "origin" else {}) for one in names],
        tags={PLAN_TAG: plan},
    )
    composite = path.with_stem(f"{path.stem}-composite")
    red = 500 + 10 * (rows % 100)
    pixels = np.stack([red, red - 100, np.full(shape, 300), 3000 - rows])
    write_layer_cog(
        _raw(composite, pixels.astype(np.uint16), transform, crs, 0),
        composite,
        layer="composite",
        bands=[LayerBand(one) for one in ("B04", "B03", "B02", "B08")],
        tags={PLAN_TAG: plan},
        overviews="AVERAGE",
    )


def _raw(path: Path, bands, transform: Affine, crs: str, nodata: int) -> Path:
    raw = path.with_suffix(".raw.tif")
    count, height, width = bands.shape
    profile = {"driver": "GTiff", "dtype": bands.dtype, "count": count, "nodata": nodata}
    with rasterio.open(
        raw, "w", height=height, width=width, crs=crs, transform=transform, **profile
    ) as file:
        file.write(bands)
    return raw
