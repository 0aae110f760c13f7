"""Who may work on a run: one process alone, or several that each do a shard."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from lulcmap.errors import OutputError
from lulcmap.run.folder import RunFolder, writing
from lulcmap.run.heartbeat import Beat
from lulcmap.run.lock import HeldError, holder, lock
from lulcmap.run.shard import Shard


@contextmanager
def work(path: Path, *, shard: Shard | None = None) -> Iterator[RunFolder]:
    """A run folder, held against other processes in the body.

    A process without a shard holds the run alone; shards share it, each once. Afterwards a folder
    without any block is removed, if no run was begun there, or only now and by this process alone.

    Args:
        path: of the folder, made if need be.
        shard: that this process does.

    Raises:
        OutputError: another process holds it, or the folder cannot be written.

    """
    run, fresh = RunFolder(path), False
    try:
        with ExitStack() as stack:
            with writing(path):
                path.mkdir(parents=True, exist_ok=True)
                try:
                    stack.enter_context(lock(run.lock_path(), shared=shard is not None))
                    if shard is not None:
                        stack.enter_context(lock(run.lock_path(shard)))
                except HeldError as held:
                    who = str(held) if shard else _shards(path) or str(held)
                    raise OutputError(
                        f"{who[0].upper()}{who[1:]} works on the run in {path}. Let it finish "
                        "(`lulcmap status` says how far it is), or stop it."
                    ) from None
            fresh = shard is None and run.plan() is None and run.is_blank()
            yield run
    finally:
        # A folder that cannot be read now may hold the work of days.
        with suppress(HeldError, OSError, OutputError):
            if run.is_blank() and (fresh or run.plan() is None):
                with lock(run.lock_path()):
                    run.remove()


@contextmanager
def planning(run: RunFolder) -> Iterator[None]:
    """Hold off other shards in the body, while the first of them freezes the plan for all."""
    with ExitStack() as stack:
        with writing(run.path):
            stack.enter_context(lock(run.path / "plan.lock", wait=True))
        yield


def beat(run: RunFolder, shard: Shard | None = None) -> Beat:
    """The heartbeat of this process in a run."""
    path = run.lock_path(shard)
    return Beat(path.with_suffix(".beat"), shard=str(shard) if shard else None)


def _shards(path: Path) -> str:
    """The shards that are held, and by whom."""
    found = {lock_.stem: holder(lock_) for lock_ in sorted(path.glob("shard-*.lock"))}
    return ", ".join(f"{name} ({who})" for name, who in found.items() if who)[:200]
