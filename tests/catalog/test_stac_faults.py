"""A STAC server may drip, inflate, refuse large pages or lead elsewhere: the search ends, well."""

import gzip
import itertools
import json
import logging
import subprocess
import sys
import threading
import zlib
from contextlib import suppress
from datetime import date
from functools import partial

import pytest

import lulcmap.system.timed as timed_module
from lulcmap.catalog.stac import client, query
from lulcmap.catalog.stac.client import Connection
from lulcmap.errors import ProviderError
from lulcmap.system import open_session
from tests.catalog.test_stac import (  # the fixtures too
    ABLE,
    BY_QUERY,
    Api,
    by_itself,
    by_merge,
    by_post,
    every,
    ids,
    item,
    look,
    pauses,
    start,
)

__all__ = ["look", "pauses", "start"]


class Raw(Api):
    """Answers searches with what its server's ``says`` yields, for as long as anybody listens."""

    def do_POST(self):  # noqa: N802 - as http.server calls it
        self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.asked.append((self.path, None))
        self.wfile.writelines(self._said())

    def _said(self):
        for piece in self.server.says():
            yield piece
            if self.server.gone.is_set():
                return

    def handle(self):
        with suppress(OSError):  # the client has hung up
            super().handle()


@pytest.fixture
def says(start):
    """Starts a server whose answers to searches are these bytes."""
    servers = []

    def run(pieces):
        server = start()
        server.says, server.gone, server.RequestHandlerClass = pieces, threading.Event(), Raw
        servers.append(server)
        return server

    yield run
    for server in servers:
        server.gone.set()


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def dripped(head, piece):
    """A head, and then a piece again and again, slowly."""

    def drip():
        yield head
        while True:
            threading.Event().wait(0.02)
            yield piece

    return drip


def inflated(*, times=1):
    """A gzip stream without an end, in a stream without an end."""

    def pieces():
        yield OK + b"Content-Encoding: " + b", ".join([b"gzip"] * times) + b"\r\n\r\n"
        packer = zlib.compressobj(wbits=31)
        while True:
            piece = packer.compress(b" " * 2**20)
            for _ in range(times - 1):
                piece = gzip.compress(piece)
            yield piece

    return pieces


