"""Blocks made by the workers of a Dask cluster, on one machine or many.

Every worker runs what one process alone would run, ``map_blocks``, and writes its blocks into the
run folder, which all of them must see under one path. Only ids come back.
"""

import logging
import os
import signal
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lulcmap.blocks.engine import BlockResult, Engine
from lulcmap.blocks.local import map_blocks
from lulcmap.errors import DeviceError, UsageError
from lulcmap.geo import Block
from lulcmap.model import Session, find_model, open_session
from lulcmap.planning import PlannedMap
from lulcmap.run import RunFolder

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

_TIMEOUT_S = 30
"""Seconds to wait for a scheduler, or for its first worker."""


def dask_engine(address: str) -> Engine:
    """An engine that makes blocks on a Dask cluster.

    Args:
        address: address of a scheduler, such as ``tcp://10.0.0.5:8786``, or ``local:N`` for N
            processes on this machine.

    Raises:
        UsageError: Dask is not installed, the address is not one, or nobody answers there.

    """
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise UsageError(
            "--dask needs the package distributed. Install it: pip install 'lulcmap[dask]'."
        ) from None
    n_local = _local(address)

    def engine(
        planned: PlannedMap, run: RunFolder, todo: Sequence[Block]
    ) -> Generator[BlockResult, None, None]:
        settings = planned.settings
        if settings.max_memory is not None and n_local is not None:
            settings = replace(settings, max_memory=settings.max_memory // n_local)
        if settings.model is not None and Path(settings.model).is_file():
            settings = replace(settings, model=str(Path(settings.model).resolve()))
        with _client(address, n_local) as client:
            yield from _on(client, replace(planned, settings=settings), run, todo)

    return engine


def _local(address: str) -> int | None:
    """N of ``local:N``; None for a scheduler's address."""
    kind, _, rest = address.partition(":")
    if kind == "local" and rest.isdecimal() and int(rest) > 0:
        return int(rest)
    if kind != "tcp" or not rest.startswith("//"):
        raise UsageError(
            f"--dask is {address!r}; give a scheduler's address such as tcp://10.0.0.5:8786, or "
            "local:4 for four processes on this machine."
        )
    return None


@contextmanager
def _client(address: str, n_local: int | None) -> Iterator["Client"]:
    from distributed import Client, LocalCluster

    if n_local is None:
        try:
            client = Client(address, timeout=_TIMEOUT_S, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(
                f"No Dask scheduler answers at {address} ({type(error).__name__}). Start one, or "
                "give --dask local:4."
            ) from error
        with client:
            try:
                client.wait_for_workers(1, timeout=_TIMEOUT_S)
            except TimeoutError:
                raise UsageError(
                    f"The Dask scheduler at {address} has no worker. Start one: dask worker "
                    f"{address} --nthreads 1"
                ) from None
            yield client
        return
    with ExitStack() as stack:
        with _quiet_children():
            cluster = LocalCluster(
                n_workers=n_local,
                threads_per_worker=1,
                processes=True,
                # The scheduler always opens an HTTP port, by default 8787 of every address.
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                memory_limit=0,  # the size of blocks bounds it; a paused worker would only wait
                silence_logs=logging.CRITICAL,  # what fails is raised here too
            )
            stack.enter_context(cluster)
        yield stack.enter_context(Client(cluster, set_as_default=False))


@contextmanager
def _quiet_children() -> Iterator[None]:
    """Begin processes in the body that leave Ctrl-C and the last word to this one.

    A terminal sends Ctrl-C to all processes; each would print a traceback. The resource tracker of
    Python would warn of what a process leaves that was ended.
    """
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore:resource_tracker"
    resource_tracker.ensure_running()
    del os.environ["PYTHONWARNINGS"]
    if before is not None:
        os.environ["PYTHONWARNINGS"] = before
    if not hasattr(signal, "pthread_sigmask"):  # Windows has none
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@dataclass(frozen=True, slots=True)
class _Work:
    """What a worker needs besides its blocks; sent once to each."""

    planned: PlannedMap = field(repr=False)
    """The map, without its session, which cannot be sent, and without items. Its hrefs may hold
    keys, and Dask shows tasks in its messages."""

    path: str
    """Path of the run folder."""

    threads: int | None
    """Threads of the model on a worker's CPU; None is as many as it has."""


_sessions: dict[tuple[str, str], Session] = {}
"""Sessions of this worker, by the model's hash and the device."""


def _make(work: _Work, block: Block) -> BlockResult:
    """Make one block on a worker."""
    run, digest = RunFolder(Path(work.path)), work.planned.job.digest
    changed = run.plan_path.stat().st_mtime_ns if run.plan_path.exists() else 0
    if _plan_digest(work.path, changed) != digest:
        raise UsageError(
            f"A Dask worker does not see the run in {work.path}. Put it where all machines see it "
            "under one path, with --workdir."
        )
    # A worker that died may have made it without saying so.
    if run.discard_invalid(block, plan=digest, layers=work.planned.settings.kept_layers):
        return BlockResult(block.id, None)
    (result,) = map_blocks(replace(work.planned, session=_session(work)), run, [block])
    return result


@lru_cache
def _plan_digest(path: str, changed: int) -> str | None:  # noqa: ARG001 - a key of the cache
    """Digest of the plan of a run folder, read again once its file changed (time, nanoseconds)."""
    plan = RunFolder(Path(path)).plan()
    return plan.digest if plan is not None else None


def _session(work: _Work) -> Session:
    """The model that the plan names, opened once a worker."""
    plan, settings = work.planned.plan, work.planned.settings
    key = plan.model_sha256, settings.device
    if key not in _sessions:
        session = open_session(
            find_model(settings.model),
            device=settings.device,
            batch_size=settings.batch_size,
            threads=work.threads,
            at_once=True,
            memory=settings.max_memory,
        )
        if session.sha256 != plan.model_sha256:
            raise UsageError(
                f"A Dask worker has a different model named {plan.model}. Install one version of "
                "lulcmap everywhere."
            )
        _sessions[key] = replace(session, contract=work.planned.session.contract)
    return _sessions[key]


def _on(
    client: "Client", planned: PlannedMap, run: RunFolder, todo: Sequence[Block]
) -> Generator[BlockResult, None, None]:
    """Send the blocks to the workers, and yield each that is done."""
    from distributed import CancelledError, KilledWorker, as_completed
    from distributed.comm.core import CommClosedError

    machines = client.scheduler_info(n_workers=-1)["workers"].values()
    here = sum(machine["host"] == "127.0.0.1" for machine in machines)
    threads = max((os.cpu_count() or 1) // here, 1) if here else None
    work = _Work(_lean(planned), str(run.path.resolve()), threads)
    # A task, not scattered data: when its worker dies, the scheduler makes it anew.
    sent: Any = client.submit(_same, work, pure=False)
    futures = client.map(_make, [sent] * len(todo), todo, pure=False)
    try:
        for future in as_completed(futures, loop=client.loop):
            yield future.result()
    except KilledWorker as error:
        raise DeviceError(
            f"Several Dask workers died while making one block: {error}. They may lack memory; "
            "give them more, or a smaller --block-size."
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise DeviceError(
            "The Dask scheduler was lost. Start it, then run the same command again to resume."
        ) from error
    finally:
        client.cancel(futures)


def _same(work: _Work) -> _Work:
    return work


def _lean(planned: PlannedMap) -> PlannedMap:
    """A planned map, less what no worker needs."""
    return replace(
        planned,
        scenes=planned.scenes.without_items,
        session=replace(planned.session, _ort=None),
        settings=replace(planned.settings, catalog="", fallback=None),
        skipped=(),
    )
