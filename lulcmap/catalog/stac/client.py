"""One STAC server: what it says that it can do, and requests to it that do not give up at once.

Its answers are data, not trust: a link is followed on the server's own host only.
"""

import hashlib
import json
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin, urlsplit

from lulcmap.errors import ProviderError
from lulcmap.system import connection_fault, public_url
from lulcmap.system import retry_after_seconds as retry_after_seconds

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

PAGE = 100
"""Items a page: 20 to 40 KB each, and some servers cannot answer with more than 6 MB."""
_SHORT = 10
"""Items; the default page of a STAC API. A shorter page never counts as full."""
_BUSY_TRIES, _TRIES = 9, 6
"""Of a request to a server that is busy, about three minutes, and to one that is not reached."""
_LONGEST_PAUSE, _PATIENCE = 60.0, 300.0
"""Seconds between two tries, where the server does not say, and where it does."""
_REDIRECTS = 5
_TIMEOUTS = (10.0, 60.0)
"""Seconds, to connect and between two bytes."""
_ROOT = "Check that this is the root of a STAC API."
_LATER = "Check the address and the network, or try again later."


_NAMELESS = "no id, "
"""Begins the key of an item that has no id."""


class RefusedError(ProviderError):
    """A request was refused for good; another may not be."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _TroubleError(Exception):
    """A request failed in a way that may pass."""

    def __init__(self, what: str, *, tries: int, asked: float = 0.0, for_all: bool = False) -> None:
        super().__init__(what)
        self.tries = tries
        """How often such a request is made."""
        self.asked = asked
        """Seconds that the server wants to be left alone."""
        self.for_all = for_all
        """Whether it wants that of everyone who asks."""


Request = tuple[str, str, dict[str, Any] | None]
"""Method, address, JSON body."""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to a search."""

    items: dict[str, dict[str, Any]]
    """By id, or by a key that ``is_nameless``, in the server's order."""

    full: bool
    """Whether it is as long as asked for, or as the longest: more may not fit into a page."""

    matched: int
    """How many the whole search has, as the server says; 0 where it does not."""

    following: Request | None
    """The request for the next page, as far as it may be followed."""

    has_next: bool
    """Whether the server says that there is a next page, wherever it is."""


