"""What a busy server says of when to come back."""

from datetime import UTC
from email.utils import parsedate_to_datetime


def seconds(said: str | None, *, now: float) -> float | None:
    """Seconds that a ``Retry-After`` asks for; None where it says nothing that is understood.

    Args:
        said: the header: seconds in figures, or a date (RFC 9110, section 10.2.3).
        now: seconds since 1970.

    Examples:
        >>> seconds("120", now=0), seconds("Thu, 01 Jan 1970 00:01:00 GMT", now=0)
        (120.0, 60.0)
        >>> seconds("Thu, 01 Jan 1970 00:01:00 GMT", now=100), seconds("soon", now=0)
        (0.0, None)

    """
    if said is None:
        return None
    if said.strip().isdecimal():
        return min(float(said), 1e9)  # any number of figures may have been sent
    try:
        moment = parsedate_to_datetime(said)
        return max(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now, 0.0)
    except (ValueError, OverflowError):
        return None
