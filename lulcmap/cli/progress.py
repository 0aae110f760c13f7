"""Progress bars, on a terminal only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def bars(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A progress callback that draws a bar for each stage, where stderr is a terminal."""
    shown: dict[str, tqdm] = {}

    def progress(stage: str, done: int, total: int) -> None:
        if stage not in shown:
            hidden = quiet or not sys.stderr.isatty()
            shown[stage] = tqdm(desc=stage, total=total, initial=done, disable=hidden)
        shown[stage].update(done - shown[stage].n)

    try:
        yield progress
    finally:
        for bar in shown.values():
            bar.close()
