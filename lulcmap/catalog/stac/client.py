"""A STAC server: the capabilities it declares, and requests to it with retries.

Its answers are data and are not trusted: a link is followed on the server's own host only.
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

PAGE_ITEMS = 100
"""Items requested per page: each is 20 to 40 KB, and some servers cannot answer with over 6 MB."""

_DEFAULT_PAGE_ITEMS = 10
"""Default page of a STAC API, items; a shorter page never counts as full."""

_BUSY_TRIES, _TRIES = 9, 6
"""Tries of a request to a server that is busy (about three minutes) or not reached."""

_MAX_PAUSE_S, _MAX_RETRY_AFTER_S = 60.0, 300.0
"""Longest pause between tries, seconds: our own, and one that the server asks for."""

_MAX_REDIRECTS = 5

_TIMEOUTS_S = (10.0, 60.0)
"""Timeouts to connect and between two bytes, seconds."""

_CHECK_ROOT = "Check that this is the root of a STAC API."
_TRY_LATER = "Check the address and the network, or try again later."

_NAMELESS = "no id, "
"""Prefix of the key of an item without an id."""


class RequestRefusedError(ProviderError):
    """The server refuses a request for good; it may accept another one."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _TemporaryError(Exception):
    """A request failed in a way that may pass."""

    def __init__(
        self, what: str, *, tries: int, retry_after: float = 0.0, for_all: bool = False
    ) -> None:
        super().__init__(what)
        self.tries = tries
        """Tries that such a request gets."""
        self.retry_after = retry_after
        """Pause that the server asks for, seconds."""
        self.for_all = for_all
        """Whether all threads must pause."""


Request = tuple[str, str, dict[str, Any] | None]
"""Method, address, JSON body."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search's answer."""

    items: dict[str, dict[str, Any]]
    """Items by id, or by a key that ``is_nameless``, in the server's order."""

    full: bool
    """Whether it is as long as requested, or as the longest page so far: more may not have fit."""

    matched: int
    """Items of the whole search as the server counts them; 0 if it does not."""

    following: Request | None
    """Request for the next page, if it may be followed."""

    has_next: bool
    """Whether the server links to a next page, followed or not."""


