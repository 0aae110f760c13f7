"""Profiles of the catalogues that lulcmap supports: their collections, asset keys and access.

What they have in common is in ``sensors``: Sentinel-2 digital numbers are reflectance times 10,000
plus an offset that each item states (``s2_offset``), 0 is nodata, and the mask is ESA's scene
classification (SCL).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from lulcmap.sensors import S2_BANDS

Signing = Literal["none", "planetary-computer", "s3"]
"""Kind of signature that an href needs right before it is opened."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How one provider serves Sentinel-1 and Sentinel-2."""

    name: str
    """Name of the provider, as given to ``--catalog`` or ``--profile``."""

    url: str
    """Root URL of its STAC API; empty for a file."""

    s2_collection: str
    """Collection of Sentinel-2 L2A surface reflectance."""

    s1_collection: str | None
    """Collection of Sentinel-1 terrain-corrected backscatter, linear gamma-nought; or None."""

    assets: Mapping[str, str] = field(default_factory=dict)
    """From lulcmap's band name (B02 ... B12, SCL, VV, VH) to the provider's asset key."""

    signing: Signing = "none"
    """Kind of signature of its hrefs."""

    s3_endpoint: str | None = None
    """Endpoint of ``s3://`` hrefs, unless the environment names another; None is AWS."""

    azure_accounts: Mapping[str, str] = field(default_factory=dict)
    """Storage account of each container that ``az://`` hrefs name without it."""

    secrets: tuple[str, ...] = ()
    """Environment variables that reading its pixels requires."""


_LIKE_PLANETARY_COMPUTER = MappingProxyType(
    {**{band: band for band in S2_BANDS}, "SCL": "SCL", "VV": "vv", "VH": "vh"}
)

PLANETARY_COMPUTER = Profile(
    name="planetary-computer",
    url="https://planetarycomputer.microsoft.com/api/stac/v1",
    s2_collection="sentinel-2-l2a",
    s1_collection="sentinel-1-rtc",
    assets=_LIKE_PLANETARY_COMPUTER,
    signing="planetary-computer",
    azure_accounts=MappingProxyType(
        {"sentinel2-l2": "sentinel2l2a01", "sentinel1-grd-rtc": "sentinel1euwestrtc"}
    ),
)
"""COGs of ESA's L2A as delivered, so ``s2:processing_baseline`` decides the offset; Sentinel-1 as
terrain-corrected gamma-nought, whose tokens may need ``PC_SDK_SUBSCRIPTION_KEY``.

Source: the API's descriptions of the collections ``sentinel-2-l2a`` and ``sentinel-1-rtc``."""

EARTH_SEARCH = Profile(
    name="earth-search",
    url="https://earth-search.aws.element84.com/v1",
    s2_collection="sentinel-2-c1-l2a",
    s1_collection=None,
    assets=MappingProxyType(
        {
            "B02": "blue",
            "B03": "green",
            "B04": "red",
            "B05": "rededge1",
            "B06": "rededge2",
            "B07": "rededge3",
            "B08": "nir",
            "B11": "swir16",
            "B12": "swir22",
            "SCL": "scl",
        }
    ),
)
"""COGs on AWS, open to all. Collection 1 (baseline 5 and newer for all years), whose assets state
their offset and keep it in the pixels. The older ``sentinel-2-l2a`` collection has the offset
removed from some scenes, and its items do not always say from which (Element84/earth-search, issues
24, 66 and 71). Its Sentinel-1 is uncalibrated GRD georeferenced by control points, which gives no
backscatter.

Sources: Element84/earth-search, README and issues 41, 66, 71."""

CDSE = Profile(
    name="cdse",
    url="https://stac.dataspace.copernicus.eu/v1",
    s2_collection="sentinel-2-l2a",
    s1_collection=None,
    assets=MappingProxyType(
        {
            **{band: f"{band}_10m" for band in ("B02", "B03", "B04", "B08")},
            **{band: f"{band}_20m" for band in ("B05", "B06", "B07", "B11", "B12", "SCL")},
        }
    ),
    signing="s3",
    s3_endpoint="https://eodata.dataspace.copernicus.eu",
    secrets=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
)
"""ESA's JPEG 2000 files on S3, which need the keys of a free account. Its Sentinel-1 is GRD too.

Sources: the documentation of the Copernicus Data Space Ecosystem, "STAC product catalogue" and
"S3 access"."""

ITEM_COLLECTION = Profile(
    name="file",
    url="",
    s2_collection="sentinel-2-l2a",
    s1_collection="sentinel-1-rtc",
    assets=_LIKE_PLANETARY_COMPUTER,
)
"""An ItemCollection file laid out as on the Planetary Computer, with its assets beside it."""

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {profile.name: profile for profile in (PLANETARY_COMPUTER, EARTH_SEARCH, CDSE)}
)
"""Profiles that ``--catalog``, ``--s1-catalog`` and ``--profile`` accept, by name."""

_SENSORS: Mapping[str, Literal["s2", "s1"]] = MappingProxyType(
    {
        **{profile.s2_collection: "s2" for profile in (*PROFILES.values(), ITEM_COLLECTION)},
        str(ITEM_COLLECTION.s1_collection): "s1",
    }
)


def sensor_of(collection: Any) -> Literal["s2", "s1"] | None:
    """The sensor of a collection that some provider has; None of any other.

    Examples:
        >>> sensor_of("sentinel-2-c1-l2a"), sensor_of("sentinel-1-rtc"), sensor_of("landsat")
        ('s2', 's1', None)

    """
    return _SENSORS.get(collection) if isinstance(collection, str) else None
