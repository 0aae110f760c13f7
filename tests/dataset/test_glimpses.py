"""Single dates around points: what they show, and which of them is chosen."""

import json
from datetime import date

import numpy as np
import pytest
import rasterio
import shapely
from pyproj import Transformer

from lulcmap.dataset import GLIMPSE_BANDS, glimpse_bounds, open_glimpses
from lulcmap.dataset.glimpses import GLIMPSE_PX, glimpse_grid
from lulcmap.dataset.source import OpenArchive
from lulcmap.errors import NoScenesError, ReadError
from lulcmap.imagery import Reader
from lulcmap.sensors import SCL_MASKED

CLOUDS = set(SCL_MASKED) - {0}
YEAR = date(2024, 1, 1), date(2024, 12, 31)


@pytest.fixture(scope="module")
def places(country):
    area = shapely.from_geojson(country.aoi.read_text())
    west, south, east, north = area.bounds
    middle = (west + east) / 2, (south + north) / 2
    return np.array([middle, (west + 0.3 * (east - west), south + 0.6 * (north - south))])


def asset(country, item, key):
    return country.items.parent / item["assets"][key]["href"].removeprefix("./")


def scenes_of(country):
    items = json.loads(country.items.read_text())["features"]
    return {
        item["properties"]["datetime"][:10]: item
        for item in items
        if item["collection"].startswith("sentinel-2")
    }


def around(path, lon, lat, reach):
    """Pixels of a file around a place."""
    with rasterio.open(path) as file:
        x, y = Transformer.from_crs(4326, file.crs, always_xy=True).transform(lon, lat)
        row, col = file.index(x, y)
        values = file.read(1)
    return values[row - reach : row + reach + 1, col - reach : col + reach + 1]


def test_a_glimpse_shows_the_pixels_of_its_day_around_the_place(country, places):
    by_day = scenes_of(country)

    with open_glimpses(str(country.items), places, YEAR, 4) as glimpses:
        found = [glimpses.of(*place) for place in places]

    for (lon, lat), seen in zip(places, found, strict=True):
        assert 2 <= len(seen) <= 4
        assert [one.day for one in seen] == sorted({one.day for one in seen})
        for one in seen:
            item = by_day[one.day]
            assert one.image.shape == (4, GLIMPSE_PX, GLIMPSE_PX)
            for plane, band in zip(one.image, GLIMPSE_BANDS, strict=True):
                truth = around(asset(country, item, band), lon, lat, 2).astype(int)
                shown = plane[GLIMPSE_PX // 2, GLIMPSE_PX // 2]
                low, high = truth.min() - 1000, truth.max()  # with or without the offset
                assert low - 1 <= shown <= high
            (code,) = around(asset(country, item, "SCL"), lon, lat, 0).ravel()
            if code in CLOUDS:
                assert one.is_clear is False


def test_of_each_part_of_the_period_the_clearest_date_is_taken(country, places):
    by_day = scenes_of(country)
    lon, lat = places[0]

    with open_glimpses(str(country.items), places[:1], YEAR, 1) as glimpses:
        (one,) = glimpses.of(lon, lat)

    def share(day):
        codes = around(asset(country, by_day[day], "SCL"), lon, lat, GLIMPSE_PX // 4)
        return (~np.isin(codes, SCL_MASKED)).mean()

    looked = sorted(by_day, key=share)[-3:]
    assert share(one.day) >= share(looked[0])
    assert one.clear.mean() > 0


def test_the_bounds_are_those_of_the_pixels(places):
    lon, lat = places[0]

    west, south, east, north = glimpse_bounds(lon, lat)

    assert west < lon < east
    assert south < lat < north
    metres = (north - south) * 111_320
    assert metres == pytest.approx(10 * GLIMPSE_PX, rel=0.01)
    to_mercator = Transformer.from_crs(4326, 3857, always_xy=True)
    box = glimpse_grid(lon, lat).boundingbox.bbox
    np.testing.assert_allclose(
        [*to_mercator.transform(west, south), *to_mercator.transform(east, north)], box, atol=0.01
    )


@pytest.mark.parametrize("lon", [179.999, 180.0, -179.999])
def test_at_the_antimeridian_the_picture_is_no_wider(lon):
    west, _, east, _ = glimpse_bounds(lon, -17.0)

    assert west < lon < east
    assert east - west == pytest.approx(0.009, rel=0.01)


@pytest.mark.parametrize("lon", [179.999, -179.999])
def test_at_the_antimeridian_servers_are_asked_for_degrees_that_exist(monkeypatch, lon):
    asked = []

    def find(_, area, *days, s1):
        asked.append((area, days, s1))
        return [], []

    monkeypatch.setattr(OpenArchive, "find", find)
    with (
        pytest.raises(NoScenesError),
        open_glimpses("earth-search", np.array([[lon, -17.0]]), YEAR, 4),
    ):
        pass

    ((area, _, _),) = asked
    assert area.contains(shapely.Point(lon, -17.0))
    assert -180 <= area.bounds[0] < area.bounds[2] <= 180


def test_a_date_that_cannot_be_read_is_left_out_and_told(country, places, monkeypatch):
    read = Reader._read

    def broken(self, scene, band, grid):
        if band == "B03" and scene.acquired.month > 6:
            raise ReadError(f"Scene {scene.id}: B03 could not be read.")
        return read(self, scene, band, grid)

    monkeypatch.setattr(Reader, "_read", broken)
    with open_glimpses(str(country.items), places, YEAR, 4) as glimpses:
        seen = glimpses.of(*places[0])

    assert seen
    assert all(int(one.day[5:7]) <= 6 for one in seen)
    assert glimpses.lost
    assert all("B03 could not be read" in one for one in glimpses.lost)


def test_a_period_without_scenes_is_one_plain_line(country, places):
    days = date(2020, 1, 1), date(2020, 2, 1)

    with (
        pytest.raises(NoScenesError, match="leave out --dates") as told,
        open_glimpses(str(country.items), places, days, 4),
    ):
        pass

    assert "\n" not in str(told.value)
