"""Run a model on an NVIDIA GPU, in ONNX Runtime with CUDA or TensorRT.

Each call has buffers of its own, bound once: page-locked ones on the host and others on the device.
There are two sets, so that two threads that call in turns copy one batch while the other is
computed.
"""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from importlib import import_module
from io import StringIO
from pathlib import Path
from queue import SimpleQueue
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import DeviceError, OutputError
from lulcmap.model.cache import cache_folder
from lulcmap.model.contract import Contract
from lulcmap.model.file import ModelFile
from lulcmap.model.graph_check import check_graph
from lulcmap.model.nvidia import Gpu, driver, first_gpu, page_locked
from lulcmap.model.runtime import CPU, CUDA, TENSORRT, create_inner, loader_message

CUDA_OPTIONS: Mapping[str, str] = {
    "use_tf32": "0",  # its 10-bit mantissa changes the map
    "cudnn_conv_algo_search": "HEURISTIC",  # a timed search may pick another algorithm each run
}
"""Options of CUDA's execution provider."""

IN_FLIGHT = 2
"""Batches at once: one is copied while the other is computed."""

_BATCHES = ((40e9, 32), (20e9, 16), (10e9, 8), (0, 4))
"""Windows of 512 px a batch by the least memory of the GPU, bytes. It is not timed: cuDNN and
cuBLAS choose algorithms by shape, so a batch chosen by the clock would make the last bits a matter
of chance."""

_BATCH_WINDOW_PX = 512
"""Side of the windows that ``_BATCHES`` counts; smaller ones are more a batch."""


