"""Who may work on a run: one process alone, or several that each do a shard."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from lulcmap.errors import NothingMappedError, OutputError
from lulcmap.run.folder import RunFolder, os_errors_named
from lulcmap.run.heartbeat import Heartbeat
from lulcmap.run.ownership import check_owner
from lulcmap.run.shard import Shard
from lulcmap.system import HeldError, hold_file, holder


@contextmanager
def hold_run(path: Path, *, shard: Shard | None = None) -> Iterator[RunFolder]:
    """Hold a run folder against other processes in the body.

    A process without a shard holds the run alone; shards share it, each shard once. Afterwards a
    folder without any block is removed, if no run was begun there, or only now and by this process
    alone.

    Args:
        path: path of the folder, made if it is missing.
        shard: the shard of this process.

    Raises:
        OutputError: another process holds it, the folder cannot be written, or is another user's.

    """
    run, is_fresh, is_ours = RunFolder(path), False, False
    try:
        with ExitStack() as stack, os_errors_named(path):
            path.mkdir(parents=True, exist_ok=True)
            check_owner(path, *run.folders)
            is_ours = True
            try:
                stack.enter_context(hold_file(run.lock_path(), shared=shard is not None))
                if shard is not None:
                    stack.enter_context(hold_file(run.lock_path(shard)))
            except HeldError as held:
                who = str(held) if shard else _shards(path) or str(held)
                raise OutputError(
                    f"{who[0].upper()}{who[1:]} is working on the run in {path}. Let it finish "
                    "(`lulcmap status` shows its progress), or stop it."
                ) from None
            is_fresh = shard is None and not run.is_begun() and run.is_blank()
            yield run
    finally:
        # A folder that cannot be read now may hold the work of days.
        with suppress(HeldError, OSError, OutputError):
            if is_ours and run.is_blank() and (is_fresh or not run.is_begun()):
                with hold_file(run.lock_path()):
                    run.remove()


@contextmanager
def removed_if_nothing_mapped(run: RunFolder) -> Iterator[None]:
    """Remove a run if no pixel can be mapped in the body: the same run would find nothing again."""
    try:
        yield
    except NothingMappedError:
        with suppress(OutputError, OSError):
            run.remove()
        raise


@contextmanager
def hold_plan(run: RunFolder, *, shard: Shard | None) -> Iterator[None]:
    """Hold off other shards in the body, while one of them freezes the plan for all.

    Args:
        run: the run.
        shard: the shard of this process; without one there are no others.

    """
    with ExitStack() as stack:
        if shard is not None:
            with os_errors_named(run.path):
                stack.enter_context(hold_file(run.path / "plan.lock", wait=True))
        yield


def start_heartbeat(run: RunFolder, shard: Shard | None = None) -> Heartbeat:
    """The heartbeat of this process in a run, to be entered."""
    path = run.lock_path(shard)
    return Heartbeat(path.with_suffix(".beat"), shard=str(shard) if shard else None)


def _shards(path: Path) -> str:
    """The shards that are held, and by whom."""
    holders = {lock.stem: holder(lock) for lock in sorted(path.glob("shard-*.lock"))}
    return ", ".join(f"{name} ({who})" for name, who in holders.items() if who)[:200]
