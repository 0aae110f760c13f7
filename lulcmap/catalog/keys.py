"""Keys in the hrefs of items: used while a map is made, and never kept.

An href that the catalogue signed, or that carries a token, is opened as it is. Frozen, it goes
without, marked so that a resumed run asks the catalogue for it again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lulcmap.catalog.hrefs import AZURE, HrefRefusedError, plain_host
from lulcmap.errors import ProviderError
from lulcmap.system import without_keys, without_keys_in

MARK = "lulcmap:signed"
"""Member of a frozen asset whose href was opened with a key."""

_SIGNATURES = {"sig", "signature", "x-amz-signature", "x-goog-signature"}
"""Query keys that mark a signed URL."""

_MAX_NAMES = 3
"""Items named in a message."""

Item = Mapping[str, Any]


def opened_href(asset: Mapping[str, Any], href: str, *, signing: str) -> str:
    """The href of an asset as it is opened: without a signature that is renewed anyway.

    Args:
        asset: the asset.
        href: its href.
        signing: how its provider's hrefs are signed: ``Profile.signing``.

    Raises:
        HrefRefusedError: it needs a key that was not kept.

    """
    if asset.get(MARK):
        raise HrefRefusedError(
            "needs a key that is not kept with frozen items; give the catalogue they come from"
        )
    if plain_host(href) is not None:
        return href
    parts = urlsplit(href)
    is_renewed = signing == "planetary-computer" and (parts.hostname or "").endswith(AZURE)
    if is_renewed and _SIGNATURES & {key.lower() for key in parse_qs(parts.query)}:
        return parts._replace(query="").geturl()
    return href


def frozen_asset(asset: Mapping[str, Any], href: str) -> dict[str, Any]:
    """An asset as it is frozen: with an href that is no secret, marked if it was one.

    Args:
        asset: members of the asset that are kept.
        href: its href as it is opened.

    """
    if plain_host(href) is not None:
        return {**without_keys_in(asset), "href": href}
    frozen = without_keys(href) if urlsplit(href).scheme else href
    marked = {MARK: True} if frozen != href.partition("#")[0] else {}
    return {**without_keys_in(asset), "href": frozen, **marked}


def renewed(
    items: Callable[[], Iterable[tuple[str, Item]]], ask: Callable[[str], Iterable[Item]]
) -> Iterator[tuple[str, Item]]:
    """Frozen items, with the hrefs that the catalogue gives now where theirs needed a key.

    Args:
        items: gives pairs of sensor and item; called twice.
        ask: gives the items of a sensor as the catalogue has them now, or what ``only_hrefs`` keeps
            of them.

    Raises:
        ProviderError: the catalogue does not give some of these hrefs any more; raised at the end.

    """
    fresh = {
        (sensor, str(item.get("id"))): item
        for sensor in sorted({sensor for sensor, item in items() if _needs_keys(item)})
        for item in ask(sensor)
    }
    lost = []
    for sensor, frozen in items():
        item = _renewed(frozen, fresh.get((sensor, str(frozen.get("id"))), {}))
        if _needs_keys(item):
            lost.append(str(item.get("id")))
        yield sensor, item
    if lost:
        more = ", ..." if len(lost) > _MAX_NAMES else ""
        raise ProviderError(
            f"{len(lost)} items of this run need keys that are not kept, and the catalogue gives "
            f"them no more ({', '.join(lost[:_MAX_NAMES])}{more}). Delete the run folder, or give "
            "another --workdir, to begin anew with the items that it has now."
        )


def only_hrefs(item: Item) -> Item:
    """An item's id, and the hrefs of its assets."""
    assets = _assets(item)
    hrefs = {key: {"href": assets[key].get("href")} for key in assets if _is_asset(assets[key])}
    return {"id": item.get("id"), "assets": hrefs}


def _is_asset(value: Any) -> bool:
    return isinstance(value, Mapping)


def _needs_keys(item: Item) -> bool:
    return any(asset.get(MARK) for asset in _assets(item).values() if isinstance(asset, Mapping))


def _renewed(item: Item, fresh: Item) -> Item:
    """An item, with the hrefs of another where they differ by their keys only."""
    assets = {}
    for key, asset in _assets(item).items():
        assets[key] = asset
        other = _assets(fresh).get(key)
        href = other.get("href") if isinstance(other, Mapping) else None
        if not isinstance(asset, Mapping) or not asset.get(MARK) or not isinstance(href, str):
            continue
        if without_keys(href) == asset.get("href"):
            assets[key] = {name: asset[name] for name in asset if name != MARK} | {"href": href}
    return {**item, "assets": assets}


def _assets(item: Item) -> Mapping[str, Any]:
    assets = item.get("assets")
    return assets if isinstance(assets, Mapping) else {}
