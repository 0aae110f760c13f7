"""ONNX Runtime: a model file made ready to run, on the device it really runs on."""

import os
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import DeviceError, ModelError
from lulcmap.model.contract import Contract
from lulcmap.model.file import ModelFile, read_model
from lulcmap.model.runtime import (
    CUDA,
    LOG_FATAL_ONLY,
    first_line,
    has_cuda,
    has_driver,
    load_runtime,
    loader_message,
    why_no_cuda,
)
from lulcmap.sensors import S1_BANDS, S2_BANDS

_CPU = "CPUExecutionProvider"

_CUDA_OPTIONS = {
    "use_tf32": "0",  # 10 bits of mantissa change the map
    "cudnn_conv_algo_search": "HEURISTIC",  # a timed search picks another algorithm each run
}

_DTYPES = {"uint16": "tensor(uint16)", "int16": "tensor(int16)"}
_BANDS = {"s2": S2_BANDS, "s1": S1_BANDS}


@dataclass(slots=True)
class Session:
    """A model ready to run."""

    contract: Contract
    """What the model says of itself."""

    sha256: str
    """Of the model file, 64 hexadecimal digits."""

    device: Literal["cpu", "cuda"]
    """What it really runs on."""

    runtime: str
    """Name and version of the runtime, and the provider that computes."""

    notes: tuple[str, ...]
    """What the report should say, such as why ``auto`` did not get the GPU."""

    batch_size: int
    """Windows in every call of the runtime, short ones filled up; 1 on the CPU."""

    _ort: Any = field(repr=False)

    def close(self) -> None:
        """Let go of the model and its memory; nothing can be run afterwards."""
        self._ort = None

    def run(self, s2: NDArray[np.uint16], s1: NDArray[np.int16]) -> NDArray[np.float32]:
        """The logits of some windows. May be called from several threads.

        Args:
            s2: (N, 9, H, W) DN, reflectance x 10000, bands in the order of ``S2_BANDS``; 0 nodata.
            s1: (N, 2, H, W) gamma0, hundredths of a decibel, VV and VH; -32768 nodata.

        Returns:
            (N, K, H / stride, W / stride), K in the order of the contract's classes.

        Raises:
            ModelError: the model failed, or gave something else than its contract says.
            DeviceError: the device has too little memory.

        """
        given = {"s2": s2, "s1": s1}
        feeds = {
            name: _select_bands(given[name], name, wanted.bands)
            for name, wanted in self.contract.inputs.items()
        }
        size = self.batch_size
        parts = [
            self._call({name: values[i : i + size] for name, values in feeds.items()})
            for i in range(0, len(s2), size)
        ]
        return np.concatenate(parts)

    def _call(self, feeds: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        """The logits of one call of the runtime, of at most ``batch_size`` windows."""
        size = self.batch_size
        n, _, height, width = next(iter(feeds.values())).shape
        filled = {name: _pad_batch(values, size) for name, values in feeds.items()}
        try:
            (logits,) = self._ort.run(["logits"], filled)
        except Exception as error:  # the runtime's exceptions have no base of their own
            raise self._failure(error) from error
        stride = self.contract.stride
        expected = (size, len(self.contract.classes), height // stride, width // stride)
        if logits.shape != expected:
            raise ModelError(
                f"Model {self.contract.name!r} gave logits of shape {logits.shape}; its contract "
                f"says {expected}. Export the model again."
            )
        if not np.isfinite(logits).all():
            raise ModelError(
                f"Model {self.contract.name!r} gave logits that are no numbers. "
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
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int | None = None,
    batch_size: int = 4,
) -> Session:
    """A model file, ready to run.

    Args:
        path: an ONNX file with a contract.
        device: where CUDA cannot be had, ``"cuda"`` fails and ``"auto"`` takes the CPU and says so.
        threads: of one call on the CPU; None: as many as this process may use. The result does not
            depend on it.
        batch_size: windows in every call on a GPU, the last filled up, because cuDNN and cuBLAS
            choose algorithms by shape. The CPU takes one window at a time.

    Raises:
        DeviceError: there is no runtime, or more than one; or CUDA was asked for and cannot be had.
        ModelError: the file is no model that lulcmap can use.

    """
    model = read_model(path)
    ort = load_runtime()
    reason = None if device == "cpu" else why_no_cuda(ort)
    inner = None
    if device != "cpu" and reason is None:
        inner, reason = _create_on_cuda(ort, model, threads=threads)
    if inner is None:
        if device == "cuda":
            raise DeviceError(f"--device cuda: {reason}. Or give --device cpu.")
        inner = _create(ort, model, [_CPU], threads=threads)
    _check_graph(model, inner)
    provider = inner.get_providers()[0]
    on_cuda = provider == CUDA
    # where there is no GPU, and no software for one, nobody expects it
    fell_back = device == "auto" and not on_cuda and (has_cuda(ort) or has_driver())
    return Session(
        contract=model.contract,
        sha256=model.sha256,
        device="cuda" if on_cuda else "cpu",
        runtime=f"onnxruntime {ort.__version__}, {provider}",
        notes=(f"The CPU was used instead of the GPU: {reason}.",) if fell_back else (),
        # On the CPU the last bits of a window's logits change with the size of its batch (a mean
        # over one window is added up in another order), and a batch is no faster.
        batch_size=batch_size if on_cuda else 1,
        _ort=inner,
    )


def _select_bands(given: NDArray[Any], name: str, bands: tuple[str, ...]) -> NDArray[Any]:
    """The bands a model wants, in its order."""
    ours = _BANDS[name]
    chosen = given if bands == ours else given[:, [ours.index(band) for band in bands]]
    return np.ascontiguousarray(chosen)


def _pad_batch(batch: NDArray[Any], size: int) -> NDArray[Any]:
    """A batch filled up to the fixed size with copies of its last window."""
    if len(batch) == size:
        return batch
    return np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])


