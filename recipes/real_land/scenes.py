"""Real scenes of the archive on their own grids: all for evaluation, some for texture."""

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
"""Sentinel-2 and Sentinel-1 item of each labelled scene; no network is ever trained on them."""

INTERPRETED_CSV = Path(__file__).parent / "interpreted.csv"
"""Rectangles of the other scenes whose cover is plain to see, in pixels of their 10 m bands; with
several classes where the image or the legend leaves it open."""

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
"""Start of the name of each interpreted scene's Sentinel-1 item; Laos has none."""

MAX_BLUE_DN = 2200
"""Blue above which a clip shows clouds or snow, whose texture is not the ground's, DN."""

CLIP_PX = 512
"""Side of the largest texture clip, pixels."""


@dataclass(frozen=True)
class LabelledScene:
    """A labelled scene."""

    name: str
    """Name of the scene."""

    s2: NDArray[np.uint16]
    """Sentinel-2, DN without offset, 0 nodata, (9, H, W)."""

    s1: NDArray[np.int16]
    """Sentinel-1, hundredths of a decibel, (2, H, W)."""

    label: NDArray[np.uint8]
    """Labels in the archive's own codes, (H, W)."""


def labelled_scenes(archive: Path) -> list[LabelledScene]:
    """Read the labelled scenes of the archive."""
    items = load_items(archive)
    scenes = []
    for name, (s2, s1) in LABELLED.items():
        with rasterio.open(archive / "labels" / f"{name}.tif") as file:
            label = file.read(1)
        pixels = read_optical(archive, items[s2])
        scenes.append(LabelledScene(name, pixels, read_radar(archive, items[s1], items[s2]), label))
    return scenes


@dataclass(frozen=True)
class InterpretedScene:
    """A scene with visually interpreted parts."""

    name: str
    """Name of the scene: the id of its Sentinel-2 item."""

    s2: NDArray[np.uint16]
    """Sentinel-2, DN without offset, 0 nodata, (9, H, W)."""

    s1: NDArray[np.int16]
    """Sentinel-1, hundredths of a decibel, (2, H, W)."""

    parts: list[tuple[tuple[str, ...], tuple[slice, slice]]]
    """Possible classes of each part, Dynamic World's names, and its rows and columns."""


def interpreted_scenes(archive: Path) -> list[InterpretedScene]:
    """Read the scenes of ``INTERPRETED_CSV``, in its order."""
    items = load_items(archive)
    parts: dict[str, list[tuple[tuple[str, ...], tuple[slice, slice]]]] = {}
    with INTERPRETED_CSV.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            left, top, right, bottom = (int(row[e]) for e in ("left", "top", "right", "bottom"))
            where = (slice(top, bottom), slice(left, right))
            parts.setdefault(row["scene"], []).append((tuple(row["map_classes"].split(";")), where))
    scenes = []
    for name, parts_of_scene in parts.items():
        pixels = read_optical(archive, items[name])
        s1 = np.full((len(S1_BANDS), *pixels.shape[1:]), S1_NODATA, np.int16)
        if name in S1_OF_SCENE:
            radar = next(item for key, item in items.items() if key.startswith(S1_OF_SCENE[name]))
            s1 = read_radar(archive, radar, items[name])
        scenes.append(InterpretedScene(name, pixels, s1, parts_of_scene))
    return scenes


def load_textures(archive: Path) -> list[NDArray[np.float32]]:
    """Texture of the unlabelled scenes: clips (9, H, W).

    A clip is the logarithm of reflectance minus its blur, scaled to a deviation of about 1
    everywhere: neither level nor colour nor shapes of the land are left. Labelled scenes give none.
    """
    labelled = {name for pair in LABELLED.values() for name in pair}
    clips = []
    for name, item in sorted(load_items(archive).items()):
        if item["collection"] != "sentinel-2-l2a" or name in labelled:
            continue
        clips += textures_of(read_optical(archive, item))
    return clips


def textures_of(pixels: NDArray[np.uint16]) -> list[NDArray[np.float32]]:
    """Texture clips of one scene, (9, H, W) DN; none of parts with gaps, cloud or snow."""
    clips = []
    for top in range(0, pixels.shape[1] - 63, CLIP_PX):
        for left in range(0, pixels.shape[2] - 63, CLIP_PX):
            clip = pixels[:, top : top + CLIP_PX, left : left + CLIP_PX]
            if (clip > 0).all() and np.median(clip[0]) < MAX_BLUE_DN:
                clips.append(_high_frequencies(clip))
    return clips


def _high_frequencies(clip: NDArray[np.uint16]) -> NDArray[np.float32]:
    level = np.log(np.maximum(clip, 30).astype(np.float32))
    high = level - np.stack([gaussian_filter(plane, 2) for plane in level])
    # equally strong everywhere, or field borders would stand out, which are shapes, not texture
    strong = np.sqrt(gaussian_filter((high**2).mean(0), 6))
    return (high / np.maximum(strong, 0.005)).clip(-3, 3)


def read_optical(
    archive: Path, item: dict[str, Any], *, resampling: Resampling = Resampling.nearest
) -> NDArray[np.uint16]:
    """Read a Sentinel-2 item's nine bands (9, H, W) on the grid of its 10 m bands, 0 nodata."""
    with rasterio.open(archive / item["assets"]["B02"]["href"]) as file:
        shape = file.shape
    planes = []
    for band in S2_BANDS:
        asset = item["assets"][band]
        offset = s2_offset(item["properties"], asset) or 0
        with rasterio.open(archive / asset["href"]) as file:
            raw = file.read(1, out_shape=shape, resampling=resampling).astype(np.int32)
        planes.append(np.where(raw == 0, 0, (raw - offset).clip(1)))
    stacked = np.stack(planes)
    return np.where((stacked == 0).any(0), 0, stacked).astype(np.uint16)


def read_radar(archive: Path, item: dict[str, Any], onto: dict[str, Any]) -> NDArray[np.int16]:
    """Read a Sentinel-1 item's bands (2, H, W), 0.01 dB, on the grid of an optical item."""
    with rasterio.open(archive / onto["assets"]["B02"]["href"]) as file:
        grid = {"dst_transform": file.transform, "dst_crs": file.crs}
        power = np.full((len(S1_BANDS), *file.shape), np.nan, np.float32)
    for plane, band in zip(power, S1_BANDS, strict=True):
        with rasterio.open(archive / item["assets"][band.lower()]["href"]) as file:
            reproject(rasterio.band(file, 1), plane, dst_nodata=np.nan, **grid)
    return _decibels(power)


def _decibels(power: NDArray[np.float32]) -> NDArray[np.int16]:
    is_valid = (np.isfinite(power) & (power > 0)).all(0)
    decibels = 1000 * np.log10(np.where(is_valid, power, 1))
    return np.where(is_valid, np.rint(decibels).clip(S1_NODATA + 1, 32767), S1_NODATA).astype(
        np.int16
    )


def load_items(archive: Path) -> dict[str, dict[str, Any]]:
    """Read the archive's STAC items, by id."""
    collection = json.loads((archive / "items.json").read_text(encoding="utf-8"))
    return {item["id"]: item for item in collection["features"]}
