"""One STAC server: what it says that it can do, and requests to it that do not give up at once.

Its answers are data, not trust: a link is followed on the server's own host only.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin, urlsplit

from lulcmap.errors import ProviderError

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

PAGE = 100
"""Items a page: 20 to 40 KB each, and some servers cannot answer with more than 6 MB."""
_SHORT = 10
"""Items; the default page of a STAC API. A shorter page never counts as full."""
_TRIES = 6
_LONGEST_PAUSE = 60.0
"""Seconds."""
_TIMEOUTS = (10.0, 60.0)
"""Seconds, to connect and between two bytes."""
_ROOT = "Check that this is the root of a STAC API."
_LATER = "Check the address and the network, or try again later."


class RefusedError(ProviderError):
    """A request was refused for good; another may not be."""


Request = tuple[str, str, dict[str, Any] | None]
"""Method, address, JSON body."""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to a search."""

    items: dict[str, dict[str, Any]]
    """By id, in the server's order."""

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
    items.
    """

    def __init__(
        self, url: str, session: "requests.Session", wait: Callable[[float], object] | None
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
        self._session, self._wait = session, wait or self.stop.wait
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
        if methods == {"GET"}:  # whose other parameters are written in more ways than one
            self._method = "GET"
            return
        claims = {text.rpartition("#")[2] for text in conforms if "item-search" in text}
        if any(text.endswith("/cql2-json") for text in conforms):
            claims.add("cql2-json")
        needs = {"query": {"sort", "query"}, "filter": {"sort", "filter", "cql2-json"}}
        self.ways = tuple(way for way, needed in needs.items() if needed <= claims)
        self._extra = {"fields": {"exclude": ["links"]}} if "fields" in claims else {}

    def search(self, collection: str, terms: Mapping[str, Any]) -> Request:
        """The first request of a search."""
        terms = {"collections": [collection], "limit": PAGE, **terms}
        if self._method == "POST":
            return "POST", self._search, {**terms, **self._extra}
        texts = {
            name: ",".join(map(str, value)) if isinstance(value, list) else value
            for name, value in terms.items()
        }
        mark = "&" if urlsplit(self._search).query else "?"
        return "GET", f"{self._search}{mark}{urlencode(texts)}", None

    def page(self, request: Request) -> Page:
        """A page of items.

        Raises:
            RefusedError: the server does not take this request.
            ProviderError: it stays down, or does not answer with items.

        """
        page = self._send(request)
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
            items={str(item.get("id")): item for item in features},
            full=len(features) >= min(PAGE, self._longest),
            matched=max(count if isinstance(count, int) else 0 for count in counts),
            following=self._follow(link, request) if link else None,
            has_next=link is not None,
        )

    def failed(self, what: str, todo: str) -> ProviderError:
        """The error to raise, one line."""
        return ProviderError(f"The catalogue {shown(self.url)} failed: {what}. {todo}")

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
        import requests

        pause, what = 0.0, ""
        for attempt in range(_TRIES):
            if attempt:
                self._tell(what, pause)
                self._wait(pause)
            if self.stop.is_set():
                raise self.failed("another question failed", _LATER)
            pause = min(_LONGEST_PAUSE, 2.0**attempt * random.uniform(0.5, 1.0))
            method, href, body = request
            try:
                response = self._session.request(
                    method, href, json=body, timeout=_TIMEOUTS, allow_redirects=False
                )
            except (requests.exceptions.SSLError, ValueError) as error:  # no use to try again
                raise self.failed(_trouble(error), _LATER) from None
            except OSError as error:  # the root of all that requests raises
                what = _trouble(error)
                continue
            status = response.status_code
            if status == 200:
                if (value := self._json(response)) is not None:
                    return value
                what = "its answers are cut short"
            elif status in (408, 429) or status >= 500:
                what = f"HTTP {status}"
                pause = _asked_pause(response.headers.get("Retry-After"), pause)
            elif (moved := self._moved(response)) is not None:
                request, pause = (method, moved, body), 0.0
            else:
                raise RefusedError(str(self.failed(f"HTTP {status}", _todo(status))))
        raise self.failed(f"{what or 'it redirects in circles'}, {_TRIES} times in a row", _LATER)

    def _tell(self, what: str, pause: float) -> None:
        """Say that there is trouble, once at a time that someone may be waiting for."""
        level = logging.INFO if self._told else logging.WARNING
        self._told = True
        where = shown(self.url)
        logger.log(level, "The catalogue %s: %s; asked again in %.0f s.", where, what, pause)

    def _json(self, response: "requests.Response") -> dict[str, Any] | None:
        """An answer's object; None where it is cut short."""
        with suppress(ValueError):
            value = response.json()
            if isinstance(value, dict):
                return value
        if response.content.lstrip()[:1] in (b"", b"{"):
            return None
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


def _asked_pause(after: str | None, otherwise: float) -> float:
    """Seconds that a ``Retry-After`` asks for, a little more so that not all come back at once."""
    if after is None:
        return otherwise
    if after.strip().isdigit():
        seconds = float(after)
    else:
        try:
            moment = parsedate_to_datetime(after)
        except ValueError:
            return otherwise
        seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - time.time()
    return min(_LONGEST_PAUSE, max(0.0, seconds) + random.random())


def _trouble(error: Exception) -> str:
    """What a failed connection means; its own text may hold a query string."""
    import requests

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


def shown(url: str) -> str:
    """An address without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
