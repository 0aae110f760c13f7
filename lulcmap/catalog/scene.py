"""A scene: one STAC item as lulcmap reads it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from lulcmap.catalog.providers import Profile
from lulcmap.sensors import S1_BANDS, S2_BANDS, s2_offset


class SkippedItem(ValueError):  # noqa: N818 - a decision, not an error
    """An item that lulcmap cannot use; the text gives the reason for the report."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One item of Sentinel-1 or Sentinel-2, with what decides how its pixels are read."""

    id: str
    """Id of the item, as the provider spells it. Not trusted: it never becomes a path."""

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

    @classmethod
    def from_item(cls, item: Mapping[str, Any], profile: Profile) -> Self:
        """The scene that an item describes.

        Args:
            item: STAC item, as JSON.
            profile: profile of the catalogue the item comes from.

        Raises:
            SkippedItem: it is of another collection, lacks a band or a date, is not an IW scene
                with VV and VH, is not L2A, or does not state its offset.

        """
        properties = item.get("properties") or {}
        collection = item.get("collection")
        if collection == profile.s2_collection:
            return cls._s2(item, properties, profile)
        if collection is not None and collection == profile.s1_collection:
            return cls._s1(item, properties, profile)
        raise SkippedItem(f"its collection is {collection!r}")

    @classmethod
    def _s2(cls, item: Mapping[str, Any], properties: Mapping[str, Any], profile: Profile) -> Self:
        product = str(properties.get("s2:product_type") or properties.get("product:type") or "2A")
        if not product.endswith("2A"):
            raise SkippedItem(f"it is {product}, not surface reflectance (L2A)")
        assets = _hrefs(item, profile, required=S2_BANDS, optional=("SCL",))
        offsets = {s2_offset(properties, item["assets"][profile.assets[band]]) for band in S2_BANDS}
        if len(offsets) > 1:
            raise SkippedItem("its bands state different offsets")
        offset = offsets.pop()
        if offset is None:
            raise SkippedItem(
                "it states neither a processing baseline nor an offset, so +1000 is undecided"
            )
        return cls._with("s2", item, properties, assets, offset=offset)

    @classmethod
    def _s1(cls, item: Mapping[str, Any], properties: Mapping[str, Any], profile: Profile) -> Self:
        mode = properties.get("sar:instrument_mode", "IW")
        if mode != "IW":
            raise SkippedItem(f"its mode is {mode}, not IW")
        polarizations = properties.get("sar:polarizations")
        if polarizations and not set(S1_BANDS) <= set(polarizations):
            raise SkippedItem(f"its polarizations are {' and '.join(polarizations)}, not VV and VH")
        assets = _hrefs(item, profile, required=S1_BANDS)
        return cls._with("s1", item, properties, assets, offset=0)

    @classmethod
    def _with(
        cls,
        sensor: Literal["s2", "s1"],
        item: Mapping[str, Any],
        properties: Mapping[str, Any],
        assets: Mapping[str, str],
        *,
        offset: int,
    ) -> Self:
        acquired = acquisition(properties)
        orbit = properties.get("sat:relative_orbit")
        state = properties.get("sat:orbit_state")
        bbox = item.get("bbox")
        if not bbox or len(bbox) not in (4, 6):
            raise SkippedItem("it has no bbox")
        west, south, east, north = bbox if len(bbox) == 4 else (bbox[i] for i in (0, 1, 3, 4))
        if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
            raise SkippedItem("its bbox is not in degrees")
        if east - west > 180 and west > -180 and east < 180:
            west, east = east, west  # no scene is so wide: it crosses 180 degrees
        cloud = properties.get("eo:cloud_cover")
        return cls(
            id=str(item["id"]),
            sensor=sensor,
            acquired=acquired,
            datatake=_datatake(sensor, item, acquired, (float(west) + float(east)) / 2),
            bbox=(float(west), float(south), float(east), float(north)),
            epsg=_epsg(properties),
            orbit=None if orbit is None else int(orbit),
            orbit_state=None if state is None else str(state).lower(),
            cloud_cover=None if cloud is None else float(cloud),
            offset=offset,
            assets=assets,
            platform=_platform(item, properties),
            product=str(properties.get("s2:product_uri") or "").removesuffix(".SAFE") or None,
        )


