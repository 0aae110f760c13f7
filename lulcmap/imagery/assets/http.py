"""Request a range of bytes from an HTTP server, over pooled connections."""

import logging
import re
import ssl
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, ProxyError
from urllib3.util import Retry, Timeout, create_urllib3_context, make_headers

from lulcmap.catalog import is_private
from lulcmap.errors import UsageError
from lulcmap.imagery.assets.connections import POOLS, PUBLIC_POOLS, PrivateAddressError
from lulcmap.system import ca_bundle, proxy_of

MAX_CONNECTIONS = 32
"""Requests in flight at once: enough to hide 30 ms of latency behind decoding on many cores."""

SMALL_BYTES = 32768
"""Largest file that is taken whole from a server that does not send its parts."""

_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S = 20.0, 60.0
"""Timeouts of an attempt: to connect, and between two bytes."""

_BODY_TIMEOUT_S = 300.0
"""Longest time to read the body of one response."""

_MAX_REDIRECTS = 3

_MIN_BYTES_PER_S = 50_000
"""Rate below which a body is too slow, once it took as long as a server may be silent."""


class FetchError(Exception):
    """An asset's bytes cannot be fetched; the message says why, without any URL."""


class Part(NamedTuple):
    """A range of bytes of an asset."""

    body: bytes
    """Bytes of the range."""

    total: int | None
    """Size of the asset, bytes; None if its server does not tell."""

    whole: bytes | None = None
    """All bytes of a small asset whose server does not send its parts."""


NO_ANSWER, NO_RETRY, UNREACHABLE = 0, -1, -2
"""In place of an HTTP status: the server hung up or is too slow; retrying does not help; no
connection can be made."""

_PIECE_BYTES = 256 * 1024
"""Bytes of a body read at once."""


class AttemptError(FetchError):
    """An attempt failed. Arguments: reason, HTTP status or its stand-in, Retry-After."""

    def __str__(self) -> str:
        """Return the reason."""
        return str(self.args[0])


