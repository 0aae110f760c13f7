"""Where the sun stands over a place, and when Sentinel-2 passes it."""

import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import ArrayLike, NDArray

_J2000 = np.datetime64("2000-01-01T12:00:00", "us")

_NODE_HOUR = 10.5
"""Local mean solar time at which Sentinel-2 crosses the equator southwards, hours (ESA)."""

_HIGHEST = math.radians(180 - 98.62)
"""Highest latitude Sentinel-2 flies over, from its orbit's inclination (ESA)."""

_LONGEST_DATATAKE = timedelta(minutes=20)
"""Time from the start of a datatake to its last scenes, about."""

_BELIEVED = timedelta(hours=2)
"""A stated time further than this from the one of the orbit is not believed."""

_HALF_DAY = timedelta(hours=12)


def solar_zenith(time: datetime | ArrayLike, lon: ArrayLike, lat: ArrayLike) -> NDArray[np.float64]:
    """Return the angle between sun and zenith, degrees, 0 to 180, without refraction.

    The low-precision formulas of the Astronomical Almanac (section C, "Low-precision formulas for
    the Sun"): within 0.02 degrees from 1950 to 2050.

    Args:
        time: time in UTC; a datetime without time zone is UTC, or an array of ``datetime64``.
        lon: longitude, degrees.
        lat: latitude, degrees; the three are broadcast.

    """
    if isinstance(time, datetime) and time.tzinfo is not None:
        time = time.astimezone(UTC).replace(tzinfo=None)
    days = (np.asarray(time, "datetime64[us]") - _J2000) / np.timedelta64(1, "D")
    anomaly = np.radians((357.528 + 0.9856003 * days) % 360)
    mean = np.radians((280.460 + 0.9856474 * days) % 360)
    ecliptic = mean + np.radians(1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    tilt = np.radians(23.439 - 4e-7 * days)
    declination = np.arcsin(np.sin(tilt) * np.sin(ecliptic))
    ascension = np.arctan2(np.cos(tilt) * np.sin(ecliptic), np.cos(ecliptic))
    sidereal = np.radians((280.46061837 + 360.98564736629 * days) % 360)
    hour = sidereal + np.radians(lon) - ascension
    north = np.radians(lat)
    height = np.sin(north) * np.sin(declination) + np.cos(north) * np.cos(declination) * np.cos(
        hour
    )
    return np.asarray(np.degrees(np.arccos(np.clip(height, -1, 1))))


def overpass_time(stated: date, lon: float, lat: float) -> datetime:
    """Return when Sentinel-2 passed a place by day, UTC.

    It flies south by day, and passes the equator at 10:30 of local mean solar time: from the day
    alone, the time is right within some ten minutes, and within two hours above 75 degrees of
    latitude. A time narrows it, which may be that of the pixels or the start of their datatake. One
    of another part of the day is not believed.

    Args:
        stated: day in UTC, or a ``datetime`` in UTC.
        lon: longitude, degrees.
        lat: latitude, degrees.

    """
    turned = math.asin(max(-1.0, min(1.0, math.tan(math.radians(lat)) / math.tan(_HIGHEST))))
    minute = round(60 * _NODE_HOUR + 4 * (math.degrees(turned) - lon)) % (24 * 60)
    midnight = datetime(stated.year, stated.month, stated.day, tzinfo=UTC)
    passed = midnight + timedelta(minutes=minute)
    if isinstance(stated, datetime):
        begun = stated.replace(tzinfo=UTC) if stated.tzinfo is None else stated.astimezone(UTC)
        ahead = (passed - begun + _HALF_DAY) % (2 * _HALF_DAY) - _HALF_DAY
        if abs(ahead) <= _BELIEVED:
            return begun + max(timedelta(0), min(ahead, _LONGEST_DATATAKE))
    return passed
