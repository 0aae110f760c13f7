"""Fetching ranges of bytes: from a misbehaving server, fault by fault, and from local files."""

import base64
import contextlib
import itertools
import os
import queue
import socket
import ssl
import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.errors import ProviderError, UsageError
from lulcmap.imagery.assets import connections, http
from lulcmap.imagery.assets import fetch as module
from lulcmap.imagery.assets.fetch import Fetcher
from lulcmap.imagery.assets.http import FetchError
from lulcmap.system import open_session
from lulcmap.system.http import retry_after_seconds
from tests.support import tls

BODY = np.random.default_rng(0).bytes(1000)
FOR_EVER = 1000
"""Times a fault occurs that never ends."""


class Handler(BaseHTTPRequestHandler):
    """Answers with a range of BODY, or with the next fault of the path."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        server, parts = self.server, urlsplit(self.path)
        with server.lock:
            server.asked.append(self.path)
            server.headers.append(self.headers)
            faults = server.faults.get(parts.path, [])
            fault = faults.pop(0) if faults else None
        first, last = (int(text or 10**9) for text in self.headers["Range"][6:].split("-"))
        if fault is not None:
            fault(self, first, last)
        elif first >= len(BODY):
            self.answer(416)
        else:
            body = BODY[first : last + 1]
            self.part(body, f"bytes {first}-{first + len(body) - 1}/{len(BODY)}")

    def do_CONNECT(self):
        self.server.asked.append(self.path)
        self.server.headers.append(self.headers)
        self.answer(407)

    def part(self, body, content_range):
        self.answer(206, body, {"Content-Range": content_range} if content_range else {})

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **dict(headers)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.close_connection or int(
            dict(headers).get("Content-Length", 0)
        ) > len(body)

    def log_message(self, *args):
        """Say nothing."""


def status(code, **headers):
    """A fault: an answer without the bytes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, *_: handler.answer(code, b"<h1>No</h1>", named)


def truncated(handler, first, last):
    headers = {"Content-Range": f"bytes {first}-{last}/1000", "Content-Length": last - first + 1}
    handler.answer(206, BODY[first:last], headers)


def shortened(handler, first, last):
    handler.part(BODY[first:last], f"bytes {first}-{last - 1}/1000")


def lengthened(handler, first, last):
    handler.part(BODY[first : last + 10], f"bytes {first}-{last + 9}/1000")


def endless(handler, first, last):
    headers = {"Content-Range": f"bytes {first}-{last}/1000", "Content-Length": 10**12}
    handler.answer(206, BODY, headers)


def shifted(handler, first, last):
    handler.part(BODY[first + 1 : last + 2], f"bytes {first + 1}-{last + 1}/1000")


def without_content_range(handler, first, last):
    handler.part(BODY[first : last + 1], None)


def whole(handler, first, last):
    handler.answer(200, BODY)


def reset(handler, first, last):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def hung_up(handler, first, last):
    handler.close_connection = True


def cut_in_the_headers(handler, first, last):
    handler.wfile.write(b"HTTP/1.1 206 Partial Content\r\nContent-Ra")
    handler.close_connection = True


def gibberish(handler, first, last):
    handler.wfile.write(b"\x00\x01 nothing of HTTP \r\n\r\n")
    handler.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.headers, self.faults = [], [], {}
        self.lock, self.stop = threading.Lock(), threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """A client that went away is none of its business."""


@contextlib.contextmanager
def serving(tls=None):
    server = Server()
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.url = server.url.replace("http:", "https:")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    for scheme in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme}_proxy".upper(), raising=False)


@pytest.fixture
def server(socket_enabled):
    with serving() as server:
        yield server


class Clock:
    """Time that passes only in pauses, which are recorded."""

    def __init__(self):
        self.now, self.pauses = 1000.0, []

    def monotonic(self):
        return self.now

    def time(self):
        return self.now + 1.7e9

    def sleep(self, seconds):
        if seconds > 0:
            self.pauses.append(seconds)
            self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    ended = Fetcher._sleep

    def sleep(self, seconds):
        ended(self, 0)
        clock.sleep(seconds)

    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "random", SimpleNamespace(uniform=lambda *_: 1.0))
    monkeypatch.setattr(Fetcher, "_sleep", sleep)
    return clock


@pytest.fixture
def make(clock):
    """Makes fetchers whose pauses take no time; they are closed at the end."""
    fetchers = []

    def make_fetcher(**options):
        fetchers.append(Fetcher(**{"pause": 1.0, **options}))
        return fetchers[-1]

    yield make_fetcher
    for fetcher in fetchers:
        fetcher.close()


def closed_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


# ----- ranges


