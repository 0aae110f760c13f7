"""Connections to asset servers: bounded in time, and only to addresses that are allowed."""

import http.client
import io
import socket
import time
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from lulcmap.catalog import is_private

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 20.0, 60.0
"""Timeouts: to connect; and between two bytes, and for all headers together."""

BODY_TIMEOUT_S = 300.0
"""Longest time to read the body of one response."""


class PrivateAddressError(Exception):
    """A server is in a private network, where assets may not be."""


class _Timed(io.RawIOBase):
    """Bytes of a response, none of which is read after a set time, however slowly they drip."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._sock = raw, sock
        self.end = time.monotonic() + READ_TIMEOUT_S

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(min(left, READ_TIMEOUT_S))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response whose headers, and then whose body, must be there in time."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._timed = _Timed(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._timed)

    def begin(self) -> None:
        """Read the headers."""
        super().begin()
        self._timed.end = time.monotonic() + BODY_TIMEOUT_S


class _HTTP(HTTPConnection):
    response_class = _Response


class _HTTPS(HTTPSConnection):
    response_class = _Response


def _check_public(sock: socket.socket) -> socket.socket:
    """Refuse a connection to a private address; checked here because a name may resolve to any."""
    if is_private(sock.getpeername()[0]):
        sock.close()
        raise PrivateAddressError
    return sock


class _PublicHTTP(_HTTP):
    def _new_conn(self) -> socket.socket:
        return _check_public(super()._new_conn())


class _PublicHTTPS(_HTTPS):
    def _new_conn(self) -> socket.socket:
        return _check_public(super()._new_conn())


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTP


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPS


class _PublicHTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PublicHTTP


class _PublicHTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _PublicHTTPS


TIMED_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}
"""Pools of connections to any server, by scheme."""

PUBLIC_POOLS = {"http": _PublicHTTPPool, "https": _PublicHTTPSPool}
"""Pools of connections to servers outside of private networks, by scheme."""