@pytest.mark.parametrize(
    "pieces",
    [
        dripped(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        dripped(b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n"),
        dripped(b"", b"H"),
        dripped(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        dripped(OK + b"\r\n", b" "),
        dripped(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        dripped(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        dripped(OK + b"Content-Length: 99999\r\n\r\n", b" "),
    ],
)
def test_a_server_that_drips_for_ever_is_abandoned(says, monkeypatch, pauses, pieces):
    monkeypatch.setattr(timed_module, "HEADERS_S", 0.6)
    monkeypatch.setattr(timed_module, "ANSWER_S", 0.6)
    monkeypatch.setattr(client, "_TRIES", 2)
    server = says(pieces)

    with open_session() as session:
        connection = Connection(server.url, session, pauses.append, lambda: 2 * sum(pauses))
        ask = partial(connection.request, "POST", f"{server.url}/search", {})
        with pytest.raises(ProviderError, match="in time, 2 times in a row") as caught:
            connection.patiently(ask, lambda _: None)
    assert str(caught.value).startswith(f"The catalogue {server.url} failed: it did not answer")


@pytest.mark.parametrize("line", [b"X: 1\r\n", b"X" * 4096])
def test_headers_without_an_end_are_an_error(says, look, monkeypatch, line):
    monkeypatch.setattr(client, "_TRIES", 2)
    server = says(lambda: itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.repeat(line)))

    with pytest.raises(ProviderError, match="the connection broke off, 2 times in a row"):
        look(server)


@pytest.mark.parametrize(
    "pieces",
    [inflated(), lambda: itertools.chain([OK + b"\r\n"], itertools.repeat(b" " * 65536))],
)
def test_an_answer_without_an_end_is_an_error_at_once(says, look, monkeypatch, pauses, pieces):
    monkeypatch.setattr(client, "_MAX_ANSWER_BYTES", 10**6)
    server = says(pieces)

    with pytest.raises(ProviderError, match="its answer has more than 1 MB") as caught:
        look(server)
    assert caught.value.exit_code == 5
    assert server.url in str(caught.value)
    assert pauses == []


def test_what_is_compressed_twice_is_not_inflated(says, look, monkeypatch):
    monkeypatch.setattr(client, "_TRIES", 2)

    with pytest.raises(ProviderError, match="its answers cannot be inflated, 2 times"):
        look(says(inflated(times=2)))


def test_a_compressed_answer_is_read(start, look):
    class Packs(Api):
        def _answer(self, value, *, status=200, headers=()):  # noqa: ARG002
            assert self.headers["Accept-Encoding"] == "gzip, deflate"
            body = gzip.compress(json.dumps(value).encode())
            super()._answer(body, status=status, headers={"Content-Encoding": "gzip"})

    server = start(map(item, range(0, 1500, 40)))
    server.RequestHandlerClass = Packs

    assert ids(look(server)) == every(server)


@pytest.mark.parametrize("where", ["landing", "search"])
@pytest.mark.parametrize(
    "text", [b'{"a":' * 99999, b'{"features": [' + b"[" * 9999 + b"]" * 9999 + b"]}"]
)
def test_json_nested_without_an_end_is_an_error(start, look, pauses, where, text):
    server = start([item(0)], **{where: itertools.repeat((200, (), text))})

    with pytest.raises(ProviderError, match="the JSON of its answer is nested too deeply"):
        look(server)
    assert pauses == []


def test_numbers_of_thousands_of_digits_are_an_error(start, look):
    server = start(search=itertools.repeat((200, (), b'{"numberMatched": ' + b"9" * 5000 + b"}")))

    with pytest.raises(ProviderError, match="not a JSON object"):
        look(server)


def nest(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


ODD = [nest(500), {}, 1.5, float("nan"), -1, True, None, "", "\ud800", "a\x00b", 10**4000]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:9])
def test_odd_values_of_an_answer_are_no_bug(start, look, odd):
    """Of everything that the search itself reads."""
    link = {"href": odd, "method": odd, "body": odd, "merge": odd}
    server = start(map(item, range(60)), cap=20, link=lambda *_: link)

    class Odd(Api):
        def _page(self, asked):
            page = super()._page(asked)
            features = [{**each, "links": odd} for each in page["features"]] + [{"id": odd}]
            counts = {"numberMatched": odd, "context": {"matched": odd}}
            return {
                **page,
                **counts,
                "features": features,
                "links": [odd, {"rel": odd}, *page["links"]],
            }

        def _answer(self, value, **more):
            if "conformsTo" in value:
                value = {**value, "conformsTo": [*value["conformsTo"], odd], "id": odd}
                value |= {"stac_version": odd, "type": odd, "stac_extensions": [odd], "title": odd}
                value["links"] = [odd, {"rel": odd, "href": odd}, {"href": odd}, *value["links"]]
            super()._answer(value, **more)

    server.RequestHandlerClass = Odd

    assert set(ids(look(server))) >= set(every(server))


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", ["application/geo+json", "application/json; charset=utf-8"])
def test_json_with_a_byte_order_mark_is_read(start, look, encoding, kind):
    class Marked(Api):
        def _answer(self, value, **more):
            text = json.dumps(value, ensure_ascii=False)
            super()._answer(text.encode(encoding), headers={"Content-Type": kind}, **more)

    server = start(map(item, range(250)), link=by_post)
    for entry in server.items:
        entry["id"] += "_Zürich"
    server.RequestHandlerClass = Marked

    assert ids(look(server)) == every(server)


class Hangs(Api):
    """May hang up in the middle of its work."""

    def handle(self):
        with suppress(ConnectionAbortedError):
            super().handle()


class Refuses(Hangs):
    """Refuses to send more than its server's ``most`` items, or bytes, at once."""

    def _page(self, asked):
        page = super()._page(asked)
        if self.server.by_size:
            weight = sum(entry.get("weight", 1) for entry in page["features"])
        else:
            weight = int(asked["limit"])
        if weight > self.server.most:
            self._answer(b"<html>too much", status=self.server.status)
            raise ConnectionAbortedError
        return page


def refusing(start, status, most, *, by_size=False, **more):
    server = start(map(item, range(400)), **more)
    server.status, server.most, server.by_size = status, most, by_size
    server.RequestHandlerClass = Refuses
    return server


@pytest.mark.parametrize("status", [400, 413, 422, 500, 502, 503, 504])
@pytest.mark.parametrize("most", [60, 20, 5])
@pytest.mark.parametrize(
    ("claims", "does", "link"), [((), (), by_post), (*ABLE[1], None), (*ABLE[2], by_merge)]
)
def test_a_page_limit_that_the_server_refuses_is_lowered(
    start, look, status, most, claims, does, link
):
    server = refusing(start, status, most, claims=claims, does=does, link=link)
    found = look(server)

    assert ids(found) == every(server)
    assert found.notes == ()
    limits = [int(asked["limit"]) for _, asked in server.asked]
    assert sum(limit > most for limit in limits) <= 8  # it is learnt once


def test_a_page_limit_that_the_server_refuses_by_get_is_lowered(start, look):
    server = refusing(start, 400, 30, methods=("GET",))

    assert ids(look(server)) == every(server)


@pytest.mark.parametrize("status", [413, 500, 502])
@pytest.mark.parametrize(
    ("claims", "does", "link"), [((), (), by_post), (*ABLE[1], None), (*ABLE[2], by_merge)]
)
def test_a_page_that_is_too_large_in_the_middle_is_asked_for_in_parts(
    start, look, status, claims, does, link
):
    server = refusing(start, status, 110, by_size=True, claims=claims, does=does, link=link)
    for entry in server.items[150:260]:
        entry["weight"] = 10
    found = look(server)

    assert ids(found) == every(server)
    assert found.notes == ()


def test_an_answer_too_large_for_us_is_asked_for_in_smaller_pages(start, look, monkeypatch):
    monkeypatch.setattr(client, "_MAX_ANSWER_BYTES", 10_000)
    server = start(map(item, range(300)), link=by_post)

    assert ids(look(server)) == every(server)


def test_a_limit_is_not_lowered_for_what_is_refused_for_another_reason(start, look, pauses):
    class NoOrder(Hangs):
        def _page(self, asked):
            if "sortby" in asked:
                self._answer(b"", status=400)
                raise ConnectionAbortedError
            return super()._page(asked)

    server = start(map(item, range(400)), claims=BY_QUERY, link=by_post)
    server.RequestHandlerClass = NoOrder

    assert ids(look(server)) == every(server)
    bodies = [asked for _, asked in server.asked]
    assert {body["limit"] for body in bodies if "sortby" not in body} == {100}
    assert sum("sortby" in body for body in bodies) == 6
    assert pauses == []


def test_a_limit_once_accepted_is_not_taken_for_the_reason(start, look):
    server = start(map(item, range(250)), link=by_post, search=[None, None, (400, (), b"")])

    assert ids(look(server)) == every(server)
    assert {asked["limit"] for _, asked in server.asked} == {100}


@pytest.mark.parametrize("fault", [(500, (), b""), (502, (), b""), (200, (), b'{"features": [')])
@pytest.mark.parametrize("times", [1, 3, 7])
def test_a_limit_is_not_lowered_for_a_server_that_was_down(start, look, fault, times):
    server = start(map(item, range(250)), link=by_post, search=[None, *[fault] * times])
    period = (date(2024, 4, 1), date(2024, 5, 31))
    found = look(server, period=period, workers=1)

    assert ids(found) == every(server)
    assert [asked["limit"] for _, asked in server.asked][-3:] == [100] * 3


def test_a_next_page_that_fails_is_no_reason_to_give_up(start, look):
    faults = [None, *[(500, (), b"")] * 5]
    server = start(map(item, range(250)), link=by_post, search=faults)

    assert ids(look(server)) == every(server)


ELSEWHERE = [
    "http://127.0.0.1:{other}/stac/search",
    "//127.0.0.1:{other}/stac/search",
    "http://localhost:{port}/stac/search",
    "https://127.0.0.1:{port}/stac/search",
    "http://127.0.0.1:{port}@example.com/stac/search",
    "http://169.254.169.254/latest/meta-data",
    "http://[::1]:{port}/stac/search",
    "http://[bad/stac/search",
    "http://127.0.0.1:bad/",
    "file:///etc/hostname",
    "ftp://127.0.0.1/x",
    "data:application/json,{{}}",
]


@pytest.mark.parametrize("href", ELSEWHERE)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_next_link_that_leads_elsewhere_is_not_followed(start, look, href, method):
    other = start(map(item, range(1500, 1600)))

    def away(server, asked, last):
        address = href.format(port=server.server_port, other=other.server_port)
        return {"href": address, "method": method, "body": {**asked, "token": last}}

    server = start(map(item, range(0, 1500, 12)), link=away)

    assert ids(look(server)) == every(server)
    assert other.asked == []


def test_a_redirect_of_a_search_to_another_host_is_not_followed(start, look):
    other = start([item(1)])
    away = (307, {"Location": f"{other.url}/search"}, b"")
    server = start([item(0)], search=[away])

    with pytest.raises(ProviderError, match=r"HTTP 307\. It has moved to another host"):
        look(server)
    assert other.asked == []


@pytest.mark.parametrize(
    "href", ["search?token={last}", "/stac/search?token={last}", "?token={last}"]
)
def test_a_relative_next_link_is_followed(start, look, href):
    server = start(
        map(item, range(390)),
        link=lambda *asked: {"href": href.format(last=asked[-1]), "method": "post"},
    )

    assert ids(look(server)) == every(server)
    assert len(server.asked) == 4


def test_headers_of_a_next_link_are_not_sent(start, look):
    seen = []

    class Listens(Api):
        def do_POST(self):  # noqa: N802
            seen.append(dict(self.headers))
            super().do_POST()

    def link(server, asked, last):
        return {**by_post(server, asked, last), "headers": {"Host": "example.com", "X-Odd": "1"}}

    server = start(map(item, range(150)), link=link)
    server.RequestHandlerClass = Listens
    look(server)

    assert len(seen) == 2
    assert all("X-Odd" not in headers for headers in seen)
    assert {headers["Host"] for headers in seen} == {f"127.0.0.1:{server.server_port}"}


def test_the_search_is_where_the_api_is_and_not_where_its_link_leads(start, look):
    """An API behind a proxy often names another address; its standard fixes the path."""
    other = start([item(1)])
    server = start([item(0)])

    class Leads(Api):
        def _answer(self, value, **more):
            if "conformsTo" in value:
                links = [{"rel": rel, "href": other.url} for rel in ("self", "root", "data")]
                search = {"rel": "search", "href": f"{other.url}/search", "method": "POST"}
                value["links"] = [*links, {**search, "type": "application/geo+json"}]
            super()._answer(value, **more)

    server.RequestHandlerClass = Leads

    assert ids(look(server)) == every(server)
    assert other.asked == []


@pytest.mark.parametrize("bound", ["_MAX_REQUESTS", "_MAX_CHARACTERS"])
@pytest.mark.parametrize("link", [by_post, by_itself])
def test_a_server_that_never_ends_is_an_error(start, look, monkeypatch, bound, link):
    monkeypatch.setattr(query, bound, {"_MAX_REQUESTS": 20, "_MAX_CHARACTERS": 200_000}[bound])
    number = itertools.count()

    class Endless(Api):
        def _page(self, asked):
            page = super()._page(asked)
            page["features"] = [item(next(number)) for _ in range(100)]
            return page

    server = start(map(item, range(1600)), link=link)
    server.RequestHandlerClass = Endless

    with pytest.raises(ProviderError, match="a query of one cell takes more than"):
        look(server)


@pytest.mark.parametrize("place", ["url", "link"])
def test_a_key_in_an_address_is_logged_nowhere(start, look, caplog, monkeypatch, place):
    def link(server, asked, last):
        return {**by_post(server, asked, last), "href": f"{server.url}/search?key=secret"}

    server = start(map(item, range(250)), link=link, search=[None, (503, (), b"")])
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.WARNING)  # as the command line does
    look(server, url=f"{server.url}?key=secret" if place == "url" else None)

    assert len(server.asked) == 4
    assert any("secret" in path for path, _ in server.asked)
    assert "HTTP 503" in caplog.text
    assert "secret" not in caplog.text


def test_a_catalogue_that_does_not_exist_is_an_error_that_names_it(start, look, monkeypatch):
    monkeypatch.setattr(client, "_TRIES", 2)
    url = "http://nowhere.invalid/stac"

    with pytest.raises(ProviderError, match=rf"catalogue {url} failed: its host name is unknown"):
        look(None, url=url)


def test_files_are_searched_without_loading_the_client(tmp_path):
    path = tmp_path / "items.json"
    path.write_text('{"type": "FeatureCollection", "features": []}')
    code = (
        "import sys, shapely, datetime; from lulcmap.catalog import find_scenes; "
        "day = datetime.date(2024, 1, 1); area = shapely.MultiPolygon([shapely.box(0, 0, 1, 1)]);"
        f"find_scenes(area, s2_period=(day, day), s1_period=(day, day), catalog={str(path)!r}, "
        "s1=True); print(*{'pystac_client', 'pystac', 'requests'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout.split() == []