@pytest.mark.parametrize(("start", "length"), [(0, 1), (0, 1000), (17, 300), (999, 1)])
def test_a_range_is_the_requested_bytes(server, make, start, length):
    assert make().get(f"{server.url}/a", start, length) == BODY[start : start + length]
    assert server.headers[0]["Range"] == f"bytes={start}-{start + length - 1}"
    assert server.headers[0]["Accept-Encoding"] == "identity"


def test_ranges_arrive_in_the_order_requested(server, make):
    ranges = [(start, 10) for start in range(990, -1, -10)]

    bodies = [part.result() for part in make().start(f"{server.url}/a", ranges)]

    assert bodies == [BODY[start : start + 10] for start, _ in ranges]


def test_the_end_of_an_asset_is_an_error_only_where_the_whole_range_is_wanted(server, make):
    fetcher = make(retries=1)

    assert fetcher.get(f"{server.url}/a", 900, 200, whole=False) == BODY[900:]
    assert fetcher.get(f"{server.url}/a", 1000, 200, whole=False) == b""
    with pytest.raises(FetchError, match="only 100 of 200 bytes"):
        fetcher.get(f"{server.url}/a", 900, 200)
    with pytest.raises(FetchError, match="HTTP 416"):
        fetcher.get(f"{server.url}/a", 1000, 200)


def test_the_size_is_the_one_the_server_tells(server, make):
    server.faults["/unknown"] = [lambda handler, *_: handler.part(BODY[:1], "bytes 0-0/*")]
    fetcher = make(retries=0)

    assert fetcher.size(f"{server.url}/a") == 1000
    with pytest.raises(FetchError, match="does not tell its size"):
        fetcher.size(f"{server.url}/unknown")


# ----- tokens


class Signer:
    """Signs by number; records how it was called."""

    def __init__(self):
        self.asked = []

    def __call__(self, href, *, anew=False):
        self.asked.append((href, anew))
        return f"{href}?sig=SECRET{len(self.asked)}"


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_token_is_renewed_at_once(server, make, clock, code):
    server.faults["/a"] = [status(code)]
    sign = Signer()

    assert make(sign=sign).get(f"{server.url}/a", 0, 9) == BODY[:9]

    assert sign.asked == [(f"{server.url}/a", False), (f"{server.url}/a", True)]
    assert server.asked == ["/a?sig=SECRET1", "/a?sig=SECRET2"]
    assert clock.pauses == []


def test_only_a_refusal_asks_for_another_token(server, make):
    server.faults["/a"] = [status(404), status(503), reset]
    sign = Signer()

    assert make(sign=sign).get(f"{server.url}/a", 0, 9) == BODY[:9]

    assert not any(anew for _, anew in sign.asked)


def test_a_url_is_signed_again_after_a_busy_host_was_left_alone(server, make):
    server.faults["/a"] = [status(503)]
    sign = Signer()

    make(sign=sign).get(f"{server.url}/a", 0, 9)

    assert server.asked == ["/a?sig=SECRET1", "/a?sig=SECRET3"]  # the second was not used


def test_tokens_that_are_always_refused_are_an_error_after_pauses(server, make, clock):
    server.faults["/a"] = [status(403)] * FOR_EVER
    sign = Signer()

    with pytest.raises(FetchError, match=r"^HTTP 403$"):
        make(sign=sign, retries=3).get(f"{server.url}/a", 0, 9)

    assert [anew for _, anew in sign.asked] == [False, True, True, True]
    assert clock.pauses == [2, 4]


def test_a_signers_own_error_passes_through(server, make):
    def sign(href, *, anew=False):
        raise ProviderError("Set PC_SDK_SUBSCRIPTION_KEY.")

    fetcher = make(sign=sign)

    with pytest.raises(ProviderError, match="PC_SDK"):
        fetcher.get(f"{server.url}/a", 0, 9)
    with pytest.raises(ProviderError, match="PC_SDK"):
        fetcher.size(f"{server.url}/a")
    with pytest.raises(ProviderError, match="PC_SDK"):
        fetcher.start(f"{server.url}/a", [(0, 9)])[0].result()
    assert server.asked == []


# ----- failures

OF_THE_ASSET = {
    "404": (status(404), "HTTP 404"),
    "400": (status(400), "HTTP 400"),
    "cut in the headers": (cut_in_the_headers, "another range than requested"),
    "truncated": (truncated, "the response was cut short"),
    "fewer bytes, consistently": (shortened, "only 99 of 100 bytes arrived"),
    "more bytes": (lengthened, "another range than requested"),
    "far more bytes": (endless, "another range than requested"),
    "another range": (shifted, "another range than requested"),
    "no Content-Range": (without_content_range, "another range than requested"),
    "200": (whole, "does not support range requests"),
}
OF_THE_HOST = {
    "429": (status(429), "HTTP 429"),
    "500": (status(500), "HTTP 500"),
    "502": (status(502), "HTTP 502"),
    "503": (status(503), "HTTP 503"),
    "504": (status(504), "HTTP 504"),
    "reset": (reset, "the connection broke"),
    "hung up": (hung_up, "the connection broke"),
    "no HTTP": (gibberish, "the connection broke"),
}
LASTING = {
    "redirects for ever": (status(302, Location="/a?sig=SECRET"), "redirects too often"),
    "redirects to a file": (status(302, Location="file:///etc/SECRET"), "address.* is not valid"),
    "redirects nowhere": (status(302, Location="http://[SECRET"), "address.* is not valid"),
}


