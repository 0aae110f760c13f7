"""Bytes of assets, a range at a time: from a server or from a local file.

GDAL never touches the network: so an answer's status is known, an expired token is renewed in the
middle of a file, a busy host is left alone by all threads at once, and no signed URL reaches a
message of GDAL's.
"""

import ipaddress
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ProxyError
from urllib3.util import Retry, Timeout, make_headers

CONNECTIONS = 32
"""Requests in flight at once: enough to hide 30 ms of latency behind inflating on many cores."""

PATIENCE = 300.0
"""Seconds an asset is waited for while its host says that it is busy (429) or down (5xx)."""

_CONNECT, _SILENCE = 20.0, 60.0
"""Seconds to connect, and without a byte, after which an attempt has failed."""

_LONGEST_PAUSE = 60.0
"""Seconds between two questions to a busy host that does not say when to come back."""

_BUSY = (429, 500, 502, 503, 504)
_REFUSED = (401, 403)

Range = tuple[int, int]
"""First byte, and number of bytes."""


class FetchError(Exception):
    """An asset's bytes cannot be had; the text says why, without any URL."""


class _Part(NamedTuple):
    """Some bytes of an asset."""

    body: bytes
    """The bytes."""

    of: int | None
    """How many there are in all; None where its server does not say."""


class _AttemptError(FetchError):
    """One attempt failed: the reason, the HTTP status (0 without one), its Retry-After."""

    def __str__(self) -> str:
        """The reason."""
        return str(self.args[0])


class Sign(Protocol):
    """Turns an asset's href into a URL that can be opened now."""

    def __call__(self, href: str, *, anew: bool = False) -> str:
        """The URL; anew, after the last one was refused."""
        ...


def unsigned(href: str, *, anew: bool = False) -> str:  # noqa: ARG001 - as of ``Sign``
    """The href itself."""
    return href


class Fetcher:
    """Gets ranges of bytes; shared by threads.

    Args:
        sign: from an asset's href to the URL to open, asked right before each request.
        retries: further attempts after a failure that is no busy host.
        private: whether servers in a private network may be asked.
        patience: seconds to wait for a busy host.
        pause: seconds before the first retry, doubled each time.

    """

    def __init__(
        self,
        *,
        sign: Sign = unsigned,
        retries: int = 3,
        private: bool = True,
        patience: float = PATIENCE,
        pause: float = 0.5,
    ) -> None:
        self._sign = sign
        self._retries = retries
        self._patience = patience
        self._pause = pause
        self._closed = threading.Event()
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="fetch")
        self._servers = _Servers(private=private)
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """End what waits; what a server holds ends with its time-out."""
        self._closed.set()
        self._pool.shutdown(wait=False)  # what is queued there ends by itself
        self._servers.close()

    def start(self, href: str, ranges: Sequence[Range]) -> list[Future[bytes]]:
        """Ask for several ranges of one asset at once; ``get`` says what their results raise.

        Args:
            href: absolute local path, or unsigned URL.
            ranges: inside the asset.

        Raises:
            FetchError: the fetcher was closed.

        """
        self._sleep(0)
        return [self._pool.submit(self.get, href, *part) for part in ranges]

    def get(self, href: str, start: int, length: int, *, whole: bool = True) -> bytes:
        """One range of an asset.

        Args:
            href: absolute local path, or unsigned URL.
            start: first byte.
            length: number of bytes.
            whole: whether fewer bytes, where the asset ends, are an error.

        Raises:
            FetchError: it cannot be had.
            ProviderError: no token can be had.

        """
        self._sleep(0)
        least = length if whole else 0
        if "://" not in href:
            return _local(Path(href), start, length, least).body
        return self._ask(href, start, length, least).body

    def size(self, href: str) -> int:
        """Bytes of an asset.

        Args:
            href: absolute local path, or unsigned URL.

        Raises:
            FetchError: it cannot be had, or its server does not say.
            ProviderError: no token can be had.

        """
        part = _local(Path(href), 0, 1, 1) if "://" not in href else self._ask(href, 0, 1, 1)
        if part.of is None:
            raise FetchError("its server does not say how long it is")
        return part.of

    def _ask(self, href: str, start: int, length: int, least: int) -> _Part:
        failures, busy_since, anew = 0, None, False
        while True:
            url = self._sign(href, anew=anew)
            host = self._host(url)
            if host.rest() > self._patience:
                raise FetchError("its server asks to be left alone for too long")
            self._sleep(host.rest())
            try:
                part = self._servers.ask(url, start, length, least)
            except _AttemptError as failure:
                reason, status, retry_after = failure.args
            else:
                host.well()
                return part
            anew = status in _REFUSED
            if status in _BUSY:
                now = time.monotonic()
                busy_since = now if busy_since is None else busy_since
                if now + host.busy(retry_after, self._pause) - busy_since > self._patience:
                    raise FetchError(reason)
                continue
            failures += 1
            if failures > self._retries:
                raise FetchError(reason)
            if not anew or failures > 1:  # a token that has just expired is no reason to wait
                self.rest(failures)

    def rest(self, failures: int) -> None:
        """Pause after so many failures.

        Raises:
            FetchError: the fetcher was closed.

        """
        self._sleep(self._pause * 2 ** (failures - 1))

    def _host(self, url: str) -> "_Host":
        name = urlsplit(url).netloc
        with self._lock:
            return self._hosts.setdefault(name, _Host())

    def _sleep(self, seconds: float) -> None:
        if self._closed.wait(seconds) if seconds > 0 else self._closed.is_set():
            raise FetchError("reading was ended")


