"""Sessions of requests that obey the environment, and read no more than they are asked to."""

from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from lulcmap.system.network import ca_bundle, proxy_of
from lulcmap.system.timed import timed

_PIECE_BYTES = 64 * 1024
"""Bytes of an answer read at once: inflated, at most a thousand times as many."""

_ENCODINGS = {"", "identity", "gzip", "x-gzip", "deflate"}
"""Content codings that are read: one of them inflates a thousandfold at most, others far more."""


class TooLargeError(Exception):
    """An answer is larger than allowed."""


def open_session(*, connections: int = 1, retries: Retry | int = 0) -> requests.Session:
    """A session: its proxies and certificates are those of ``network``, its answers are timed.

    Args:
        connections: connections to a host that are kept open.
        retries: retries of a request.

    Raises:
        UsageError: the environment names certificates that are not there.

    """
    session = _Session()
    session.headers["Accept-Encoding"] = "gzip, deflate"
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(pool_maxsize=connections, max_retries=retries))
    return session


def read_answer(response: requests.Response, max_bytes: int) -> bytes:
    """The body of a streamed response, inflated.

    Args:
        response: response to a request with ``stream=True``; it is closed if it is not read.
        max_bytes: most bytes that it may have.

    Raises:
        TooLargeError: it has more.
        requests.RequestException: it cannot be read to its end.

    """
    pieces, size = [], 0
    try:
        if response.headers.get("Content-Encoding", "").strip().lower() not in _ENCODINGS:
            raise requests.exceptions.ContentDecodingError
        for piece in response.iter_content(_PIECE_BYTES):
            size += len(piece)
            if size > max_bytes:
                raise TooLargeError
            pieces.append(piece)
    except BaseException:
        response.close()
        raise
    return b"".join(pieces)


class _Session(requests.Session):
    def __init__(self) -> None:
        super().__init__()
        self._trusted = ca_bundle()

    def merge_environment_settings(
        self,
        url: Any,
        proxies: Any,  # noqa: ARG002 - no request brings its own
        stream: Any,
        verify: Any,  # noqa: ARG002
        cert: Any,
    ) -> dict[str, Any]:
        """The settings of a request."""
        settings = {"proxies": _proxies(url), "verify": self._trusted}
        return {**settings, "stream": bool(stream), "cert": cert}

    def rebuild_proxies(
        self,
        prepared_request: requests.PreparedRequest,
        proxies: Any,  # noqa: ARG002
    ) -> dict[str, str]:
        """The proxies of a request that was redirected."""
        prepared_request.headers.pop("Proxy-Authorization", None)
        return _proxies(prepared_request.url)


def _proxies(url: Any) -> dict[str, str]:
    proxy = proxy_of(url)
    return {"all": proxy} if proxy else {}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **options)
        timed(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """The pools of connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        return manager if proxy.lower().startswith("socks") else timed(manager)
