"""Signed hrefs: Azure's short-lived tokens, asked for right before an asset is opened.

Items are kept unsigned, so a run that is resumed after a day still opens its assets.
"""

import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from lulcmap.errors import ProviderError

_BLOBS = ".blob.core.windows.net"
"""Hosts of Azure Blob Storage end so; no other href is ever signed."""

_RETRIES = 3
"""The package's own ten take minutes where there is no network."""


def signer(signs: bool) -> Callable[[str], str] | None:
    """What turns an asset's href into the one to open, or None where hrefs are opened as they are.

    The callable may be called from several threads. Tokens are cached a container, and renewed in
    their last minute. It raises ``ProviderError`` where no token can be had.

    Args:
        signs: whether the provider's hrefs are signed (``Profile.signs``).

    """
    if not signs:
        return None
    lock = threading.Lock()

    def sign(href: str) -> str:
        parts = urlsplit(href)
        host = parts.hostname or ""
        if not host.endswith(_BLOBS):
            return href
        from planetary_computer import sas  # a second of imports, and not needed offline

        container = parts.path.lstrip("/").partition("/")[0]
        try:
            with lock:  # one request a container, not one a thread
                sas.get_token(host.removesuffix(_BLOBS), container, retry_total=_RETRIES)
                return str(sas.sign_url(href))
        except Exception as error:  # whatever requests, pydantic and the service come up with
            raise ProviderError(
                f"No access token for {host}/{container} could be had from the Planetary Computer "
                f"({type(error).__name__}{_status(error)}). Check the network; sentinel-1-rtc "
                "needs a subscription key in PC_SDK_SUBSCRIPTION_KEY."
            ) from None  # its text may hold a token

    return sign


def _status(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return "" if status is None else f", HTTP {status}"
