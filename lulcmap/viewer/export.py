"""The page of some maps as one file, or with a folder of tiles: it opens without a server."""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from lulcmap.errors import OutputError, UsageError
from lulcmap.system import Progress, check_destination, check_ours, no_progress, replacing
from lulcmap.viewer.embedded import KeptTiles, kept_tiles, kept_zooms, page_about, tile_count
from lulcmap.viewer.files import page_files
from lulcmap.viewer.maps import OpenMap, Picture
from lulcmap.viewer.page_folder import (
    FOLDER,
    is_page_folder,
    remove_folder,
    script_json,
    write_folder,
)
from lulcmap.viewer.site import Site, basemap_origin
from lulcmap.viewer.tiles import MAX_ZOOM

MAX_FILE_TILES = 4096
"""Most tiles of 256 pixels that a page of one file may hold."""

MAX_FILE_BYTES = 64 * 2**20
"""Most bytes of a page of one file: browsers open larger ones slowly, or not at all."""

MAX_TILES = 2**18
"""Most tiles of a page with a folder: more take hours to make, and fill a disk."""

_MARK = '<meta name="generator" content="lulcmap view">'
"""Tells a page that lulcmap wrote from others."""

_MARK_WITHIN = 4096
"""Bytes at the start of a page that hold the mark."""

_SCRIPTS = ("tiles", "source", "static", "state", "legend", "pixel", "swipe", "theme", "view")
"""Modules of the page, each after those it imports."""


@dataclass(frozen=True, slots=True)
class ExportedPage:
    """A page that was written."""

    path: Path
    """The file to open."""

    folder: Path | None
    """The folder beside it that it reads; None if everything is in the file."""

    n_bytes: int
    """Bytes of all its files."""


