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
from math import inf
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from lulcmap.catalog.hrefs import AZURE, RefusedError, https_of_azure
from lulcmap.catalog.providers import Profile
from lulcmap.errors import ProviderError

T = TypeVar("T")

_RETRIES = 6
"""Of a request for a token: with the package's pauses, about a minute. Its own ten take minutes
more where there is no network."""

_TOKEN_TIMEOUT_S = 180.0
"""Seconds after which a request for a token, with all its retries, is given up."""

_RENEW_BEFORE_S = 60.0
"""Seconds before its end that a token is renewed; half its life, if that is shorter."""

_FRESH_S = 1.0
"""Seconds; a token younger than this was renewed by another thread, whose request failed too."""

_S3_LIFE_S = 3600
"""Seconds that a signed URL of S3 is valid."""

SUBSCRIPTION_KEY = "PC_SDK_SUBSCRIPTION_KEY"
"""Environment variable with the Planetary Computer's subscription key."""


class Sign(Protocol):
    """Turns an asset's href into a URL that can be opened now."""

    def __call__(self, href: str, *, anew: bool = False) -> str:
        """The URL; anew, after the last one was refused."""
        ...


def unsigned(href: str, *, anew: bool = False) -> str:  # noqa: ARG001 - as of ``Sign``
    """The href itself."""
    return href


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
class _Container:
    """One of Azure's, and its token."""

    account: str
    name: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while a token is asked for, so that it is asked for once and not once a thread."""

    token: str = ""
    made: float = -inf
    renew_at: float = -inf
    """Seconds on the monotonic clock."""

    error: ProviderError | None = None
    """Of the last request for a token, if it failed."""

    failed: float = -inf


class _Tokens:
    """The Planetary Computer's tokens, one a container."""

    def __init__(self) -> None:
        self._containers: dict[tuple[str, str], _Container] = {}
        self._lock = threading.Lock()

    def signed(self, url: str, *, anew: bool) -> str:
        """The URL with its container's token."""
        parts = urlsplit(url)
        account = (parts.hostname or "").removesuffix(AZURE)
        name = parts.path.lstrip("/").partition("/")[0]
        came = time.monotonic()
        with self._lock:
            container = self._containers.setdefault((account, name), _Container(account, name))
        with container.lock:
            now = time.monotonic()
            if container.error is not None and container.failed >= came:
                raise container.error  # it failed while this thread waited
            if now >= container.renew_at or (anew and now > container.made + _FRESH_S):
                _renew(container, anew=anew)
            token = container.token
        return f"{url}{'&' if parts.query else '?'}{token}"


def _renew(container: _Container, *, anew: bool) -> None:
    from planetary_computer import sas  # a second of imports, and not needed offline
    from planetary_computer.settings import Settings

    account, name = container.account, container.name
    try:
        if anew:
            sas.TOKEN_CACHE.pop(f"{Settings.get().sas_url}/{account}/{name}", None)
        token = _in_time(lambda: sas.get_token(account, name, retry_total=_RETRIES))
    except Exception as error:  # whatever requests, pydantic and the service come up with
        container.error, container.failed = _refused(account, name, error), time.monotonic()
        raise container.error from None  # its text may hold a token
    life, now = token.ttl(), time.monotonic()
    container.token, container.made = str(token.token), now
    container.renew_at = now + life - min(_RENEW_BEFORE_S, life / 2)


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
    return future.result(timeout=_TOKEN_TIMEOUT_S)


def _refused(account: str, container: str, error: Exception) -> ProviderError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    what = f"No access token for {container} of {account} could be had from the Planetary Computer"
    if status in (401, 403):
        key = "was not accepted" if os.environ.get(SUBSCRIPTION_KEY) else "is not set"
        return ProviderError(
            f"{what} (HTTP {status}): {SUBSCRIPTION_KEY} {key}. Set it to your subscription key, "
            "which Sentinel-1 (sentinel-1-rtc) needs, or give --s1 off to map without Sentinel-1."
        )
    if status == 404:
        return ProviderError(
            f"{what}, which does not know it (HTTP 404). See that the items are of the Planetary "
            "Computer; --profile says what else they are like."
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
        try:
            with self._lock:
                if self._client is None:
                    self._client = self._made()
            url = self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": parts.netloc, "Key": parts.path.lstrip("/")},
                ExpiresIn=_S3_LIFE_S,
            )
        except ProviderError:
            raise
        except Exception as error:  # botocore's own, of many kinds
            raise ProviderError(
                f"An asset in the bucket {parts.netloc} cannot be signed "
                f"({type(error).__name__}). Check AWS_ACCESS_KEY_ID and the other AWS_ variables."
            ) from None
        return str(url)

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
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return botocore.session.Session().create_client(
            "s3",
            endpoint_url=self._endpoint,
            region_name=region or "us-east-1",
            config=Config(
                signature_version="s3v4" if has_keys else UNSIGNED,
                s3={"addressing_style": "path" if self._endpoint else "virtual"},
            ),
        )
