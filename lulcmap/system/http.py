"""Words for addresses and broken connections in which no secret is left."""

from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit


def public_url(url: str) -> str:
    """An address without user, password and query.

    Examples:
        >>> shown("https://me:secret@example.org/a/b?token=1")
        'https://example.org/a/b'

    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def connection_fault(error: Exception) -> str:
    """What a failed connection of requests means; its own text may hold a query string."""
    import requests  # a tenth of a second of imports, and not needed offline

    kinds = {
        requests.exceptions.SSLError: "its certificate is not trusted",
        requests.exceptions.ProxyError: "the proxy could not be used",
        requests.exceptions.Timeout: "it did not answer in time",
        requests.exceptions.ChunkedEncodingError: "its answers are cut short",
        ValueError: "its address cannot be used",
    }
    for kind, what in kinds.items():
        if isinstance(error, kind):
            return what
    if "NameResolutionError" in str(error):
        return "its host name is not known"
    return "the connection was refused" if "refused" in str(error) else "the connection broke off"


def retry_after_seconds(said: str | None, *, now: float) -> float | None:
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
