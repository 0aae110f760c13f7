"""The scenes of an area, from a STAC API or an ItemCollection.

Items are data and are not trusted (see ``hrefs``). The result of a search can be frozen into an
ItemCollection that finds the same scenes again: unsigned, and with the providers' names.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import shapely

from lulcmap.catalog.bands import asset_keys
from lulcmap.catalog.criteria import Criteria, Item, SkippedItems, by_sensor, notes_on
from lulcmap.catalog.fallback import (
    FALLBACK_MEMBER,
    NO_FALLBACK,
    Fallback,
    fallback_items,
    first_that_answers,
    frozen_fallback,
    note_on,
    pair,
)
from lulcmap.catalog.hrefs import HrefRefusedError, resolve_href
from lulcmap.catalog.keys import opened_href, renewed
from lulcmap.catalog.providers import PROFILES, Profile
from lulcmap.catalog.root import CATALOG_MEMBER, ROOT_MEMBER, root_of
from lulcmap.catalog.scene import Scene
from lulcmap.catalog.skip import SkippedItem
from lulcmap.catalog.sources import (
    Catalog,
    CatalogSource,
    fallback_sources,
    is_remote,
    recorded_sources,
    sources_of,
)
from lulcmap.catalog.stac.query import Days, QueryResult, query_items
from lulcmap.catalog.values import mapping, quoted, shown
from lulcmap.errors import UsageError
from lulcmap.system import Progress, check_is_file, no_progress, without_keys, without_secrets

SKIPPED_MEMBER, NOTES_MEMBER = "lulcmap:skipped", "lulcmap:notes"
"""Members of a frozen ItemCollection that keep a ``SearchResult``."""

_MAX_NOTE = 4000
"""Longest sentence of a frozen search, characters."""

_SIMULATED = "lulcmap:simulated"
"""Property of items that show simulated land."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The scenes of an area, and the items they come from."""

    items: tuple[Item, ...]
    """The items used, unsigned, sorted by sensor, time and id."""

    scenes: tuple[Scene, ...]
    """One scene per item, in the same order; their assets are absolute paths or URLs."""

    skipped: tuple[tuple[str, str], ...]
    """Ids of items of this area and period that cannot be used, each with the reason."""

    sources: Mapping[str, CatalogSource]
    """Source of each sensor: ``"s2"`` and, if it was searched, ``"s1"``."""

    root: str | None
    """Folder that relative hrefs of ``items`` start from; None for an API."""

    notes: tuple[str, ...] = ()
    """Sentences for the report."""

    fallback: Fallback = NO_FALLBACK
    """The same products at a second provider, if one was asked for."""

    listing: str | None = field(default=None, compare=False)
    """Path of the catalogue that lists the files of ``root``, if it is a file."""

    def of(self, sensor: str) -> list[Scene]:
        """The scenes of a sensor, ``"s2"`` or ``"s1"``."""
        return [scene for scene in self.scenes if scene.sensor == sensor]

    @property
    def provider(self) -> str:
        """Name of the provider, or of both providers."""
        s2, s1 = self.sources["s2"], self.sources.get("s1")
        return (
            s2.name if s1 is None or s1.name == s2.name else f"{s2.name}, Sentinel-1 from {s1.name}"
        )

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """Profiles of the providers, the second ones too."""
        sources = (*self.sources.values(), *self.fallback.sources.values())
        return tuple(source.profile for source in sources)

    @property
    def private(self) -> bool:
        """Whether assets may be in a private network."""
        sources = (*self.sources.values(), *self.fallback.sources.values())
        return any(source.may_be_private(self.root) for source in sources)

    @property
    def platforms(self) -> dict[str, int]:
        """Number of scenes by satellite, of the scenes that state theirs."""
        return dict(sorted(Counter(s.platform for s in self.scenes if s.platform).items()))

    @property
    def addresses(self) -> dict[str, str]:
        """Address of each item on the web, by its id, of those that state one."""
        links = {
            str(item["id"]): link["href"]
            for item in self.items
            for link in item.get("links") or ()
            if isinstance(link, Mapping) and link.get("rel") == "self"
            if isinstance(link.get("href"), str)
        }
        return {
            name: without_keys(href)
            for name, href in sorted(links.items())
            if href.startswith(("https://", "http://")) and href.isprintable() and " " not in href
        }

    @property
    def simulated(self) -> bool:
        """Whether all items are marked as simulated land."""
        return _all_simulated(self.items)


