"""Items that cannot be used, and the reasons in a few words."""

import re
from collections import Counter
from collections.abc import Iterable


class SkippedItem(ValueError):  # noqa: N818 - a decision, not an error
    """An item that lulcmap cannot use; the text gives the reason for the report."""


_REASON_KINDS = (
    (r"its cloud cover is \S+ %, more than (.*)", r"cloud cover above \1"),
    (r"\S+ % of it is no data", "hardly any data"),
    (r"its polarizations are (.*), not VV and VH", r"polarizations \1, not VV and VH"),
    (r"its date is .*", "no date"),
    (r"the href of its \w+ (.*)", r"an href \1"),
    (r"it lacks .*", "a band is missing"),
    (r"it states an offset of .* (?:at a scale|which is not) .*", "an offset that cannot be"),
    (r"its id .*", "an id that cannot be"),
)
"""Patterns of reasons to skip an item, each with the kind that counts them together. Any other
reason is a kind of its own."""


def count_reasons(reasons: Iterable[str]) -> dict[str, int]:
    """Number of items skipped for each kind of reason, the most frequent first."""
    return dict(Counter(map(_kind, reasons)).most_common())


def say_reasons(reasons: Iterable[str]) -> str:
    """The kinds of reasons with their numbers, in words.

    Examples:
        >>> say_reasons(["it lacks B08", "it lacks VV", "it has no id"])
        'a band is missing (2), it has no id (1)'

    """
    return ", ".join(f"{kind} ({count:,})" for kind, count in count_reasons(reasons).items())


def _kind(reason: str) -> str:
    for pattern, kind in _REASON_KINDS:
        match = re.fullmatch(pattern, reason)
        if match:
            return match.expand(kind)
    return reason
