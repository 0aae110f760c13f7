"""Signed hrefs: short-lived tokens, requested right before an asset is opened.

Items are kept unsigned, so a run resumed after a day still opens its assets. Credentials come from
the environment and go into the URL of one request: never into a message or a file.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol, TypeVar
from urllib.parse import urljoin, urlsplit

from lulcmap.catalog.hrefs import AZURE, HrefRefusedError, azure_https_url
from lulcmap.catalog.providers import Profile
from lulcmap.errors import ProviderError, UsageError

T = TypeVar("T")

_RETRIES = 6
"""Retries of a token request: with the package's pauses, about a minute. Its default of ten takes
minutes more without a network."""

_REQUEST_TIMEOUTS_S = (10.0, 60.0)
"""Timeouts of a token request: to connect, and between two bytes, seconds."""

_MAX_REDIRECTS = 5

_KEY_HEADER = "Ocp-Apim-Subscription-Key"
"""Header of a token request that holds the subscription key."""

_TOKEN_TIMEOUT_S = 180.0
"""Seconds after which a token request, with all its retries, is abandoned."""

_RENEW_BEFORE_S = 60.0
"""Seconds before a token expires that it is renewed; half its lifetime, if that is shorter."""

_FRESH_S = 1.0
"""Seconds; a younger token was renewed by another thread whose request was refused too."""

_S3_LIFE_S = 3600
"""Lifetime of a signed S3 URL, seconds."""

SUBSCRIPTION_KEY = "PC_SDK_SUBSCRIPTION_KEY"
"""Environment variable that holds the Planetary Computer's subscription key."""


class Sign(Protocol):
    """Turns an asset's href into a URL that can be opened now."""

    def __call__(self, href: str, *, anew: bool = False) -> str:
        """The URL of an href.

        Args:
            href: unsigned href.
            anew: whether the last URL was refused, so that a new token is needed.

        """
        ...


def unsigned(href: str, *, anew: bool = False) -> str:  # noqa: ARG001 - as in ``Sign``
    """The href itself."""
    return href


def signer(*profiles: Profile) -> Sign:
    """A ``Sign`` for the assets of some providers; threads may share it.

    It raises ``ProviderError`` if it gets no token.

    Args:
        profiles: profiles of the providers whose assets are opened.

    """
    signings = {profile.signing for profile in profiles}
    accounts = {name: account for p in profiles for name, account in p.azure_accounts.items()}
    endpoint = next((p.s3_endpoint for p in profiles if p.s3_endpoint), None)
    tokens = _Tokens() if "planetary-computer" in signings else None
    s3 = _S3(endpoint)

    def sign(href: str, *, anew: bool = False) -> str:
        scheme = urlsplit(href).scheme
        if scheme == "s3":
            return s3.url(href)
        try:
            url = azure_https_url(href, accounts)
        except HrefRefusedError as error:
            raise ProviderError(f"The href of an asset {error}.") from None
        if tokens is None or not (urlsplit(url).hostname or "").endswith(AZURE):
            return url
        return tokens.signed(url, anew=anew)

    return sign


@dataclass(slots=True)
class _Container:
    """A container of Azure Blob Storage and its token; times are seconds of the monotonic clock."""

    account: str
    """Storage account of the container."""

    name: str
    """Name of the container."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while a token is requested, so that all threads together request it once."""

    token: str = ""
    """Current token."""

    renewed_at: float = -inf
    """Time at which the token was received."""

    renew_at: float = -inf
    """Time from which the token is renewed."""

    error: ProviderError | None = None
    """Error of the last token request, if it failed."""

    failed_at: float = -inf
    """Time at which it failed."""


class _Tokens:
    """The Planetary Computer's tokens, one per container."""

    def __init__(self) -> None:
        self._containers: dict[tuple[str, str], _Container] = {}
        self._lock = threading.Lock()

    def signed(self, url: str, *, anew: bool) -> str:
        """A blob's URL with the token of its container."""
        parts = urlsplit(url)
        account = (parts.hostname or "").removesuffix(AZURE)
        name = parts.path.lstrip("/").partition("/")[0]
        start = time.monotonic()
        with self._lock:
            container = self._containers.setdefault((account, name), _Container(account, name))
        with container.lock:
            now = time.monotonic()
            if container.error is not None and container.failed_at >= start:
                raise container.error  # it failed while this thread waited
            if now >= container.renew_at or (anew and now > container.renewed_at + _FRESH_S):
                _renew(container)
            token = container.token
        return f"{url}{'&' if parts.query else '?'}{token}"