def find_scenes(
    area: shapely.MultiPolygon,
    *,
    s2_period: Days,
    s1_period: Days,
    catalog: Catalog,
    s1: bool,
    profile: str | None = None,
    s1_catalog: str | None = None,
    fallback: str | None = None,
    max_cloud: float = 100.0,
    renew: Mapping[str, CatalogSource] | None = None,
    progress: Progress = no_progress,
) -> SearchResult:
    """Find all scenes that show part of an area in a period.

    Args:
        area: area in longitude, latitude, degrees.
        s2_period: first and last day of Sentinel-2.
        s1_period: first and last day of Sentinel-1.
        catalog: catalogue; also an ItemCollection made by ``freeze_items``.
        s1: whether to search Sentinel-1 too.
        profile: name of the provider whose layout an API or a file has; None is the Planetary
            Computer for an API, and guessed from the assets for a file.
        s1_catalog: provider or API of Sentinel-1; None is ``catalog``.
        fallback: provider or API of the same products, for what ``catalog`` cannot give; of frozen
            items only with ``renew``.
        max_cloud: percent of cloud cover above which a Sentinel-2 scene is skipped.
        renew: of frozen items, the source of each sensor, which is asked again for hrefs that need
            a key; None skips these items.
        progress: called with the progress of each sensor's search.

    Raises:
        UsageError: a catalogue is neither a provider, a URL nor a readable ItemCollection.
        ProviderError: an API failed.

    """
    periods = {"s2": s2_period, **({"s1": s1_period} if s1 else {})}
    file = None if is_remote(catalog) else _item_collection(catalog)
    sources, notes = sources_of(catalog, file, profile=profile, s1_catalog=s1_catalog, s1=s1)
    others = _fallback_of(file, fallback if renew is None else None, sources)

    def ask(source: CatalogSource, sensor: str) -> QueryResult:
        return query_items(
            source.profile.url,
            source.collection(sensor),
            area,
            periods[sensor],
            progress=partial(progress, f"search {sensor}"),
        )

    root, listing = None, None
    items: list[tuple[str, Item]] = []
    skipped = SkippedItems()
    if file is not None:
        root, listing = _root(catalog, file)
        skipped.add_frozen(file.get(SKIPPED_MEMBER))
        items += by_sensor(file["features"], sources, skipped)
        if renew is not None:
            items = renewed(items, lambda sensor: ask(renew[sensor], sensor).items)
        notes += [note for note in _frozen_notes(file) if note not in notes]
    else:
        for sensor in list(sources):
            answer = first_that_answers(sensor, sources, others, ask, notes)
            items += [(sensor, item) for item in answer.items]
            notes += answer.notes
    criteria = Criteria(area, periods, sources, max_cloud, exact=file is None)
    found = _scenes(items, criteria, root, skipped)
    first = tuple(scene for scene, _ in found)
    notes += [note for note in notes_on(first, skipped) if note not in notes]
    if file is None:
        second = fallback_items(others, ask, notes)
    else:
        second = frozen_fallback(file, others)
        if renew is not None:
            live = fallback_sources(fallback, renew)
            second = renewed(second, lambda sensor: ask(live[sensor], sensor).items)
    anyhow = replace(criteria, sources=others, max_cloud=100.0)
    same = _scenes(second, anyhow, root, SkippedItems())
    scenes, held = pair(first, same, others)
    if others and file is None:
        notes.append(note_on(held, scenes))
    return SearchResult(
        items=tuple(item for _, item in found),
        scenes=tuple(scenes),
        fallback=held,
        skipped=tuple(sorted({(without_secrets(a), without_secrets(b)) for a, b in skipped.named})),
        sources=sources,
        root=root,
        notes=tuple(map(without_secrets, notes)),
        listing=listing,
    )


def _fallback_of(
    file: Mapping[str, Any] | None, fallback: str | None, sources: Mapping[str, CatalogSource]
) -> dict[str, CatalogSource]:
    """The second provider of each sensor: the one asked for, or the one a file recorded."""
    if file is None:
        return fallback_sources(fallback, sources)
    if fallback is not None:
        raise UsageError(
            "--fallback needs a provider or a STAC API as --catalog; a file is read as it is. "
            "Leave it out, or give another --catalog."
        )
    recorded = mapping(file.get(FALLBACK_MEMBER)).get("sources")
    return recorded_sources(recorded, needs=()) if recorded else {}


