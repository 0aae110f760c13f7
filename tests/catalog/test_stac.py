"""Nothing is left out silently, whatever a STAC API does: real servers on the loopback."""

import itertools
import json
import threading
import time
from datetime import date, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import shapely

from lulcmap.catalog.stac import client, query
from lulcmap.catalog.stac.query import query_items
from lulcmap.errors import ProviderError

AREA = shapely.MultiPolygon([shapely.box(6.2, 49.2, 8.2, 51.2)])
MAY = (date(2024, 5, 1), date(2024, 5, 31))
SEARCH = "https://api.stacspec.org/v1.0.0/item-search"
CQL2 = "http://www.opengis.net/spec/cql2/1.0/conf/cql2-json"
BY_QUERY = (f"{SEARCH}#sort", f"{SEARCH}#query", f"{SEARCH}#fields")
BY_FILTER = (f"{SEARCH}#sort", f"{SEARCH}#filter", CQL2)


def item(number, *, moment=None, box=(6.0, 49.0, 7.0, 50.0)):
    """The later its number, the earlier its name: servers that do not sort are seen."""
    start = datetime(2024, 5, 1) + timedelta(minutes=number * 44640 / 1600)
    return {
        "id": f"S2_{9999 - number}",
        "collection": "s2",
        "bbox": list(box),
        "properties": {"datetime": f"{(moment or start).isoformat(timespec='seconds')}Z"},
        "links": [{"rel": "self", "href": "https://example.com"}],
    }


class Api(BaseHTTPRequestHandler):
    """A STAC API that does what its server's ``does`` says, whatever it claims."""

    order = staticmethod(str)

    def do_GET(self):
        if self.path.startswith("/stac/search"):
            fields = {key: value[0] for key, value in parse_qs(urlsplit(self.path).query).items()}
            box = [float(edge) for edge in fields["bbox"].split(",")]
            self._search({**fields, "collections": fields["collections"].split(","), "bbox": box})
        elif not self._fails("landing"):
            methods = [{"method": each} if each else {} for each in self.server.methods]
            links = [{"rel": "search", "href": "/elsewhere", **method} for method in methods]
            conforms = [SEARCH, *self.server.claims]
            self._answer({"stac_version": "1.0.0", "conformsTo": conforms, "links": links})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.no_post:
            with self.server.lock:
                self.server.asked.append((self.path, asked))
            self._answer(b"<html>", status=self.server.no_post)
        else:
            self._search(asked)

    def _search(self, asked):
        server = self.server
        with server.lock:
            server.asked.append((self.path, asked))
            server.busy += 1
            server.busiest = max(server.busiest, server.busy)
        try:
            if server.meeting:
                server.meeting.wait(10)
            if not self._fails("search"):
                self._answer(self._page(asked))
        finally:
            with server.lock:
                server.busy -= 1

    def _page(self, asked):
        server, matching = self.server, [i for i in self.server.items if self._matches(i, asked)]
        if "sort" in server.does and "sortby" in asked:
            downwards = asked["sortby"] == [{"field": "id", "direction": "desc"}]
            matching.sort(key=lambda entry: self.order(entry["id"]), reverse=downwards)
        token = parse_qs(urlsplit(self.path).query).get("token", [0])[0]
        first = int(asked.get("token", token))
        last = first + min(server.cap, int(asked["limit"]))
        page = {"type": "FeatureCollection", "features": matching[first:last], "links": []}
        if asked.get("fields") == {"exclude": ["links"]}:
            page["features"] = [{**i, "links": []} for i in page["features"]]
        if server.matched:
            page |= server.matched(len(matching))
        if server.link and last < len(matching):
            page["links"] = [{"rel": "self"}, {"rel": "next", **server.link(server, asked, last)}]
        return page

    def _matches(self, entry, asked):
        start, end = asked["datetime"].split("/")
        (west, south, east, north), (left, bottom, right, top) = asked["bbox"], entry["bbox"]
        found = (
            entry["collection"] in asked["collections"]
            and start <= entry["properties"]["datetime"] <= end
            and (west <= right and left <= east and south <= top and bottom <= north)
        )
        if "query" in self.server.does and "query" in asked:
            found = found and self.order(entry["id"]) >= self.order(asked["query"]["id"]["gte"])
        if "filter" in self.server.does and "filter" in asked:
            assert asked["filter-lang"] == "cql2-json"
            assert asked["filter"]["op"] == ">="
            found = found and self.order(entry["id"]) >= self.order(asked["filter"]["args"][1])
        return found and not ("nothing by id" in self.server.does and "query" in asked)

    def _fails(self, where):
        faults = self.server.faults[where]
        fault = next(faults, None)
        if fault is None:
            return False
        status, headers, body = fault
        self._answer(body, status=status, headers=headers)
        return True

    def _answer(self, value, *, status=200, headers=()):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if "Content-Length" not in dict(headers):
            self.send_header("Content-Length", str(len(body)))
        for name, text in dict(headers).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def start(socket_enabled):
    """Starts a server that holds ``items``; it has an ``url`` and what it was ``asked``."""
    running = []

    def run(items=(), *, claims=(), does=(), cap=100, link=None, matched=None, **more):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
        server.daemon_threads = True
        server.items, server.claims, server.does = list(items), claims, set(does)
        server.cap, server.link, server.matched = cap, link, matched
        server.methods = more.get("methods", ("GET", "POST"))
        server.meeting, server.no_post = more.get("meeting"), more.get("no_post")
        server.faults = {where: iter(more.get(where, ())) for where in ("landing", "search")}
        server.asked, server.lock, server.busy, server.busiest = [], threading.Lock(), 0, 0
        server.root = f"http://127.0.0.1:{server.server_port}"
        server.url = f"{server.root}/stac"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        running.append((server, thread))
        return server

    yield run
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def pauses():
    """Every pause that was made, none of which took any time."""
    return []


