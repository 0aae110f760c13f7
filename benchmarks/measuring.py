"""Measure a command as a whole: wall time, CPU-seconds of all threads and children, peak memory.

Nothing heavy is imported here: on Linux the peak memory of a process is at least that of the one
that started it.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Cost:
    """Cost of one process."""

    wall: float
    """Seconds, from the start of the process to its end."""

    cpu: float
    """Seconds, all threads and ended children, user and system."""

    memory: float
    """Peak resident memory of the largest process, MB of 10^6 bytes."""

    def __str__(self) -> str:
        return f"{self.wall:,.1f} s, {self.cpu:,.1f} CPU-s, {self.memory:,.0f} MB"


class Stopwatch:
    """Measures a part of this process, from its making on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def cost(self) -> Cost:
        """Return what was spent since; the memory is the peak of the whole process."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return Cost(wall, cpu, _megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def _megabytes(peak: int) -> float:
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6  # kilobytes on Linux


def measured(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> tuple[Cost, str]:
    """Run a command; return what the kernel says it cost, and what it printed to stdout.

    Args:
        command: the command.
        environment: variables to set beside those of this process.

    Raises:
        SystemExit: the command failed; its output is the message.

    """
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=output, env={**os.environ, **(environment or {})}
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed with exit code {process.returncode}: {text}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, _megabytes(usage.ru_maxrss)), text


def lulcmap(*words: str) -> list[str]:
    """Return the command line of a command of lulcmap, in this Python."""
    return [sys.executable, "-m", "lulcmap", *words]


def median_cost(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure of some runs."""
    return Cost(
        **{
            field.name: statistics.median(getattr(cost, field.name) for cost in costs)
            for field in fields(Cost)
        }
    )
