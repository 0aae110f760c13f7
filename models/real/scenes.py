"""Real scenes of the archive on their own grids: some lend their texture, two judge."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from scipy.ndimage import gaussian_filter

from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_BANDS, s2_offset

JUDGES = {
    "denmark": ("S2_denmark_20171030", "S1_denmark_20171030_rtc"),
    "ontario": ("S2_ontario_20200111", "S1_ontario_20200111_rtc"),
}
"""The labelled scenes: nothing of them is ever shown to a network that is trained."""

CLOUDED = 2200
"""Blue, DN, above which a clip is of clouds or snow: its texture is not the ground's."""

CLIP = 512
"""Pixels a side of the largest clip of texture."""


@dataclass(frozen=True)
class Scene:
    """A labelled scene."""

    name: str
    s2: NDArray[np.uint16]
    """(9, H, W) DN without offset, 0 nodata."""

    s1: NDArray[np.int16]
    """(2, H, W) hundredths of a decibel."""

    label: NDArray[np.uint8]
    """(H, W) the archive's own codes."""


def judges(archive: Path) -> list[Scene]:
    """The labelled scenes of the archive."""
    items = _items(archive)
    scenes = []
    for name, (s2, s1) in JUDGES.items():
        with rasterio.open(archive / "labels" / f"{name}.tif") as file:
            label = file.read(1)
        pixels = optical(archive, items[s2])
        scenes.append(Scene(name, pixels, _radar(archive, items[s1], label.shape), label))
    return scenes


def textures(archive: Path) -> list[NDArray[np.float32]]:
    """What is left of the unlabelled scenes without their broad colours: (9, H, W) clips.

    The logarithm of reflectance, less itself blurred, with a deviation of about 1 everywhere:
    neither the level nor the colour nor the shapes of the land it comes from are left. Labelled
    scenes give none.
    """
    named = {name for pair in JUDGES.values() for name in pair}
    clips = []
    for name, item in sorted(_items(archive).items()):
        if item["collection"] != "sentinel-2-l2a" or name in named:
            continue
        pixels = optical(archive, item)
        for top in range(0, pixels.shape[1] - 63, CLIP):
            for left in range(0, pixels.shape[2] - 63, CLIP):
                clip = pixels[:, top : top + CLIP, left : left + CLIP]
                if (clip > 0).all() and np.median(clip[0]) < CLOUDED:
                    clips.append(_high(clip))
    return clips


def _high(clip: NDArray[np.uint16]) -> NDArray[np.float32]:
    level = np.log(np.maximum(clip, 30).astype(np.float32))
    high = level - np.stack([gaussian_filter(plane, 2) for plane in level])
    # as strong everywhere: else the borders of fields stand out, and they are shapes, not texture
    strong = np.sqrt(gaussian_filter((high**2).mean(0), 6))
    return (high / np.maximum(strong, 0.005)).clip(-3, 3)


def optical(archive: Path, item: dict[str, Any]) -> NDArray[np.uint16]:
    """A Sentinel-2 item's nine bands (9, H, W) on the grid of its 10 m bands, 0 nodata."""
    with rasterio.open(archive / item["assets"]["B02"]["href"]) as file:
        shape = file.shape
    planes = []
    for band in S2_BANDS:
        asset = item["assets"][band]
        offset = s2_offset(item["properties"], asset) or 0
        with rasterio.open(archive / asset["href"]) as file:
            raw = file.read(1, out_shape=shape, resampling=Resampling.nearest).astype(np.int32)
        planes.append(np.where(raw == 0, 0, (raw - offset).clip(1)))
    seen = np.stack(planes)
    return np.where((seen == 0).any(0), 0, seen).astype(np.uint16)


def _radar(archive: Path, item: dict[str, Any], shape: tuple[int, int]) -> NDArray[np.int16]:
    planes = []
    for band in S1_BANDS:
        with rasterio.open(archive / item["assets"][band.lower()]["href"]) as file:
            planes.append(file.read(1, out_shape=shape, resampling=Resampling.nearest))
    power = np.stack(planes)
    there = (np.isfinite(power) & (power > 0)).all(0)
    decibels = 1000 * np.log10(np.where(there, power, 1))
    return np.where(there, np.rint(decibels).clip(S1_NODATA + 1, 32767), S1_NODATA).astype(np.int16)


def _items(archive: Path) -> dict[str, dict[str, Any]]:
    collection = json.loads((archive / "items.json").read_text(encoding="utf-8"))
    return {item["id"]: item for item in collection["features"]}
