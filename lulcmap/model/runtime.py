"""Import ONNX Runtime, check whether it can use CUDA, and open models in it."""

import ctypes
import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from lulcmap.errors import DeviceError, ModelError
from lulcmap.model.lean.rewrite import lean_graph
from lulcmap.system import available_cores

CPU = "CPUExecutionProvider"
"""Name of the CPU's execution provider in ONNX Runtime."""

CUDA = "CUDAExecutionProvider"
"""Name of the CUDA execution provider in ONNX Runtime."""

TENSORRT = "TensorrtExecutionProvider"
"""Name of the TensorRT execution provider in ONNX Runtime."""

LOG_FATAL_ONLY = 4
"""Log severity of ONNX Runtime, fatal errors only: other errors are raised, as one line."""

_DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-rocm",
    "onnxruntime-migraphx",
    "onnxruntime-training",
    "ort-nightly",
    "ort-nightly-gpu",
)
"""Distributions on PyPI that install a module ``onnxruntime``, each over the others' files."""


def load_runtime() -> ModuleType:
    """Import the module ``onnxruntime``.

    Raises:
        DeviceError: it is not installed, or more than one distribution installed it.

    """
    installed = [name for name in _DISTRIBUTIONS if _is_installed(name)]
    if len(installed) > 1:
        raise DeviceError(
            f"{' and '.join(installed)} are installed together and overwrite each other. "
            f"Uninstall all (pip uninstall {' '.join(installed)}), then pip install lulcmap[cpu] "
            "or lulcmap[gpu]."
        )
    try:
        import onnxruntime
    except ImportError as error:
        raise DeviceError(
            f"ONNX Runtime cannot be imported ({first_line(error)}). Install it: "
            "pip install lulcmap[cpu], or lulcmap[gpu] for an NVIDIA GPU."
        ) from error
    onnxruntime.set_default_logger_severity(LOG_FATAL_ONLY)
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def create_inner(
    ort: ModuleType,
    data: bytes,
    path: Path,
    *,
    providers: Sequence[Any] = (CPU,),
    threads: int | None = None,
    sizes: Mapping[str, int] = MappingProxyType({}),
    lean: bool = False,
) -> Any:
    """Open a model in ONNX Runtime, set so that its result does not depend on the run.

    Args:
        ort: the module ``onnxruntime``.
        data: the model.
        path: path of its file, for messages.
        providers: execution providers, the preferred one first.
        threads: threads of one call; None for as many as this process may use.
        sizes: sizes of the graph's free axes by their names, for a provider that needs them.
        lean: whether the CPU may run a leaner graph of the same function. Graphs of other programs
            run as they are: no rule is proof against all that a graph can mean.

    Raises:
        DeviceError: the first provider, not the CPU's, is not available.
        ModelError: the runtime cannot run the model.

    """
    options = ort.SessionOptions()
    options.log_severity_level = LOG_FATAL_ONLY
    options.use_deterministic_compute = True
    options.intra_op_num_threads = threads or available_cores()
    options.inter_op_num_threads = 1
    # spinning threads take cores from those that read and composite
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # the file was checked as ONNX, and is not to be taken for another format
    options.add_session_config_entry("session.load_model_format", "ONNX")
    for name, size in sizes.items():
        options.add_free_dimension_override_by_name(name, size)
    if lean and tuple(providers) == (CPU,):
        with suppress(Exception):  # it lacks an operator of its own: it gets the graph as it is
            return ort.InferenceSession(lean_graph(data), options, providers=[CPU])
    try:
        # without enable_fallback=0 a GPU failure is printed to stdout, then ignored
        return ort.InferenceSession(data, options, providers=list(providers), enable_fallback=0)
    except Exception as error:  # the runtime's exceptions have no common base
        if providers[0] != CPU:
            raise DeviceError(first_line(error)) from error
        raise ModelError(
            f"ONNX Runtime {ort.__version__} cannot run {path}: {first_line(error)} "
            "Export it again (opset 20), or update the runtime."
        ) from error


def why_no_cuda(ort: ModuleType) -> str | None:
    """Return why CUDA is not available, as far as is known without a session; else None."""
    if not has_cuda(ort):
        return "the installed ONNX Runtime has no CUDA; pip install lulcmap[gpu] instead"
    if not has_driver():
        return "no NVIDIA driver was found on this machine"
    return None


def why_no_tensorrt(ort: ModuleType) -> str | None:
    """Return why TensorRT is not available, as far as is known without a session; else None."""
    if TENSORRT not in ort.get_available_providers():
        return "the installed ONNX Runtime has no TensorRT; pip install lulcmap[gpu] instead"
    return why_no_cuda(ort)


def has_cuda(ort: ModuleType) -> bool:
    """Tell whether the runtime was built with CUDA, even if CUDA cannot be loaded."""
    return CUDA in ort.get_available_providers()


def has_driver() -> bool:
    """Tell whether an NVIDIA driver can be loaded; fast, and prints nothing."""
    try:
        ctypes.CDLL("libcuda.so.1" if os.name == "posix" else "nvcuda.dll")
    except OSError:
        return False
    return True


def loader_message(ort: ModuleType, provider: str = "cuda") -> str:
    """Return the system's error for a provider's library that ONNX Runtime skipped silently."""
    folder = Path(str(ort.__file__)).parent / "capi"
    name = f"onnxruntime_providers_{provider}"
    library = folder / (f"lib{name}.so" if os.name == "posix" else f"{name}.dll")
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        return first_line(error)
    return "no reason was given"


def first_line(error: BaseException) -> str:
    """Return the first line of an error, or else its type; the runtime's errors span pages."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].removeprefix("[ONNXRuntimeError] : ")