def export_page(
    site: Site,
    folder: Path,
    *,
    max_zoom: int = MAX_ZOOM,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> ExportedPage:
    """Write the page of what was opened: ``index.html``, with all its data in it if it is small.

    The data of a larger page lie in a folder ``lulcmap-page`` beside it.

    Args:
        site: what was opened.
        folder: folder to write to, made if it is missing.
        max_zoom: finest zoom that is kept of any map or composite.
        overwrite: whether a page exported before may be replaced.
        progress: called with a stage's name, how many tiles are done, and how many there are.

    Raises:
        UsageError: the maps are too large for a page.
        OutputError: the file exists, or cannot be written.

    """
    page = folder / "index.html"
    _check_place(page, folder, overwrite=overwrite)
    count = _check_size(site, max_zoom)
    about = page_about(site, max_zoom)
    try:
        folder.mkdir(exist_ok=True)
        with closing(kept_tiles(site, max_zoom)) as kept:
            tiles, held = _counted(kept, count, progress), list[KeptTiles]()
            if count <= MAX_FILE_TILES and _is_held(tiles, held):
                text = _one_file(site, {**about, **_texts(held)})
                _write(page, text)
                remove_folder(folder / FOLDER)
                return ExportedPage(page, None, len(text))
            shared = {"leaflet.js": _file("leaflet/leaflet.js"), "page.css": _styles()}
            shared["page.js"] = f"(() => {{\n{_script()}}})();\n"
            size = write_folder(folder / FOLDER, about, chain(held, tiles), shared)
        text = _small_file(site)
        _write(page, text)
    except OSError as error:
        raise OutputError(
            f"{page} could not be written ({error.strerror or error}). Free some space or choose "
            "another folder."
        ) from error
    return ExportedPage(page, folder / FOLDER, size + len(text))


def _check_size(site: Site, max_zoom: int) -> int:
    """How many tiles the page holds.

    Raises:
        UsageError: there are too many.

    """
    layers: list[OpenMap | Picture] = [*site.maps, *site.pictures]

    def tiles(zoom: int) -> int:
        return sum(tile_count(one.bounds, kept_zooms(one, zoom)) for one in layers)

    count = tiles(max_zoom)
    if count > MAX_TILES:
        finest = min(max_zoom, max(kept_zooms(one)[-1] for one in layers))
        fits = next((zoom for zoom in range(finest, -1, -1) if tiles(zoom) <= MAX_TILES), None)
        fewer = "" if fits is None else f"Leave out the finest with --max-zoom {fits}, "
        raise UsageError(
            f"The page would hold {count:,} tiles of all maps, composites and zooms; it may hold "
            f"{MAX_TILES:,}. {fewer}{'cut' if fewer else 'Cut'} out a part (gdal_translate "
            "-projwin), or show it with the server: leave out --export."
        )
    return count


def _counted(tiles: Iterable[KeptTiles], count: int, progress: Progress) -> Iterator[KeptTiles]:
    for done, one in enumerate(tiles, 1):
        yield one
        progress("exporting", done, count)


def _is_held(tiles: Iterator[KeptTiles], held: list[KeptTiles]) -> bool:
    """Take tiles as long as they fit into one file; whether all of them do."""
    size = 0
    for one in tiles:
        held.append(one)
        size += sum(4 * len(content) // 3 + 40 for content in one.contents.values())
        if size > MAX_FILE_BYTES:
            return False
    return True


def _write(page: Path, text: bytes) -> None:
    with replacing(page) as part:
        part.write_bytes(text)


def _check_place(page: Path, folder: Path, *, overwrite: bool) -> None:
    """Check that the page may be written, before the work begins."""
    check_destination(folder, option="--export", folder=True)
    check_ours(page, _is_ours, kind="a page", option="--export")
    check_ours(folder / FOLDER, is_page_folder, kind="the folder of a page", option="--export")
    for path in (page, folder / FOLDER):  # a page under another name may need the folder
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists. Give --overwrite, or another folder.")


def _texts(held: Iterable[KeptTiles]) -> dict[str, dict[str, str]]:
    """Tiles as a page carries them within itself."""
    texts: dict[str, dict[str, str]] = {"tiles": {}, "pictures": {}}
    for one in held:
        kind, number = one.layer.split("/")
        for name, content in one.contents.items():
            key = [number, *([] if kind == "pictures" else [name]), *map(str, one.tile)]
            texts[kind]["/".join(key)] = base64.b64encode(content).decode()
    return texts


def _is_ours(page: Path) -> bool:
    with page.open("rb") as file:
        return _MARK.encode() in file.read(_MARK_WITHIN)


def _one_file(site: Site, data: dict[str, Any]) -> bytes:
    """The page with its styles, scripts and data in it, which runs and asks for nothing else."""
    styles, leaflet, script = _styles(), _file("leaflet/leaflet.js"), _script()
    policy = {
        "script-src": f"{_hash(leaflet)} {_hash(script)}",
        "style-src": _hash(styles),
        "img-src": "data:",
    }
    scripts = (
        f'<script type="application/json" id="data">{script_json(data)}</script>\n'
        f"<script>{leaflet}</script>\n"
        f'<script type="module">{script}</script>'
    )
    return _page(site, policy, f"<style>{styles}</style>", scripts)


def _small_file(site: Site) -> bytes:
    """The page whose styles, scripts and data lie in the folder beside it."""
    own = "'self' file:"  # a file's own place is no origin to some browsers
    policy = {"script-src": own, "style-src": own, "img-src": f"{own} data:"}
    names = ("leaflet.js", "data.js", "page.js")
    scripts = "\n".join(f'<script src="{FOLDER}/{name}"></script>' for name in names)
    return _page(site, policy, f'<link rel="stylesheet" href="{FOLDER}/page.css">', scripts)


def _page(site: Site, policy: dict[str, str], styles: str, scripts: str) -> bytes:
    """The page with what it may load, and its styles and scripts."""
    if site.basemap is not None:
        policy["img-src"] += f" {basemap_origin(site.basemap)}"
    rules = "; ".join(f"{kind} {allowed}" for kind, allowed in policy.items())
    rules = f"default-src 'none'; {rules}; base-uri 'none'; form-action 'none'"
    head = (
        f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{rules}">\n'
        f"{_MARK}"
    )
    page = _file("index.html").replace('<meta charset="utf-8">', head)
    page = re.sub(r'<link rel="stylesheet"[^>]*>\n', "", page)
    page = page.replace("</head>", f"{styles}\n</head>")
    page = re.sub(r"<script [^>]*></script>\n", "", page)
    return page.replace("</body>", f"{scripts}\n</body>").encode()


def _styles() -> str:
    return "\n".join(_file(name) for name in ("leaflet/leaflet.css", "base.css", "view.css"))


def _script() -> str:
    return "\n".join([*map(_unmoduled, _SCRIPTS), ""])


def _file(name: str) -> str:
    # As browsers read a page: its line ends decide the hash of a script or style.
    return page_files()[name].decode().replace("\r\n", "\n")


def _unmoduled(name: str) -> str:
    """A module as a part of one script: browsers import no modules from files."""
    text = re.sub(r"^import .*\n", "", _file(f"{name}.js"), flags=re.M)
    return re.sub(r"^export ", "", text, flags=re.M)


def _hash(text: str) -> str:
    """What allows this very script or style in a policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