class Server:
    """A STAC API: what it claims, and requests to it that do not give up at once.

    Shared by the threads. What they learn about it needs no lock: knowing less costs requests, not
    items. When it tells one of them to wait, all do.
    """

    def __init__(
        self,
        url: str,
        session: "requests.Session",
        wait: Callable[[float], object] | None,
        now: Callable[[], float],
    ) -> None:
        parts = urlsplit(url)
        self.url = url
        self.stop = threading.Event()
        self.ways: tuple[str, ...] = ()
        """How it claims to find items from an id on: by ``query``, by ``filter``."""
        self.sorts = False
        """Whether it was seen to sort by id."""
        self._search = parts._replace(path=parts.path.rstrip("/") + "/search").geturl()
        self._method, self._extra, self._longest = "POST", dict[str, Any](), _SHORT
        self._takes_post = False
        self._session, self._wait, self._now = session, wait or self.stop.wait, now
        self._not_before, self._lock = now(), threading.Lock()
        self._told = False

    def open(self) -> None:
        """Read the landing page."""
        landing = self._send(("GET", self.url, None))
        searches = [link for link in _links(landing) if link.get("rel") == "search"]
        methods = {str(link.get("method")).upper() for link in searches}
        conforms = landing.get("conformsTo")
        conforms = [str(text) for text in conforms] if isinstance(conforms, list) else []
        if not searches and not any("item-search" in text for text in conforms):
            raise self.failed(
                "no STAC API with a search answers there", "Give the URL of its root."
            )
        if searches and "POST" not in methods:  # none said is GET
            self._method = "GET"
            return
        claims = {text.rpartition("#")[2] for text in conforms if "item-search" in text}
        if any(text.endswith("/cql2-json") for text in conforms):
            claims.add("cql2-json")
        needs = {"query": {"sort", "query"}, "filter": {"sort", "filter", "cql2-json"}}
        self.ways = tuple(way for way, needed in needs.items() if needed <= claims)
        self._extra = {"fields": {"exclude": ["links"]}} if "fields" in claims else {}

    def search(self, collection: str, terms: Mapping[str, Any]) -> Request:
        """The first request of a search. By GET its order and conditions are left out."""
        terms = {"collections": [collection], "limit": PAGE, **terms}
        if self._method == "POST":
            return "POST", self._search, {**terms, **self._extra}
        return self._by_get(terms)

    def _by_get(self, terms: Mapping[str, Any]) -> Request:
        """A search by GET, of the terms that every server reads alike."""
        texts = {
            name: ",".join(map(str, value)) if isinstance(value, list) else value
            for name, value in terms.items()
            if name in ("collections", "limit", "bbox", "datetime")
        }
        mark = "&" if urlsplit(self._search).query else "?"
        return "GET", f"{self._search}{mark}{urlencode(texts)}", None

    def page(self, request: Request, *, first: bool = False) -> Page:
        """A page of items.

        Args:
            request: of ``search``, or what follows a page.
            first: whether it may be asked again by GET, and so all others, where POST is not taken.

        Raises:
            RefusedError: the server does not take this request.
            ProviderError: it stays down, or does not answer with items.

        """
        try:
            page = self._send(request)
        except RefusedError as refused:
            body = request[2]
            if not first or refused.status not in (404, 405) or body is None or self._takes_post:
                raise
            self._method, self.ways, self._extra = "GET", (), {}
            request = self._by_get(body)
            page = self._send(request)
        self._takes_post |= request[0] == "POST"
        features = page.get("features")
        if not isinstance(features, list) or not all(isinstance(item, dict) for item in features):
            raise self.failed("it answered a search with something else than items", _ROOT)
        self._longest = max(self._longest, len(features))
        context = page.get("context")
        counts = (
            page.get("numberMatched"),
            context.get("matched") if isinstance(context, dict) else 0,
        )
        link = next((link for link in _links(page) if link.get("rel") == "next"), None)
        return Page(
            items={_key(item): item for item in features},
            full=len(features) >= min(PAGE, self._longest),
            matched=max(count if isinstance(count, int) else 0 for count in counts),
            following=self._follow(link, request) if link else None,
            has_next=link is not None,
        )

    def failed(self, what: str, todo: str) -> ProviderError:
        """The error to raise, one line."""
        return ProviderError(f"The catalogue {public_url(self.url)} failed: {what}. {todo}")

    def _follow(self, link: Mapping[str, Any], request: Request) -> Request | None:
        """The request of a ``next`` link, None where it leads to another server."""
        href = urljoin(request[1], str(link.get("href")))
        if not self._is_ours(href):
            return None
        if str(link.get("method")).upper() != "POST":
            return "GET", href, None
        body = link["body"] if isinstance(link.get("body"), dict) else {}
        if link.get("merge") or not body:
            body = {**(request[2] or {}), **body}
        return "POST", href, body

    def _is_ours(self, href: str) -> bool:
        """Whether an address is on the API's own host and port; https instead of http may be."""
        try:
            there, here = urlsplit(href), urlsplit(self.url)
            ports = {"http": 80, "https": 443}
            if there.scheme not in ports or there.hostname != here.hostname:
                return False
            port = there.port or ports[there.scheme]
            if there.scheme == here.scheme:
                return port == (here.port or ports[here.scheme])
            return (there.scheme, port) == ("https", 443)
        except (ValueError, KeyError):
            return False

    def _send(self, request: Request) -> dict[str, Any]:
        """The JSON object that answers a request, tried again where that may help."""
        failures = Counter[int]()
        not_before = self._now()
        while True:
            self._rest(not_before)
            try:
                return self._answer(request)
            except _TroubleError as fault:
                failures[fault.tries] += 1
                times = failures.total()
                if failures[fault.tries] >= fault.tries:
                    raise self.failed(f"{fault}, {times} times in a row", _LATER) from None
                own = min(_LONGEST_PAUSE, 2.0 ** (times - 1))
                pause = max(fault.asked, own) + random.random()
                self._tell(str(fault), pause)
                not_before = self._now() + pause
                if fault.for_all:
                    with self._lock:
                        self._not_before = max(self._not_before, not_before)

    def _rest(self, not_before: float) -> None:
        """Wait until then, and as long as the server wants of all who ask."""
        while not self.stop.is_set():
            rest = max(not_before, self._not_before) - self._now()
            if rest <= 0:
                return
            self._wait(rest)
        raise self.failed("another question failed", _LATER)

    def _answer(self, request: Request) -> dict[str, Any]:
        """The JSON object that answers a request, wherever on its host the server sends it."""
        method, href, body = request
        for _ in range(_REDIRECTS + 1):
            response = self._request(method, href, body)
            status = response.status_code
            if status == 200:
                return self._json(response)
            if status in (408, 429) or status >= 500:
                raise self._busy(status, response.headers.get("Retry-After"))
            moved = self._moved(response)
            if moved is None:
                raise RefusedError(str(self.failed(f"HTTP {status}", _todo(status))), status)
            href = moved
        raise self.failed("it redirects in circles", _ROOT)

    def _request(self, method: str, href: str, body: dict[str, Any] | None) -> "requests.Response":
        """Whatever the server answers."""
        import requests

        try:
            return self._session.request(
                method, href, json=body, timeout=_TIMEOUTS, allow_redirects=False
            )
        except (requests.exceptions.SSLError, ValueError) as error:  # no use to try again
            raise self.failed(connection_fault(error), _LATER) from None
        except requests.exceptions.ChunkedEncodingError as error:
            raise _TroubleError(connection_fault(error), tries=_BUSY_TRIES) from None
        except OSError as error:  # the root of all that requests raises
            raise _TroubleError(connection_fault(error), tries=_TRIES) from None

    def _busy(self, status: int, after: str | None) -> Exception:
        """The trouble of a busy server, or the error where it wants more patience than there is."""
        asked = retry_after_seconds(after, now=time.time())
        if asked is not None and asked > _PATIENCE:
            return self.failed(
                f"HTTP {status}, and it wants to be left alone for {ceil(asked / 60)} minutes",
                "Try again after that.",
            )
        for_all = asked is not None or status in (429, 503)
        return _TroubleError(
            f"HTTP {status}", tries=_BUSY_TRIES, asked=asked or 0.0, for_all=for_all
        )

    def _tell(self, what: str, pause: float) -> None:
        """Say that there is trouble, once at a time that someone may be waiting for."""
        level = logging.INFO if self._told else logging.WARNING
        self._told = True
        where = public_url(self.url)
        logger.log(level, "The catalogue %s: %s; asked again in %.0f s.", where, what, pause)

    def _json(self, response: "requests.Response") -> dict[str, Any]:
        """An answer's object."""
        with suppress(ValueError):
            value = response.json()
            if isinstance(value, dict):
                return value
        if response.content.lstrip()[:1] in (b"", b"{"):
            raise _TroubleError("its answers are cut short", tries=_BUSY_TRIES)
        raise self.failed("it answered with something else than JSON objects", _ROOT)

    def _moved(self, response: "requests.Response") -> str | None:
        """Where a redirect leads, if it stays on the host."""
        target = response.headers.get("Location")
        if not 300 <= response.status_code < 400 or target is None:
            return None
        href = urljoin(response.url, target)
        return href if self._is_ours(href) else None


def _links(page: Mapping[str, Any]) -> list[dict[str, Any]]:
    links = page.get("links")
    return [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []


def _todo(status: int) -> str:
    if status in (401, 403):
        return "It is not open to everyone; use another catalogue."
    if 300 <= status < 400:
        return "It has moved to another host; give its new URL."
    return "It refused the question; check its URL and the collections it has."


def _key(item: Mapping[str, Any]) -> str:
    """An item's id, or what tells an item without one from all others."""
    name = item.get("id")
    if name is not None and name != "":
        return str(name)
    return _NAMELESS + hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()


def is_nameless(key: str) -> bool:
    """Whether an item's key says that it has no id."""
    return key.startswith(_NAMELESS)
