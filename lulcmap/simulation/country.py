"""What to simulate, and where the result lies."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True)
class Country:
    """What to simulate. The same country gives the same bytes."""

    seed: int
    """Any whole number >= 0."""

    height: int = 1024
    """Rows of 10 m."""

    width: int = 1024
    """Columns of 10 m."""

    epsg: int = 32632
    """A projected CRS in metres. In UTM's southern zones (327xx) the seasons are the south's."""

    west: int = 440_000
    """Easting of the left edge, metres, a multiple of 10."""

    north: int = 5_300_000
    """Northing of the upper edge, metres, a multiple of 10."""

    year: int = 2024
    """Of all dates."""

    s2_dates: int = 8
    """Sentinel-2 dates, evenly through the year, on two relative orbits in turn. The second orbit's
    swath ends inside the country."""

    s1_dates: int = 6
    """Sentinel-1 dates, evenly through the year, descending and ascending in turn; 0 for none."""

    cloud: float = 0.3
    """Mean share of the country under cloud, 0 to 0.9."""

    haze: float = 0.25
    """Share of Sentinel-2 dates with haze, 0 to 1."""

    old_baseline: float = 0.5
    """Share of Sentinel-2 items from before processing baseline 04.00: no +1000 offset."""

    shift: float = 0.0
    """Metres by which the scenes' grids lie off the multiples of 10 m, eastwards and northwards.
    Pixels keep their values: it is an error of registration too."""

    without_scl: int = 0
    """Sentinel-2 items without an SCL asset."""

    missing: int = 0
    """Sentinel-2 items of which one file (B03) is not there."""

    truncated: int = 0
    """Sentinel-2 items of which one file (B04) is cut off in its middle."""

    def __post_init__(self) -> None:
        if self.height < 32 or self.width < 32:
            raise ValueError(f"a country of {self.height} x {self.width} pixels; 32 are the least")
        if self.west % 10 or self.north % 10:
            raise ValueError(f"west {self.west} and north {self.north} must be multiples of 10 m")
        if not (0 <= self.cloud <= 0.9 and 0 <= self.haze <= 1 and 0 <= self.old_baseline <= 1):
            raise ValueError("cloud must be 0 to 0.9, haze and old_baseline 0 to 1")
        if self.s2_dates < 0 or self.s1_dates < 0 or self.s2_dates + self.s1_dates == 0:
            raise ValueError("a country needs at least one date")
        spoilt = self.without_scl, self.missing, self.truncated
        if min(spoilt) < 0 or self.missing + self.truncated > self.s2_dates:
            raise ValueError(f"of {self.s2_dates} Sentinel-2 items, {spoilt} cannot be spoilt")

    @property
    def shape(self) -> tuple[int, int]:
        """Height, width."""
        return self.height, self.width

    def key(self, *stream: int) -> np.uint64:
        """64 random bits of the seed and of what they are for."""
        return np.random.SeedSequence([self.seed, *stream]).generate_state(1, np.uint64)[0]

    def rng(self, *stream: int) -> np.random.Generator:
        """Random numbers of the seed and of what they are for."""
        return np.random.default_rng([self.seed, *stream])


@dataclass(frozen=True, slots=True)
class SimulatedCountry:
    """Where a simulated country lies."""

    items: Path
    """``items.json``: a STAC ItemCollection, hrefs relative to it."""

    truth: Path
    """``truth.tif``: uint8 class map of the whole rectangle on its 10 m grid."""

    aoi: Path
    """``aoi.geojson``: the country's border, longitude and latitude, inside the rectangle."""