def _names_no_url(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Failed to parse headers (url=")


# The only urllib3 warning with a URL and its token in it, and Python prints warnings by default.
logging.getLogger("urllib3.connection").addFilter(_names_no_url)


class Servers:
    """Pools of connections, through the proxies that the environment names.

    Args:
        private: whether to read from servers in a private network. A proxy resolves names itself.

    """

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._managers: dict[str | None, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def get(self, url: str, start: int, length: int, min_length: int) -> Part:
        """Request a range of bytes once.

        Args:
            url: URL of the asset, signed if need be.
            start: first byte.
            length: number of bytes.
            min_length: fewest bytes that suffice, where the asset ends before the range does.

        Raises:
            AttemptError: the attempt failed.
            UsageError: the environment's proxy or certificates cannot be used.

        """
        try:
            response = self._send(url, f"bytes={start}-{start + length - 1}")
            if response.status == 416 and min_length == 0:
                # The asset ends before the range does, which some servers refuse; or before it.
                response.close()
                size = str(response.headers.get("Content-Range")).rpartition("/")[2]  # bytes */9
                if size.isdecimal() and int(size) <= start:
                    return Part(b"", int(size))
                last = int(size) - 1 if size.isdecimal() else ""
                response = self._send(url, f"bytes={start}-{last}")
            with response:  # closed: an unwanted body may be gigabytes
                return _part(response, start, length, min_length)
        except PrivateAddressError:
            raise AttemptError("its server is in a private network", NO_RETRY, None) from None
        except (HTTPError, OSError, ValueError) as error:
            raise _attempt_error(error) from None

    def _send(self, url: str, wanted: str) -> urllib3.BaseHTTPResponse:
        """Request a range of bytes, redirects followed; each server is checked like the first."""
        for _ in range(_MAX_REDIRECTS + 1):
            parts = urlsplit(url)
            if parts.scheme not in POOLS or not parts.hostname:
                raise ValueError("redirected to something else than a web server")
            if not self._private and is_private(parts.hostname):
                raise PrivateAddressError
            response = self._manager(url).request(
                "GET",
                url,
                headers={"Range": wanted, "Accept-Encoding": "identity"},
                retries=Retry(total=None, connect=0, read=0, redirect=0, status=0, other=0),
                redirect=False,
                timeout=Timeout(connect=_CONNECT_TIMEOUT_S, read=_READ_TIMEOUT_S),
                preload_content=False,
            )
            target = response.get_redirect_location()
            if not target:
                return response
            with response, suppress(HTTPError, OSError):
                response.read1(_PIECE_BYTES)  # usually all, so that the connection can be kept
            url = urljoin(url, target)
        raise AttemptError("its server redirects too often", NO_RETRY, None)

    def _manager(self, url: str) -> urllib3.PoolManager:
        proxy = proxy_of(url)
        with self._lock:
            if proxy not in self._managers:
                self._managers[proxy] = self._create_manager(proxy)
            return self._managers[proxy]

    def _create_manager(self, proxy: str | None) -> urllib3.PoolManager:
        pools: dict[str, Any] = {
            "num_pools": 64,
            "maxsize": 2 * MAX_CONNECTIONS,
            "ssl_context": _ssl_context(),
        }
        if proxy is not None:
            return _proxy_manager(proxy, pools)
        manager = urllib3.PoolManager(**pools)
        manager.pool_classes_by_scheme = POOLS if self._private else PUBLIC_POOLS
        return manager

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            for manager in self._managers.values():
                manager.clear()


def _proxy_manager(proxy: str, pools: dict[str, Any]) -> urllib3.PoolManager:
    """Pools of connections through a proxy.

    Raises:
        UsageError: a package that it needs is not installed.

    """
    if proxy.startswith("socks"):
        try:
            from urllib3.contrib.socks import SOCKSProxyManager
        except ImportError:
            raise UsageError(
                f"The environment names a proxy of the kind {proxy.partition('://')[0]}://, which "
                "needs PySocks: pip install pysocks."
            ) from None
        return SOCKSProxyManager(proxy, **pools)
    parts = urlsplit(proxy)
    login = unquote(parts.netloc.rpartition("@")[0]) or None
    manager = urllib3.ProxyManager(
        parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(),
        proxy_headers=make_headers(proxy_basic_auth=login),
        proxy_ssl_context=_ssl_context(),
        **pools,
    )
    manager.pool_classes_by_scheme = POOLS
    return manager


def _ssl_context() -> ssl.SSLContext:
    """One context for all connections: loading the certificates takes longer than a request."""
    path = ca_bundle()
    context = create_urllib3_context()
    if Path(path).is_dir():
        context.load_verify_locations(capath=path)
    else:
        context.load_verify_locations(path)
    return context


def _part(response: urllib3.BaseHTTPResponse, start: int, length: int, min_length: int) -> Part:
    """Read what a server answered to a request for a range."""
    if response.status == 206:
        part = _read_part(response, start, length)
    elif response.status == 200 and start == 0:
        part = _read_whole(response, length)
    elif response.status == 200:
        # Only the first bytes show that it is the file, and not a page of a proxy.
        raise AttemptError("its server does not support range requests", 200, None)
    elif response.status == 416 and min_length == 0:
        return Part(b"", None)
    else:
        raise AttemptError(
            f"HTTP {response.status}", response.status, response.headers.get("Retry-After")
        )
    if len(part.body) < min_length:
        reason = f"only {len(part.body)} of {min_length} bytes arrived"
        raise AttemptError(reason, response.status, None)
    return part


def _read_whole(response: urllib3.BaseHTTPResponse, length: int) -> Part:
    """Read a small file that was sent whole."""
    size = str(response.headers.get("Content-Length", 0))
    if not size.isdecimal() or int(size) > SMALL_BYTES:
        raise AttemptError("its server does not support range requests", 200, None)
    body = _read_body(response, SMALL_BYTES + 1)
    if len(body) > SMALL_BYTES:
        raise AttemptError("its server does not support range requests", 200, None)
    return Part(body[:length], len(body), body)


def _read_part(response: urllib3.BaseHTTPResponse, start: int, length: int) -> Part:
    """Read a response with a part of a file."""
    content_range = str(response.headers.get("Content-Range"))  # bytes 0-99/12345
    size = str(response.headers.get("Content-Length", 0))
    is_requested = content_range.startswith(f"bytes {start}-")
    if not is_requested or not size.isdecimal() or int(size) > length:
        raise AttemptError("its server sent another range than requested", 206, None)
    body = _read_body(response, length + 1)  # one more, to check that it ends there
    if len(body) > length:
        raise AttemptError("its server sent another range than requested", 206, None)
    total = content_range.rpartition("/")[2]
    return Part(body, int(total) if total.isdecimal() else None)


def _read_body(response: urllib3.BaseHTTPResponse, max_length: int) -> bytes:
    """Read a body, at most ``max_length`` bytes of it, unless it is too slow."""
    allowed = min(_BODY_TIMEOUT_S, _READ_TIMEOUT_S + max_length / _MIN_BYTES_PER_S)
    pieces, left, end = [], max_length, time.monotonic() + allowed
    try:
        while left and (piece := response.read1(min(left, _PIECE_BYTES))):
            pieces.append(piece)
            left -= len(piece)
            if time.monotonic() > end:
                raise AttemptError("its server is too slow", NO_ANSWER, None)
    except (HTTPError, OSError):
        raise AttemptError("the response was cut short", 206, None) from None
    return b"".join(pieces)


def _attempt_error(error: Exception) -> AttemptError:
    """Describe an error without the URL that urllib3 puts into its messages."""
    reason = getattr(error, "reason", None)
    cause: Any = reason if isinstance(reason, BaseException) else error
    if isinstance(cause, ProxyError):
        return _proxy_error(cause)
    if isinstance(cause, ValueError):
        return AttemptError("its address, or where it redirects to, is not valid", NO_RETRY, None)
    if any(isinstance(inner, ssl.CertificateError) for inner in cause.args):
        return AttemptError("its server's certificate is not valid", NO_RETRY, None)
    unreachable = {
        "NameResolutionError": "its server's name cannot be resolved",
        "NewConnectionError": "its server cannot be reached",
        "ConnectTimeoutError": "its server cannot be reached",
    }
    broken = {
        "ReadTimeoutError": f"its server did not answer within {_READ_TIMEOUT_S:g} s",
        "ProtocolError": "the connection broke",
        "SSLError": "the connection broke",
    }
    kind = type(cause).__name__
    if kind in unreachable:
        return AttemptError(unreachable[kind], UNREACHABLE, None)
    return AttemptError(broken.get(kind, kind), NO_ANSWER, None)


def _proxy_error(error: ProxyError) -> AttemptError:
    """Describe an error of a proxy: it may itself have failed to reach the server."""
    match = re.search(r"Tunnel connection failed: (\d{3})", str(error))
    if match:
        return AttemptError(f"the proxy answers HTTP {match[1]}", UNREACHABLE, None)
    return AttemptError("the proxy cannot be reached", NO_ANSWER, None)