@pytest.mark.parametrize("fault", OF_THE_ASSET | OF_THE_HOST)
def test_a_failure_that_passes_is_retried(server, make, clock, fault):
    misbehave, _ = (OF_THE_ASSET | OF_THE_HOST)[fault]
    server.faults["/a"] = [misbehave] * 2

    assert make().get(f"{server.url}/a", 100, 100) == BODY[100:200]

    assert clock.pauses == [1, 2]
    assert len(server.asked) == 3


@pytest.mark.parametrize("fault", OF_THE_ASSET)
def test_a_failure_of_the_asset_that_stays_is_named_without_a_url(server, make, clock, fault):
    misbehave, reason = OF_THE_ASSET[fault]
    server.faults["/a"] = [misbehave] * FOR_EVER
    sign = Signer()

    with pytest.raises(FetchError, match=reason) as caught:
        make(retries=3, sign=sign).get(f"{server.url}/a", 100, 100)

    assert clock.pauses == [1, 2, 4]
    assert len(sign.asked) == 4
    assert_says_nothing(caught.value, server)


@pytest.mark.parametrize("fault", OF_THE_HOST)
def test_a_host_that_gives_nothing_ends_the_run_and_is_named(server, make, clock, fault):
    misbehave, reason = OF_THE_HOST[fault]
    server.faults["/a"] = [misbehave] * FOR_EVER

    with pytest.raises(ProviderError) as caught:
        make(retries=0, patience=40, sign=Signer()).get(f"{server.url}/a", 100, 100)

    assert clock.pauses == [1, 2, 4, 8, 16]
    assert_names_only_the_host(caught.value, f"127.0.0.1:{server.server_port}")
    assert (
        f"nothing for 31 s ({reason}); the next attempt would be in 32 s, and --patience is 40 s"
        in str(caught.value)
    )
    assert "--patience is 40 s" in str(caught.value)


@pytest.mark.parametrize("fault", [cut_in_the_headers, reset, truncated, status(503)])
def test_no_log_carries_a_token(server, make, caplog, fault):
    caplog.set_level("WARNING")  # what Python prints where nobody configured logging
    server.faults["/a"] = [fault]

    make(sign=Signer()).get(f"{server.url}/a", 0, 9)

    assert "SECRET" not in caplog.text


@pytest.mark.parametrize("fault", LASTING)
def test_a_failure_that_no_attempt_can_end_is_named_at_once(server, make, clock, fault):
    misbehave, reason = LASTING[fault]
    server.faults["/a"] = [misbehave] * FOR_EVER
    sign = Signer()

    with pytest.raises(FetchError, match=reason) as caught:
        make(retries=3, sign=sign).get(f"{server.url}/a", 100, 100)

    assert clock.pauses == []
    assert len(sign.asked) == 1
    assert_says_nothing(caught.value, server)


def assert_says_nothing(error, server):
    assert error.__cause__ is None
    for secret in ("SECRET", "sig", "://", "127.0.0.1", str(server.server_port), "/a"):
        assert secret not in str(error)


def assert_names_only_the_host(error, host):
    assert str(error).startswith(f"{host} has served nothing")
    assert "\n" not in str(error)
    assert error.__cause__ is None
    for secret in ("SECRET", "sig", "://", "/a", "user"):
        assert secret not in str(error)


def test_a_silent_server_is_waited_for_like_one_that_is_down(server, make, monkeypatch):
    monkeypatch.setattr(http, "_READ_TIMEOUT_S", 0.05)
    answer = threading.Event()
    server.faults["/a"] = [lambda *_: answer.wait(60)] * 2

    try:
        with pytest.raises(ProviderError, match=r"did not answer within 0\.05 s") as caught:
            make(patience=2, sign=Signer()).get(f"{server.url}/a", 0, 9)
    finally:
        answer.set()

    assert_names_only_the_host(caught.value, f"127.0.0.1:{server.server_port}")


def drips_its_body(handler, first, last):
    size = {"Content-Range": f"bytes {first}-{last}/1000", "Content-Length": last - first + 1}
    handler.answer(206, BODY[first : first + 1], size)
    drip(handler, b"")


