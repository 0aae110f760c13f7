"""A raster that is written while it is made: in pieces, by several threads, in one order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from lulcmap.output.overviews import TILE_PX
from lulcmap.system import GDAL_OPTIONS, available_cores

Job = TypeVar("Job")
Result = TypeVar("Result")

_MAX_THREADS = 8
"""Threads at most; more would wait for the one that puts the pieces in order."""

_PIECE_PX = 4 * TILE_PX
"""Columns of a piece read from a file."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some columns of a strip of tiles."""

    row: int
    """First row."""

    col: int
    """First column, that of a tile."""

    values: NDArray[Any]
    """(B, h, w) pixels: all rows of the strip, and whole tiles or up to the last column."""


class Threads:
    """Threads that work ahead, their results taken in the order of the jobs."""

    def __init__(self, n: int, pool: ThreadPoolExecutor) -> None:
        self.n, self._pool = n, pool

    def ahead(self, work: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
        """The result of each job; a few are worked on while one is used."""
        pending: deque[Future[Result]] = deque()
        try:
            for job in jobs:
                pending.append(self._pool.submit(work, job))
                if len(pending) > self.n + 1:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            wait([future for future in pending if not future.cancel()])

    def submit(self, work: Callable[[Job], Result], job: Job) -> Future[Result]:
        """Have a job done."""
        return self._pool.submit(work, job)


@contextmanager
def threads() -> Iterator[Threads]:
    """As many threads as this process has cores; they have ended when the body has."""
    n = min(available_cores(), _MAX_THREADS)
    pool = ThreadPoolExecutor(n, "map")
    try:
        yield Threads(n, pool)
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Raster:
    """A raster whose pixels come piece by piece."""

    layout: Mapping[str, Any]
    """Height, width, count, dtype, nodata, crs and transform, as rasterio takes them."""

    bytes: int
    """Most bytes of a file with its pixels, for the check of the disk."""

    pieces: Callable[[Threads], Iterator[Piece]]
    """All pieces, strip by strip, each from left to right."""


def raster_of(source: Path) -> Raster:
    """The raster in a file."""
    names = ("height", "width", "count", "dtype", "nodata", "crs", "transform")
    with rasterio.Env(**GDAL_OPTIONS), rasterio.open(source) as dataset:
        layout = {name: dataset.profile[name] for name in names}

    def pieces(_: Threads) -> Iterator[Piece]:
        height, width = layout["height"], layout["width"]
        with rasterio.Env(**GDAL_OPTIONS), rasterio.open(source) as dataset:
            for row in range(0, height, TILE_PX):
                for col in range(0, width, _PIECE_PX):
                    size = min(_PIECE_PX, width - col), min(TILE_PX, height - row)
                    yield Piece(row, col, dataset.read(window=Window(col, row, *size)))

    return Raster(layout, source.stat().st_size, pieces)
