"""Read scenes on a grid, with threads and retries: the only place that opens remote pixels."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.catalog import Scene, Sign, unsigned
from lulcmap.errors import ReadError
from lulcmap.imagery.assets.asset import Assets, BrokenError
from lulcmap.imagery.assets.fetch import PATIENCE_S, Fetcher
from lulcmap.imagery.assets.http import FetchError
from lulcmap.imagery.plane import UnfitError, read_plane


class Reader:
    """Reads bands of scenes on any grid, with a pool of threads.

    Use it as a context manager; threads may share it.

    Args:
        workers: number of reader threads.
        sign: function that turns a scene's href into a URL to open, called before each request.
        private: whether to read from servers in a private network.
        patience: seconds to wait for a server that is busy or down.
        retries: further attempts after a failure.

    """

    def __init__(
        self,
        *,
        workers: int = 4,
        sign: Sign = unsigned,
        private: bool = True,
        patience: float = PATIENCE_S,
        retries: int = 3,
    ) -> None:
        self._workers = workers
        self._retries = retries
        self._fetcher = Fetcher(sign=sign, private=private, retries=retries, patience=patience)
        self._assets = Assets(self._fetcher)
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

    def planes(
        self, requests: Sequence[tuple[Scene, str]], grid: GeoBox
    ) -> Generator[NDArray[Any] | ReadError, None, None]:
        """Read many bands on one grid, ahead of the caller.

        At most ``workers`` planes are being read or waiting, whatever the number of requests.
        Close the iterator to drop the rest.

        Args:
            requests: pairs of scene and band.
            grid: north-up grid.

        Yields:
            For each request, in order, what ``read`` returns or the error it raises.

        """
        self._fetcher.announce(
            scene.assets[band] for scene, band in requests if band in scene.assets
        )
        waiting: deque[Future[NDArray[Any] | ReadError]] = deque()
        remaining = iter(requests)

        def submit_next() -> None:
            request = next(remaining, None)
            if request is not None:
                waiting.append(self._pool.submit(self._attempt, *request, grid))

        for _ in range(self._workers):
            submit_next()
        try:
            while waiting:
                plane = waiting.popleft().result()
                submit_next()
                yield plane
        finally:
            for future in waiting:
                future.cancel()

    def _attempt(self, scene: Scene, band: str, grid: GeoBox) -> NDArray[Any] | ReadError:
        try:
            return self.read(scene, band, grid)
        except ReadError as error:
            return error
