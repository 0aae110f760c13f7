"""The scenes of an area: asked of a STAC API, or read from an ItemCollection file.

Items are what a server or a file says: data, not trust (see ``hrefs``). What was found can be
frozen into an ItemCollection that finds the same again: unsigned, and with the providers' names.
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

from lulcmap.catalog.hrefs import RefusedError, resolve_href
from lulcmap.catalog.providers import ITEM_COLLECTION, PROFILES, Profile
from lulcmap.catalog.scene import Scene, SkippedItem, acquisition
from lulcmap.catalog.sources import SOURCES_MEMBER, Catalog, CatalogSource, is_remote, sources_of
from lulcmap.catalog.stac.query import Period, ask
from lulcmap.errors import UsageError
from lulcmap.system import Progress, no_progress

Item = Mapping[str, Any]
"""A STAC item, as JSON."""

_ROOT, _SKIPPED, _NOTES = "lulcmap:root", "lulcmap:skipped", "lulcmap:notes"
_ASSET_FACTS = ("type", "roles", "gsd", "proj:", "raster:", "bands", "offset", "scale", "nodata")
"""What is kept of an asset besides its href; other members may hold hrefs of their own."""

_SIGNATURES = {"sig", "signature", "x-amz-signature", "x-goog-signature"}
"""Keys in the query of a signed URL."""


_SIMULATED = "lulcmap:simulated"

_MAX_NODATA_PERCENT = 99.9
"""Percent of a Sentinel-2 tile without data, above which the sliver left is not worth its reads."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The scenes of an area, and the items they come from."""

    items: tuple[Item, ...]
    """Unsigned, only those used, by collection, time and id."""

    scenes: tuple[Scene, ...]
    """One an item, in the same order; their assets are absolute paths or URLs."""

    skipped: tuple[tuple[str, str], ...]
    """Ids of items of this area and period that cannot be used, and why."""

    sources: Mapping[str, CatalogSource]
    """By sensor, ``"s2"`` and, where it was looked for, ``"s1"``."""

    root: str | None
    """Folder that relative hrefs of ``items`` start from; None for an API."""

    notes: tuple[str, ...] = ()
    """Sentences for the report."""

    def of(self, sensor: str) -> list[Scene]:
        """The scenes of a sensor, ``"s2"`` or ``"s1"``."""
        return [scene for scene in self.scenes if scene.sensor == sensor]

    @property
    def provider(self) -> str:
        """Name of the provider, or of both."""
        s2, s1 = self.sources["s2"], self.sources.get("s1")
        return s2.name if s1 in (None, s2) else f"{s2.name}, Sentinel-1 from {s1.name}"

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """Of the providers."""
        return tuple(source.profile for source in self.sources.values())

    @property
    def private(self) -> bool:
        """Whether assets may lie in a private network."""
        return any(source.private for source in self.sources.values())

    @property
    def platforms(self) -> dict[str, int]:
        """How many scenes each satellite gave, as far as they say."""
        return dict(sorted(Counter(s.platform for s in self.scenes if s.platform).items()))

    @property
    def simulated(self) -> bool:
        """Whether every item says of itself that it shows simulated land."""
        return _all_simulated(self.items)


