"""The heartbeat: a small file in which a process that works on a run says how far it is."""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_PAUSE = 10.0
"""Seconds between two beats."""


class Beat:
    """Writes a heartbeat file, now and then and whenever something is done, in the body.

    How long the work takes is counted on a clock that nobody sets; the time of day is only told.

    Args:
        path: of the file; its folder is there.
        shard: what share of the blocks the process does.
        clock: seconds.

    """

    def __init__(
        self, path: Path, *, shard: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path, self._clock = path, clock
        self._began = clock()
        self._ended = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._keep_on, name="heartbeat", daemon=True)
        self._state: dict[str, Any] = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "shard": shard,
            "stage": "scenes",
            "blocks": 0,
            "done": 0,
            "made": 0,
        }

    def __enter__(self) -> Self:
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
        if error is None:
            self._path.unlink(missing_ok=True)

    def stage(self, name: str) -> None:
        """What is done now: ``scenes``, ``blocks``, ``assembly``."""
        self._state["stage"] = name
        self._began = self._clock()
        self._write()

    def blocks(self, total: int, *, done: int, made: int) -> None:
        """How far the blocks are.

        Args:
            total: that this process is to do.
            done: of them, those that are.
            made: of those, by this process.

        """
        self._state |= {"blocks": total, "done": done, "made": made}
        self._write()

    def _keep_on(self) -> None:
        while not self._ended.wait(_PAUSE):
            self._write()

    def _write(self) -> None:
        """Write the file; where it cannot be, the work itself will say so."""
        part = self._path.with_name(f"{self._path.name}.part")
        with self._writing, contextlib.suppress(OSError):
            state = {
                **self._state,
                "seconds": round(self._clock() - self._began, 1),
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            part.write_text(json.dumps(state))
            part.replace(self._path)
