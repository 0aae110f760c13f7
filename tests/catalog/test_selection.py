"""Which datatakes are used, and in which order."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.catalog.period import make_period, s1_period
from lulcmap.catalog.scene import Scene
from lulcmap.catalog.selection import choose_s1, own_grid_first, rank_s2
from lulcmap.errors import UsageError

TODAY = date(2026, 3, 15)
YEAR = make_period(year=2024, today=TODAY)


def s2(name="a", *, day=date(2024, 7, 1), cloud=10.0, epsg=32632, datatake=None, bbox=None):
    return Scene(
        id=name,
        sensor="s2",
        acquired=datetime(day.year, day.month, day.day, 10, 30),
        datatake=datatake or f"s2_{day}",
        bbox=bbox or (6.0, 49.0, 7.0, 50.0),
        epsg=epsg,
        orbit=8,
        orbit_state="descending",
        cloud_cover=cloud,
        offset=0,
        assets={},
    )


def s1(day=date(2024, 7, 1), *, orbit=37, state="descending", name=None):
    key = f"s1_{orbit}_{day}"
    return replace(
        s2(name or key, day=day, datatake=key), sensor="s1", orbit=orbit, orbit_state=state
    )


def ids(groups):
    return [[scene.id for scene in group] for group in groups]


def test_a_year_is_its_days():
    assert (YEAR.start, YEAR.end) == (date(2024, 1, 1), date(2024, 12, 31))
    assert YEAR.label == "2024"
    assert YEAR.finished
    assert YEAR.notes == ()


def test_days_give_their_own_label():
    period = make_period(start=date(2024, 5, 1), end=date(2024, 8, 31), today=TODAY)

    assert period.label == "2024-05-01_2024-08-31"
    assert period.finished


@pytest.mark.parametrize(
    "asked",
    [{"year": 2026}, {"start": date(2026, 1, 1), "end": TODAY}],
    ids=["year", "up to today"],
)
def test_a_period_that_is_not_over_is_allowed_and_marked(asked):
    period = make_period(**asked, today=TODAY)

    assert not period.finished
    assert "is not over" in period.notes[0]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "No period"),
        ({"year": 2024, "start": date(2024, 1, 1)}, "by --year and by --start and --end"),
        ({"year": 2027}, "current year"),
        ({"year": 2014}, "when Sentinel-2 began"),
        ({"start": date(2024, 1, 1)}, "belong together"),
        ({"end": date(2024, 1, 1)}, "belong together"),
        ({"start": date(2024, 2, 1), "end": date(2024, 1, 1)}, "after its end"),
        ({"start": date(2026, 3, 16), "end": date(2026, 4, 1)}, "to today"),
        ({"start": date(2014, 1, 1), "end": date(2015, 12, 31)}, "when Sentinel-2 began"),
    ],
)
def test_a_wrong_period_is_refused_with_its_reason(asked, said):
    with pytest.raises(UsageError, match=said):
        make_period(**asked, today=TODAY)


def test_sentinel_1_reaches_180_days_from_the_middle():
    assert s1_period(YEAR) == (date(2024, 1, 4), date(2024, 12, 29))
    month = make_period(start=date(2024, 6, 1), end=date(2024, 6, 30), today=TODAY)
    assert s1_period(month) == (date(2023, 12, 19), date(2024, 12, 13))


def test_clear_dates_come_first_and_then_those_near_the_middle():
    scenes = [
        s2("january", day=date(2024, 1, 2), cloud=1.0),
        s2("july", day=date(2024, 7, 2), cloud=15.0),
        s2("cloudy", day=date(2024, 7, 7), cloud=80.0),
        s2("silent", day=date(2024, 6, 27), cloud=None),
    ]
    ranked = rank_s2(scenes, YEAR)

    # scores: 15 + 0, 1 + 20, 50 + 0, 80 + 1
    assert ids(ranked) == [["july"], ["january"], ["silent"], ["cloudy"]]


def test_a_datatake_is_one_date_with_the_zone_s_own_scenes_first():
    scenes = [s2("a", epsg=32631), s2("c"), s2("b"), s2("d", epsg=None)]

    assert ids(own_grid_first(rank_s2(scenes, YEAR), 32632)) == [["b", "c", "a", "d"]]


@given(st.permutations(range(8)))
def test_the_ranking_does_not_depend_on_the_catalogue_s_order(order):
    scenes = [s2(str(i), day=date(2024, 1 + i % 4, 5), cloud=float(i // 4)) for i in range(8)]
    shuffled = [scenes[i] for i in order]

    assert rank_s2(shuffled, YEAR) == rank_s2(scenes, YEAR)


OLD = "S2A_MSIL2A_20220706T085611_N0400_R007_T33NZA_20220706T153419"
NEW = "S2A_MSIL2A_20220706T085611_N0510_R007_T33NZA_20240620T011213"
SHORT = "S2A_MSIL2A_20220706T085611_R007_T33NZA_20230101T000000"


def test_a_product_s_name_tells_what_an_id_does_not():
    name = "S2B_MSIL2A_20240701T103019_N0{}_R108_T32ULV_2024{}T120000"
    old = replace(s2("S2B_T32ULV_1", datatake="a"), product=name.format("500", "0701"))
    new = replace(s2("S2B_T32ULV_2", datatake="a"), product=name.format("510", "0901"))

    ranked = rank_s2([old, new], YEAR)

    assert ids(ranked) == [["S2B_T32ULV_2", "S2B_T32ULV_1"]]
    assert [scene.behind for scene in ranked[0]] == [None, "S2B_T32ULV_2"]


def test_of_a_scene_processed_twice_the_older_products_stand_behind():
    neighbour = OLD.replace("T33NZA", "T33NYA")
    ranked = rank_s2([s2(name, datatake="one") for name in (OLD, SHORT, NEW, neighbour)], YEAR)

    assert ids(ranked) == [[neighbour, NEW, SHORT, OLD]]
    assert [scene.behind for scene in ranked[0]] == [None, None, NEW, NEW]
    assert ids(own_grid_first(ranked, 32631)) == [[neighbour, NEW, SHORT, OLD]]


def test_an_older_product_changes_no_rank():
    other = s2("other", day=date(2024, 7, 2), cloud=20.0)
    newest = s2(NEW, datatake="one", cloud=10.0)
    older = s2(OLD, datatake="another", cloud=90.0)

    assert ids(rank_s2([other, newest], YEAR)) == [[NEW], ["other"]]
    assert ids(rank_s2([other, newest, older], YEAR)) == [[NEW, OLD], ["other"]]


def test_an_older_product_on_the_own_grid_stays_behind_a_newest_on_another():
    ranked = rank_s2(
        [
            s2(NEW, datatake="one", epsg=32633),
            s2(OLD, datatake="one", epsg=32633),
            s2(OLD.replace("T33NZA", "T32NKF"), datatake="one", epsg=32632),
        ],
        YEAR,
    )

    assert [scene.behind for scene in own_grid_first(ranked, 32633)[0]] == [None, None, NEW]


def test_the_two_halves_of_a_tile_are_both_kept():
    north = s2(OLD, datatake="one", bbox=(6.0, 49.6, 7.0, 50.0))
    south = s2(NEW, datatake="one", bbox=(6.0, 49.0, 7.0, 49.6))
    ranked = rank_s2([north, south], YEAR)

    assert ids(ranked) == [[NEW, OLD]]
    assert [scene.behind for scene in ranked[0]] == [None, None]


def every(days: int, *, orbit=37, state="descending", start=date(2024, 1, 6)):
    return [
        s1(start + timedelta(days=step), orbit=orbit, state=state) for step in range(0, 361, days)
    ]


def test_each_relative_orbit_gives_its_own_dates():
    scenes = every(12, orbit=37) + every(12, orbit=139) + every(12, orbit=15, state="ascending")
    choice = choose_s1(scenes, YEAR, max_scenes=4)

    assert [scene.orbit for (scene,) in choice.passes].count(37) == 4
    assert [scene.orbit for (scene,) in choice.passes].count(139) == 4
    assert {scene.orbit for (scene,) in choice.others} == {15}
    assert len(choice.others) == 4
    assert (choice.direction, choice.notes) == ("descending", ())


def test_slices_of_a_pass_stay_together():
    one = s1(name="b")
    choice = choose_s1([one, replace(one, id="a")], YEAR)

    assert ids(choice.passes) == [["a", "b"]]


def test_the_other_direction_may_be_preferred():
    choice = choose_s1([s1(), s1(orbit=15, state="ascending")], YEAR, orbit="ascending")

    assert [scene.orbit for (scene,) in choice.passes] == [15]
    assert [scene.orbit for (scene,) in choice.others] == [37]
    assert choice.direction == "ascending"


def test_without_the_preferred_direction_the_other_one_is_used_and_reported():
    choice = choose_s1(every(12, state="ascending"), YEAR, max_scenes=3)

    assert len(choice.passes) == 3
    assert choice.others == ()
    assert choice.direction == "ascending"
    assert "no descending pass" in choice.notes[0]


def test_passes_that_do_not_say_their_direction_count_as_preferred_and_are_reported():
    choice = choose_s1([s1(state=None), s1(orbit=15, state="ascending")], YEAR)

    assert [scene.orbit for (scene,) in choice.passes] == [37]
    assert "do not say their orbit direction (1)" in choice.notes[0]


def test_without_sentinel_1_nothing_is_chosen():
    choice = choose_s1([], YEAR)

    assert (choice.passes, choice.others, choice.direction, choice.notes) == ((), (), None, ())


@given(repeat=st.sampled_from([1, 3, 6, 12]), count=st.integers(1, 24))
def test_chosen_dates_are_evenly_spread(repeat, count):
    """Of regular passes, each lies at most half a repeat from its part's middle."""
    scenes = every(repeat, start=s1_period(YEAR)[0])
    choice = choose_s1(scenes, YEAR, max_scenes=count)
    days = [scene.acquired for (scene,) in choice.passes]
    gaps = [(after - day).days for day, after in pairwise(days)]

    assert len(days) == min(count, len(scenes))
    assert days == sorted(set(days))
    assert all(abs(gap - 361 / count) <= repeat + 1 for gap in gaps if len(scenes) > count)


@given(st.sets(st.integers(0, 360), min_size=1), st.integers(1, 12))
def test_irregular_dates_are_each_chosen_at_most_once(days, count):
    scenes = [s1(date(2024, 1, 4) + timedelta(days=day)) for day in sorted(days)]
    chosen = [scene.id for (scene,) in choose_s1(scenes, YEAR, max_scenes=count).passes]

    assert len(chosen) == len(set(chosen)) == min(count, len(scenes))


def test_a_single_date_is_the_one_nearest_to_the_middle():
    ((scene,),) = choose_s1(every(12), YEAR, max_scenes=1).passes

    assert abs(scene.acquired - datetime(2024, 7, 2)) <= timedelta(days=6.5)


def test_a_date_more_in_a_larger_area_moves_at_most_one_choice():
    scenes = every(12)
    more = [*scenes, s1(date(2024, 2, 2))]
    chosen = {scene.id for (scene,) in choose_s1(scenes, YEAR, max_scenes=6).passes}
    again = {scene.id for (scene,) in choose_s1(more, YEAR, max_scenes=6).passes}

    assert len(chosen - again) <= 1
