"""Draw the pictures of docs/map-by-picture.md from a simulated country.

    python docs/make_pictures.py

The country is that of `lulcmap demo`, half as wide; the model never saw it.
"""

import tempfile
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image, ImageDraw

import lulcmap
from lulcmap.legend import LandCover
from lulcmap.sensors import S2_BANDS
from lulcmap.simulation import DEMO_MODEL, Country, simulate

PICTURES = Path(__file__).with_name("pictures")
COUNTRY = Country(seed=7, height=512, width=512, s2_dates=6, s1_dates=4, cloud=0.4)
GAP = 8
"""Pixels between two images of a picture."""

Image8 = NDArray[np.uint8]


def main() -> None:
    """Simulate the country, map it, and draw each step."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        country = simulate(Path(folder), COUNTRY)
        items = str(country.items)
        with rasterio.open(country.truth) as file:
            truth = file.read(1)
            grid = GeoBox(file.shape, file.transform, file.crs)
            palette = _palette(lulcmap.open_model(DEMO_MODEL).contract.legend)
        dates = [_date(path) for path in sorted(Path(folder).glob("sentinel-2-l2a/*"))]
        image = lulcmap.composite(grid, year=COUNTRY.year, catalog=items)
        made = lulcmap.open_model(DEMO_MODEL).classify(image)
    _save("1-dates", *(_colours(s2, ("B04", "B03", "B02")) for s2, _ in dates[:3]))
    _save("2-clouds", *(_mask(s2, scl) for s2, scl in dates[:3]))
    _save("3-counts", _ramp(image.s2_count, 0, 5))
    _save(
        "4-composite",
        _colours(image.s2, ("B04", "B03", "B02")),
        _colours(image.s2, ("B08", "B04", "B03")),
    )
    _save("5-radar", _radar(image.s1))
    _save("6-windows", _windows(_colours(image.s2, ("B04", "B03", "B02")), grid))
    _save("7-confidence", _ramp(made.confidence, 30, 100))
    _save("8-map", palette[made.classes], palette[truth])


def _date(folder: Path) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """The bands of one date, offset removed as far as a picture needs, and its mask at 10 m."""
    layers = []
    for band in S2_BANDS:
        with rasterio.open(folder / f"{band}.tif") as file:
            layers.append(file.read(1, out_shape=COUNTRY.shape))
    with rasterio.open(folder / "SCL.tif") as file:
        scl = file.read(1, out_shape=COUNTRY.shape)
    s2 = np.stack(layers)
    offset = 1000 if np.percentile(s2[0], 1) > 1000 else 0  # of baseline 04.00 and newer
    return np.where(s2 == 0, 0, np.maximum(s2, offset + 1) - offset), scl


def _colours(s2: NDArray[np.uint16], bands: tuple[str, str, str]) -> Image8:
    """Three bands as red, green and blue: reflectance 0 to 0.25, or 0.45 for B08; gaps white."""
    top = [4500 if band == "B08" else 2500 for band in bands]
    rgb = np.stack([s2[S2_BANDS.index(band)] for band in bands], -1) / top
    drawn = (255 * np.clip(rgb, 0, 1) ** 0.8).astype(np.uint8)
    drawn[s2[0] == 0] = 255
    return drawn


def _mask(s2: NDArray[np.uint16], scl: NDArray[np.uint8]) -> Image8:
    """One date with what its classification calls cloud in red and shadow in blue."""
    drawn = _colours(s2, ("B04", "B03", "B02")) // 2 + 96
    drawn[np.isin(scl, (8, 9, 10))] = 214, 69, 65
    drawn[scl == 3] = 60, 90, 170
    drawn[s2[0] == 0] = 255
    return drawn


def _radar(s1: NDArray[np.int16]) -> Image8:
    """VV, VH and their ratio as red, green and blue: -20 to 0, -26 to -8 and 0 to 14 dB."""
    vv, vh = s1 / 100.0
    bands = np.stack([(vv + 20) / 20, (vh + 26) / 18, (vv - vh) / 14], -1)
    return (255 * np.clip(bands, 0, 1)).astype(np.uint8)


def _ramp(values: NDArray[np.uint8], low: int, high: int) -> Image8:
    """Numbers from low (dark) to high (bright)."""
    share = np.clip((values.astype(float) - low) / (high - low), 0, 1)[..., None]
    dark, bright = np.array([38, 24, 74]), np.array([250, 231, 110])
    return (dark + share * (bright - dark)).astype(np.uint8)


def _windows(drawn: Image8, grid: GeoBox, size: int = 512, step: int = 384) -> Image8:
    """The windows of a model, on their lattice from easting and northing 0."""
    picture = Image.fromarray(drawn)
    pen = ImageDraw.Draw(picture)
    left, top = round(grid.affine.c / 10), round(-grid.affine.f / 10)
    for row in range((top - size) // step, (top + drawn.shape[0]) // step + 1):
        for col in range((left - size) // step, (left + drawn.shape[1]) // step + 1):
            x, y = col * step - left, row * step - top
            colour = (255, 220, 60) if (row + col) % 2 else (255, 255, 255)
            pen.rectangle((x, y, x + size - 1, y + size - 1), outline=colour, width=3)
    return np.asarray(picture)


def _palette(legend: tuple[LandCover, ...]) -> Image8:
    """Colours by class id, white for nodata."""
    colours = np.full((256, 3), 255, np.uint8)
    for one in legend:
        colours[one.id] = tuple(bytes.fromhex(one.colour))
    return colours


def _save(name: str, *images: Image8) -> None:
    """Write images side by side, in few colours, so that the file is small."""
    width = sum(image.shape[1] for image in images) + GAP * (len(images) - 1)
    picture = Image.new("RGB", (width, images[0].shape[0]), "white")
    x = 0
    for image in images:
        picture.paste(Image.fromarray(image), (x, 0))
        x += image.shape[1] + GAP
    most = 900
    if width > most:
        picture = picture.resize((most, round(picture.height * most / width)))
    few = picture.quantize(96, dither=Image.Dither.NONE)
    few.save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
