"""The file of single dates beside a sample: read once, resumed, shown."""

import io
import json
import shutil
import sqlite3
from contextlib import closing, nullcontext
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import shapely
from click.testing import CliRunner
from PIL import Image

from lulcmap.cli import main
from lulcmap.dataset import Glimpse, glimpses
from lulcmap.errors import OutputError, ProviderError, ReadError, UsageError
from lulcmap.imagery import Reader
from lulcmap.viewer.dates import DateFile, DatesAsked, asked_dates, dates_path, read_dates
from lulcmap.viewer.labelling import open_labelling
from lulcmap.viewer.points import Point
from tests.products.maps import write_map
from tests.viewer.maps import patches

YEAR = date(2024, 1, 1), date(2024, 12, 31)


@pytest.fixture(scope="module")
def points(country):
    west, south, east, north = shapely.from_geojson(country.aoi.read_text()).bounds
    shares = ((0.3, 0.4), (0.5, 0.5), (0.6, 0.3))
    return [
        Point(i, west + a * (east - west), south + b * (north - south), is_labelled=False)
        for i, (a, b) in enumerate(shares, 1)
    ]


def asked_of(catalog, count=3):
    return DatesAsked(str(catalog), YEAR, count)


def glimpse(day="2024-05-01", *, clear=True, value=1000):
    image = np.full((4, 96, 96), value, np.uint16)
    image[:, 0] = 0
    return Glimpse(day, image, np.full((96, 96), clear))


def test_dates_are_read_once_and_then_need_no_catalogue(country, points, tmp_path):
    asked, done = asked_of(country.items), []

    with DateFile(tmp_path / "dates.sqlite") as file:
        lost = read_dates(file, points, asked, progress=lambda *told: done.append(told[1:]))
        first = file.to_json(points)
        assert file.picture(1, 0, 0) != file.picture(1, 0, 1)
    with DateFile(tmp_path / "dates.sqlite") as file:
        gone = DatesAsked(str(tmp_path / "gone.json"), YEAR, 3)
        assert read_dates(file, points, asked_of(country.items)) == []
        assert file.to_json(points) == first
        with pytest.raises(UsageError):
            read_dates(file, points, gone)
        assert file.to_json(points) == first

    assert lost == []
    assert done == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert set(first) == {1, 2, 3}
    assert all(1 <= len(one["days"]) <= 3 for one in first.values())


def test_a_reading_that_was_stopped_goes_on(country, points, tmp_path, monkeypatch):
    asked, read = asked_of(country.items), []
    of = glimpses.Glimpses.of

    def stopping(self, lon, lat):
        if len(read) == 2:
            raise ProviderError("The server is down.")
        read.append((lon, lat))
        return of(self, lon, lat)

    monkeypatch.setattr(glimpses.Glimpses, "of", stopping)
    with DateFile(tmp_path / "dates.sqlite") as file:
        with pytest.raises(ProviderError):
            read_dates(file, points, asked)
        assert file.lacking(points, asked) == points[2:]
        assert [one["is_whole"] for one in file.to_json(points).values()] == [True, True, False]
        read.append(None)  # so that none is refused
        read_dates(file, points, asked)

    assert read == [
        *((one.lon, one.lat) for one in points[:2]),
        None,
        (points[2].lon, points[2].lat),
    ]


def test_other_dates_take_the_place_of_those_that_were_kept(tmp_path):
    point = Point(1, 9.0, 50.0, is_labelled=False)
    some, more = asked_of("a.json"), asked_of("a.json", count=4)
    with DateFile(tmp_path / "dates.sqlite") as file:
        file.start(some)
        file.keep(point, [glimpse()])

        file.start(some)
        assert file.lacking([point], some) == []
        assert file.lacking([point], more) == [point]
        moved = Point(1, 9.1, 50.0, is_labelled=False)
        assert file.lacking([moved], some) == [moved]
        assert file.to_json([moved])[1]["days"] == []
        file.start(more)
        assert file.lacking([point], more) == [point]
        assert file.to_json([point])[1]["days"] == []


def test_dates_that_could_not_be_read_are_tried_again(country, points, tmp_path, monkeypatch):
    asked = asked_of(country.items)
    read, is_broken = Reader._read, True

    def failing(self, scene, band, grid):
        if is_broken and band == "B03":
            raise ReadError(f"Scene {scene.id}: B03 could not be read.")
        return read(self, scene, band, grid)

    monkeypatch.setattr(Reader, "_read", failing)
    with DateFile(tmp_path / "dates.sqlite") as file:
        lost = read_dates(file, points[:1], asked)
        without = file.to_json(points)
        is_broken = False
        again = read_dates(file, points, asked)
        whole = file.to_json(points)
        assert file.lacking(points, asked) == []

    assert all("B03 could not be read" in one for one in lost)
    assert lost
    assert {number: (one["days"], one["is_whole"]) for number, one in without.items()} == {
        1: ([], False),
        2: ([], False),  # not read yet
        3: ([], False),
    }
    assert again == []
    assert all(one["days"] and one["is_whole"] for one in whole.values())


def test_a_second_try_loses_nothing_that_was_kept(points, tmp_path, monkeypatch):
    point, asked = points[0], asked_of("earth-search")

    def fail(*_):
        raise ProviderError("The server is down.")

    monkeypatch.setattr("lulcmap.viewer.dates.open_glimpses", fail)
    with DateFile(tmp_path / "dates.sqlite") as file:
        file.start(asked)
        file.keep(point, [glimpse()], lost=1)
        before = file.to_json([point])
        file.keep(point, [], lost=4)
        assert file.to_json([point]) == before
        assert read_dates(file, [point], asked) == ["The server is down."]
        with pytest.raises(ProviderError):  # a point that was never tried
            read_dates(file, points, asked)
        file.keep(point, [glimpse("2024-07-01")])
        after = file.to_json([point])[point.id]

    assert not before[point.id]["is_whole"]
    assert after["is_whole"]
    assert [one["day"] for one in after["days"]] == ["2024-07-01"]


