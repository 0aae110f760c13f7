"""Search of a STAC API that never leaves items out silently: small queries, each read to its end.

A query is one cell of the area in a calendar month or less. Answers come in pages, and not every
server links to the next page (planetary-computer-apis issue 274: no ``next`` links;
PlanetaryComputer issue 360: links that lead nowhere). So a query ends only when the server, asked
for ids from the last one on, has no more; or, if it cannot search by id, when no page was full.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

import shapely

from lulcmap.catalog.cells import Days as Days
from lulcmap.catalog.cells import Query, queries_of
from lulcmap.catalog.stac.client import Connection, RequestRefusedError
from lulcmap.system import Steps, no_progress, public_url, release_memory

if TYPE_CHECKING:
    from lulcmap.catalog.stac.api import Page, Server

_MAX_REQUESTS, _MAX_CHARACTERS = 2000, 2**30
"""Most requests of one query, and characters of their answers (some 30,000 items); a server that
needs more does not narrow its answers."""

_NAMELESS = "no id, "
"""Prefix of the key of an item without an id."""


Keep = Callable[[list[dict[str, Any]]], Iterable[Any]]
"""Takes items as a server sent them, and gives what is kept of each."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The items of an area and a period in a STAC API, and perhaps more."""

    items: tuple[Any, ...]
    """What was kept of the items, each once, sorted by id; some may lie outside the area."""

    notes: tuple[str, ...]
    """Sentences for the report about what may be missing."""


def query_items(
    url: str,
    collection: str,
    area: shapely.MultiPolygon,
    period: Days,
    *,
    keep: Keep = list,
    workers: int = 4,
    progress: Steps = no_progress,
    wait: Callable[[float], object] | None = None,
    now: Callable[[], float] = monotonic,
) -> QueryResult:
    """Find all items of a collection whose footprint may intersect an area in a period.

    Args:
        url: root URL of the API.
        collection: id of the collection.
        area: area in longitude, latitude, degrees.
        period: first and last day.
        keep: takes items as the server sent them, as soon as they are read, and gives what is kept
            of each; called for one page at a time, and once for each id.
        workers: queries sent at a time.
        progress: called with the number of queries answered, and their total.
        wait: pauses for a number of seconds; None sleeps, and wakes when another query has failed.
        now: clock that times the pauses, seconds.

    Raises:
        ProviderError: the URL is not a STAC API, or it stays down or refuses to answer.

    """
    from lulcmap.catalog.stac.api import Server  # takes 0.2 s to import, and is not needed offline
    from lulcmap.system import open_session

    with open_session(connections=workers) as session:
        server = Server(Connection(url, session, wait, now))
        server.open()
        searching = _Searching(server, collection, keep)
        answers = _answers(searching, queries_of(area, period), workers=workers, progress=progress)
    items: dict[str, Any] = {}
    for answer in answers:
        items = answer.items | items
    return QueryResult(
        items=tuple(items[key] for key in sorted(items) if not _is_nameless(key)),
        notes=tuple(
            _notes(
                answers,
                f"of {collection} from the catalogue {public_url(url)}",
                nameless=sum(map(_is_nameless, items)),
            )
        ),
    )


class _Searching:
    """What the queries of a search share: the server, and the items that were read."""

    def __init__(self, server: "Server", collection: str, keep: Keep) -> None:
        self.server, self.collection = server, collection
        self._keep, self._lock = keep, threading.Lock()
        self._kept: dict[str, Any] = {}  # by key; neighbouring cells have items in common

    def kept(self, page: "Page") -> dict[str, Any]:
        """What is kept of a page's items, by key."""
        keys = list(map(_key, page.items))
        with self._lock:
            firsts = dict(zip(reversed(keys), reversed(page.items), strict=True))
            new = {key: firsts[key] for key in keys if key not in self._kept}
            self._kept.update(zip(new, self._keep(list(new.values())), strict=True))
            return {key: self._kept[key] for key in keys}


