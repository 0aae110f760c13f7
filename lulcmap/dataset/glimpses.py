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
from typing import Any

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
from lulcmap.imagery import Reader, pixels_of
from lulcmap.sensors import SCL_MASKED

GLIMPSE_BANDS = ("B02", "B03", "B04", "B08")
"""Bands of a glimpse."""

GLIMPSE_PX = 96
"""Side of a glimpse, pixels of 10 m."""

_LOOKS = 3
"""Dates of each part of the period whose classification is looked at."""

_REACH_DEG = 0.01
"""Half the side, degrees, of the squares around places that scenes are searched in."""

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
    """Why dates are missing that could not be read."""

    def of(self, lon: float, lat: float) -> list[Glimpse]:
        """The dates of a place, by time; fewer where parts of the period show nothing of it.

        Raises:
            ProviderError: no token is available, or the server is down.

        """
        grid, reader = glimpse_grid(lon, lat), self.archive.reader
        here = [scene for scene in self.scenes if _shows(scene, lon, lat)]
        found = []
        for part in parts_of(self.period, self.count):
            inside = [one for one in here if part.start <= one.acquired.date() <= part.end]
            try:
                seen = _clearest(reader, rank_s2(inside, part)[:_LOOKS], grid)
            except ReadError as error:
                self.lost.append(str(error))
                continue
            if seen is not None:
                found.append(seen)
        return found


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
    area = shapely.MultiPolygon(list(shapely.get_parts(shapely.union_all(squares))))
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
    """West, south, east and north of a place's glimpses, degrees."""
    west, south, east, north = glimpse_grid(lon, lat).boundingbox.bbox
    to_degrees = Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True)
    (west, east), (south, north) = to_degrees.transform((west, east), (south, north))
    return west, south, east, north


def _shows(scene: Scene, lon: float, lat: float) -> bool:
    """Whether the box of a scene holds a place."""
    west, south, east, north = scene.bbox
    across = west <= lon <= east if west <= east else (lon >= west or lon <= east)
    return across and south <= lat <= north


def _clearest(reader: Reader, datatakes: Sequence[Datatake], grid: GeoBox) -> Glimpse | None:
    """The datatake that is clearest on a grid; None if none shows its middle.

    Raises:
        ReadError: it could not be read.

    """
    looks = [(datatake, _merged(reader, datatake, "SCL", grid)) for datatake in datatakes]
    for datatake, codes in sorted(looks, key=lambda look: -_clear_share(look[1])):
        planes = [_merged(reader, datatake, band, grid) for band in GLIMPSE_BANDS]
        image = np.stack([plane for plane in planes if plane is not None])
        if image[:, GLIMPSE_PX // 2, GLIMPSE_PX // 2].all():
            day = datatake[0].acquired.date().isoformat()
            clear = None if codes is None else clear_by_classes(codes.astype(np.uint8))
            return Glimpse(day, image, clear)
    return None


def _clear_share(codes: NDArray[np.integer[Any]] | None) -> float:
    """Share of a classification that is clear; without one, less than any."""
    return -1.0 if codes is None else float((~np.isin(codes, SCL_MASKED)).mean())


def _merged(
    reader: Reader, scenes: Sequence[Scene], band: str, grid: GeoBox
) -> NDArray[np.integer[Any]] | None:
    """(H, W) of the first scenes that have data, DN without offset; None if none has the band.

    Raises:
        ReadError: no scene that has it could be read.

    """
    merged: NDArray[np.integer[Any]] | None = None
    lost: ReadError | None = None
    having = [scene for scene in scenes if band in scene.assets]
    with closing(reader.planes([(scene, band) for scene in having], grid)) as stream:
        for scene, plane in zip(having, stream, strict=True):
            if isinstance(plane, ReadError):
                lost = plane
                continue
            pixels: NDArray[np.integer[Any]] = pixels_of(plane)
            if band != "SCL":
                shifted = np.maximum(pixels.astype(np.int32) - scene.offset, 1)
                pixels = np.where(pixels == 0, 0, shifted).astype(np.uint16)
            merged = pixels if merged is None else np.where(merged == 0, pixels, merged)
    if merged is None and lost is not None:
        raise lost
    return merged
