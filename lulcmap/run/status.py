"""How far a run is, read from its folder; nothing there is changed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lulcmap.errors import UsageError
from lulcmap.run.folder import RunFolder
from lulcmap.run.heartbeat import Beat
from lulcmap.system import holder


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that works on a run, or stopped before its end."""

    beat: Beat
    """Its last heartbeat."""

    alive: bool
    """Whether it holds the run's lock."""

    @property
    def name(self) -> str:
        """``"run"`` or ``"shard 3/10"``."""
        return f"shard {self.beat.shard}" if self.beat.shard else "run"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        beat = self.beat.to_json()
        del beat["shard"]
        return {"name": self.name, "alive": self.alive, **beat}


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How far a run is."""

    path: Path
    """Path of the run folder."""

    state: str
    """``"running"``, ``"stopped"`` or, where only the map is left to be written, ``"mapped"``."""

    blocks: int
    """Blocks of the whole run."""

    done: int
    """Blocks whose files exist; they are counted, not read."""

    failed: Mapping[str, str]
    """Reason by name of each block that could not be made."""

    rate: float | None
    """Blocks an hour of all processes at work; None until one is made."""

    workers: Sequence[Worker]
    """Every process that left a heartbeat."""

    @property
    def left(self) -> int:
        """Blocks left to make."""
        return self.blocks - self.done

    @property
    def eta(self) -> float | None:
        """Seconds until all blocks are made, at the rate so far; None where no rate is known."""
        return self.left / self.rate * 3600 if self.rate else None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "run": str(self.path),
            "state": self.state,
            "blocks": self.blocks,
            "done": self.done,
            "left": self.left,
            "failed": [{"block": name, "reason": why} for name, why in self.failed.items()],
            "blocks_per_hour": None if self.rate is None else round(self.rate, 2),
            "eta_seconds": None if self.eta is None else round(self.eta),
            "workers": [worker.to_json() for worker in self.workers],
        }


def run_status(path: Path) -> RunStatus:
    """How far a run is.

    Args:
        path: path of the run folder.

    Raises:
        UsageError: no run was begun there, or by another version of lulcmap.

    """
    run = RunFolder(path)
    beats = [beat for beat in sorted(path.glob("*.beat")) if not beat.name.startswith(".")]
    workers = [worker for beat in beats if (worker := _worker(beat))]
    alive = [worker for worker in workers if worker.alive]
    plan = run.plan()
    if plan is None:
        if alive:
            return RunStatus(path, "running", 0, 0, {}, None, workers)
        raise UsageError(f"No run in {path}. Give the run folder of a map, <out>.run.")
    done = sum(run.block_path(number).is_file() for number in plan.blocks)
    busy = [
        beat
        for worker in alive
        for beat in [worker.beat]
        if beat.stage == "blocks" and beat.made and beat.seconds > 0
    ]
    rate = sum(beat.made / beat.seconds for beat in busy) * 3600
    failed = {str(number): reason for number, reason in run.failures().items()}
    state = "running" if alive else "mapped" if done == len(plan.blocks) else "stopped"
    return RunStatus(path, state, len(plan.blocks), done, failed, rate or None, workers)


def _worker(path: Path) -> Worker | None:
    try:
        beat = Beat.from_json(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    return Worker(beat, alive=holder(path.with_suffix(".lock")) is not None)
