"""The scenes of an area, from a STAC API or an ItemCollection.

Items are data and are not trusted (see ``hrefs``). The result of a search can be frozen into an
ItemCollection that finds the same scenes again: unsigned, and with the providers' names.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from lulcmap.catalog.criteria import Criteria, Item, LeftOut, SkippedItems, notes_on
from lulcmap.catalog.fallback import (
    FALLBACK_MEMBER,
    NO_FALLBACK,
    Fallback,
    fallback_items,
    first_that_answers,
    note_on,
    pair,
)
from lulcmap.catalog.found import FoundItem, is_simulated, judge, sorted_once
from lulcmap.catalog.item_collection import ItemCollection
from lulcmap.catalog.judged import Judged, judged_items, judged_once
from lulcmap.catalog.keys import MARK, only_hrefs
from lulcmap.catalog.providers import Profile
from lulcmap.catalog.root import CATALOG_MEMBER, ROOT_MEMBER, root_of
from lulcmap.catalog.scene import Scene
from lulcmap.catalog.sources import (
    Catalog,
    CatalogSource,
    Layout,
    fallback_sources,
    is_remote,
    recorded_sources,
    sources_of,
)
from lulcmap.catalog.stac.query import Days, Keep, QueryResult, query_items
from lulcmap.catalog.values import mapping, quoted, shown
from lulcmap.errors import UsageError
from lulcmap.system import Progress, no_progress, without_secrets

SKIPPED_MEMBER, NOTES_MEMBER = "lulcmap:skipped", "lulcmap:notes"
"""Members of a frozen ItemCollection that keep a ``SearchResult``."""

_MAX_NOTE = 4000
"""Longest sentence of a frozen search, characters."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The scenes of an area, and the items they come from."""

    items: tuple[FoundItem, ...]
    """The items used, sorted by sensor, time and id."""

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
        stated = {item.scene.id: item.address for item in self.items if item.address is not None}
        return dict(sorted(stated.items()))

    @property
    def simulated(self) -> bool:
        """Whether all items are marked as simulated land."""
        return bool(self.items) and all(item.simulated for item in self.items)

    @property
    def footprints(self) -> NDArray[np.object_]:
        """(N,) footprint of each scene, degrees."""
        return np.array([item.footprint for item in self.items], object)

    @property
    def without_items(self) -> "SearchResult":
        """The same scenes, with neither the items nor what was said of others."""
        bare = replace(self.fallback, scenes=(), items=())
        return replace(self, items=(), skipped=(), fallback=bare)


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
    keep_items: bool = True,
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
        keep_items: whether to keep the items, which ``freeze_items`` and ``items_digest`` need.
        progress: called with the progress of each sensor's search.

    Raises:
        UsageError: a catalogue is neither a provider, a URL nor a readable ItemCollection.
        ProviderError: an API failed.

    """
    periods = {"s2": s2_period, **({"s1": s1_period} if s1 else {})}
    file = None if is_remote(catalog) else ItemCollection.open(catalog)
    sourced = partial(sources_of, catalog, file, profile=profile, s1_catalog=s1_catalog, s1=s1)
    sources, notes = sourced(None if file is None else Layout.expected(file.items()))
    others = _fallback_of(file, fallback if renew is None else None, sources)

    # Values in memory may be none of JSON: whether they can be written is known when they are.
    kept = keep_items or not isinstance(catalog, str)
    criteria = Criteria(area, periods, sources, max_cloud, exact=file is None)
    anyhow = replace(criteria, sources=others, max_cloud=100.0)
    skipped = SkippedItems()

    def ask(source: CatalogSource, sensor: str, keep: Keep) -> QueryResult:
        return query_items(
            source.profile.url,
            source.collection(sensor),
            area,
            periods[sensor],
            keep=keep,
            progress=partial(progress, f"search {sensor}"),
        )

    def ask_for(criteria: Criteria, source: CatalogSource, sensor: str) -> QueryResult:
        of_source = replace(criteria, sources={sensor: source})
        keep = partial(judge, sensor, criteria=of_source, root=None, keep_items=kept)
        return ask(source, sensor, keep)

    def renewing(live: Mapping[str, CatalogSource]) -> Callable[[str], Iterable[Item]]:
        return lambda sensor: ask(live[sensor], sensor, partial(map, only_hrefs)).items

    root, listing = None, None
    judged: Iterable[Judged]
    second: Iterable[Judged]
    if file is not None:
        root, listing = _root(catalog, file)
        judging = partial(judge, root=root, keep_items=kept)
        skipped.add_frozen(file.members.get(SKIPPED_MEMBER))
        asked = renew if renew and file.may_mention(MARK) else None
        live = renewing(asked) if asked else None
        judged, sources, notes = judged_once(file, sourced, criteria, judging, skipped, live)
        notes += [note for note in _frozen_notes(file) if note not in notes]
    else:
        judged = _searched(sources, others, partial(ask_for, criteria), notes)
    found = sorted_once(judged, skipped)
    first = tuple(item.scene for item in found)
    notes += [note for note in notes_on(first, skipped) if note not in notes]
    unnamed = SkippedItems()
    if file is None:
        second = fallback_items(others, partial(ask_for, anyhow), notes)
    else:
        live = renewing(fallback_sources(fallback, asked)) if asked else None
        second = judged_items(file.fallback_items, anyhow, judging, unnamed, live)
    scenes, held = pair(first, sorted_once(second, unnamed), others)
    if others and file is None:
        notes.append(note_on(held, scenes))
    return SearchResult(
        items=tuple(found),
        scenes=tuple(scenes),
        fallback=held,
        skipped=tuple(sorted({(without_secrets(a), without_secrets(b)) for a, b in skipped.named})),
        sources=sources,
        root=root,
        notes=tuple(map(without_secrets, notes)),
        listing=listing,
    )


def _fallback_of(
    file: ItemCollection | None, fallback: str | None, sources: Mapping[str, CatalogSource]
) -> dict[str, CatalogSource]:
    """The second provider of each sensor: the one asked for, or the one a file recorded."""
    if file is None:
        return fallback_sources(fallback, sources)
    if fallback is not None:
        raise UsageError(
            "--fallback needs a provider or a STAC API as --catalog; a file is read as it is. "
            "Leave it out, or give another --catalog."
        )
    recorded = mapping(file.members.get(FALLBACK_MEMBER)).get("sources")
    return recorded_sources(recorded, needs=()) if recorded else {}


def _searched(
    sources: dict[str, CatalogSource],
    others: dict[str, CatalogSource],
    ask: Callable[[CatalogSource, str], QueryResult],
    notes: list[str],
) -> list[FoundItem | LeftOut | None]:
    """What the items of the providers are to a search; the notes of each are added."""
    judged: list[FoundItem | LeftOut | None] = []
    for sensor in list(sources):
        answer = first_that_answers(sensor, sources, others, ask, notes)
        judged += answer.items
        notes += answer.notes
    return judged


def first_hrefs(result: SearchResult) -> dict[str, str]:
    """Path or URL of one asset of each sensor."""
    hrefs: dict[str, str] = {}
    for scene in result.scenes:
        if scene.sensor not in hrefs:
            hrefs[scene.sensor] = next(iter(scene.assets.values()))
    return hrefs


def shows_simulated(path: Path) -> bool:
    """Whether all items of an ItemCollection file are marked as simulated land.

    Raises:
        UsageError: the file is not an ItemCollection.

    """
    flags = [is_simulated(item) for item in ItemCollection.open(str(path)).items()]
    return bool(flags) and all(flags)


def _frozen_notes(file: ItemCollection) -> list[str]:
    """The sentences that an ItemCollection keeps, fit to be shown."""
    notes = file.members.get(NOTES_MEMBER)
    listed = notes if isinstance(notes, list) else []
    return [shown(note, _MAX_NOTE) for note in listed if isinstance(note, str)]


def _root(catalog: Catalog, file: ItemCollection) -> tuple[str | None, str | None]:
    """Folder that relative hrefs start from, and local ones stay in; and the catalogue of it.

    Items in memory may come from a server: they have local hrefs only if they name a root.
    """
    root, listing = file.members.get(ROOT_MEMBER), file.members.get(CATALOG_MEMBER)
    try:
        if isinstance(catalog, str):
            return root_of(Path(catalog), file)
        return os.path.realpath(root) if root else None, str(listing) if listing else None
    except (TypeError, ValueError):
        raise UsageError(
            f"The catalogue names {quoted(root)} as its folder, which is no path."
        ) from None
