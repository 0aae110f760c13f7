"""HTTP servers of assets: pools of connections, and one request for a range of bytes."""

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

CONNECTIONS = 32
"""Requests in flight at once: enough to hide 30 ms of latency behind inflating on many cores."""

_CONNECT, _SILENCE = 20.0, 60.0
"""Seconds to connect, and without a byte, after which an attempt has failed."""


class FetchError(Exception):
    """An asset's bytes cannot be had; the text says why, without any URL."""


class Part(NamedTuple):
    """Some bytes of an asset."""

    body: bytes
    """The bytes."""

    of: int | None
    """How many there are in all; None where its server does not say."""


NO_ANSWER, NO_USE = 0, -1
"""In place of an HTTP status: the server could not be reached or hung up; no attempt will help."""

_LONGEST = 300.0
"""Seconds that the body of one answer may take."""

_PIECE = 256 * 1024
"""Bytes read at once."""


class AttemptError(FetchError):
    """One attempt failed: the reason, the HTTP status or what stands for it, its Retry-After."""

    def __str__(self) -> str:
        """The reason."""
        return str(self.args[0])


def _names_no_url(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Failed to parse headers (url=")


# The one warning of urllib3's that holds a URL with its token, and Python prints warnings.
logging.getLogger("urllib3.connection").addFilter(_names_no_url)


class Servers:
    """Pools of connections, through the environment's proxies where it names some.

    Args:
        private: whether servers in a private network may be asked. A proxy decides by itself.

    """

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._managers: dict[str | None, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def ask(self, url: str, start: int, length: int, least: int) -> Part:
        """A range of bytes, or what there is of it.

        Args:
            url: signed, if it must be.
            start: first byte.
            length: number of bytes.
            least: fewest bytes that will do.

        Raises:
            AttemptError: it could not be had this time.

        """
        try:
            answer = self._manager(url).request(
                "GET",
                url,
                headers={
                    "Range": f"bytes={start}-{start + length - 1}",
                    "Accept-Encoding": "identity",
                },
                retries=Retry(total=None, connect=0, read=0, redirect=3, status=0, other=0),
                timeout=Timeout(connect=_CONNECT, read=_SILENCE),
                preload_content=False,
            )
            if answer.status == 206:
                part = _part(answer, start, length)
                if len(part.body) < least:
                    raise AttemptError(f"only {len(part.body)} of {least} bytes came", 206, None)
                return part
            answer.close()  # of what is not wanted there may be gigabytes
            if answer.status == 200:
                raise AttemptError("its server does not serve parts of files", 200, None)
        except (HTTPError, OSError, ValueError) as error:  # ValueError: redirected to no URL
            raise _told(error) from None
        if answer.status == 416 and least == 0:  # nothing is there
            return Part(b"", None)
        raise AttemptError(
            f"HTTP {answer.status}", answer.status, answer.headers.get("Retry-After")
        )

    def _manager(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxies = getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        if proxy and proxy_bypass(parts.hostname or ""):
            proxy = None
        with self._lock:
            if proxy not in self._managers:
                self._managers[proxy] = self._made(proxy)
            return self._managers[proxy]

    def _made(self, proxy: str | None) -> urllib3.PoolManager:
        # As requests does, so that what can be searched can be read.
        trusted = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        pools: dict[str, Any] = {
            "num_pools": 64,
            "maxsize": 2 * CONNECTIONS,
            "ca_certs": trusted or certifi.where(),
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
        """Close the connections that are idle."""
        with self._lock:
            for manager in self._managers.values():
                manager.clear()


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that stand for IPv4 ones (RFC 6052)."""


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address) and found in _NAT64:
        found = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    return found.is_global and not found.is_multicast


def _public(sock: socket.socket) -> socket.socket:
    """Look at whom a connection was made to: names resolve to what their owner likes."""
    if not _is_public(sock.getpeername()[0]):
        sock.close()
        raise AttemptError("its server is in a private network", NO_USE, None)
    return sock


class _PublicHTTP(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _public(super()._new_conn())


class _PublicHTTPS(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _public(super()._new_conn())


class _PublicHTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PublicHTTP


class _PublicHTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _PublicHTTPS


def _part(answer: urllib3.BaseHTTPResponse, start: int, length: int) -> Part:
    """What an answer with a part of a file holds."""
    said = str(answer.headers.get("Content-Range"))  # bytes 0-99/12345
    coming = str(answer.headers.get("Content-Length", 0))
    if not said.startswith(f"bytes {start}-") or not coming.isdecimal() or int(coming) > length:
        answer.close()  # it may be gigabytes
        raise AttemptError("its server gave another part of it than was asked for", 206, None)
    body = _body(answer, length + 1)  # one more, to see that it ends there
    if len(body) > length:
        answer.close()
        raise AttemptError("its server gave another part of it than was asked for", 206, None)
    total = said.rpartition("/")[2]
    return Part(body, int(total) if total.isdecimal() else None)


def _body(answer: urllib3.BaseHTTPResponse, most: int) -> bytes:
    """What an answer holds, but no more than so many bytes, and not for ever."""
    pieces, left, end = [], most, time.monotonic() + _LONGEST
    try:
        while left and (piece := answer.read1(min(left, _PIECE))):
            pieces.append(piece)
            left -= len(piece)
            if time.monotonic() > end:
                answer.close()
                raise AttemptError("its server is too slow", NO_ANSWER, None)
    except (HTTPError, OSError):
        raise AttemptError("its body was cut short", 206, None) from None
    return b"".join(pieces)


def _told(error: Exception) -> AttemptError:
    """What went wrong, without the URL that urllib3 puts into its texts."""
    reason = getattr(error, "reason", None)
    cause: Any = reason if isinstance(reason, BaseException) else error
    if isinstance(cause, ProxyError):
        return AttemptError("the proxy cannot be reached", NO_ANSWER, None)
    if isinstance(cause, ValueError):
        return AttemptError("its address, or where it redirects to, is not valid", NO_USE, None)
    passing = {
        "NameResolutionError": "its server's name is unknown",
        "NewConnectionError": "its server cannot be reached",
        "ConnectTimeoutError": "its server cannot be reached",
        "ReadTimeoutError": f"its server was silent for {_SILENCE:g} s",
        "ProtocolError": "the connection broke",
        "SSLError": "the connection broke",
    }
    if isinstance(cause, ResponseError):
        return AttemptError("its server redirects too often", NO_USE, None)
    if any(isinstance(inner, ssl.CertificateError) for inner in cause.args):
        return AttemptError("its server's certificate is not valid", NO_USE, None)
    kind = type(cause).__name__
    return AttemptError(passing.get(kind, kind), NO_ANSWER, None)
