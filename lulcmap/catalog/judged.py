"""Judge the items of a file for a search, page by page."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from lulcmap.catalog.criteria import Criteria, Item, LeftOut, SkippedItems, by_sensor
from lulcmap.catalog.found import FoundItem
from lulcmap.catalog.item_collection import ItemCollection
from lulcmap.catalog.keys import renewed
from lulcmap.catalog.sources import CatalogSource, Layout

Judged = FoundItem | LeftOut | None
"""What an item is to a search; None outside of it."""

_PAGE_ITEMS = 25
"""Items of a file that are judged together."""


def judged_once(
    file: ItemCollection,
    sourced: Callable[[Layout], tuple[dict[str, CatalogSource], list[str]]],
    criteria: Criteria,
    judging: Callable[..., Iterator[Judged]],
    skipped: SkippedItems,
    ask: Callable[[str], Iterable[Item]] | None,
) -> tuple[list[Judged], dict[str, CatalogSource], list[str]]:
    """Judge the items of a file; return the results, its sources, and notes on these.

    A file is read once if its first items tell what all do, otherwise twice.

    Args:
        file: the file.
        sourced: gives the sources of a file by what its items tell, and notes.
        criteria: what items must meet, with the sources that the first items tell.
        judging: ``judge``, which lacks sensor, items and criteria.
        skipped: items of neither sensor are added to it.
        ask: as of ``judged_items``.

    """
    while True:
        layout, strange = Layout(), SkippedItems()
        items = partial(_noted, file, layout)
        judged = list(judged_items(items, criteria, judging, strange, ask))
        sources, notes = sourced(layout)
        if sources.items() <= criteria.sources.items():
            skipped.named += strange.named
            return judged, sources, notes
        judged.clear()
        criteria = replace(criteria, sources=sources)


def _noted(file: ItemCollection, layout: Layout) -> Iterator[Any]:
    return layout.noted(file.items())


def judged_items(
    items: Callable[[], Iterator[Any]],
    criteria: Criteria,
    judging: Callable[..., Iterator[Judged]],
    skipped: SkippedItems,
    ask: Callable[[str], Iterable[Item]] | None,
) -> Iterator[Judged]:
    """Judge the items of a file.

    Args:
        items: gives the items.
        criteria: what they must meet.
        judging: ``judge``, which lacks sensor, items and criteria.
        skipped: items of neither sensor are added to it.
        ask: gives the items of a sensor as the catalogue has them now, for hrefs that need a key;
            None asks nobody.

    """
    pairs = partial(_pairs, items, criteria.sources, skipped)
    every = pairs() if ask is None else renewed(pairs, ask)
    while page := list(islice(every, _PAGE_ITEMS)):
        for sensor in sorted({sensor for sensor, _ in page}):
            of_sensor = [item for one, item in page if one == sensor]
            yield from judging(sensor, of_sensor, criteria)


def _pairs(
    items: Callable[[], Iterator[Any]], sources: Mapping[str, CatalogSource], skipped: SkippedItems
) -> Iterator[tuple[str, Item]]:
    return by_sensor(items(), sources, skipped)
