"""Work in any order, several pieces at a time, none of them waiting in memory."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def completed(
    work: Callable[[T], R], pieces: Iterable[T], *, workers: int
) -> Generator[tuple[T, Future[R]]]:
    """Work on pieces, and yield each when it is done, with what became of it.

    At most twice as many pieces as workers are begun and not yet yielded. Close the generator to
    drop the rest.

    Args:
        work: what to do with a piece.
        pieces: the pieces.
        workers: threads.

    """
    pool = ThreadPoolExecutor(workers, "chip")
    waiting: dict[Future[R], T] = {}
    rest = iter(pieces)
    try:
        while True:
            for piece in rest:
                waiting[pool.submit(work, piece)] = piece
                if len(waiting) >= 2 * workers:
                    break
            if not waiting:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), future
    finally:
        # Do not wait after an error or a signal: nobody needs what is still being made.
        pool.shutdown(wait=not waiting, cancel_futures=True)
