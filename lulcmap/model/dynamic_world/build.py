"""From the released weights to the file of a model, in the cache of fetched models."""

import hashlib
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from lulcmap.errors import DeviceError, LulcmapError, ModelError, OutputError, UsageError
from lulcmap.model import cache
from lulcmap.model.cache import CachedModel
from lulcmap.model.contract import METADATA_KEY, S2_INPUT, SUN_SCALAR, SUN_ZENITH, Contract
from lulcmap.model.download import check_url, download
from lulcmap.model.dynamic_world.bundle import read_tensors
from lulcmap.model.dynamic_world.card import CARD, ORIGIN, QUALITY
from lulcmap.model.dynamic_world.known import check_logits
from lulcmap.model.dynamic_world.network import build_graph, tensor_shapes
from lulcmap.model.dynamic_world.release import (
    DYNAMIC_WORLD,
    Release,
    ReleasedFile,
    license_text,
)
from lulcmap.model.hints import deepness_metadata
from lulcmap.model.runtime import load_runtime
from lulcmap.model.session import open_session
from lulcmap.system import Steps

CONTRACT = Contract(
    name=DYNAMIC_WORLD.name,
    inputs={"s2": replace(S2_INPUT, optional=False)},
    scalars={SUN_ZENITH: SUN_SCALAR},
    stride=1,
    multiple=2,
    trained_on="real",
    quality=QUALITY,
    training=ORIGIN,
)
"""Contract of the model; windows, classes and colours are lulcmap's own."""


def add_dynamic_world(release: Release, folder: Path | None, *, progress: Steps) -> CachedModel:
    """Fetch the released weights, make a model of them, and keep it if it passes its check.

    Args:
        release: what is fetched, and what the model has to give.
        folder: folder of the released files on this machine; None downloads them.
        progress: called with the bytes downloaded and the bytes in all.

    Raises:
        UsageError: the folder lacks a file.
        ProviderError: a file cannot be downloaded.
        ModelError: a file is not the released one, or the model does not give the known logits.
        DeviceError: ONNX Runtime, which the check needs, is not installed.
        OutputError: the model cannot be written.

    """
    load_runtime()
    index, data = _read(release, folder) if folder else _download(release, progress)
    try:
        graph = build_graph(read_tensors(index, data, tensor_shapes()))
    except ValueError as error:
        raise ModelError(f"The weights of {release.name} cannot be read: {error}.") from error
    metadata = {METADATA_KEY: CONTRACT.to_json(), **deepness_metadata(CONTRACT)}
    return cache.keep(
        release.name,
        graph.to_bytes(producer="lulcmap", metadata=metadata),
        check=lambda path: _check(path, release),
        card=CARD,
        beside={"LICENSE": license_text(), "NOTICE": release.notice},
    )


def _check(path: Path, release: Release) -> None:
    """Check that lulcmap can map with the model, and that it is the released network."""
    try:
        session = open_session(path, device="cpu")
        try:
            check_logits(session, release.logits)
        finally:
            session.close()
    except DeviceError:
        raise
    except LulcmapError as error:
        reason = str(error).removesuffix(".")
        raise ModelError(f"The model {release.name} was not added: {reason}.") from error


def _read(release: Release, folder: Path) -> tuple[bytes, bytes]:
    """Read the files of a folder, checked."""
    if not folder.is_dir():
        raise UsageError(f"--from is {folder}, which is no folder. {_files(release)}")
    index, data = (_read_file(release, one, folder / one.name) for one in release.files)
    return index, data


def _read_file(release: Release, expected: ReleasedFile, path: Path) -> bytes:
    if not path.is_file():
        raise UsageError(f"--from: {path.parent} has no file {path.name}. {_files(release)}")
    try:
        with path.open("rb") as file:
            content = file.read(expected.size + 1)
    except OSError as error:
        raise UsageError(f"--from: {path} cannot be read: {error.strerror}.") from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != expected.sha256:
        size = path.stat().st_size
        differs = (
            f"has {size:,} bytes, not {expected.size:,}"
            if size != expected.size
            else f"has the sha256 {actual}, not {expected.sha256}"
        )
        raise ModelError(
            f"{path} is not the file that was released: it {differs}. {_files(release)}"
        )
    return content


def _files(release: Release) -> str:
    names = " and ".join(one.name for one in release.files)
    return f"Give the folder of {names} of {release.url}."


def _download(release: Release, progress: Steps) -> tuple[bytes, bytes]:
    """Download the released files, checked."""
    total = sum(one.size for one in release.files)
    names = " and ".join(one.name for one in release.files)
    remedy = (
        f"Check the network; without one, copy {names} to this machine and give their folder with "
        "--from."
    )
    contents: list[bytes] = []

    def report(done: int, _: int) -> None:
        progress(sum(map(len, contents)) + done, total)

    check_url(release.url)
    try:
        with TemporaryDirectory(prefix="lulcmap-") as folder:
            for one in release.files:
                path = Path(folder) / one.name
                download(
                    f"{release.url}/{one.name}",
                    path,
                    sha256=one.sha256,
                    max_bytes=one.size,
                    remedy=remedy,
                    progress=report,
                )
                contents.append(path.read_bytes())
    except OSError as error:
        raise OutputError(
            f"The weights cannot be written to a temporary folder ({error.strerror or error}). "
            "Free some space, or set TMPDIR to another folder."
        ) from error
    index, data = contents
    return index, data
