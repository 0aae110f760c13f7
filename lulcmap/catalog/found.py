"""What a search keeps of an item: its scene and, as text, the item as it is frozen.

An item of a provider is 15 kB of text and 60 kB of values, most of it about assets that are not
read. So items are judged as they are read, one at a time, and what is not kept is let go.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote, urlsplit

import deflate
import shapely

from lulcmap.catalog.band_hrefs import BandHrefs
from lulcmap.catalog.criteria import Criteria, Item, LeftOut, SkippedItems
from lulcmap.catalog.footprint import plain_footprints
from lulcmap.catalog.frozen_text import check_assets, frozen_text
from lulcmap.catalog.hrefs import (
    HrefRefusedError,
    is_private,
    plain_host,
    resolve_href,
    shared_host,
)
from lulcmap.catalog.keys import MARK, opened_href
from lulcmap.catalog.scene import Scene
from lulcmap.catalog.skip import SkippedItem
from lulcmap.catalog.sources import CatalogSource
from lulcmap.catalog.values import mapping, shown
from lulcmap.system import without_keys

_SIMULATED = "lulcmap:simulated"
"""Property of items that show simulated land."""


@dataclass(frozen=True, slots=True)
class FoundItem:
    """An item that is a scene of a search, less what nobody needs of it."""

    scene: Scene
    """The scene; its assets are absolute paths or URLs."""

    footprint: shapely.Geometry
    """Its footprint, degrees, as of ``item_footprint``."""

    packed: bytes | None
    """The item as it is frozen: JSON with sorted keys, compressed; a country's take 150 MB. None if
    it is not kept."""

    length: int
    """Bytes of it, decompressed."""

    collection: str
    """Its collection."""

    address: str | None
    """Its address on the web, if it states one."""

    simulated: bool
    """Whether it is marked as simulated land."""

    @property
    def text(self) -> bytes:
        """The item as it is frozen: JSON with sorted keys, ASCII.

        Raises:
            ValueError: it is not kept.

        """
        if self.packed is None:
            raise ValueError("the items of this search were not kept")
        return bytes(deflate.zlib_decompress(self.packed, self.length))


def judge(
    sensor: str,
    items: Sequence[Item],
    criteria: Criteria,
    root: str | None,
    *,
    keep_items: bool,
) -> Iterator[FoundItem | LeftOut | None]:
    """What items are to a search: scenes, or such that cannot be used; None outside of it.

    Args:
        sensor: their sensor.
        items: STAC items, as JSON; their values are not trusted.
        criteria: what they must meet.
        root: folder that their relative hrefs start from, resolved; None if files are not allowed.
        keep_items: whether to keep the items as they are frozen.

    """
    for item, footprint in zip(items, plain_footprints(items), strict=True):
        yield _judge(sensor, item, footprint, criteria, root, keep_items=keep_items)


def _judge(
    sensor: str,
    item: Item,
    footprint: shapely.Geometry | None,
    criteria: Criteria,
    root: str | None,
    *,
    keep_items: bool,
) -> FoundItem | LeftOut | None:
    try:
        placed = criteria.scene(sensor, item, footprint)
        if placed is None:
            return None
        scene, keys, footprint = placed
        source = criteria.sources[sensor]
        stated = {band: item["assets"][key]["href"] for band, key in keys.items()}
        opened = _resolved(item, stated, keys, source, root)
        if opened is not stated:
            scene = replace(scene, assets=BandHrefs(opened))
        text = None
        if keep_items:
            hrefs = {keys[band]: _relative(href, root) for band, href in opened.items()}
            text = frozen_text(item, hrefs)
        else:
            check_assets(item["assets"], keys.values())
        return FoundItem(
            scene,
            footprint,
            None if text is None else bytes(deflate.zlib_compress(text, 1)),
            0 if text is None else len(text),
            sys.intern(str(item.get("collection"))),
            _address(item),
            is_simulated(item),
        )
    except SkippedItem as reason:
        return LeftOut.of(item, str(reason), sensor)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"it is not a valid STAC item ({type(error).__name__})"
        return LeftOut.of(item, why, sensor)


def is_simulated(item: Any) -> bool:
    """Whether an item is marked as simulated land."""
    return mapping(mapping(item).get("properties")).get(_SIMULATED) is True


def sorted_once(
    judged: Iterable[FoundItem | LeftOut | None], skipped: SkippedItems
) -> list[FoundItem]:
    """The items found, sorted, each once; the others are added to those skipped.

    Of two items with one id and other scenes, the second is skipped.
    """
    found: dict[tuple[str, str], FoundItem] = {}
    for one in judged:
        if isinstance(one, LeftOut):
            skipped.append(one)
        elif one is not None:
            scene = one.scene
            first = found.setdefault((scene.sensor, scene.id), one)
            if first.scene != scene:
                skipped.append(
                    LeftOut(
                        shown(scene.id),
                        "another item has the same id",
                        scene.sensor,
                        one.collection,
                    )
                )
    return sorted(
        found.values(), key=lambda one: (one.scene.sensor, one.scene.acquired, one.scene.id)
    )


def _resolved(
    item: Item,
    hrefs: dict[str, str],
    keys: Mapping[str, str],
    source: CatalogSource,
    root: str | None,
) -> dict[str, str]:
    """The paths and URLs of a scene's assets; the hrefs themselves if they stay as they are.

    Args:
        item: STAC item, as JSON.
        hrefs: from band to href, as in the item.
        keys: from band to the key of its asset.
        source: source of the item.
        root: folder that relative hrefs start from; None if files are not allowed.

    Raises:
        SkippedItem: an href may not be opened.

    """
    private, profile, assets = source.may_be_private(root), source.profile, {}
    host = shared_host(tuple(hrefs.values()))
    is_open = host is not None and (private or not is_private(host))
    if is_open and not any(item["assets"][key].get(MARK) for key in keys.values()):
        return hrefs
    for band, href in hrefs.items():
        try:
            asset = item["assets"][keys[band]]
            href = opened_href(asset, _local_path(href), signing=profile.signing)
            assets[band] = resolve_href(
                href, root=root, private=private, accounts=profile.azure_accounts
            )
        except HrefRefusedError as reason:
            raise SkippedItem(f"the href of its {band} {reason}") from None
    return assets


def _local_path(href: str) -> str:
    """The path of a ``file://`` href of this machine; any other href unchanged."""
    if plain_host(href) is not None:
        return href
    parts = urlsplit(href)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return href
    return unquote(parts.path)


def _relative(href: str, root: str | None) -> str:
    """An href as it is frozen: a path relative to the root."""
    return os.path.relpath(href, root) if "://" not in href else href


def _address(item: Item) -> str | None:
    """Address of an item on the web, without keys; None if it states none that can be shown."""
    stated = [
        link["href"]
        for link in item.get("links") or ()
        if mapping(link).get("rel") == "self"
        if isinstance(link.get("href"), str)
    ]
    href = stated[-1] if stated else ""
    is_plain = href.startswith(("https://", "http://")) and href.isprintable() and " " not in href
    return without_keys(href) if is_plain else None
