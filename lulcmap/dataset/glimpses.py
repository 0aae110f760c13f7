"""What single Sentinel-2 dates show of places: a few bands around each, clouds and all.

Whoever labels a place from a composite wants to see its seasons too: a field is green in May and
bare in September. Of each of several equal parts of a period, the date is taken that is clearest
around the place.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date
from math import cos, radians
from typing import Any, TypeAlias

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from lulcmap.catalog import Datatake, Period, Scene, rank_s2
from lulcmap.dataset.clearness import clear_by_classes
from lulcmap.dataset.dates import parts_of
from lulcmap.dataset.settings import ImageArchive
from lulcmap.dataset.source import OpenArchive
from lulcmap.errors import NoScenesError, ReadError
from lulcmap.geo import RESOLUTION_M
from lulcmap.imagery import pixels_of
from lulcmap.sensors import SCL_MASKED

GLIMPSE_BANDS = ("B02", "B03", "B04", "B08")
"""Bands of a glimpse."""

GLIMPSE_PX = 96
"""Side of a glimpse, pixels of 10 m."""

_Pixels: TypeAlias = NDArray[np.integer[Any]]

_LOOKS = 3
"""Dates of each part of the period whose classification is looked at."""

_REACH_DEG = 0.01
"""Half the side, degrees, of the squares around places that scenes are searched in."""

_GLOBE = shapely.box(-180, -90, 180, 90)

_MAX_LAT = 85.0
"""Latitude, degrees, beyond which there is no Web Mercator, and no Sentinel-2 either."""


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What one date shows of a place."""

    day: str
    """Its day, UTC, ISO 8601."""

    image: NDArray[np.uint16]
    """(4, H, W) DN without offset of ``GLIMPSE_BANDS``, 0 nodata, in Web Mercator."""

    clear: NDArray[np.bool_] | None
    """(H, W) True where the classification names neither cloud nor shadow; None without one."""

    @property
    def is_clear(self) -> bool | None:
        """Whether the place itself, in the middle, is clear; None if that is unknown."""
        if self.clear is None:
            return None
        middle = GLIMPSE_PX // 2
        return bool(self.clear[middle - 1 : middle + 1, middle - 1 : middle + 1].all())


