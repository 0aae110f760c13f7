"""Import ONNX Runtime and check whether it can use CUDA."""

import ctypes
import importlib.metadata
import os
from pathlib import Path
from types import ModuleType

from lulcmap.errors import DeviceError

CUDA = "CUDAExecutionProvider"
"""Name of the CUDA execution provider in ONNX Runtime."""

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
    return onnxruntime


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def why_no_cuda(ort: ModuleType) -> str | None:
    """Return why CUDA is not available, as far as is known without a session; else None."""
    if not has_cuda(ort):
        return "the installed ONNX Runtime has no CUDA; pip install lulcmap[gpu] instead"
    if not has_driver():
        return "no NVIDIA driver was found on this machine"
    return None


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


def loader_message(ort: ModuleType) -> str:
    """Return the system's error for the CUDA library that ONNX Runtime skipped silently."""
    folder = Path(str(ort.__file__)).parent / "capi"
    name = "onnxruntime_providers_cuda"
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