def test_pictures_show_what_was_read_and_name_clouds(tmp_path):
    point = Point(7, 9.0, 50.0, is_labelled=False)
    dark, bright = glimpse(value=300), glimpse("2024-07-01", clear=False, value=9000)
    with DateFile(tmp_path / "dates.sqlite") as file:
        file.keep(point, [dark, bright])

        told = file.to_json([point])[7]
        pixels = [np.asarray(Image.open(io.BytesIO(file.picture(7, n, 0)))) for n in (0, 1)]
        assert file.picture(7, 2, 0) is None

    assert told["days"] == [
        {"day": "2024-05-01", "clear": True},
        {"day": "2024-07-01", "clear": False},
    ]
    (south, west), (north, east) = told["bounds"]
    assert (west + east) / 2 == pytest.approx(9)
    assert south < 50 < north
    assert pixels[0].shape == (96, 96, 4)
    assert (pixels[0][0, :, 3] == 0).all()
    assert (pixels[0][1:, :, 3] == 255).all()
    assert pixels[1][5:, :, :3].min() == 255  # cloud does not darken the land of the other dates


@pytest.mark.parametrize("content", [b"a text of mine", b""])
def test_the_file_of_another_program_is_kept(tmp_path, content):
    path = tmp_path / "sample-dates.sqlite"
    if content:
        path.write_bytes(content)
    else:
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE mine (a)")
        content = path.read_bytes()

    with pytest.raises(OutputError, match="holds no dates of lulcmap") as told:
        DateFile(path)

    assert "\n" not in str(told.value)
    assert path.read_bytes() == content


def test_values_of_other_types_than_ours_harm_nothing(tmp_path, points):
    path = tmp_path / "sample-dates.sqlite"
    with DateFile(path) as file:
        file.start(asked_of("earth-search"))
        file.keep(points[0], [glimpse()])
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE dates SET day = x'ff00', picture = 1 << 60 WHERE mix = 0")
        database.execute("UPDATE dates SET picture = 'a text' WHERE mix = 1")

    with DateFile(path) as file:
        assert json.dumps(file.to_json(points))
        assert file.picture(1, 0, 0) is file.picture(1, 0, 1) is None


def test_scenes_come_from_the_run_folder_or_a_catalogue(tmp_path):
    path, period = tmp_path / "m.tif", ("2024-01-01", "2024-12-31")

    with pytest.raises(UsageError, match="no run folder beside it"):
        asked_dates(path, period, 4, None)
    with pytest.raises(UsageError, match="no report beside it"):
        asked_dates(path, None, 4, "earth-search")
    for wrong in (("2024", "now"), ("2024-01-01",), (1, 2)):
        with pytest.raises(UsageError, match="no report beside it that tells the period"):
            asked_dates(path, wrong, 4, "earth-search")
    assert asked_dates(path, period, 4, "earth-search") == DatesAsked("earth-search", YEAR, 4)
    (tmp_path / "m.tif.run").mkdir()
    (tmp_path / "m.tif.run" / "items.json").write_text("{}")
    assert asked_dates(path, period, 4, None).catalog == str(tmp_path / "m.tif.run" / "items.json")


def test_the_command_says_what_lacks(tmp_path):
    path = write_map(tmp_path / "m.tif", patches((60, 80)))
    shutil.copy(path, tmp_path / "m-2.tif")
    sample = tmp_path / "s.gpkg"
    drawn = CliRunner().invoke(
        main, ["sample", str(path), "--size", "20", "--min-per-class", "2", "--out", str(sample)]
    )
    assert drawn.exit_code == 0, drawn.output
    words = ["label", str(sample), "--map", str(path), "--basemap", "https://x.org/{z}/{x}/{y}"]

    alone = CliRunner().invoke(main, [*words, "--catalog", "earth-search"])
    without = CliRunner().invoke(main, [*words, "--dates", "4", "--catalog", "earth-search"])

    assert alone.exit_code == without.exit_code == 2
    assert "--dates" in alone.output
    assert "no report beside it" in without.output
    assert not dates_path(sample).exists()


def test_the_command_says_what_could_not_be_read_and_how_to_try_again(tmp_path, monkeypatch):
    path = write_map(tmp_path / "m.tif", patches((60, 80)))
    sample = tmp_path / "s.gpkg"
    words = ["--size", "20", "--min-per-class", "2", "--out", str(sample)]
    assert CliRunner().invoke(main, ["sample", str(path), *words]).exit_code == 0
    DateFile(dates_path(sample)).__exit__()
    basemap = "https://x.org/{z}/{x}/{y}"
    with open_labelling(sample, map_path=path, interpreter="anna", basemap=basemap) as opened:
        lost = replace(opened, lost=("B03 of 2024-05-01 is damaged.",) * 4)
        monkeypatch.setattr("lulcmap.viewer.open_labelling", lambda **_: nullcontext(lost))
        monkeypatch.setattr("lulcmap.viewer.serve_labelling", refuse)
        told = CliRunner().invoke(main, ["label", str(sample), "--map", str(path)])

    (note,) = [line for line in told.output.splitlines() if "could not be read" in line]
    assert "dates could not be read (B03 of 2024-05-01 is damaged.; and 3 more)" in note
    assert "the same command tries again" in note


def refuse(*_, **__):
    raise UsageError("No page is opened.")
