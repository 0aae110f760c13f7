"""Catalogues lulcmap knows, one frozen profile each: where things are and what they are called."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Profile:
    """How one provider serves Sentinel-1 and Sentinel-2."""

    name: str
    """As given to ``--catalog``."""

    url: str
    """Root of its STAC API; empty for a file."""

    s2_collection: str
    """Sentinel-2 L2A surface reflectance."""

    s1_collection: str
    """Sentinel-1 terrain-corrected backscatter, linear gamma-nought."""

    assets: Mapping[str, str] = field(default_factory=dict)
    """From lulcmap's band name (B02 ... B12, SCL, VV, VH) to the provider's asset key."""

    signs: bool = False
    """Whether hrefs are signed right before they are opened."""


_PLANETARY_COMPUTER_ASSETS = MappingProxyType(
    {
        **{band: band for band in ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12")},
        "SCL": "SCL",
        "VV": "vv",
        "VH": "vh",
    }
)

PLANETARY_COMPUTER = Profile(
    name="planetary-computer",
    url="https://planetarycomputer.microsoft.com/api/stac/v1",
    s2_collection="sentinel-2-l2a",
    s1_collection="sentinel-1-rtc",
    assets=_PLANETARY_COMPUTER_ASSETS,
    signs=True,
)
"""Source: the collections ``sentinel-2-l2a`` and ``sentinel-1-rtc`` of the Planetary Computer."""

ITEM_COLLECTION = Profile(
    name="file",
    url="",
    s2_collection="sentinel-2-l2a",
    s1_collection="sentinel-1-rtc",
    assets=_PLANETARY_COMPUTER_ASSETS,
)
"""An ItemCollection file laid out as on the Planetary Computer; its assets lie beside it."""