def find_scenes(
    area: shapely.MultiPolygon,
    *,
    s2_period: Period,
    s1_period: Period,
    catalog: Catalog,
    s1: bool,
    profile: str | None = None,
    s1_catalog: str | None = None,
    max_cloud: float = 100.0,
    progress: Progress = no_progress,
) -> SearchResult:
    """Every scene that shows part of an area in its period.

    Args:
        area: longitude, latitude, degrees.
        s2_period: of Sentinel-2.
        s1_period: of Sentinel-1.
        catalog: the catalogue; also an ItemCollection made by ``freeze_items``.
        s1: whether Sentinel-1 is wanted.
        profile: the provider's name after which an API or a file is laid out; None is the
            Planetary Computer, or what the file looks like.
        s1_catalog: provider or API of Sentinel-1; None is ``catalog``.
        max_cloud: percent of cloud cover above which a Sentinel-2 scene is skipped.
        progress: told how far the search of each sensor is.

    Raises:
        UsageError: a catalogue is neither known nor a readable ItemCollection.
        ProviderError: an API failed.

    """
    periods = {"s2": s2_period, **({"s1": s1_period} if s1 else {})}
    file = None if is_remote(catalog) else _item_collection(catalog)
    sources, notes = sources_of(catalog, file, profile=profile, s1_catalog=s1_catalog, s1=s1)
    root = None
    items: list[tuple[str, Item]] = []
    skipped: list[tuple[str, str]] = []
    if file is not None:
        # Items in memory are the caller's own: their local hrefs are absolute.
        folder = Path(catalog).parent if isinstance(catalog, str) else Path("/")
        root = os.path.realpath(folder / str(file.get(_ROOT) or "."))
        skipped += [(str(name), str(why)) for name, why in file.get(_SKIPPED) or []]
        items += _by_sensor(file["features"], sources, skipped)
        notes += [str(note) for note in file.get(_NOTES) or [] if note not in notes]
    else:
        for sensor, source in sources.items():
            asked = ask(
                source.profile.url,
                source.collection(sensor),
                area,
                periods[sensor],
                progress=partial(progress, f"search {sensor}"),
            )
            items += [(sensor, item) for item in asked.items]
            notes += asked.notes
    chosen = _Choice(area, periods, sources, root, max_cloud)
    found: dict[tuple[str, str], tuple[str, Item, Scene]] = {}
    for sensor, item in items:
        try:
            scene = chosen.scene(sensor, item)
            if scene is not None:
                found.setdefault((sensor, scene.id), (sensor, item, scene))
        except SkippedItem as reason:
            skipped.append((str(item.get("id")), str(reason)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            skipped.append(
                (str(item.get("id")), f"it is no proper STAC item ({type(error).__name__})")
            )
    ordered = sorted(found.values(), key=lambda one: (one[0], one[2].acquired, one[2].id))
    return SearchResult(
        items=tuple(item for _, item, _ in ordered),
        scenes=tuple(scene for *_, scene in ordered),
        skipped=tuple(sorted(set(skipped))),
        sources=sources,
        root=root,
        notes=tuple(notes),
    )


def first_hrefs(found: SearchResult) -> dict[str, str]:
    """By sensor, the place of one asset."""
    places: dict[str, str] = {}
    for scene in found.scenes:
        places.setdefault(scene.sensor, next(iter(scene.assets.values())))
    return places


def freeze_items(found: SearchResult) -> dict[str, Any]:
    """The ItemCollection that makes the same search again: given as ``catalog``, it finds the same.

    Hrefs are unsigned; relative ones start from a recorded root. Assets lulcmap does not read, and
    links, are left out.
    """
    collection: dict[str, Any] = {
        "type": "FeatureCollection",
        SOURCES_MEMBER: {
            sensor: {"provider": source.name, "profile": source.profile.name}
            for sensor, source in found.sources.items()
        },
        _SKIPPED: [list(pair) for pair in found.skipped],
        _NOTES: list(found.notes),
        "features": _frozen(found),
    }
    return collection if found.root is None else {**collection, _ROOT: found.root}


def items_digest(found: SearchResult) -> str:
    """SHA-256 of the items used, hexadecimal; the same wherever the file and its folder lie."""
    text = json.dumps(_frozen(found), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _frozen(found: SearchResult) -> list[dict[str, Any]]:
    frozen = []
    for item, scene in zip(found.items, found.scenes, strict=True):
        keys = found.sources[scene.sensor].profile.assets
        assets = {}
        for band in scene.assets:
            asset = item["assets"][keys[band]]
            facts = {key: asset[key] for key in asset if key.startswith(_ASSET_FACTS)}
            assets[keys[band]] = {**facts, "href": _kept(str(asset["href"]), found.root)}
        frozen.append({**item, "assets": assets, "links": []})
    return frozen


def _kept(href: str, root: str | None) -> str:
    """An href as it is written down: unsigned, or relative to the root."""
    if urlsplit(href).scheme:
        return _unsigned(href)
    return os.path.relpath(os.path.realpath(Path(root or ".") / href), root)


def _unsigned(href: str) -> str:
    """An href without the signature that a provider put there."""
    parts = urlsplit(href)
    signed = _SIGNATURES & {key.lower() for key in parse_qs(parts.query)}
    return parts._replace(query="").geturl() if signed else href


def _by_sensor(
    items: Iterable[Any], sources: Mapping[str, CatalogSource], skipped: list[tuple[str, str]]
) -> Iterator[tuple[str, Item]]:
    """A file's items with their sensor; what is of neither is skipped."""
    sensors = {source.collection(sensor): sensor for sensor, source in sources.items()}
    known = {ITEM_COLLECTION.s1_collection, *sensors}
    for item in items:
        if not isinstance(item, Mapping):
            skipped.append(("an item", "it is no STAC item"))
        elif not item.get("id"):
            skipped.append(("an item", "it has no id"))
        elif item.get("collection") in sensors:
            yield sensors[item["collection"]], item
        elif item.get("collection") not in known:
            skipped.append((str(item.get("id")), f"its collection is {item.get('collection')!r}"))


@dataclass(frozen=True, slots=True)
class _Choice:
    """What makes an item a scene of this search."""

    area: shapely.MultiPolygon
    periods: Mapping[str, Period]
    sources: Mapping[str, CatalogSource]
    root: str | None
    max_cloud: float

    def __post_init__(self) -> None:
        shapely.prepare(self.area)

    def scene(self, sensor: str, item: Item) -> Scene | None:
        """The scene, its assets' places allowed; None where it shows nothing of the area.

        Raises:
            SkippedItem: it cannot be used.

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
        places = {}
        for band, href in scene.assets.items():
            try:
                places[band] = resolve_href(_unsigned(href), root=self.root, private=source.private)
            except RefusedError as reason:
                raise SkippedItem(f"the href of its {band} {reason}") from None
        return replace(scene, assets=places)


def shows_simulated(path: Path) -> bool:
    """Whether every item of an ItemCollection file says that it shows simulated land.

    Raises:
        UsageError: it is no such file.

    """
    return _all_simulated(_item_collection(str(path))["features"])


def _all_simulated(items: Iterable[Item]) -> bool:
    flags = [(item.get("properties") or {}).get(_SIMULATED) is True for item in items]
    return bool(flags) and all(flags)


def _item_collection(catalog: Catalog) -> Mapping[str, Any]:
    """The values of an ItemCollection, from a file or from memory."""
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
            f"The catalogue {path} cannot be read as JSON ({type(error).__name__}); it is broken "
            "or cut short. Write it again."
        ) from error
    return _checked(values, f"The catalogue {path}")


def _checked(values: Any, what: str) -> Mapping[str, Any]:
    features = values.get("features") if isinstance(values, Mapping) else None
    if not isinstance(features, list) or values.get("type") != "FeatureCollection":
        raise UsageError(
            f"{what} is no STAC ItemCollection: it is not a FeatureCollection of items."
        )
    return values


def item_footprint(item: Item) -> shapely.Geometry:
    """What an item covers, degrees: its geometry, or its bbox where that cannot be used."""
    try:
        shape = shapely.make_valid(shapely.from_geojson(json.dumps(item["geometry"])))
        west, _, east, _ = shape.bounds
        if not shape.is_empty and east - west <= 180:
            return shape
    except (KeyError, ValueError, TypeError, AttributeError, shapely.errors.GEOSException):
        pass  # the bbox says enough
    box = item.get("bbox") or ()
    if len(box) not in (4, 6):
        raise SkippedItem("it has neither a geometry nor a bbox")
    west, south, east, north = (
        float(box[i]) for i in ((0, 1, 2, 3) if len(box) == 4 else (0, 1, 3, 4))
    )
    if west <= east and east - west <= 180:
        return shapely.box(west, south, east, north)
    # No scene is wider than half the globe: it crosses 180 degrees, whichever way that is written.
    west, east = max(west, east), min(west, east)
    return shapely.MultiPolygon(
        [shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)]
    )
