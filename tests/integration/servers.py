"""Servers of our own: one that misbehaves where it is told to, and one that gives tokens out."""

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

SUBSCRIPTION_HEADER = "Ocp-Apim-Subscription-Key"
"""In which the Planetary Computer takes a subscription key."""

HTML = b"<!DOCTYPE html><html><body>We will be back soon.</body></html>"
"""What proxies and login pages answer instead of data, with status 200."""

Kind = Literal["status", "slow", "truncated", "html", "garbage", "reset"]


@dataclass
class Fault:
    """Where, how and how often a ``FileServer`` misbehaves."""

    pattern: str
    """Regular expression, searched for in the path."""

    kind: Kind = "status"
    """``status``: an error's status; ``slow``: the first byte comes late; ``truncated``: the
    connection ends in the middle of the body; ``html``: a page, status 200; ``garbage``: as many
    bytes as were asked for, but others; ``reset``: no answer, the connection is reset."""

    status: int = 503
    """Of the kind ``status``."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """That go with the status."""

    after: int = 0
    """Requests that are answered well before the first fault."""

    times: float = 2
    """Requests that are answered badly; ``math.inf`` for ever."""

    hits: int = 0
    """Requests that were answered badly so far."""

    def strikes(self, path: str) -> bool:
        """Whether the request for a path is to be answered badly; counts it."""
        if not re.search(self.pattern, path):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.hits >= self.times:
            return False
        self.hits += 1
        return True


class Quiet(BaseHTTPRequestHandler):
    """A handler that keeps connections open and writes no log."""

    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds; an idle connection must not keep its thread
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def answer(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """An HTTP server on a free port of loopback, in threads of this process."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        """Nothing: clients go away as they like."""

    @contextmanager
    def running(self) -> Iterator["Server"]:
        """Serve while the body runs."""
        thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


class FileServer(Server):
    """Serves a folder with byte ranges; also as a proxy, whatever host is asked for.

    Args:
        folder: that is served.

    """

    def __init__(self, folder: Path) -> None:
        super().__init__(_Files)
        self.folder = folder.resolve()
        self.faults: list[Fault] = []
        self.uses: float | None = None
        """How many requests a token is good for; None where none is needed."""
        self.requests: list[tuple[str, int]] = []
        """Path, without query, and status of each request; 0 for a reset connection."""
        self._used: dict[str, int] = {}

    def behave(self, *faults: Fault) -> None:
        """Forget all faults and requests; misbehave so from now on."""
        with self.lock:
            self.faults, self.requests, self._used = list(faults), [], {}

    def fault_of(self, path: str) -> Fault | None:
        """The fault to commit now, if any."""
        with self.lock:
            return next((fault for fault in self.faults if fault.strikes(path)), None)

    def admits(self, query: str) -> bool:
        """Whether a request's token is still good; counts its use."""
        if self.uses is None:
            return True
        token = parse_qs(query).get("sig", [""])[0]
        with self.lock:
            self._used[token] = self._used.get(token, 0) + 1
            return bool(token) and self._used[token] <= self.uses

    def note(self, path: str, status: int) -> None:
        """Remember a request."""
        with self.lock:
            self.requests.append((path, status))

    def count(self, status: int) -> int:
        """How many requests were answered so."""
        with self.lock:
            return sum(given == status for _, given in self.requests)