class GpuGraph:
    """A graph in ONNX Runtime whose inputs and logits stay in bound buffers."""

    def __init__(self, ort: ModuleType, inner: Any, contract: Contract, *, device: str = "cuda"):
        """Bind buffers to an opened graph.

        Args:
            ort: the module ``onnxruntime``.
            inner: the graph, opened in it.
            contract: contract of the model.
            device: ONNX Runtime's name of the device that the buffers are on.

        """
        self._free: SimpleQueue[_Buffers] = SimpleQueue()
        for _ in range(IN_FLIGHT):
            self._free.put(_Buffers(ort, inner, contract, device))

    def run(self, _: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Compute the logits, as ONNX Runtime's session does. Threads may share the graph."""
        buffers = self._free.get()
        try:
            return [buffers.run(feeds)]
        finally:
            self._free.put(buffers)


@dataclass(slots=True)
class _Buffers:
    """The buffers of one call at a time, made anew when the shapes of the inputs change."""

    ort: ModuleType
    inner: Any
    contract: Contract
    device: str
    _shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _host: dict[str, NDArray[Any]] = field(default_factory=dict)
    _inputs: dict[str, Any] = field(default_factory=dict)
    _logits: Any = None
    _binding: Any = None

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        shapes = {name: batch.shape for name, batch in feeds.items()}
        if shapes != self._shapes:
            self._shapes = {}
            self._bind(feeds)
            self._shapes = shapes
        for name, batch in feeds.items():
            np.copyto(self._host[name], batch)
            self._inputs[name].update_inplace(self._host[name])
        self.inner.run_with_iobinding(self._binding)
        logits: NDArray[Any] = self._logits.numpy()
        # on the CPU, in tests, it shows the buffer itself
        return logits.copy() if self.device == "cpu" else logits

    def _bind(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        library = None if self.device == "cpu" else driver()
        self._binding = self.inner.io_binding()
        self._host, self._inputs = {}, {}
        for name, batch in feeds.items():
            self._inputs[name] = self._on_device(batch.shape, batch.dtype)
            self._binding.bind_ortvalue_input(name, self._inputs[name])
            self._host[name] = page_locked(library, batch.shape, batch.dtype)
        n, _, height, width = feeds[next(iter(self.contract.inputs))].shape
        cells = height // self.contract.stride, width // self.contract.stride
        (kind,) = (value.type for value in self.inner.get_outputs() if value.name == "logits")
        dtype = np.float16 if kind == "tensor(float16)" else np.float32
        self._logits = self._on_device((n, len(self.contract.classes), *cells), np.dtype(dtype))
        self._binding.bind_ortvalue_output("logits", self._logits)

    def _on_device(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        return self.ort.OrtValue.ortvalue_from_shape_and_type(
            list(shape), dtype.type, self.device, 0
        )


@dataclass(frozen=True, slots=True)
class OpenedGpu:
    """A model opened on the GPU."""

    graph: GpuGraph
    """The graph."""

    batch_size: int
    """Windows in every call."""

    provider: str
    """Execution provider of ONNX Runtime, which has no other runtime's name in it."""


def open_gpu(
    ort: ModuleType,
    model: ModelFile,
    *,
    device: Literal["cuda", "tensorrt"],
    threads: int | None,
    batch_size: int | None,
) -> OpenedGpu:
    """Open a model file on the first GPU.

    Args:
        ort: the module ``onnxruntime``.
        model: the model file.
        device: CUDA, or TensorRT with CUDA for what it cannot run.
        threads: threads of what runs on the host.
        batch_size: windows in every call; None for as many as the GPU's memory suggests. A model
            made for one window takes one.

    Raises:
        DeviceError: the session did not get the device; its text is the reason.
        ModelError: the graph is not what the contract says.
        OutputError: TensorRT's engines cannot be kept.

    """
    _load_libraries(ort, device)
    gpu = first_gpu(driver())
    if device == "tensorrt":
        inner, size = _open_tensorrt(ort, model, gpu, threads, batch_size)
    else:
        inner = create_inner(
            ort, model.data, model.path, providers=[(CUDA, CUDA_OPTIONS), CPU], threads=threads
        )
        size = _batch(inner, gpu, batch_size, window=model.contract.window)
        check_graph(model, inner.get_inputs(), inner.get_outputs())
    wanted = CUDA if device == "cuda" else TENSORRT
    if (got := inner.get_providers()[0]) != wanted:
        name = "CUDA" if device == "cuda" else "TensorRT"
        raise DeviceError(f"ONNX Runtime could not load {name} ({loader_message(ort, device)})")
    return OpenedGpu(GpuGraph(ort, inner, model.contract), size, got)


def _load_libraries(ort: ModuleType, device: str) -> None:
    """Load the libraries that come as wheels, which the system's loader does not find."""
    if hasattr(ort, "preload_dlls"):
        with redirect_stdout(StringIO()):  # it prints the libraries it does not find
            ort.preload_dlls(directory="")  # the CUDA wheels of lulcmap[gpu], not those of a torch
    if device == "tensorrt":
        with suppress(ImportError, OSError):  # TensorRT may also be the system's
            import_module("tensorrt_libs")


def _batch(inner: Any, gpu: Gpu | None, batch_size: int | None, *, window: int) -> int:
    if any(value.shape[0] == 1 for value in inner.get_inputs()):
        return 1
    memory = gpu.memory if gpu else 0
    size = next(size for least, size in _BATCHES if memory >= least)
    return batch_size or max(1, size * _BATCH_WINDOW_PX**2 // window**2)


def _open_tensorrt(
    ort: ModuleType, model: ModelFile, gpu: Gpu | None, threads: int | None, batch_size: int | None
) -> tuple[Any, int]:
    """Open a model in TensorRT with fixed shapes; return it, and the windows in every call.

    The first time it builds an engine, which takes minutes, and keeps it for the next.
    """
    plain = create_inner(ort, model.data, model.path, threads=threads)
    check_graph(model, plain.get_inputs(), plain.get_outputs())
    size = _batch(plain, gpu, batch_size, window=model.contract.window)
    window = model.contract.window
    by_axis = {0: size, 2: window, 3: window}
    sizes = {
        axis: by_axis[number]
        for value in plain.get_inputs()
        for number, axis in enumerate(value.shape)
        if isinstance(axis, str) and number in by_axis
    }
    # TensorRT takes TF32 by itself, and its provider has no option that says no
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    options = {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(_engine_folder(ort, model, gpu, f"{size}x{window}")),
        "trt_fp16_enable": "1" if model.contract.precision == "fp16" else "0",
    }
    inner = create_inner(
        ort,
        model.data,
        model.path,
        providers=[(TENSORRT, options), (CUDA, CUDA_OPTIONS), CPU],
        threads=threads,
        sizes=sizes,
    )
    return inner, size


def _engine_folder(ort: ModuleType, model: ModelFile, gpu: Gpu | None, shape: str) -> Path:
    """Make the folder of a model's engines on this GPU; TensorRT adds its version to their names.

    Raises:
        OutputError: the folder cannot be made.

    """
    name = re.sub(r"\W+", "-", gpu.name) if gpu else "GPU"
    folder = cache_folder().with_name("tensorrt") / model.sha256
    folder /= f"{name}-onnxruntime-{ort.__version__}-{shape}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"TensorRT's engines cannot be kept in {folder} ({error.strerror}). Set LULCMAP_CACHE "
            "to a folder that can be written."
        ) from error
    return folder
