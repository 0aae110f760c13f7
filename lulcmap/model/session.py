"""Open a model file and run it, on the device it really gets."""

from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import DeviceError, ModelError, UsageError
from lulcmap.model.contract import SUN_ZENITH, Contract
from lulcmap.model.device import Device
from lulcmap.model.file import ModelFile, read_model
from lulcmap.model.gpu_graph import IN_FLIGHT, open_gpu
from lulcmap.model.graph_check import check_graph
from lulcmap.model.openvino_graph import open_openvino
from lulcmap.model.runtime import (
    create_inner,
    first_line,
    has_cuda,
    has_driver,
    load_runtime,
    why_no_cuda,
    why_no_tensorrt,
)
from lulcmap.sensors import S1_BANDS, S2_BANDS
from lulcmap.system import available_cores, busy, free_memory

_BANDS = {"s2": S2_BANDS, "s1": S1_BANDS}

_BYTES_PER_PIXEL, _BYTES_PER_PIXEL_AND_WEIGHTS = 500, 18e-6
"""Bytes of a call for each pixel of a window, at least; and for each of these and of the model's
file. Measured in ONNX Runtime, windows of 512 px: ``lulcformer-tiny`` (14 MB) 240 bytes a pixel, a
forest 340, a small U-Net 470, ``lulcformer`` (102 MB) 1,800."""

_CALLS_SHARE = 0.25
"""Share of the memory that calls made at once may take."""


