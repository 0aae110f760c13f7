"""A country to simulate, and the files of its simulation."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True)
class Country:
    """A country to simulate. The same country gives the same bytes."""

    seed: int
    """Seed of the country, any whole number >= 0."""

    height: int = 1024
    """Height, rows of 10 m."""

    width: int = 1024
    """Width, columns of 10 m."""

    epsg: int = 32632
    """EPSG code of a projected CRS in metres; southern UTM zones (327xx) get southern seasons."""

    west: int = 440_000
    """Easting of the west edge, metres, a multiple of 10."""

    north: int = 5_300_000
    """Northing of the north edge, metres, a multiple of 10."""

    year: int = 2024
    """Year of all dates."""

    s2_dates: int = 8
    """Number of Sentinel-2 dates, spread evenly over the year, alternately on two relative orbits. The second orbit's swath ends inside the country."""

    s1_dates: int = 6
    """Number of Sentinel-1 dates, spread evenly over the year, alternately descending and
    ascending; 0 for none."""

    cloud: float = 0.3
    """Mean share of the country under cloud, 0 to 0.9."""

    haze: float = 0.25
    """Share of Sentinel-2 dates with haze, 0 to 1."""

    old_baseline: float = 0.5
    """Share of Sentinel-2 items before processing baseline 04.00, without the +1000 offset."""

    shift: float = 0.0
    """Shift of the scenes' grids off the multiples of 10 m, east and north, metres. Pixels keep their
    values, so it is also a registration error."""

    without_scl: int = 0
    """Number of Sentinel-2 items without an SCL asset."""

    missing: int = 0
    """Number of Sentinel-2 items that lack one file (B03)."""

    truncated: int = 0
    """Number of Sentinel-2 items with one truncated file (B04)."""

    def __post_init__(self) -> None:
        if self.height < 32 or self.width < 32:
            raise ValueError(
                f"a country of {self.height} x {self.width} pixels; it needs at least 32 x 32"
            )
        if self.west % 10 or self.north % 10:
            raise ValueError(f"west {self.west} and north {self.north} must be multiples of 10 m")
        if not (0 <= self.cloud <= 0.9 and 0 <= self.haze <= 1 and 0 <= self.old_baseline <= 1):
            raise ValueError("cloud must be 0 to 0.9, haze and old_baseline 0 to 1")
        if self.s2_dates < 0 or self.s1_dates < 0 or self.s2_dates + self.s1_dates == 0:
            raise ValueError("a country needs at least one date")
        damaged = self.without_scl, self.missing, self.truncated
        if min(damaged) < 0 or self.missing + self.truncated > self.s2_dates:
            raise ValueError(f"cannot damage {damaged} of {self.s2_dates} Sentinel-2 items")

    @property
    def shape(self) -> tuple[int, int]:
        """Height, width."""
        return self.height, self.width

    def key(self, *stream: int) -> np.uint64:
        """64 random bits for a stream, derived from the seed."""
        return np.random.SeedSequence([self.seed, *stream]).generate_state(1, np.uint64)[0]

    def rng(self, *stream: int) -> np.random.Generator:
        """Random number generator for a stream, derived from the seed."""
        return np.random.default_rng([self.seed, *stream])


@dataclass(frozen=True, slots=True)
class SimulatedCountry:
    """Files of a simulated country."""

    items: Path
    """Path of ``items.json``: a STAC ItemCollection, hrefs relative to it."""

    truth: Path
    """Path of ``truth.tif``: uint8 class map of the whole rectangle on its 10 m grid."""

    aoi: Path
    """Path of ``aoi.geojson``: the border, longitude and latitude, inside the rectangle."""