def _platform(item: Mapping[str, Any], properties: Mapping[str, Any]) -> str | None:
    """Short name of the satellite: from its full name (Sentinel-2B, SENTINEL-1A), or the id."""
    match = re.fullmatch(r"sentinel-?([12][a-z])", str(properties.get("platform")).lower())
    match = match or re.match(r"s([12][a-z])_", str(item["id"]).lower())
    return f"S{match[1].upper()}" if match else None


def _hrefs(
    item: Mapping[str, Any],
    profile: Profile,
    *,
    required: tuple[str, ...],
    optional: tuple[str, ...] = (),
) -> dict[str, str]:
    assets = item.get("assets") or {}
    keys = {band: profile.assets[band] for band in required + optional}
    hrefs = {
        band: str(assets[key]["href"])
        for band, key in keys.items()
        if (assets.get(key) or {}).get("href")
    }
    missing = [band for band in required if band not in hrefs]
    if missing:
        raise SkippedItem(f"it lacks {', '.join(missing)}")
    return hrefs


def acquisition(properties: Mapping[str, Any]) -> datetime:
    """Time at which an item was acquired, UTC, without a time zone.

    Raises:
        SkippedItem: it has no date.

    """
    text = properties.get("datetime") or properties.get("start_datetime")
    try:
        acquired = datetime.fromisoformat(str(text))
    except ValueError:
        raise SkippedItem(f"its date is {text!r}") from None
    if acquired.tzinfo is not None:
        acquired = acquired.astimezone(UTC)
    return acquired.replace(tzinfo=None)


def _epsg(properties: Mapping[str, Any]) -> int | None:
    if properties.get("proj:epsg"):
        return int(properties["proj:epsg"])
    code = str(properties.get("proj:code") or "")  # since version 2 of the projection extension
    return int(code[5:]) if code.upper().startswith("EPSG:") else None


_S2_DATATAKE = re.compile(r"^G?(S2[A-Z])_(?:MSIL2A_)?(\d{8}T\d{6})_")
"""Platform and start of a datatake, in ``s2:datatake_id`` (GS2A_20200731T080611_026673_N02.12) and
in product names (S2A_MSIL2A_20200731T080611_N0212_...)."""

_S1_DATATAKE = re.compile(r"^(S1[A-Z])_IW_.*_\d{8}T\d{6}_\d{6}_([0-9A-F]{6})(?:_|$)")
"""Platform and datatake, hexadecimal, in product names
(S1A_IW_GRDH_1SDV_START_STOP_ORBIT_DATATAKE_...)."""


def _datatake(sensor: str, item: Mapping[str, Any], acquired: datetime, longitude: float) -> str:
    """Key of an item's datatake.

    The datatake's own number where there is one (without the baseline, so that a scene processed
    twice keeps its key), else platform, orbit and day. The time cannot be the key: tiles and slices
    of one datatake differ by minutes.
    """
    properties, name = item["properties"], str(item["id"])
    if sensor == "s2":
        match = _S2_DATATAKE.match(str(properties.get("s2:datatake_id"))) or _S2_DATATAKE.match(
            name
        )
        if match:
            return f"s2_{match[1].lower()}_{match[2]}"
    elif match := _S1_DATATAKE.match(name):
        return f"s1_{match[1].lower()}_{int(match[2], 16)}"
    platform = (_platform(item, properties) or "x").lower()
    orbit = properties.get("sat:relative_orbit", "x")
    return f"{sensor}_{platform}_{orbit}_{_solar_day(sensor, acquired, longitude)}"


def _solar_day(sensor: str, acquired: datetime, longitude: float) -> str:
    """The day in solar time, and for Sentinel-1 its half.

    Both satellites pass at fixed solar times (10:30; 6:00 and 18:00), never near midnight, while
    midnight UTC falls into passes over eastern Australia or Bengal. Longitudes count from 33 W, in
    the Atlantic, so that the day does not change at 180 degrees, inside Fiji.
    """
    solar = acquired + timedelta(hours=((longitude + 33) % 360 - 33) / 15)
    return f"{solar:%Y-%m-%d}" + (f"{solar:%p}".lower() if sensor == "s1" else "")
