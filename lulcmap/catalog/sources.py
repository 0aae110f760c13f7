"""Where the scenes of each sensor come from: a provider, a STAC API, or a file, and its profile."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from lulcmap.catalog.hrefs import AZURE, leads_into_a_private_network
from lulcmap.catalog.providers import (
    CDSE,
    EARTH_SEARCH,
    ITEM_COLLECTION,
    PLANETARY_COMPUTER,
    PROFILES,
    Profile,
)
from lulcmap.errors import UsageError

SOURCES_MEMBER = "lulcmap:sources"
"""Member of an ItemCollection that says by sensor whose items it holds."""


@dataclass(frozen=True, slots=True)
class CatalogSource:
    """Where the scenes of a sensor come from."""

    name: str
    """Of the provider, the URL of a STAC API, or ``"file"``."""

    profile: Profile
    """How it names and serves things."""

    @property
    def private(self) -> bool:
        """Whether its hrefs may lead into a private network: if it lies in one itself."""
        if self.name in PROFILES:
            return False
        if self.name == ITEM_COLLECTION.name:
            return True
        return leads_into_a_private_network(urlsplit(self.name).hostname or "")

    def collection(self, sensor: str) -> str:
        """The STAC collection of a sensor, which this source has."""
        return self.profile.s2_collection if sensor == "s2" else str(self.profile.s1_collection)


Catalog = str | Mapping[str, Any]
"""A provider's name, the URL of a STAC API, the path of an ItemCollection file, or the
ItemCollection itself as JSON values."""


def is_remote(catalog: Catalog) -> bool:
    """Whether a catalogue is a provider or an API, and not an ItemCollection."""
    if not isinstance(catalog, str):
        return False
    return catalog in PROFILES or catalog.lower().startswith(("http://", "https://"))


def sources_of(
    catalog: Catalog,
    file: Mapping[str, Any] | None,
    *,
    profile: str | None,
    s1_catalog: str | None,
    s1: bool,
) -> tuple[dict[str, CatalogSource], list[str]]:
    """Where each sensor's scenes come from, and what the report should say of it.

    Args:
        catalog: the catalogue.
        file: the ItemCollection, if it is one.
        profile: the provider's name after which an API or a file is laid out.
        s1_catalog: provider or API of Sentinel-1; None is ``catalog``.
        s1: whether Sentinel-1 is wanted.

    Raises:
        UsageError: a provider or profile is not known, or has not what is asked of it.

    """
    if profile is not None and profile not in PROFILES:
        raise UsageError(f"--profile is {profile!r}; it takes {', '.join(PROFILES)}.")
    if profile is not None and is_remote(catalog) and catalog in PROFILES and catalog != profile:
        raise UsageError(
            f"--profile is {profile}, and --catalog {catalog} has its own; give --profile only "
            "with a URL or a file."
        )
    if file is not None and s1_catalog is not None:
        raise UsageError(
            "--s1-catalog goes with a provider or a STAC API; a file holds the items of both "
            "sensors. Leave it out, or give another --catalog."
        )
    recorded = (file or {}).get(SOURCES_MEMBER)
    if recorded and profile is None:
        sources = _recorded(recorded)
    elif file is None:
        source = _remote(str(catalog), profile)
        sources = {"s2": source, "s1": source}
    else:
        like = _guessed(file["features"])
        if profile is not None:
            like = CatalogSource(ITEM_COLLECTION.name, PROFILES[profile])
        sources = {"s2": like, "s1": like}
    if s1_catalog is not None:
        sources["s1"] = _remote(s1_catalog, None)
        if sources["s1"].profile.s1_collection is None:
            raise UsageError(
                f"--s1-catalog is {s1_catalog}, which has no calibrated, terrain-corrected "
                f"Sentinel-1; {PLANETARY_COMPUTER.name} has."
            )
    notes = []
    if "s1" in sources and sources["s1"].profile.s1_collection is None:
        if s1:
            notes.append(
                f"{sources['s1'].name} has no calibrated, terrain-corrected Sentinel-1, so the map "
                "is of Sentinel-2 alone; --s1-catalog can name another provider."
            )
        del sources["s1"]
    if not s1:
        sources.pop("s1", None)
    return sources, notes


def _remote(catalog: str, profile: str | None) -> CatalogSource:
    """The source of a provider's name, or of an API's URL."""
    if catalog in PROFILES:
        return CatalogSource(catalog, PROFILES[catalog])
    try:
        parts = urlsplit(catalog)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_url = False
    if not is_url:
        raise UsageError(
            f"There is no catalogue {catalog!r}. Give {', '.join(PROFILES)}, or the URL of a STAC "
            "API."
        )
    if parts.username or parts.password:
        raise UsageError("The catalogue's URL holds a user name or password; give it without.")
    # The name goes into files and messages, and a query may hold a key.
    name = parts._replace(query="", fragment="").geturl().rstrip("/")
    return CatalogSource(name, replace(PROFILES[profile or PLANETARY_COMPUTER.name], url=catalog))


def _recorded(said: Any) -> dict[str, CatalogSource]:
    """The sources as ``freeze`` wrote them."""
    known = {**PROFILES, ITEM_COLLECTION.name: ITEM_COLLECTION}
    try:
        sources = {
            s: CatalogSource(str(said[s]["provider"]), known[said[s]["profile"]]) for s in said
        }
        if not {"s2"} <= set(sources) <= {"s2", "s1"}:
            raise KeyError
    except (KeyError, TypeError):
        raise UsageError(
            f"The catalogue says of its sources {said!r:.80}, which this lulcmap does not "
            "understand. Use the version that wrote it."
        ) from None
    return sources


def _guessed(items: Iterable[Any]) -> CatalogSource:
    """Whose items a file without recorded sources holds."""
    assets = [
        (str(key), asset.get("href"))
        for item in items
        if isinstance(item, Mapping) and isinstance(item.get("assets"), Mapping)
        for key, asset in item["assets"].items()
        if isinstance(asset, Mapping)
    ]
    if any(f"{AZURE}/" in str(href) for _, href in assets):  # blobs need signing
        return CatalogSource(PLANETARY_COMPUTER.name, PLANETARY_COMPUTER)
    keys = {key for key, _ in assets}
    for profile in (EARTH_SEARCH, CDSE):
        if set(profile.assets.values()) <= keys:
            return CatalogSource(ITEM_COLLECTION.name, profile)
    return CatalogSource(ITEM_COLLECTION.name, ITEM_COLLECTION)
