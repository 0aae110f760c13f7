"""Models that were fetched from somewhere: kept by the user's cache, each under its sha256.

::

    <cache>/models/<name>/<sha256>.onnx

so that a file says itself what it must be, and a new one takes an old one's place by one rename.
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
from lulcmap.system import Steps, connection_fault, no_progress, parts, public_url, replacing

if TYPE_CHECKING:
    import requests

MAX_MODEL_BYTES = 2 << 30
"""Bytes; a protobuf message is no larger, so a model file is not."""

_TOO_LARGE = f"it gives more than {MAX_MODEL_BYTES >> 30} GB, and no model is larger"

_TIMEOUTS_S = (10.0, 60.0)
"""Seconds, to connect and between two bytes."""

_MAX_RETRIES = 3
"""Of a request that a server does not answer."""

_CHUNK_BYTES = 1 << 20
"""Bytes read at once."""

_ABANDONED_AFTER_S = 24 * 3600.0
"""Seconds since anything was added to a part, after which its fetch was killed."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class CachedModel:
    """One model in the cache."""

    name: str
    """As given to ``--model``."""

    path: Path
    """The ONNX file."""

    @property
    def sha256(self) -> str:
        """That the file must have, 64 hexadecimal digits."""
        return self.path.stem


def cache_folder() -> Path:
    """Where fetched models are: in ``LULCMAP_CACHE``, or the user's cache (XDG)."""
    cache = os.environ.get("LULCMAP_CACHE")
    if cache:
        return Path(cache).expanduser() / "models"
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "lulcmap" / "models"


def cached_models() -> tuple[CachedModel, ...]:
    """The models that were fetched, by name."""
    newest: dict[str, Path] = {}
    for path in sorted(cache_folder().glob("*/*.onnx"), key=lambda path: path.stat().st_mtime_ns):
        if _SHA256.fullmatch(path.stem):
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
    """Bring a model file into the cache, if it is not there: all of it, verified, or nothing.

    Args:
        url: of the file; https, or http on this machine.
        sha256: that the file must have, 64 hexadecimal digits.
        check: told where the file is before it is kept; raises ``ModelError`` if it is no model.
        name: to call it; None takes the file's.
        taken: names that it must not have.
        progress: called with how many bytes are there, and of how many; 0 where that is unknown.

    Raises:
        UsageError: the URL, the sha256 or the name cannot be used.
        ProviderError: the file cannot be had.
        ModelError: it is another file than was asked for, or no model.
        OutputError: it cannot be written.

    """
    wanted = sha256.lower().removeprefix("sha256:")
    if not _SHA256.fullmatch(wanted):
        raise UsageError(
            f"{sha256!r} is no sha256; it has 64 hexadecimal digits. Take it from where the model "
            "is published."
        )
    _check_url(url)
    chosen = _model_name(url, name)
    if chosen in taken:
        raise UsageError(f"A model that lulcmap ships is called {chosen}. Give another --name.")
    model = CachedModel(chosen, cache_folder() / chosen / f"{wanted}.onnx")
    if model.path.is_file() and sha256_of(model.path) == wanted:
        return model
    folder = model.path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(model.path, others=True) as part:
            _download(url, part, wanted, progress)
            try:
                check(part)
            except LulcmapError as error:
                raise ModelError(f"{public_url(url)} is not a usable model: {error}") from None
        for older in folder.glob("*.onnx"):
            if older != model.path and older not in parts(folder):
                older.unlink(missing_ok=True)
        for leftover in parts(folder):
            with suppress(FileNotFoundError):  # another fetch may end meanwhile
                if time.time() - leftover.stat().st_mtime > _ABANDONED_AFTER_S:
                    leftover.unlink()
    except OSError as error:
        raise OutputError(
            f"The model cannot be kept in {cache_folder()} ({error.strerror or error}). Free some "
            "space, or set LULCMAP_CACHE to another folder."
        ) from error
    return model


def sha256_of(path: Path) -> str:
    """Of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme, parts.hostname
    except ValueError:
        scheme, host = "", None
    here = host in ("localhost", "127.0.0.1", "::1")
    if not host or not (scheme == "https" or (scheme == "http" and here)):
        raise UsageError(
            f"{public_url(url) if host else repr(url)} is not an https URL, as models are fetched "
            "from. Use a local file as it is: --model FILE.onnx."
        )


def _model_name(url: str, name: str | None) -> str:
    """What the model is called: its file's name, if none is given."""
    found = name or unquote(urlsplit(url).path).rpartition("/")[2].removesuffix(".onnx")
    if not _NAME.fullmatch(found):
        raise UsageError(
            f"{found!r} is no name for a model; it is letters, figures, '.', '_' and '-'. "
            "Give one with --name."
        )
    return found


def _download(url: str, path: Path, wanted: str, progress: Steps) -> None:
    """Write what a URL gives, and see that it is what was wanted."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    patient = Retry(_MAX_RETRIES, backoff_factor=1, status_forcelist=(429, 502, 503, 504))
    with requests.Session() as session:
        session.mount("https://", HTTPAdapter(max_retries=patient))
        try:
            plain = {"Accept-Encoding": "identity"}
            with closing(
                session.get(url, stream=True, timeout=_TIMEOUTS_S, headers=plain)
            ) as answer:
                if answer.status_code != 200:
                    raise _failed(url, f"HTTP {answer.status_code}")
                found = _write(answer, path, url, progress)
        except requests.exceptions.RequestException as error:
            raise _failed(url, connection_fault(error)) from None
    if found != wanted:
        raise ModelError(
            f"{public_url(url)} is another file: its sha256 is {found}, not {wanted}. "
            "Nothing was kept. Compare both with what the publisher says."
        )


def _write(answer: "requests.Response", path: Path, url: str, progress: Steps) -> str:
    """Write an answer's bytes; their sha256."""
    length = answer.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else 0
    digest, done = hashlib.sha256(), 0
    if total > MAX_MODEL_BYTES:
        raise _failed(url, _TOO_LARGE)
    with path.open("wb") as file:
        for part in answer.iter_content(_CHUNK_BYTES):
            done += len(part)
            if done > MAX_MODEL_BYTES:
                raise _failed(url, _TOO_LARGE)
            digest.update(part)
            file.write(part)
            progress(done, total)
    return digest.hexdigest()


def _failed(url: str, why: str) -> ProviderError:
    return ProviderError(
        f"{public_url(url)} cannot be fetched: {why}. Check the URL and the network; without a "
        "network, copy the file here and give --model FILE.onnx."
    )