@pytest.fixture
def look(pauses):
    def now():  # a pause takes a little longer than was asked
        return sum(pauses) + 1e-6 * len(pauses)

    def run(server, *, area=AREA, period=MAY, url=None, **more):
        return query_items(
            url or server.url, "s2", area, period, wait=pauses.append, now=now, **more
        )

    return run


def ids(asked):
    return [entry["id"] for entry in asked.items]


def every(server):
    return sorted({entry["id"] for entry in server.items})


def by_post(server, asked, last):
    return {"href": f"{server.url}/search", "method": "POST", "body": {**asked, "token": last}}


def by_merge(server, asked, last):
    body = {"token": last}
    return {"href": "/stac/search", "method": "POST", "body": body, "merge": True}


def by_address(server, asked, last):
    return {"href": f"{server.url}/search?token={last}", "method": "POST"}


def by_itself(server, asked, last):
    return {"href": f"{server.url}/search", "method": "POST", "body": asked}


def to_another_host(server, asked, last):
    return {**by_post(server, asked, last), "href": f"{server.other.url}/search"}


def to_nowhere(server, asked, last):
    return {**by_post(server, asked, last), "href": f"{server.root}/search/missing"}


class Nameless(Api):
    """Some of its items have no id; as a database may, it puts them first."""

    order = staticmethod(lambda name: name or "")


ABLE = [
    ((), ()),
    (BY_QUERY, ("sort", "query")),
    (BY_FILTER, ("sort", "filter")),
    ((*BY_QUERY, *BY_FILTER), ()),  # claims all, and ignores it
    (BY_QUERY, ("query",)),  # does not sort
    (BY_QUERY, ("sort",)),  # ignores the condition
    (BY_QUERY, ("sort", "nothing by id")),
    ((*BY_QUERY, *BY_FILTER), ("sort", "filter", "nothing by id")),
]


@pytest.mark.parametrize(("claims", "does"), ABLE)
def test_all_of_1500_items_are_found_though_nothing_leads_to_the_next_page(
    start, look, claims, does
):
    server = start(map(item, range(1500)), claims=claims, does=does)
    found = look(server)

    assert ids(found) == every(server)
    assert found.notes == ()
    assert len(server.asked) < 100


