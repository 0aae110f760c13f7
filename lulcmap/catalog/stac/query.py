"""A STAC API asked so that nothing is left out silently: in small questions, each to its end.

A question is one cell of the area in one calendar month. Answers come in pages, and not every
server says where the next page is (planetary-computer-apis issue 274: no ``next`` links; issue 360
of PlanetaryComputer: links that lead nowhere). So a question ends only when the server, asked for
ids from the last one on, has no more; or, where it cannot be asked so, when no page was full.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from math import ceil
from time import monotonic
from typing import Any

import shapely

from lulcmap.catalog.stac.client import RefusedError, Request, Server, is_nameless
from lulcmap.system import Steps, no_progress, public_url

Period = tuple[date, date]
"""First and last day, both included."""

Box = tuple[float, float, float, float]
"""West, south, east, north, degrees."""

_CELL, _SMALLEST_CELL = 4.0, 0.5
"""Degrees; questions start with cells of this size, and are not cut below the second."""
_NEAR = 1.0
"""Degrees; parts of an area closer than twice this are asked for in one box."""
_REQUESTS = 2000
"""Of one question; a server that wants more does not narrow its answers."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a STAC API has of an area and a period, and perhaps more."""

    items: tuple[dict[str, Any], ...]
    """As the server sent them, each once, sorted by id; some may lie outside the area."""

    notes: tuple[str, ...]
    """Sentences about what may be missing."""


def ask(
    url: str,
    collection: str,
    area: shapely.MultiPolygon,
    period: Period,
    *,
    workers: int = 4,
    progress: Steps = no_progress,
    wait: Callable[[float], object] | None = None,
    now: Callable[[], float] = monotonic,
) -> Asked:
    """Every item of a collection whose footprint may meet an area in a period.

    Args:
        url: root of the API.
        collection: its id.
        area: longitude, latitude, degrees.
        period: first and last day.
        workers: questions asked at a time.
        progress: told how many questions are answered, of how many.
        wait: pauses for so many seconds; None sleeps, and wakes when another question has failed.
        now: the clock that the pauses are kept by, seconds.

    Raises:
        ProviderError: there is no STAC API, it stays down, or it refuses to answer.

    """
    import requests  # a tenth of a second of imports, and not needed offline
    from requests.adapters import HTTPAdapter

    questions = [_Question(cell, *month) for cell in _cells(area) for month in _months(period)]
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(pool_maxsize=workers))
        server = Server(url, session, wait, now)
        server.open()
        answers = _answers(server, collection, questions, workers=workers, progress=progress)
    items: dict[str, dict[str, Any]] = {}
    for answer in answers:
        items = answer.items | items
    return Asked(
        items=tuple(items[name] for name in sorted(items) if not is_nameless(name)),
        notes=tuple(
            _notes(
                answers,
                f"of {collection} from the catalogue {public_url(url)}",
                nameless=sum(map(is_nameless, items)),
            )
        ),
    )


def _answers(
    server: Server,
    collection: str,
    questions: "list[_Question]",
    *,
    workers: int,
    progress: Steps,
) -> "list[_Answer]":
    """To all questions. What goes wrong with one, or a Ctrl-C, waits for no request in flight."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="search")
    try:
        asked = [pool.submit(_Search(server, collection).answer, each) for each in questions]
        for number, answered in enumerate(as_completed(asked), 1):
            answered.result()
            progress(number, len(asked))
        return [answered.result() for answered in asked]
    except BaseException:
        server.stop.set()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Question:
    """One cell in one span of time."""

    box: Box
    start: datetime
    end: datetime
    """Both included, UTC without saying so."""

    @property
    def terms(self) -> dict[str, Any]:
        """As an item search names them."""
        span = f"{self.start.isoformat()}Z/{self.end.isoformat()}Z"
        return {"bbox": list(self.box), "datetime": span}

    def parts(self) -> "list[_Question]":
        """Halves in time down to a second, then quarters of the cell, then nothing."""
        span = self.end - self.start
        if span >= timedelta(seconds=2):
            middle = (self.start + span / 2).replace(microsecond=0)
            return [replace(self, end=middle), replace(self, start=middle)]
        west, south, east, north = self.box
        if max(east - west, north - south) < 2 * _SMALLEST_CELL:
            return []
        x, y = (west + east) / 2, (south + north) / 2
        boxes = [(west, south, x, y), (x, south, east, y), (west, y, x, north), (x, y, east, north)]
        return [replace(self, box=box) for box in boxes]


def _months(period: Period) -> Iterator[tuple[datetime, datetime]]:
    """First and last moment of each calendar month, or of what the period holds of it."""
    first, end = period
    while first <= end:
        after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        last = min(after - timedelta(days=1), end)
        yield datetime.combine(first, time.min), datetime.combine(last, time.max)
        first = after


def _cells(area: shapely.MultiPolygon) -> list[Box]:
    """Boxes of at most four degrees that cover the area, and little else."""
    cells = []
    for west, south, east, north in _boxes(area):
        columns = max(1, ceil((east - west) / _CELL))
        rows = max(1, ceil((north - south) / _CELL))
        wide, high = (east - west) / columns, (north - south) / rows
        for i in range(columns):
            for j in range(rows):
                x, y = west + i * wide, south + j * high
                right = east if i == columns - 1 else x + wide
                top = north if j == rows - 1 else y + high
                part = shapely.clip_by_rect(area, x, y, right, top)
                if part.area > 0:
                    cells.append(part.bounds)
    return sorted(cells)


def _boxes(area: shapely.MultiPolygon) -> list[Box]:
    """Boxes around the area's parts, those near each other in one."""
    boxes = [shapely.box(*part.bounds) for part in area.geoms]
    while True:
        joined = shapely.get_parts(
            shapely.union_all([box.buffer(_NEAR, join_style="mitre") for box in boxes])
        )
        merged = [
            shapely.box(*shapely.total_bounds([box for box in boxes if shapely.within(box, group)]))
            for group in joined
        ]
        if len(merged) == len(boxes):
            return sorted(box.bounds for box in merged)
        boxes = merged


