"""CPU-seconds of a run, from what it reads, composites, classifies and writes.

``python benchmarks/costs.py`` measures the rates anew, and compares what is foretold with runs.
"""

import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import deflate
import numpy as np

from lulcmap.planning.estimate.values import Reads

_TILE_PX = 512 * 512
_N_INFLATED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """CPU-seconds of a machine for what a run does a million times."""

    start: float
    """Of the start: imports, the model, the search in a file; compiled loops from the cache."""

    reading: float
    """Per million samples of reads: fetched, inflated, undone, on the composites' grid."""

    warping: float
    """More, per million samples that come from another grid."""

    request: float
    """Per band of a scene that is opened in a block."""

    compositing: float
    """Per million pixels of composites: masks, the medians of nine bands, radar."""

    writing: float
    """Per million pixels of blocks: logits to classes, and their files."""

    joining: float
    """Per million filled pixels of maps: the join, the COG, and its checks."""

    inflate: float
    """Of ``inflate_seconds``: how fast the machine is."""

    def of_this_machine(self, inflate: float) -> "Rates":
        """The rates of a machine that takes ``inflate`` seconds for ``inflate_seconds``."""
        factor = inflate / self.inflate
        return Rates(**{name: value * factor for name, value in asdict(self).items()})


RATES = Rates(
    start=2.0,
    reading=0.012,
    warping=0.03,
    request=0.002,
    compositing=0.3,
    writing=0.3,
    joining=0.3,
    inflate=0.0015,
)
"""Measured by ``benchmarks/costs.py``."""


def inflate_seconds(clock: Callable[[], float] = time.thread_time) -> float:
    """CPU-seconds to inflate one tile of Sentinel-2, the fastest of a few: a machine's speed.

    Args:
        clock: gives CPU-seconds of this thread.

    """
    samples = np.random.default_rng(0).integers(0, 1 << 11, _TILE_PX, dtype=np.uint16)
    body = zlib.compress(samples.tobytes(), 1)
    times = []
    for _ in range(_N_INFLATED):
        start = clock()
        deflate.zlib_decompress(body, samples.nbytes)
        times.append(clock() - start)
    return min(times)


def cpu_seconds(
    rates: Rates, reads: Reads, *, classifying: float, block_pixels: float, map_pixels: float
) -> Mapping[str, float]:
    """CPU-seconds of a run, by what they are for.

    Args:
        rates: rates of this machine.
        reads: what the blocks read.
        classifying: CPU-seconds of the model for all windows.
        block_pixels: pixels of the blocks that are to be made.
        map_pixels: filled pixels of the maps.

    """
    return {
        "start": rates.start,
        "reading": 1e-6 * (rates.reading * reads.samples + rates.warping * reads.warped)
        + rates.request * reads.requests,
        "compositing": 1e-6 * rates.compositing * reads.pixels,
        "classifying": classifying,
        "writing": 1e-6 * rates.writing * block_pixels,
        "joining": 1e-6 * rates.joining * map_pixels,
    }
