"""Fetch ranges of bytes of assets, from servers and from local files.

GDAL never touches the network. So the status of each response is known, an expired token is renewed
in the middle of a file, all threads leave a busy host alone together, and no signed URL reaches a
GDAL message.
"""

import os
import random
import stat
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from lulcmap.catalog import Sign, unsigned
from lulcmap.errors import ProviderError
from lulcmap.imagery.assets.http import (
    MAX_CONNECTIONS,
    NO_ANSWER,
    NO_RETRY,
    UNREACHABLE,
    AttemptError,
    FetchError,
    Part,
    Servers,
)
from lulcmap.system import retry_after_seconds

PATIENCE_S = 300.0
"""Time to wait for a host that is busy (429), down (5xx) or unreachable."""

_LOST_PATIENCE_SHARE = 0.2
"""Share of the patience for an asset that fails this way while its host serves others, and for a
host to which no connection can be made while others answer."""

_MAX_PAUSE_S = 60.0
"""Longest pause between two requests to a busy host that sends no Retry-After."""

_BUSY_STATUSES = (NO_ANSWER, UNREACHABLE, 429, 500, 502, 503, 504)
_REFUSED_STATUSES = (401, 403)

_MAX_SMALL = 256
"""Small files kept whole, of servers that do not send parts."""

_MAX_PROBES = 8
"""Hosts asked whether they answer, when one is down."""

Range = tuple[int, int]
"""First byte and number of bytes."""


@dataclass(slots=True)
class _Trouble:
    """Trouble of one request with its host."""

    since: float
    """Start of the trouble, in seconds of the monotonic clock."""

    asset_pauses: int = 0
    """Number of pauses made for this asset alone."""