@dataclass(slots=True)
class Session:
    """A model ready to run."""

    contract: Contract
    """Contract of the model."""

    sha256: str
    """Sha256 of the model file, 64 hexadecimal digits."""

    device: Literal["cpu", "cuda"]
    """Device the model really runs on."""

    runtime: str
    """Name and version of the runtime, and its execution provider."""

    notes: tuple[str, ...]
    """Notes for the report, such as why ``auto`` did not get the GPU."""

    batch_size: int
    """Windows in every call of the runtime, the last padded; 1 on the CPU."""

    in_flight: int
    """Calls of ``run`` to make at once, from as many threads: 2 on a GPU, where one batch is copied
    while another is computed; on the CPU one for each thread of a session that was opened
    ``at_once``, or as many as memory takes; otherwise 1."""

    call_bytes: float
    """Bytes of this process that each of those calls takes, about."""

    _ort: Any = field(repr=False)
    """ONNX Runtime's session, or what has its ``run`` in another runtime."""

    def close(self) -> None:
        """Release the model and its memory; the session cannot run afterwards."""
        self._ort = None

    def run(
        self,
        s2: NDArray[np.uint16],
        s1: NDArray[np.int16],
        sun_zenith: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Compute the logits of windows. Threads may share the session.

        Args:
            s2: (N, 9, H, W) DN, reflectance x 10000, bands in the order of ``S2_BANDS``; 0 nodata.
            s1: (N, 2, H, W) gamma0, hundredths of a decibel, VV and VH; -32768 nodata.
            sun_zenith: (N,) degrees, 0 to 90, for a contract that names it; others ignore it.

        Returns:
            (N, K, H / stride, W / stride) logits, K in the order of the contract's classes.

        Raises:
            ModelError: the model failed, or its output does not match its contract.
            DeviceError: the device has too little memory.
            UsageError: the model takes ``sun_zenith``, and it is missing or out of its range.

        """
        composites = {"s2": s2, "s1": s1}
        feeds = {
            name: select_bands(composites[name], name, needed.bands)
            for name, needed in self.contract.inputs.items()
        }
        if SUN_ZENITH in self.contract.scalars:
            feeds[SUN_ZENITH] = self._checked_sun(sun_zenith, len(s2))
        size = self.batch_size
        parts = [
            self._call({name: values[i : i + size] for name, values in feeds.items()})
            for i in range(0, len(s2), size)
        ]
        return np.concatenate(parts)

    def _checked_sun(self, sun_zenith: NDArray[np.float32] | None, n: int) -> NDArray[np.float32]:
        name = self.contract.name
        if sun_zenith is None:
            raise UsageError(
                f"Model {name!r} takes {SUN_ZENITH}, degrees, which is not given for these windows."
            )
        zeniths = np.asarray(sun_zenith, np.float32)
        if zeniths.shape != (n,) or not ((zeniths >= 0) & (zeniths <= 90)).all():
            raise UsageError(
                f"Model {name!r} takes {SUN_ZENITH} as {n} numbers from 0 to 90 degrees; got "
                f"{np.array2string(zeniths, threshold=4)}."
            )
        return zeniths

    @busy("classifying")
    def _call(self, feeds: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Compute the logits of at most ``batch_size`` windows in one call of the runtime."""
        size = self.batch_size
        n, _, height, width = feeds[next(iter(self.contract.inputs))].shape
        padded = {name: _pad_batch(values, size) for name, values in feeds.items()}
        try:
            (logits,) = self._ort.run(["logits"], padded)
        except Exception as error:  # the runtime's exceptions have no common base
            raise self._failure(error) from error
        stride = self.contract.stride
        expected = (size, len(self.contract.classes), height // stride, width // stride)
        if logits.shape != expected:
            raise ModelError(
                f"Model {self.contract.name!r} returned logits of shape {logits.shape}; its "
                f"contract says {expected}. Export the model again."
            )
        if not np.isfinite(logits).all():
            raise ModelError(
                f"Model {self.contract.name!r} returned logits that are NaN or infinite. "
                "If it is an fp16 model, use its fp32 export."
            )
        return np.asarray(logits[:n], np.float32)

    def _failure(self, error: Exception) -> ModelError:
        text = first_line(error)
        if "alloc" in text.lower() or "memory" in text.lower():
            return DeviceError(
                f"The {self.device} has too little memory for this batch ({text}). "
                "Give a smaller --batch-size."
            )
        return ModelError(f"Model {self.contract.name!r} failed on the {self.device}: {text}")


def open_session(
    path: Path,
    *,
    device: Device = "auto",
    threads: int | None = None,
    batch_size: int | None = None,
    at_once: bool = False,
    memory: float | None = None,
) -> Session:
    """Open a model file, ready to run.

    Args:
        path: path of an ONNX file with a contract.
        device: device to run on. If it is not available, ``"auto"`` falls back from CUDA to the CPU
            with a note, and every other fails.
        threads: threads on the CPU; None for as many as this process may use. The result does not
            depend on it.
        batch_size: windows in every call on a GPU, the last padded, because cuDNN and cuBLAS choose
            algorithms by shape; None for as many as the GPU's memory suggests. The CPU takes one
            window at a time, as does a model made for one.
        at_once: whether many windows are to be run, from several threads. Each call on the CPU then
            has one thread, which takes less time than one call after the other with all threads;
            or more, where memory does not take a call for each.
        memory: bytes that this process may take; None for what is free.

    Raises:
        DeviceError: no runtime is installed, or more than one; or the device is not available.
        ModelError: the file is not a usable model.
        OutputError: TensorRT's engines cannot be kept.

    """
    model = read_model(path)
    cores = threads or available_cores()
    calls = _calls_at_once(model, cores, memory) if at_once else 1
    if device == "openvino":
        graph = open_openvino(model, threads=threads, calls=calls)
        return _on_cpu(model, graph, graph.runtime, calls)
    ort = load_runtime()
    reason = None
    if device != "cpu":
        reason = why_no_tensorrt(ort) if device == "tensorrt" else why_no_cuda(ort)
        if reason is None:
            try:
                return _on_gpu(ort, model, device, threads, batch_size)
            except DeviceError as error:
                reason = str(error)
        if device != "auto":
            raise DeviceError(f"--device {device}: {reason}. Or give --device cpu.")
    # The bits of another program's graph may depend on its threads, and not on the memory there is.
    each = cores // calls if model.is_exported or not at_once else 1
    inner = create_inner(ort, model.data, model.path, threads=each, lean=model.is_exported)
    check_graph(model, inner.get_inputs(), inner.get_outputs())
    runtime = f"onnxruntime {ort.__version__}, {inner.get_providers()[0]}"
    session = _on_cpu(model, inner, runtime, calls)
    # without a GPU and software for one, nobody expects it
    if reason is not None and (has_cuda(ort) or has_driver()):
        session.notes = (f"The CPU was used instead of the GPU: {reason}.",)
    return session


def _on_cpu(model: ModelFile, graph: Any, runtime: str, calls: int) -> Session:
    """A session of a graph that was opened on the CPU."""
    return Session(
        contract=model.contract,
        sha256=model.sha256,
        device="cpu",
        runtime=runtime,
        notes=(),
        # On the CPU the last bits of a window's logits change with the batch size (the runtime sums
        # a mean over one window in another order), and a batch is not faster.
        batch_size=1,
        in_flight=calls,
        call_bytes=_call_bytes(model),
        _ort=graph,
    )


def _calls_at_once(model: ModelFile, cores: int, memory: float | None) -> int:
    """Calls on the CPU that cores and memory take."""
    share = _CALLS_SHARE * (free_memory() if memory is None else memory)
    return max(int(min(cores, share / _call_bytes(model))), 1)


def _call_bytes(model: ModelFile) -> float:
    """Bytes of one call on the CPU: more for a network of more weights, which is wider."""
    of_a_pixel = max(_BYTES_PER_PIXEL, _BYTES_PER_PIXEL_AND_WEIGHTS * len(model.data))
    return model.contract.window**2 * of_a_pixel


def _on_gpu(
    ort: ModuleType, model: ModelFile, device: Device, threads: int | None, batch_size: int | None
) -> Session:
    """Open a session on the GPU."""
    opened = open_gpu(
        ort,
        model,
        device="tensorrt" if device == "tensorrt" else "cuda",
        threads=threads,
        batch_size=batch_size,
    )
    return Session(
        contract=model.contract,
        sha256=model.sha256,
        device="cuda",
        runtime=f"onnxruntime {ort.__version__}, {opened.provider}, batches of {opened.batch_size}",
        notes=(),
        batch_size=opened.batch_size,
        in_flight=IN_FLIGHT,
        call_bytes=0.0,
        _ort=opened.graph,
    )


def select_bands(batch: NDArray[Any], name: str, bands: tuple[str, ...]) -> NDArray[Any]:
    """Select the bands a model needs, in its order."""
    ours = _BANDS[name]
    selected = batch if bands == ours else batch[:, [ours.index(band) for band in bands]]
    return np.ascontiguousarray(selected)


def _pad_batch(batch: NDArray[Any], size: int) -> NDArray[Any]:
    """Pad a batch to a fixed size with copies of its last window."""
    if len(batch) == size:
        return batch
    return np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
