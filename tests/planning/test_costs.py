"""What a run takes of a machine and of a purse: clocks are the test's, providers are not asked."""

from dataclasses import replace
from itertools import chain, count
from types import SimpleNamespace

import pytest

from lulcmap.catalog import PROFILES
from lulcmap.planning.estimate import egress
from lulcmap.planning.estimate.costs import RATES, cpu_seconds, inflate_seconds, work_of
from lulcmap.planning.estimate.egress import egress_of
from lulcmap.planning.estimate.values import Reads

READS = Reads(requests=100, bytes=3e9, samples=5e9, warped=0.0, pixels=2e7, s1_bytes=1e9)
SIZES = {"n_blocks": 4, "block_pixels": 1.6e7, "n_maps": 1, "map_pixels": 1e7}
WORK = work_of(READS, **SIZES)


@pytest.fixture
def sources(monkeypatch):
    """Egress of reads from the sources of each sensor, whose first assets have some href."""

    def of(names, href="https://example.com/B02.tif", *, without=()):
        hrefs = {sensor: href for sensor in names if sensor not in without}
        monkeypatch.setattr(egress, "first_hrefs", lambda _: hrefs)
        scenes = SimpleNamespace(
            sources={sensor: SimpleNamespace(name=name) for sensor, name in names.items()}
        )
        return egress_of(scenes, READS)

    return of


def test_a_machine_half_as_fast_takes_twice_as_long_for_all_but_the_model():
    here = cpu_seconds(RATES, WORK, classifying=50.0)
    slow = cpu_seconds(RATES.of_this_machine(2 * RATES.inflate), WORK, classifying=50.0)

    assert slow == pytest.approx(
        {name: seconds if name == "classifying" else 2 * seconds for name, seconds in here.items()}
    )


def test_a_clock_too_coarse_to_tell_leaves_the_rates_as_they_are():
    assert RATES.of_this_machine(inflate_seconds(lambda: 0.0)) == RATES


def test_twice_the_work_takes_twice_as_long_but_for_the_start():
    twice = work_of(READS + READS, **{name: 2 * amount for name, amount in SIZES.items()})
    once = cpu_seconds(RATES, WORK, classifying=50.0)
    more = cpu_seconds(RATES, twice, classifying=100.0)

    assert more == pytest.approx(
        {name: seconds if name == "start" else 2 * seconds for name, seconds in once.items()}
    )


def test_samples_of_another_grid_cost_more():
    own, warped = (
        cpu_seconds(
            RATES,
            work_of(replace(READS, warped=share * READS.samples), **SIZES),
            classifying=50.0,
        )
        for share in (0.0, 1.0)
    )

    assert warped["reading"] > own["reading"]


def test_the_speed_of_a_machine_is_that_of_its_fastest_try():
    ticks = chain((0.0, 5.0, 10.0, 12.0, 20.0, 23.0), count(30.0, 9.0))

    assert inflate_seconds(lambda: next(ticks)) == 2.0


def test_each_source_sends_what_its_sensor_needs(sources):
    both = sources({"s2": "earth-search", "s1": "planetary-computer"})

    assert [(each.source, each.bytes, each.dollars) for each in both] == [
        ("earth-search", 2e9, 0.0),
        ("planetary-computer", 1e9, 0.0),
    ]
    assert all(each.reference for each in both)


def test_one_source_of_both_sensors_sends_all(sources):
    (only,) = sources({"s2": "planetary-computer", "s1": "planetary-computer"})

    assert only.bytes == READS.bytes


def test_a_source_without_scenes_sends_nothing(sources):
    (only,) = sources({"s2": "earth-search", "s1": "planetary-computer"}, without=["s1"])

    assert only.source == "earth-search"


def test_what_nobody_knows_is_not_invented(sources):
    (unknown,) = sources({"s2": "https://stac.example.com"})

    assert unknown.dollars is None
    assert "unknown" in unknown.terms


def test_files_here_cost_nothing_and_files_elsewhere_are_unknown(sources):
    (here,) = sources({"s2": "file"}, "/data/B02.tif")
    (elsewhere,) = sources({"s2": "file"}, "s3://bucket/B02.tif")

    assert here.dollars == 0.0
    assert elsewhere.dollars is None


def test_every_provider_has_a_tariff_with_its_source():
    assert egress._TARIFFS.keys() == PROFILES.keys()
    assert all("http" in one.source and "20" in one.source for one in egress._TARIFFS.values())
