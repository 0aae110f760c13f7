"""The scenes of an area, from a STAC API or an ItemCollection.

Items are data and are not trusted (see ``hrefs``). The result of a search can be frozen into an
ItemCollection that finds the same scenes again: unsigned, and with the providers' names.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import shapely

from lulcmap.catalog.hrefs import HrefRefusedError, resolve_href
from lulcmap.catalog.providers import ITEM_COLLECTION, PROFILES, Profile
from lulcmap.catalog.scene import Scene, SkippedItem, acquisition
from lulcmap.catalog.sources import SOURCES_MEMBER, Catalog, CatalogSource, is_remote, sources_of
from lulcmap.catalog.stac.query import Days, query_items
from lulcmap.errors import UsageError
from lulcmap.system import Progress, no_progress

Item = Mapping[str, Any]
"""A STAC item, as JSON."""

_ROOT, _SKIPPED, _NOTES = "lulcmap:root", "lulcmap:skipped", "lulcmap:notes"
"""Members of a frozen ItemCollection that keep a ``SearchResult``."""

_ASSET_FACTS = ("type", "roles", "gsd", "proj:", "raster:", "bands", "offset", "scale", "nodata")
"""Prefixes of an asset's members kept besides its href; others may hold hrefs of their own."""

_SIGNATURES = {"sig", "signature", "x-amz-signature", "x-goog-signature"}
"""Query keys that mark a signed URL."""

_SIMULATED = "lulcmap:simulated"
"""Property of items that show simulated land."""

