"""A scene: one STAC item as lulcmap reads it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

import shapely

from lulcmap.catalog.band_hrefs import BandHrefs
from lulcmap.catalog.bands import asset_keys
from lulcmap.catalog.datatake import acquisition, datatake_key, platform, relative_orbit
from lulcmap.catalog.footprint import item_box, item_footprint, middle_longitude
from lulcmap.catalog.offset import item_offset
from lulcmap.catalog.providers import Profile, sensor_of
from lulcmap.catalog.skip import SkippedItem
from lulcmap.catalog.values import MAX_ID_LENGTH, mapping, number, quoted, shown
from lulcmap.sensors import S1_BANDS, S2_BANDS

_PRODUCT_NAME = re.compile(r"[\w.-]{1,200}", re.ASCII)

_EPSG_CODE = re.compile(r"(?:.*[:/])?EPSG(?::|/)(?:[\d.]*[:/])?(\d{4,5})", re.IGNORECASE)
"""An EPSG code as ``proj:code`` has it: EPSG:32632, a URN or a URL of OGC."""

_EPSG_CODES = (1024, 32767)
"""Smallest and largest EPSG code."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One item of Sentinel-1 or Sentinel-2, with what decides how its pixels are read."""

    id: str
    """Id of the item, as the provider spells it: printable, at most 256 characters. Not trusted: it
    never becomes a path."""

    sensor: Literal["s2", "s1"]
    """Sensor of the scene."""

    acquired: datetime
    """Start of the acquisition, UTC."""

    datatake: str
    """Key of the datatake; scenes of one datatake count as one observation."""

    bbox: tuple[float, float, float, float]
    """West, south, east, north, degrees; west > east where it crosses 180 degrees."""

    epsg: int | None
    """EPSG code of its grid, if the item states it."""

    orbit: int | None
    """Relative orbit number, if the item states it."""

    orbit_state: str | None
    """Orbit direction, ``"ascending"`` or ``"descending"``, if the item states it."""

    cloud_cover: float | None
    """Cloud cover of the scene, percent, if the item states it."""

    offset: int
    """DN to subtract from Sentinel-2 bands; 0 for Sentinel-1."""

    assets: Mapping[str, str]
    """From band name (B02 ... B12, SCL, VV, VH) to unsigned href; SCL may be missing."""

    platform: str | None = None
    """Satellite, such as ``"S2A"`` or ``"S1C"``, if the item states it."""

    product: str | None = None
    """Name of the ESA product it comes from, if the item states it."""

    doubt: str | None = None
    """What contradicts the offset in the item, as words that follow "they state"."""

    behind: str | None = None
    """Id of the newest product of the same tile and datatake; a pixel is taken from this scene only
    where all newest ones have none. None for the newest."""

    checksums: Mapping[str, str] = field(default_factory=dict)
    """From band name to the multihash of its file, hexadecimal, where the item states it."""

    twin: "Scene | None" = None
    """The same product at a second provider, for what the first cannot give."""

    sun_zenith: float | None = None
    """Mean angle between sun and zenith over the scene, degrees, 0 to 90, if the item states it."""

    @classmethod
    def from_item(
        cls,
        item: Mapping[str, Any],
        profile: Profile,
        *,
        footprint: shapely.Geometry | None = None,
    ) -> Self:
        """The scene that an item describes.

        Args:
            item: STAC item, as JSON; its values are not trusted.
            profile: profile of the catalogue the item comes from.
            footprint: footprint of the item, if it is known already.

        Raises:
            SkippedItem: as ``with_keys``.

        """
        return cls.with_keys(item, profile, footprint=footprint)[0]

    @classmethod
    def with_keys(
        cls,
        item: Mapping[str, Any],
        profile: Profile,
        *,
        footprint: shapely.Geometry | None = None,
    ) -> tuple[Self, dict[str, str]]:
        """The scene that an item describes, and the key of each band's asset.

        Args:
            item: STAC item, as JSON; its values are not trusted.
            profile: profile of the catalogue the item comes from.
            footprint: footprint of the item, if it is known already.

        Raises:
            SkippedItem: it is of another collection, lacks a band, a date or a place, is not an IW
                scene with VV and VH, is not L2A, or does not state its offset.

        """
        try:
            sensor = sensor_of(item.get("collection"))
            if sensor is None or (sensor == "s1" and profile.s1_collection is None):
                raise SkippedItem(f"its collection is {quoted(item.get('collection'))}")
            check_id(item)
            return (cls._s2 if sensor == "s2" else cls._s1)(item, profile, footprint)
        except SkippedItem:
            raise
        except _INVALID as error:
            raise SkippedItem(f"it is not a valid STAC item ({type(error).__name__})") from error

    @classmethod
    def _s2(
        cls, item: Mapping[str, Any], profile: Profile, footprint: shapely.Geometry | None
    ) -> tuple[Self, dict[str, str]]:
        properties = mapping(item.get("properties"))
        product = properties.get("s2:product_type") or properties.get("product:type") or "2A"
        if isinstance(product, str) and not product.endswith("2A"):
            raise SkippedItem(f"it is {shown(product)}, not surface reflectance (L2A)")
        keys = asset_keys(item, profile, (*S2_BANDS, "SCL"))
        _check_bands(keys, S2_BANDS)
        offset, doubt = item_offset(item, [keys[band] for band in S2_BANDS])
        scene = cls._with("s2", item, properties, keys, footprint, offset=offset, doubt=doubt)
        return scene, keys

    @classmethod
    def _s1(
        cls, item: Mapping[str, Any], profile: Profile, footprint: shapely.Geometry | None
    ) -> tuple[Self, dict[str, str]]:
        properties = mapping(item.get("properties"))
        mode = properties.get("sar:instrument_mode")
        if isinstance(mode, str) and mode != "IW":
            raise SkippedItem(f"its mode is {shown(mode)}, not IW")
        stated = properties.get("sar:polarizations")
        texts = isinstance(stated, list) and all(isinstance(one, str) for one in stated)
        if stated and texts and not set(S1_BANDS) <= set(stated):
            said = shown(" and ".join(stated))
            raise SkippedItem(f"its polarizations are {said}, not VV and VH")
        keys = asset_keys(item, profile, S1_BANDS)
        _check_bands(keys, S1_BANDS)
        return cls._with("s1", item, properties, keys, footprint), keys

    @classmethod
    def _with(
        cls,
        sensor: Literal["s2", "s1"],
        item: Mapping[str, Any],
        properties: Mapping[str, Any],
        keys: Mapping[str, str],
        footprint: shapely.Geometry | None,
        *,
        offset: int = 0,
        doubt: str | None = None,
    ) -> Self:
        """The scene of an item."""
        acquired, name = acquisition(item), str(item["id"])
        box = item_box(item, item_footprint(item) if footprint is None else footprint)
        state = properties.get("sat:orbit_state")
        state = state.lower() if isinstance(state, str) else None
        product = properties.get("s2:product_uri")
        product = product.removesuffix(".SAFE") if isinstance(product, str) else ""
        return cls(
            id=name,
            sensor=sensor,
            acquired=acquired,
            datatake=datatake_key(sensor, name, properties, acquired, middle_longitude(box)),
            bbox=box,
            epsg=_epsg(item, [keys[band] for band in keys if band != "SCL"]),
            orbit=relative_orbit(properties),
            orbit_state=state if state in ("ascending", "descending") else None,
            cloud_cover=number(properties.get("eo:cloud_cover"), 0, 100),
            offset=offset,
            assets=_hrefs(item, keys),
            platform=platform(name, properties),
            product=product if _PRODUCT_NAME.fullmatch(product) else None,
            doubt=doubt,
            checksums=_checksums(item, keys),
            sun_zenith=_sun_zenith(properties) if sensor == "s2" else None,
        )


