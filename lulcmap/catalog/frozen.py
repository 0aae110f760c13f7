"""The result of a search as an ItemCollection that finds the same scenes again."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from lulcmap.catalog.fallback import FALLBACK_MEMBER
from lulcmap.catalog.found import FoundItem
from lulcmap.catalog.root import CATALOG_MEMBER, ROOT_MEMBER
from lulcmap.catalog.search import NOTES_MEMBER, SKIPPED_MEMBER, SearchResult
from lulcmap.catalog.sources import SOURCES_MEMBER, CatalogSource


def freeze_items(result: SearchResult) -> Iterator[bytes]:
    """The ItemCollection of a search, as text in parts: as ``catalog``, it finds the same scenes.

    Hrefs are unsigned; relative ones start from a recorded root. Links and assets that lulcmap does
    not read are left out. What tells how to read the items comes before them.
    """
    members: dict[str, Any] = {
        "type": "FeatureCollection",
        SOURCES_MEMBER: _named(result.sources),
        SKIPPED_MEMBER: [list(pair) for pair in result.skipped],
        NOTES_MEMBER: list(result.notes),
    }
    if result.root is not None:
        members[ROOT_MEMBER] = result.root
    if result.listing is not None:
        members[CATALOG_MEMBER] = result.listing
    yield b"{\n"
    for name, value in members.items():
        yield f"{json.dumps(name)}: {json.dumps(value)},\n".encode()
    fallback = result.fallback
    if fallback.sources:
        sources = json.dumps(_named(fallback.sources))
        yield f'"{FALLBACK_MEMBER}": {{"sources": {sources}, "features": ['.encode()
        yield from _listed(fallback.items)
        yield b"]},\n"
    yield b'"features": ['
    yield from _listed(result.items)
    yield b"]\n}\n"


def items_digest(result: SearchResult) -> str:
    """SHA-256 of the items used, hexadecimal; it does not depend on where the file lies."""
    digest = hashlib.sha256(b"[")
    for number, item in enumerate(chain(result.items, result.fallback.items)):
        digest.update(b", " * bool(number))
        digest.update(item.text)
    digest.update(b"]")
    return digest.hexdigest()


def _listed(items: tuple[FoundItem, ...]) -> Iterator[bytes]:
    """Items one a line, as a reader that takes them one by one is glad of."""
    for number, item in enumerate(items):
        yield b",\n" if number else b"\n"
        yield item.text
    if items:
        yield b"\n"


def _named(sources: Mapping[str, CatalogSource]) -> dict[str, dict[str, str]]:
    return {
        sensor: {"provider": source.name, "profile": source.profile.name}
        for sensor, source in sources.items()
    }
