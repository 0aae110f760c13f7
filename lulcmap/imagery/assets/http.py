"""Request a range of bytes from an HTTP server, over pooled connections."""

import ipaddress
import logging
import os
import socket
import ssl
import threading
import time
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ProxyError, ResponseError
from urllib3.util import Retry, Timeout, make_headers

MAX_CONNECTIONS = 32
"""Requests in flight at once: enough to hide 30 ms of latency behind decoding on many cores."""

_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S = 20.0, 60.0
"""Timeouts of an attempt: to connect, and between two bytes."""


class FetchError(Exception):
    """An asset's bytes cannot be fetched; the message says why, without any URL."""


class Part(NamedTuple):
    """A range of bytes of an asset."""

    body: bytes
    """Bytes of the range."""

    total: int | None
    """Size of the asset, bytes; None if its server does not tell."""


NO_ANSWER, NO_RETRY = 0, -1
"""In place of an HTTP status: the server is unreachable or hung up; retrying does not help."""

_BODY_TIMEOUT_S = 300.0
"""Longest time to read the body of one response."""

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
        private: whether to read from servers in a private network. A proxy decides by itself.

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

        """
        try:
            response = self._manager(url).request(
                "GET",
                url,
                headers={
                    "Range": f"bytes={start}-{start + length - 1}",
                    "Accept-Encoding": "identity",
                },
                retries=Retry(total=None, connect=0, read=0, redirect=3, status=0, other=0),
                timeout=Timeout(connect=_CONNECT_TIMEOUT_S, read=_READ_TIMEOUT_S),
                preload_content=False,
            )
            if response.status == 206:
                part = _read_part(response, start, length)
                if len(part.body) < min_length:
                    reason = f"only {len(part.body)} of {min_length} bytes arrived"
                    raise AttemptError(reason, 206, None)
                return part
            response.close()  # the unwanted body may be gigabytes
            if response.status == 200:
                raise AttemptError("its server does not support range requests", 200, None)
        except (
            HTTPError,
            OSError,
            ValueError,
        ) as error:  # ValueError: redirected to an invalid URL
            raise _attempt_error(error) from None
        if response.status == 416 and min_length == 0:  # the asset ends before ``start``
            return Part(b"", None)
        raise AttemptError(
            f"HTTP {response.status}", response.status, response.headers.get("Retry-After")
        )

    def _manager(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxies = getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        if proxy and proxy_bypass(parts.hostname or ""):
            proxy = None
        with self._lock:
            if proxy not in self._managers:
                self._managers[proxy] = self._create_manager(proxy)
            return self._managers[proxy]

    def _create_manager(self, proxy: str | None) -> urllib3.PoolManager:
        # The same CA bundle as requests, so that where the catalogue is trusted its assets are.
        ca_bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        pools: dict[str, Any] = {
            "num_pools": 64,
            "maxsize": 2 * MAX_CONNECTIONS,
            "ca_certs": ca_bundle or certifi.where(),
        }
        if proxy:
            parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            login = unquote(parts.netloc.rpartition("@")[0]) or None
            bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
            return urllib3.ProxyManager(
                bare, proxy_headers=make_headers(proxy_basic_auth=login), **pools
            )
        manager = urllib3.PoolManager(**pools)
        if not self._private:
            manager.pool_classes_by_scheme = {"http": _PublicHTTPPool, "https": _PublicHTTPSPool}
        return manager

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            for manager in self._managers.values():
                manager.clear()


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that stand for IPv4 ones (RFC 6052)."""


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip in _NAT64:
        ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.is_global and not ip.is_multicast


def _check_public(sock: socket.socket) -> socket.socket:
    """Refuse a connection to a private address; checked here because a name may resolve to any."""
    if not _is_public(sock.getpeername()[0]):
        sock.close()
        raise AttemptError("its server is in a private network", NO_RETRY, None)
    return sock


class _PublicHTTP(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _check_public(super()._new_conn())


class _PublicHTTPS(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _check_public(super()._new_conn())


class _PublicHTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PublicHTTP


class _PublicHTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _PublicHTTPS


def _read_part(response: urllib3.BaseHTTPResponse, start: int, length: int) -> Part:
    """Read a response with a part of a file."""
    content_range = str(response.headers.get("Content-Range"))  # bytes 0-99/12345
    size = str(response.headers.get("Content-Length", 0))
    is_requested = content_range.startswith(f"bytes {start}-")
    if not is_requested or not size.isdecimal() or int(size) > length:
        response.close()  # it may be gigabytes
        raise AttemptError("its server sent another range than requested", 206, None)
    body = _read_body(response, length + 1)  # one more, to check that it ends there
    if len(body) > length:
        response.close()
        raise AttemptError("its server sent another range than requested", 206, None)
    total = content_range.rpartition("/")[2]
    return Part(body, int(total) if total.isdecimal() else None)


def _read_body(response: urllib3.BaseHTTPResponse, max_length: int) -> bytes:
    """Read a body, at most ``max_length`` bytes of it, within ``_BODY_TIMEOUT_S``."""
    pieces, left, end = [], max_length, time.monotonic() + _BODY_TIMEOUT_S
    try:
        while left and (piece := response.read1(min(left, _PIECE_BYTES))):
            pieces.append(piece)
            left -= len(piece)
            if time.monotonic() > end:
                response.close()
                raise AttemptError("its server is too slow", NO_ANSWER, None)
    except (HTTPError, OSError):
        raise AttemptError("the response was cut short", 206, None) from None
    return b"".join(pieces)


def _attempt_error(error: Exception) -> AttemptError:
    """Describe an error without the URL that urllib3 puts into its messages."""
    reason = getattr(error, "reason", None)
    cause: Any = reason if isinstance(reason, BaseException) else error
    if isinstance(cause, ProxyError):
        return AttemptError("the proxy cannot be reached", NO_ANSWER, None)
    if isinstance(cause, ValueError):
        return AttemptError("its address, or where it redirects to, is not valid", NO_RETRY, None)
    reasons = {
        "NameResolutionError": "its server's name cannot be resolved",
        "NewConnectionError": "its server cannot be reached",
        "ConnectTimeoutError": "its server cannot be reached",
        "ReadTimeoutError": f"its server sent nothing for {_READ_TIMEOUT_S:g} s",
        "ProtocolError": "the connection broke",
        "SSLError": "the connection broke",
    }
    if isinstance(cause, ResponseError):
        return AttemptError("its server redirects too often", NO_RETRY, None)
    if any(isinstance(inner, ssl.CertificateError) for inner in cause.args):
        return AttemptError("its server's certificate is not valid", NO_RETRY, None)
    kind = type(cause).__name__
    return AttemptError(reasons.get(kind, kind), NO_ANSWER, None)
