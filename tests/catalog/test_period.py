"""The ways to ask for a period."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.catalog.period import make_period
from lulcmap.errors import UsageError

TODAY = date(2026, 3, 15)

DAYS = st.dates(date(2019, 1, 1), date(2060, 12, 31))


@pytest.mark.parametrize(
    ("asked", "start", "end", "label"),
    [
        ({"month": "2024-06"}, date(2024, 6, 1), date(2024, 6, 30), "2024-06"),
        ({"month": "2024-2"}, date(2024, 2, 1), date(2024, 2, 29), "2024-02"),
        ({"season": "2024-JJA"}, date(2024, 6, 1), date(2024, 8, 31), "2024-jja"),
        ({"season": "2024-djf"}, date(2023, 12, 1), date(2024, 2, 29), "2024-djf"),
        ({"season": "2024-SON"}, date(2024, 9, 1), date(2024, 11, 30), "2024-son"),
        (
            {"season": "2024-11:2025-03"},
            date(2024, 11, 1),
            date(2025, 3, 31),
            "2024-11_2025-03",
        ),
        ({"last": "12months"}, date(2025, 3, 1), date(2026, 2, 28), "2025-03_2026-02"),
        ({"last": "1 month"}, date(2026, 2, 1), date(2026, 2, 28), "2026-02"),
        ({"last": "90days"}, date(2025, 12, 15), date(2026, 3, 14), "2025-12-15_2026-03-14"),
    ],
)
def test_each_way_gives_its_days_and_label(asked, start, end, label):
    period = make_period(**asked, today=TODAY)

    assert (period.start, period.end, period.label) == (start, end, label)
    assert period.finished


@given(DAYS, st.integers(1, 36))
def test_the_last_months_are_whole_and_the_same_on_every_day_of_a_month(today, count):
    period = make_period(last=f"{count}months", today=today)
    first = today.replace(day=1)

    assert period.end == first - timedelta(days=1)
    assert period.start.day == 1
    months = (first.year - period.start.year) * 12 + first.month - period.start.month
    assert months == count
    assert make_period(last=f"{count}months", today=first) == period


@given(st.integers(2017, 2060), st.integers(1, 12))
def test_months_of_a_year_follow_one_another(year, month):
    period = make_period(month=f"{year}-{month:02d}", today=date(2061, 1, 1))
    after = period.end + timedelta(days=1)

    assert (period.start.year, period.start.month, period.start.day) == (year, month, 1)
    assert after.day == 1
    assert timedelta(days=27) <= period.end - period.start <= timedelta(days=30)


def test_the_current_month_is_marked_as_not_over():
    assert not make_period(month="2026-03", today=TODAY).finished


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"month": "June"}, "Give it as 2024-06"),
        ({"month": "2024-13"}, "Give it as 2024-06"),
        ({"month": "0000-01"}, "Give it as 2024-06"),
        ({"month": "2014-06"}, "when Sentinel-2 began"),
        ({"month": "2026-04"}, "to today"),
        ({"season": "2024-summer"}, "DJF, MAM, JJA, SON"),
        ({"season": "2024-04:"}, "2024-11:2025-03"),
        ({"season": "2025-03:2024-11"}, "Swap the two"),
        ({"season": "0001-DJF"}, "when Sentinel-2 began"),
        ({"last": "year"}, "12months or 90days"),
        ({"last": "0months"}, "12months or 90days"),
        ({"last": "9999months"}, "when Sentinel-2 began"),
        ({"month": "2024-06", "year": 2024}, "by --year and by --month"),
        ({"start": date(2024, 1, 1), "end": date(9999, 12, 31)}, "next year or earlier"),
    ],
)
def test_a_wrong_period_is_refused_with_what_to_give(asked, said):
    with pytest.raises(UsageError, match=said):
        make_period(**asked, today=TODAY)