@dataclass(frozen=True)
class Glimpses:
    """An archive and a period to see places in. Use ``of`` for each place in turn."""

    archive: OpenArchive
    """Archive of the scenes."""

    scenes: tuple[Scene, ...]
    """Scenes of all places."""

    period: Period
    """Period of the dates."""

    count: int
    """Most dates of a place."""

    lost: list[str] = field(default_factory=list)
    """Why bands of dates could not be read."""

    def of(self, lon: float, lat: float) -> list[Glimpse]:
        """The dates of a place, by time; fewer where parts of the period show nothing of it.

        What cannot be read is left out, and ``lost`` tells why.

        Raises:
            ProviderError: no token is available, or the server is down.

        """
        grid = glimpse_grid(lon, lat)
        here = [scene for scene in self.scenes if _shows(scene, lon, lat)]
        looks = [
            (number, datatake)
            for number, part in enumerate(parts_of(self.period, self.count))
            for datatake in rank_s2(_within(here, part), part)[:_LOOKS]
        ]
        codes = self._read([(datatake, "SCL") for _, datatake in looks], grid)
        best = sorted(zip(looks, codes, strict=True), key=lambda look: -_clear_share(look[1]))
        found: dict[int, Glimpse] = {}
        while best:
            chosen = {
                number: (datatake, one)
                for (number, datatake), one in reversed(best)
                if number not in found
            }
            found |= self._seen(chosen, grid)
            taken = [datatake for datatake, _ in chosen.values()]
            best = [look for look in best if look[0][0] not in found and look[0][1] not in taken]
        return sorted(found.values(), key=lambda one: one.day)

    def _seen(
        self, chosen: dict[int, tuple[Datatake, _Pixels | None]], grid: GeoBox
    ) -> dict[int, Glimpse]:
        """Glimpses of one datatake for each part of the period, of those that show the middle."""
        jobs = [(datatake, band) for datatake, _ in chosen.values() for band in GLIMPSE_BANDS]
        planes = iter(self._read(jobs, grid))
        found = {}
        for number, (datatake, codes) in chosen.items():
            bands = [next(planes) for _ in GLIMPSE_BANDS]
            image = np.stack([np.zeros(grid.shape, np.uint16) if b is None else b for b in bands])
            if image[:, GLIMPSE_PX // 2, GLIMPSE_PX // 2].all():
                day = datatake[0].acquired.date().isoformat()
                clear = None if codes is None else clear_by_classes(codes.astype(np.uint8))
                found[number] = Glimpse(day, image.astype(np.uint16), clear)
        return found

    def _read(self, jobs: Sequence[tuple[Datatake, str]], grid: GeoBox) -> list[_Pixels | None]:
        """Bands of datatakes (H, W), all read at once: each from the first scene that has data.

        DN are without offset; None where no scene has the band, or none could be read.
        """
        requests = [
            (number, scene, band)
            for number, (datatake, band) in enumerate(jobs)
            for scene in datatake
            if band in scene.assets
        ]
        merged: list[_Pixels | None] = [None] * len(jobs)
        lost: dict[int, str] = {}
        asked = [(scene, band) for _, scene, band in requests]
        with closing(self.archive.reader.planes(asked, grid)) as stream:
            for (number, scene, band), plane in zip(requests, stream, strict=True):
                if isinstance(plane, ReadError):
                    lost[number] = str(plane)
                    continue
                own, before = _values(pixels_of(plane), scene, band), merged[number]
                merged[number] = own if before is None else np.where(before == 0, own, before)
        self.lost.extend(reason for number, reason in lost.items() if merged[number] is None)
        return merged


@contextmanager
def open_glimpses(
    catalog: str, places: NDArray[np.float64], days: tuple[date, date], count: int
) -> Iterator[Glimpses]:
    """Find the scenes of places, and open their archive.

    Args:
        catalog: catalogue, as of ``ImageArchive``.
        places: (n, 2) longitudes and latitudes, degrees.
        days: first and last day.
        count: most dates of a place.

    Raises:
        NoScenesError: there are none.
        UsageError: the catalogue is none.
        ProviderError: the provider failed.

    """
    squares = shapely.buffer(shapely.points(places), _REACH_DEG, cap_style="square")
    near = shapely.intersection(shapely.union_all(squares), _GLOBE)  # servers refuse other degrees
    area = shapely.MultiPolygon(list(shapely.get_parts(near)))
    with OpenArchive(ImageArchive(catalog=catalog)) as archive:
        scenes, _ = archive.find(area, days, days, s1=False)
        if not scenes:
            raise NoScenesError(
                f"No Sentinel-2 scene of the points was found from {days[0]} to {days[1]}. Try "
                "another --catalog, or leave out --dates."
            )
        yield Glimpses(archive, tuple(scenes), Period(*days, ""), count)


def glimpse_grid(lon: float, lat: float) -> GeoBox:
    """The grid of a place's glimpses in Web Mercator, so that a browser shows them as they are."""
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True).transform(
        lon, min(max(lat, -_MAX_LAT), _MAX_LAT)
    )
    side = RESOLUTION_M / cos(radians(min(abs(lat), _MAX_LAT)))
    half = side * GLIMPSE_PX / 2
    return GeoBox(
        (GLIMPSE_PX, GLIMPSE_PX), Affine(side, 0, x - half, 0, -side, y + half), "EPSG:3857"
    )


def glimpse_bounds(lon: float, lat: float) -> tuple[float, float, float, float]:
    """West, south, east and north of a place's glimpses, degrees; past 180 where they cross it."""
    west, south, east, north = glimpse_grid(lon, lat).boundingbox.bbox
    to_degrees = Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True)
    sides, (south, north) = to_degrees.transform((west, east), (south, north))
    west, east = (lon + (side - lon + 180) % 360 - 180 for side in sides)
    return west, south, east, north


def _shows(scene: Scene, lon: float, lat: float) -> bool:
    """Whether the box of a scene holds a place."""
    west, south, east, north = scene.bbox
    across = west <= lon <= east if west <= east else (lon >= west or lon <= east)
    return across and south <= lat <= north


def _within(scenes: Sequence[Scene], part: Period) -> list[Scene]:
    return [one for one in scenes if part.start <= one.acquired.date() <= part.end]


def _clear_share(codes: _Pixels | None) -> float:
    """Share of a classification that is clear; without one, less than any."""
    return -1.0 if codes is None else float((~np.isin(codes, SCL_MASKED)).mean())


def _values(pixels: _Pixels, scene: Scene, band: str) -> _Pixels:
    """Pixels of a band without offset, 0 nodata; classifications as they are."""
    if band == "SCL":
        return pixels
    shifted = np.maximum(pixels.astype(np.int32) - scene.offset, 1)
    return np.where(pixels == 0, 0, shifted).astype(np.uint16)
