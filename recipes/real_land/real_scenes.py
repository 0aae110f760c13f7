"""Every real scene of the data, with its sun: for the teacher's labels and for figures.

The 20 m bands are brought to 10 m in both ways that products come in: nearest neighbour and
bilinear. A scene of several dates is several scenes of one place.
"""

import csv
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling

from lulcmap.geo import solar_zenith
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_BANDS
from recipes.real_land.atmosphere import Atmosphere, Sky
from recipes.real_land.places import Place, load_places
from recipes.real_land.scenes import LABELLED, S1_OF_SCENE, load_items, read_optical, read_radar

FINE, COARSE = ("B02", "B03", "B04", "B08"), ("B05", "B06", "B07", "B8A", "B11", "B12")
"""Bands of the 10 m and 20 m arrays of ``scenes/``."""

S2_OF_ARCHIVE = {
    "laos": "S2B_MSIL2A_20200223T032739_N9999_R018_T48QUE_20230924T183543",
    "congo": "S2A_MSIL2A_20220706T085611_N0400_R007_T33NZA_20220706T153419",
    "punjab-0604": "S2_20200604T054639_20200604T054831_T43RCP",
    "punjab-0813": "S2_20200813T054639_20200813T054952_T43RCP",
    **{name: s2 for name, (s2, _) in LABELLED.items()},
}
"""Sentinel-2 item of each of the archive's scenes that are named in ``places.csv``."""

PARANA_DATES = ("20230511", "20231217", "20240520", "20250609", "20251126")
"""Dates of Parana; 2024-12-16 is cloudy."""

CHESAPEAKE_SUN, CHESAPEAKE_LAT, CHESAPEAKE_MONTH = 28.0, 37.7, 5
"""Sun that fits Chesapeake, whose date is unknown, degrees; its latitude and likely month."""


@dataclass(frozen=True)
class RealScene:
    """A part of a real scene on one date."""

    name: str
    """Name of the scene with its date."""

    place: Place
    """The part, and what it is for."""

    s2: NDArray[np.uint16]
    """Sentinel-2, DN without offset, 0 nodata, 20 m bands by nearest neighbour, (9, H, W)."""

    s2_smooth: NDArray[np.uint16]
    """The same with bilinear 20 m bands."""

    s1: NDArray[np.int16]
    """Sentinel-1, hundredths of a decibel, -32768 nodata, (2, H, W)."""

    sky: Sky
    """Sun, water vapour and ozone."""

    day: datetime
    """Time of Sentinel-2."""

    lat: float
    """Latitude, degrees."""

    lon: float
    """Longitude, degrees."""

    corine: tuple[str, ...] = ()
    """CORINE classes in the image, BigEarthNet's names; none if unknown."""

    toa: NDArray[np.float32] | None = None
    """DN of L1C, (9, H, W), where the scene was delivered so."""

    @property
    def source(self) -> str:
        """First part of the name: ``"bigearthnet"``, ``"gascony"``, ..."""
        return self.name.split("-")[0]

    @property
    def has_radar(self) -> bool:
        """Whether Sentinel-1 saw any of it."""
        return bool((self.s1 != S1_NODATA).any())


def real_scenes(
    data: Path, *, use: str, sources: Collection[str] | None = None
) -> Iterator[RealScene]:
    """Read the scenes that are for a use: ``"train"`` or ``"held-out"``.

    Args:
        data: folder with ``scenes``, ``archive`` and ``teacher``.
        use: what the scenes are for.
        sources: only scenes whose names begin so; None for all.

    """
    by_scene: dict[str, list[Place]] = {}
    for place in load_places():
        if place.use == use and (sources is None or place.scene.split("-")[0] in sources):
            by_scene.setdefault(place.scene, []).append(place)
    for reader in (_gascony, _chesapeake, _parana, _bigearthnet, _archive):
        yield from reader(data, by_scene)