def _renew(container: _Container) -> None:
    account, name = container.account, container.name
    try:
        token = _with_timeout(lambda: _request_token(account, name))
    except UsageError:  # the environment's proxy or certificates
        raise
    except Exception as error:  # of requests, of pydantic or of the service
        container.error, container.failed_at = _refused(account, name, error), time.monotonic()
        raise container.error from None  # its text may contain a token
    life, now = token.ttl(), time.monotonic()
    container.token, container.renewed_at = str(token.token), now
    container.renew_at = now + life - min(_RENEW_BEFORE_S, life / 2)


def _request_token(account: str, container: str) -> Any:
    """A new token; its request is that of ``planetary_computer.sas.get_token``.

    The package's own request takes the subscription key along when it is redirected, to whatever
    host, and knows no timeout.
    """
    from planetary_computer.sas import SASToken  # takes 1 s to import, and is not needed offline
    from planetary_computer.settings import Settings
    from urllib3.util import Retry

    from lulcmap.system import open_session

    settings = Settings.get()
    url, key = f"{settings.sas_url}/{account}/{container}", settings.subscription_key
    headers = {_KEY_HEADER: key} if key else {}
    retry = Retry(_RETRIES, backoff_factor=0.8, status_forcelist=(429, 500, 502, 503, 504))
    with open_session(retries=retry) as session:
        for _ in range(_MAX_REDIRECTS + 1):
            answer = session.get(
                url, headers=headers, timeout=_REQUEST_TIMEOUTS_S, allow_redirects=False
            )
            if not answer.is_redirect:
                break
            target = urljoin(url, answer.headers["Location"])
            if session.should_strip_auth(url, target):
                headers = {}
            url = target
        answer.raise_for_status()
        return SASToken(**answer.json())


def _with_timeout(request: Callable[[], T]) -> T:
    """Result of a call, within ``_TOKEN_TIMEOUT_S``: its retries alone may take longer.

    Raises:
        TimeoutError: it has not returned in time.

    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(request())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, name="token", daemon=True).start()
    return future.result(timeout=_TOKEN_TIMEOUT_S)


def _refused(account: str, container: str, error: Exception) -> ProviderError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    what = f"The Planetary Computer gave no access token for {container} of {account}"
    if status in (401, 403):
        key = "was not accepted" if os.environ.get(SUBSCRIPTION_KEY) else "is not set"
        return ProviderError(
            f"{what} (HTTP {status}): {SUBSCRIPTION_KEY} {key}. Set it to your subscription key, "
            "which Sentinel-1 (sentinel-1-rtc) needs, or give --s1 off to map without Sentinel-1."
        )
    if status == 404:
        return ProviderError(
            f"{what}, as it does not know the container (HTTP 404). Check that the items are from "
            "the Planetary Computer; for another provider's items, give its --profile."
        )
    reason = type(error).__name__ if status is None else f"HTTP {status}"
    return ProviderError(f"{what} ({reason}). Check the network, then run the same command again.")


class _S3:
    """Signed URLs of S3 objects, or unsigned ones if the environment has no keys."""

    def __init__(self, endpoint: str | None) -> None:
        environment = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        self._endpoint = environment or endpoint
        self._client: Any = None
        self._lock = threading.Lock()

    def url(self, href: str) -> str:
        """The URL of an object, ``s3://bucket/key``."""
        parts = urlsplit(href)
        try:
            with self._lock:
                if self._client is None:
                    self._client = self._new_client()
            url = self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": parts.netloc, "Key": parts.path.lstrip("/")},
                ExpiresIn=_S3_LIFE_S,
            )
        except ProviderError:
            raise
        except Exception as error:  # botocore raises many kinds
            raise ProviderError(
                f"An asset in the bucket {parts.netloc} cannot be signed "
                f"({type(error).__name__}). Check AWS_ACCESS_KEY_ID and the other AWS_ variables."
            ) from None
        return str(url)

    def _new_client(self) -> Any:
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
