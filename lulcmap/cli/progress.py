"""Progress bars, on a terminal only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm


@contextmanager
def bars(*, hidden: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A progress callback that draws a bar for each stage, where stderr is a terminal."""
    shown: dict[str, tqdm[Any]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        if stage not in shown:
            disable = hidden or not sys.stderr.isatty()
            shown[stage] = tqdm(desc=stage, total=total, initial=done, disable=disable)
        shown[stage].update(done - shown[stage].n)

    try:
        yield progress
    finally:
        for bar in shown.values():
            bar.close()