class Server:
    """A STAC API: the capabilities it declares, and requests to it with retries.

    Threads share it. What they learn about it needs no lock: knowing less costs requests, not
    items. When it tells one of them to wait, all wait.
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
        """Ways it declares to search by id: ``"query"``, ``"filter"``."""
        self.sorts = False
        """Whether it was found to sort by id."""
        self._search = parts._replace(path=parts.path.rstrip("/") + "/search").geturl()
        self._method, self._extra, self._longest = "POST", dict[str, Any](), _DEFAULT_PAGE_ITEMS
        self._takes_post = False
        self._session, self._wait, self._now = session, wait or self.stop.wait, now
        self._not_before, self._lock = now(), threading.Lock()
        self._warned = False

    def open(self) -> None:
        """Read the landing page."""
        landing = self._send(("GET", self.url, None))
        searches = [link for link in _links(landing) if link.get("rel") == "search"]
        methods = {str(link.get("method")).upper() for link in searches}
        conforms = landing.get("conformsTo")
        conforms = [str(text) for text in conforms] if isinstance(conforms, list) else []
        if not searches and not any("item-search" in text for text in conforms):
            raise self.failed(
                "no STAC API with item search answers there", "Give the URL of its root."
            )
        if searches and "POST" not in methods:  # GET is the default
            self._method = "GET"
            return
        features = {text.rpartition("#")[2] for text in conforms if "item-search" in text}
        if any(text.endswith("/cql2-json") for text in conforms):
            features.add("cql2-json")
        needs = {"query": {"sort", "query"}, "filter": {"sort", "filter", "cql2-json"}}
        self.ways = tuple(way for way, needed in needs.items() if needed <= features)
        self._extra = {"fields": {"exclude": ["links"]}} if "fields" in features else {}

    def search(self, collection: str, terms: Mapping[str, Any]) -> Request:
        """The first request of a search; by GET, without its order and conditions."""
        terms = {"collections": [collection], "limit": PAGE_ITEMS, **terms}
        if self._method == "POST":
            return "POST", self._search, {**terms, **self._extra}
        return self._by_get(terms)

    def _by_get(self, terms: Mapping[str, Any]) -> Request:
        """A search by GET, with the terms that all servers read alike."""
        texts = {
            name: ",".join(map(str, value)) if isinstance(value, list) else value
            for name, value in terms.items()
            if name in ("collections", "limit", "bbox", "datetime")
        }
        separator = "&" if urlsplit(self._search).query else "?"
        return "GET", f"{self._search}{separator}{urlencode(texts)}", None

    def page(self, request: Request, *, first: bool = False) -> Page:
        """Request a page of items.

        Args:
            request: request from ``search`` or ``Page.following``.
            first: whether to switch to GET, for all later requests too, if POST is not accepted.

        Raises:
            RequestRefusedError: the server refuses this request.
            ProviderError: it stays down, or does not answer with items.

        """
        try:
            page = self._send(request)
        except RequestRefusedError as refused:
            body = request[2]
            if not first or refused.status not in (404, 405) or body is None or self._takes_post:
                raise
            self._method, self.ways, self._extra = "GET", (), {}
            request = self._by_get(body)
            page = self._send(request)
        self._takes_post |= request[0] == "POST"
        features = page.get("features")
        if not isinstance(features, list) or not all(isinstance(item, dict) for item in features):
            raise self.failed("its answer to a search is not a list of items", _CHECK_ROOT)
        self._longest = max(self._longest, len(features))
        context = page.get("context")
        counts = (
            page.get("numberMatched"),
            context.get("matched") if isinstance(context, dict) else 0,
        )
        link = next((link for link in _links(page) if link.get("rel") == "next"), None)
        return Page(
            items={_key(item): item for item in features},
            full=len(features) >= min(PAGE_ITEMS, self._longest),
            matched=max(count if isinstance(count, int) else 0 for count in counts),
            following=self._follow(link, request) if link else None,
            has_next=link is not None,
        )

    def failed(self, what: str, todo: str) -> ProviderError:
        """The error to raise, one line.

        Args:
            what: what failed.
            todo: sentence about what to do next.

        """
        return ProviderError(f"The catalogue {public_url(self.url)} failed: {what}. {todo}")

    def _follow(self, link: Mapping[str, Any], request: Request) -> Request | None:
        """The request of a ``next`` link; None if it points to another server."""
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
        """Whether a URL is on the API's own host and port; https instead of http is allowed."""
        try:
            link, own = urlsplit(href), urlsplit(self.url)
            ports = {"http": 80, "https": 443}
            if link.scheme not in ports or link.hostname != own.hostname:
                return False
            port = link.port or ports[link.scheme]
            if link.scheme == own.scheme:
                return port == (own.port or ports[own.scheme])
            return (link.scheme, port) == ("https", 443)
        except (ValueError, KeyError):
            return False

    def _send(self, request: Request) -> dict[str, Any]:
        """The JSON object that answers a request, with retries where they may help."""
        failures = Counter[int]()
        not_before = self._now()
        while True:
            self._pause(not_before)
            try:
                return self._answer(request)
            except _TemporaryError as error:
                failures[error.tries] += 1
                times = failures.total()
                if failures[error.tries] >= error.tries:
                    raise self.failed(f"{error}, {times} times in a row", _TRY_LATER) from None
                backoff = min(_MAX_PAUSE_S, 2.0 ** (times - 1))
                pause = max(error.retry_after, backoff) + random.random()
                self._log(str(error), pause)
                not_before = self._now() + pause
                if error.for_all:
                    with self._lock:
                        self._not_before = max(self._not_before, not_before)

    def _pause(self, not_before: float) -> None:
        """Wait until a time, and as long as the server asks of all threads."""
        while not self.stop.is_set():
            seconds = max(not_before, self._not_before) - self._now()
            if seconds <= 0:
                return
            self._wait(seconds)
        raise self.failed("another query failed", _TRY_LATER)

    def _answer(self, request: Request) -> dict[str, Any]:
        """The JSON object that answers a request, redirects on the same host followed."""
        method, href, body = request
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._request(method, href, body)
            status = response.status_code
            if status == 200:
                return self._json(response)
            if status in (408, 429) or status >= 500:
                raise self._busy(status, response.headers.get("Retry-After"))
            target = self._redirect(response)
            if target is None:
                raise RequestRefusedError(str(self.failed(f"HTTP {status}", _todo(status))), status)
            href = target
        raise self.failed("it redirects in circles", _CHECK_ROOT)

    def _request(self, method: str, href: str, body: dict[str, Any] | None) -> "requests.Response":
        """The server's response, whatever its status."""
        import requests

        try:
            return self._session.request(
                method, href, json=body, timeout=_TIMEOUTS_S, allow_redirects=False
            )
        except (requests.exceptions.SSLError, ValueError) as error:  # a retry would not help
            raise self.failed(connection_fault(error), _TRY_LATER) from None
        except requests.exceptions.ChunkedEncodingError as error:
            raise _TemporaryError(connection_fault(error), tries=_BUSY_TRIES) from None
        except OSError as error:  # base of all that requests raises
            raise _TemporaryError(connection_fault(error), tries=_TRIES) from None

    def _busy(self, status: int, header: str | None) -> Exception:
        """The error of a busy server: temporary, unless it asks for too long a pause.

        Args:
            status: HTTP status.
            header: its ``Retry-After``, if any.

        """
        retry_after = retry_after_seconds(header, now=time.time())
        if retry_after is not None and retry_after > _MAX_RETRY_AFTER_S:
            return self.failed(
                f"HTTP {status}, and it asks for a pause of {ceil(retry_after / 60)} minutes",
                "Try again after that.",
            )
        for_all = retry_after is not None or status in (429, 503)
        return _TemporaryError(
            f"HTTP {status}", tries=_BUSY_TRIES, retry_after=retry_after or 0.0, for_all=for_all
        )

    def _log(self, what: str, pause: float) -> None:
        """Log a failed try: the first as a warning, for someone may be waiting, later as info."""
        level = logging.INFO if self._warned else logging.WARNING
        self._warned = True
        logger.log(
            level, "The catalogue %s: %s; retry in %.0f s.", public_url(self.url), what, pause
        )

    def _json(self, response: "requests.Response") -> dict[str, Any]:
        """The JSON object of a response."""
        with suppress(ValueError):
            value = response.json()
            if isinstance(value, dict):
                return value
        if response.content.lstrip()[:1] in (b"", b"{"):
            raise _TemporaryError("its answers are cut short", tries=_BUSY_TRIES)
        raise self.failed("its answer is not a JSON object", _CHECK_ROOT)

    def _redirect(self, response: "requests.Response") -> str | None:
        """Target of a redirect, if it stays on the host."""
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
    return "It refused the request; check its URL and the collections it has."


def _key(item: Mapping[str, Any]) -> str:
    """Key of an item: its id, or for an item without one its hash."""
    name = item.get("id")
    if name is not None and name != "":
        return str(name)
    return _NAMELESS + hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()


def is_nameless(key: str) -> bool:
    """Whether a key is that of an item without an id."""
    return key.startswith(_NAMELESS)
