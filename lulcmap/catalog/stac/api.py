"""A STAC API through pystac-client, which opens it, writes the requests and walks the pages.

What it reads is put in order first, since a server's answers are data and are not trusted: a link
is followed on the server's own host only, and a page is a list of items or an error.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urljoin, urlsplit

from pystac import Link
from pystac_client import Client, ItemSearch
from pystac_client.stac_api_io import StacApiIO

from lulcmap.catalog.stac.client import Connection, PassingError, RequestRefusedError
from lulcmap.errors import ProviderError

PAGE_ITEMS = 100
"""Items requested per page: each is 20 to 40 KB, and some servers cannot answer with over 6 MB."""

_LEAST_PAGE_ITEMS = 5
"""Items per page below which no server is asked for less."""

_HEAVY_FAILURES = 3
"""Failures after which a page is taken for too large."""

_DEFAULT_PAGE_ITEMS = 10
"""Default page of a STAC API, items; a shorter page never counts as full."""

_MANY = 10**9
"""Items above which a count is not believed."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search's answer."""

    items: list[dict[str, Any]]
    """Items in the server's order."""

    full: bool
    """Whether it is as long as requested, or as the longest page so far: more may not have fit."""

    matched: int
    """Items of the whole search as the server counts them; 0 if it does not."""

    has_next: bool
    """Whether the server links to a next page, followed or not."""

    size: int
    """Characters of its JSON."""


