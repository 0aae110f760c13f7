"""Searches without a server, and what they freeze as values."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from lulcmap.catalog import frozen
from lulcmap.catalog.search import SearchResult
from lulcmap.catalog.stac.query import QueryResult


def answer(*items: Any, notes: Iterable[str] = ()) -> Callable[..., QueryResult]:
    """A ``query_items`` that gives some items, whatever it is asked for."""

    def query_items(*_: Any, keep: Callable[[list[Any]], Iterable[Any]], **__: Any) -> QueryResult:
        return QueryResult(tuple(keep(list(items))), tuple(notes))

    return query_items


def freeze_items(result: SearchResult) -> dict[str, Any]:
    """The ItemCollection of a search, as values."""
    return json.loads(b"".join(frozen.freeze_items(result)))
