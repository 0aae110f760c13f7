"""The cache of fetched models: each file is named by its sha256.

::

    <cache>/models/<name>/<sha256>.onnx

So a file can be verified by its name alone, and one rename replaces an old model with a new one.
"""

import hashlib
import os
import re
import time
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from lulcmap.errors import LulcmapError, ModelError, OutputError, ProviderError, UsageError
from lulcmap.system import (
    Steps,
    connection_fault,
    no_progress,
    parts,
    public_url,
    replacing,
    sha256_of,
)

if TYPE_CHECKING:
    import requests

MAX_MODEL_BYTES = 2 << 30
"""Largest model file: a protobuf message cannot be larger."""

_TOO_LARGE = f"it is larger than {MAX_MODEL_BYTES >> 30} GB, the limit for a model file"

_TIMEOUTS_S = (10.0, 60.0)
"""Timeouts: to connect, and between two bytes."""

_MAX_RETRIES = 3
"""Further attempts of a request that a server does not respond to."""

_CHUNK_BYTES = 1 << 20
"""Bytes read at once."""

_ABANDONED_AFTER_S = 24 * 3600.0
"""Time without a write after which a partial file counts as left by a killed fetch."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class CachedModel:
    """One model in the cache."""

    name: str
    """Name of the model, as given to ``--model``."""

    path: Path
    """Path of the ONNX file."""

    @property
    def sha256(self) -> str:
        """Expected sha256 of the file, 64 hexadecimal digits."""
        return self.path.stem


def cache_folder() -> Path:
    """Return the folder of fetched models, in ``LULCMAP_CACHE`` or the user's cache (XDG)."""
    cache = os.environ.get("LULCMAP_CACHE")
    if cache:
        return Path(cache).expanduser() / "models"
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "lulcmap" / "models"


def cached_models() -> tuple[CachedModel, ...]:
    """List the fetched models by name, the newest file of each."""
    newest: dict[str, Path] = {}
    paths = [path for path in cache_folder().glob("*/*.onnx") if _SHA256.fullmatch(path.stem)]
    for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns):
        newest[path.parent.name] = path
    return tuple(CachedModel(name, path) for name, path in sorted(newest.items()))


def fetch(
    url: str,
    *,
    sha256: str,
    check: Callable[[Path], object],
    name: str | None = None,
    taken: Collection[str] = (),
    progress: Steps = no_progress,
) -> CachedModel:
    """Download a model file to the cache, unless it is there; keep it only if it is verified.

    Args:
        url: URL of the file; https, or http on this machine.
        sha256: expected sha256 of the file, 64 hexadecimal digits.
        check: called with the path of the file before it is kept; raises ``ModelError`` if the file
            is not a usable model.
        name: name for the model; None takes the file's.
        taken: names that the model must not have.
        progress: called with the bytes downloaded and the bytes in all, 0 if unknown.

    Raises:
        UsageError: the URL, the sha256 or the name is not valid.
        ProviderError: the file cannot be downloaded.
        ModelError: the file has another sha256, or is not a usable model.
        OutputError: the file cannot be written.

    """
    expected = sha256.lower().removeprefix("sha256:")
    if not _SHA256.fullmatch(expected):
        raise UsageError(
            f"{sha256!r} is not a sha256, which has 64 hexadecimal digits. Copy it from where the "
            "model is published."
        )
    _check_url(url)
    name = _model_name(url, name)
    if name in taken:
        raise UsageError(f"lulcmap ships a model named {name}. Give another name with --name.")
    model = CachedModel(name, cache_folder() / name / f"{expected}.onnx")
    if model.path.is_file() and sha256_of(model.path) == expected:
        return model
    folder = model.path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(model.path, others=True) as part:
            _download(url, part, expected, progress)
            try:
                check(part)
            except LulcmapError as error:
                raise ModelError(f"{public_url(url)} is not a usable model: {error}") from None
        for older in folder.glob("*.onnx"):
            if older != model.path and older not in parts(folder):
                older.unlink(missing_ok=True)
        for leftover in parts(folder):
            with suppress(FileNotFoundError):  # another fetch may finish in the meantime
                if time.time() - leftover.stat().st_mtime > _ABANDONED_AFTER_S:
                    leftover.unlink()
    except OSError as error:
        raise OutputError(
            f"The model cannot be written to {cache_folder()} ({error.strerror or error}). Free "
            "some space, or set LULCMAP_CACHE to another folder."
        ) from error
    return model


def _check_url(url: str) -> None:
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


def _model_name(url: str, name: str | None) -> str:
    """Return the model's name, checked: the one given, or else the name of its file."""
    name = name or unquote(urlsplit(url).path).rpartition("/")[2].removesuffix(".onnx")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a valid name for a model. Give --name with letters, digits, '.', "
            "'_' and '-' only."
        )
    return name


def _download(url: str, path: Path, expected: str, progress: Steps) -> None:
    """Download a URL to a file and check its sha256."""
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
                    raise _failed(url, f"HTTP {response.status_code}")
                actual = _write(response, path, url, progress)
        except requests.exceptions.RequestException as error:
            raise _failed(url, connection_fault(error)) from None
    if actual != expected:
        raise ModelError(
            f"{public_url(url)} is another file: its sha256 is {actual}, not {expected}. "
            "Nothing was kept. Compare both with the one that the publisher gives."
        )


def _write(response: "requests.Response", path: Path, url: str, progress: Steps) -> str:
    """Write the body of a response; return its sha256."""
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else 0
    digest, done = hashlib.sha256(), 0
    if total > MAX_MODEL_BYTES:
        raise _failed(url, _TOO_LARGE)
    with path.open("wb") as file:
        for part in response.iter_content(_CHUNK_BYTES):
            done += len(part)
            if done > MAX_MODEL_BYTES:
                raise _failed(url, _TOO_LARGE)
            digest.update(part)
            file.write(part)
            progress(done, total)
    return digest.hexdigest()


def _failed(url: str, reason: str) -> ProviderError:
    return ProviderError(
        f"{public_url(url)} cannot be fetched: {reason}. Check the URL and the network; without a "
        "network, copy the file to this machine and use --model FILE.onnx."
    )
