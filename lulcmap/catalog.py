"""The scenes of an area: asked of a STAC API, or read from an ItemCollection file.

Items are what a server or a file says: data, not trust. An href is used only where it is http(s)
without credentials, or, from a file, lies inside the file's root: its own folder, or the one that
the file of an earlier run recorded.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import shapely

from lulcmap.errors import ProviderError, UsageError
from lulcmap.providers import ITEM_COLLECTION, PLANETARY_COMPUTER, Profile
from lulcmap.scenes import Scene, SkippedItem, acquisition

Period = tuple[date, date]
"""First and last day, both included."""

Item = Mapping[str, Any]
"""A STAC item, as JSON."""

_ROOT, _PROVIDER, _SKIPPED = "lulcmap:root", "lulcmap:provider", "lulcmap:skipped"
_SIMULATED = "lulcmap:simulated"
_PAGE = 250
_NEAR = 1.0
"""Degrees; parts of an area closer than twice this are asked for in one box."""


@dataclass(frozen=True, slots=True)
class Found:
    """The scenes of an area, and the items they come from."""

    items: tuple[Item, ...]
    """Unsigned, only those used, by collection, time and id."""

    scenes: tuple[Scene, ...]
    """One an item, in the same order; their assets are absolute paths or URLs."""

    skipped: tuple[tuple[str, str], ...]
    """Ids of items of this area and period that cannot be used, and why."""

    provider: str
    """Name of the profile, or the API's URL."""

    root: str | None
    """Folder that relative hrefs of ``items`` start from; None for an API."""

    @property
    def signs(self) -> bool:
        """Whether hrefs are signed right before they are opened."""
        return _profile(self.provider).signs

    @property
    def simulated(self) -> bool:
        """Whether every item says of itself that it shows simulated land."""
        flags = [item["properties"].get(_SIMULATED) is True for item in self.items]
        return bool(flags) and all(flags)


