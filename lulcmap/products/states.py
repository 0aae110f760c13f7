"""What becomes of each patch of a map, in a file: there may be more patches than memory."""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

UNSETTLED = 255
"""State of a small patch that has no class yet; a settled patch has its class."""

KEPT = 254
"""State of a small patch of a class that is kept."""


class PatchStates:
    """The states of the patches of each strip, a byte for each, in a file."""

    def __init__(self, path: Path) -> None:
        """Make the file.

        Raises:
            OSError: it cannot be made.

        """
        self._file = path.open("w+b")
        self._starts = [0]
        self.unsettled: list[int] = []
        """Unsettled patches of each strip."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def start(self, number: int) -> int:
        """Index of the first patch of a strip among those of all strips."""
        return self._starts[number]

    def append(self, states: NDArray[np.uint8]) -> None:
        """Add the states of the next strip's patches."""
        self._write(self._starts[-1], states)
        self._starts.append(self._starts[-1] + len(states))
        self.unsettled.append(int(np.count_nonzero(states == UNSETTLED)))

    def read(self, number: int) -> NDArray[np.uint8]:
        """(n,) states of the patches of a strip."""
        first, stop = self._starts[number : number + 2]
        self._file.seek(first)
        return np.frombuffer(self._file.read(stop - first), np.uint8).copy()

    def settle(self, indices: NDArray[np.int64], classes: NDArray[np.uint8]) -> None:
        """Give some small patches a class.

        Args:
            indices: (n,) their indices among the patches of all strips.
            classes: (n,) their classes.

        """
        numbers = np.searchsorted(self._starts, indices, side="right") - 1
        for number in np.unique(numbers).tolist():
            chosen = numbers == number
            states = self.read(number)
            states[indices[chosen] - self._starts[number]] = classes[chosen]
            self._write(self._starts[number], states)
            self.unsettled[number] = int(np.count_nonzero(states == UNSETTLED))

    def _write(self, first: int, states: NDArray[np.uint8]) -> None:
        self._file.seek(first)
        self._file.write(states.tobytes())
