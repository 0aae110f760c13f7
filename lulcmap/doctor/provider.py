"""Checks of a provider: find one scene, sign its href, read a few pixels."""

import json
import os
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

from lulcmap.catalog import (
    HrefRefusedError,
    Profile,
    Scene,
    SkippedItem,
    is_private,
    resolve_href,
    signer,
)
from lulcmap.doctor.check import Check, Finding, names_with_verb, run_check
from lulcmap.errors import ProviderError
from lulcmap.imagery import Fetcher, FetchError
from lulcmap.system import TooLargeError, connection_fault, open_session, read_answer

_BBOX, _PERIOD = "6.0,49.6,6.1,49.7", "2024-06-01T00:00:00Z/2024-06-30T23:59:59Z"
"""Box (west, south, east, north) and period to search: Luxembourg, which every provider covers."""

_PIXEL_LON_LAT = (6.05, 49.65)
"""Longitude and latitude of the pixels to read, in the middle of the box."""

_OPTICAL_BAND, _RADAR_BAND = "B04", "VV"
"""Bands to read."""

_WINDOW_PX = 64
"""Side of the window to read, pixels."""

_TIMEOUT_S = 15.0
"""Time an API may take to answer, seconds."""

_MAX_BYTES = 16 * 1024**2
"""Most bytes of its answer, which holds one item."""


class _UnreachableError(Exception):
    """The provider is unreachable from here, which need not be the provider's fault."""


def check_provider(profile: Profile) -> Iterator[Check]:
    """Search, sign and read with each sensor of a provider.

    Yields:
        Checks of each sensor: a stage follows only if the one before it succeeded.

    """
    for collection, band in (
        (profile.s2_collection, _OPTICAL_BAND),
        (profile.s1_collection, _RADAR_BAND),
    ):
        for check in _stages(profile, collection, band) if collection else ():
            yield check
            if check.name == f"{profile.name} search" and check.status == "skipped":
                return


def _stages(profile: Profile, collection: str, band: str) -> Iterator[Check]:
    name = f"{profile.name} S1" if band == _RADAR_BAND else profile.name
    scenes: list[Scene] = []
    check = run_check(f"{name} search", lambda: _search(profile, collection, scenes))
    yield check
    if check.status != "ok":
        return
    scene = scenes[0]
    missing = [variable for variable in profile.secrets if not os.environ.get(variable)]
    if missing:
        message = f"{names_with_verb(missing)} not set: no pixel of {collection} can be read."
        yield Check(f"{name} sign and read", "skipped", message)
        return
    check = run_check(f"{name} sign", lambda: _sign(profile, scene.assets[band]))
    yield check
    if check.status == "ok":
        yield run_check(f"{name} read", lambda: _read(profile, scene, band))


def _search(profile: Profile, collection: str, scenes: list[Scene]) -> Finding:
    """Search for one scene and add it to ``scenes``."""
    query = {"collections": collection, "bbox": _BBOX, "datetime": _PERIOD, "limit": 1}
    start = time.perf_counter()
    try:
        page = _get_json(f"{profile.url}/search?{urlencode(query)}")
    except _UnreachableError as reason:
        return "skipped", f"{urlsplit(profile.url).hostname} is unreachable: {reason}."
    seconds = time.perf_counter() - start
    items = page.get("features") if isinstance(page, dict) else None
    if not items:
        raise ProviderError(
            f"It has no {collection} over Luxembourg in June 2024, where dozens are expected. "
            "Its collections may have been renamed: look for a newer lulcmap."
        )
    try:
        scene = Scene.from_item(items[0], profile)
        for href in scene.assets.values():  # hrefs from a server are not trusted
            resolve_href(href, root=None, private=_is_private(profile))
        scenes.append(scene)
    except SkippedItem as reason:
        raise ProviderError(f"Its item of {collection} is unusable: {reason}.") from None
    except HrefRefusedError as reason:
        raise ProviderError(f"An href of {collection} {reason}; it was not opened.") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProviderError(f"Its STAC item is not valid ({type(error).__name__}).") from None
    return "ok", f"{collection}: an item in {seconds:.1f} s"


def _is_private(profile: Profile) -> bool:
    """Whether assets may be in a private network: only if the catalogue is in one too."""
    return is_private(urlsplit(profile.url).hostname or "")


def _get_json(url: str) -> Any:
    """The JSON answer of an API; no retries, and no redirects, which may lead anywhere."""
    import requests

    headers = {"Accept": "application/geo+json"}
    try:
        with (
            open_session() as session,
            session.get(
                url, headers=headers, timeout=_TIMEOUT_S, stream=True, allow_redirects=False
            ) as response,
        ):
            if response.status_code != 200:
                raise ProviderError(
                    f"It answers HTTP {response.status_code}: it is down, or has moved. Try again "
                    "later."
                )
            return json.loads(read_answer(response, _MAX_BYTES))
    except requests.exceptions.SSLError:
        raise ProviderError(
            "Its certificate is not valid here. If your proxy intercepts TLS, set SSL_CERT_FILE "
            "to the proxy's certificate."
        ) from None
    except OSError as error:
        raise _UnreachableError(connection_fault(error)) from None
    except (ValueError, RecursionError, TooLargeError):
        raise ProviderError(
            "It answers, but not with JSON. This network may need a login first."
        ) from None


def _sign(profile: Profile, href: str) -> Finding:
    sign = signer(profile)
    if profile.signing == "none":
        return "ok", "public, no signature needed"
    sign(href)
    return "ok", f"an href of {urlsplit(href).netloc}"


def _read(profile: Profile, scene: Scene, band: str) -> Finding:
    """Read a window on the scene's own grid, whose pixel edges are multiples of 10 m."""
    import numpy as np
    from odc.geo.geobox import GeoBox
    from pyproj import Transformer
    from rasterio.transform import Affine

    from lulcmap.imagery import Reader

    sign, epsg = signer(profile), scene.epsg or 32631
    x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(*_PIXEL_LON_LAT)
    corner = Affine(10, 0, 10 * round(x / 10), 0, -10, 10 * round(y / 10))
    start = time.perf_counter()
    private = _is_private(profile)
    # a first small request, because the reader would retry for minutes
    fetcher = Fetcher(sign=sign, private=private, retries=1, patience=_TIMEOUT_S)
    try:
        fetcher.get(scene.assets[band], 0, 16)
    except FetchError as error:
        raise ProviderError(f"{urlsplit(scene.assets[band]).netloc}: {error}.") from None
    finally:
        fetcher.close()
    with Reader(workers=1, sign=sign, private=private) as reader:
        plane = reader.read(scene, band, GeoBox((_WINDOW_PX, _WINDOW_PX), corner, f"EPSG:{epsg}"))
    seconds = time.perf_counter() - start
    share = np.count_nonzero(plane) / plane.size
    return (
        "ok",
        f"{_WINDOW_PX} x {_WINDOW_PX} px of {band} in {seconds:.1f} s, {share:.0%} with data",
    )
