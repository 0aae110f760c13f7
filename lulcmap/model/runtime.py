"""ONNX Runtime as it is installed here: whether it can be used, and whether CUDA can."""

import ctypes
import importlib.metadata
import os
from pathlib import Path
from types import ModuleType

from lulcmap.errors import DeviceError

CUDA = "CUDAExecutionProvider"
"""ONNX Runtime's name for it."""

LOG_FATAL_ONLY = 4
"""Log severity, fatal only: what goes wrong is raised, as one line."""

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
"""Everything on PyPI that installs a module ``onnxruntime``: each overwrites the other's files."""


def load_runtime() -> ModuleType:
    """The module ``onnxruntime``.

    Raises:
        DeviceError: it is not installed, or by more than one distribution.

    """
    installed = [name for name in _DISTRIBUTIONS if _is_installed(name)]
    if len(installed) > 1:
        raise DeviceError(
            f"{' and '.join(installed)} are installed together and overwrite each other. "
            f"Remove them all (pip uninstall {' '.join(installed)}), then pip install "
            "lulcmap[cpu] or lulcmap[gpu]."
        )
    try:
        import onnxruntime
    except ImportError as error:
        raise DeviceError(
            f"ONNX Runtime cannot be imported ({first_line(error)}). "
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
    """Why CUDA cannot be had, as far as can be told before a session is made; else None."""
    if not has_cuda(ort):
        return "the installed ONNX Runtime has no CUDA; pip install lulcmap[gpu] in its place"
    if not has_driver():
        return "no NVIDIA driver was found on this machine"
    return None


def has_cuda(ort: ModuleType) -> bool:
    """Whether the runtime was built with CUDA; it says so also where CUDA cannot be loaded."""
    return CUDA in ort.get_available_providers()


def has_driver() -> bool:
    """Whether an NVIDIA driver can be loaded: quick, and silent."""
    try:
        ctypes.CDLL("libcuda.so.1" if os.name == "posix" else "nvcuda.dll")
    except OSError:
        return False
    return True


def loader_message(ort: ModuleType) -> str:
    """What the system says of the library that ONNX Runtime skipped without a word."""
    folder = Path(str(ort.__file__)).parent / "capi"
    name = "onnxruntime_providers_cuda"
    library = folder / (f"lib{name}.so" if os.name == "posix" else f"{name}.dll")
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        return first_line(error)
    return "no reason was given"


def first_line(error: BaseException) -> str:
    """What an error says first, or else its name; the runtime's errors go on for pages."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].removeprefix("[ONNXRuntimeError] : ")