class Server:
    """A STAC API: the capabilities it declares, and its searches.

    Threads share it. What they learn about it needs no lock: knowing less costs requests, not
    items.
    """

    def __init__(self, connection: Connection) -> None:
        parts = urlsplit(connection.url)
        self.connection = connection
        self.ways: tuple[str, ...] = ()
        """Ways it declares to search by id: ``"query"``, ``"filter"``."""
        self.sorts = False
        """Whether it was found to sort by id."""
        self.page_items = PAGE_ITEMS
        """Items to request per page."""
        self.accepted, self.longest = 0, _DEFAULT_PAGE_ITEMS
        """Most items per page that it was asked for successfully, and that it gave."""
        # not the address in its link: behind a proxy it is often another server's
        self._search = parts._replace(path=parts.path.rstrip("/") + "/search").geturl()
        self._method, self._fields, self._takes_post = "POST", dict[str, Any](), False

    def open(self) -> None:
        """Read the landing page."""
        catalog = Client.from_file(self.connection.url, stac_io=_Landing(self))
        searches, conforms = catalog.get_links("search"), catalog.get_conforms_to()
        methods = {link.extra_fields["method"].upper() for link in searches}
        if not searches and not any("item-search" in text for text in conforms):
            raise self.connection.failed(
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
        self._fields = {"fields": {"exclude": ["links"]}} if "fields" in features else {}

    def pages(self, collection: str, terms: Mapping[str, Any]) -> Iterator[Page]:
        """The pages of a search, as far as ``next`` links lead.

        Args:
            collection: id of the collection.
            terms: further terms, as of ``ItemSearch``; by GET, without its order and conditions.

        Raises:
            RequestRefusedError: the server refuses the request for a page.
            ProviderError: it stays down, or does not answer with items.

        """
        method = self._method
        try:
            yield from self._pages(method, collection, terms)
        except RequestRefusedError as refused:
            if refused.status not in (404, 405) or method == "GET" or self._takes_post:
                raise
            self._method, self.ways, self._fields = "GET", (), {}
            yield from self._pages("GET", collection, terms)

    def _pages(self, method: str, collection: str, terms: Mapping[str, Any]) -> Iterator[Page]:
        if method == "POST":
            terms = {"limit": self.page_items, **terms, **self._fields}
        else:  # what all servers read alike
            terms = {"limit": self.page_items, "bbox": terms["bbox"], "datetime": terms["datetime"]}
        reading = _Reading(self, terms["limit"])
        search = ItemSearch(
            self._search, method=method, stac_io=reading, collections=[collection], **terms
        )
        for _ in search.pages_as_dicts():
            self._takes_post |= method == "POST"
            yield reading.page
        if not reading.page.items:  # pystac-client keeps an empty page to itself
            yield reading.page


class _Reader(StacApiIO):
    """pystac-client's way to a server: over our connection, with its patience."""

    def __init__(self, server: Server) -> None:
        super().__init__(max_retries=None)
        self._server, self._connection = server, server.connection

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: Any = None,  # noqa: ARG002 - a server does not choose what we send
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """The text that answers one request."""
        return self._connection.request(method or "GET", href, parameters)

    def json_loads(self, txt: str, *_: Any, **__: Any) -> dict[str, Any]:
        """The JSON object of an answer."""
        try:
            value = json.loads(txt)
        except RecursionError:
            raise self._connection.failed("the JSON of its answer is nested too deeply") from None
        except json.JSONDecodeError:
            value = None
            if txt.lstrip()[:1] in ("", "{"):
                raise PassingError("its answers are cut short") from None
        except ValueError:  # a number of thousands of digits
            value = None
        if not isinstance(value, dict):
            raise self._connection.failed("its answer is not a JSON object")
        return value

    def read_json(self, source: Any, *args: Any, **options: Any) -> dict[str, Any]:
        """The JSON object that answers a request, with retries where they may help."""
        read = partial(super().read_json, source, *args, **options)
        return self._connection.patiently(read, self._failed)

    def _failed(self, times: int) -> None:
        """Learn from a failure that a smaller answer might have avoided."""


class _Landing(_Reader):
    """Reads a landing page."""

    def read_json(self, source: Any, *args: Any, **options: Any) -> dict[str, Any]:
        """What we need of the page: pystac reads no catalogue that lacks what it never asks for."""
        landing = super().read_json(source, *args, **options)
        conforms = landing.get("conformsTo")
        return {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "root",
            "description": "",
            "conformsTo": list(map(_text, conforms)) if isinstance(conforms, list) else [],
            "links": [
                {"rel": "search", "href": self._connection.url, "method": _text(link.get("method"))}
                for link in _links(landing)
                if link.get("rel") == "search"
            ],
        }


class _Reading(_Reader):
    """Reads one search."""

    page: Page
    """The last page read."""

    def __init__(self, server: Server, page_items: int) -> None:
        super().__init__(server)
        self._requested, self._page_items = page_items, page_items
        self._is_first, self._is_suspect, self._size = True, False, 0
        self._sent: tuple[str, str | None, dict[str, Any]] = ("", None, {})

    def read_json(self, source: Any, *args: Any, **options: Any) -> dict[str, Any]:
        """A page in order: its items, and at most one link, to a next page that may be read."""
        self._is_first = not isinstance(source, Link)
        answer = super().read_json(source, *args, **options)
        if self._is_suspect:
            self._is_suspect, answer = False, self._again(answer)
        features, server = answer.get("features"), self._server
        if not isinstance(features, list) or not all(isinstance(item, dict) for item in features):
            raise self._connection.failed("its answer to a search is not a list of items")
        server.accepted = max(server.accepted, self._page_items)
        server.longest = max(server.longest, len(features))
        if self._page_items < self._requested:
            server.page_items = min(server.page_items, self._page_items)
        context = answer.get("context")
        counts = (
            answer.get("numberMatched"),
            context.get("matched") if isinstance(context, dict) else 0,
        )
        link = next((link for link in _links(answer) if link.get("rel") == "next"), None)
        self.page = Page(
            items=features,
            full=len(features) >= min(self._page_items, server.longest),
            matched=max(min(count, _MANY) if isinstance(count, int) else 0 for count in counts),
            has_next=link is not None,
            size=self._size,
        )
        following = self._follow(link) if link else None
        return {"features": features, "links": [following] if following else []}

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: Any = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """The text of a page; the first, of fewer items where the server refuses so many.

        Only the first: the link to a next page may count in pages of the first one's size.
        """
        while True:
            if self._is_first:
                parameters = {**(parameters or {}), "limit": self._page_items}
            self._sent = href, method, parameters or {}
            try:
                text = super().request(href, method, headers, parameters)
            except RequestRefusedError as refused:
                is_limit = refused.status == 413 or (
                    refused.status in (400, 422) and self._page_items > self._server.accepted
                )
                if not (is_limit and self._is_first and self._shrink()):
                    raise
            else:
                self._size = len(text)
                return text

    def _again(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer of as many items as first requested, if the server was but down in between.

        Args:
            answer: answer of fewer items.

        """
        href, method, parameters = self._sent
        parameters = {**parameters, "limit": self._requested}
        try:
            text = super().request(href, method, None, parameters)
            full = self.json_loads(text)
        except (PassingError, ProviderError):
            return answer
        if not isinstance(full.get("features"), list):
            return answer
        self._page_items, self._size = self._requested, len(text)
        self._sent = href, method, parameters
        return full

    def _shrink(self) -> bool:
        """Whether fewer items may be requested; from now on they are."""
        fewer = max(_LEAST_PAGE_ITEMS, self._page_items // 2)
        if fewer >= self._page_items:
            return False
        self._page_items = fewer
        return True

    def _failed(self, times: int) -> None:
        if times < _HEAVY_FAILURES or not self._shrink():
            return
        if not self._is_first:  # the query is then asked in parts
            raise self._connection.failed("a next page is too large", status=413)
        self._is_suspect = True

    def _follow(self, link: Mapping[str, Any]) -> dict[str, Any] | None:
        """The ``next`` link, complete; None if it is no address, or another server's.

        pystac-client follows no relative address, posts nothing where a link has no body, and adds
        to the terms of the first page, not to those of the last.
        """
        base, method, sent = self._sent
        href = _text(link.get("href"))
        try:
            address = urljoin(base, href)
        except ValueError:
            return None
        if not (href and href.isprintable() and self._connection.is_ours(address)):
            return None
        if _text(link.get("method")).upper() != "POST":
            return {"rel": "next", "href": address}
        body = link["body"] if isinstance(link.get("body"), dict) else {}
        if link.get("merge") or not body:
            body = {**(sent if method == "POST" else {}), **body}
        return {"rel": "next", "href": address, "method": "POST", "body": body}


def _links(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    links = answer.get("links")
    return [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []


def _text(value: Any) -> str:
    """A value where a text belongs; empty if it is something else."""
    return value if isinstance(value, str) else ""
