"""One process, or several that share every step, each on its own device."""

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
    """The processes of a training, as seen by one of them (DistributedDataParallel)."""

    device: torch.device
    """Device of this process."""

    rank: int = 0
    """Rank of this process; rank 0 writes the files."""

    world_size: int = 1
    """Number of processes."""

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module on this process's device; its gradients are averaged over all processes."""
        module = module.to(self.device)
        if self.world_size == 1:
            return module
        if self.device.type == "cuda":
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        # torch warns about the gradients of depthwise convolutions; the cost is one copy
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return DistributedDataParallel(module)

    def broadcast(self, value: Tensor) -> None:
        """Overwrite a tensor with that of the first process, in all processes."""
        if self.world_size > 1:
            dist.broadcast(value, 0)

    def sum(self, value: Tensor) -> Tensor:
        """Sum of a tensor over all processes."""
        if self.world_size > 1:
            dist.all_reduce(value)
        return value


def find_device(name: str) -> torch.device:
    """Find a device by its name.

    Args:
        name: ``"cpu"``, ``"cuda"`` or ``"auto"``: CUDA if available, else the CPU.

    Raises:
        DeviceError: CUDA is not available.

    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of an old driver
        is_available = torch.cuda.is_available()
    if name == "cuda" and not is_available:
        raise DeviceError("torch finds no CUDA device. Use --device cpu, or install a CUDA torch.")
    return torch.device("cuda" if is_available and name != "cpu" else "cpu")


def run_processes(
    function: Callable[..., None], *args: Any, device: torch.device, devices: int
) -> None:
    """Run ``function(group, *args)`` in one process per device.

    Args:
        function: a module-level function, and so are the functions in ``args``: they are pickled.
        args: further arguments of ``function``.
        device: type of the devices.
        devices: number of devices.

    Raises:
        DeviceError: there are fewer devices.
        LulcmapError: raised by one of the processes.

    """
    if device.type == "cuda" and devices > torch.cuda.device_count():
        raise DeviceError(
            f"--devices is {devices}, but torch finds {torch.cuda.device_count()} CUDA devices. "
            "Give a smaller number."
        )
    if devices == 1:
        function(ProcessGroup(device), *args)
        return
    errors = multiprocessing.get_context("spawn").SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        address = f"file://{Path(folder) / 'rendezvous'}"
        context = start_processes(  # type: ignore[no-untyped-call]
            _run_process,
            (address, device.type, devices, errors, function, args),
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
    function: Callable[..., None],
    args: tuple[Any, ...],
) -> None:
    """Join the process group, run the function and pass its error on."""
    cuda = kind == "cuda"
    device = torch.device(kind, rank) if cuda else torch.device(kind)
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if cuda else "gloo", init_method=address, rank=rank, world_size=devices
    )
    try:
        function(ProcessGroup(device, rank, devices), *args)
    except LulcmapError as error:
        errors.put(error)
        raise
    finally:
        dist.destroy_process_group()
