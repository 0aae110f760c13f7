"""The offset of an item's Sentinel-2 bands, read from what the item states."""

from collections.abc import Iterable, Mapping
from typing import Any

from lulcmap.catalog.skip import SkippedItem
from lulcmap.sensors import s2_offset, s2_offset_doubt


def item_offset(item: Mapping[str, Any], keys: Iterable[str]) -> int:
    """The DN to subtract from an item's bands.

    Args:
        item: STAC item, as JSON.
        keys: keys of the bands' assets.

    Raises:
        SkippedItem: it does not state its offset, or states one that cannot be.

    """
    try:
        offsets = {s2_offset(item["properties"], item["assets"][key]) for key in keys}
    except ValueError as reason:
        raise SkippedItem(f"it states {reason}") from None
    if len(offsets) > 1:
        raise SkippedItem("its bands state different offsets")
    offset = offsets.pop()
    if offset is None:
        raise SkippedItem(
            "it states neither a processing baseline nor an offset, so +1000 is undecided"
        )
    return offset


def offset_doubts(item: Mapping[str, Any], keys: Iterable[str]) -> set[str]:
    """What contradicts the offset of an item that has one; arguments as for ``item_offset``."""
    doubts = (s2_offset_doubt(item["properties"], item["assets"][key]) for key in keys)
    return {doubt for doubt in doubts if doubt is not None}
