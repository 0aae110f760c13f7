"""Download a file whose sha256 is known."""

import hashlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lulcmap.errors import ModelError, ProviderError, UsageError
from lulcmap.system import Steps, connection_fault, public_url

if TYPE_CHECKING:
    import requests

_TIMEOUTS_S = (10.0, 60.0)
"""Timeouts: to connect, and between two bytes."""

_MAX_RETRIES = 3
"""Further attempts of a request that a server does not respond to."""

_CHUNK_BYTES = 1 << 20
"""Bytes read at once."""


def check_url(url: str) -> None:
    """Check that a URL is https, or http on this machine.

    Raises:
        UsageError: it is not.

    """
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme, parts.hostname
    except ValueError:
        scheme, host = "", None
    is_local = host in ("localhost", "127.0.0.1", "::1")
    if not host or not (scheme == "https" or (scheme == "http" and is_local)):
        raise UsageError(
            f"{public_url(url) if host else repr(url)} is not an https URL. To use a local file, "
            "give it to --model: --model FILE.onnx."
        )


def download(
    url: str, path: Path, *, sha256: str, max_bytes: int, remedy: str, progress: Steps
) -> None:
    """Download a URL to a file and check its sha256.

    Args:
        url: URL of the file.
        path: path to write; what is there is replaced, and may be incomplete if it fails.
        sha256: expected sha256, 64 hexadecimal digits.
        max_bytes: most bytes to read.
        remedy: what to do if it cannot be fetched, for the message.
        progress: called with the bytes downloaded and the bytes in all, 0 if unknown.

    Raises:
        ProviderError: it cannot be fetched to its end, or is larger.
        ModelError: it has another sha256.

    """
    import requests
    from urllib3.util import Retry

    from lulcmap.system import open_session

    retry = Retry(_MAX_RETRIES, backoff_factor=1, status_forcelist=(429, 502, 503, 504))
    with open_session(retries=retry) as session:
        try:
            headers = {"Accept-Encoding": "identity"}
            with closing(
                session.get(url, stream=True, timeout=_TIMEOUTS_S, headers=headers)
            ) as response:
                if response.status_code != 200:
                    raise _FaultError(f"HTTP {response.status_code}")
                actual = _write(response, path, max_bytes, progress)
        except _FaultError as fault:
            raise _failed(url, str(fault), remedy) from None
        except requests.exceptions.RequestException as error:
            raise _failed(url, connection_fault(error), remedy) from None
    if actual != sha256:
        raise ModelError(
            f"{public_url(url)} is another file: its sha256 is {actual}, not {sha256}. "
            "Nothing was kept. Compare both with the one that the publisher gives."
        )


class _FaultError(Exception):
    """Why a response is not the file."""


def _write(response: "requests.Response", path: Path, max_bytes: int, progress: Steps) -> str:
    """Write the body of a response; return its sha256."""
    too_large = _FaultError(f"it has more than {max_bytes:,} bytes, the limit for a model file")
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else 0
    digest, done = hashlib.sha256(), 0
    if total > max_bytes:
        raise too_large
    with path.open("wb") as file:
        for part in response.iter_content(_CHUNK_BYTES):
            done += len(part)
            if done > max_bytes:
                raise too_large
            digest.update(part)
            file.write(part)
            progress(done, total)
    return digest.hexdigest()


def _failed(url: str, reason: str, remedy: str) -> ProviderError:
    return ProviderError(f"{public_url(url)} cannot be fetched: {reason}. {remedy}")
