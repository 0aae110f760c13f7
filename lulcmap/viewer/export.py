"""The page of some maps as one file, which opens without a server."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from lulcmap.errors import OutputError, UsageError
from lulcmap.system import Progress, check_destination, check_ours, no_progress, replacing
from lulcmap.viewer.embedded import kept_zooms, page_data, pyramid
from lulcmap.viewer.files import page_files
from lulcmap.viewer.maps import OpenMap, Picture
from lulcmap.viewer.site import Site, basemap_origin
from lulcmap.viewer.tiles import TILE_PX

MAX_TILES = 4096
"""Most tiles of 256 pixels that a page may hold."""

MAX_PAGE_BYTES = 64 * 2**20
"""Most bytes of an exported page: browsers open larger files slowly, or not at all."""

_MARK = '<meta name="generator" content="lulcmap view">'
"""Tells a page that lulcmap wrote from others."""

_MARK_WITHIN = 4096
"""Bytes at the start of a page that hold the mark."""

_SCRIPTS = ("tiles", "source", "static", "state", "legend", "pixel", "swipe", "theme", "view")
"""Modules of the page, each after those it imports."""


def export_page(
    site: Site, folder: Path, *, overwrite: bool = False, progress: Progress = no_progress
) -> Path:
    """Write the page of what was opened as one file, ``index.html``, with all its data.

    Args:
        site: what was opened.
        folder: folder to write to, made if it is missing.
        overwrite: whether a page exported before may be replaced.
        progress: called with a stage's name, how many tiles are done, and how many there are.

    Returns:
        Path of the page.

    Raises:
        UsageError: the maps are too large for one file.
        OutputError: the file exists, or cannot be written.

    """
    page = folder / "index.html"
    _check_place(page, folder, overwrite=overwrite)
    layers: list[OpenMap | Picture] = [*site.maps, *site.pictures]
    count = sum(len(list(pyramid(one.bounds, kept_zooms(one)))) for one in layers)
    if count > MAX_TILES:
        raise UsageError(
            f"The page would hold {count:,} tiles of {TILE_PX} pixels; {MAX_TILES:,} fit into one "
            "file, some 150 million pixels of all maps and composites together. Cut out a part "
            "(gdal_translate -projwin), or show it with the server: leave out --export."
        )
    text = _page(site, page_data(site, count, progress))
    if len(text) > MAX_PAGE_BYTES:
        raise UsageError(
            f"The page would have {len(text) / 2**20:,.0f} MB; browsers open "
            f"{MAX_PAGE_BYTES // 2**20} MB well. Cut out a part (gdal_translate -projwin), or show "
            "it with the server: leave out --export."
        )
    try:
        folder.mkdir(exist_ok=True)
        with replacing(page) as part:
            part.write_bytes(text)
    except OSError as error:
        raise OutputError(
            f"{page} could not be written ({error.strerror or error}). Free some space or choose "
            "another folder."
        ) from error
    return page


def _check_place(page: Path, folder: Path, *, overwrite: bool) -> None:
    """Check that the page may be written, before the work begins."""
    check_destination(folder, option="--export", folder=True)
    check_ours(page, _is_ours, kind="a page", option="--export")
    if page.exists() and not overwrite:
        raise OutputError(f"{page} exists. Give --overwrite, or another folder.")


def _is_ours(page: Path) -> bool:
    with page.open("rb") as file:
        return _MARK.encode() in file.read(_MARK_WITHIN)


def _page(site: Site, data: dict[str, Any]) -> bytes:
    """The page with its styles, scripts and data in it, which runs and asks for nothing else."""
    styles = "\n".join(_file(name) for name in ("leaflet/leaflet.css", "base.css", "view.css"))
    leaflet = _file("leaflet/leaflet.js")
    script = "\n".join([*map(_unmoduled, _SCRIPTS), ""])
    images = ["data:", *([] if site.basemap is None else [basemap_origin(site.basemap)])]
    policy = (
        f"default-src 'none'; script-src {_hash(leaflet)} {_hash(script)}; "
        f"style-src {_hash(styles)}; img-src {' '.join(images)}; "
        "base-uri 'none'; form-action 'none'"
    )
    head = (
        f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"{_MARK}"
    )
    # No name of a class or a map can end the element: "<" is written as an escape.
    values = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    scripts = (
        f'<script type="application/json" id="data">{values}</script>\n'
        f"<script>{leaflet}</script>\n"
        f'<script type="module">{script}</script>'
    )
    page = _file("index.html").replace('<meta charset="utf-8">', head)
    page = re.sub(r'<link rel="stylesheet"[^>]*>\n', "", page)
    page = page.replace("</head>", f"<style>{styles}</style>\n</head>")
    page = re.sub(r"<script [^>]*></script>\n", "", page)
    return page.replace("</body>", f"{scripts}\n</body>").encode()


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
