"""HTTP connections of urllib3 on which no answer takes for ever.

A timeout of a socket counts from byte to byte: a server that sends one byte of its headers each
second is read for days. Here the headers, and an answer as a whole, have their time.
"""

import socket
import time
from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

HEADERS_S, ANSWER_S = 60.0, 300.0
"""Longest time from a request to the end of its answer's headers, and to the answer's end,
seconds."""


class _TimedFile(RawIOBase):
    """What a socket receives, until a moment of the monotonic clock."""

    def __init__(self, sock: socket.socket, raw: RawIOBase, end: float) -> None:
        self.end = end
        self._sock, self._raw, self._timeout = sock, raw, sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left if self._timeout is None else min(left, self._timeout))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(HTTPResponse):
    """An answer whose headers and whole take a limited time."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._start = time.monotonic()
        self._timed = _TimedFile(sock, self.fp.detach(), self._start + HEADERS_S)
        self.fp = BufferedReader(self._timed)

    def begin(self) -> None:
        """Read the headers."""
        super().begin()
        self._timed.end = self._start + ANSWER_S


class TimedHTTPConnection(HTTPConnection):
    """A connection by http."""

    response_class = _TimedResponse


class TimedHTTPSConnection(HTTPSConnection):
    """A connection by https."""

    response_class = _TimedResponse


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = TimedHTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = TimedHTTPSConnection


def timed(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    """A pool manager, whose connections it times from now on."""
    manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    return manager
