"""Maps of scenes that hold what cannot be a measurement: the maps of the same with nodata."""

import json
import shutil
from datetime import date

import numpy as np
import pytest
import rasterio

from lulcmap.catalog.period import make_period
from lulcmap.pipeline import map_area

PERIOD = make_period(year=2024, today=date(2026, 1, 1))


def changed(country, folder, collection, change, *, scenes=1):
    """A copy of a country, the pixels of every band of some scenes changed; and their ids."""
    shutil.copytree(country.items.parent, folder)
    items = json.loads(country.items.read_text())["features"]
    names = sorted(
        item["id"]
        for item in items
        if item["collection"] == collection
        and item["properties"].get("s2:processing_baseline") != "03.01"  # 1 may be a dark pixel
    )[:scenes]
    for name in names:
        for path in sorted((folder / collection / name).glob("*.tif")):
            with rasterio.open(path) as source:
                pixels, profile = source.read(1), source.profile
            change(path.stem, pixels)
            profile["driver"] = "GTiff"
            with rasterio.open(path, "w", **profile) as target:
                target.write(pixels, 1)
    return folder / "items.json", names


def mapped(country, items, settings, out, **changes):
    report = map_area(
        str(country.aoi), out, period=PERIOD, settings=settings(catalog=str(items), **changes)
    )
    with rasterio.open(report.map) as source:
        return source.read(1), report


@pytest.fixture(scope="module")
def with_nodata(country, tmp_path_factory):
    """A country in which a patch of one pass is nodata in VV."""

    def clear(band, pixels):
        if band == "vv":
            pixels[60:200, 80:220] = -32768

    return changed(country, tmp_path_factory.mktemp("s1") / "nodata", "sentinel-1-rtc", clear)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e20, 3e38, 1e-40])
def test_absurd_power_makes_the_map_of_nodata_and_is_said(
    country, with_nodata, settings, tmp_path, value
):
    def spoil(band, pixels):
        if band == "vv":
            pixels[60:200, 80:220] = value

    items, names = changed(country, tmp_path / "country", "sentinel-1-rtc", spoil)
    options = {"max_s1_scenes": 12}

    map_, report = mapped(country, items, settings, tmp_path / "a.tif", **options)
    wanted, plain = mapped(country, with_nodata[0], settings, tmp_path / "b.tif", **options)

    np.testing.assert_array_equal(map_, wanted)
    assert report.pixels == plain.pixels
    ((scene, count),) = report.implausible
    assert scene.startswith(names[0])
    assert 0 < count <= 140 * 140
    sentence = f"{count:,} pixels of scene {scene} hold implausible power, taken as nodata."
    assert sentence in report.warnings
    assert plain.implausible == ()
    written = json.loads((tmp_path / "a.tif.report.json").read_text())
    assert written["implausible"] == [{"scene": scene, "pixels": count}]
    with rasterio.open(report.map) as source:
        assert sentence in source.tags()["LULCMAP_WARNINGS"]


def test_absurd_pixels_are_counted_once_whatever_the_blocks(country, settings, tmp_path):
    def spoil(_, pixels):
        pixels[60:200, 80:220] = np.inf

    items, _ = changed(country, tmp_path / "country", "sentinel-1-rtc", spoil, scenes=2)

    reports = [
        mapped(country, items, settings, tmp_path / f"{size}.tif", block_size=size)[1]
        for size in (48, 480)
    ]

    assert reports[0].implausible == reports[1].implausible
    assert len(reports[0].implausible) >= 1


@pytest.mark.parametrize("value", [1, 64_536, 65_535])
def test_impossible_reflectance_makes_the_map_of_nodata(country, settings, tmp_path, value):
    def put(number):
        def put_in(band, pixels):
            half = 2 if pixels.shape[0] == 128 else 1
            if band != "SCL":
                pixels[60 // half : 200 // half, 80 // half : 220 // half] = number

        return put_in

    odd, _ = changed(country, tmp_path / "odd", "sentinel-2-l2a", put(value), scenes=2)
    plain, _ = changed(country, tmp_path / "plain", "sentinel-2-l2a", put(0), scenes=2)

    map_, _ = mapped(country, odd, settings, tmp_path / "a.tif")
    wanted, _ = mapped(country, plain, settings, tmp_path / "b.tif")

    np.testing.assert_array_equal(map_, wanted)
