"""The text of an item as it is frozen: JSON with sorted keys, ASCII, without keys.

A country has 20,000 items, whose assets say the same of each tile and band but for their hrefs. So
what an asset says is written once, and only a text that may hold a key is looked through for it.
"""

import json
import marshal
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import chain
from typing import Any

from lulcmap.catalog.hrefs import plain_host, shared_host
from lulcmap.catalog.keys import frozen_asset
from lulcmap.catalog.skip import SkippedItem
from lulcmap.system import may_hold_keys, without_keys_in

Item = Mapping[str, Any]

_ASSET_FACTS = (
    *("type", "roles", "gsd", "proj:", "raster:", "bands", "offset", "scale", "nodata"),
    "file:checksum",
)
"""Prefixes of an asset's members kept besides its href; others may hold hrefs of their own."""

_encode = json.JSONEncoder(sort_keys=True).encode

NOT_KEPT_WHOLE = frozenset(("assets", "links"))
"""Members of an item of which only a part is kept, or nothing."""

MAX_LEVELS = 64
"""Most levels of an item's values; a GeometryCollection in an item has about ten."""

_PLAIN = frozenset((str, int, float, bool, type(None)))
"""Types of values without values in them."""

_TEXT, _LIST = frozenset((str,)), frozenset((list,))

_MAX_REMEMBERED = 4096
"""Longest text that is remembered, characters or bytes; a server chooses how long they are."""

_MAX_NAMES = 50
"""Most names of an item's members that are remembered together."""

_MARSHAL_FORMAT = 2
"""Format in which equal values have equal bytes, however they are shared."""


def frozen_text(item: Item, hrefs: Mapping[str, str]) -> bytes:
    """An item as it is frozen: unsigned, without links and without assets that are not read.

    Args:
        item: STAC item, as JSON, of at most 64 levels.
        hrefs: from key of each asset that is kept to its href.

    Raises:
        SkippedItem: what is kept of an asset is nested too deeply.
        AttributeError, TypeError, ValueError: the item is not JSON.

    """
    try:
        text = _quickly(item, hrefs)
    except (TypeError, ValueError):  # maybe of a member that is not kept
        text = None
    return (_plainly(item, hrefs) if text is None else text).encode()


def _plainly(item: Item, hrefs: Mapping[str, str]) -> str:
    assets = {key: frozen_asset(_facts(item["assets"][key]), hrefs[key]) for key in hrefs}
    kept = without_keys_in({**item, "assets": {}, "links": []})
    return _encode({**kept, "assets": assets})


def _quickly(item: Item, hrefs: Mapping[str, str]) -> str | None:
    """The same; None if a name is no text, or there are many."""
    short = len(item) <= _MAX_NAMES and sum(map(len, item)) <= _MAX_REMEMBERED
    names = _names(tuple(item)) if short else None
    if names is None or set(map(type, hrefs)) != {str}:
        return None
    members, together = list[str](), dict[str, Any]()
    for name in names:
        value = item[name] if name not in NOT_KEPT_WHOLE else []
        if name == "assets":
            text = _assets_text(item["assets"], hrefs)
        elif _is_short_texts(value):
            text = _encode_texts(tuple(value))
        else:
            together[name] = value
            continue
        members += [_encode_members(together)] if together else []
        members.append(f"{_encode_name(name)}: {text}")
        together = {}
    members += [_encode_members(together)] if together else []
    return f"{{{', '.join(members)}}}"


@lru_cache(64)
def _names(names: tuple[Any, ...]) -> tuple[str, ...] | None:
    """The names that are kept of an item's members, sorted; None if one of them is no text."""
    kept = without_keys_in(dict.fromkeys((*names, *NOT_KEPT_WHOLE), 0))
    return tuple(sorted(kept)) if all(isinstance(name, str) for name in kept) else None


_encode_name = lru_cache(256)(_encode)


def _is_short_texts(value: Any) -> bool:
    """Whether a value is a list of texts that may be remembered."""
    is_texts = type(value) is list and value and _TEXT.issuperset(map(type, value))
    return bool(is_texts) and sum(map(len, value)) + len(value) <= _MAX_REMEMBERED


