"""Sessions of requests that keep the package's rules about proxies, certificates and secrets."""

from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import default_headers
from urllib3.util import Retry

from lulcmap.system.network import certificates, proxy_of

_HARMLESS = {"range", "content-type", "content-length", "host", *map(str.lower, default_headers())}
"""Headers that follow a redirect to another host; any other may hold a key."""


class _Adapter(HTTPAdapter):
    """Sends requests by the rules of ``network``, those after a redirect too."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,  # noqa: ARG002 - certificates are the same for all requests
        cert: Any = None,
        proxies: Any = None,  # noqa: ARG002 - so are proxies
    ) -> requests.Response:
        url = str(request.url)
        proxy = proxy_of(url)
        if proxy is None:
            request.headers.pop("Proxy-Authorization", None)
        of_scheme = {url.partition(":")[0]: proxy} if proxy else {}
        return super().send(request, stream, timeout, certificates(), cert, of_scheme)


class _Session(requests.Session):
    """Sends keys to the host they are for, and not on to another."""

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Drop headers that may hold a key where a redirect leaves the host or https."""
        if self.should_strip_auth(str(response.request.url), str(prepared_request.url)):
            for name in set(prepared_request.headers):
                if name.lower() not in _HARMLESS:
                    del prepared_request.headers[name]
        super().rebuild_auth(prepared_request, response)


def open_session(*, pool: int = 10, retries: Retry | int = 0) -> requests.Session:
    """A session for any server; use it as a context manager.

    Args:
        pool: connections kept open per host.
        retries: retries of a request, as of ``HTTPAdapter``.

    """
    session = _Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(pool_maxsize=pool, max_retries=retries))
    return session
