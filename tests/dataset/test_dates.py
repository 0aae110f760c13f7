"""Which dates of a place are labelled, with scenes whose clearness is known."""

from datetime import date, datetime

import numpy as np
import pytest

from lulcmap.catalog import make_period
from lulcmap.catalog.scene import Scene
from lulcmap.dataset import dates
from lulcmap.dataset.dates import Observation, choose_dates
from lulcmap.dataset.sample import Sample
from lulcmap.dataset.settings import LabelRequest
from lulcmap.errors import ReadError
from lulcmap.geo import Box, geobox

PLACE = Sample("place", "teacher", "stub", (), geobox(Box(-520_000, 46_000, 10, 10), 32632))


def scene(day, sun=40.0, cloud=None):
    acquired = datetime.fromisoformat(f"2024-{day}T10:20")
    return Scene(
        id=day,
        sensor="s2",
        acquired=acquired,
        datatake=day,
        bbox=(8.0, 46.0, 9.0, 47.0),
        epsg=32632,
        orbit=None,
        orbit_state=None,
        cloud_cover=cloud,
        offset=0,
        assets={},
        sun_zenith=sun,
    )


@pytest.fixture
def choose(monkeypatch):
    """Choose among dates, given the clear share of each; None cannot be read."""

    def choose(shares, *, suns=None, **options):
        read = []

        def observe(reader, datatake, grid, sun, min_clear):
            name = datatake[0].id
            read.append(name)
            if shares[name] is None:
                raise ReadError(f"Scene {name}: B02 could not be read")
            clear = (np.arange(100) < 100 * shares[name]).reshape(10, 10)
            if clear.mean() < min_clear:
                return "too little clear", f"only {clear.mean():.0%} of it is clear"
            image = np.ones((9, 74, 74), np.uint16)
            return Observation(datatake, image, (name,), clear, sun)

        monkeypatch.setattr(dates, "observe", observe)
        scenes = [scene(day, (suns or {}).get(day, 40.0)) for day in shares]
        request = LabelRequest("stub", make_period(year=2024), area="8,46,9,47", **options)
        choice = choose_dates(None, PLACE, scenes, request)
        return [one.datatake[0].id for one in choice.dates], choice, read

    return choose


def test_each_part_of_the_period_gives_its_clearest_date(choose):
    shares = {"02-10": 0.7, "03-10": 0.9, "06-10": 0.6, "07-10": 0.8, "10-10": 0.95, "11-10": 0.9}

    chosen, choice, _ = choose(shares, dates=3)

    assert chosen == ["03-10", "07-10", "10-10"]
    assert {kind for kind, _ in choice.left_out.values()} == {"less clear"}
    assert len(choice.left_out) == 3


def test_parts_without_a_date_are_made_up_for_by_the_others(choose):
    shares = {"02-10": 0.1, "06-10": 0.6, "06-20": 0.8, "07-10": 0.9, "11-10": None}

    chosen, choice, _ = choose(shares, dates=3)

    assert chosen == ["06-10", "06-20", "07-10"]
    assert choice.left_out["20240210T1020"] == ("too little clear", "only 10% of it is clear")
    assert choice.left_out["20241110T1020"][0] == "lost"


def test_two_dates_of_one_part_are_both_taken_though_the_first_is_entirely_clear(choose):
    chosen, _, _ = choose({"06-04": 1.0, "08-13": 1.0}, dates=3)

    assert chosen == ["06-04", "08-13"]


def test_a_part_is_not_read_on_once_a_date_is_entirely_clear(choose):
    shares = {f"06-{day:02}": 1.0 for day in range(1, 29)}

    chosen, _, read = choose(shares, dates=1)

    assert len(read) == len(chosen) == 1


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_no_more_dates_are_read_than_asked_for(choose, share):
    shares = {f"{month:02}-{day:02}": share for month in range(1, 13) for day in (5, 15, 25)}

    _, _, read = choose(shares, dates=3, max_scenes=12)

    assert len(read) <= 12
    thirds = [
        sum(a <= name < b for name in read) for a, b in (("01", "05"), ("05", "09"), ("09", "13"))
    ]
    assert thirds == [4, 4, 4]


def test_cloudy_parts_leave_their_reads_to_no_one_else_before_their_turn(choose):
    shares = {f"01-{day:02}": 0.0 for day in range(1, 29)} | {"06-10": 1.0, "11-10": 1.0}

    chosen, _, _ = choose(shares, dates=3, max_scenes=6)

    assert chosen == ["06-10", "11-10"]


def test_a_low_sun_costs_no_read(choose):
    suns = {"01-05": 75.0, "12-05": 65.1, "06-05": 65.0}

    chosen, choice, read = choose(dict.fromkeys(suns, 1.0), suns=suns, dates=3)

    assert chosen == read == ["06-05"]
    assert choice.left_out["20240105T1020"] == (
        "low sun",
        "the sun is 75 degrees from the zenith, more than 65",
    )
    assert "20241205T1020" in choice.left_out


def test_a_period_of_fewer_days_than_dates_has_a_part_for_each_day():
    period = make_period(start=date(2024, 6, 1), end=date(2024, 6, 2))

    parts = dates.parts_of(period, 5)

    assert [(part.start, part.end) for part in parts] == [
        (date(2024, 6, 1), date(2024, 6, 1)),
        (date(2024, 6, 2), date(2024, 6, 2)),
    ]
