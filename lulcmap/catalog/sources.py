"""The source of each sensor's scenes: a provider, a STAC API or a file, and its profile."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from lulcmap.catalog.hrefs import any_blob, resolves_to_private
from lulcmap.catalog.providers import (
    CDSE,
    EARTH_SEARCH,
    ITEM_COLLECTION,
    PLANETARY_COMPUTER,
    PROFILES,
    Profile,
    sensor_of,
)
from lulcmap.catalog.values import mapping, quoted
from lulcmap.errors import UsageError
from lulcmap.system import without_secrets

if TYPE_CHECKING:
    from lulcmap.catalog.item_collection import ItemCollection

SOURCES_MEMBER = "lulcmap:sources"
"""Member of a frozen ItemCollection that records the source of each sensor's items."""

_FIRST_ITEMS = 20
"""Items that a file is expected to be like."""

_MAX_NAME = 1000
"""Longest name of a source, characters."""


@dataclass(frozen=True, slots=True)
class CatalogSource:
    """Source of the scenes of one sensor."""

    name: str
    """Name of the provider, the URL of a STAC API, or ``"file"``."""

    profile: Profile
    """Profile: its collections, asset keys and access."""

    def may_be_private(self, root: str | None) -> bool:
        """Whether hrefs may point into a private network: if the source is in one itself.

        Args:
            root: folder of a file's local hrefs; items in memory may have none, and are then
                trusted no more than a public server's.

        """
        if self.name in PROFILES:
            return False
        if self.name == ITEM_COLLECTION.name:
            return root is not None
        return resolves_to_private(urlsplit(self.name).hostname or "")

    def collection(self, sensor: str) -> str:
        """The STAC collection of a sensor that this source has."""
        return self.profile.s2_collection if sensor == "s2" else str(self.profile.s1_collection)


Catalog = str | Mapping[str, Any]
"""A provider's name, the URL of a STAC API, the path of an ItemCollection file, or the
ItemCollection itself as JSON values."""


def is_remote(catalog: Catalog) -> bool:
    """Whether a catalogue is a provider or an API, not an ItemCollection."""
    if not isinstance(catalog, str):
        return False
    return catalog in PROFILES or catalog.lower().startswith(("http://", "https://"))


def sources_of(
    catalog: Catalog,
    file: "ItemCollection | None",
    layout: "Layout | None" = None,
    *,
    profile: str | None,
    s1_catalog: str | None,
    s1: bool,
) -> tuple[dict[str, CatalogSource], list[str]]:
    """The source of each sensor's scenes, and notes for the report.

    Args:
        catalog: catalogue.
        file: the ItemCollection, if the catalogue is one.
        layout: what its items tell.
        profile: name of the provider whose layout an API or a file has.
        s1_catalog: provider or API of Sentinel-1; None is ``catalog``.
        s1: whether Sentinel-1 is needed too.

    Raises:
        UsageError: a provider or profile is unknown, or lacks what is needed of it.

    """
    if profile is not None and profile not in PROFILES:
        raise UsageError(f"--profile is {profile!r}; give one of {', '.join(PROFILES)}.")
    if profile is not None and is_remote(catalog) and catalog in PROFILES and catalog != profile:
        raise UsageError(
            f"--profile is {profile}, and --catalog {catalog} has its own. Give --profile only "
            "with a URL or a file."
        )
    if file is not None and s1_catalog is not None:
        raise UsageError(
            "--s1-catalog needs a provider or a STAC API as --catalog; a file holds the items of "
            "both sensors. Leave it out, or give another --catalog."
        )
    recorded = file.members.get(SOURCES_MEMBER) if file is not None else None
    if recorded and profile is None:
        sources = recorded_sources(recorded)
    elif file is None or layout is None:
        source = _remote(str(catalog), profile)
        sources = {"s2": source, "s1": source}
    else:
        source = layout.source
        if profile is not None:
            source = CatalogSource(ITEM_COLLECTION.name, PROFILES[profile])
        sources = {"s2": source, "s1": source}
        if source.profile.s1_collection is None and layout.has_s1:
            sources["s1"] = CatalogSource(source.name, ITEM_COLLECTION)
    if s1_catalog is not None:
        sources["s1"] = _remote(s1_catalog, None)
        if sources["s1"].profile.s1_collection is None:
            raise UsageError(
                f"--s1-catalog is {s1_catalog}, which has no calibrated, terrain-corrected "
                f"Sentinel-1; {PLANETARY_COMPUTER.name} has it."
            )
    notes = []
    if "s1" in sources and sources["s1"].profile.s1_collection is None:
        if s1:
            notes.append(
                f"{sources['s1'].name} has no calibrated, terrain-corrected Sentinel-1, so the map "
                "uses Sentinel-2 alone; --s1-catalog can name another provider."
            )
        del sources["s1"]
    if not s1:
        sources.pop("s1", None)
    return sources, notes


