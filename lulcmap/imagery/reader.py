"""Read scenes on a grid, with threads and retries: the only place that opens remote pixels."""

import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import inf
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.catalog import Scene, Sign, unsigned
from lulcmap.errors import ProviderError, ReadError
from lulcmap.imagery.assets.asset import Assets, BrokenError
from lulcmap.imagery.assets.fetch import PATIENCE_S, Fetcher
from lulcmap.imagery.assets.http import FetchError
from lulcmap.imagery.plane import UnfitError, read_plane
from lulcmap.imagery.resample import CoarsePlane
from lulcmap.sensors import S2_BANDS
from lulcmap.system import available_cores, busy, spare_blas

_SILENT_S = 600.0
"""Seconds for which a host that has spent its patience is left alone, where another provider holds
the same product."""


_LEAST_THREADS, _MOST_THREADS = 4, 32
"""Reader threads by default: a server that is far answers several at once, whatever the cores."""


def reader_threads(cores: int) -> int:
    """How many threads read where nobody says: one and a half for each core, 4 to 32."""
    return min(max(_LEAST_THREADS, cores * 3 // 2), _MOST_THREADS)


@dataclass(frozen=True, slots=True)
class FallbackPlane:
    """A plane that the second provider gave in place of the first."""

    pixels: NDArray[Any] | CoarsePlane
    """What the first provider's scene would have given."""

    reason: str
    """Why the first provider could not give it."""


Plane: TypeAlias = NDArray[Any] | CoarsePlane | FallbackPlane | ReadError
"""What becomes of one request: its pixels, from either provider, or the error."""


def pixels_of(plane: Plane) -> NDArray[Any]:
    """The pixels of a plane, of either provider.

    Raises:
        ReadError: it could not be read.

    """
    if isinstance(plane, ReadError):
        raise plane
    return _on_grid(plane.pixels if isinstance(plane, FallbackPlane) else plane)


def _on_grid(pixels: NDArray[Any] | CoarsePlane) -> NDArray[Any]:
    return pixels.doubled() if isinstance(pixels, CoarsePlane) else pixels


class Reader:
    """Reads bands of scenes on any grid, with a pool of threads.

    Use it as a context manager; threads may share it.

    Args:
        workers: number of reader threads; None is what the cores take.
        ahead: bands read ahead for each caller of ``planes``; None is as many as there are threads.
        sign: function that turns a scene's href into a URL to open, called before each request.
        private: whether to read from servers in a private network.
        patience: seconds to wait for a server that is busy or down.
        retries: further attempts after a failure.

    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        ahead: int | None = None,
        sign: Sign = unsigned,
        private: bool = True,
        patience: float = PATIENCE_S,
        retries: int = 3,
    ) -> None:
        workers = workers or reader_threads(available_cores())
        self._ahead = ahead or workers
        self._retries = retries
        self._fetcher = Fetcher(sign=sign, private=private, retries=retries, patience=patience)
        self._assets = Assets(self._fetcher)
        self._silent = _Silent()
        spare_blas()  # before a thread of the pool decodes
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="read")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(wait=error is None)

    def close(self, *, wait: bool = True) -> None:
        """Stop reading and drop what is queued.

        Args:
            wait: whether to wait for the threads; a silent server holds one for a minute.

        """
        self._fetcher.close()
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def read(self, scene: Scene, band: str, grid: GeoBox) -> NDArray[Any]:
        """Read one band of a scene on a grid.

        Args:
            scene: scene whose asset is an absolute local path or a URL.
            band: band of the scene: B02 ... B12, SCL, VV or VH.
            grid: north-up grid.

        Returns:
            (H, W), 0 where the scene has no data. Sentinel-2 bands uint16, DN with the offset still
            in, 0 also where they are saturated or impossible; SCL uint8, nearest; VV and VH
            float32, linear gamma-nought, > 0, NaN where the file holds a power that is not finite
            or implausible.

        Raises:
            ReadError: the band cannot be read; the message names scene and band, never a URL.
            ProviderError: no token is available, or the server is down.

        """
        return _on_grid(self._read(scene, band, grid))

    def _read(self, scene: Scene, band: str, grid: GeoBox) -> NDArray[Any] | CoarsePlane:
        href = scene.assets.get(band)
        if href is None:
            raise ReadError(f"Scene {scene.id} has no {band}.")
        name = f"Scene {scene.id}: {band}"
        for attempt in range(self._retries + 1):
            try:
                if attempt and "://" in href:
                    self._fetcher.rest(attempt)
                asset = self._assets.open(href, scene.checksums.get(band))
                return read_plane(asset, band, grid, scene.offset)
            except UnfitError as error:
                raise ReadError(f"{name} cannot be used: {error}.") from None
            except FetchError as error:
                raise ReadError(f"{name} could not be read: {error}.") from None
            except BrokenError as error:
                reason = str(error)  # broken bytes: another request may return good ones
                self._assets.forget(href)
        raise ReadError(f"{name} could not be read: {reason}.")

    def planes(self, requests: Sequence[tuple[Scene, str]], grid: GeoBox) -> Generator[Plane]:
        """Read many bands on one grid, ahead of the caller.

        Bands of twice the pixel size come as ``CoarsePlane``: ``pixels_of`` doubles them.

        At most ``ahead`` planes are being read or waiting, whatever the number of requests.
        Close the iterator to drop the rest.

        Args:
            requests: pairs of scene and band.
            grid: north-up grid.

        Yields:
            For each request, in order, what ``read`` returns or the error it raises; or the plane
            of the same product at the second provider, if the first cannot give it.

        """
        self._fetcher.announce(
            one.assets[band]
            for scene, band in requests
            for one in (scene, scene.twin)
            if one is not None and band in one.assets
        )
        waiting: deque[Future[Plane]] = deque()
        remaining = iter(requests)

        def submit_next() -> None:
            request = next(remaining, None)
            if request is not None:
                waiting.append(self._pool.submit(self._attempt, *request, grid))

        for _ in range(self._ahead):
            submit_next()
        try:
            while waiting:
                plane = waiting.popleft().result()
                submit_next()
                yield plane
        finally:
            for future in waiting:
                future.cancel()

    @busy("reading")
    def _attempt(self, scene: Scene, band: str, grid: GeoBox) -> Plane:
        twin = scene.twin
        if twin is None or band not in twin.assets:
            try:
                return self._read(scene, band, grid)
            except ReadError as error:
                return error
        host = urlsplit(scene.assets.get(band, "")).netloc
        reason = self._silent.reason(host)
        if reason is None:
            try:
                return self._read(scene, band, grid)
            except ReadError as error:
                reason = str(error)
            except ProviderError as error:
                reason = str(error)
                self._silent.note(host, reason)
        try:
            pixels = self._read(twin, band, grid)
        except ReadError as error:
            return ReadError(f"{reason} The fallback: {error}")
        return FallbackPlane(_with_offset(pixels, band, twin.offset, scene.offset), reason)


class _Silent:
    """Hosts that have spent their patience: asked again only after a while; threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: dict[str, tuple[float, str]] = {}

    def note(self, host: str, reason: str) -> None:
        """Note that a host gives nothing, and why."""
        with self._lock:
            self._since[host] = time.monotonic(), reason

    def reason(self, host: str) -> str | None:
        """Why a host is not to be asked now; None if it is."""
        with self._lock:
            since, reason = self._since.get(host, (-inf, ""))
            if time.monotonic() - since < _SILENT_S:
                return reason
            self._since.pop(host, None)
            return None


def _with_offset(
    plane: NDArray[Any] | CoarsePlane, band: str, given: int, wanted: int
) -> NDArray[Any] | CoarsePlane:
    """Sentinel-2 DN with another offset, 0 nodata; values below 1 after the offset become 1."""
    if given == wanted or band not in S2_BANDS:
        return plane
    pixels = _on_grid(plane)
    values = np.maximum(pixels.astype(np.int32) - given, 1) + wanted
    return np.where(pixels == 0, 0, values).astype(np.uint16)
