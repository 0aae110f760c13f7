"""The result of a search as an ItemCollection that finds the same scenes again."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from lulcmap.catalog.bands import asset_keys
from lulcmap.catalog.criteria import Item
from lulcmap.catalog.fallback import FALLBACK_MEMBER
from lulcmap.catalog.keys import frozen_asset
from lulcmap.catalog.root import CATALOG_MEMBER, ROOT_MEMBER
from lulcmap.catalog.scene import Scene
from lulcmap.catalog.search import NOTES_MEMBER, SKIPPED_MEMBER, SearchResult
from lulcmap.catalog.sources import SOURCES_MEMBER, CatalogSource
from lulcmap.system import without_keys_in

_ASSET_FACTS = (
    *("type", "roles", "gsd", "proj:", "raster:", "bands", "offset", "scale", "nodata"),
    "file:checksum",
)
"""Prefixes of an asset's members kept besides its href; others may hold hrefs of their own."""


def freeze_items(result: SearchResult) -> dict[str, Any]:
    """The ItemCollection of a search: given as ``catalog``, it finds the same scenes.

    Hrefs are unsigned; relative ones start from a recorded root. Links and assets that lulcmap does
    not read are left out.
    """
    collection: dict[str, Any] = {
        "type": "FeatureCollection",
        SOURCES_MEMBER: _named(result.sources),
        SKIPPED_MEMBER: [list(pair) for pair in result.skipped],
        NOTES_MEMBER: list(result.notes),
        "features": _frozen(result.items, result.scenes, result.sources, result.root),
    }
    if result.fallback.sources:
        collection[FALLBACK_MEMBER] = {
            "sources": _named(result.fallback.sources),
            "features": _frozen_twins(result),
        }
    if result.root is not None:
        collection[ROOT_MEMBER] = result.root
    if result.listing is not None:
        collection[CATALOG_MEMBER] = result.listing
    return collection


def items_digest(result: SearchResult) -> str:
    """SHA-256 of the items used, hexadecimal; it does not depend on where the file lies."""
    items = _frozen(result.items, result.scenes, result.sources, result.root)
    text = json.dumps([*items, *_frozen_twins(result)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _named(sources: Mapping[str, CatalogSource]) -> dict[str, dict[str, str]]:
    return {
        sensor: {"provider": source.name, "profile": source.profile.name}
        for sensor, source in sources.items()
    }


def _frozen_twins(result: SearchResult) -> list[dict[str, Any]]:
    fallback = result.fallback
    return _frozen(fallback.items, fallback.scenes, fallback.sources, result.root)


def _frozen(
    items: Iterable[Item],
    scenes: Iterable[Scene],
    sources: Mapping[str, CatalogSource],
    root: str | None,
) -> list[dict[str, Any]]:
    frozen = []
    for item, scene in zip(items, scenes, strict=True):
        keys = asset_keys(item, sources[scene.sensor].profile, scene.assets)
        assets = {}
        for band, opened in scene.assets.items():
            asset = item["assets"][keys[band]]
            facts = {key: asset[key] for key in asset if key.startswith(_ASSET_FACTS)}
            assets[keys[band]] = frozen_asset(facts, _relative(opened, root))
        frozen.append({**without_keys_in({**item, "assets": {}}), "assets": assets, "links": []})
    return frozen


def _relative(href: str, root: str | None) -> str:
    """An href as it is frozen: a path relative to the root."""
    return os.path.relpath(href, root) if "://" not in href else href
