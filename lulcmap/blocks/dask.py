"""Blocks mapped by the workers of a Dask cluster, on one machine or many.

Every worker runs what one process alone would run, ``engine.map_blocks``, and writes its blocks
into the run's folder, which all of them must see under one path. Nothing but numbers comes back.
"""

import logging
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lulcmap.blocks.engine import Done, Engine, map_blocks
from lulcmap.catalog.search import Found
from lulcmap.errors import DeviceError, UsageError
from lulcmap.model.registry import find_model
from lulcmap.model.session import Session, open_session
from lulcmap.output.assemble import Block
from lulcmap.planning.planner import Settings, Survey
from lulcmap.run import RunFolder

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

_SECONDS = 30
"""Waited for a scheduler, or for its first worker."""


def on_dask(address: str) -> Engine:
    """An engine that maps blocks on a Dask cluster.

    Args:
        address: of a scheduler, such as ``tcp://10.0.0.5:8786``, or ``local:N`` for N processes on
            this machine.

    Raises:
        UsageError: Dask is not installed, the address is none, or nobody is there.

    """
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise UsageError(
            "--dask needs the package distributed; install it with pip install 'lulcmap[dask]'."
        ) from None
    n_local = _local(address)

    def engine(
        known: Survey, run: RunFolder, settings: Settings, todo: Sequence[Block]
    ) -> Generator[Done, None, None]:
        if settings.max_memory is not None and n_local is not None:
            settings = replace(settings, max_memory=settings.max_memory // n_local)
        if settings.model is not None and Path(settings.model).is_file():
            settings = replace(settings, model=str(Path(settings.model).resolve()))
        with _client(address, n_local) as client:
            yield from _on(client, known, run, settings, todo)

    return engine


def _local(address: str) -> int | None:
    """N of ``local:N``."""
    kind, _, rest = address.partition(":")
    if kind == "local" and rest.isdecimal() and int(rest) > 0:
        return int(rest)
    if kind != "tcp" or not rest.startswith("//"):
        raise UsageError(
            f"--dask is {address!r}; it takes a scheduler's address such as tcp://10.0.0.5:8786, "
            "or local:4 for four processes on this machine."
        )
    return None


@contextmanager
def _client(address: str, n_local: int | None) -> Iterator["Client"]:
    from distributed import Client, LocalCluster

    if n_local is None:
        try:
            client = Client(address, timeout=_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(
                f"No Dask scheduler answers at {address} ({type(error).__name__}). Start one, or "
                "give --dask local:4."
            ) from error
        with client:
            try:
                client.wait_for_workers(1, timeout=_SECONDS)
            except TimeoutError:
                raise UsageError(
                    f"The Dask scheduler at {address} has no worker. Start one: dask worker "
                    f"{address} --nthreads 1"
                ) from None
            yield client
        return
    with (
        LocalCluster(
            n_workers=n_local,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            memory_limit=0,  # the size of blocks bounds it; a paused worker would only wait
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@dataclass(frozen=True, slots=True)
class _Work:
    """What a worker needs besides the numbers of its blocks; sent once to each."""

    known: Survey
    """Without its session, which cannot be sent, and without items."""

    path: str
    """Of the run folder."""

    settings: Settings
    """Of the map."""

    threads: int | None
    """Of the model on a worker's CPU; None is as many as it has."""


_sessions: dict[tuple[str, str], Session] = {}
"""Of this worker, by the model's hash and the device."""


def _make(work: _Work, block: Block) -> Done:
    """Map one block on a worker."""
    run = RunFolder(Path(work.path))
    if run.plan() != work.known.job.plan.to_json():
        raise UsageError(
            f"A Dask worker does not see the run in {work.path}. Put it where all machines see it "
            "under one path, with --workdir."
        )
    number, box = block
    # A worker that died may have made it, and not have said so.
    if run.done(number, box, plan=work.known.job.digest):
        return number, None
    known = replace(work.known, session=_session(work))
    (done,) = map_blocks(known, run, work.settings, [block])
    return done


def _session(work: _Work) -> Session:
    """The model, opened once a worker, and the one the plan names."""
    wanted = work.known.job.plan
    key = wanted.model_sha256, work.settings.device
    if key not in _sessions:
        session = open_session(
            find_model(work.settings.model),
            device=work.settings.device,
            batch_size=work.settings.batch_size,
            threads=work.threads,
        )
        if session.sha256 != wanted.model_sha256:
            raise UsageError(
                f"A Dask worker has another model of the name {wanted.model}. Install one version "
                "of lulcmap everywhere."
            )
        _sessions[key] = replace(session, contract=work.known.session.contract)
    return _sessions[key]


def _on(
    client: "Client", known: Survey, run: RunFolder, settings: Settings, todo: Sequence[Block]
) -> Generator[Done, None, None]:
    """Send the blocks to the workers, and tell each that is done."""
    from distributed import CancelledError, KilledWorker, as_completed
    from distributed.comm.core import CommClosedError

    machines = client.scheduler_info(n_workers=-1)["workers"].values()
    here = sum(machine["host"] == "127.0.0.1" for machine in machines)
    threads = max((os.cpu_count() or 1) // here, 1) if here else None
    work = _Work(_lean(known), str(run.path.resolve()), settings, threads)
    # A task, not scattered data: when its worker dies, the scheduler makes it anew.
    sent: Any = client.submit(_same, work, pure=False)
    futures = client.map(_make, [sent] * len(todo), todo, pure=False)
    try:
        for future in as_completed(futures, loop=client.loop):
            yield future.result()
    except KilledWorker as error:
        raise DeviceError(
            f"Several Dask workers died over one block: {error}. They may lack memory; give them "
            "more, or a smaller --block-size."
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise DeviceError(
            "The Dask scheduler was lost. Start it, then run the same command again to go on."
        ) from error
    finally:
        client.cancel(futures)


def _same(work: _Work) -> _Work:
    return work


def _lean(known: Survey) -> Survey:
    """What is known, less what no worker asks for."""
    found: Found = replace(known.found, items=(), skipped=())
    session = replace(known.session, _ort=None)
    return replace(known, found=found, session=session, skipped=())
