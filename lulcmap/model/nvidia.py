"""Ask NVIDIA's driver for the first GPU's name and memory, and for page-locked host memory.

Without a driver, and with one that refuses, there is an answer too: no GPU, and ordinary memory.
"""

import ctypes
import math
import os
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_PORTABLE = 1
"""Flag of ``cuMemHostAlloc``: page-locked for every context of the process."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU."""

    name: str
    """Such as ``"NVIDIA H200"``."""

    memory: int
    """Bytes of memory."""


def driver() -> Any | None:
    """Load the driver's library; None where there is none, or it does not start."""
    try:
        library = ctypes.CDLL("libcuda.so.1" if os.name == "posix" else "nvcuda.dll")
    except OSError:
        return None
    return library if library.cuInit(0) == 0 else None


def first_gpu(library: Any | None) -> Gpu | None:
    """Describe the GPU that ONNX Runtime uses: the first that the process sees."""
    device, memory = ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(256)
    if (
        library is None
        or library.cuDeviceGet(ctypes.byref(device), 0)
        or library.cuDeviceGetName(name, len(name), device)
        or library.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    ):
        return None
    return Gpu(name.value.decode(errors="replace"), memory.value)


def page_locked(library: Any | None, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Make an array in page-locked memory, which a GPU reads at the full rate of its bus.

    Where the driver refuses, it is an ordinary array: copies from it are slower, and no other.
    """
    kind = np.dtype(dtype)
    size, place = math.prod(shape) * kind.itemsize, ctypes.c_void_p()
    if library is None or not _enter_context(library):
        return np.empty(shape, kind)
    if library.cuMemHostAlloc(ctypes.byref(place), ctypes.c_size_t(size), _PORTABLE):
        return np.empty(shape, kind)
    memory: Any = (ctypes.c_byte * size).from_address(place.value or 0)
    # numpy keeps `memory` for as long as an array shows it
    freed = weakref.finalize(memory, library.cuMemFreeHost, place)
    freed.atexit = False  # the driver may have stopped by then, and frees it itself
    array: NDArray[Any] = np.frombuffer(memory, kind)
    return array.reshape(shape)


def _enter_context(library: Any) -> bool:
    """Make this thread's context the one that ONNX Runtime uses; false if there is none."""
    device, context = ctypes.c_int(), ctypes.c_void_p()
    library.cuCtxGetCurrent(ctypes.byref(context))
    if context.value:
        return True
    return not (
        library.cuDeviceGet(ctypes.byref(device), 0)
        or library.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
        or library.cuCtxSetCurrent(context)
    )