@pytest.mark.parametrize(("claims", "does"), ABLE)
def test_a_month_of_two_items_does_not_hide_the_rest_of_the_next(start, look, claims, does):
    april = [item(9000 + n, moment=datetime(2024, 4, n)) for n in (9, 8)]
    server = start([*april, *map(item, range(0, 1500, 5))], claims=claims, does=does)
    found = look(server, period=(date(2024, 4, 1), date(2024, 5, 31)), workers=1)

    assert ids(found) == every(server)


@pytest.mark.parametrize("link", [by_post, by_merge, by_address, by_itself])
@pytest.mark.parametrize(("claims", "does"), ABLE)
def test_links_that_work_or_do_not_change_nothing(start, look, claims, does, link):
    server = start(map(item, range(0, 1500, 5)), claims=claims, does=does, link=link)
    found = look(server)

    assert ids(found) == every(server)
    assert found.notes == ()
    assert len(server.asked) < 30


def test_a_server_without_next_links_that_pages_by_id_is_asked_no_more_than_needed(start, look):
    server = start(map(item, range(1500)), claims=BY_QUERY, does=("sort", "query"))
    look(server)

    bodies = [body for _, body in server.asked]
    assert len(bodies) == 18  # pages that share one item, the last but that one empty, and a proof
    assert [body["limit"] for body in bodies] == [100] * 17 + [1]
    assert all(body["sortby"] == [{"field": "id", "direction": "asc"}] for body in bodies[:17])
    assert "query" not in bodies[0]
    assert bodies[1]["query"] == {"id": {"gte": sorted(every(server))[99]}}


@pytest.mark.parametrize("cap", [10, 37])
def test_a_server_that_makes_its_pages_shorter_than_asked_is_read_in_full(start, look, cap):
    server = start(map(item, range(0, 1500, 7)), cap=cap)

    assert ids(look(server)) == every(server)


def test_links_alone_are_followed_to_the_end_and_no_further(start, look):
    server = start(map(item, range(0, 1500, 6)), link=by_post)

    assert ids(look(server)) == every(server)
    assert len(server.asked) == 3


@pytest.mark.parametrize("cap", [8, 100])
@pytest.mark.parametrize(("claims", "does"), ABLE[:2])
def test_a_next_link_to_another_host_is_not_followed(start, look, claims, does, cap):
    server = start(
        map(item, range(0, 1500, 12)), claims=claims, does=does, cap=cap, link=to_another_host
    )
    server.other = start(map(item, range(1500, 1600)))

    assert ids(look(server)) == every(server)
    assert server.other.asked == []


def test_the_order_may_be_the_server_s_own(start, look, monkeypatch):
    server = start(map(item, range(300)), claims=BY_QUERY, does=("sort", "query"))
    for n, entry in enumerate(server.items):
        entry["id"] = f"{'aB'[n % 2]}{n:04}"
    monkeypatch.setattr(Api, "order", staticmethod(str.casefold))

    assert ids(look(server)) == every(server)
    assert len(server.asked) == 6


@pytest.mark.parametrize("place", [0, 50, 99])
def test_a_first_page_that_ends_with_the_last_id_by_chance_is_seen_through(start, look, place):
    items = sorted(map(item, range(300)), key=lambda entry: entry["id"])
    first, rest = [*items[1:99], items[-1]], items[99:-1]
    server = start(
        [*first[:place], items[0], *first[place:], *rest], claims=BY_QUERY, does=("query",)
    )

    assert ids(look(server)) == every(server)


def test_a_next_link_that_leads_nowhere_does_no_harm(start, look):
    for claims, does in ABLE[:2]:
        server = start(map(item, range(400)), claims=claims, does=does, link=to_nowhere)

        class Missing(Api):
            def do_POST(self):
                if self.path == "/search/missing":
                    self._answer(b"<html>Not found", status=404)
                else:
                    super().do_POST()

        server.RequestHandlerClass = Missing
        assert ids(look(server)) == every(server)


def test_items_of_one_second_are_told_apart_by_place(start, look):
    moment = datetime(2024, 5, 9, 10, 30)
    boxes = [(6.2 + i / 10, 49.2, 6.25 + i / 10, 51.0) for i in range(20)]
    pairs = itertools.product(range(9), boxes)
    items = [item(n, moment=moment, box=box) for n, (_, box) in enumerate(pairs)]
    server = start(items)
    found = look(server)

    assert ids(found) == every(server)
    assert found.notes == ()