_MAX_NODATA_PERCENT = 99.9
"""Percent of a Sentinel-2 tile without data above which the rest is not worth reading."""


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

    def of(self, sensor: str) -> list[Scene]:
        """The scenes of a sensor, ``"s2"`` or ``"s1"``."""
        return [scene for scene in self.scenes if scene.sensor == sensor]

    @property
    def provider(self) -> str:
        """Name of the provider, or of both providers."""
        s2, s1 = self.sources["s2"], self.sources.get("s1")
        return s2.name if s1 in (None, s2) else f"{s2.name}, Sentinel-1 from {s1.name}"

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """Profiles of the providers."""
        return tuple(source.profile for source in self.sources.values())

    @property
    def private(self) -> bool:
        """Whether assets may be in a private network."""
        return any(source.may_be_private(self.root) for source in self.sources.values())

    @property
    def platforms(self) -> dict[str, int]:
        """Number of scenes by satellite, of the scenes that state theirs."""
        return dict(sorted(Counter(s.platform for s in self.scenes if s.platform).items()))

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
    max_cloud: float = 100.0,
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
        max_cloud: percent of cloud cover above which a Sentinel-2 scene is skipped.
        progress: called with the progress of each sensor's search.

    Raises:
        UsageError: a catalogue is neither a provider, a URL nor a readable ItemCollection.
        ProviderError: an API failed.

    """
    periods = {"s2": s2_period, **({"s1": s1_period} if s1 else {})}
    file = None if is_remote(catalog) else _item_collection(catalog)
    sources, notes = sources_of(catalog, file, profile=profile, s1_catalog=s1_catalog, s1=s1)
    root = None
    items: list[tuple[str, Item]] = []
    skipped: list[tuple[str, str]] = []
    if file is not None:
        root = _root(catalog, file)
        skipped += [(str(name), str(why)) for name, why in file.get(_SKIPPED) or []]
        items += _by_sensor(file["features"], sources, skipped)
        notes += [str(note) for note in file.get(_NOTES) or [] if note not in notes]
    else:
        for sensor, source in sources.items():
            answer = query_items(
                source.profile.url,
                source.collection(sensor),
                area,
                periods[sensor],
                progress=partial(progress, f"search {sensor}"),
            )
            items += [(sensor, item) for item in answer.items]
            notes += answer.notes
    criteria = _Criteria(area, periods, sources, root, max_cloud)
    scenes: dict[tuple[str, str], tuple[str, Item, Scene]] = {}
    for sensor, item in items:
        try:
            scene = criteria.scene(sensor, item)
            if scene is not None:
                scenes.setdefault((sensor, scene.id), (sensor, item, scene))
        except SkippedItem as reason:
            skipped.append((str(item.get("id")), str(reason)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            skipped.append(
                (str(item.get("id")), f"it is not a valid STAC item ({type(error).__name__})")
            )
    ordered = sorted(scenes.values(), key=lambda entry: (entry[0], entry[2].acquired, entry[2].id))
    return SearchResult(
        items=tuple(item for _, item, _ in ordered),
        scenes=tuple(scene for *_, scene in ordered),
        skipped=tuple(sorted(set(skipped))),
        sources=sources,
        root=root,
        notes=tuple(notes),
    )


def first_hrefs(result: SearchResult) -> dict[str, str]:
    """Path or URL of one asset of each sensor."""
    hrefs: dict[str, str] = {}
    for scene in result.scenes:
        hrefs.setdefault(scene.sensor, next(iter(scene.assets.values())))
    return hrefs


def freeze_items(result: SearchResult) -> dict[str, Any]:
    """The ItemCollection of a search: given as ``catalog``, it finds the same scenes.

    Hrefs are unsigned; relative ones start from a recorded root. Links and assets that lulcmap does
    not read are left out.
    """
    collection: dict[str, Any] = {
        "type": "FeatureCollection",
        SOURCES_MEMBER: {
            sensor: {"provider": source.name, "profile": source.profile.name}
            for sensor, source in result.sources.items()
        },
        _SKIPPED: [list(pair) for pair in result.skipped],
        _NOTES: list(result.notes),
        "features": _frozen(result),
    }
    return collection if result.root is None else {**collection, _ROOT: result.root}


def items_digest(result: SearchResult) -> str:
    """SHA-256 of the items used, hexadecimal; it does not depend on where the file lies."""
    text = json.dumps(_frozen(result), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _frozen(result: SearchResult) -> list[dict[str, Any]]:
    frozen = []
    for item, scene in zip(result.items, result.scenes, strict=True):
        keys = result.sources[scene.sensor].profile.assets
        assets = {}
        for band in scene.assets:
            asset = item["assets"][keys[band]]
            facts = {key: asset[key] for key in asset if key.startswith(_ASSET_FACTS)}
            assets[keys[band]] = {**facts, "href": _frozen_href(str(asset["href"]), result.root)}
        frozen.append({**item, "assets": assets, "links": []})
    return frozen


def _frozen_href(href: str, root: str | None) -> str:
    """An href as it is frozen: unsigned, or relative to the root."""
    if urlsplit(href).scheme:
        return _unsigned(href)
    return os.path.relpath(os.path.realpath(Path(root or ".") / href), root)


def _unsigned(href: str) -> str:
    """An href without the signature that a provider added."""
    parts = urlsplit(href)
    is_signed = _SIGNATURES & {key.lower() for key in parse_qs(parts.query)}
    return parts._replace(query="").geturl() if is_signed else href


def _by_sensor(
    items: Iterable[Any], sources: Mapping[str, CatalogSource], skipped: list[tuple[str, str]]
) -> Iterator[tuple[str, Item]]:
    """A file's items with their sensor; items of neither sensor are skipped."""
    sensors = {source.collection(sensor): sensor for sensor, source in sources.items()}
    collections = {ITEM_COLLECTION.s1_collection, *sensors}
    for item in items:
        if not isinstance(item, Mapping):
            skipped.append(("an item", "it is not a STAC item"))
        elif not item.get("id"):
            skipped.append(("an item", "it has no id"))
        elif item.get("collection") in sensors:
            yield sensors[item["collection"]], item
        elif item.get("collection") not in collections:
            skipped.append((str(item.get("id")), f"its collection is {item.get('collection')!r}"))


