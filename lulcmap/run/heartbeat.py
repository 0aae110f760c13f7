"""The heartbeat: a small file in which a process that works on a run says how far it is."""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lulcmap.system import BusyClock, BusyShares, recorded, write_atomically

_INTERVAL_S = 10.0
"""Seconds between two beats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What a heartbeat file says."""

    host: str
    """Name of the machine."""

    pid: int
    """Process id there."""

    shard: str | None
    """Shard of the process, such as ``"3/10"``; None for a process that works alone."""

    stage: str = "scenes"
    """Stage the process is in: ``"scenes"``, ``"blocks"`` or ``"assembly"``."""

    blocks: int = 0
    """Blocks that the process is to do."""

    done: int = 0
    """Blocks of these that are done."""

    made: int = 0
    """Blocks of these that the process made itself."""

    seconds: float = 0.0
    """Seconds since the stage began."""

    at: str = ""
    """Time of the beat, ISO 8601, by the clock of the process's machine."""

    busy: BusyShares | None = None
    """How busy the stage's activities were since it began; None where it does not tell."""

    def to_json(self) -> dict[str, Any]:
        """The values of the file."""
        busy = None if self.busy is None else self.busy.to_json()
        return {**asdict(self), "busy": busy}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What ``to_json`` made the values of.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: the values are of something else.

        """
        return cls(
            host=str(values["host"]),
            pid=int(values["pid"]),
            shard=str(values["shard"]) if values["shard"] else None,
            stage=str(values["stage"]),
            blocks=int(values["blocks"]),
            done=int(values["done"]),
            made=int(values["made"]),
            seconds=float(values["seconds"]),
            at=str(values["at"]),
            busy=BusyShares.from_json(values["busy"]) if values.get("busy") else None,
        )


class Heartbeat:
    """Writes a heartbeat file in the body, every few seconds and whenever something is done.

    It also records what the threads of the process are at, stage by stage.

    Durations are measured on a clock that nobody sets; the time of day is only told.

    Args:
        path: path of the file; its folder exists.
        shard: shard of the process.
        clock: gives seconds.

    """

    def __init__(
        self, path: Path, *, shard: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path, self._clock = path, clock
        self._began = clock()
        self._ended = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._keep_on, name="heartbeat", daemon=True)
        self._busy = BusyClock(clock)
        self._recording = recorded(self._busy)
        self._ended_stages: dict[str, BusyShares] = {}
        self._beat = Beat(host=socket.gethostname(), pid=os.getpid(), shard=shard)

    def __enter__(self) -> Self:
        self._recording.__enter__()
        self._busy.restart()
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._recording.__exit__(kind, error, trace)
        if error is None:
            self._path.unlink(missing_ok=True)

    def stage(self, name: str) -> None:
        """Begin a stage: ``scenes``, ``blocks`` or ``assembly``."""
        self._ended_stages[self._beat.stage] = self._busy.restart()
        self._beat = replace(self._beat, stage=name)
        self._began = self._clock()
        self._write()

    def stages(self) -> Mapping[str, BusyShares]:
        """How long each stage took, and how busy its activities were, in order."""
        return {**self._ended_stages, self._beat.stage: self._busy.shares()}

    def blocks(self, total: int, *, done: int, made: int) -> None:
        """Say how far the blocks are.

        Args:
            total: blocks that this process is to do.
            done: blocks of these that are done.
            made: blocks of these that this process made.

        """
        self._beat = replace(self._beat, blocks=total, done=done, made=made)
        self._write()

    def _keep_on(self) -> None:
        while not self._ended.wait(_INTERVAL_S):
            self._write()

    def _write(self) -> None:
        """Write the file; where it cannot be written, the work itself will say so."""
        with self._writing, contextlib.suppress(OSError):
            beat = replace(
                self._beat,
                seconds=round(self._clock() - self._began, 1),
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                busy=self._busy.shares(),
            )
            write_atomically(self._path, json.dumps(beat.to_json()))