def _create_on_cuda(
    ort: ModuleType, model: ModelFile, *, threads: int | None
) -> tuple[Any | None, str | None]:
    """A session on CUDA, or why there is none."""
    if hasattr(ort, "preload_dlls"):
        with redirect_stdout(StringIO()):  # it prints what it does not find
            ort.preload_dlls(directory="")  # the CUDA wheels of lulcmap[gpu], not those of a torch
    try:
        inner = _create(ort, model, [(CUDA, _CUDA_OPTIONS), _CPU], threads=threads)
    except DeviceError as error:
        return None, str(error)
    if inner.get_providers()[0] == CUDA:
        return inner, None
    return None, f"ONNX Runtime could not load CUDA ({loader_message(ort)})"


def _create(ort: ModuleType, model: ModelFile, providers: list[Any], *, threads: int | None) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = LOG_FATAL_ONLY
    options.use_deterministic_compute = True
    options.intra_op_num_threads = threads or _available_cores()
    options.inter_op_num_threads = 1
    # threads that wait by spinning take the cores from those that read and composite
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        # without enable_fallback=0 a failing GPU is printed about on stdout, then left silently
        return ort.InferenceSession(model.data, options, providers=providers, enable_fallback=0)
    except Exception as error:  # the runtime's exceptions have no base of their own
        if providers[0] != _CPU:
            raise DeviceError(first_line(error)) from error
        raise ModelError(
            f"{model.path} cannot be run by ONNX Runtime {ort.__version__}: {first_line(error)} "
            "Export it again (opset 20), or update the runtime."
        ) from error


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_graph(model: ModelFile, inner: Any) -> None:
    """See that the graph is what the contract says."""
    contract = model.contract
    inputs = {value.name: value for value in inner.get_inputs()}
    if set(inputs) != set(contract.inputs):
        _refuse(model, f"takes {_names(inputs)}", f"{_names(contract.inputs)}")
    sizes = {0: "windows a batch", 2: "rows", 3: "columns"}
    for name, wanted in contract.inputs.items():
        value = inputs[name]
        if value.type != _DTYPES[wanted.dtype]:
            _refuse(model, f"takes {name} as {value.type}", _DTYPES[wanted.dtype])
        if len(value.shape) != 4:
            _refuse(model, f"takes {name} with {len(value.shape)} axes", "4 (N, bands, H, W)")
        if value.shape[1] != len(wanted.bands):
            _refuse(
                model, f"takes {name} with {value.shape[1]} bands", f"{len(wanted.bands)} of them"
            )
        for axis, what in sizes.items():
            fixed = value.shape[axis]
            if isinstance(fixed, int) and (axis == 0 or fixed != contract.window):
                _refuse(model, f"takes {name} with {fixed} {what}", "any number, or a window's")
    outputs = {value.name: value for value in inner.get_outputs()}
    if "logits" not in outputs:
        _refuse(model, f"gives {_names(outputs)}", "logits")
    logits = outputs["logits"]
    if logits.type not in ("tensor(float)", "tensor(float16)"):
        _refuse(model, f"gives logits as {logits.type}", "tensor(float) or tensor(float16)")
    classes = logits.shape[1] if len(logits.shape) == 4 else None
    if isinstance(classes, int) and classes != len(contract.classes):
        _refuse(model, f"gives {classes} classes", f"{len(contract.classes)} of them")


def _names(values: Any) -> str:
    return ", ".join(sorted(values)) or "nothing"


def _refuse(model: ModelFile, found: str, expected: str) -> None:
    raise ModelError(
        f"The graph of model {model.contract.name!r} {found}; its contract says {expected}. "
        "Export the model again: lulcmap export-onnx."
    )