def test_what_cannot_be_told_apart_is_reported(start, look):
    server = start(
        item(n, moment=datetime(2024, 5, 9, 10, 30), box=(0, 0, 60, 60)) for n in range(150)
    )
    found = look(server)

    assert len(found.items) == 100
    assert found.notes == (
        f"Items of s2 from the catalogue {server.url} may be missing in 1 of 1 queries (of "
        "one cell and a month or less): the server's pages are full and have no next page.",
    )


def test_a_server_that_does_not_narrow_its_answers_ends_in_an_error(start, look, monkeypatch):
    monkeypatch.setattr(query, "_MAX_REQUESTS", 40)
    server = start(map(item, range(1500)), cap=10)

    with pytest.raises(ProviderError, match="more than 40 requests"):
        look(server)


@pytest.mark.parametrize(
    "count", [lambda n: {"numberMatched": n + 12}, lambda n: {"context": {"matched": n + 12}}]
)
@pytest.mark.parametrize(("claims", "does"), ABLE[:2])
def test_fewer_items_than_the_server_counts_are_searched_again_and_reported(
    start, look, count, claims, does
):
    server = start(
        map(item, range(0, 1500, 50)), claims=claims, does=does, cap=99, matched=count, link=by_post
    )
    found = look(server)

    assert ids(found) == every(server)
    assert found.notes == (
        f"The server counts 42 items of s2 from the catalogue {server.url} and gave 30, in 1 of 1 "
        "queries (of one cell and a month or less). Its count may be an estimate.",
    )
    assert {body["datetime"] for _, body in server.asked} >= {
        "2024-05-01T00:00:00Z/2024-05-31T23:59:59.999999Z",
        "2024-05-01T00:00:00Z/2024-05-16T12:00:00Z",
        "2024-05-16T12:00:00Z/2024-05-31T23:59:59.999999Z",
    }


def test_a_count_that_agrees_costs_nothing(start, look):
    server = start(map(item, range(5)), matched=lambda n: {"numberMatched": n})

    assert look(server).notes == ()
    assert len(server.asked) == 1


def test_an_item_of_two_cells_or_two_months_counts_once(start, look):
    area = shapely.MultiPolygon([shapely.box(6, 49, 8, 51), shapely.box(9.5, 51.5, 12, 54)])
    server = start([item(0, box=(6, 49, 15, 54)), item(1, box=(6, 49, 15, 54))])
    server.items[0]["properties"]["datetime"] = "2024-04-30T12:00:00Z"
    found = look(server, area=area, period=(date(2024, 4, 15), date(2024, 5, 20)))

    assert ids(found) == every(server)
    assert len(server.asked) == 4
    assert {body["datetime"] for _, body in server.asked} == {
        "2024-04-15T00:00:00Z/2024-04-30T23:59:59.999999Z",
        "2024-05-01T00:00:00Z/2024-05-20T23:59:59.999999Z",
    }


def test_a_country_is_cut_into_cells_that_cover_it(start, look):
    triangle = shapely.Polygon([(-9.5, 36.1), (4.3, 42.5), (-9.5, 44.0)])
    islands = shapely.box(-18.2, 27.6, -13.3, 29.3)
    server = start()
    look(server, area=shapely.MultiPolygon([triangle, islands]))

    cells = [shapely.box(*body["bbox"]) for _, body in server.asked]
    for cell in cells:
        west, south, east, north = cell.bounds
        assert max(east - west, north - south) <= 16
        assert shapely.intersects(cell, triangle) or shapely.intersects(cell, islands)
    rest = shapely.union(triangle, islands).difference(shapely.union_all(cells).buffer(1e-9))
    assert rest.is_empty
    assert len({cell.wkt for cell in cells}) > 3
    asked = [(*body["bbox"], body["datetime"]) for _, body in server.asked]
    assert len(asked) == len(set(asked))


