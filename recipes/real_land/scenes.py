"""Real scenes of the archive on their own grids: some lend their texture, all of them judge."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.warp import reproject
from scipy.ndimage import gaussian_filter

from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_BANDS, s2_offset

LABELLED = {
    "denmark": ("S2_denmark_20171030", "S1_denmark_20171030_rtc"),
    "ontario": ("S2_ontario_20200111", "S1_ontario_20200111_rtc"),
}
"""The labelled scenes: nothing of them is ever shown to a network that is trained."""

INTERPRETED_CSV = Path(__file__).parent / "interpreted.csv"
"""Rectangles of the other scenes whose cover can be told by eye, in pixels of their 10 m bands;
more than one class where the eye, or the legend, leaves it open."""

S1_OF_SCENE = {
    "S2_20200604T054639_20200604T054831_T43RCP": "S1A_IW_GRDH_1SDV_20200607T010800",
    "S2_20200813T054639_20200813T054952_T43RCP": "S1A_IW_GRDH_1SDV_20200903T131212",
    "S2A_MSIL2A_20170613T101031_87_48": "S1A_IW_GRDH_1SDV_20170613T165043",
    "S2A_MSIL2A_20170617T113321_36_85": "S1A_IW_GRDH_1SDV_20170617T064724_29UPU_36_85",
    "S2A_MSIL2A_20170617T113321_4_55": "S1A_IW_GRDH_1SDV_20170617T064724_29UPU_4_55",
    "S2A_MSIL2A_20171221T112501_56_35": "S1A_IW_GRDH_1SDV_20171221T064238",
    "S2B_MSIL2A_20170924T93020_69_24": "S1A_IW_GRDH_1SDV_20170925T043256",
    "S2B_MSIL2A_20180204T94161_57_38": "S1A_IW_GRDH_1SDV_20180204T043253",
}
"""Sentinel-1 of the interpreted scenes, by how its names begin; Laos has none."""

MAX_BLUE_DN = 2200
"""Blue, DN, above which a clip is of clouds or snow: its texture is not the ground's."""

CLIP_PX = 512
"""Pixels a side of the largest clip of texture."""


@dataclass(frozen=True)
class LabelledScene:
    """A labelled scene."""

    name: str
    s2: NDArray[np.uint16]
    """(9, H, W) DN without offset, 0 nodata."""

    s1: NDArray[np.int16]
    """(2, H, W) hundredths of a decibel."""

    label: NDArray[np.uint8]
    """(H, W) the archive's own codes."""


def labelled_scenes(archive: Path) -> list[LabelledScene]:
    """The labelled scenes of the archive."""
    items = load_items(archive)
    scenes = []
    for name, (s2, s1) in LABELLED.items():
        with rasterio.open(archive / "labels" / f"{name}.tif") as file:
            label = file.read(1)
        pixels = read_optical(archive, items[s2])
        scenes.append(
            LabelledScene(name, pixels, _read_radar(archive, items[s1], items[s2]), label)
        )
    return scenes


@dataclass(frozen=True)
class InterpretedScene:
    """A scene parts of which were told by eye."""

    name: str
    s2: NDArray[np.uint16]
    """(9, H, W) DN without offset, 0 nodata."""

    s1: NDArray[np.int16]
    """(2, H, W) hundredths of a decibel."""

    parts: list[tuple[tuple[str, ...], tuple[slice, slice]]]
    """What may be there, Dynamic World's names, and where: rows, columns."""


def interpreted_scenes(archive: Path) -> list[InterpretedScene]:
    """The scenes of ``INTERPRETED_CSV``, in its order."""
    items = load_items(archive)
    parts: dict[str, list[tuple[tuple[str, ...], tuple[slice, slice]]]] = {}
    with INTERPRETED_CSV.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            left, top, right, bottom = (int(row[e]) for e in ("left", "top", "right", "bottom"))
            where = (slice(top, bottom), slice(left, right))
            parts.setdefault(row["scene"], []).append((tuple(row["map_classes"].split(";")), where))
    scenes = []
    for name, told in parts.items():
        pixels = read_optical(archive, items[name])
        s1 = np.full((len(S1_BANDS), *pixels.shape[1:]), S1_NODATA, np.int16)
        if name in S1_OF_SCENE:
            radar = next(item for key, item in items.items() if key.startswith(S1_OF_SCENE[name]))
            s1 = _read_radar(archive, radar, items[name])
        scenes.append(InterpretedScene(name, pixels, s1, told))
    return scenes


def load_textures(archive: Path) -> list[NDArray[np.float32]]:
    """What is left of the unlabelled scenes without their broad colours: (9, H, W) clips.

    The logarithm of reflectance, less itself blurred, with a deviation of about 1 everywhere:
    neither the level nor the colour nor the shapes of the land it comes from are left. Labelled
    scenes give none.
    """
    named = {name for pair in LABELLED.values() for name in pair}
    clips = []
    for name, item in sorted(load_items(archive).items()):
        if item["collection"] != "sentinel-2-l2a" or name in named:
            continue
        pixels = read_optical(archive, item)
        for top in range(0, pixels.shape[1] - 63, CLIP_PX):
            for left in range(0, pixels.shape[2] - 63, CLIP_PX):
                clip = pixels[:, top : top + CLIP_PX, left : left + CLIP_PX]
                if (clip > 0).all() and np.median(clip[0]) < MAX_BLUE_DN:
                    clips.append(_high_frequencies(clip))
    return clips


def _high_frequencies(clip: NDArray[np.uint16]) -> NDArray[np.float32]:
    level = np.log(np.maximum(clip, 30).astype(np.float32))
    high = level - np.stack([gaussian_filter(plane, 2) for plane in level])
    # as strong everywhere: else the borders of fields stand out, and they are shapes, not texture
    strong = np.sqrt(gaussian_filter((high**2).mean(0), 6))
    return (high / np.maximum(strong, 0.005)).clip(-3, 3)


def read_optical(archive: Path, item: dict[str, Any]) -> NDArray[np.uint16]:
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


def _read_radar(archive: Path, item: dict[str, Any], onto: dict[str, Any]) -> NDArray[np.int16]:
    """A Sentinel-1 item's two bands (2, H, W) in decibels, on the grid of an optical item."""
    with rasterio.open(archive / onto["assets"]["B02"]["href"]) as file:
        grid = {"dst_transform": file.transform, "dst_crs": file.crs}
        power = np.full((len(S1_BANDS), *file.shape), np.nan, np.float32)
    for plane, band in zip(power, S1_BANDS, strict=True):
        with rasterio.open(archive / item["assets"][band.lower()]["href"]) as file:
            reproject(rasterio.band(file, 1), plane, dst_nodata=np.nan, **grid)
    return _decibels(power)


def _decibels(power: NDArray[np.float32]) -> NDArray[np.int16]:
    there = (np.isfinite(power) & (power > 0)).all(0)
    decibels = 1000 * np.log10(np.where(there, power, 1))
    return np.where(there, np.rint(decibels).clip(S1_NODATA + 1, 32767), S1_NODATA).astype(np.int16)


def load_items(archive: Path) -> dict[str, dict[str, Any]]:
    """The archive's STAC items by their ids."""
    collection = json.loads((archive / "items.json").read_text(encoding="utf-8"))
    return {item["id"]: item for item in collection["features"]}
