"""Share out the rows of a grid among threads, for compiled loops that run without Python's lock."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import TracebackType
from typing import Self, TypeVar

from lulcmap.system import busy

_LEAST = 64
"""Rows of a strip, at least: fewer are not worth a thread."""

_CORES_PER_THREAD = 4
"""Cores for each thread: reading and the network take the others."""

_T = TypeVar("_T")


def strip_threads(cores: int, composites: int = 1) -> int:
    """How many threads each of some composites made at once shares its rows among."""
    return max(cores // _CORES_PER_THREAD // composites, 1)


class Strips:
    """Threads that each do a strip of the work, the one that asks included.

    Args:
        threads: how many there are; 1 is the one that asks.

    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(max(threads - 1, 1), "strip")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown()

    def share(self, count: int, work: Callable[[int, int], _T]) -> list[_T]:
        """Have all of a number of rows worked on.

        Args:
            count: number of rows.
            work: given the first row of a strip and the one after its last; strips must not depend
                on each other.

        Returns:
            What ``work`` returned, from the first strip to the last.

        """
        strips = max(min(self._threads, count // _LEAST), 1)
        edges = [count * strip // strips for strip in range(strips + 1)]
        rest = [self._pool.submit(_do, work, start, stop) for start, stop in pairwise(edges[1:])]
        try:
            return [work(0, edges[1]), *(strip.result() for strip in rest)]
        finally:
            for strip in rest:  # after an error none may write to the arrays any longer
                if not strip.cancel():
                    strip.exception()


@busy("compositing")
def _do(work: Callable[[int, int], _T], start: int, stop: int) -> _T:
    return work(start, stop)
