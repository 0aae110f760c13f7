"""Chips kept in memory between epochs."""

import threading
from collections.abc import Callable, Hashable

from lulcmap.training.augment import Sample


class ChipCache:
    """Samples by their key, up to a number of bytes; several sources and threads may share one.

    What is in it stays: an epoch asks for every chip once, so that dropping the oldest for the
    newest would keep none until it is asked for again. A copy in another process starts empty.
    """

    def __init__(self, max_bytes: float = 0.0) -> None:
        """Start empty.

        Args:
            max_bytes: most bytes that the samples may have together; 0 keeps none.

        """
        self.max_bytes = max_bytes
        self.nbytes = 0
        self._samples: dict[Hashable, Sample] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type["ChipCache"], tuple[float]]:
        return type(self), (self.max_bytes,)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._samples)

    def get(self, key: Hashable, make: Callable[[], Sample]) -> Sample:
        """The sample of a key; made if it is missing, and kept, read-only, if there is room."""
        kept = self._samples.get(key)
        if kept is not None:
            return kept
        sample = make()  # outside the lock: threads read different chips at a time
        with self._lock:
            kept = self._samples.get(key)
            if kept is not None:  # another thread was faster
                return kept
            if self.nbytes + sample.nbytes > self.max_bytes:
                return sample
            for planes in sample.planes():
                planes.flags.writeable = False
            self._samples[key] = sample
            self.nbytes += sample.nbytes
        return sample