def _scenes(
    items: Iterable[tuple[str, Item]],
    criteria: Criteria,
    root: str | None,
    skipped: SkippedItems,
) -> list[tuple[Scene, Item]]:
    """The scenes of items with their sensor, sorted, each once; the others are skipped by name."""
    found: dict[tuple[str, str], tuple[Scene, Item]] = {}
    for sensor, item in items:
        try:
            scene = criteria.scene(sensor, item)
            if scene is None:
                continue
            scene = replace(scene, assets=_resolved(item, scene, criteria.sources[sensor], root))
            first, _ = found.setdefault((sensor, scene.id), (scene, item))
            if first != scene:
                raise SkippedItem("another item has the same id")
        except SkippedItem as reason:
            skipped.append(item, str(reason), sensor)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            why = f"it is not a valid STAC item ({type(error).__name__})"
            skipped.append(item, why, sensor)
    return sorted(found.values(), key=lambda one: (one[0].sensor, one[0].acquired, one[0].id))


def _resolved(item: Item, scene: Scene, source: CatalogSource, root: str | None) -> dict[str, str]:
    """The paths and URLs of a scene's assets.

    Raises:
        SkippedItem: an href may not be opened.

    """
    private, assets = source.may_be_private(root), {}
    keys = asset_keys(item, source.profile, scene.assets)
    for band, href in scene.assets.items():
        try:
            href = opened_href(
                item["assets"][keys[band]], _local_path(href), signing=source.profile.signing
            )
            assets[band] = resolve_href(
                href, root=root, private=private, accounts=source.profile.azure_accounts
            )
        except HrefRefusedError as reason:
            raise SkippedItem(f"the href of its {band} {reason}") from None
    return assets


def first_hrefs(result: SearchResult) -> dict[str, str]:
    """Path or URL of one asset of each sensor."""
    hrefs: dict[str, str] = {}
    for scene in result.scenes:
        hrefs.setdefault(scene.sensor, next(iter(scene.assets.values())))
    return hrefs


def _local_path(href: str) -> str:
    """The path of a ``file://`` href of this machine; any other href unchanged."""
    parts = urlsplit(href)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return href
    return unquote(parts.path)


def shows_simulated(path: Path) -> bool:
    """Whether all items of an ItemCollection file are marked as simulated land.

    Raises:
        UsageError: the file is not an ItemCollection.

    """
    return _all_simulated(_item_collection(str(path))["features"])


def _all_simulated(items: Iterable[Item]) -> bool:
    flags = [mapping(mapping(item).get("properties")).get(_SIMULATED) is True for item in items]
    return bool(flags) and all(flags)


def _frozen_notes(values: Mapping[str, Any]) -> list[str]:
    """The sentences that an ItemCollection keeps, fit to be shown."""
    notes = values.get(NOTES_MEMBER)
    listed = notes if isinstance(notes, list) else []
    return [shown(note, _MAX_NOTE) for note in listed if isinstance(note, str)]


def _root(catalog: Catalog, values: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Folder that relative hrefs start from, and local ones stay in; and the catalogue of it.

    Items in memory may come from a server: they have local hrefs only if they name a root.
    """
    root, listing = values.get(ROOT_MEMBER), values.get(CATALOG_MEMBER)
    try:
        if isinstance(catalog, str):
            return root_of(Path(catalog), values)
        return os.path.realpath(root) if root else None, str(listing) if listing else None
    except (TypeError, ValueError):
        raise UsageError(
            f"The catalogue names {quoted(root)} as its folder, which is no path."
        ) from None


def _item_collection(catalog: Catalog) -> Mapping[str, Any]:
    """The JSON values of an ItemCollection, from a file or from memory."""
    if not isinstance(catalog, str):
        return _checked(catalog, "The catalogue")
    path = Path(catalog)
    check_is_file(path, UsageError)
    if not path.is_file():
        raise UsageError(
            f"No catalogue {without_secrets(catalog)}. Give {', '.join(PROFILES)}, the URL of a "
            "STAC API, or the path of an ItemCollection file."
        )
    try:
        values = json.loads(path.read_bytes())
    except RecursionError:
        raise UsageError(
            f"The catalogue {path} is nested too deeply to be a STAC ItemCollection."
        ) from None
    except (ValueError, OSError) as error:
        raise UsageError(
            f"The catalogue {path} cannot be read as JSON ({type(error).__name__}); it is damaged "
            "or cut short. Write it again."
        ) from error
    return _checked(values, f"The catalogue {path}")


def _checked(values: Any, what: str) -> Mapping[str, Any]:
    features = values.get("features") if isinstance(values, Mapping) else None
    if not isinstance(features, list) or values.get("type") != "FeatureCollection":
        raise UsageError(f"{what} is not a STAC ItemCollection, a FeatureCollection of items.")
    return values
