"""One process, or several with a device each that share every step (DistributedDataParallel)."""

import multiprocessing
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.multiprocessing.spawn import ProcessException, start_processes
from torch.nn.parallel import DistributedDataParallel

from lulcmap.errors import DeviceError, LulcmapError


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The processes of a training, as one of them sees it."""

    device: torch.device
    """Of this process."""

    rank: int = 0
    """Of this process; 0 writes the files."""

    world: int = 1
    """How many there are."""

    def wrapped(self, module: nn.Module) -> nn.Module:
        """The module on this process's device; its gradients will be the mean over all."""
        module = module.to(self.device)
        if self.world == 1:
            return module
        if self.device.type == "cuda":
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        # said of depthwise convolutions' gradients; it costs a copy
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return DistributedDataParallel(module)

    def share(self, value: Tensor) -> None:
        """Make it the first process's in all of them."""
        if self.world > 1:
            dist.broadcast(value, 0)

    def sum(self, value: Tensor) -> Tensor:
        """Over all processes."""
        if self.world > 1:
            dist.all_reduce(value)
        return value


def find_device(wanted: str) -> torch.device:
    """The device that is asked for, if it is there.

    Args:
        wanted: ``"cpu"``, ``"cuda"`` or ``"auto"``, which is CUDA where there is some.

    Raises:
        DeviceError: there is none.

    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an old driver: said in the next line
        there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise DeviceError("torch finds no CUDA device. Use --device cpu, or install a CUDA torch.")
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")


def run_processes(
    work: Callable[..., None], *args: Any, device: torch.device, devices: int
) -> None:
    """Run ``work(team, *args)`` in as many processes as there are to be devices.

    Args:
        work: a function of a module, and so are those among ``args``: they are sent to the others.
        args: of ``work``, after its team.
        device: the kind.
        devices: how many.

    Raises:
        DeviceError: there are fewer.
        LulcmapError: what a process raised.

    """
    if device.type == "cuda" and devices > torch.cuda.device_count():
        raise DeviceError(
            f"{devices} devices are wanted, torch finds {torch.cuda.device_count()}. "
            "Give a smaller --devices."
        )
    if devices == 1:
        work(ProcessGroup(device), *args)
        return
    errors = multiprocessing.get_context("spawn").SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        address = f"file://{Path(folder) / 'rendezvous'}"
        context = start_processes(  # type: ignore[no-untyped-call]
            _run_process,
            (address, device.type, devices, errors, work, args),
            nprocs=devices,
            join=False,
            start_method="spawn",
        )
        try:
            while not context.join():
                pass
        except ProcessException as error:
            if errors.empty():
                raise
            raise errors.get() from error
        finally:
            for process in context.processes:
                process.terminate()


def _run_process(
    rank: int,
    address: str,
    kind: str,
    devices: int,
    errors: "multiprocessing.SimpleQueue[LulcmapError]",
    work: Callable[..., None],
    args: tuple[Any, ...],
) -> None:
    """One process: it meets the others, works, and says what went wrong."""
    cuda = kind == "cuda"
    device = torch.device(kind, rank) if cuda else torch.device(kind)
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if cuda else "gloo", init_method=address, rank=rank, world_size=devices
    )
    try:
        work(ProcessGroup(device, rank, devices), *args)
    except LulcmapError as error:
        errors.put(error)
        raise
    finally:
        dist.destroy_process_group()
