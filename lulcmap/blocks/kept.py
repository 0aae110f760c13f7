"""Windows that one block has run and its neighbours need too, while they are kept."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lulcmap.geo import Box


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """What a block says of a window in its facts, whichever block ran it."""

    used: frozenset[str]
    """Ids of the scenes that gave it pixels."""

    unmasked: frozenset[str]
    """Those of them without a scene classification."""

    zenith: float | None = None
    """Mean zenith of the sun, degrees; None if the model takes none or there is no Sentinel-2."""


@dataclass(frozen=True, slots=True)
class KeptWindow:
    """A window that a block has run, for those that need it too."""

    facts: WindowFacts
    """What is known of it."""

    logits: NDArray[np.float32] | None
    """(K, h, w) logits; None if it has no usable pixel, and was not run."""


class KeptWindows:
    """The windows that are kept. Threads may read them; one adds and drops."""

    def __init__(self) -> None:
        self._windows: dict[tuple[int, Box], tuple[int, KeptWindow]] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def keep(self, zone: int, window: Box, last: int, kept: KeptWindow) -> None:
        """Keep a window of a zone until block ``last`` is done."""
        self._windows[zone, window] = last, kept

    def get(self, zone: int, window: Box) -> KeptWindow:
        """A window that is kept."""
        return self._windows[zone, window][1]

    def done(self, number: int) -> None:
        """Drop what only a block and those before it needed."""
        self._windows = {at: use for at, use in self._windows.items() if use[0] > number}