@dataclass(frozen=True, slots=True)
class _Criteria:
    """What an item must meet to become a scene of this search."""

    area: shapely.MultiPolygon
    periods: Mapping[str, Days]
    sources: Mapping[str, CatalogSource]
    root: str | None
    max_cloud: float

    def __post_init__(self) -> None:
        shapely.prepare(self.area)

    def scene(self, sensor: str, item: Item) -> Scene | None:
        """The scene of an item, its hrefs resolved; None if it is outside the area or period.

        Raises:
            SkippedItem: the item cannot be used.

        """
        first, last = self.periods[sensor]
        if not first <= acquisition(item["properties"]).date() <= last:
            return None
        if not shapely.intersects(self.area, item_footprint(item)):
            return None
        source = self.sources[sensor]
        scene = Scene.from_item(item, source.profile)
        if scene.cloud_cover is not None and scene.cloud_cover > self.max_cloud:
            raise SkippedItem(
                f"its cloud cover is {scene.cloud_cover:.0f} %, more than {self.max_cloud:g} %"
            )
        empty = item["properties"].get("s2:nodata_pixel_percentage")
        if empty is not None and float(empty) > _MAX_NODATA_PERCENT:
            raise SkippedItem(f"{float(empty):g} % of it is no data")
        assets = {}
        for band, href in scene.assets.items():
            try:
                private = source.may_be_private(self.root)
                assets[band] = resolve_href(_unsigned(href), root=self.root, private=private)
            except HrefRefusedError as reason:
                raise SkippedItem(f"the href of its {band} {reason}") from None
        return replace(scene, assets=assets)


def shows_simulated(path: Path) -> bool:
    """Whether all items of an ItemCollection file are marked as simulated land.

    Raises:
        UsageError: the file is not an ItemCollection.

    """
    return _all_simulated(_item_collection(str(path))["features"])


def _all_simulated(items: Iterable[Item]) -> bool:
    flags = [(item.get("properties") or {}).get(_SIMULATED) is True for item in items]
    return bool(flags) and all(flags)


def _root(catalog: Catalog, values: Mapping[str, Any]) -> str | None:
    """Folder that relative hrefs start from, and local ones stay in.

    Items in memory may come from a server: they have local hrefs only if they name a root.
    """
    if isinstance(catalog, str):
        return os.path.realpath(Path(catalog).parent / str(values.get(_ROOT) or "."))
    return os.path.realpath(str(values[_ROOT])) if values.get(_ROOT) else None


def _item_collection(catalog: Catalog) -> Mapping[str, Any]:
    """The JSON values of an ItemCollection, from a file or from memory."""
    if not isinstance(catalog, str):
        return _checked(catalog, "The catalogue")
    path = Path(catalog)
    if not path.is_file():
        raise UsageError(
            f"No catalogue {path}. Give {', '.join(PROFILES)}, the URL of a STAC API, or the path "
            "of an ItemCollection file."
        )
    try:
        values = json.loads(path.read_bytes())
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


def item_footprint(item: Item) -> shapely.Geometry:
    """Footprint of an item, degrees: its geometry, or its bbox if that cannot be used.

    Raises:
        SkippedItem: it has neither.

    """
    try:
        shape = shapely.make_valid(shapely.from_geojson(json.dumps(item["geometry"])))
        west, _, east, _ = shape.bounds
        if not shape.is_empty and east - west <= 180:
            return shape
    except (KeyError, ValueError, TypeError, AttributeError, shapely.errors.GEOSException):
        pass  # use the bbox
    bbox = item.get("bbox") or ()
    if len(bbox) not in (4, 6):
        raise SkippedItem("it has neither a geometry nor a bbox")
    west, south, east, north = (
        float(bbox[i]) for i in ((0, 1, 2, 3) if len(bbox) == 4 else (0, 1, 3, 4))
    )
    if west <= east and east - west <= 180:
        return shapely.box(west, south, east, north)
    # No scene is wider than half the globe: it crosses 180 degrees, in whichever order.
    west, east = max(west, east), min(west, east)
    return shapely.MultiPolygon(
        [shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)]
    )