def _cut(scene: RealScene, place: Place) -> RealScene:
    at = (slice(None), *place.where)
    return replace(
        scene,
        name=scene.name.replace(place.scene, place.place) if place.bottom else scene.name,
        place=place,
        s2=scene.s2[at],
        s2_smooth=scene.s2_smooth[at],
        s1=scene.s1[at],
        toa=None if scene.toa is None else scene.toa[at],
    )


def _gascony(data: Path, places: Mapping[str, list[Place]]) -> Iterator[RealScene]:
    for place in places.get("gascony", ()):
        near, smooth = _two_files(data / "scenes", "gascony")
        day = datetime(2018, 10, 23, 10, 51, 7)
        yield _cut(_scene("gascony", place, near, smooth, day, lon=0.09, lat=43.70), place)


def _chesapeake(data: Path, places: Mapping[str, list[Place]]) -> Iterator[RealScene]:
    for place in places.get("chesapeake", ()):
        atmosphere = Atmosphere(data / "teacher")
        sky = Sky.over(CHESAPEAKE_SUN, CHESAPEAKE_LAT, CHESAPEAKE_MONTH)
        near, smooth = _two_files(data / "scenes", "chesapeake_l1c")
        surface = [atmosphere.to_surface(planes, sky) for planes in (near, smooth)]
        day = datetime(2016, CHESAPEAKE_MONTH, 15)
        scene = _scene("chesapeake", place, *surface, day, lon=-75.6, lat=CHESAPEAKE_LAT)
        yield _cut(replace(scene, sky=sky, toa=smooth.astype(np.float32)), place)


def _parana(data: Path, places: Mapping[str, list[Place]]) -> Iterator[RealScene]:
    for place in places.get("parana", ()):
        for date in PARANA_DATES:
            with rasterio.open(data / "scenes" / f"parana_{date}.tif") as file:
                raw = file.read().astype(np.int32)
            pixels = np.where((raw == 0).any(0), 0, (raw - 1000).clip(1))
            day = datetime.strptime(date + "14", "%Y%m%d%H")
            name = f"parana-{date}"
            yield _cut(_scene(name, place, pixels, pixels, day, lon=-58.87, lat=-27.47), place)


