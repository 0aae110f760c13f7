"""How far a run is, read from its folder; nothing there is changed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lulcmap.errors import UsageError
from lulcmap.run.folder import RunFolder
from lulcmap.run.lock import holder


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that works on a run, or stopped before its end."""

    name: str
    """``"run"`` or ``"shard 3/10"``."""

    host: str
    """Name of the machine."""

    pid: int
    """Number of the process there."""

    alive: bool
    """Whether it holds the run's lock."""

    stage: str
    """``"scenes"``, ``"blocks"`` or ``"assembly"``."""

    blocks: int
    """That it is to do."""

    done: int
    """Of them, those that are."""

    made: int
    """Of those, by this process."""

    seconds: float
    """Since its stage began, until its last heartbeat."""

    at: str
    """Its last heartbeat, ISO 8601, by its own machine's clock."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How far a run is."""

    path: Path
    """Of the run folder."""

    state: str
    """``"running"``, ``"stopped"`` or, where only the map is left to be written, ``"mapped"``."""

    blocks: int
    """Of the whole run."""

    done: int
    """Blocks whose files are there; they are counted, not read."""

    failed: Mapping[str, str]
    """From a block's name to why it could not be made."""

    rate: float | None
    """Blocks an hour, of all processes that are at work; None where none has made one yet."""

    workers: Sequence[Worker]
    """Every process that left a heartbeat."""

    @property
    def left(self) -> int:
        """Blocks still to be made."""
        return self.blocks - self.done

    @property
    def eta(self) -> float | None:
        """Seconds until the blocks are made, at the rate so far; None where there is none."""
        return self.left / self.rate * 3600 if self.rate else None

    def to_dict(self) -> dict[str, Any]:
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
            "workers": [asdict(worker) for worker in self.workers],
        }


def status(path: Path) -> RunStatus:
    """How far a run is.

    Args:
        path: of the run folder.

    Raises:
        UsageError: no run was begun there.

    """
    run = RunFolder(path)
    plan = run.plan()
    workers = [worker for beat in sorted(path.glob("*.beat")) if (worker := _worker(beat))]
    alive = [worker for worker in workers if worker.alive]
    if plan is None:
        if alive:
            return RunStatus(path, "running", 0, 0, {}, None, workers)
        raise UsageError(f"There is no run in {path}; give the folder <out>.run of a map.")
    try:
        numbers = [(int(zone), int(row), int(col)) for zone, row, col in plan["blocks"]]
    except (KeyError, TypeError, ValueError):
        raise UsageError(
            f"{run.plan_path} is no plan of lulcmap; give the folder <out>.run of a map."
        ) from None
    done = sum(run.block_path(number).is_file() for number in numbers)
    busy = [one for one in alive if one.stage == "blocks" and one.made and one.seconds > 0]
    rate = sum(one.made / one.seconds for one in busy) * 3600
    failed = {run.block_path(number).stem: why for number, why in run.failures().items()}
    state = "running" if alive else "mapped" if done == len(numbers) else "stopped"
    return RunStatus(path, state, len(numbers), done, failed, rate or None, workers)


def _worker(beat: Path) -> Worker | None:
    try:
        said = json.loads(beat.read_text())
        return Worker(
            name=f"shard {said['shard']}" if said["shard"] else "run",
            host=str(said["host"]),
            pid=int(said["pid"]),
            alive=holder(beat.with_suffix(".lock")) is not None,
            stage=str(said["stage"]),
            blocks=int(said["blocks"]),
            done=int(said["done"]),
            made=int(said["made"]),
            seconds=float(said["seconds"]),
            at=str(said["at"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