def search(
    area: shapely.MultiPolygon,
    *,
    s2_period: Period,
    s1_period: Period,
    catalog: str,
    s1: bool,
) -> Found:
    """Every scene that shows part of an area in its period.

    Args:
        area: longitude, latitude, degrees.
        s2_period: of Sentinel-2.
        s1_period: of Sentinel-1.
        catalog: ``planetary-computer``, the URL of a STAC API with the Planetary Computer's
            collections, or the path of an ItemCollection file (also one written by ``freeze``).
        s1: whether Sentinel-1 is wanted.

    Raises:
        UsageError: ``catalog`` is neither known nor a readable ItemCollection.
        ProviderError: the API failed.

    """
    periods = {"s2": s2_period, "s1": s1_period if s1 else None}
    items, profile, root, before = _source(catalog, area, periods)
    skipped = list(before)
    found: dict[tuple[str, str], tuple[Item, Scene]] = {}
    shapely.prepare(area)
    for item in items:
        try:
            if _shows(item, area, profile, periods):
                scene = _inside(Scene.from_item(item, profile), root)
                found.setdefault((str(item["collection"]), scene.id), (item, scene))
        except SkippedItem as reason:
            skipped.append((str(item.get("id")), str(reason)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            name = str(item.get("id")) if isinstance(item, Mapping) else "an item"
            skipped.append((name, f"it is no proper STAC item ({type(error).__name__})"))
    pairs = sorted(
        found.values(), key=lambda pair: (pair[0]["collection"], pair[1].acquired, pair[1].id)
    )
    return Found(
        items=tuple(item for item, _ in pairs),
        scenes=tuple(scene for _, scene in pairs),
        skipped=tuple(sorted(set(skipped))),
        provider=profile.name,
        root=root,
    )


def _source(
    catalog: str, area: shapely.MultiPolygon, periods: Mapping[str, Period | None]
) -> tuple[Iterable[Item], Profile, str | None, list[tuple[str, str]]]:
    """Items that may be wanted, their profile, their root, and what was skipped before."""
    if catalog == PLANETARY_COMPUTER.name or catalog.startswith(("http://", "https://")):
        profile = _profile(catalog)
        return _ask(profile, area, periods), profile, None, []
    collection = _read(Path(catalog))
    items = collection["features"]
    root = os.path.realpath(Path(catalog).parent / str(collection.get(_ROOT) or "."))
    before = [(str(name), str(why)) for name, why in collection.get(_SKIPPED) or []]
    return items, _profile(str(collection.get(_PROVIDER) or _guessed(items))), root, before


def freeze(found: Found) -> dict[str, Any]:
    """The ItemCollection that makes the same search again: given as ``catalog``, it finds the same.

    Hrefs are unsigned; relative ones start from a recorded root. Assets lulcmap does not read, and
    links, are left out.
    """
    collection: dict[str, Any] = {
        "type": "FeatureCollection",
        _PROVIDER: found.provider,
        _SKIPPED: [list(pair) for pair in found.skipped],
        "features": _frozen(found),
    }
    return collection if found.root is None else {**collection, _ROOT: found.root}


def digest(found: Found) -> str:
    """SHA-256 of the items used, hexadecimal; the same wherever the file and its folder lie."""
    text = json.dumps(_frozen(found), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _frozen(found: Found) -> list[dict[str, Any]]:
    keys = _profile(found.provider).assets
    frozen = []
    for item, scene in zip(found.items, found.scenes, strict=True):
        used = {keys[band]: item["assets"][keys[band]] for band in scene.assets}
        assets = {
            key: {**asset, "href": _unsigned(str(asset["href"]), found.root)}
            for key, asset in used.items()
        }
        frozen.append({**item, "assets": assets, "links": []})
    return frozen


def _unsigned(href: str, root: str | None) -> str:
    parts = urlsplit(href)
    if parts.scheme in ("http", "https"):
        is_blob = (parts.hostname or "").endswith(".blob.core.windows.net")
        return parts._replace(query="").geturl() if is_blob else href
    return os.path.relpath(os.path.realpath(Path(root or ".") / href), root)


def _profile(provider: str) -> Profile:
    """The profile of a provider's name, or of an API's URL."""
    if provider == PLANETARY_COMPUTER.name:
        return PLANETARY_COMPUTER
    parts = urlsplit(provider)
    if parts.scheme not in ("http", "https"):
        return ITEM_COLLECTION
    if parts.username or parts.password:
        raise UsageError("The catalogue's URL holds a user name or password; give it without.")
    return replace(PLANETARY_COMPUTER, name=provider, url=provider)


def _read(path: Path) -> dict[str, Any]:
    """An ItemCollection file."""
    if not path.is_file():
        raise UsageError(
            f"There is no catalogue {path}. Give {PLANETARY_COMPUTER.name}, the URL of a STAC API, "
            "or the path of an ItemCollection file."
        )
    try:
        collection = json.loads(path.read_bytes())
    except (ValueError, OSError) as error:
        raise UsageError(
            f"The catalogue {path} cannot be read as JSON ({type(error).__name__}); it is broken "
            "or cut short. Write it again."
        ) from error
    features = collection.get("features") if isinstance(collection, dict) else None
    if not isinstance(features, list) or collection.get("type") != "FeatureCollection":
        raise UsageError(
            f"The catalogue {path} is no STAC ItemCollection: it is not a FeatureCollection of "
            "items."
        )
    return collection


def _guessed(items: Iterable[Any]) -> str:
    """Whose items a file without a recorded provider holds: blobs' hrefs need signing."""
    blobs = ".blob.core.windows.net/" in json.dumps(list(items)[:100])
    return PLANETARY_COMPUTER.name if blobs else ITEM_COLLECTION.name


def _shows(
    item: Item,
    area: shapely.MultiPolygon,
    profile: Profile,
    periods: Mapping[str, Period | None],
) -> bool:
    """Whether an item shows part of the area in its sensor's period."""
    sensors = {profile.s2_collection: "s2", profile.s1_collection: "s1"}
    sensor = sensors.get(str(item.get("collection")))
    period = periods[sensor] if sensor else (date.min, date.max)
    if period is None or not period[0] <= acquisition(item["properties"]).date() <= period[1]:
        return False
    return bool(shapely.intersects(area, _footprint(item)))


def _footprint(item: Item) -> shapely.Geometry:
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


def _inside(scene: Scene, root: str | None) -> Scene:
    """The scene with the assets' places, each of them allowed.

    Raises:
        SkippedItem: an href is neither http(s) nor inside the root.

    """
    return replace(scene, assets={band: _place(band, h, root) for band, h in scene.assets.items()})


def _place(band: str, href: str, root: str | None) -> str:
    parts = urlsplit(href)
    if parts.scheme in ("http", "https"):
        if parts.username is not None or parts.password is not None or not parts.hostname:
            raise SkippedItem(f"the href of its {band} holds a user name or password, or no host")
        return href
    if root is None:
        raise SkippedItem(f"the href of its {band} is not http(s)")
    place = os.path.realpath(Path(root) / href)
    if parts.scheme or not Path(place).is_relative_to(root):
        raise SkippedItem(f"the href of its {band} is neither http(s) nor inside the folder")
    return place


def _ask(
    profile: Profile, area: shapely.MultiPolygon, periods: Mapping[str, Period | None]
) -> Iterator[dict[str, Any]]:
    """Every item a STAC API has, box by box and month by month.

    Small questions, because the Planetary Computer's answer may end after a page without a link
    to the next (planetary-computer-apis, issue 274).
    """
    import pystac_client  # half a second of imports, and not needed offline
    from pystac_client.stac_api_io import StacApiIO
    from urllib3.util import Retry

    retries = Retry(
        total=5,
        backoff_factor=1,
        status_forcelist=[429, 500, 502, 503, 504],
        allowed_methods=["GET", "POST"],
    )
    try:
        client = pystac_client.Client.open(
            profile.url, stac_io=StacApiIO(max_retries=retries, timeout=60)
        )
        for collection, sensor in ((profile.s2_collection, "s2"), (profile.s1_collection, "s1")):
            period = periods[sensor]
            for first, last in _months(period) if period else ():
                for box in _boxes(area):
                    yield from client.search(
                        collections=[collection],
                        bbox=box,
                        datetime=f"{first}T00:00:00Z/{last}T23:59:59.999999Z",
                        limit=_PAGE,
                    ).items_as_dicts()
    except Exception as error:  # whatever a server's answer makes the client raise
        status = getattr(error, "status_code", None)  # with it comes a page of HTML
        text = (str(error).strip().splitlines() or [""])[0].split("?")[0][:160]
        reason = f"HTTP {status}" if status else text
        raise ProviderError(
            f"The catalogue {profile.url} failed ({type(error).__name__}: {reason}). "
            "Check the network and try again."
        ) from error


def _months(period: Period) -> Iterator[Period]:
    first, end = period
    while first <= end:
        after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        yield first, min(after - timedelta(days=1), end)
        first = after


def _boxes(area: shapely.MultiPolygon) -> list[tuple[float, float, float, float]]:
    """Boxes around the area's parts, those near each other in one; west, south, east, north."""
    boxes = [shapely.box(*part.bounds) for part in area.geoms]
    while True:
        joined = shapely.get_parts(
            shapely.union_all([box.buffer(_NEAR, join_style="mitre") for box in boxes])
        )
        merged = [
            shapely.box(*shapely.total_bounds([box for box in boxes if shapely.within(box, group)]))
            for group in joined
        ]
        if len(merged) == len(boxes):
            return sorted(box.bounds for box in merged)
        boxes = merged
