"""The period to map, and the period of Sentinel-1."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from lulcmap.errors import UsageError

FIRST_YEAR = 2015
"""First year with scenes; Sentinel-2A was launched on 23 June 2015."""

_LAST_YEAR = 9998
"""Last year that is understood; dates end with the next."""

_S1_REACH = timedelta(days=180)
"""Time on either side of the period's middle from which Sentinel-1 is averaged."""


@dataclass(frozen=True, slots=True)
class Period:
    """The time to map."""

    start: date
    """First day."""

    end: date
    """Last day, included."""

    label: str
    """Label for file names: ``"2024"``, ``"2024-06"``, ``"2024-jja"`` or
    ``"2024-05-01_2024-08-31"``."""

    finished: bool = True
    """Whether the last day is over; if not, more scenes will come."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the report."""
        if self.finished:
            return ()
        return (f"The period ends on {self.end} and is not over; later scenes will be missing.",)

    @property
    def middle(self) -> datetime:
        """The moment halfway between the start of the first day and the end of the last."""
        start, end = (datetime.combine(day, time()) for day in (self.start, self.end))
        return start + (end + timedelta(days=1) - start) / 2


def make_period(
    *,
    year: int | None = None,
    month: str | None = None,
    season: str | None = None,
    last: str | None = None,
    start: date | None = None,
    end: date | None = None,
    today: date | None = None,
) -> Period:
    """The period that is asked for in one of several ways.

    Args:
        year: calendar year.
        month: calendar month, ``"2024-06"``.
        season: a meteorological season, ``"2024-JJA"`` (DJF, MAM, JJA, SON; DJF begins in December
            of the year before), or a first and a last month, ``"2024-11:2025-03"``.
        last: ``"12months"``, whole calendar months before the current one; or ``"90days"``, the
            days before today.
        start: first day.
        end: last day, included.
        today: current day; None reads the clock.

    Raises:
        UsageError: the period is given in no way or in several, the start is after the end, or the
            period is before Sentinel-2 or in the future.

    Examples:
        >>> period = make_period(season="2024-DJF")
        >>> period.start.isoformat(), period.end.isoformat(), period.label
        ('2023-12-01', '2024-02-29', '2024-djf')

    """
    today = today or date.today()
    given = {
        "--year": year,
        "--month": month,
        "--season": season,
        "--last": last,
        "--start and --end": start or end,
    }
    ways = [way for way, value in given.items() if value is not None]
    if not ways:
        raise UsageError("No period. Give --year, --month, --season, --last, or --start and --end.")
    if len(ways) > 1:
        raise UsageError(f"The period is given by {' and by '.join(ways)}. Give only one of them.")
    if year is not None:
        if not FIRST_YEAR <= year <= today.year:
            raise UsageError(
                f"The year is {year}. Give one from {FIRST_YEAR}, when Sentinel-2 began, to "
                f"{today.year}, the current year."
            )
        return _checked(date(year, 1, 1), date(year, 12, 31), str(year), today)
    if month is not None:
        first = _first_of(month, f"The month is {month!r}. Give it as 2024-06.")
        return _checked(first, _end_of(first), f"{first:%Y-%m}", today)
    if season is not None:
        return _checked(*_season(season), today)
    if last is not None:
        return _checked(*_last(last, today), today)
    if start is None or end is None:
        raise UsageError("--start and --end belong together. Give both.")
    return _checked(start, end, f"{start}_{end}", today)


_SEASONS = {"DJF": -1, "MAM": 2, "JJA": 5, "SON": 8}
"""Months between January of a season's year and its first month: DJF is named after the year of
its January, as climatology does."""


def _checked(start: date, end: date, label: str, today: date) -> Period:
    """The period, if scenes may exist in it."""
    if start > end:
        raise UsageError(f"The period starts on {start}, after its end, {end}. Swap the two.")
    if start.year < FIRST_YEAR or start > today:
        raise UsageError(
            f"The period starts on {start}. Give a start from {FIRST_YEAR}, when Sentinel-2 began, "
            f"to today, {today}."
        )
    if end.year > today.year + 1:
        raise UsageError(f"The period ends on {end}. Give an end of next year or earlier.")
    return Period(start, end, label, finished=end < today)


def _season(text: str) -> tuple[date, date, str]:
    """First day, last day and label of a season, or of a first and a last month."""
    wanted = (
        f"The season is {text!r}. Give a year and one of {', '.join(_SEASONS)}, such as 2024-JJA, "
        "or a first and a last month, such as 2024-11:2025-03."
    )
    if ":" in text:
        first, last = (_first_of(month, wanted) for month in text.split(":", 1))
        return first, _end_of(last), f"{first:%Y-%m}_{last:%Y-%m}"
    year, _, name = text.upper().partition("-")
    if name not in _SEASONS:
        raise UsageError(wanted)
    first = _moved(_first_of(f"{year}-01", wanted), _SEASONS[name])
    return first, _end_of(_moved(first, 2)), f"{year}-{name.lower()}"


def _last(text: str, today: date) -> tuple[date, date, str]:
    """First day, last day and label of the months or days before today."""
    match = re.fullmatch(r"\s*([1-9]\d{0,3})\s*(month|day)s?\s*", text.lower())
    if match is None:
        raise UsageError(
            f"The period is the last {text!r}. Give months or days, such as 12months or 90days."
        )
    count = int(match[1])
    if match[2] == "day":
        first, end = today - timedelta(days=count), today - timedelta(days=1)
        return first, end, f"{first}_{end}"
    first = _moved(today.replace(day=1), -count)
    end = today.replace(day=1) - timedelta(days=1)
    return first, end, f"{first:%Y-%m}_{end:%Y-%m}" if count > 1 else f"{first:%Y-%m}"


def _first_of(month: str, wanted: str) -> date:
    """First day of a month, such as ``"2024-06"``.

    Raises:
        UsageError: it is not one; ``wanted`` says so.

    """
    match = re.fullmatch(r"\s*(\d{4})-(0?[1-9]|1[0-2])\s*", month, re.ASCII)
    if match is None or not 1 <= int(match[1]) <= _LAST_YEAR:
        raise UsageError(wanted)
    return date(int(match[1]), int(match[2]), 1)


def _moved(first: date, months: int) -> date:
    """The first day of a month, some months later; of the year 1 if that is before."""
    number = first.year * 12 + first.month - 1 + months
    return date(max(number // 12, 1), number % 12 + 1, 1)


def _end_of(first: date) -> date:
    """The last day of the month of a first day."""
    return _moved(first, 1) - timedelta(days=1)


def s1_period(period: Period) -> tuple[date, date]:
    """First and last day of Sentinel-1, 180 days on either side of the period's middle."""
    middle = period.middle.date()
    return middle - _S1_REACH, middle + _S1_REACH