def _bigearthnet(data: Path, places: Mapping[str, list[Place]]) -> Iterator[RealScene]:
    if not any(name.startswith("bigearthnet") for name in places):
        return
    with np.load(data / "scenes" / "bigearthnet.npz") as file:
        fine, coarse, decibels = (file[name] for name in ("s2_10m", "s2_20m", "s1_db"))
    with (data / "scenes" / "bigearthnet.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    for number, row in enumerate(rows):
        name = f"bigearthnet-{number:03d}"
        for place in places.get(name, ()):
            near, smooth = (
                _nine(fine[number].transpose(2, 0, 1), doubled(coarse[number].transpose(2, 0, 1)))
                for doubled in (_doubled, _doubled_smoothly)
            )
            scene = _scene(
                name, place, near, smooth, _time(row), lon=float(row["lon"]), lat=float(row["lat"])
            )
            radar = _decibels(decibels[number].transpose(2, 0, 1))
            yield replace(scene, s1=radar, corine=tuple(json.loads(row["labels"])))


def _time(row: Mapping[str, str]) -> datetime:
    """Time in a patch's name; some names lack digits of it: mid-morning then."""
    found = re.search(r"_(\d{8})T(\d+)_", row["name"])
    if found is None:
        raise ValueError(f"no time in {row['name']}")
    date, clock = found.groups()
    try:
        return datetime.strptime(date + clock.zfill(6), "%Y%m%d%H%M%S")
    except ValueError:
        return datetime.strptime(date + "10", "%Y%m%d%H")


def _decibels(values: NDArray[np.float32]) -> NDArray[np.int16]:
    seen = np.isfinite(values).all(0) & (values > -60).all(0)
    hundredths = np.rint(100 * np.where(seen, values, 0)).clip(S1_NODATA + 1, 32767)
    return np.where(seen, hundredths, S1_NODATA).astype(np.int16)


def _archive(data: Path, places: Mapping[str, list[Place]]) -> Iterator[RealScene]:
    archive = data / "archive"
    for name in sorted(S2_OF_ARCHIVE.keys() & places.keys()):
        for place in places[name]:
            yield archive_scene(archive, load_items(archive), name, place)


def archive_scene(
    archive: Path, items: Mapping[str, dict[str, Any]], name: str, place: Place
) -> RealScene:
    """Read one of ``S2_OF_ARCHIVE``, with its Sentinel-1 if there is one."""
    key = S2_OF_ARCHIVE[name]
    item = items[key]
    near, smooth = (
        read_optical(archive, item, resampling=how)
        for how in (Resampling.nearest, Resampling.bilinear)
    )
    west, south, east, north = item["bbox"]
    day = datetime.fromisoformat(item["properties"]["datetime"].replace("Z", ""))
    scene = _scene(name, place, near, smooth, day, lon=(west + east) / 2, lat=(south + north) / 2)
    radar = {**S1_OF_SCENE, **dict(LABELLED.values())}.get(key)
    if radar is None:
        return scene
    found = next(one for identity, one in items.items() if identity.startswith(radar))
    return replace(scene, s1=read_radar(archive, found, item))


def _scene(
    name: str,
    place: Place,
    near: NDArray[Any],
    smooth: NDArray[Any],
    day: datetime,
    *,
    lon: float,
    lat: float,
) -> RealScene:
    seen = (near > 0).all(0) & (smooth > 0).all(0)
    pixels = [
        np.where(seen, np.rint(planes).clip(1, 65535), 0).astype(np.uint16)
        for planes in (near, smooth)
    ]
    no_radar = np.full((len(S1_BANDS), *seen.shape), S1_NODATA, np.int16)
    sky = Sky.over(float(solar_zenith(day, lon, lat)), lat, day.month)
    return RealScene(name, place, pixels[0], pixels[1], no_radar, sky, day, lat, lon)


def _two_files(folder: Path, stem: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Nine bands of a pair of files on the 10 m grid, nearest and bilinear, (9, H, W)."""
    with rasterio.open(folder / f"{stem}_10m.tif") as file:
        fine, grid = file.read().astype(np.float32), file.transform
    with rasterio.open(folder / f"{stem}_20m.tif") as file:
        coarse = file.read().astype(np.float32)
        right, down = (
            round((grid.c - file.transform.c) / 10),
            round((file.transform.f - grid.f) / 10),
        )
    made = []
    for doubled in (_doubled(coarse), _doubled_smoothly(coarse)):
        shifted = doubled[:, down:, right:]
        height, width = (min(a, b) for a, b in zip(fine.shape[1:], shifted.shape[1:], strict=True))
        made.append(_nine(fine[:, :height, :width], shifted[:, :height, :width]))
    return made[0], made[1]


def _nine(fine: NDArray[Any], coarse: NDArray[Any]) -> NDArray[np.float32]:
    planes = dict(zip((*FINE, *COARSE), (*fine, *coarse), strict=True))
    return np.stack([planes[band] for band in S2_BANDS]).astype(np.float32)


def _doubled(coarse: NDArray[Any]) -> NDArray[np.float32]:
    return coarse.repeat(2, 1).repeat(2, 2).astype(np.float32)


def _doubled_smoothly(coarse: NDArray[Any]) -> NDArray[np.float32]:
    """Bilinear from 20 m to 10 m."""
    fine = coarse.astype(np.float32)
    for axis in (1, 2):
        ends = [(0, 0), (0, 0), (0, 0)]
        ends[axis] = (1, 1)
        edged, length = np.pad(fine, ends, mode="edge"), fine.shape[axis]
        before, after = (np.take(edged, np.arange(length) + step, axis) for step in (0, 2))
        pairs = np.stack([0.25 * before + 0.75 * fine, 0.75 * fine + 0.25 * after], axis + 1)
        shape = list(fine.shape)
        shape[axis] *= 2
        fine = pairs.reshape(shape)
    return fine
