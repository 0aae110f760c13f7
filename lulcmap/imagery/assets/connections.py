"""Connections to asset servers: bounded in time, and only to addresses that are allowed."""

import socket

import urllib3

from lulcmap.catalog import is_private
from lulcmap.system import TimedHTTPConnection, TimedHTTPSConnection


class PrivateAddressError(Exception):
    """A server is in a private network, where assets may not be."""


def _check_public(sock: socket.socket) -> socket.socket:
    """Refuse a connection to a private address; checked here because a name may resolve to any."""
    if is_private(sock.getpeername()[0]):
        sock.close()
        raise PrivateAddressError
    return sock


class _PublicHTTP(TimedHTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _check_public(super()._new_conn())


class _PublicHTTPS(TimedHTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _check_public(super()._new_conn())


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = TimedHTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = TimedHTTPSConnection


class _PublicHTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PublicHTTP


class _PublicHTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _PublicHTTPS


POOLS = {"http": _HTTPPool, "https": _HTTPSPool}
"""Pools of connections to any server, by scheme."""

PUBLIC_POOLS = {"http": _PublicHTTPPool, "https": _PublicHTTPSPool}
"""Pools of connections to servers outside of private networks, by scheme."""