def test_near_parts_are_asked_for_together_and_far_ones_apart(start, look):
    parts = [(6.0, 49.0, 6.2, 49.2), (7.0, 49.0, 7.2, 49.2), (55.2, -21.4, 55.8, -20.9)]
    server = start()
    look(server, area=shapely.MultiPolygon([shapely.box(*part) for part in parts]))

    assert sorted(body["bbox"] for _, body in server.asked) == [
        [6.0, 49.0, 7.2, 49.2],
        [55.2, -21.4, 55.8, -20.9],
    ]


def test_links_are_left_out_where_the_server_can(start, look):
    able, unable = start([item(0)], claims=BY_QUERY, does=BY_QUERY), start([item(0)])

    assert look(able).items[0]["links"] == []
    assert look(unable).items == (item(0),)


@pytest.mark.parametrize("methods", [("GET",), (None,), ("GET", None)])
def test_a_server_that_searches_by_get_only_is_searched_by_get(start, look, methods):
    server = start(map(item, range(250)), methods=methods, claims=BY_QUERY)

    assert ids(look(server)) == every(server)
    assert all(path.startswith("/stac/search?") for path, _ in server.asked)


@pytest.mark.parametrize("methods", [("GET", "POST"), (None, "POST"), ()])
def test_a_server_that_searches_by_post_too_is_searched_by_post(start, look, methods):
    server = start([item(0)], methods=methods)

    assert ids(look(server)) == every(server)
    assert [path for path, _ in server.asked] == ["/stac/search"]


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize(("claims", "does"), ABLE[:2])
def test_a_server_that_does_not_take_post_after_all_is_asked_by_get(
    start, look, status, claims, does
):
    server = start(map(item, range(0, 1500, 9)), claims=claims, does=does, no_post=status)
    found = look(server, period=(date(2024, 4, 1), date(2024, 5, 31)), workers=1)

    assert ids(found) == every(server)
    posts = [path for path, _ in server.asked if path == "/stac/search"]
    assert len(posts) == 1  # for both months
    gets = [fields for path, fields in server.asked if path != "/stac/search"]
    assert all(fields.keys() == {"collections", "limit", "bbox", "datetime"} for fields in gets)


def test_a_server_that_has_neither_search_is_refused(start, look):
    server = start(no_post=405, search=itertools.repeat((404, (), b"")))

    with pytest.raises(ProviderError, match=r"HTTP 404\. It refused the request"):
        look(server)


@pytest.mark.parametrize(("claims", "does"), ABLE)
@pytest.mark.parametrize("link", [None, by_post])
def test_items_without_an_id_are_counted_and_left_out(start, look, claims, does, link):
    server = start(map(item, range(0, 1500, 5)), claims=claims, does=does, link=link)
    for n, entry in enumerate(server.items[7:140]):
        entry["id"] = "" if n % 2 else None
    named = {entry["id"] for entry in server.items} - {None, ""}
    server.RequestHandlerClass = Nameless
    found = look(server)

    assert set(ids(found)) == named
    assert found.notes == (
        f"Items of s2 from the catalogue {server.url} without an id were left out: 133.",
    )
    assert "no id" not in json.dumps(server.asked)


def test_the_query_of_the_address_is_kept_and_neither_it_nor_a_password_is_shown(start, look):
    server = start([item(0)], search=[(403, (), b"")])
    address = f"{server.url}/?key=secret".replace("//", "//user:secret@")

    with pytest.raises(ProviderError, match=r"/stac/ failed: HTTP 403\. ") as caught:
        look(server, url=address)
    assert "secret" not in str(caught.value)
    assert server.asked[0][0] == "/stac/search?key=secret"


@pytest.mark.parametrize("status", [400, 404])
def test_a_condition_that_the_server_refuses_is_dropped(start, look, status):
    server = start(
        map(item, range(250)),
        claims=BY_QUERY,
        does=("sort", "query"),
        search=[None, (status, (), b"")],
    )

    assert ids(look(server)) == every(server)
    assert {path for path, _ in server.asked} == {"/stac/search"}