class _Files(Quiet):
    server: FileServer

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if not self.server.admits(parts.query):
            self._end(403, b"token")
            return
        file = (self.server.folder / parts.path.lstrip("/")).resolve()
        if not file.is_relative_to(self.server.folder) or not file.is_file():
            self._end(404)
            return
        content = file.read_bytes()
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        status, headers, body = _part(content, asked)
        fault = self.server.fault_of(parts.path)
        if fault is None:
            self._end(status, body, headers)
        else:
            self._misbehave(fault, status, body, headers)

    def _misbehave(
        self, fault: Fault, status: int, body: bytes, headers: Mapping[str, str]
    ) -> None:
        if fault.kind == "status":
            self._end(fault.status, b"no", fault.headers)
        elif fault.kind == "slow":
            time.sleep(3)
            self._end(status, body, headers)
        elif fault.kind == "html":
            self._end(200, HTML, {"Content-Type": "text/html"})
        elif fault.kind == "garbage":
            self._end(status, bytes(byte ^ 0xA5 for byte in body), headers)
        elif fault.kind == "truncated":
            self.close_connection = True
            self.server.note(urlsplit(self.path).path, status)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
        else:
            self.close_connection = True
            self.server.note(urlsplit(self.path).path, 0)
            now = struct.pack("ii", 1, 0)  # linger no second: closing resets
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
            self.rfile.close()
            self.wfile.close()
            self.connection.close()

    def _end(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        self.server.note(urlsplit(self.path).path, status)
        self.answer(status, body, headers)


def _part(content: bytes, asked: re.Match[str] | None) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a request for a range, or for all."""
    headers = {"Accept-Ranges": "bytes", "Content-Type": "image/tiff"}
    if asked is None or asked[0] == "bytes=-":
        return 200, headers, content
    if asked[1]:
        first = int(asked[1])
        last = min(int(asked[2] or len(content)), len(content) - 1)
    else:
        first, last = max(len(content) - int(asked[2]), 0), len(content) - 1
    if first > last:
        return 416, {"Content-Range": f"bytes */{len(content)}"}, b""
    headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
    return 206, headers, content[first : last + 1]


class LockedServer(FileServer):
    """A STAC API and its assets, open to those who know the key and have the token.

    Args:
        folder: folder of the assets.
        items: items, whose hrefs begin with ``./``.
        key: key that the query of each search must hold.

    """

    def __init__(self, folder: Path, items: list[dict[str, Any]], key: str) -> None:
        super().__init__(folder)
        self.RequestHandlerClass = _Locked
        self.items = items
        self.key = key
        self.token = "QTOKEN0"
        """Token in the hrefs of a search; no earlier one opens assets."""

    def search(self, collections: list[str], period: str) -> dict[str, Any]:
        """Answer a search, with hrefs that hold the token."""
        start, end = period.split("/")
        features = [
            {
                **item,
                "properties": {
                    **item["properties"],
                    "preview": f"{self.url}/x?apikey={self.token}",
                },
                "assets": {
                    key: {
                        **asset,
                        "href": f"{self.url}/{asset['href'][2:]}?access_token={self.token}",
                    }
                    for key, asset in item["assets"].items()
                },
            }
            for item in self.items
            if item["collection"] in collections and start <= item["properties"]["datetime"] <= end
        ]
        return {"type": "FeatureCollection", "features": features, "links": []}


class _Locked(_Files):
    server: LockedServer

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if urlsplit(self.path).path.startswith("/stac"):
            self._search(query)
        elif query.get("access_token") != [self.server.token]:
            self._end(403, b"expired")
        else:
            super().do_GET()

    def _search(self, query: dict[str, list[str]]) -> None:
        if query.get("token") != [self.server.key]:
            self._end(401, b"no key")
            return
        value: dict[str, Any] = {
            "type": "Catalog",
            "id": "locked",
            "stac_version": "1.0.0",
            "description": "locked",
            "conformsTo": ["https://api.stacspec.org/v1.0.0/item-search"],
            "links": [
                {
                    "rel": "search",
                    "href": f"{self.server.url}/stac/search?token={self.server.key}",
                    "method": "GET",
                    "type": "application/geo+json",
                }
            ],
        }
        if urlsplit(self.path).path.endswith("/search"):
            value = self.server.search(query["collections"][0].split(","), query["datetime"][0])
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})


class TokenServer(Server):
    """Gives SAS tokens out as the Planetary Computer's does: ``GET /ACCOUNT/CONTAINER``.

    Args:
        mint: from a container's name and a number, another each time, to a token.
        states: how long tokens last, as their answer says.
        locked: a container whose tokens need a subscription key, and the key.

    """

    def __init__(
        self,
        mint: Callable[[str, int], str],
        *,
        states: timedelta,
        locked: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(_Tokens)
        self.mint = mint
        self.states = states
        self.locked = locked
        self.tokens: list[str] = []
        """All that were given out."""
        self.refused = 0
        """Requests without the key they needed."""


class _Tokens(Quiet):
    server: TokenServer

    def do_GET(self) -> None:
        server, container = self.server, urlsplit(self.path).path.rpartition("/")[2]
        with server.lock:
            key = self.headers.get(SUBSCRIPTION_HEADER, "")
            if server.locked and container == server.locked[0] and key != server.locked[1]:
                server.refused += 1
                self.answer(401, b'{"message": "Access denied: no subscription key."}')
                return
            token = server.mint(container, len(server.tokens))
            server.tokens.append(token)
        expiry = (datetime.now(UTC) + server.states).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = json.dumps({"msft:expiry": expiry, "token": token}).encode()
        self.answer(200, body, {"Content-Type": "application/json"})
