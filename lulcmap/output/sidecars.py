"""The small files beside each file of a map: style, names, quick look and STAC item.

For ``map.tif``: ``map.qml``, ``map.tif.aux.xml``, ``map.png`` and ``map.json``. Each of them but
the names, where GDAL keeps statistics too, carries a SHA-256 of the rest of it. So a style that the
user edited, or a picture of another program, is known and stays.
"""

import hashlib
import json
import logging
import re
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lulcmap.errors import OutputError
from lulcmap.legend import LandCover
from lulcmap.output.paths import hold_map
from lulcmap.output.quick_look import quick_look
from lulcmap.output.report import MapReport, WrittenFile
from lulcmap.output.stac_item import stac_item
from lulcmap.output.style import gdal_names, qgis_style
from lulcmap.output.whole import written_files
from lulcmap.system import write_atomically

logger = logging.getLogger(__name__)

STYLE, NAMES, PICTURE, ITEM = ".qml", ".aux.xml", ".png", ".json"

_PROOF = "lulcmap:sha256"
"""Member of an item with the SHA-256 of the others."""

_QML_PROOF = re.compile(rb"<!-- lulcmap ([0-9a-f]{64}) -->\n\Z")
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_PNG_PROOF_BYTES = 84
"""Bytes of the text chunk before the end of a picture."""


def sidecar_paths(out: Path) -> dict[str, Path]:
    """Paths of the sidecars of one file of a map, by ending.

    Args:
        out: path of the file; a sidecar that would take its name has none.

    """
    paths = {ending: out.with_suffix(ending) for ending in (STYLE, PICTURE, ITEM)}
    paths[NAMES] = out.with_name(f"{out.name}{NAMES}")
    return {ending: path for ending, path in paths.items() if path != out}


def write_sidecars(
    out: Path,
    written: WrittenFile,
    report: MapReport,
    *,
    layers: Mapping[str, WrittenFile],
    only_missing: bool = False,
) -> None:
    """Write the sidecars of one file of a map; what is not lulcmap's in their place stays.

    Args:
        out: path of the file.
        written: what the report says of it.
        report: report of the map.
        layers: further files of it, by the name of their layer.
        only_missing: whether sidecars that are there stay, whatever they are.

    Raises:
        OutputError: one cannot be written.

    """
    makers: dict[str, Callable[[], bytes]] = {
        **_legend_makers(report.legend),
        PICTURE: lambda: _proved_picture(quick_look(out, report)),
        ITEM: lambda: item_text(
            stac_item(out, written, report, layers=list(layers.items()), beside=_beside(out))
        ),
    }
    _write(out, makers, only_missing=only_missing)


def write_legend(out: Path, legend: Sequence[LandCover]) -> None:
    """Write the style and the names beside a raster of classes that has no report.

    Args:
        out: path of the raster.
        legend: its classes.

    Raises:
        OutputError: one cannot be written.

    """
    _write(out, _legend_makers(legend), only_missing=False)


def _legend_makers(legend: Sequence[LandCover]) -> dict[str, Callable[[], bytes]]:
    """What makes the sidecars that only need the legend, by ending."""
    return {
        STYLE: lambda: _proved_style(qgis_style(legend)),
        NAMES: lambda: gdal_names(legend).encode(),
    }


def _write(out: Path, makers: Mapping[str, Callable[[], bytes]], *, only_missing: bool) -> None:
    """Write sidecars of a file by what makes them; what is not lulcmap's in their place stays."""
    paths = sidecar_paths(out)
    for ending in (ending for ending in makers if ending in paths):
        path = paths[ending]
        if path.exists() and (only_missing or not _may_replace(path, ending)):
            continue
        try:
            write_atomically(path, makers[ending]())
        except OSError as error:
            raise OutputError(
                f"{path} cannot be written ({error.strerror or error}). Free some space, then run "
                "the same command again."
            ) from error


def complete_sidecars(out: Path, report: MapReport) -> None:
    """Write the sidecars that are missing beside the files of a finished map.

    A run may have been killed between a map and its sidecars, or told to leave them out.

    Args:
        out: path of the first file.
        report: report of the map.

    Raises:
        OutputError: one cannot be written, or another run writes the map.

    """
    files = list(written_files(out, report).items())
    if not any(path.exists() and _is_incomplete(path) for path, _ in files):
        return
    with hold_map(out):
        for number, (path, written) in enumerate(files):
            layers = {name: made[number] for name, made in report.layers.items()}
            if path.exists():
                write_sidecars(path, written, report, layers=layers, only_missing=True)


def remove_sidecars(out: Path) -> None:
    """Remove the sidecars of a map that was there before, of those that are lulcmap's."""
    for ending, path in sidecar_paths(out).items():
        if ending != NAMES and is_our_sidecar(path):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _is_incomplete(out: Path) -> bool:
    """Whether a sidecar of a file is missing."""
    return not all(path.exists() for path in sidecar_paths(out).values())


def is_our_sidecar(path: Path) -> bool:
    """Whether a file is a style, picture or item as lulcmap wrote it, not edited since."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    if path.suffix == STYLE:
        match = _QML_PROOF.search(content)
        return match is not None and match[1].decode() == _sha256(content[: match.start()])
    if path.suffix == PICTURE:
        head = content[: -_PNG_PROOF_BYTES - len(_PNG_END)]
        return content == _proved_picture(head + _PNG_END)
    try:
        values = json.loads(content)
        proof = values.pop(_PROOF)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    return bool(proof == _digest(values))


def item_text(values: Mapping[str, Any]) -> bytes:
    """The file of a STAC item or collection, with the proof that lulcmap wrote it.

    Args:
        values: JSON values, with or without a proof.

    """
    plain = {key: value for key, value in values.items() if key != _PROOF}
    text = json.dumps({**plain, _PROOF: _digest(plain)}, indent=2, ensure_ascii=False)
    return f"{text}\n".encode()


def _proved_style(text: str) -> bytes:
    content = text.encode()
    return content + f"<!-- lulcmap {_sha256(content)} -->\n".encode()


def _proved_picture(content: bytes) -> bytes:
    """A PNG with a text chunk before its end that holds the SHA-256 of the rest."""
    body = content.removesuffix(_PNG_END)
    data = b"tEXtlulcmap\0" + _sha256(body).encode()
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return body + chunk + _PNG_END


def _may_replace(path: Path, ending: str) -> bool:
    """Whether an existing file is lulcmap's; else a warning says that it stays."""
    if ending == NAMES or is_our_sidecar(path):
        return True
    logger.warning(
        "%s is kept: it was edited, or is not lulcmap's. Move it away and run the same command "
        "again to have the map's own.",
        path,
    )
    return False


def _beside(out: Path) -> dict[str, Path]:
    """The style and the picture that an item may name: those that are lulcmap's."""
    kinds = {STYLE: "style", PICTURE: "thumbnail"}
    paths = sidecar_paths(out)
    return {
        kind: paths[ending]
        for ending, kind in kinds.items()
        if ending in paths and is_our_sidecar(paths[ending])
    }


def _digest(values: Mapping[str, Any]) -> str:
    return _sha256(json.dumps(values, sort_keys=True).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