def drips_its_chunks(handler, first, last):
    handler.wfile.write(
        b"HTTP/1.1 206 Partial Content\r\nTransfer-Encoding: chunked\r\n"
        + f"Content-Range: bytes {first}-{last}/1000\r\n\r\n".encode()
    )
    drip(handler, b"0")


def drips_its_headers(handler, *_):
    handler.wfile.write(b"HTTP/1.1 206 Partial Content\r\nX: ")
    drip(handler, b"y")


def drips_its_status(handler, *_):
    drip(handler, b"H")


def continues_for_ever(handler, *_):
    drip(handler, b"HTTP/1.1 100 Continue\r\n\r\n")


def drip(handler, text):
    """Send a text for ever, in pieces, until the client goes away."""
    handler.close_connection = True
    with contextlib.suppress(OSError):
        while not handler.server.stop.wait(0.001):
            handler.wfile.write(text)


@pytest.mark.parametrize(
    ("drips", "reason"),
    [
        (drips_its_status, "did not answer within 60 s"),
        (drips_its_headers, "did not answer within 60 s|the connection broke"),  # a line too long
        (continues_for_ever, "did not answer within 60 s"),
        (drips_its_body, "too slow|cut short"),
        (drips_its_chunks, "too slow|cut short"),
    ],
)
def test_a_response_that_drips_ends(server, make, monkeypatch, drips, reason):
    passing = SimpleNamespace(monotonic=map(float, itertools.count(0, 10)).__next__)
    for timed in (http, sys.modules["lulcmap.system.timed"]):
        monkeypatch.setattr(timed, "time", passing)
    server.faults["/a"] = [drips] * FOR_EVER

    with pytest.raises((ProviderError, FetchError), match=reason):
        make(patience=2, retries=0).get(f"{server.url}/a", 0, 999)


def test_a_server_that_cannot_be_reached_or_has_no_name_is_waited_for(
    socket_enabled, make, clock, monkeypatch
):
    host = f"127.0.0.1:{closed_port()}"
    fetcher = make(retries=0, patience=5, sign=Signer())

    with pytest.raises(ProviderError, match="cannot be reached") as caught:
        fetcher.get(f"http://user:SECRET@{host}/a", 0, 9)
    assert_names_only_the_host(caught.value, host)

    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ProviderError, match="name cannot be resolved") as caught:
        fetcher.get("http://nowhere.example/a", 0, 9)
    assert_names_only_the_host(caught.value, "nowhere.example")
    assert clock.pauses == [1, 2] * 2


