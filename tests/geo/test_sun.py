"""The sun's place against published values, and against another formula."""

import json
import math
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.geo.sun import overpass_time, solar_zenith


def test_the_example_of_nrel_s_solar_position_algorithm():
    # Reda and Andreas, NREL/TP-560-34302, table A5.1: elevation without refraction 39.872046
    time = datetime(2003, 10, 17, 12, 30, 30, tzinfo=timezone(timedelta(hours=-7)))

    assert solar_zenith(time, -105.1786, 39.742476) == pytest.approx(90 - 39.872046, abs=0.02)


@pytest.mark.parametrize(
    ("time", "declination"),
    [  # equinoxes and solstices of 2020, the Astronomical Almanac
        (datetime(2020, 3, 20, 3, 50), 0.0),
        (datetime(2020, 6, 20, 21, 44), 23.437),
        (datetime(2020, 9, 22, 13, 31), 0.0),
        (datetime(2020, 12, 21, 10, 2), -23.437),
    ],
)
def test_the_sun_s_declination_at_the_turns_of_the_year(time, declination):
    # seen from the pole, the sun stands as high as its declination
    assert 90 - solar_zenith(time, 0, 90) == pytest.approx(declination, abs=0.01)


def by_noaa(time, lon, lat):
    """The formulas of NOAA's solar calculator, after Meeus, by the equation of time."""
    century = (time - datetime(2000, 1, 1, 12)).total_seconds() / 86400 / 36525
    mean = math.radians((280.46646 + century * (36000.76983 + century * 0.0003032)) % 360)
    anomaly = math.radians(357.52911 + century * (35999.05029 - 0.0001537 * century))
    eccentric = 0.016708634 - century * (0.000042037 + 0.0000001267 * century)
    centre = (
        math.sin(anomaly) * (1.914602 - century * (0.004817 + 0.000014 * century))
        + math.sin(2 * anomaly) * (0.019993 - 0.000101 * century)
        + math.sin(3 * anomaly) * 0.000289
    )
    node = math.radians(125.04 - 1934.136 * century)
    apparent = mean + math.radians(centre - 0.00569 - 0.00478 * math.sin(node))
    tilt = math.radians(23.439291 - 0.0130042 * century + 0.00256 * math.cos(node))
    declination = math.asin(math.sin(tilt) * math.sin(apparent))
    y = math.tan(tilt / 2) ** 2
    minutes = 4 * math.degrees(
        y * math.sin(2 * mean)
        - 2 * eccentric * math.sin(anomaly)
        + 4 * eccentric * y * math.sin(anomaly) * math.cos(2 * mean)
        - 0.5 * y * y * math.sin(4 * mean)
        - 1.25 * eccentric**2 * math.sin(2 * anomaly)
    )
    of_day = time.hour * 60 + time.minute + time.second / 60
    hour = math.radians((of_day + minutes + 4 * lon) / 4 - 180)
    north = math.radians(lat)
    height = math.sin(north) * math.sin(declination)
    height += math.cos(north) * math.cos(declination) * math.cos(hour)
    return math.degrees(math.acos(max(-1.0, min(1.0, height))))


@given(
    st.datetimes(datetime(2015, 1, 1), datetime(2045, 1, 1)),
    st.floats(-180, 180),
    st.floats(-90, 90),
)
def test_the_zenith_is_that_of_another_formula(time, lon, lat):
    time = time.replace(microsecond=0)

    assert solar_zenith(time, lon, lat) == pytest.approx(by_noaa(time, lon, lat), abs=0.05)


def test_times_and_places_are_broadcast():
    times = np.array(["2024-06-21T12:00", "2024-12-21T12:00"], "datetime64[s]")
    lats = np.array([[0.0], [45.0], [60.0]])

    zeniths = solar_zenith(times, 0.0, lats)

    assert zeniths.shape == (3, 2)
    assert zeniths[1, 0] == solar_zenith(datetime(2024, 6, 21, 12, tzinfo=UTC), 0, 45)


@pytest.mark.parametrize(
    ("sensed", "lon", "lat"),
    [  # Sentinel-2 products
        ("2017-10-30T10:41:51", 9.845, 57.227),
        ("2020-01-11T16:46:49", -83.95, 54.78),
        ("2020-06-04T05:54:00", 73.9, 30.4),
        ("2018-10-23T10:51:07", 0.09, 43.7),
    ],
)
def test_sentinel_2_passes_when_its_products_say(sensed, lon, lat):
    time = datetime.fromisoformat(sensed).replace(tzinfo=UTC)

    assert abs(overpass_time(time.date(), lon, lat) - time) < timedelta(minutes=15)


@pytest.mark.parametrize(
    ("stated", "minutes"),
    [  # over 73.9 E, 30.4 N the orbit says 05:55
        ("2020-06-04T05:54:00+00:00", 1),  # the start of the datatake: it passes soon after
        ("2020-06-04T05:58:00+00:00", 0),  # the time itself
        ("2020-06-04T10:58:00+05:00", 0),
        ("2020-06-04T05:20:00+00:00", 20),  # a datatake takes no longer
    ],
)
def test_a_stated_time_narrows_the_overpass(stated, minutes):
    time = datetime.fromisoformat(stated)

    assert overpass_time(time, 73.9, 30.4) - time == timedelta(minutes=minutes)


@pytest.mark.parametrize("stated", ["2020-06-04T00:00:00", "2020-06-04T12:00:00"])
def test_a_stated_time_of_another_part_of_the_day_is_not_believed(stated):
    time = datetime.fromisoformat(stated)

    assert overpass_time(time, 73.9, 30.4) == overpass_time(time.date(), 73.9, 30.4)


def test_the_sun_of_recorded_items_is_what_they_state(shared_data):
    errors = []
    for path in sorted((shared_data / "stac").glob("planetary-computer-sentinel-2-*items*.json")):
        values = json.loads(path.read_text())
        for item in values if isinstance(values, list) else values["features"]:
            stated = item["properties"].get("s2:mean_solar_zenith")
            west, south, east, north = item["bbox"]
            lon, lat = (west + east) / 2, (south + north) / 2
            time = datetime.fromisoformat(item["properties"]["datetime"])
            errors.append(solar_zenith(overpass_time(time, lon, lat), lon, lat) - stated)

    assert len(errors) >= 4
    assert np.abs(errors).max() < 2


@given(st.dates(date(2015, 1, 1), date(2045, 1, 1)), st.floats(-180, 180), st.floats(-90, 90))
def test_an_overpass_is_on_its_day(day, lon, lat):
    assert overpass_time(day, lon, lat).date() == day
