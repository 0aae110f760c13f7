"""The offset of an item's Sentinel-2 bands, read from what the item states."""

from collections.abc import Iterable, Mapping
from typing import Any

from lulcmap.catalog.skip import SkippedItem
from lulcmap.sensors import s2_offsets


def item_offset(item: Mapping[str, Any], keys: Iterable[str]) -> tuple[int, str | None]:
    """The DN to subtract from an item's bands, and what contradicts it, as of ``s2_offsets``.

    Args:
        item: STAC item, as JSON.
        keys: keys of the bands' assets.

    Raises:
        SkippedItem: it does not state its offset, or states one that cannot be.

    """
    try:
        read = s2_offsets(item["properties"], (item["assets"][key] for key in keys))
    except ValueError as reason:
        raise SkippedItem(f"it states {reason}") from None
    offsets = {offset for offset, _ in read}
    if len(offsets) > 1:
        raise SkippedItem("its bands state different offsets")
    offset = offsets.pop()
    if offset is None:
        raise SkippedItem(
            "it states neither a processing baseline nor an offset, so +1000 is undecided"
        )
    return offset, next((doubt for _, doubt in sorted(read, key=str) if doubt is not None), None)