@dataclass(frozen=True, slots=True)
class _Answer:
    """To one question."""

    items: dict[str, dict[str, Any]]
    """By id, or by a key that ``is_nameless``, in the server's order."""

    matched: int
    """How many there are, as the server says; 0 where it does not. It may be an estimate."""

    cut: bool
    """Whether a page was full and nothing said what comes after it."""


class _Search:
    """One question, asked until its answer is whole."""

    def __init__(self, server: Server, collection: str) -> None:
        self._server, self._collection, self._left = server, collection, _REQUESTS

    def answer(self, question: _Question, *, recount: bool = True) -> _Answer:
        """All items; ``cut`` where the smallest question's answer was still cut.

        Args:
            question: its cell and time.
            recount: whether to look again, in halves, for items the server counts and did not give.

        """
        found = self._once(question)
        if not found.cut and not (recount and found.matched > len(found.items)):
            return found
        parts = [self.answer(part, recount=found.cut) for part in question.parts()]
        items = dict(found.items)
        for part in parts:
            items.update(part.items)
        cut = any(part.cut for part in parts) if parts else found.cut
        return _Answer(items, found.matched, cut)

    def _once(self, question: _Question) -> _Answer:
        """The answer to this question undivided, in the first way that the server is good for."""
        found: dict[str, dict[str, Any]] = {}
        for way in self._server.ways:
            items, matched, trusted = self._by_id(question, way)
            if trusted:
                return _Answer(items, matched, False)
            found |= items
            self._server.ways = tuple(other for other in self._server.ways if other != way)
        answer = self._along_links(question.terms)
        return replace(answer, items=found | answer.items)

    def _by_id(self, question: _Question, way: str) -> tuple[dict[str, dict[str, Any]], int, bool]:
        """Items, their number as the server says, and whether it does what it claims.

        The last id is asked for again, together with those after it: so a server that ignores the
        condition, or finds nothing by id, gives itself away. "After" is in the server's own order,
        which need not be Python's.
        """
        found: dict[str, dict[str, Any]] = {}
        terms = {**question.terms, "sortby": [{"field": "id", "direction": "asc"}]}
        matched, last = 0, None  # of the whole question, and the id that ends what is found
        while True:
            try:
                answer = self._along_links({**terms, **_from_id(last, way)})
            except RefusedError:
                return found, matched, False
            new = not found.keys() >= answer.items.keys()
            found |= answer.items
            ids = list(answer.items)
            if last is None:
                matched = answer.matched
            if last is not None and ids[:1] != [last]:
                return found, matched, False
            if not new:
                return found, matched, self._sorts(question, last if len(found) > 1 else None)
            last = ids[-1]
            if is_nameless(last):
                return found, matched, False

    def _sorts(self, question: _Question, last: str | None) -> bool:
        """Whether the server sorts: asked from the other end, it begins with the last id.

        Seen once, with more than one item, it holds for all questions.
        """
        if self._server.sorts or last is None:
            return True
        terms = {**question.terms, "sortby": [{"field": "id", "direction": "desc"}], "limit": 1}
        try:
            page = self._server.page(self._server.search(self._collection, terms))
        except RefusedError:
            return False
        self._server.sorts = next(iter(page.items), None) == last
        return self._server.sorts

    def _along_links(self, terms: Mapping[str, Any]) -> _Answer:
        """A search, and the pages that ``next`` links lead to, as far as they bring anything."""
        items: dict[str, dict[str, Any]] = {}
        matched, full, more = 0, False, False
        request: Request | None = self._server.search(self._collection, terms)
        while request is not None:
            self._left -= 1
            if self._left < 0:
                raise self._server.failed(
                    f"one cell and month takes more than {_REQUESTS} requests",
                    "Its search does not narrow or end its answers; use another catalogue.",
                )
            try:
                page = self._server.page(request, first=not more)
            except RefusedError:
                if more:  # a link that leads nowhere
                    break
                raise
            known = len(items)
            items |= page.items
            matched, full = max(matched, page.matched), page.full
            news = len(items) > known
            request, more = (page.following, page.has_next) if news else (None, False)
        return _Answer(items, matched, more or full)


def _from_id(last: str | None, way: str) -> dict[str, Any]:
    """The condition that an id is the last one or comes after it; none before the first."""
    if last is None:
        return {}
    if way == "query":
        return {"query": {"id": {"gte": last}}}
    condition = {"op": ">=", "args": [{"property": "id"}, last]}
    return {"filter-lang": "cql2-json", "filter": condition}


def _notes(answers: list[_Answer], whose: str, *, nameless: int) -> Iterator[str]:
    """What may be missing, added up over the questions."""
    fewer = [answer for answer in answers if answer.matched > len(answer.items)]
    if fewer:
        yield (
            f"Of the items {whose}, the server says that {sum(a.matched for a in fewer)} match and "
            f"gave {sum(len(a.items) for a in fewer)}, in {len(fewer)} of {len(answers)} questions "
            "(a cell and a month each). Its number may be an estimate."
        )
    if cut := sum(answer.cut for answer in answers):
        yield (
            f"Items {whose} may be missing in {cut} of {len(answers)} questions (a cell and a "
            "month each): the server's pages are full and have no next."
        )
    if nameless:
        yield f"Items {whose} without an id are left out: {nameless}."
