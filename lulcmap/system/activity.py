"""What the threads of a run are at, and for how long: which stage limits the run.

Code says what its thread is at with ``busy``, as a decorator or around a block. It costs about a
microsecond, and nothing is kept unless a ``BusyClock`` records.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

ACTIVITIES = ("classifying", "compositing", "reading", "writing")
"""What a thread can be at, what a run should wait for first."""

_SATURATED = 0.7
"""Share of the time from which on classifying itself is the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusyShares:
    """How busy each activity was."""

    seconds: float
    """Seconds on the clock."""

    busy: Mapping[str, float]
    """Share of the time in which at least one thread was at it, 0 to 1, by activity."""

    awaited: Mapping[str, float]
    """Share of the time in which a thread was at it and none at what stands before it in
    ``ACTIVITIES``, 0 to 1."""

    cpu: Mapping[str, float] = field(default_factory=dict)
    """CPU-seconds of the threads at it, by activity; a runtime's own threads are in none."""

    cpu_seconds: float = 0.0
    """CPU-seconds of the process, all threads."""

    @property
    def limit(self) -> str | None:
        """The activity that limits the others; None where nothing was recorded."""
        if not self.busy:
            return None
        waits = {name: share for name, share in self.awaited.items() if name != "classifying"}
        if self.busy.get("classifying", 0.0) >= _SATURATED or not waits:
            return "classifying"
        return max(waits, key=lambda name: waits[name])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "seconds": round(self.seconds, 1),
            "busy": {name: round(share, 3) for name, share in self.busy.items()},
            "awaited": {name: round(share, 3) for name, share in self.awaited.items()},
            "limit": self.limit,
            "cpu": {name: round(seconds, 2) for name, seconds in self.cpu.items()},
            "cpu_seconds": round(self.cpu_seconds, 2),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What ``to_json`` made the values of.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: the values are of something else.

        """
        busy, awaited = (
            {str(name): float(share) for name, share in values[key].items()}
            for key in ("busy", "awaited")
        )
        return cls(
            seconds=float(values["seconds"]),
            busy=busy,
            awaited=awaited,
            cpu={str(name): float(seconds) for name, seconds in values["cpu"].items()},
            cpu_seconds=float(values["cpu_seconds"]),
        )

    def __str__(self) -> str:
        """A sentence, such as ``classifying 55 %, reading 80 %; limited by reading``."""
        shares = ", ".join(f"{name} {share:.0%}" for name, share in self.busy.items())
        return f"{shares.replace('%', ' %')}; limited by {self.limit}"


@dataclass(slots=True)
class BusyClock:
    """Adds up how long each activity is at work.

    Args:
        clock: gives seconds.
        thread_clock: gives CPU-seconds of the thread that asks.
        process_clock: gives CPU-seconds of the process.

    """

    clock: Callable[[], float] = time.monotonic
    thread_clock: Callable[[], float] = time.thread_time
    process_clock: Callable[[], float] = time.process_time
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: Counter[str] = field(default_factory=Counter)
    _busy: dict[str, float] = field(default_factory=dict)
    _awaited: dict[str, float] = field(default_factory=dict)
    _cpu: dict[str, float] = field(default_factory=dict)
    _began: float = 0.0
    _began_cpu: float = 0.0
    _last: float = 0.0

    def __post_init__(self) -> None:
        self._clear()

    def restart(self) -> BusyShares:
        """Begin anew, with all threads at what they are at; return the shares until now."""
        shares = self.shares()
        with self._lock:
            self._clear()
        return shares

    def change(self, before: str | None, after: str | None, *, spent: float) -> None:
        """Note that a thread is at something else, and its CPU-seconds at what was before."""
        with self._lock:
            self._pass_time()
            if before is not None:
                self._threads[before] -= 1
                self._cpu[before] += spent
            if after is not None:
                self._threads[after] += 1

    def shares(self) -> BusyShares:
        """The shares so far."""
        with self._lock:
            self._pass_time()
            seconds = self._last - self._began
            busy, awaited = (
                {name: times[name] / seconds for name in ACTIVITIES if times[name] > 0}
                for times in (self._busy, self._awaited)
            )
            cpu = {name: spent for name, spent in self._cpu.items() if spent > 0}
            return BusyShares(
                seconds=seconds,
                busy=busy,
                awaited=awaited,
                cpu=cpu,
                cpu_seconds=self.process_clock() - self._began_cpu,
            )

    def _clear(self) -> None:
        self._began = self._last = self.clock()
        self._began_cpu = self.process_clock()
        self._busy, self._awaited, self._cpu = (dict.fromkeys(ACTIVITIES, 0.0) for _ in range(3))

    def _pass_time(self) -> None:
        now = self.clock()
        passed, self._last = now - self._last, now
        at_work = [name for name in ACTIVITIES if self._threads[name] > 0]
        for name in at_work:
            self._busy[name] += passed
        for name in at_work[:1]:
            self._awaited[name] += passed


_recording: BusyClock | None = None
_thread = threading.local()


@contextmanager
def recorded(clock: BusyClock) -> Iterator[BusyClock]:
    """Record in the body what all threads of this process are at; one run at a time."""
    global _recording  # threads of pools are begun anywhere, and share nothing else
    before, _recording = _recording, clock
    try:
        yield clock
    finally:
        _recording = before


@contextmanager
def busy(name: str | None) -> Iterator[None]:
    """Say what this thread is at in the body, and at nothing else; None where it only waits.

    Args:
        name: one of ``ACTIVITIES``.

    """
    clock, before = _recording, getattr(_thread, "at", None)
    if clock is None:
        yield
        return
    _turn(clock, before, name)
    try:
        yield
    finally:
        _turn(clock, name, before)


def _turn(clock: BusyClock, before: str | None, after: str | None) -> None:
    """Have this thread turn to something else."""
    now = clock.thread_clock()
    clock.change(before, after, spent=now - getattr(_thread, "since", now))
    _thread.at, _thread.since = after, now
