"""Remove secrets from texts and URLs: what is said and written lets nobody in.

In a URL any value of the query may be a key, so all are masked but those known to be harmless;
outside of URLs, what is called like a secret is.
"""

import os
import re
from functools import lru_cache
from typing import Any

_MASK = "***"

_HARMLESS = frozenset(
    (
        *("bbox", "collections", "datetime", "limit", "page", "fields", "sortby", "intersects"),
        *("versionid", "version", "snapshot", "generation", "alt", "download"),
    )
)
"""Query keys, in lower case, whose values are no secret: of searches, and versions of files."""

_SECRET_NAMES = (
    r"(?:[\w.-]{0,40}[_-])?(?:api[_-]?key|access[_-]?key(?:[_-]?id)?|subscription[_-]?key|secret[_-]?key|"
    r"token|secret|password|passwd|pwd|signature|credential|sig|authorization|cookie)"
)
"""Names of secrets, outside of a query too."""

_SECRET_NAME = re.compile(_SECRET_NAMES, re.IGNORECASE)

_HINTS = (
    *("key", "token", "secret", "passw", "pwd", "sig", "credential", "authorization", "cookie"),
    *("://", "\\u"),
)
"""Parts of every secret name, of every URL, and of letters beyond ASCII in JSON, some of which are
one of ASCII where case does not matter."""

_URL = re.compile(r"\b([a-z][a-z0-9+.-]*)://([^\s'\"<>`]+)", re.IGNORECASE)
_QUERY = re.compile(r"(?<=\?)[^\s'\"<>`?]*=[^\s'\"<>`]*")
_PAIR = re.compile(
    rf"(?:\b|(?<=%3F)|(?<=%26))({_SECRET_NAMES}['\"]?(?:=|%3D|:\s*)\s*['\"]?(?:(?:bearer|basic)\s+)?)(?!\*\*\*)"
    r"[^&\s'\",;)}\]]+",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"\b(bearer|basic)\s+(?!\*\*\*)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)

_NUMBERS = frozenset((int, float, bool, type(None)))
"""Types of values that hold no secret; most of an item are coordinates."""

_VARIABLES = re.compile(
    r"(?:.*_)?(?:SECRET_ACCESS_KEY|ACCESS_KEY_ID|SESSION_TOKEN|SUBSCRIPTION_KEY|TOKEN|PASSWORD|"
    r"SECRET|API_KEY)",
    re.IGNORECASE,
)
"""Environment variables whose values are masked wherever they turn up."""

_MIN_CHARS = 8
"""Shortest value of such a variable that is masked; shorter ones are parts of words."""


def without_secrets(text: str) -> str:
    """A text with secrets masked: in URLs, headers and pairs, and values of the environment.

    Examples:
        >>> without_secrets("GET https://me:pass@example.org/a?k=1&limit=5#b failed")
        'GET https://***@example.org/a?k=***&limit=5#*** failed'
        >>> without_secrets("Authorization: Bearer abcdefgh")
        'Authorization: Bearer ***'

    """
    for value in _environment():
        text = text.replace(value, _MASK)
    text = _URL.sub(lambda match: _masked_url(match[1], match[2]), text)
    text = _QUERY.sub(lambda match: _masked_query(match[0]), text)
    text = _PAIR.sub(lambda match: f"{match[1]}{_MASK}", text)
    return _SCHEME.sub(lambda match: f"{match[1]} {_MASK}", text)


def without_keys(url: str) -> str:
    """A URL without what may be a key: user, password, fragment and most of its query.

    Examples:
        >>> without_keys("https://example.org/a.tif?versionid=3&token=1#2")
        'https://example.org/a.tif?versionid=3'

    """
    head, query, _ = _parts(url)
    scheme, separator, rest = head.partition("://")
    authority, slash, path = rest.partition("/")
    head = f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}" if separator else head
    kept = [pair for pair in query.split("&") if pair.partition("=")[0].lower() in _HARMLESS]
    return f"{head}?{'&'.join(kept)}" if kept else head


def may_hold_keys(text: str) -> bool:
    """Whether ``without_keys_in`` may change the values of a JSON text, which is ASCII.

    Examples:
        >>> may_hold_keys('{"a": [1, "b"]}'), may_hold_keys('{"token": "x"}')
        (False, True)

    """
    lower = text.lower()
    return any(hint in lower for hint in _HINTS)


def without_keys_in(value: Any, *, depth: int = 100) -> Any:
    """A JSON value without members that are called like secrets, and without keys in its URLs.

    Args:
        value: JSON value.
        depth: levels of values in values that are kept; deeper ones become null.

    Examples:
        >>> without_keys_in({"a": ["see https://me:pass@example.org/?k=1"], "token": "x"})
        {'a': ['see https://example.org/']}

    """
    if isinstance(value, str):
        return _URL.sub(lambda match: without_keys(match[0]), value) if "://" in value else value
    if isinstance(value, list | tuple | dict) and depth == 0:
        return None
    if isinstance(value, list | tuple):
        if _NUMBERS.issuperset(map(type, value)):
            return list(value)
        return [without_keys_in(part, depth=depth - 1) for part in value]
    if isinstance(value, dict):
        return {
            name: part
            if type(part) in _NUMBERS or (type(part) is str and "://" not in part)
            else without_keys_in(part, depth=depth - 1)
            for name, part in value.items()
            if not _is_secret(str(name))
        }
    return value


@lru_cache(4096)  # the items of a catalogue have the same names, thousands of times
def _is_secret(name: str) -> bool:
    """Whether a member is called like a secret, without its prefix."""
    return _SECRET_NAME.fullmatch(name.rpartition(":")[2]) is not None


def _parts(url: str) -> tuple[str, str, str]:
    """A URL up to its query, its query, and its fragment."""
    rest, _, fragment = url.partition("#")
    head, _, query = rest.partition("?")
    return head, query, fragment


def _masked_url(scheme: str, rest: str) -> str:
    head, query, fragment = _parts(rest)
    authority, slash, path = head.partition("/")
    user, at, host = authority.rpartition("@")
    if not re.fullmatch(r"(\[[^\]]*\]|[^:]*)(:\d*)?\W*", host):
        return f"{scheme}://{_MASK}"  # a password with a letter that ends the host
    masked = f"{scheme}://{_MASK if user else ''}{at}{host}{slash}{path}"
    if "?" in rest.partition("#")[0]:
        masked += f"?{_masked_query(query)}"
    return f"{masked}#{_MASK}" if fragment else masked


def _masked_query(query: str) -> str:
    return "&".join(_masked_pair(pair) for pair in re.split("[&;]", query))


def _masked_pair(pair: str) -> str:
    name, is_pair, value = pair.partition("=")
    if not pair or (is_pair and name.lower() in _HARMLESS):
        return pair
    # else a key that ends as base64 does, perhaps before the bracket that ends the URL
    return f"{name}={_MASK}" if value == _MASK or re.search(r"\w", value) else _MASK


def _environment() -> list[str]:
    """Values of environment variables that are secrets, the longest first."""
    values = {value for name, value in os.environ.items() if _VARIABLES.fullmatch(name)}
    return sorted((value for value in values if len(value) >= _MIN_CHARS), key=len, reverse=True)
