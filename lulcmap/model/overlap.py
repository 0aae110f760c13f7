"""Run a network over batches, with the next already on its way while one is computed."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import starmap
from typing import Any

import numpy as np
from numpy.typing import NDArray


def run_batches(
    run: Callable[..., NDArray[np.float32]],
    batches: Iterable[tuple[NDArray[Any], ...]],
    *,
    in_flight: int = 1,
) -> Iterator[NDArray[np.float32]]:
    """Run a network over batches, and yield the logits of each, in order.

    Args:
        run: network to run, which threads may share where several batches are in flight.
        batches: the network's arguments, batch by batch; taken only as they are needed.
        in_flight: batches given to the network at once, as a session's ``in_flight`` says. One more
            is made ready, so that the network does not wait while logits are put to use.

    """
    if in_flight == 1:
        yield from starmap(run, batches)
        return
    waiting: deque[Future[NDArray[np.float32]]] = deque()
    with ThreadPoolExecutor(in_flight, "network") as pool:
        try:
            for batch in batches:
                waiting.append(pool.submit(run, *batch))
                if len(waiting) > in_flight:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:  # after an error, or an end before the last
                one.cancel()
