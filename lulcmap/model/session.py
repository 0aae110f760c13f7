"""Open a model file in ONNX Runtime and run it, on the device it really gets."""

import os
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import DeviceError, ModelError, UsageError
from lulcmap.model.contract import SUN_ZENITH, Contract
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
from lulcmap.system import busy

_CPU = "CPUExecutionProvider"

_CUDA_OPTIONS = {
    "use_tf32": "0",  # its 10-bit mantissa changes the map
    "cudnn_conv_algo_search": "HEURISTIC",  # a timed search may pick another algorithm each run
}

_DTYPES = {"uint16": "tensor(uint16)", "int16": "tensor(int16)"}
_BANDS = {"s2": S2_BANDS, "s1": S1_BANDS}


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

    _ort: Any = field(repr=False)

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
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int | None = None,
    batch_size: int = 4,
) -> Session:
    """Open a model file, ready to run.

    Args:
        path: path of an ONNX file with a contract.
        device: device to run on. If CUDA is not available, ``"cuda"`` fails and ``"auto"`` falls
            back to the CPU with a note.
        threads: threads of one call on the CPU; None for as many as this process may use. The
            result does not depend on it.
        batch_size: windows in every call on a GPU, the last padded, because cuDNN and cuBLAS choose
            algorithms by shape. The CPU takes one window at a time, as does a model made for one.

    Raises:
        DeviceError: no runtime is installed, or more than one; or ``"cuda"`` is not available.
        ModelError: the file is not a usable model.

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
        inner = create_inner(ort, model.data, model.path, threads=threads)
    _check_graph(model, inner)
    takes_one = any(value.shape[0] == 1 for value in inner.get_inputs())
    provider = inner.get_providers()[0]
    on_cuda = provider == CUDA
    # without a GPU and software for one, nobody expects it
    fell_back = device == "auto" and not on_cuda and (has_cuda(ort) or has_driver())
    return Session(
        contract=model.contract,
        sha256=model.sha256,
        device="cuda" if on_cuda else "cpu",
        runtime=f"onnxruntime {ort.__version__}, {provider}",
        notes=(f"The CPU was used instead of the GPU: {reason}.",) if fell_back else (),
        # On the CPU the last bits of a window's logits change with the batch size (the runtime sums
        # a mean over one window in another order), and a batch is not faster.
        batch_size=batch_size if on_cuda and not takes_one else 1,
        _ort=inner,
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


def _create_on_cuda(
    ort: ModuleType, model: ModelFile, *, threads: int | None
) -> tuple[Any | None, str | None]:
    """Create a session on CUDA; return it, or None and the reason."""
    if hasattr(ort, "preload_dlls"):
        with redirect_stdout(StringIO()):  # it prints the libraries it does not find
            ort.preload_dlls(directory="")  # the CUDA wheels of lulcmap[gpu], not those of a torch
    try:
        inner = create_inner(
            ort, model.data, model.path, providers=[(CUDA, _CUDA_OPTIONS), _CPU], threads=threads
        )
    except DeviceError as error:
        return None, str(error)
    if inner.get_providers()[0] == CUDA:
        return inner, None
    return None, f"ONNX Runtime could not load CUDA ({loader_message(ort)})"


def create_inner(
    ort: ModuleType,
    data: bytes,
    path: Path,
    *,
    providers: Sequence[Any] = (_CPU,),
    threads: int | None = None,
) -> Any:
    """Open a model in ONNX Runtime, set so that its result does not depend on the run.

    Args:
        ort: the module ``onnxruntime``.
        data: the model.
        path: path of its file, for messages.
        providers: execution providers, the preferred one first.
        threads: threads of one call; None for as many as this process may use.

    Raises:
        DeviceError: the first provider, not the CPU's, is not available.
        ModelError: the runtime cannot run the model.

    """
    options = ort.SessionOptions()
    options.log_severity_level = LOG_FATAL_ONLY
    options.use_deterministic_compute = True
    options.intra_op_num_threads = threads or _available_cores()
    options.inter_op_num_threads = 1
    # spinning threads take cores from those that read and composite
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # the file was checked as ONNX, and is not to be taken for another format
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        # without enable_fallback=0 a GPU failure is printed to stdout, then ignored
        return ort.InferenceSession(data, options, providers=list(providers), enable_fallback=0)
    except Exception as error:  # the runtime's exceptions have no common base
        if providers[0] != _CPU:
            raise DeviceError(first_line(error)) from error
        raise ModelError(
            f"ONNX Runtime {ort.__version__} cannot run {path}: {first_line(error)} "
            "Export it again (opset 20), or update the runtime."
        ) from error


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_graph(model: ModelFile, inner: Any) -> None:
    """Check that the graph matches the contract."""
    contract = model.contract
    inputs = {value.name: value for value in inner.get_inputs()}
    named = {*contract.inputs, *contract.scalars}
    if set(inputs) != named:
        _refuse(model, f"takes {_names(inputs)}", _names(named))
    sizes = {0: "batch size", 2: "height", 3: "width"}
    for name, expected in contract.inputs.items():
        value = inputs[name]
        if value.type != _DTYPES[expected.dtype]:
            _refuse(model, f"takes {name} as {value.type}", _DTYPES[expected.dtype])
        if len(value.shape) != 4:
            _refuse(model, f"takes {name} with {len(value.shape)} axes", "4 (N, bands, H, W)")
        if value.shape[1] != len(expected.bands):
            _refuse(model, f"takes {name} with {value.shape[1]} bands", f"{len(expected.bands)}")
        for axis, size in sizes.items():
            fixed = value.shape[axis]
            allowed = 1 if axis == 0 else contract.window
            if isinstance(fixed, int) and fixed != allowed:
                _refuse(model, f"fixes the {size} of {name} at {fixed}", f"any, or {allowed}")
    for name in contract.scalars:
        value = inputs[name]
        if value.type != "tensor(float)":
            _refuse(model, f"takes {name} as {value.type}", "tensor(float)")
        if len(value.shape) != 1:
            _refuse(model, f"takes {name} with {len(value.shape)} axes", "1 (N)")
        if isinstance(value.shape[0], int) and value.shape[0] != 1:
            _refuse(model, f"fixes the batch size of {name} at {value.shape[0]}", "any, or 1")
    outputs = {value.name: value for value in inner.get_outputs()}
    if "logits" not in outputs:
        _refuse(model, f"returns {_names(outputs)}", "logits")
    logits = outputs["logits"]
    if logits.type not in ("tensor(float)", "tensor(float16)"):
        _refuse(model, f"returns logits as {logits.type}", "tensor(float) or tensor(float16)")
    classes = logits.shape[1] if len(logits.shape) == 4 else None
    if isinstance(classes, int) and classes != len(contract.classes):
        _refuse(model, f"returns {classes} classes", f"{len(contract.classes)}")


def _names(values: Any) -> str:
    return ", ".join(sorted(values)) or "nothing"


def _refuse(model: ModelFile, problem: str, expected: str) -> None:
    raise ModelError(
        f"The graph of model {model.contract.name!r} {problem}; its contract says {expected}. "
        "Export the model again: lulcmap export-onnx."
    )
