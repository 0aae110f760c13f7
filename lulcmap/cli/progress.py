"""Progress bars on a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm


@contextmanager
def bars(*, hidden: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A progress callback that draws a bar for each stage if stderr is a terminal.

    Args:
        hidden: whether to draw no bar at all.

    """
    bar_of: dict[str, tqdm[Any]] = {}  # by stage

    def progress(stage: str, done: int, total: int) -> None:
        if stage not in bar_of:
            disable = hidden or sys.stderr is None or not sys.stderr.isatty()
            bar_of[stage] = tqdm(desc=stage, total=total, initial=done, disable=disable)
        bar_of[stage].update(done - bar_of[stage].n)

    try:
        yield progress
    finally:
        for bar in bar_of.values():
            bar.close()
