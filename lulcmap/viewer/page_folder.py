"""The folder beside an exported page: its scripts, and tiles that browsers read from a disk.

Browsers let a page of a file run scripts and show images beside it, and read nothing else. So the
values of a map are scripts, each with the tiles of a square of ``CHUNK``; pictures are images.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lulcmap.system import replacing
from lulcmap.viewer.embedded import CHUNK, KeptTiles

FOLDER = "lulcmap-page"
"""Name of the folder."""

_MARK = "// lulcmap view\n"
"""Start of the file that tells a folder that lulcmap wrote from others."""


def is_page_folder(folder: Path) -> bool:
    """Whether a folder is that of an exported page."""
    data = folder / "data.js"
    if folder.is_symlink() or not data.is_file():
        return False
    with data.open("rb") as file:
        return file.read(len(_MARK)) == _MARK.encode()


def script_json(value: Any) -> str:
    """A value as JSON that stands in a script: no name of a class or map can end its element."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def write_folder(
    folder: Path, about: dict[str, Any], tiles: Iterable[KeptTiles], shared: Mapping[str, str]
) -> int:
    """Write the folder whole, in the place of one that was there.

    Args:
        folder: path of the folder.
        about: everything that the page shows but its tiles.
        tiles: the tiles, those of a square one after the other.
        shared: scripts and styles by their names.

    Returns:
        Bytes of all files.

    Raises:
        OSError: it cannot be written.

    """
    with replacing(folder) as part:
        part.mkdir()
        writer = _Writer(part)
        for one in tiles:
            writer.add(one)
        writer.flush()
        data = {**about, "folder": FOLDER, "chunks": writer.chunks, "pictures": writer.pictures}
        writer.write("data.js", f"{_MARK}globalThis.lulcmapData = {script_json(data)};\n".encode())
        for name, text in shared.items():
            writer.write(name, text.encode())
    return writer.n_bytes


def remove_folder(folder: Path) -> None:
    """Remove the folder of a page that was replaced by one that needs none."""
    if folder.is_dir():
        with replacing(folder) as part:
            part.mkdir()
        folder.rmdir()


class _Writer:
    """Writes tiles, those of one square of one layer into one file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._square: tuple[object, ...] = ()
        self._texts: dict[str, dict[str, str]] = {}
        self.chunks: list[str] = []
        self.pictures: dict[str, int] = {}
        self.n_bytes = 0

    def add(self, one: KeptTiles) -> None:
        """Write a tile, or keep it until its square is whole."""
        kind, number = one.layer.split("/")
        zoom, x, y = one.tile
        square = (one.layer, zoom, x // CHUNK, y // CHUNK)
        if square != self._square:
            self.flush()
            self._square = square
        for name, content in one.contents.items():
            if kind == "pictures":
                self.write(f"{one.layer}/{zoom}/{x}/{y}.{name}", content)
                self.pictures[f"{number}/{zoom}/{x}/{y}"] = 1
            else:
                chunk = f"{number}/{name}/{zoom}/{x // CHUNK}-{y // CHUNK}"
                text = base64.b64encode(content).decode()
                self._texts.setdefault(chunk, {})[f"{number}/{name}/{zoom}/{x}/{y}"] = text

    def flush(self) -> None:
        """Write what is kept."""
        for chunk, texts in self._texts.items():
            script = f"lulcmapTiles({script_json(chunk)},{script_json(texts)});\n"
            self.write(f"tiles/{chunk}.js", script.encode())
            self.chunks.append(chunk)
        self._texts = {}

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the folder."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.n_bytes += len(content)
