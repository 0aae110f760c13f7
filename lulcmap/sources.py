"""Where the scenes of each sensor come from: a provider, a STAC API, or a file, and its profile."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from lulcmap.errors import UsageError
from lulcmap.providers import (
    CDSE,
    EARTH_SEARCH,
    ITEM_COLLECTION,
    PLANETARY_COMPUTER,
    PROFILES,
    Profile,
)
from lulcmap.remote.hrefs import AZURE, is_private

SOURCES = "lulcmap:sources"
"""Member of an ItemCollection that says by sensor whose items it holds."""


@dataclass(frozen=True, slots=True)
class Source:
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
        return self.name == ITEM_COLLECTION.name or is_private(urlsplit(self.name).hostname or "")

    def collection(self, sensor: str) -> str:
        """The STAC collection of a sensor, which this source has."""
        return self.profile.s2_collection if sensor == "s2" else str(self.profile.s1_collection)


def is_remote(catalog: str) -> bool:
    """Whether a catalogue is a provider or an API, and not a file."""
    return catalog in PROFILES or catalog.startswith(("http://", "https://"))


def sources_of(
    catalog: str,
    file: Mapping[str, Any] | None,
    *,
    profile: str | None,
    s1_catalog: str | None,
    s1: bool,
) -> tuple[dict[str, Source], list[str]]:
    """Where each sensor's scenes come from, and what the report should say of it.

    Args:
        catalog: a provider's name, the URL of a STAC API, or the path of a file.
        file: the ItemCollection, if it is one.
        profile: the provider's name after which an API or a file is laid out.
        s1_catalog: provider or API of Sentinel-1; None is ``catalog``.
        s1: whether Sentinel-1 is wanted.

    Raises:
        UsageError: a provider or profile is not known, or has not what is asked of it.

    """
    if profile is not None and profile not in PROFILES:
        raise UsageError(f"--profile is {profile!r}; it takes {', '.join(PROFILES)}.")
    if profile is not None and catalog in PROFILES and catalog != profile:
        raise UsageError(
            f"--profile is {profile}, and --catalog {catalog} has its own; give --profile only "
            "with a URL or a file."
        )
    recorded = (file or {}).get(SOURCES) or {}
    if recorded and profile is None:
        sources = {sensor: _recorded(sensor, recorded[sensor]) for sensor in recorded}
    elif file is None:
        source = _remote(catalog, profile)
        sources = {"s2": source, "s1": source}
    else:
        like = _guessed(file["features"])
        if profile is not None:
            like = Source(ITEM_COLLECTION.name, PROFILES[profile])
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


def _remote(catalog: str, profile: str | None) -> Source:
    """The source of a provider's name, or of an API's URL."""
    if catalog in PROFILES:
        return Source(catalog, PROFILES[catalog])
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
    name = parts._replace(query="", fragment="").geturl()
    return Source(name, replace(PROFILES[profile or PLANETARY_COMPUTER.name], url=catalog))


def _recorded(sensor: str, said: Mapping[str, str]) -> Source:
    """A source as ``freeze`` wrote it."""
    profile = {**PROFILES, ITEM_COLLECTION.name: ITEM_COLLECTION}.get(said["profile"])
    if profile is None:
        raise UsageError(
            f"The catalogue was frozen with the profile {said['profile']!r} of {sensor.upper()}, "
            "which this lulcmap does not know. Use the version that wrote it."
        )
    return Source(said["provider"], profile)


def _guessed(items: Iterable[Any]) -> Source:
    """Whose items a file without recorded sources holds."""
    some = [item for item in list(items)[:100] if isinstance(item, Mapping)]
    if f"{AZURE}/" in json.dumps(some):  # blobs need signing
        return Source(PLANETARY_COMPUTER.name, PLANETARY_COMPUTER)
    for profile in (EARTH_SEARCH, CDSE):
        keys = {str(key) for item in some for key in item.get("assets") or {}}
        if set(profile.assets.values()) <= keys:
            return Source(ITEM_COLLECTION.name, profile)
    return Source(ITEM_COLLECTION.name, ITEM_COLLECTION)