class _Host:
    """How one host is, for all threads: when it may be asked again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until = 0.0
        self._times = 0

    def rest(self) -> float:
        """Seconds to leave it alone."""
        with self._lock:
            return self._until - time.monotonic()

    def well(self) -> None:
        """It has answered."""
        with self._lock:
            self._times = 0

    def busy(self, retry_after: str | None, pause: float) -> float:
        """It asked to be left alone; gives the seconds it is."""
        with self._lock:
            now = time.monotonic()
            if now >= self._until:  # else others in flight at the same time were told so too
                wanted = _seconds(retry_after)
                if wanted is None:
                    wanted = min(pause * 2**self._times, _LONGEST_PAUSE)
                    wanted *= random.uniform(0.75, 1.25)
                    self._times += 1
                self._until = now + wanted
            return self._until - now


class _Servers:
    """Pools of connections, through the environment's proxies where it names some."""

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._managers: dict[str | None, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def ask(self, url: str, start: int, length: int, least: int) -> _Part:
        """A range of bytes, or what there is of it, but at least so many.

        Raises:
            _AttemptError: it could not be had this time.

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
                    raise _AttemptError(f"only {len(part.body)} of {least} bytes came", 206, None)
                return part
            if answer.status == 200:
                answer.close()  # the rest may be gigabytes
                raise _AttemptError("its server does not serve parts of files", 200, None)
            answer.drain_conn()
        except (HTTPError, OSError, ValueError) as error:  # ValueError: redirected to no URL
            raise _AttemptError(_plain(error), 0, None) from None
        if answer.status == 416 and least == 0:  # nothing is there
            return _Part(b"", None)
        raise _AttemptError(
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
        pools: dict[str, Any] = {"num_pools": 64, "maxsize": CONNECTIONS}
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
        raise _AttemptError("its server is in a private network", 0, None)


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


def _part(answer: urllib3.BaseHTTPResponse, start: int, length: int) -> _Part:
    """What an answer with a part of a file holds."""
    said = str(answer.headers.get("Content-Range"))  # bytes 0-99/12345
    coming = str(answer.headers.get("Content-Length", 0))
    if not said.startswith(f"bytes {start}-") or not coming.isdecimal() or int(coming) > length:
        answer.close()  # it may be gigabytes
        raise _AttemptError("its server gave another part of it than was asked for", 206, None)
    body = answer.read()
    answer.release_conn()
    if len(body) > length:
        raise _AttemptError("its server gave another part of it than was asked for", 206, None)
    total = said.rpartition("/")[2]
    return _Part(body, int(total) if total.isdecimal() else None)


def _local(path: Path, start: int, length: int, least: int) -> _Part:
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            body, size = file.read(length), path.stat().st_size
    except FileNotFoundError:
        raise FetchError("there is no such file") from None
    except OSError as error:
        raise FetchError(error.strerror or type(error).__name__) from error
    if len(body) < least:
        raise FetchError(f"it ends after {size} bytes, before its pixels do")
    return _Part(body, size)


def _seconds(retry_after: str | None) -> float | None:
    """What a server says of when to come back: seconds, or a date."""
    if not retry_after:
        return None
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(parsedate_to_datetime(retry_after).timestamp() - time.time(), 0)
    except ValueError:
        return None


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
