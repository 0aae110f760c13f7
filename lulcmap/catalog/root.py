"""The folder that local hrefs of an ItemCollection file start from and stay in.

A file frozen in a run folder names the folder of the catalogue that it was made from. Anyone can
write such a file, so a folder outside its own is believed only if a catalogue of that folder lists
the same files.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lulcmap.catalog.item_collection import ItemCollection
from lulcmap.errors import UsageError

ROOT_MEMBER, CATALOG_MEMBER = "lulcmap:root", "lulcmap:catalog"
"""Members of a frozen ItemCollection: the folder, and the catalogue that lists its files."""


def root_of(path: Path, file: ItemCollection) -> tuple[str, str]:
    """The folder of a file's local hrefs, and the catalogue that vouches for it; both resolved.

    Args:
        path: path of the ItemCollection.
        file: what it holds.

    Raises:
        UsageError: it names a folder that is not its own.
        TypeError, ValueError: what it names is no path.

    """
    own, named = os.path.realpath(path.parent), file.members.get(ROOT_MEMBER)
    root = os.path.realpath(Path(own, named or "."))
    if Path(root).is_relative_to(own):
        return root, os.path.realpath(path)
    listing = file.members.get(CATALOG_MEMBER)
    listing = os.path.realpath(listing if isinstance(listing, str) else f"{root}/items.json")
    if _lists(listing, root, _files(file, root)):
        return root, listing
    raise UsageError(
        f"The catalogue {path} names {root} as the folder of its files. That is not its own "
        "folder, and no catalogue there lists them. Give the catalogue that it was made from, or "
        f"move the file to {root}."
    )


def _lists(listing: str, root: str, files: Iterable[str]) -> bool:
    """Whether a catalogue lists all files, and a root that is in its own folder."""
    try:
        other = ItemCollection.open(listing)
        own, named = os.path.realpath(Path(listing).parent), other.members.get(ROOT_MEMBER)
        own_root = os.path.realpath(Path(own, named if isinstance(named, str) else "."))
        is_own = own_root == root and Path(root).is_relative_to(own)
        return is_own and set(files) <= set(_files(other, root))
    except (OSError, ValueError, UsageError):
        return False


def _files(file: ItemCollection, root: str) -> Iterable[str]:
    """The local files that an ItemCollection lists, resolved."""
    for item in file.items():
        assets = item.get("assets") if isinstance(item, Mapping) else None
        for asset in assets.values() if isinstance(assets, Mapping) else ():
            href = asset.get("href") if isinstance(asset, Mapping) else None
            if isinstance(href, str) and (path := _local_path(href)) is not None:
                yield os.path.realpath(Path(root, path))


def _local_path(href: str) -> str | None:
    try:
        parts = urlsplit(href)
    except ValueError:
        return None
    if parts.scheme == "file":
        return unquote(parts.path)
    return None if parts.scheme else href
