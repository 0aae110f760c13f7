"""Requests to a STAC server, with retries, pauses that threads share, and bounds.

Its answers are data and are not trusted: redirects are followed on the server's own host only, and
an answer may take its time and its memory, and no more.
"""

import json
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from math import ceil
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

from lulcmap.errors import ProviderError
from lulcmap.system import connection_fault, public_url, retry_after_seconds

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

T = TypeVar("T")

_BUSY_TRIES, _TRIES = 9, 6
"""Tries of a request to a server that is busy (about three minutes) or not reached."""

_MAX_PAUSE_S, _MAX_RETRY_AFTER_S = 60.0, 300.0
"""Longest pause between tries, seconds: our own, and one that the server asks for."""

_MAX_REDIRECTS = 5

_TIMEOUTS_S = (10.0, 60.0)
"""Timeouts to connect and between two bytes, seconds."""

_MAX_ANSWER_BYTES = 64 * 1024**2
"""Most bytes of one answer: a hundred items have a tenth of it."""

_CHECK_ROOT = "Check that this is the root of a STAC API."
_TRY_LATER = "Check the address and the network, or try again later."


class RequestRefusedError(ProviderError):
    """The server refuses a request for good; it may accept another one."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class PassingError(Exception):
    """A request failed in a way that may pass."""

    def __init__(
        self,
        what: str,
        *,
        tries: int = _BUSY_TRIES,
        retry_after: float = 0.0,
        for_all: bool = False,
        heavy: bool = True,
    ) -> None:
        super().__init__(what)
        self.tries = tries
        """Tries that such a request gets."""
        self.retry_after = retry_after
        """Pause that the server asks for, seconds."""
        self.for_all = for_all
        """Whether all threads must pause."""
        self.heavy = heavy
        """Whether a smaller answer might have succeeded."""


class Connection:
    """Requests to one server; threads share it. When it tells one of them to wait, all wait."""

    def __init__(
        self,
        url: str,
        session: "requests.Session",
        wait: Callable[[float], object] | None,
        now: Callable[[], float],
    ) -> None:
        self.url = url
        self.stop = threading.Event()
        self._session, self._wait, self._now = session, wait or self.stop.wait, now
        self._not_before, self._lock = now(), threading.Lock()
        self._warned = False

    def failed(self, what: str, todo: str = _CHECK_ROOT, *, status: int = 0) -> ProviderError:
        """The error to raise, one line.

        Args:
            what: what failed.
            todo: sentence about what to do next.
            status: HTTP status, if the server refused a request for good.

        """
        line = f"The catalogue {public_url(self.url)} failed: {what}. {todo}"
        return RequestRefusedError(line, status) if status else ProviderError(line)

    def is_ours(self, href: str) -> bool:
        """Whether a URL is on the server's own host and port; https instead of http is allowed."""
        try:
            link, own = urlsplit(href), urlsplit(self.url)
            ports = {"http": 80, "https": 443}
            if link.scheme not in ports or link.hostname != own.hostname:
                return False
            port = link.port or ports[link.scheme]
            if link.scheme == own.scheme:
                return port == (own.port or ports[own.scheme])
            return (link.scheme, port) == ("https", 443)
        except (ValueError, KeyError):
            return False

    def patiently(self, read: Callable[[], T], failed: Callable[[int], object]) -> T:
        """The result of a call that makes one request, repeated where that may help.

        Args:
            read: the call.
            failed: called with the number of failures so far, where a smaller answer might have
                succeeded.

        Raises:
            ProviderError: the server stays down.

        """
        failures = Counter[int]()
        not_before = self._now()
        while True:
            self._pause(not_before)
            try:
                return read()
            except PassingError as error:
                failures[error.tries] += 1
                times = failures.total()
                if error.heavy:
                    failed(times)
                if failures[error.tries] >= error.tries:
                    raise self.failed(f"{error}, {times} times in a row", _TRY_LATER) from None
                not_before = self._next_try(error, times)

    def _next_try(self, error: PassingError, times: int) -> float:
        """When to try again after a failure, seconds of the clock."""
        backoff = min(_MAX_PAUSE_S, 2.0 ** (times - 1))
        pause = max(error.retry_after, backoff) + random.random()
        # the first as a warning, for someone may be waiting
        level, self._warned = logging.INFO if self._warned else logging.WARNING, True
        what = public_url(self.url)
        logger.log(level, "The catalogue %s: %s; retry in %.0f s.", what, error, pause)
        not_before = self._now() + pause
        if error.for_all:
            with self._lock:
                self._not_before = max(self._not_before, not_before)
        return not_before

    def _pause(self, not_before: float) -> None:
        """Wait until a time, and as long as the server asks of all threads."""
        while not self.stop.is_set():
            seconds = max(not_before, self._not_before) - self._now()
            if seconds <= 0:
                return
            self._wait(seconds)
        raise self.failed("another query failed", _TRY_LATER)

    def request(self, method: str, href: str, terms: dict[str, Any] | None) -> str:
        """The text that answers one request, redirects on the same host followed.

        Args:
            method: ``"GET"`` or ``"POST"``.
            href: address.
            terms: query of a GET, JSON body of a POST.

        Raises:
            RequestRefusedError: the server refuses this request.
            PassingError: it may answer another time.
            ProviderError: it does not answer as a STAC API.

        """
        body = terms if method == "POST" else None
        query = terms if method == "GET" else None
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._send(method, href, body, query)
            status = response.status_code
            if status == 200:
                return self._text(response)
            response.close()  # whatever else it says is not read
            if status in (408, 429) or status >= 500:
                raise self._busy(status, response.headers.get("Retry-After"))
            target = self._redirect(response)
            if target is None:
                raise self.failed(f"HTTP {status}", _todo(status), status=status)
            href, query = target, None
        raise self.failed("it redirects in circles")

    def _send(self, method: str, href: str, body: Any, query: Any) -> "requests.Response":
        """The server's response, whatever its status; its body is not read yet."""
        try:
            return self._session.request(
                *(method, href),
                params=query,
                json=body,
                timeout=_TIMEOUTS_S,
                allow_redirects=False,
                stream=True,
            )
        except (OSError, ValueError) as error:
            raise self._fault(error) from None
        except RecursionError:
            raise self.failed("its link to the next page is nested too deeply") from None

    def _text(self, response: "requests.Response") -> str:
        """The text of a response; bytes that are not text of its encoding become U+FFFD."""
        from lulcmap.system import TooLargeError, read_answer

        try:
            body = read_answer(response, _MAX_ANSWER_BYTES)
        except TooLargeError:
            what = f"its answer has more than {_MAX_ANSWER_BYTES / 1e6:.0f} MB"
            raise self.failed(what, "Use another catalogue.", status=413) from None
        except (OSError, ValueError) as error:
            raise self._fault(error) from None
        return body.decode(json.detect_encoding(body), errors="replace")

    def _fault(self, error: Exception) -> Exception:
        """The error of a request without an answer."""
        import requests

        if isinstance(error, requests.exceptions.SSLError | ValueError):  # a retry does not help
            return self.failed(connection_fault(error), _TRY_LATER)
        is_cut = isinstance(error, requests.exceptions.ChunkedEncodingError)
        is_slow = isinstance(error, requests.exceptions.Timeout) or "timed out" in str(error)
        return PassingError(
            connection_fault(error),
            tries=_BUSY_TRIES if is_cut else _TRIES,
            heavy=is_cut or is_slow,
        )

    def _busy(self, status: int, header: str | None) -> Exception:
        """The error of a busy server: passing, unless it asks for too long a pause.

        Args:
            status: HTTP status.
            header: its ``Retry-After``, if any.

        """
        retry_after = retry_after_seconds(header, now=time.time())
        if retry_after is not None and retry_after > _MAX_RETRY_AFTER_S:
            return self.failed(
                f"HTTP {status}, and it asks for a pause of {ceil(retry_after / 60)} minutes",
                "Try again after that.",
            )
        return PassingError(
            f"HTTP {status}",
            retry_after=retry_after or 0.0,
            for_all=retry_after is not None or status in (429, 503),
            heavy=retry_after is None and status != 429,
        )

    def _redirect(self, response: "requests.Response") -> str | None:
        """Target of a redirect, if it stays on the host."""
        target = response.headers.get("Location")
        if not 300 <= response.status_code < 400 or target is None:
            return None
        try:
            href = urljoin(response.url, target)
        except ValueError:
            return None
        return href if self.is_ours(href) else None


def _todo(status: int) -> str:
    if status in (401, 403):
        return "It is not open to everyone; use another catalogue."
    if 300 <= status < 400:
        return "It has moved to another host; give its new URL."
    return "It refused the request; check its URL and the collections it has."