_INVALID = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""Errors of values that no check foresees."""


def check_id(item: Mapping[str, Any]) -> None:
    """Check that an item has an id that can be named in a log, a report and a file's tags.

    Raises:
        SkippedItem: it has none.

    """
    name = item.get("id")
    if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
        raise SkippedItem("it has no id")
    if len(str(name)) > MAX_ID_LENGTH:
        raise SkippedItem(f"its id has more than {MAX_ID_LENGTH} characters")
    if not str(name).isprintable() or not str(name).strip():
        raise SkippedItem("its id has characters that cannot be shown")


def _check_bands(keys: Mapping[str, str], required: Sequence[str]) -> None:
    missing = [band for band in required if band not in keys]
    if missing:
        raise SkippedItem(f"it lacks {', '.join(missing)}")


def _sun_zenith(properties: Mapping[str, Any]) -> float | None:
    zenith = number(properties.get("s2:mean_solar_zenith"), 0, 90)
    if zenith is not None:
        return zenith
    elevation = number(properties.get("view:sun_elevation"), 0, 90)
    return None if elevation is None else 90 - elevation


def _hrefs(item: Mapping[str, Any], keys: Mapping[str, str]) -> Mapping[str, str]:
    assets = item["assets"]
    hrefs = {band: assets[key]["href"] for band, key in keys.items()}
    return BandHrefs(hrefs) if BandHrefs.takes(hrefs) else hrefs


def _checksums(item: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, str]:
    """The ``file:checksum`` of each band's file that has one, by band."""
    assets = item["assets"]
    return {
        band: value
        for band, key in keys.items()
        if isinstance(value := assets[key].get("file:checksum"), str)
    }


def _epsg(item: Mapping[str, Any], keys: Sequence[str]) -> int | None:
    """The EPSG code of an item's grid: that of all its bands, which state it, or the item does."""
    of_item = _stated_epsg(mapping(item.get("properties")))
    assets = [item["assets"][key] for key in keys]
    of_bands = {_stated_epsg(asset) or of_item for asset in assets}
    return of_bands.pop() if len(of_bands) == 1 else None


def _stated_epsg(facts: Mapping[str, Any]) -> int | None:
    if "proj:epsg" not in facts and "proj:code" not in facts:
        return None
    code = number(facts.get("proj:epsg"), *_EPSG_CODES)
    if code is None:  # since version 2 of the projection extension
        match = _EPSG_CODE.fullmatch(str(facts.get("proj:code")))
        code = number(match[1], *_EPSG_CODES) if match else None
    return int(code) if code is not None and code.is_integer() else None