class Fetcher:
    """Fetches ranges of bytes; threads may share it.

    Args:
        sign: function that turns an asset's href into the URL to open, called right before each
            request.
        retries: further attempts after a failure, not counting those of a busy host.
        private: whether to read from servers in a private network.
        patience: seconds to wait for a host that is busy, down or unreachable.
        pause: seconds before the first retry, doubled each time.

    """

    def __init__(
        self,
        *,
        sign: Sign = unsigned,
        retries: int = 3,
        private: bool = True,
        patience: float = PATIENCE_S,
        pause: float = 0.5,
    ) -> None:
        self._sign = sign
        self._retries = retries
        self._patience = patience
        self._pause = pause
        self._closed = threading.Event()
        self._pool = ThreadPoolExecutor(MAX_CONNECTIONS, thread_name_prefix="fetch")
        self._servers = Servers(private=private)
        self._hosts: dict[str, _Host] = {}
        self._examples: dict[str, str] = {}  # by scheme and host, one href that was announced
        self._small: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Stop waiting requests; those a server holds end with their timeout."""
        self._closed.set()
        self._pool.shutdown(wait=False)  # queued requests fail by themselves
        self._servers.close()

    def announce(self, hrefs: Iterable[str]) -> None:
        """Note where assets are that may be read, so that it is known who else may answer.

        Args:
            hrefs: absolute local paths, or unsigned URLs.

        """
        with self._lock:
            for href in hrefs:
                self._examples.setdefault(href.partition("://")[2].partition("/")[0], href)

    def forget(self, href: str) -> None:
        """Forget what is kept of an asset, so that it is fetched again."""
        self._small.pop(href, None)

    def start(self, href: str, ranges: Sequence[Range]) -> list[Future[bytes]]:
        """Start fetching several ranges of one asset; their results raise what ``get`` does.

        Args:
            href: absolute local path, or unsigned URL.
            ranges: ranges inside the asset.

        Raises:
            FetchError: the fetcher is closed.

        """
        self._sleep(0)
        return [self._pool.submit(self.get, href, *part) for part in ranges]

    def get(self, href: str, start: int, length: int, *, whole: bool = True) -> bytes:
        """Fetch one range of an asset.

        Args:
            href: absolute local path, or unsigned URL.
            start: first byte.
            length: number of bytes.
            whole: whether it is an error if the asset ends before the range does.

        Raises:
            FetchError: the range cannot be fetched.
            ProviderError: no token is available, or the host is down for longer than the patience.

        """
        self._sleep(0)
        return self._part(href, start, length, length if whole else 0).body

    def size(self, href: str) -> int:
        """Return the size of an asset, in bytes.

        Args:
            href: absolute local path, or unsigned URL.

        Raises:
            FetchError: the asset cannot be fetched, or its server does not tell its size.
            ProviderError: no token is available, or the host is down for longer than the patience.

        """
        part = self._part(href, 0, 1, 1)
        if part.total is None:
            raise FetchError("its server does not tell its size")
        return part.total

    def _part(self, href: str, start: int, length: int, min_length: int) -> Part:
        """Fetch one range, from wherever it is."""
        if "://" not in href:
            return _read_local(Path(href), start, length, min_length)
        if (small := self._small.get(href)) is not None:
            return _cut(small, start, length, min_length)
        part = self._request(href, start, length, min_length)
        if part.whole is not None and len(self._small) < _MAX_SMALL:
            self._small[href] = part.whole
        return part

    def _request(self, href: str, start: int, length: int, min_length: int) -> Part:
        failures, trouble, anew = 0, None, False
        while True:
            url = self._sign(href, anew=anew)
            anew = False
            host = self._host(url)
            if (rest := host.rest()) > 0:
                if (reason := host.given_up) is not None:
                    raise FetchError(reason)
                self._sleep(rest)
                continue  # with a URL that is signed now
            requested_at = time.monotonic()
            try:
                part = self._servers.get(url, start, length, min_length)
            except AttemptError as failure:
                reason, status, retry_after = failure.args
            else:
                host.served(requested_at)
                return part
            if status in _BUSY_STATUSES:
                trouble = trouble or _Trouble(time.monotonic())
                self._wait(host, trouble, reason, status, retry_after)
                continue
            failures += 1
            if failures > self._retries or status == NO_RETRY:
                raise FetchError(reason)
            anew = status in _REFUSED_STATUSES
            if not anew or failures > 1:  # no need to wait after a token that just expired
                self.rest(failures)

    def _wait(
        self, host: "_Host", trouble: _Trouble, reason: str, status: int, retry_after: str | None
    ) -> None:
        """Leave a host in trouble alone, or only the asset if the host serves others.

        Raises:
            FetchError: the asset failed for longer than its share of the patience, or the host for
                longer than its own while others answer.
            ProviderError: nothing answers, for longer than the patience.

        """
        is_host_busy = status == 429 or retry_after is not None
        if host.serves_others(since=trouble.since):
            patience = self._patience * (1 if is_host_busy else _LOST_PATIENCE_SHARE)
            if time.monotonic() - trouble.since > patience:
                raise FetchError(reason)
            if not is_host_busy:
                self._sleep(min(self._pause * 2**trouble.asset_pauses, _MAX_PAUSE_S))
                trouble.asset_pauses += 1
                return
        down_s, rest_s = host.failed(retry_after, since=trouble.since, pause=self._pause)
        patience = self._patience * (_LOST_PATIENCE_SHARE if status == UNREACHABLE else 1)
        is_late = host.given_up is not None or (
            down_s + rest_s > patience and self._others_answer(host, since=trouble.since)
        )
        if is_late and not is_host_busy:  # a busy host says that it will be back
            host.given_up = reason
            raise FetchError(reason)
        if down_s + rest_s > self._patience:
            raise ProviderError(
                f"{host.name} has served nothing for {down_s:.0f} s ({reason}); the next attempt "
                f"would be in {rest_s:.0f} s, and --patience is {self._patience:g} s. Rerun the "
                "same command later; it resumes."
            )

    def _others_answer(self, host: "_Host", *, since: float) -> bool:
        """Tell whether another host serves assets, or at least answers when asked."""
        with self._lock:
            others = [other for other in self._hosts.values() if other is not host]
            examples = list(self._examples.values())
        if any(other.serves_others(since=since) for other in others):
            return True
        return any(self._answers(href, host) for href in examples[:_MAX_PROBES])

    def _answers(self, href: str, besides: "_Host") -> bool:
        if "://" not in href:
            return Path(href).is_file()
        try:
            url = self._sign(href)
            if self._host(url) is besides:
                return False
            self._servers.get(url, 0, 1, 0)
        except AttemptError as failure:
            return failure.args[1] > 0  # an HTTP status is an answer too
        except ProviderError:
            return False
        return True

    def rest(self, failures: int) -> None:
        """Pause after a number of failures, twice as long after each.

        Raises:
            FetchError: the fetcher is closed.

        """
        self._sleep(self._pause * 2 ** (failures - 1))

    def _host(self, url: str) -> "_Host":
        name = urlsplit(url).netloc.rpartition("@")[2]
        with self._lock:
            return self._hosts.setdefault(name, _Host(name))

    def _sleep(self, seconds: float) -> None:
        if self._closed.wait(seconds) if seconds > 0 else self._closed.is_set():
            raise FetchError("the reader was closed")


class _Host:
    """State of a host, for all threads: when to ask it again, when it last served a range."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.given_up: str | None = None
        """Why its assets are lost without waiting, if it is down while others answer; it is still
        asked now and then."""
        self._lock = threading.Lock()
        self._rest_until = 0.0
        self._pauses = 0
        self._last_served = -inf

    def rest(self) -> float:
        """Return the seconds for which to leave the host alone; none if 0 or less."""
        with self._lock:
            return self._rest_until - time.monotonic()

    def serves_others(self, *, since: float) -> bool:
        """Tell whether a request made after ``since`` succeeded, so that only the asset fails."""
        with self._lock:
            return self._last_served > since

    def served(self, requested_at: float) -> None:
        """Note a request that succeeded, by the time it was made: the host may be down by now."""
        with self._lock:
            self._pauses, self._last_served = 0, max(self._last_served, requested_at)
            self.given_up = None

    def failed(self, retry_after: str | None, *, since: float, pause: float) -> tuple[float, float]:
        """Leave the host alone for a while: it is busy, down or unreachable.

        Args:
            retry_after: the ``Retry-After`` header of its response, if any.
            since: time since which a request fails.
            pause: seconds of the first pause.

        Returns:
            Seconds for which it has served nothing, and for which it is left alone now.

        """
        with self._lock:
            now = time.monotonic()
            down_since = max(since, self._last_served)  # before ``since`` perhaps nobody asked
            if now >= self._rest_until:  # else a request in flight at the same time failed first
                own = min(pause * 2**self._pauses, _MAX_PAUSE_S) * random.uniform(0.75, 1.25)
                requested = retry_after_seconds(retry_after, now=time.time()) or 0
                self._pauses += 1
                self._rest_until = now + max(own, requested)
            return now - down_since, self._rest_until - now


def _cut(body: bytes, start: int, length: int, min_length: int) -> Part:
    """A range of an asset of which all bytes are there."""
    part = body[start : start + length]
    if len(part) < min_length:
        raise FetchError(f"it ends after {len(body)} bytes, before its last pixels")
    return Part(part, len(body))


def _open_local(path: Path) -> BinaryIO:
    """Open a regular file; opening a FIFO would wait for ever, and a device may do anything."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise FetchError("it is not a file")
    return open(path, "rb", buffering=0, opener=_open_without_waiting)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a FIFO since it was looked at


def _read_local(path: Path, start: int, length: int, min_length: int) -> Part:
    try:
        with _open_local(path) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(start)
            body = file.read(length)
    except FileNotFoundError:
        raise FetchError("no such file") from None
    except OSError as error:
        raise FetchError(error.strerror or type(error).__name__) from error
    if len(body) < min_length:
        raise FetchError(f"it ends after {size} bytes, before its last pixels")
    return Part(body, size)
