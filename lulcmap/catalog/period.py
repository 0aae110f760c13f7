"""The period to map, and the period of Sentinel-1."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from lulcmap.errors import UsageError

FIRST_YEAR = 2015
"""First year with scenes; Sentinel-2A was launched on 23 June 2015."""

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
    """Label for file names: ``"2024"`` or ``"2024-05-01_2024-08-31"``."""

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
    start: date | None = None,
    end: date | None = None,
    today: date | None = None,
) -> Period:
    """The period of a calendar year, or of a first and a last day.

    Args:
        year: calendar year.
        start: first day.
        end: last day, included.
        today: current day; None reads the clock.

    Raises:
        UsageError: neither or both are given, the start is after the end, or the period is before
            Sentinel-2 or in the future.

    """
    today = today or date.today()
    if year is None and start is None and end is None:
        raise UsageError("No period. Give --year, or --start and --end.")
    if year is not None and (start or end):
        raise UsageError("Give either --year, or --start and --end.")
    if year is not None:
        if not FIRST_YEAR <= year <= today.year:
            raise UsageError(
                f"The year is {year}. Give one from {FIRST_YEAR}, when Sentinel-2 began, to "
                f"{today.year}, the current year."
            )
        end = date(year, 12, 31)
        return Period(date(year, 1, 1), end, str(year), finished=end < today)
    if start is None or end is None:
        raise UsageError("Give --start and --end together, or --year.")
    if start > end:
        raise UsageError(f"The start, {start}, is after the end, {end}. Swap --start and --end.")
    if start.year < FIRST_YEAR or start > today:
        raise UsageError(
            f"The period starts on {start}. Give a start from {FIRST_YEAR}, when Sentinel-2 began, "
            f"to today, {today}."
        )
    return Period(start, end, f"{start}_{end}", finished=end < today)


def s1_period(period: Period) -> tuple[date, date]:
    """First and last day of Sentinel-1, 180 days on either side of the period's middle."""
    middle = period.middle.date()
    return middle - _S1_REACH, middle + _S1_REACH
