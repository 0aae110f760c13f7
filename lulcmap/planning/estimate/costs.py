"""CPU-seconds of a run, from what it reads, composites, classifies and writes.

``python benchmarks/costs.py`` measures the rates anew, and compares what is foretold with runs.
"""

import time
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import NamedTuple

import deflate
import numpy as np

from lulcmap.model import Session, typical_pixels
from lulcmap.planning.estimate.values import Reads

_TILE_PX = 512 * 512
_N_INFLATED = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """CPU-seconds of a machine for what a run does a million times."""

    start: float
    """Of a run: imports, the model, the search in a file; compiled loops from the cache."""

    sample: float
    """Reading, per million samples: fetched, inflated, undone, on the composites' grid."""

    warped: float
    """Reading, more for a million samples that come from another grid."""

    request: float
    """Reading, per band of a scene that is opened in a block."""

    composite: float
    """Compositing, per million pixels: the medians of nine bands, and radar."""

    observation: float
    """Compositing, per million samples: masks, and which samples a pixel takes."""

    block: float
    """Writing, per block."""

    written: float
    """Writing, per million pixels of blocks: logits to classes, and their files."""

    map: float
    """Joining, per map."""

    joined: float
    """Joining, per million filled pixels of maps: the join, the COG, and its checks."""

    inflate: float
    """Of ``inflate_seconds``: how fast the machine is."""

    def of_this_machine(self, inflate: float) -> "Rates":
        """The rates of a machine that takes ``inflate`` seconds for ``inflate_seconds``.

        A clock that is too coarse for it tells 0, and nothing of the machine.
        """
        factor = inflate / self.inflate if inflate > 0 else 1.0
        return Rates(**{name: value * factor for name, value in asdict(self).items()})


RATES = Rates(
    start=2.6,
    sample=0.0055,
    warped=0.03,
    request=0.005,
    composite=0.16,
    observation=0.0007,
    block=0.0085,
    written=0.13,
    map=0.5,
    joined=0.1,
    inflate=0.0019,
)
"""Measured by ``benchmarks/costs.py`` on one core of an Intel Xeon (Sapphire Rapids) that other
work shared; reading from local files, to which HTTPS adds what its decryption takes."""


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


class WindowTime(NamedTuple):
    """What the model takes for one window."""

    wall: float
    """Seconds."""

    cpu: float
    """CPU-seconds."""


def window_time(
    session: Session,
    *,
    calls: int,
    clock: Callable[[], float] = time.perf_counter,
    cpu_clock: Callable[[], float] = time.process_time,
) -> WindowTime:
    """What the model takes for one window of typical pixels, here and now, with so many at once.

    A forest takes longer for these than for noise, whose pixels end in leaves near its roots.

    Args:
        session: session of the model.
        calls: calls at once.
        clock: clock that returns seconds.
        cpu_clock: clock that returns CPU-seconds of this process.

    """
    n = session.batch_size
    _, (s2, s1) = typical_pixels(session.contract.window, seed=0)
    s2, s1 = np.repeat(s2, n, axis=0), np.repeat(s1, n, axis=0)
    sun_zenith = np.full(n, 45, np.float32)
    with ThreadPoolExecutor(calls, "network") as pool:

        def run() -> None:
            for done in [pool.submit(session.run, s2, s1, sun_zenith) for _ in range(calls)]:
                done.result()

        run()  # the first calls warm up
        start, cpu_start = clock(), cpu_clock()
        run()
        wall, cpu = clock() - start, cpu_clock() - cpu_start
    return WindowTime(wall / (n * calls), cpu / (n * calls))


def work_of(
    reads: Reads, *, n_blocks: int, block_pixels: float, n_maps: int, map_pixels: float
) -> Mapping[str, Mapping[str, float]]:
    """What a run does in each stage but classifying, by the rate that it costs.

    Args:
        reads: what the blocks read.
        n_blocks: blocks that are to be made.
        block_pixels: their pixels.
        n_maps: maps that are written.
        map_pixels: their filled pixels.

    """
    samples = reads.samples / 1e6
    return {
        "start": {"start": 1.0},
        "reading": {
            "sample": samples,
            "warped": reads.warped / 1e6,
            "request": float(reads.requests),
        },
        "compositing": {"composite": reads.pixels / 1e6, "observation": samples},
        "writing": {"block": float(n_blocks), "written": block_pixels / 1e6},
        "joining": {"map": float(n_maps), "joined": map_pixels / 1e6},
    }


def cpu_seconds(
    rates: Rates, work: Mapping[str, Mapping[str, float]], *, classifying: float
) -> Mapping[str, float]:
    """CPU-seconds of a run, by what they are for.

    Args:
        rates: rates of this machine.
        work: what the run does, as ``work_of`` gives it.
        classifying: CPU-seconds of the model for all windows.

    """
    seconds = {
        stage: sum(getattr(rates, rate) * amount for rate, amount in amounts.items())
        for stage, amounts in work.items()
    }
    return {**seconds, "classifying": classifying}
