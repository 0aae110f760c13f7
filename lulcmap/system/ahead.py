"""Threads that work ahead of the one that uses what they make, in its order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

from lulcmap.system.cores import available_cores

Job = TypeVar("Job")
Result = TypeVar("Result")

_MAX_THREADS = 8
"""Threads at most; more would wait for the one that uses what they make."""


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
    pool = ThreadPoolExecutor(n, "ahead")
    try:
        yield Threads(n, pool)
    finally:
        pool.shutdown(cancel_futures=True)
