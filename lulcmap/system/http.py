"""Texts for URLs and failed connections, free of secrets, and the Retry-After header."""

from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit


def public_url(url: str) -> str:
    """A URL without user, password and query.

    Examples:
        >>> public_url("https://me:secret@example.org/a/b?token=1")
        'https://example.org/a/b'

    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def connection_fault(error: Exception) -> str:
    """Why a connection of requests failed; the error's own text may hold a query string."""
    import requests  # takes 0.1 s to import, and is not needed offline

    kinds = {
        requests.exceptions.SSLError: "its certificate is not trusted",
        requests.exceptions.ProxyError: "the proxy could not be used",
        requests.exceptions.Timeout: "it did not answer in time",
        requests.exceptions.ChunkedEncodingError: "its answers are cut short",
        requests.exceptions.ContentDecodingError: "its answers cannot be inflated",
        ValueError: "its address cannot be used",
    }
    for kind, what in kinds.items():
        if isinstance(error, kind):
            return what
    if "NameResolutionError" in str(error):
        return "its host name is unknown"
    if "timed out" in str(error):  # while the body was read
        return "it did not answer in time"
    return "the connection was refused" if "refused" in str(error) else "the connection broke off"


def retry_after_seconds(header: str | None, *, now: float) -> float | None:
    """Seconds that a ``Retry-After`` header asks for; None if it is missing or unreadable.

    Args:
        header: value of the header: seconds in digits, or a date (RFC 9110, section 10.2.3).
        now: current time, seconds since 1970.

    Examples:
        >>> retry_after_seconds("120", now=0)
        120.0
        >>> retry_after_seconds("Thu, 01 Jan 1970 00:01:00 GMT", now=0)
        60.0
        >>> retry_after_seconds("Thu, 01 Jan 1970 00:01:00 GMT", now=100)
        0.0
        >>> retry_after_seconds("soon", now=0) is None
        True

    """
    if header is None:
        return None
    if header.strip().isdecimal():
        return min(float(header), 1e9)  # a server may send any number of digits
    try:
        moment = parsedate_to_datetime(header)
        return max(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now, 0.0)
    except (ValueError, OverflowError):
        return None