def source_name(catalog: str) -> str:
    """The name of a provider or an API in files and messages: without keys.

    Raises:
        UsageError: it is neither.

    """
    return _remote(catalog, None).name


def fallback_sources(
    fallback: str | None, sources: Mapping[str, CatalogSource]
) -> dict[str, CatalogSource]:
    """The second provider of each sensor that it has.

    Args:
        fallback: provider or API; None is none.
        sources: the first provider, by sensor.

    Raises:
        UsageError: it is no provider, or the first one itself.

    """
    if fallback is None:
        return {}
    source = _remote(fallback, None)
    if all(first.name == source.name for first in sources.values()):
        raise UsageError(
            f"--fallback is {source.name}, which --catalog is too. Give another provider."
        )
    sensors = ["s2", *(["s1"] if source.profile.s1_collection is not None else [])]
    return {
        sensor: source
        for sensor in sensors
        if sensor in sources and sources[sensor].name != source.name
    }


def _remote(catalog: str, profile: str | None) -> CatalogSource:
    """The source of a provider's name or an API's URL."""
    if catalog in PROFILES:
        return CatalogSource(catalog, PROFILES[catalog])
    try:
        parts = urlsplit(catalog)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_url = False
    if not is_url:
        raise UsageError(
            f"No catalogue {without_secrets(catalog)!r}. Give {', '.join(PROFILES)}, or the URL of "
            "a STAC API."
        )
    if parts.username or parts.password:
        raise UsageError(
            "The catalogue's URL contains a user name or password; give it without them."
        )
    # The name goes into files and messages, and a query may contain a key.
    name = parts._replace(query="", fragment="").geturl().rstrip("/")
    return CatalogSource(name, replace(PROFILES[profile or PLANETARY_COMPUTER.name], url=catalog))


def recorded_sources(values: Any, needs: Collection[str] = ("s2",)) -> dict[str, CatalogSource]:
    """The sources that ``freeze_items`` recorded.

    Args:
        values: JSON values.
        needs: sensors that must be among them.

    Raises:
        UsageError: the values are something else.

    """
    profiles = {**PROFILES, ITEM_COLLECTION.name: ITEM_COLLECTION}
    try:
        sources = {
            sensor: CatalogSource(
                _checked_name(values[sensor]["provider"]), profiles[values[sensor]["profile"]]
            )
            for sensor in values
        }
        if not set(needs) <= set(sources) <= {"s2", "s1"}:
            raise KeyError
    except (KeyError, TypeError, ValueError):
        raise UsageError(
            f"The catalogue records its sources as {quoted(values)}, which this version does not "
            "understand. Use the version of lulcmap that wrote it."
        ) from None
    return sources


def _checked_name(name: Any) -> str:
    """A source's name, which goes into messages and the map's tags.

    Raises:
        ValueError: it is neither a provider's nor a URL's.

    """
    if not isinstance(name, str) or not name.isprintable() or len(name) > _MAX_NAME:
        raise ValueError("no name of a source")
    urlsplit(name)
    return name


class Layout:
    """What the items of a file tell of its source, noted while they are read."""

    def __init__(self) -> None:
        self.has_s1 = False
        """Whether items of Sentinel-1 are among them."""
        self._needs_signing = False
        self._keys = set[str]()

    @classmethod
    def expected(cls, items: Iterable[Any]) -> Self:
        """What a file will tell if all its items are like the first ones."""
        layout = cls()
        for _ in layout.noted(islice(items, _FIRST_ITEMS)):
            pass
        layout.has_s1 = True
        return layout

    @property
    def source(self) -> CatalogSource:
        """The source of a file without recorded sources."""
        if self._needs_signing:
            return CatalogSource(PLANETARY_COMPUTER.name, PLANETARY_COMPUTER)
        for profile in (CDSE, EARTH_SEARCH):  # of both, only the first needs signing
            if set(profile.assets.values()) <= self._keys:
                return CatalogSource(ITEM_COLLECTION.name, profile)
        return CatalogSource(ITEM_COLLECTION.name, ITEM_COLLECTION)

    def noted(self, items: Iterable[Any]) -> Iterator[Any]:
        """The same items."""
        for item in items:
            values = mapping(item)
            self.has_s1 = self.has_s1 or sensor_of(values.get("collection")) == "s1"
            assets = mapping(values.get("assets"))
            if not self._needs_signing and not self._keys.issuperset(assets):
                self._keys.update(map(str, assets))
            if not self._needs_signing:
                hrefs = [mapping(asset).get("href") for asset in assets.values()]
                texts = [href for href in hrefs if isinstance(href, str)]
                self._needs_signing = any_blob(texts, PLANETARY_COMPUTER.azure_accounts)
            yield item