def in_seconds(number):
    """A date so many seconds from now."""
    return formatdate(time.time() + number, usegmt=True)


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("7", 7, 8),
        ("300", 300, 301),
        (200, 100, 201),
        ("0", 1, 2),
        (-3600, 1, 2),
        ("soon", 1, 2),
        ("-5", 1, 2),
        ("\xb2", 1, 2),
        ("Mon, 1 Jan 2024 00:00:00 +99999999999999", 1, 2),
        (None, 1, 2),
    ],
)
@pytest.mark.parametrize("status", [429, 500])
def test_a_pause_is_as_long_as_the_server_asks_and_no_shorter_than_its_own(
    start, look, pauses, status, text, least, most
):
    if isinstance(text, int):
        text = in_seconds(text)
    fault = (status, {"Retry-After": text} if text else (), b"<html>")
    server = start([item(0)], search=[fault])

    assert ids(look(server)) == every(server)
    (pause,) = pauses
    assert least <= pause <= most


@pytest.mark.parametrize(
    ("text", "said"),
    [("301", "6 minutes"), ("86400", "1440 minutes"), ("9" * 500, r"\d+ minutes")],
)
def test_a_server_that_asks_for_a_long_pause_is_an_error_at_once(start, look, pauses, text, said):
    server = start([item(0)], search=[(503, {"Retry-After": text}, b"")])

    said = rf"HTTP 503, and it asks for a pause of {said}\. Try again after that\.$"
    with pytest.raises(ProviderError, match=said):
        look(server)
    assert pauses == []


def test_pauses_double_up_to_a_minute_and_take_three_in_all(start, look, pauses):
    server = start([item(0)], search=[(429, {"Retry-After": "0"}, b"")] * 8)

    assert ids(look(server)) == every(server)
    assert [int(pause) for pause in pauses] == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize("cut", [(200, {"Content-Length": "5000"}, b"{"), (200, (), b"{")])
def test_answers_cut_short_count_as_busy(start, look, cut):
    server = start([item(0)], search=itertools.cycle([(503, (), b""), cut]))

    with pytest.raises(ProviderError, match="HTTP 503, 9 times in a row"):
        look(server)


def test_when_one_thread_must_wait_the_others_wait_before_their_next_request(start):
    told, both, clock, pauses = threading.Event(), threading.Barrier(2), [0.0], []

    class TellsFirst(Api):
        def _page(self, asked):
            assert told.wait(10)
            return super()._page(asked)

    def wait(seconds):
        told.set()
        both.wait(10)
        pauses.append(seconds)
        clock[0] = 102

    server = start([item(0)], search=[(429, {"Retry-After": "100"}, b"")])
    server.RequestHandlerClass = TellsFirst
    period = (date(2024, 1, 1), date(2024, 4, 30))
    query_items(server.url, "s2", AREA, period, workers=2, wait=wait, now=lambda: clock[0])

    one, other = pauses
    assert 100 <= one == other <= 101
    assert len(server.asked) == 5


@pytest.mark.parametrize(
    ("where", "fault", "said"),
    [
        ("landing", (503, (), b"<html>busy"), "HTTP 503, 9 times in a row"),
        ("search", (503, {"Retry-After": "3"}, b"<html>busy"), "HTTP 503, 9 times in a row"),
        ("search", (429, (), b""), "HTTP 429, 9 times in a row"),
        ("search", (200, (), b'{"features": ['), "its answers are cut short, 9 times in a row"),
    ],
)
def test_a_server_that_stays_down_is_one_line(start, look, pauses, where, fault, said):
    server = start([item(0)], **{where: itertools.repeat(fault)})

    with pytest.raises(ProviderError, match=said) as caught:
        look(server, workers=1)
    assert str(caught.value).startswith(f"The catalogue {server.url} failed: ")
    assert "\n" not in str(caught.value)
    assert "html" not in str(caught.value)
    assert caught.value.exit_code == 5
    assert len(pauses) == 8
    assert max(pauses) <= 61


