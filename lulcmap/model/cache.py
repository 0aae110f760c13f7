"""The cache of fetched models: each file is named by its sha256.

::

    <cache>/models/<name>/<sha256>.onnx

So a file can be verified by its name alone, and one rename replaces an old model with a new one.
"""

import hashlib
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lulcmap.errors import LulcmapError, ModelError, OutputError, UsageError
from lulcmap.model.download import check_url, download
from lulcmap.system import (
    Steps,
    no_progress,
    parts,
    public_url,
    replacing,
    sha256_of,
    write_atomically,
)

MAX_MODEL_BYTES = 2 << 30
"""Largest model file: a protobuf message cannot be larger."""

_REMEDY = (
    "Check the URL and the network; without a network, copy the file to this machine and use "
    "--model FILE.onnx."
)
"""What to do if a model cannot be fetched."""

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

    @property
    def card(self) -> Path:
        """Path of the model card, if it has one."""
        return self.path.with_suffix(".md")


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
    check_url(url)
    name = _model_name(url, name)
    if name in taken:
        raise UsageError(f"lulcmap has a model named {name}. Give another name with --name.")
    model = CachedModel(name, cache_folder() / name / f"{expected}.onnx")
    if model.path.is_file() and sha256_of(model.path) == expected:
        return model
    with _new_file(model) as part:
        download(
            url,
            part,
            sha256=expected,
            max_bytes=MAX_MODEL_BYTES,
            remedy=_REMEDY,
            progress=progress,
        )
        try:
            check(part)
        except LulcmapError as error:
            raise ModelError(f"{public_url(url)} is not a usable model: {error}") from None
    return model


def keep(
    name: str,
    data: bytes,
    *,
    check: Callable[[Path], object],
    card: str,
    beside: Mapping[str, str],
) -> CachedModel:
    """Write a model that was made here to the cache; keep it only if it is verified.

    Args:
        name: name for the model.
        data: content of its file.
        check: called with the path of the file before it is kept; raises ``ModelError`` if the file
            is not a usable model.
        card: its model card, Markdown.
        beside: texts of other files in its folder, by their names, such as its licence.

    Raises:
        ModelError: it is not a usable model.
        OutputError: a file cannot be written.

    """
    model = CachedModel(name, cache_folder() / name / f"{hashlib.sha256(data).hexdigest()}.onnx")
    with _new_file(model) as part:
        part.write_bytes(data)
        check(part)
        for other, text in {model.card.name: card, **beside}.items():
            write_atomically(model.path.with_name(other), text)
    return model


@contextmanager
def _new_file(model: CachedModel) -> Iterator[Path]:
    """A temporary path for a model; older ones of its name are removed when it has its place.

    Raises:
        OutputError: it cannot be written.

    """
    folder = model.path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(model.path, others=True) as part:
            yield part
        for older in (*folder.glob("*.onnx"), *folder.glob("*.md")):
            if older not in (model.path, model.card, *parts(folder)):
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


def _model_name(url: str, name: str | None) -> str:
    """Return the model's name, checked: the one given, or else the name of its file."""
    name = name or unquote(urlsplit(url).path).rpartition("/")[2].removesuffix(".onnx")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a valid name for a model. Give --name with letters, digits, '.', "
            "'_' and '-' only."
        )
    return name
