"""Which asset of an item holds which band: by the profile's keys, then by any other known key.

One catalogue may hold items of several naming schemes, so each item is read by its own keys. All
keys of a band mean the same band at its own resolution.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from lulcmap.catalog.providers import ITEM_COLLECTION, PROFILES, Profile
from lulcmap.catalog.values import mapping
from lulcmap.sensors import S1_BANDS, S2_BANDS


def _known_keys(band: str) -> tuple[str, ...]:
    profiles = (ITEM_COLLECTION, *PROFILES.values())
    keys = [band, *(each.assets[band] for each in profiles if band in each.assets)]
    return tuple(dict.fromkeys([*keys, *(key.lower() for key in keys)]))


_KNOWN_KEYS = {band: _known_keys(band) for band in (*S2_BANDS, "SCL", *S1_BANDS)}


def asset_keys(item: Mapping[str, Any], profile: Profile, bands: Iterable[str]) -> dict[str, str]:
    """From band to the key of the asset that holds it, of the bands that an item has.

    Args:
        item: STAC item, as JSON.
        profile: profile of the catalogue the item comes from; its keys come first.
        bands: bands to look for.

    """
    assets, first = mapping(item.get("assets")), profile.assets
    found = {}
    for band in bands:
        if _has_href(assets.get(own := first.get(band, band))):
            found[band] = own
            continue
        for key in _KNOWN_KEYS[band]:
            if _has_href(assets.get(key)):
                found[band] = key
                break
    return found


def _has_href(asset: Any) -> bool:
    href = mapping(asset).get("href")
    return isinstance(href, str) and href != ""
