"""What a provider really does for us: one scene found, its href signed, a few pixels read."""

import json
import os
import ssl
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from lulcmap.catalog import (
    SUBSCRIPTION_KEY,
    HrefRefusedError,
    Profile,
    Scene,
    SkippedItem,
    is_private,
    resolve_href,
    signer,
)
from lulcmap.doctor.check import Check, Finding, checked, listed
from lulcmap.errors import ProviderError
from lulcmap.imagery import Fetcher, FetchError

_BOX, _MONTH = "6.0,49.6,6.1,49.7", "2024-06-01T00:00:00Z/2024-06-30T23:59:59Z"
"""Luxembourg, which no provider lacks: west, south, east, north."""

_PLACE = (6.05, 49.65)
"""Longitude and latitude of the pixels that are read, in the box's middle."""

_OPTICAL, _RADAR = "B04", "VV"
"""Bands that are read."""

_PIXELS = 64
"""A side of the window."""

_WAIT = 15.0
"""Seconds an API may take to say something."""


class _NoWayError(Exception):
    """The provider cannot be reached from here, which says nothing of the provider."""


def examine(profile: Profile) -> Iterator[Check]:
    """Search, sign and read with each sensor that a provider has.

    Yields:
        For each sensor as many stages as there is reason for: nothing is read of what is not found.

    """
    for collection, band in ((profile.s2_collection, _OPTICAL), (profile.s1_collection, _RADAR)):
        for check in _stages(profile, collection, band) if collection else ():
            yield check
            if check.name == f"{profile.name} search" and check.status == "skipped":
                return


def _stages(profile: Profile, collection: str, band: str) -> Iterator[Check]:
    name = f"{profile.name} S1" if band == _RADAR else profile.name
    found: list[Scene] = []
    check = checked(f"{name} search", lambda: _search(profile, collection, found))
    yield check
    if check.status != "ok":
        return
    scene = found[0]
    missing = [variable for variable in _secrets(profile, band) if not os.environ.get(variable)]
    if missing:
        why = f"{listed(missing)} not set, and no pixel of {collection} can be read without."
        yield Check(f"{name} sign and read", "skipped", why)
        return
    check = checked(f"{name} sign", lambda: _sign(profile, scene.assets[band]))
    yield check
    if check.status == "ok":
        yield checked(f"{name} read", lambda: _read(profile, scene, band))


def _secrets(profile: Profile, band: str) -> tuple[str, ...]:
    """Environment variables without which a band cannot be read."""
    if profile.signing == "planetary-computer" and band == _RADAR:
        return (SUBSCRIPTION_KEY,)  # its tokens for sentinel-1-rtc need an account
    return profile.secrets


def _search(profile: Profile, collection: str, found: list[Scene]) -> Finding:
    """Ask for one scene, which is added to ``found``."""
    asked = {"collections": collection, "bbox": _BOX, "datetime": _MONTH, "limit": 1}
    start = time.perf_counter()
    try:
        answer = _ask(f"{profile.url}/search?{urlencode(asked)}")
    except _NoWayError as reason:
        return "skipped", f"{urlsplit(profile.url).hostname} cannot be reached: {reason}."
    took = time.perf_counter() - start
    items = answer.get("features") if isinstance(answer, dict) else None
    if not items:
        raise ProviderError(
            f"It has no {collection} over Luxembourg in June 2024, where there are dozens. Its "
            "collections may have been renamed: is there a newer lulcmap?"
        )
    try:
        scene = Scene.from_item(items[0], profile)
        for href in scene.assets.values():  # data, not trust
            resolve_href(href, root=None, private=_is_private(profile))
        found.append(scene)
    except SkippedItem as reason:
        raise ProviderError(f"Its item of {collection} cannot be used: {reason}.") from None
    except HrefRefusedError as reason:
        raise ProviderError(f"An href of {collection} {reason}; it is not opened.") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProviderError(f"It gives no proper STAC item ({type(error).__name__}).") from None
    return "ok", f"{collection}: an item in {took:.1f} s"


def _is_private(profile: Profile) -> bool:
    """Whether assets in a private network are fine: only those of a catalogue that is there too."""
    return is_private(urlsplit(profile.url).hostname or "")


def _ask(url: str) -> Any:
    """The answer of an API, once and without patience."""
    try:
        with urlopen(
            Request(url, headers={"Accept": "application/geo+json"}), timeout=_WAIT
        ) as got:
            return json.loads(got.read())
    except HTTPError as error:
        error.close()
        raise ProviderError(
            f"It answers HTTP {error.code}: it is down, or has moved. Try again later."
        ) from None
    except ValueError:
        raise ProviderError(
            "It answers, but not with JSON. Does this network want a log-in first?"
        ) from None
    except OSError as error:
        cause = error.reason if isinstance(error, URLError) else error
        if isinstance(cause, ssl.SSLError):
            raise ProviderError(
                "Its certificate is not valid here. If a proxy of yours opens TLS, set "
                "SSL_CERT_FILE to its certificate."
            ) from None
        raise _NoWayError(getattr(cause, "strerror", None) or str(cause)) from None


def _sign(profile: Profile, href: str) -> Finding:
    sign = signer(profile)
    if profile.signing == "none":
        return "ok", "nothing to sign: open to all"
    sign(href)
    return "ok", f"an href of {urlsplit(href).netloc}"


def _read(profile: Profile, scene: Scene, band: str) -> Finding:
    """Read a window on the scene's own grid, whose pixels' edges lie on multiples of 10 m."""
    import numpy as np
    from odc.geo.geobox import GeoBox
    from pyproj import Transformer
    from rasterio.transform import Affine

    from lulcmap.imagery import Reader

    sign, epsg = signer(profile), scene.epsg or 32631
    x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(*_PLACE)
    corner = Affine(10, 0, 10 * round(x / 10), 0, -10, 10 * round(y / 10))
    start = time.perf_counter()
    private = _is_private(profile)
    # the reader would wait for minutes
    fetcher = Fetcher(sign=sign, private=private, retries=1, patience=_WAIT)
    try:
        fetcher.get(scene.assets[band], 0, 16)
    except FetchError as error:
        raise ProviderError(f"{urlsplit(scene.assets[band]).netloc}: {error}.") from None
    finally:
        fetcher.close()
    with Reader(workers=1, sign=sign, private=private) as reader:
        plane = reader.read(scene, band, GeoBox((_PIXELS, _PIXELS), corner, f"EPSG:{epsg}"))
    took = time.perf_counter() - start
    share = np.count_nonzero(plane) / plane.size
    return "ok", f"{_PIXELS} x {_PIXELS} px of {band} in {took:.1f} s, {share:.0%} with data"
