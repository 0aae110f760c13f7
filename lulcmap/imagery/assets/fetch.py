"""Bytes of assets, a range at a time: from a server or from a local file.

GDAL never touches the network: so an answer's status is known, an expired token is renewed in the
middle of a file, a busy host is left alone by all threads at once, and no signed URL reaches a
message of GDAL's.
"""

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import inf
from pathlib import Path
from urllib.parse import urlsplit

from lulcmap.catalog import Sign, unsigned
from lulcmap.errors import ProviderError
from lulcmap.imagery.assets.http import (
    CONNECTIONS,
    NO_ANSWER,
    NO_USE,
    AttemptError,
    FetchError,
    Part,
    Servers,
)
from lulcmap.system import retry_after_seconds as retry_after_seconds

__all__ = ["PATIENCE", "FetchError", "Fetcher", "Sign", "unsigned"]

PATIENCE = 300.0
"""Seconds that a host is waited for which is busy (429), down (5xx) or out of reach."""

_ALONE = 0.2
"""Of the patience, for an asset that fails so while its host gives others."""

_LONGEST_PAUSE = 60.0
"""Seconds between two questions to a busy host that does not say when to come back."""

_BUSY = (NO_ANSWER, 429, 500, 502, 503, 504)
_REFUSED = (401, 403)

Range = tuple[int, int]
"""First byte, and number of bytes."""


@dataclass(slots=True)
class _Trouble:
    """Of one request with its host."""

    since: float
    """On the monotonic clock."""

    times: int = 0
    """Pauses for the asset's sake."""


class Fetcher:
    """Gets ranges of bytes; shared by threads.

    Args:
        sign: from an asset's href to the URL to open, asked right before each request.
        retries: further attempts after a failure that is no busy host.
        private: whether servers in a private network may be asked.
        patience: seconds to wait for a host that gives nothing.
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
        self._servers = Servers(private=private)
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
            ProviderError: no token can be had, or its host is down for longer than the patience.

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
            ProviderError: no token can be had, or its host is down.

        """
        part = _local(Path(href), 0, 1, 1) if "://" not in href else self._ask(href, 0, 1, 1)
        if part.of is None:
            raise FetchError("its server does not say how long it is")
        return part.of

    def _ask(self, href: str, start: int, length: int, least: int) -> Part:
        failures, trouble, anew = 0, None, False
        while True:
            url = self._sign(href, anew=anew)
            anew = False
            host = self._host(url)
            if (rest := host.rest()) > 0:
                self._sleep(rest)
                continue  # with a URL that is signed now
            asked = time.monotonic()
            try:
                part = self._servers.ask(url, start, length, least)
            except AttemptError as failure:
                reason, status, retry_after = failure.args
            else:
                host.well(asked)
                return part
            if status in _BUSY:
                trouble = trouble or _Trouble(time.monotonic())
                self._wait(host, trouble, reason, status, retry_after)
                continue
            failures += 1
            if failures > self._retries or status == NO_USE:
                raise FetchError(reason)
            anew = status in _REFUSED
            if not anew or failures > 1:  # a token that just expired is no reason to wait
                self.rest(failures)

    def _wait(
        self, host: "_Host", trouble: _Trouble, reason: str, status: int, retry_after: str | None
    ) -> None:
        """Leave a host alone that is in trouble; or only an asset, if the host gives others.

        Raises:
            FetchError: it is the asset, and it was waited for long enough.
            ProviderError: it is the host, and it was.

        """
        is_told = status == 429 or retry_after is not None
        if host.gives_others(since=trouble.since):
            patience = self._patience * (1 if is_told else _ALONE)
            if time.monotonic() - trouble.since > patience:
                raise FetchError(reason)
            if not is_told:
                self._sleep(min(self._pause * 2**trouble.times, _LONGEST_PAUSE))
                trouble.times += 1
                return
        host.trouble(
            reason, retry_after, since=trouble.since, pause=self._pause, patience=self._patience
        )

    def rest(self, failures: int) -> None:
        """Pause after so many failures.

        Raises:
            FetchError: the fetcher was closed.

        """
        self._sleep(self._pause * 2 ** (failures - 1))

    def _host(self, url: str) -> "_Host":
        name = urlsplit(url).netloc.rpartition("@")[2]
        with self._lock:
            return self._hosts.setdefault(name, _Host(name))

    def _sleep(self, seconds: float) -> None:
        if self._closed.wait(seconds) if seconds > 0 else self._closed.is_set():
            raise FetchError("reading was ended")


class _Host:
    """How one host is, for all threads: when it may be asked again, and when it was last well."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._until = 0.0
        self._times = 0
        self._well = -inf

    def rest(self) -> float:
        """Seconds to leave it alone."""
        with self._lock:
            return self._until - time.monotonic()

    def gives_others(self, *, since: float) -> bool:
        """Whether it was asked since then and answered well: so what fails is the asset."""
        with self._lock:
            return self._well > since

    def well(self, asked: float) -> None:
        """It has answered what it was asked then; it may have gone down since."""
        with self._lock:
            self._times, self._well = 0, max(self._well, asked)

    def trouble(
        self, reason: str, retry_after: str | None, *, since: float, pause: float, patience: float
    ) -> None:
        """It is busy, down or out of reach: it is left alone for a while.

        Raises:
            ProviderError: it has been so for longer than anyone has patience.

        """
        with self._lock:
            now = time.monotonic()
            down_since = max(since, self._well)  # before it, perhaps nobody asked
            if now >= self._until:  # else others in flight at the same time were told so too
                own = min(pause * 2**self._times, _LONGEST_PAUSE) * random.uniform(0.75, 1.25)
                self._times += 1
                self._until = now + max(own, retry_after_seconds(retry_after, now=time.time()) or 0)
            if self._until - down_since > patience:
                raise ProviderError(
                    f"{self._name} has given nothing for {now - down_since:.0f} s ({reason}) "
                    f"and asks for {self._until - now:.0f} s more; --patience is {patience:g} s. "
                    "Run the same command again later: it goes on where it was."
                )


def _local(path: Path, start: int, length: int, least: int) -> Part:
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
    return Part(body, size)
