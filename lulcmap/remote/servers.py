"""HTTP servers of assets: pools of connections, and one request for a range of bytes."""

import ipaddress
import threading
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ProxyError
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


class AttemptError(FetchError):
    """One attempt failed: the reason, the HTTP status (0 without one), its Retry-After."""

    def __str__(self) -> str:
        """The reason."""
        return str(self.args[0])


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
            if answer.status == 200:
                answer.close()  # the rest may be gigabytes
                raise AttemptError("its server does not serve parts of files", 200, None)
            answer.drain_conn()
        except (HTTPError, OSError, ValueError) as error:  # ValueError: redirected to no URL
            raise AttemptError(_plain(error), 0, None) from None
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
        pools: dict[str, Any] = {"num_pools": 64, "maxsize": 2 * CONNECTIONS}
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


def _refuse_private(connection: HTTPConnection) -> None:
    """Look at whom a connection was made to: names resolve to what their owner likes."""
    sock = connection.sock
    if sock is not None and not ipaddress.ip_address(sock.getpeername()[0]).is_global:
        connection.close()
        raise AttemptError("its server is in a private network", 0, None)


class _PublicHTTP(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _refuse_private(self)


class _PublicHTTPS(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _refuse_private(self)


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
    body = answer.read(length + 1)  # one more, to see that it ends there
    if len(body) > length:
        answer.close()
        raise AttemptError("its server gave another part of it than was asked for", 206, None)
    total = said.rpartition("/")[2]
    return Part(body, int(total) if total.isdecimal() else None)


def _plain(error: BaseException) -> str:
    """What went wrong, without the URL that urllib3 puts into its texts."""
    reason = getattr(error, "reason", None)
    cause: Any = reason if isinstance(reason, BaseException) else error
    if isinstance(cause, ProxyError):
        return "the proxy cannot be reached"
    said: dict[str, str] = {
        "NameResolutionError": "its server's name is unknown",
        "NewConnectionError": "its server cannot be reached",
        "ConnectTimeoutError": "its server cannot be reached",
        "ReadTimeoutError": f"its server was silent for {_SILENCE:g} s",
        "ProtocolError": "the connection broke",
        "ResponseError": "its server redirects too often",
        "SSLError": "its server's certificate is not valid",
    }
    if isinstance(cause, ValueError):
        return "its address, or one that its server redirects to, is not valid"
    return said.get(type(cause).__name__, type(cause).__name__)