@pytest.mark.parametrize(
    ("where", "fault", "said"),
    [
        ("landing", (200, (), b"<!DOCTYPE html>"), "not a JSON object"),
        ("landing", (200, (), b"[]"), "not a JSON object"),
        ("landing", (200, (), b'{"type": "Catalog"}'), "no STAC API with item search"),
        ("landing", (404, (), b"<html>"), "HTTP 404"),
        ("landing", (301, {"Location": "https://example.com/?key=secret"}, b""), "HTTP 301.*moved"),
        ("landing", (302, {"Location": "/stac"}, b""), "it redirects in circles"),
        ("search", (400, (), b"<html>secret"), "HTTP 400"),
        ("search", (200, (), b"<html>secret"), "not a JSON object"),
        ("search", (200, (), b'{"features": [1]}'), "not a list of items"),
        ("search", (200, (), b'{"type": "Catalog"}'), "not a list of items"),
    ],
)
def test_what_is_not_a_stac_api_is_refused_at_once(start, look, pauses, where, fault, said):
    server = start([item(0)], **{where: itertools.repeat(fault)})

    with pytest.raises(ProviderError, match=said) as caught:
        look(server)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert pauses == []


@pytest.mark.parametrize(
    "fault",
    [
        (200, (), b'{"type": "FeatureCollection", "feat'),
        (200, (), b""),
        (200, {"Content-Length": "5000"}, b'{"features": []}'),
        (408, (), b""),
        (502, (), b"<html>"),
    ],
)
def test_an_answer_that_goes_wrong_once_is_asked_for_again(start, look, pauses, fault):
    server = start([item(0)], search=[fault])

    assert ids(look(server)) == every(server)
    assert len(pauses) == 1


def test_a_redirect_on_the_same_host_is_followed(start, look):
    server = start([item(0)], landing=[(307, {"Location": "/stac/"}, b"")])

    assert ids(look(server)) == every(server)


def test_a_refused_connection_is_one_line(start, look, pauses):
    server = start()
    server.shutdown()
    server.server_close()

    with pytest.raises(ProviderError, match="connection was refused, 6 times") as caught:
        look(server)
    assert "\n" not in str(caught.value)
    assert len(pauses) == 5


def test_a_server_that_does_not_answer_is_abandoned(start, look, monkeypatch):
    monkeypatch.setattr(client, "_TIMEOUTS_S", (0.05, 0.05))
    monkeypatch.setattr(client, "_TRIES", 2)
    server = start([item(0)], meeting=threading.Event())

    with pytest.raises(ProviderError, match="did not answer in time, 2 times in a row"):
        look(server)
    server.meeting.set()


def test_an_invalid_url_is_refused(look):
    with pytest.raises(ProviderError, match="its address cannot be used"):
        look(None, url="http://127.0.0.1:999999/stac")


def test_no_more_queries_run_at_a_time_than_allowed(start, look):
    server = start([item(0)], meeting=threading.Barrier(2))
    look(server, period=(date(2024, 1, 1), date(2024, 6, 30)), workers=2)

    assert len(server.asked) == 6
    assert server.busiest == 2  # the server lets each wait for another


class OneRefused(Api):
    """Refuses one month and has no time for the others."""

    refused = "2024-01"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = 400 if asked["datetime"].startswith(self.refused) else 500
        self._answer(b"", status=status, headers={"Retry-After": "60"})


class LastRefused(OneRefused):
    refused = "2024-04"


@pytest.mark.parametrize("handler", [OneRefused, LastRefused])
def test_a_query_that_fails_ends_the_pauses_of_the_others(start, handler):
    server = start()
    server.RequestHandlerClass = handler

    with pytest.raises(ProviderError, match="HTTP 400"):
        query_items(server.url, "s2", AREA, (date(2024, 1, 1), date(2024, 4, 30)))


class Stopped(BaseException):
    """As a signal handler raises."""


def test_an_error_or_a_signal_waits_for_no_request_in_flight(start, look):
    held, number = threading.Event(), itertools.count()

    class Held(Api):
        def do_POST(self):
            if next(number):
                held.wait(30)
            else:
                super().do_POST()

    server = start([item(0)])
    server.RequestHandlerClass = Held

    def stop(done, of):
        raise Stopped

    try:
        with pytest.raises(Stopped):
            look(server, period=(date(2024, 1, 1), date(2024, 12, 31)), workers=2, progress=stop)
        assert any(thread.name.startswith("search") for thread in threading.enumerate())
        assert len(server.asked) == 1
    finally:
        held.set()
