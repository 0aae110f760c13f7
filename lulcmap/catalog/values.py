"""Values of a catalogue, which anyone may have written: what they must be to count, and to show.

A value of the wrong type, or one that cannot be, is unknown: the functions return None for it.
"""

import math
from collections.abc import Mapping
from reprlib import Repr
from typing import Any

from lulcmap.system import without_keys_in, without_secrets

MAX_ID_LENGTH = 256
"""Longest id of an item, characters; ESA's product names have 60 to 80."""

_REPR = Repr()
_REPR.maxstring = _REPR.maxother = 80


def mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object; empty if the value is anything else."""
    # A dict is told at once, and nearly every value is one; of other types, an ABC has to ask.
    return value if type(value) is dict or isinstance(value, Mapping) else {}


def number(value: Any, low: float, high: float) -> float | None:
    """A number, or a text of one, from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if math.isfinite(result) and low <= result <= high else None


def whole(value: Any, low: int, high: int) -> int | None:
    """A whole number, or a text of one, from ``low`` to ``high``."""
    result = number(value, low, high)
    return int(result) if result is not None and result.is_integer() else None


def quoted(value: Any) -> str:
    """A value as Python writes it, in one short printable line, for a message.

    Examples:
        >>> quoted("landsat"), quoted(["a", {"b": 1}])
        ("'landsat'", "['a', {'b': 1}]")

    """
    # Secrets are masked while they can be told; shortened, they may have lost their names.
    is_text = isinstance(value, str)
    return _REPR.repr(without_secrets(value) if is_text else without_keys_in(value))


def shown(text: str, limit: int = 300) -> str:
    """A text as one printable line of at most ``limit`` characters, or some more of escapes."""
    text = without_secrets(text)
    kept = text if len(text) <= limit else f"{text[: limit - 3]}..."
    return kept if kept.isprintable() else repr(kept)[1:-1]
