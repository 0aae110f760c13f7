"""Words for addresses and broken connections in which no secret is left."""

from urllib.parse import urlsplit


def shown(url: str) -> str:
    """An address without user, password and query.

    Examples:
        >>> shown("https://me:secret@example.org/a/b?token=1")
        'https://example.org/a/b'

    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def trouble(error: Exception) -> str:
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