def _answers(
    searching: _Searching,
    queries: list[Query],
    *,
    workers: int,
    progress: Steps,
) -> "list[_Answer]":
    """The answers to all queries. An error of one, or Ctrl-C, does not wait for open requests."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="search")
    try:
        futures = [pool.submit(_Search(searching).answer, query) for query in queries]
        for number, future in enumerate(as_completed(futures), 1):
            future.result()
            release_memory()  # pages are let go in every thread, between what is kept of them
            progress(number, len(futures))
        return [future.result() for future in futures]
    except BaseException:
        searching.server.connection.stop.set()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Answer:
    """The answer to one query."""

    items: dict[str, Any]
    """What was kept of the items, in the server's order, by id or by a key that
    ``_is_nameless``."""

    matched: int
    """Items as the server counts them, maybe an estimate; 0 if it does not count."""

    cut: bool
    """Whether a page was full without a usable link to the next."""


class _Search:
    """One query, repeated until its answer is complete."""

    def __init__(self, searching: _Searching) -> None:
        self._searching = searching
        self._server, self._collection = searching.server, searching.collection
        self._requests = self._characters = 0

    def answer(self, query: Query, *, recount: bool = True) -> _Answer:
        """All items of a query; ``cut`` if the answers to its smallest parts are still cut.

        Args:
            query: cell and time.
            recount: whether to split the query if the server counts more items than it gives.

        """
        whole = self._undivided(query)
        if not whole.cut and not (recount and whole.matched > len(whole.items)):
            return whole
        parts = [self.answer(part, recount=whole.cut) for part in query.parts()]
        items = dict(whole.items)
        for part in parts:
            items.update(part.items)
        cut = any(part.cut for part in parts) if parts else whole.cut
        return _Answer(items, whole.matched, cut)

    def _undivided(self, query: Query) -> _Answer:
        """The answer to a query undivided, in the first way that works with this server."""
        rejected: dict[str, Any] = {}
        for way in self._server.ways:
            items, matched, trusted = self._by_id(query, way)
            if trusted:
                return _Answer(items, matched, False)
            rejected |= items
            self._server.ways = tuple(other for other in self._server.ways if other != way)
        answer = self._along_links(query.terms)
        return replace(answer, items=rejected | answer.items)

    def _by_id(self, query: Query, way: str) -> tuple[dict[str, Any], int, bool]:
        """Items, the server's count of them, and whether its search by id can be trusted.

        Each request repeats the last id, together with those after it: so a server that ignores the
        condition, or finds nothing by id, is detected. "After" is in the server's own order, which
        may differ from Python's.
        """
        items: dict[str, Any] = {}
        terms = {**query.terms, "sortby": [{"field": "id", "direction": "asc"}]}
        matched, last = 0, None  # count of the whole query, and id of the last item
        while True:
            try:
                answer = self._along_links({**terms, **_from_id(last, way)})
            except RequestRefusedError:
                return items, matched, False
            has_new = not items.keys() >= answer.items.keys()
            items |= answer.items
            ids = list(answer.items)
            if last is None:
                matched = answer.matched
            if last is not None and ids[:1] != [last]:
                return items, matched, False
            if not has_new:
                return items, matched, self._sorts(query, last if len(items) > 1 else None)
            last = ids[-1]
            if _is_nameless(last):
                return items, matched, False

    def _sorts(self, query: Query, last: str | None) -> bool:
        """Whether the server sorts: in descending order, it begins with the last id.

        Once confirmed, with more than one item, it holds for all queries.
        """
        if self._server.sorts or last is None:
            return True
        terms = {**query.terms, "sortby": [{"field": "id", "direction": "desc"}], "limit": 1}
        try:
            page = next(self._server.pages(self._collection, terms))
        except RequestRefusedError:
            return False
        self._server.sorts = [_key(item) for item in page.items[:1]] == [last]
        return self._server.sorts

    def _along_links(self, terms: Mapping[str, Any]) -> _Answer:
        """A search and the pages its ``next`` links lead to, as long as they bring new items."""
        items: dict[str, Any] = {}
        matched, full, more = 0, False, False
        try:
            for page in self._server.pages(self._collection, terms):
                self._count(page)
                before = len(items)
                items |= self._searching.kept(page)
                matched, full, more = max(matched, page.matched), page.full, page.has_next
                if len(items) == before:
                    return _Answer(items, matched, full)
        except RequestRefusedError:
            if not more:  # else a link that leads nowhere
                raise
        return _Answer(items, matched, more or full)

    def _count(self, page: "Page") -> None:
        """Count a page of the query.

        Raises:
            ProviderError: it is one too many.

        """
        self._requests += 1
        self._characters += page.size
        for number, most, what in (
            (self._requests, _MAX_REQUESTS, "requests"),
            (self._characters, _MAX_CHARACTERS, "characters"),
        ):
            if number > most:
                raise self._server.connection.failed(
                    f"a query of one cell takes more than {most} {what}",
                    "Its search does not narrow or end its answers; use another catalogue.",
                )


def _key(item: Mapping[str, Any]) -> str:
    """Key of an item: its id, or for an item without one its hash."""
    name = item.get("id")
    if isinstance(name, str | int | float) and name != "":
        return str(name)
    try:
        text = json.dumps(item, sort_keys=True)
    except RecursionError:
        text = "nested too deeply"
    return _NAMELESS + hashlib.sha256(text.encode()).hexdigest()


def _is_nameless(key: str) -> bool:
    """Whether a key is that of an item without an id."""
    return key.startswith(_NAMELESS)


def _from_id(last: str | None, way: str) -> dict[str, Any]:
    """The condition that selects ids from the last one on; empty for the first request."""
    if last is None:
        return {}
    if way == "query":
        return {"query": {"id": {"gte": last}}}
    condition = {"op": ">=", "args": [{"property": "id"}, last]}
    return {"filter_lang": "cql2-json", "filter": condition}


def _notes(answers: list[_Answer], source: str, *, nameless: int) -> Iterator[str]:
    """Notes on what may be missing, added up over the queries."""
    fewer = [answer for answer in answers if answer.matched > len(answer.items)]
    if fewer:
        yield (
            f"The server counts {sum(a.matched for a in fewer)} items {source} and gave "
            f"{sum(len(a.items) for a in fewer)}, in {len(fewer)} of {len(answers)} queries (of "
            "one cell and a month or less). Its count may be an estimate."
        )
    if cut := sum(answer.cut for answer in answers):
        yield (
            f"Items {source} may be missing in {cut} of {len(answers)} queries (of one cell and a "
            "month or less): the server's pages are full and have no next page."
        )
    if nameless:
        yield f"Items {source} without an id were left out: {nameless}."
