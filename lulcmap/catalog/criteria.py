"""Which items become scenes of a search, and what the report says of those that do not."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import shapely

from lulcmap.catalog.datatake import acquisition
from lulcmap.catalog.footprint import item_footprint
from lulcmap.catalog.frozen_text import NOT_KEPT_WHOLE, check_depth
from lulcmap.catalog.providers import sensor_of
from lulcmap.catalog.scene import Scene, check_id
from lulcmap.catalog.skip import SkippedItem, say_reasons
from lulcmap.catalog.sources import CatalogSource
from lulcmap.catalog.stac.query import Days
from lulcmap.catalog.values import mapping, number, quoted, shown

Item = Mapping[str, Any]
"""A STAC item, as JSON."""

_MAX_NODATA_PERCENT = 99.9
"""Percent of a Sentinel-2 tile without data above which the rest is not worth reading."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An item that cannot be used."""

    name: str
    """Its id, fit to be shown."""

    reason: str
    """Why it cannot be used."""

    sensor: str | None
    """Its sensor."""

    collection: str
    """Its collection."""

    @classmethod
    def of(cls, item: Any, reason: str, sensor: str | None = None) -> Self:
        """An item of a sensor, or of none."""
        name = mapping(item).get("id")
        named = isinstance(name, str | int) and name != ""
        collection = str(mapping(item).get("collection"))
        return cls(shown(str(name)) if named else "an item", reason, sensor, collection)


class SkippedItems:
    """Items that cannot be used, each with the reason."""

    def __init__(self) -> None:
        self.named: list[tuple[str, str]] = []
        """Ids, fit to be shown, and reasons."""
        self.of_collection: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        """Reasons by sensor and collection."""

    def append(self, item: LeftOut) -> None:
        """Add an item."""
        self.named.append((item.name, item.reason))
        if item.sensor is not None:
            self.of_collection[item.sensor, item.collection].append(item.reason)

    def add_frozen(self, pairs: Any) -> None:
        """Add what an ItemCollection made by ``freeze_items`` keeps."""
        for pair in pairs if isinstance(pairs, list) else ():
            if isinstance(pair, list) and len(pair) == 2:
                self.named.append((shown(str(pair[0])), shown(str(pair[1]))))


def by_sensor(
    items: Iterable[Any], sources: Mapping[str, CatalogSource], skipped: SkippedItems
) -> Iterator[tuple[str, Item]]:
    """A file's items with their sensor; items of neither sensor are skipped."""
    for item in items:
        if not isinstance(item, Mapping):
            skipped.append(LeftOut.of(item, "it is not a STAC item"))
            continue
        sensor = sensor_of(item.get("collection"))
        if sensor in sources:
            yield str(sensor), item
        elif sensor is None:
            why = f"its collection is {quoted(item.get('collection'))}"
            skipped.append(LeftOut.of(item, why))


@dataclass(frozen=True, slots=True)
class Criteria:
    """What an item must meet to become a scene of this search."""

    area: shapely.MultiPolygon
    """Area to be shown, degrees."""

    periods: Mapping[str, Days]
    """First and last day of each sensor."""

    sources: Mapping[str, CatalogSource]
    """Source of each sensor."""

    max_cloud: float
    """Percent of cloud cover above which a Sentinel-2 scene is skipped."""

    exact: bool
    """Whether an item must be of its source's collection: one of a search, not one of a file."""

    def __post_init__(self) -> None:
        shapely.prepare(self.area)

    def scene(
        self, sensor: str, item: Item, footprint: shapely.Geometry | None = None
    ) -> tuple[Scene, dict[str, str], shapely.Geometry] | None:
        """The scene of an item with its hrefs as they are, the keys of its bands, its footprint.

        None if it is outside the area or period.

        Args:
            sensor: its sensor.
            item: STAC item, as JSON.
            footprint: its footprint, if it is known already.

        Raises:
            SkippedItem: the item cannot be used.

        """
        check_id(item)
        first, last = self.periods[sensor]
        if not first <= acquisition(item).date() <= last:
            return None
        footprint = item_footprint(item) if footprint is None else footprint
        if not shapely.intersects(self.area, footprint):
            return None
        source = self.sources[sensor]
        if self.exact and item.get("collection") != source.collection(sensor):
            raise SkippedItem(f"its collection is {quoted(item.get('collection'))}")
        scene, keys = Scene.with_keys(item, source.profile, footprint=footprint)
        if scene.cloud_cover is not None and scene.cloud_cover > self.max_cloud:
            raise SkippedItem(
                f"its cloud cover is {scene.cloud_cover:.0f} %, more than {self.max_cloud:g} %"
            )
        empty = number(item["properties"].get("s2:nodata_pixel_percentage"), 0, 100)
        if empty is not None and empty > _MAX_NODATA_PERCENT:
            raise SkippedItem(f"{empty:g} % of it is no data")
        check_depth({name: item[name] for name in item if name not in NOT_KEPT_WHOLE})
        return scene, keys, footprint


def notes_on(scenes: Iterable[Scene], skipped: SkippedItems) -> Iterator[str]:
    """Sentences on collections of which nothing can be used, and on contradicted offsets."""
    doubts: Counter[str] = Counter()
    present = set()
    for scene in scenes:
        present.add(scene.sensor)
        doubts.update([scene.doubt] if scene.doubt else [])
    for (sensor, collection), reasons in sorted(skipped.of_collection.items()):
        if sensor not in present:
            yield (
                f"None of the {len(reasons):,} items of {quoted(collection)} can be used: "
                f"{say_reasons(reasons)}."
            )
        elif undecided := [reason for reason in reasons if reason.startswith("it states ")]:
            yield (
                f"Sentinel-2 scenes whose offset is undecided were skipped: {len(undecided):,} "
                f"({say_reasons(undecided)})."
            )
    for doubt, count in sorted(doubts.items()):
        yield f"Sentinel-2 scenes whose items contradict themselves: {count:,} state {doubt}."
