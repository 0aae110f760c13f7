"""Signed hrefs: short-lived tokens, asked for right before an asset is opened.

Items are kept unsigned, so a run that is resumed after a day still opens its assets. Credentials
come from the environment and go into the URL of one request: never into a message or a file.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from lulcmap.errors import ProviderError
from lulcmap.providers import Profile
from lulcmap.remote.fetch import Sign
from lulcmap.remote.hrefs import AZURE, RefusedError, https_of_azure

T = TypeVar("T")

_RETRIES = 6
"""Of a request for a token: with the package's pauses, about a minute. Its own ten take minutes
more where there is no network."""

_SILENCE = 180.0
"""Seconds after which a request for a token, with all its retries, is given up."""

_MARGIN = 60.0
"""Seconds before its end that a token is renewed; half its life, if that is shorter."""

_FRESH = 1.0
"""Seconds; a token younger than this was renewed by another thread, whose request failed too."""

_S3_LIFE = 3600
"""Seconds that a signed URL of S3 is valid."""

SUBSCRIPTION_KEY = "PC_SDK_SUBSCRIPTION_KEY"
"""Environment variable with the Planetary Computer's subscription key."""


def signer(*profiles: Profile) -> Sign:
    """What turns an asset's href into a URL that can be opened now; shared by threads.

    It raises ``ProviderError`` where no token can be had.

    Args:
        profiles: of the providers whose assets are opened.

    """
    signings = {profile.signing for profile in profiles}
    endpoint = next((p.s3_endpoint for p in profiles if p.s3_endpoint), None)
    tokens = _Tokens() if "planetary-computer" in signings else None
    s3 = _S3(endpoint)

    def sign(href: str, *, anew: bool = False) -> str:
        scheme = urlsplit(href).scheme
        if scheme == "s3":
            return s3.url(href)
        try:
            url = https_of_azure(href, os.environ.get("AZURE_STORAGE_ACCOUNT"))
        except RefusedError as error:
            raise ProviderError(f"The href of an asset {error}.") from None
        if tokens is None or not (urlsplit(url).hostname or "").endswith(AZURE):
            return url
        return tokens.signed(url, anew=anew)

    return sign


@dataclass(slots=True)
class _Token:
    """Of one container."""

    text: str
    made: float
    renew_at: float
    """Seconds on the monotonic clock."""


@dataclass(slots=True)
class _Tokens:
    """The Planetary Computer's tokens, one a container, asked for once and not once a thread."""

    _known: dict[tuple[str, str], _Token] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def signed(self, url: str, *, anew: bool) -> str:
        """The URL with its container's token."""
        parts = urlsplit(url)
        account = (parts.hostname or "").removesuffix(AZURE)
        container = parts.path.lstrip("/").partition("/")[0]
        with self._lock:
            token = self._known.get((account, container))
            now = time.monotonic()
            if token is None or now >= token.renew_at or (anew and now > token.made + _FRESH):
                token = self._asked(account, container, anew=anew)
                self._known[account, container] = token
        return f"{url}?{token.text}"

    def _asked(self, account: str, container: str, *, anew: bool) -> _Token:
        from planetary_computer import sas  # a second of imports, and not needed offline
        from planetary_computer.settings import Settings

        key = f"{Settings.get().sas_url}/{account}/{container}"
        try:
            if anew:
                sas.TOKEN_CACHE.pop(key, None)
            token = _in_time(lambda: sas.get_token(account, container, retry_total=_RETRIES))
        except Exception as error:  # whatever requests, pydantic and the service come up with
            raise _refused(account, container, error) from None  # its text may hold a token
        life, now = token.ttl(), time.monotonic()
        return _Token(str(token.token), now, now + life - min(_MARGIN, life / 2))


def _in_time(ask: Callable[[], T]) -> T:
    """What a call gives; it may take its time, but not for ever: the package sets no time-out.

    Raises:
        TimeoutError: it has not come back.

    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(ask())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, name="token", daemon=True).start()
    return future.result(timeout=_SILENCE)


def _refused(account: str, container: str, error: Exception) -> ProviderError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    what = f"No access token for {container} of {account} could be had from the Planetary Computer"
    if status in (401, 403, 404):
        key = "is not set" if not os.environ.get(SUBSCRIPTION_KEY) else "was not accepted"
        return ProviderError(
            f"{what} (HTTP {status}): sentinel-1-rtc needs a subscription key, and "
            f"{SUBSCRIPTION_KEY} {key}. Set it to your key, or give --s1 off to map without "
            "Sentinel-1."
        )
    reason = type(error).__name__ if status is None else f"HTTP {status}"
    return ProviderError(f"{what} ({reason}). Check the network, and run the same command again.")


class _S3:
    """Signed URLs of S3's objects, or plain ones where the environment holds no keys."""

    def __init__(self, endpoint: str | None) -> None:
        environment = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        self._endpoint = environment or endpoint
        self._client: Any = None
        self._lock = threading.Lock()

    def url(self, href: str) -> str:
        """Of an object, ``s3://bucket/key``."""
        parts = urlsplit(href)
        with self._lock:
            if self._client is None:
                self._client = self._made()
        return str(
            self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": parts.netloc, "Key": parts.path.lstrip("/")},
                ExpiresIn=_S3_LIFE,
            )
        )

    def _made(self) -> Any:
        try:
            import botocore.session
            from botocore import UNSIGNED
            from botocore.config import Config
        except ImportError:
            raise ProviderError(
                "Assets on s3:// need botocore, which is not installed: pip install lulcmap[s3]."
            ) from None
        has_keys = os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY")
        if self._endpoint and not has_keys:
            raise ProviderError(
                f"The assets are on S3 at {urlsplit(self._endpoint).hostname}, and "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set. Set them to your keys."
            )
        return botocore.session.Session().create_client(
            "s3",
            endpoint_url=self._endpoint,
            region_name=os.environ.get("AWS_REGION")
            or os.environ.get("AWS_DEFAULT_REGION")
            or "us-east-1",
            config=Config(
                signature_version="s3v4" if has_keys else UNSIGNED,
                s3={"addressing_style": "path" if self._endpoint else "virtual"},
            ),
        )