def _encode_members(members: dict[str, Any]) -> str:
    """Members without keys in their values, as text."""
    text = _encode(members)
    return (_encode(without_keys_in(members)) if may_hold_keys(text) else text)[1:-1]


@lru_cache(64)
def _encode_texts(texts: tuple[str, ...]) -> str:
    """A list of texts without keys, as text: the same in every item of a collection."""
    return _encode(without_keys_in(texts))


def _assets_text(assets: Mapping[str, Any], hrefs: Mapping[str, str]) -> str:
    are_plain = shared_host(tuple(hrefs.values())) is not None
    texts = [
        f"{_encode_name(key)}: {_asset_text(assets[key], href, is_plain=are_plain)}"
        for key, href in sorted(hrefs.items())
    ]
    return f"{{{', '.join(texts)}}}"


def _asset_text(asset: Mapping[str, Any], href: str, *, is_plain: bool) -> str:
    if not is_plain and plain_host(href) is None:
        return _encode(frozen_asset(_facts(asset), href))
    packed = marshal.dumps({**asset, "href": None}, _MARSHAL_FORMAT)
    around = _around_href if len(packed) <= _MAX_REMEMBERED else _around_href.__wrapped__
    before, after = around(packed)
    return f'{{{before}"href": "{href}"{after}}}'


@lru_cache(4096)
def _around_href(packed: bytes) -> tuple[str, str]:
    """The text of an asset's other members, before and after its href.

    Args:
        packed: the asset without its href, as bytes that can be remembered.

    """
    kept = without_keys_in(_facts(marshal.loads(packed)))
    before = _encode({name: kept[name] for name in kept if name < "href"})[1:-1]
    after = _encode({name: kept[name] for name in kept if name > "href"})[1:-1]
    return before and f"{before}, ", after and f", {after}"


def _facts(asset: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of an asset besides its href."""
    facts = {name: asset[name] for name in asset if name.startswith(_ASSET_FACTS)}
    check_depth(facts, levels=MAX_LEVELS - 2)  # in the assets, in the item
    return facts


def check_assets(assets: Mapping[str, Any], keys: Iterable[str]) -> None:
    """Check that what is kept of assets is not nested too deeply, as ``frozen_text`` does.

    Args:
        assets: the assets of an item that was read as JSON.
        keys: keys of those that are kept.

    Raises:
        SkippedItem: it is.

    """
    facts = [
        value
        for key in keys
        for name, value in assets[key].items()
        if type(value) not in _PLAIN and name.startswith(_ASSET_FACTS)
    ]
    check_depth(facts, levels=MAX_LEVELS - 2)  # the list stands for each of the assets


def check_depth(value: Mapping[str, Any] | list[Any], *, levels: int = MAX_LEVELS) -> None:
    """Check that values are not nested so deeply that they cannot be written again.

    Args:
        value: JSON object, or list.
        levels: most levels of objects and lists that it may have.

    Raises:
        SkippedItem: it has more.

    """
    level: list[Any] = [value]
    for _ in range(levels - 1):  # those left at the end have a last level in them
        level = [child for value in level for child in _with_values_in_values(value)]
        if not level:
            return
    raise SkippedItem("its values are nested too deeply")


def _with_values_in_values(value: Any) -> list[Any]:
    """The objects and lists in an object or a list that have more than plain values."""
    children = value.values() if isinstance(value, dict) else value
    nested = [child for child in children if type(child) not in _PLAIN]
    if _LIST.issuperset(map(type, nested)) and _PLAIN.issuperset(
        map(type, chain.from_iterable(nested))  # the positions of a ring
    ):
        return []
    return [child for child in nested if _has_values_in_values(child)]


def _has_values_in_values(value: Any) -> bool:
    """Whether a value is an object or a list that has more than plain values."""
    if not isinstance(value, dict | list | tuple):
        return False
    return not _PLAIN.issuperset(map(type, value.values() if isinstance(value, dict) else value))
