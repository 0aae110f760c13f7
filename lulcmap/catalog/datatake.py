"""When an item was acquired, by which satellite, and in which datatake."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from lulcmap.catalog.skip import SkippedItem
from lulcmap.catalog.values import mapping, quoted, whole

_YEARS = (2014, 2100)
"""First and last year in which an item can have been acquired; Sentinel-1A flew in April 2014."""

_MAX_ORBIT = 1000
"""Above every relative orbit number: Sentinel-1 has 175, Sentinel-2 143."""

_S2_DATATAKE = re.compile(r"^G?(S2[A-Z])_(?:MSIL2A_)?(\d{8}T\d{6})_")
"""Platform and start of a datatake, in ``s2:datatake_id`` (GS2A_20200731T080611_026673_N02.12) and
in product names (S2A_MSIL2A_20200731T080611_N0212_...)."""

_S1_DATATAKE = re.compile(r"^(S1[A-Z])_IW_.*_\d{8}T\d{6}_\d{6}_([0-9A-F]{6})(?:_|$)")
"""Platform and datatake, hexadecimal, in product names
(S1A_IW_GRDH_1SDV_START_STOP_ORBIT_DATATAKE_...)."""


def acquisition(item: Mapping[str, Any]) -> datetime:
    """Time at which an item was acquired, UTC, without a time zone.

    Raises:
        SkippedItem: it has no date, or one before Sentinel-1.

    """
    properties = mapping(item.get("properties"))
    stated = [properties.get(name) for name in ("datetime", "start_datetime")]
    for text in stated:
        acquired = _read_time(text)
        if acquired is not None and _YEARS[0] <= acquired.year <= _YEARS[1]:
            return acquired
    said = next((text for text in stated if text is not None), None)
    raise SkippedItem(f"its date is {quoted(said)}")


def _read_time(text: Any) -> datetime | None:
    return _time_of(text) if isinstance(text, str) else None


@lru_cache(8)  # an item's time is asked for twice
def _time_of(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text.strip().upper())
        return (time if time.tzinfo is None else time.astimezone(UTC)).replace(tzinfo=None)
    except (ValueError, OverflowError):  # year 1 has no UTC east of Greenwich
        return None


def relative_orbit(properties: Mapping[str, Any]) -> int | None:
    """Relative orbit number, if an item states one that can be."""
    return whole(properties.get("sat:relative_orbit"), 1, _MAX_ORBIT)


def platform(name: str, properties: Mapping[str, Any]) -> str | None:
    """Short name of the satellite, such as S2B: from its full name, or an item's id."""
    match = re.fullmatch(r"sentinel-?([12][a-z])", str(properties.get("platform")).lower())
    match = match or re.match(r"s([12][a-z])_", name.lower())
    return f"S{match[1].upper()}" if match else None


def datatake_key(
    sensor: str, name: str, properties: Mapping[str, Any], acquired: datetime, longitude: float
) -> str:
    """Key of an item's datatake.

    The datatake's own number where there is one (without the baseline, so that a scene processed
    twice keeps its key), else platform, orbit and day. The time cannot be the key: tiles and slices
    of one datatake differ by minutes.

    Args:
        sensor: ``"s2"`` or ``"s1"``.
        name: id of the item.
        properties: properties of the item.
        acquired: time of acquisition, UTC.
        longitude: longitude of the scene's middle, degrees.

    """
    if sensor == "s2":
        match = _S2_DATATAKE.match(str(properties.get("s2:datatake_id")))
        match = match or _S2_DATATAKE.match(name)
        if match:
            return f"s2_{match[1].lower()}_{match[2]}"
    elif match := _S1_DATATAKE.match(name):
        return f"s1_{match[1].lower()}_{int(match[2], 16)}"
    satellite = (platform(name, properties) or "x").lower()
    orbit = relative_orbit(properties) or "x"
    return f"{sensor}_{satellite}_{orbit}_{_solar_day(sensor, acquired, longitude)}"


def _solar_day(sensor: str, acquired: datetime, longitude: float) -> str:
    """The day in solar time, and for Sentinel-1 its half.

    Both satellites pass at fixed solar times (10:30; 6:00 and 18:00), never near midnight, while
    midnight UTC falls into passes over eastern Australia or Bengal. Longitudes count from 33 W, in
    the Atlantic, so that the day does not change at 180 degrees, inside Fiji.
    """
    solar = acquired + timedelta(hours=((longitude + 33) % 360 - 33) / 15)
    return f"{solar:%Y-%m-%d}" + (f"{solar:%p}".lower() if sensor == "s1" else "")