def test_reading_continues_when_the_network_comes_back(server, make, clock, monkeypatch):
    real, lookups = socket.getaddrinfo, iter(range(FOR_EVER))

    def unknown_at_first(*args, **options):
        if next(lookups) < 8:
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return real(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", unknown_at_first)

    assert make(retries=0).get(f"{server.url}/a", 0, 9) == BODY[:9]

    assert clock.pauses == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(
    ("cause", "stands_for"),
    [
        (ssl.SSLCertVerificationError("self-signed certificate"), http.NO_RETRY),
        (ssl.SSLEOFError("EOF occurred in violation of protocol"), http.NO_ANSWER),
    ],
)
def test_only_a_bad_certificate_is_for_ever_not_a_hang_up_in_the_handshake(
    monkeypatch, cause, stands_for
):
    def fail(*_, **__):
        raise urllib3.exceptions.SSLError(cause)

    monkeypatch.setattr(urllib3.HTTPSConnectionPool, "_make_request", fail)

    with pytest.raises(http.AttemptError) as caught:
        http.Servers(private=True).get("https://pixels.example/a", 0, 9, 9)

    assert caught.value.args[1] == stands_for


def test_a_redirect_is_followed_with_the_same_range(server, make):
    server.faults["/a"] = [status(302, Location="/b")]

    assert make().get(f"{server.url}/a", 5, 9) == BODY[5:14]

    assert server.asked == ["/a", "/b"]
    assert server.headers[1]["Range"] == "bytes=5-13"


# ----- busy hosts


@pytest.mark.parametrize("code", [429, 503])
def test_a_busy_host_is_left_alone_as_long_as_it_asks(server, make, clock, code):
    date = formatdate(clock.time() + 42, usegmt=True)
    server.faults["/a"] = [status(code, Retry_After="7"), status(code, Retry_After=date)]

    assert make(retries=0).get(f"{server.url}/a", 0, 9) == BODY[:9]

    assert clock.pauses == [7, pytest.approx(42 - 7, abs=1)]


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_busy_host_without_retry_after_is_asked_ever_more_rarely(server, make, clock, code):
    server.faults["/a"] = [status(code)] * 8

    assert make(retries=0).get(f"{server.url}/a", 0, 9) == BODY[:9]

    assert clock.pauses == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize("code", [429, 503])
def test_a_retry_after_of_zero_still_pauses(server, make, clock, code):
    server.faults["/a"] = [status(code, Retry_After="0")] * 4

    assert make(retries=0).get(f"{server.url}/a", 0, 9) == BODY[:9]

    assert clock.pauses == [1, 2, 4, 8]


def others_first(server, fetchers):
    """Signs; before each further request for /a, another asset of its host is read."""

    def sign(href, *, anew=False):
        if href.endswith("/a") and server.asked:
            fetchers[0].get(f"{server.url}/b", 0, 9)
        return href

    return sign


@pytest.mark.parametrize(
    ("fault", "reason", "longest"),
    [
        (status(500), "HTTP 500", 60),
        (reset, "the connection broke", 60),
        (status(429), "HTTP 429", 300),
        (status(503, Retry_After="2"), "HTTP 503", 300),
    ],
)
def test_an_asset_that_fails_while_its_host_serves_others_is_lost_alone(
    server, make, clock, fault, reason, longest
):
    server.faults["/a"] = [fault] * FOR_EVER
    fetchers = []
    fetchers.append(make(sign=others_first(server, fetchers), retries=0, patience=300))

    with pytest.raises(FetchError, match=f"^{reason}$") as caught:
        fetchers[0].get(f"{server.url}/a", 0, 9)

    assert longest < sum(clock.pauses) < 1.1 * longest  # till the next attempt
    assert_says_nothing(caught.value, server)


def test_responses_in_flight_when_a_host_went_down_do_not_make_an_asset_a_lost_one(
    server, make, clock
):
    fetcher = make(patience=300)

    def goes_down(handler, *_):  # which answers what it was asked before
        fetcher._host(server.url).served(requested_at)
        reset(handler)

    requested_at = clock.now - 1
    server.faults["/a"] = [goes_down] * 9

    assert fetcher.get(f"{server.url}/a", 0, 9) == BODY[:9]


def test_failures_long_ago_do_not_count_against_a_host(server, make, clock):
    server.faults["/a"] = [status(503)] + [status(404)] * FOR_EVER
    server.faults["/b"] = [status(503)]
    fetcher = make(retries=1, patience=300)

    with pytest.raises(FetchError, match="HTTP 404"):
        fetcher.get(f"{server.url}/a", 0, 9)
    clock.now += 1000  # it was asked nothing

    assert fetcher.get(f"{server.url}/b", 0, 9) == BODY[:9]


def test_pauses_start_short_again_after_a_host_has_served_a_range(server, make, clock):
    server.faults["/a"] = [status(503)] * 3
    server.faults["/b"] = [status(503)]
    fetcher = make()

    for name in ("a", "b"):
        assert fetcher.get(f"{server.url}/{name}", 0, 9) == BODY[:9]

    assert clock.pauses == [1, 2, 4, 1]


def test_failures_of_requests_in_flight_together_count_once(clock):
    host = module._Host("pixels.example")

    for seconds in (1, 2, 4):
        for _ in range(3):
            host.failed(None, since=clock.now, pause=1.0)
            assert host.rest() == seconds
        clock.sleep(seconds)


@pytest.mark.parametrize("after", ["301", "100000", "9" * 400])
def test_a_retry_after_beyond_the_patience_ends_the_run_at_once(server, make, clock, after):
    server.faults["/a"] = [status(429, Retry_After=after)] * FOR_EVER

    with pytest.raises(ProviderError, match=r"for 0 s \(HTTP 429\).*--patience is 300 s") as caught:
        make(patience=300).get(f"{server.url}/a", 0, 9)

    assert_names_only_the_host(caught.value, f"127.0.0.1:{server.server_port}")
    assert clock.pauses == []
    assert server.asked == ["/a"]


@given(st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ [\d:]+ GMT"))
def test_any_retry_after_header_is_a_time_or_ignored(text):
    seconds = retry_after_seconds(text, now=1.7e9)

    assert seconds is None or seconds >= 0


def test_a_host_that_is_busy_for_one_thread_is_left_alone_by_all(server, clock, monkeypatch):
    waiting, go_on = queue.Queue(), threading.Event()

    def sleep(self, seconds):
        if seconds > 0:
            waiting.put(seconds)
            assert go_on.wait(60)

    monkeypatch.setattr(Fetcher, "_sleep", sleep)
    server.faults["/a"] = [status(429, Retry_After="50")]
    fetcher = Fetcher()

    with ThreadPoolExecutor(2) as pool, serving() as other:
        first = pool.submit(fetcher.get, f"{server.url}/a", 0, 9)
        assert waiting.get(timeout=60) == 50
        second = pool.submit(fetcher.get, f"{server.url}/b", 0, 9)
        assert waiting.get(timeout=60) == 50
        asked = list(server.asked)
        elsewhere = fetcher.get(f"{other.url}/b", 0, 9)
        clock.now += 50
        go_on.set()

        assert asked == ["/a"]
        assert first.result() == second.result() == elsewhere == BODY[:9]
    fetcher.close()


# ----- hosts that are down while others answer


def unreachable(server, make, **options):
    """A fetcher, and the href of an asset of a host to which no connection can be made."""
    return make(**options), f"http://127.0.0.1:{closed_port()}/a"


@pytest.mark.parametrize("kind", ["a server", "a file", "a server that lacks it"])
def test_a_host_that_cannot_be_reached_while_others_answer_loses_its_assets(
    server, make, clock, tmp_path, kind
):
    fetcher, lost = unreachable(server, make, patience=300)
    (tmp_path / "b.bin").write_bytes(BODY)
    server.faults["/none"] = [status(404)]
    other = {"a server": f"{server.url}/b", "a file": str(tmp_path / "b.bin")}
    fetcher.announce([lost, other.get(kind, f"{server.url}/none")])

    with pytest.raises(FetchError, match=r"^its server cannot be reached$"):
        fetcher.get(lost, 0, 9)
    waited = sum(clock.pauses)
    for _ in range(9):  # and all others without waiting
        with pytest.raises(FetchError, match=r"^its server cannot be reached$"):
            fetcher.get(lost.replace("/a", "/b"), 0, 9)

    assert 0 < waited <= 60
    assert sum(clock.pauses) == waited


def test_a_host_that_serves_again_is_read_again(server, make, clock, monkeypatch):
    fetcher, _ = unreachable(server, make, patience=300)
    real, down = socket.getaddrinfo, [True]

    def resolve(host, *args, **options):
        if host == "pixels.example" and down:
            raise socket.gaierror(-2, "Name or service not known")
        return real("127.0.0.1", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    fetcher.announce([f"{server.url}/b"])
    href = f"http://pixels.example:{server.server_port}/a"
    with pytest.raises(FetchError, match="name cannot be resolved"):
        fetcher.get(href, 0, 9)

    down.clear()
    with pytest.raises(FetchError, match="name cannot be resolved"):
        fetcher.get(href, 0, 9)
    clock.now += 60

    assert fetcher.get(href, 0, 9) == fetcher.get(href, 0, 9) == BODY[:9]


def test_hosts_that_are_all_down_end_the_run(server, make, clock):
    fetcher, one = unreachable(server, make, patience=300)
    two = f"http://127.0.0.2:{closed_port()}/b"
    fetcher.announce([one, two])

    with pytest.raises(ProviderError, match="has served nothing"):
        fetcher.get(one, 0, 9)
    with pytest.raises(ProviderError, match="has served nothing"):
        fetcher.get(two, 0, 9)

    assert sum(clock.pauses) > 300


def test_a_host_that_is_down_longer_than_the_patience_while_others_answer_loses_its_assets(
    server, make, clock
):
    with serving() as other:
        server.faults["/a"] = [status(503)] * FOR_EVER
        fetcher = make(patience=300)
        fetcher.announce([f"{other.url}/b"])

        with pytest.raises(FetchError, match=r"^HTTP 503$"):
            fetcher.get(f"{server.url}/a", 0, 9)

    assert 200 < sum(clock.pauses) <= 300


# ----- servers that do not send parts


def refuses_beyond(total):
    def refuse(handler, first, last):
        handler.answer(416, headers={"Content-Range": f"bytes */{total}"} if total else {})

    return refuse


@pytest.mark.parametrize("fault", [whole, refuses_beyond(1000), refuses_beyond(None)])
def test_a_small_file_is_read_from_a_server_that_refuses_a_range_past_its_end(server, make, fault):
    server.faults["/a"] = [fault]
    fetcher = make(retries=0)

    assert fetcher.get(f"{server.url}/a", 0, 32768, whole=False) == BODY
    assert fetcher.get(f"{server.url}/a", 100, 100) == BODY[100:200]
    assert fetcher.size(f"{server.url}/a") == 1000


def test_a_small_file_of_a_server_without_ranges_is_fetched_once_and_read_from_memory(server, make):
    server.faults["/a"] = [whole] * FOR_EVER
    fetcher = make(retries=0)

    assert fetcher.get(f"{server.url}/a", 0, 32768, whole=False) == BODY
    assert fetcher.get(f"{server.url}/a", 100, 100) == BODY[100:200]
    with pytest.raises(FetchError, match="it ends after 1000 bytes"):
        fetcher.get(f"{server.url}/a", 900, 200)
    assert len(server.asked) == 1

    fetcher.forget(f"{server.url}/a")
    assert fetcher.get(f"{server.url}/a", 0, 9) == BODY[:9]
    assert len(server.asked) == 2


def test_a_large_file_of_a_server_without_ranges_is_lost(server, make):
    def large(handler, *_):
        handler.answer(200, bytes(http.SMALL_BYTES + 1))

    def endless_chunks(handler, *_):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        drip(handler, b"1000\r\n" + bytes(0x1000) + b"\r\n")

    for fault in (large, endless_chunks):
        server.faults["/a"] = [fault]
        with pytest.raises(FetchError, match="does not support range requests"):
            make(retries=0).get(f"{server.url}/a", 0, 32768, whole=False)


# ----- private networks and proxies


def test_a_server_in_a_private_network_is_not_asked_unless_allowed(server, make, clock):
    server.faults["/a"] = [status(302, Location=f"http://localhost:{server.server_port}/b")]

    with pytest.raises(FetchError, match=r"^its server is in a private network$"):
        make(private=False, retries=0).get(f"{server.url}/a", 0, 9)
    with pytest.raises(FetchError, match=r"^its server is in a private network$"):
        make(private=False).get(f"https://127.0.0.1:{server.server_port}/a", 0, 9)

    assert server.asked == clock.pauses == []


def test_a_redirect_into_a_private_network_is_not_followed(server, make, monkeypatch):
    public = iter([False, False, True])  # the name, the address, and the name of the second
    monkeypatch.setattr(http, "is_private", lambda _: next(public))
    monkeypatch.setattr(connections, "is_private", lambda _: next(public))
    with serving() as inside:
        server.faults["/a"] = [status(302, Location=f"{inside.url}/b")]
        with pytest.raises(FetchError, match="private network"):
            make(private=False, retries=0).get(f"{server.url}/a", 0, 9)

        assert (server.asked, inside.asked) == (["/a"], [])


def test_the_address_connected_to_is_the_one_that_is_checked(server, make, monkeypatch):
    real = socket.getaddrinfo

    def rebound(host, port, *args, **options):  # to whatever the name resolved before
        return real("127.0.0.1", port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)

    with pytest.raises(FetchError, match=r"^its server is in a private network$"):
        make(private=False).get(f"http://pixels.example:{server.server_port}/a", 0, 9)

    assert server.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:7f00:1]", "0x7f.1", "localhost."])
def test_a_redirect_into_a_private_network_is_not_followed_through_a_proxy(
    server, make, monkeypatch, host
):
    monkeypatch.setenv("http_proxy", server.url)
    server.faults["/a"] = [status(302, Location=f"http://{host}/b")]

    with pytest.raises(FetchError, match="private network"):
        make(private=False).get("http://pixels.example/a", 0, 9)

    assert server.asked == ["http://pixels.example/a"]


@pytest.mark.parametrize("private", [True, False])
def test_the_environments_proxy_is_asked_with_its_login(server, make, monkeypatch, private):
    proxy = server.url.replace("http://", "http://user:p%40ss@")
    monkeypatch.setenv("http_proxy", proxy)

    assert make(private=private).get("http://pixels.example/a", 0, 9) == BODY[:9]

    assert server.asked == ["http://pixels.example/a"]
    login = server.headers[0]["Proxy-Authorization"].removeprefix("Basic ")
    assert base64.b64decode(login) == b"user:p@ss"


def test_hosts_that_need_no_proxy_are_asked_without_one(server, make, monkeypatch):
    monkeypatch.setenv("http_proxy", f"127.0.0.1:{closed_port()}")
    monkeypatch.setenv("no_proxy", "example.org,127.0.0.1")

    assert make(retries=0).get(f"{server.url}/a", 0, 9) == BODY[:9]

    assert server.asked == ["/a"]


def test_no_message_says_how_to_log_in_to_a_proxy(server, make, monkeypatch):
    dead = f"http://user:SECRET@127.0.0.1:{closed_port()}"
    monkeypatch.setenv("http_proxy", dead)
    monkeypatch.setenv("https_proxy", server.url.replace("http://", "http://user:SECRET@"))
    fetcher = make(patience=2, sign=Signer())

    for scheme, said in (("http", "proxy cannot be reached"), ("https", "proxy answers HTTP 407")):
        with pytest.raises(ProviderError, match=said) as caught:
            fetcher.get(f"{scheme}://pixels.example/a", 0, 9)
        assert_names_only_the_host(caught.value, "pixels.example")
    assert server.asked == ["pixels.example:443"]
    assert "Proxy-Authorization" in server.headers[0]


# ----- certificates


@pytest.fixture
def secure(socket_enabled, tmp_path):
    """A server over TLS, and the file of its certificate, which nobody trusts."""
    certificate, key = tmp_path / "tls" / "certificate.pem", tmp_path / "key.pem"
    certificate.parent.mkdir()
    certificate.write_text(tls.CERTIFICATE)
    key.write_text(tls.KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(context) as server:
        yield server, certificate


def test_a_certificate_that_nobody_trusts_loses_the_asset_at_once(secure, make, clock):
    with pytest.raises(FetchError, match=r"^its server's certificate is not valid$"):
        make().get(f"{secure[0].url}/a", 0, 9)

    assert clock.pauses == []


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_environment_names_certificates_for_assets_and_all_else(
    secure, make, monkeypatch, variable
):
    server, certificate = secure
    monkeypatch.setenv(variable, str(certificate))

    assert make(retries=0).get(f"{server.url}/a", 0, 9) == BODY[:9]
    with open_session() as session:
        answer = session.get(f"{server.url}/a", headers={"Range": "bytes=0-8"}, timeout=60)
    assert answer.content == BODY[:9]


def test_certificates_in_a_folder_are_named_by_their_hash(secure, make, monkeypatch):
    server, certificate = secure
    certificate.rename(certificate.with_name(f"{tls.HASH}.0"))
    monkeypatch.setenv("SSL_CERT_DIR", str(certificate.parent))

    assert make(retries=0).get(f"{server.url}/a", 0, 9) == BODY[:9]


def test_certificates_that_do_not_exist_end_the_run_at_once(secure, make, clock, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/none.pem")

    with pytest.raises(UsageError, match=r"SSL_CERT_FILE is /none\.pem, which does not exist"):
        make().get(f"{secure[0].url}/a", 0, 9)
    assert clock.pauses == []


# ----- the end


def test_closing_ends_waiting_requests(server):
    server.faults["/a"] = [status(429, Retry_After="200")]
    fetcher = Fetcher()
    parts = fetcher.start(f"{server.url}/a", [(0, 9)] * 100)
    while not server.asked:
        assert threading.Event().wait(0.005) is False

    fetcher.close()

    for part in parts:
        with contextlib.suppress(FetchError):  # the few in flight may have arrived
            assert part.result(timeout=60) == BODY[:9]
    with pytest.raises(FetchError, match="the reader was closed"):
        parts[-1].result()


def test_nothing_is_read_after_closing(server, make, tmp_path):
    (tmp_path / "a.bin").write_bytes(BODY)
    sign = Signer()
    fetcher = make(sign=sign)
    fetcher.close()

    for href in (f"{server.url}/a", str(tmp_path / "a.bin")):
        with pytest.raises(FetchError, match="the reader was closed"):
            fetcher.get(href, 0, 9)
        with pytest.raises(FetchError, match="the reader was closed"):
            fetcher.start(href, [(0, 9)])
    assert (sign.asked, server.asked) == ([], [])


# ----- local files


def test_a_local_file_is_read_in_ranges_unsigned(tmp_path, make):
    path = tmp_path / "a.bin"
    path.write_bytes(BODY)
    sign = Signer()
    fetcher = make(sign=sign)

    assert fetcher.get(str(path), 10, 20) == BODY[10:30]
    assert fetcher.get(str(path), 990, 20, whole=False) == BODY[990:]
    assert fetcher.size(str(path)) == 1000
    assert [part.result() for part in fetcher.start(str(path), [(5, 5), (0, 5)])] == [
        BODY[5:10],
        BODY[:5],
    ]
    assert sign.asked == []


def test_missing_and_short_local_files_are_errors(tmp_path, make, clock):
    path = tmp_path / "a.bin"
    path.write_bytes(BODY)
    fetcher = make()

    with pytest.raises(FetchError, match=r"^it ends after 1000 bytes"):
        fetcher.get(str(path), 990, 20)
    for read in (lambda href: fetcher.get(href, 0, 9), fetcher.size):
        with pytest.raises(FetchError, match=r"^no such file$"):
            read(str(tmp_path / "none.tif"))
        with pytest.raises(FetchError, match=r"^it is not a file$"):
            read(str(tmp_path))
    assert clock.pauses == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_fifo_or_a_device_is_refused_and_never_waited_for(tmp_path, make):
    fifo, link = tmp_path / "fifo.tif", tmp_path / "link.tif"
    os.mkfifo(fifo)
    link.symlink_to("/dev/zero")
    fetcher = make()

    for path in (fifo, link):
        with ThreadPoolExecutor(1) as pool:
            read = pool.submit(fetcher.get, str(path), 0, 9)
            try:
                with pytest.raises(FetchError, match=r"^it is not a file$"):
                    read.result(timeout=60)
            finally:
                if not read.done():  # let the thread go
                    path.open("wb").close()
