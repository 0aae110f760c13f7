"""Checks of the installed software: each library is tried.

Compiled libraries are imported inside their own check, because they may be what is broken.
"""

import ctypes
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from lulcmap import __version__
from lulcmap.catalog import CDSE
from lulcmap.doctor.check import Finding, names_with_verb
from lulcmap.errors import DeviceError
from lulcmap.model import find_model, has_cuda, has_driver, load_runtime, shipped_models
from lulcmap.system import ignored_proj_variables, proj_remedy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lulcmap.model import Device, Session

_DATA_VARIABLES = ("PROJ_LIB", "PROJ_DATA", "GDAL_DATA")
"""Variables that point PROJ and GDAL to other data than that of their wheels. Installers of other
GIS software set them for all programs, and data of another version cannot be read."""

_OTHER_CLASSES = 0.01
"""Share of classes that another runtime may give otherwise: a tie is one of 256 cells."""

_KNOWN_POINTS = {
    "EPSG:32632": ((9.0, 45.0), (500000.0, 4982950.4)),
    "EPSG:3035": ((10, 52), (4321e3, 321e4)),
}
"""Known points by CRS: longitude and latitude, easting and northing. They are zone 32's central
meridian half-way to the pole (its arc there, 4,984,944.4 m on WGS 84, times 0.9996) and the origin
of ETRS89-LAEA."""


def python() -> Finding:
    """The Python interpreter and lulcmap."""
    system = f"{platform.system()} {platform.machine()}"
    return "ok", f"Python {platform.python_version()}, lulcmap {__version__}, on {system}"


def compiler() -> Finding:
    """Whether numba compiles, and caches compiled code."""
    import numba
    import numpy as np

    from lulcmap.system import compiled

    total: Any = compiled(_sum)
    versions = f"numba {numba.__version__}, numpy {np.__version__}"
    if total(np.arange(5)) != 10:
        return "wrong", f"{versions}: a compiled sum is wrong. Reinstall numba and numpy."
    if total.stats.cache_path is None:
        return "note", (
            f"{versions}: compiled code cannot be cached, so every run compiles for half a minute. "
            "Set NUMBA_CACHE_DIR to a writable folder."
        )
    return "ok", versions


def _sum(values: Sequence[int]) -> int:
    total = 0
    for value in values:
        total += value
    return total


def gdal() -> Finding:
    """GDAL's drivers; a map is written and read back in memory."""
    import numpy as np
    import rasterio
    from rasterio.io import MemoryFile

    versions = f"GDAL {rasterio.__gdal_version__}, rasterio {rasterio.__version__}"
    with rasterio.Env() as env:
        drivers = env.drivers()
    missing = [name for name in ("GTiff", "COG") if name not in drivers]
    if missing:
        return "wrong", f"{versions} lacks {' and '.join(missing)}. Install rasterio from PyPI."
    pixels = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    with MemoryFile() as file:
        options = {"driver": "COG", "compress": "deflate", "dtype": "uint8", "count": 1}
        options["transform"] = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
        with file.open(height=64, width=64, **options) as target:
            target.write(pixels, 1)
        with file.open() as source:
            same = np.array_equal(source.read(1), pixels)
    if not same:
        return (
            "wrong",
            f"{versions}: pixels read back differ from those written. Reinstall rasterio.",
        )
    if "JP2OpenJPEG" not in drivers:
        return "note", f"{versions} lacks JP2OpenJPEG, so files from {CDSE.name} cannot be read."
    return "ok", f"{versions}: GeoTIFF, COG, JPEG 2000"


def proj_of_pyproj() -> Finding:
    """The copy of PROJ in pyproj, which projects areas."""
    import pyproj

    def project(crs: str, lon: float, lat: float) -> tuple[float, float]:
        x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
        return float(x), float(y)

    return _check_proj(f"PROJ {pyproj.proj_version_str} in pyproj {pyproj.__version__}", project)


def proj_of_rasterio() -> Finding:
    """The copy of PROJ in rasterio, which projects pixels."""
    import rasterio
    from rasterio.warp import transform

    def project(crs: str, lon: float, lat: float) -> tuple[float, float]:
        xs, ys = transform("EPSG:4326", crs, [lon], [lat])
        return float(xs[0]), float(ys[0])

    return _check_proj(
        f"PROJ {rasterio.__proj_version__} in rasterio {rasterio.__version__}", project
    )


def _check_proj(
    versions: str, project: Callable[[str, float, float], tuple[float, float]]
) -> Finding:
    """Compare projected coordinates with known ones, to the centimetre."""
    cause = proj_remedy(_DATA_VARIABLES)
    for crs, ((lon, lat), expected) in _KNOWN_POINTS.items():
        try:
            x, y = project(crs, lon, lat)
        except Exception as error:  # both raise many kinds
            message = (str(error).splitlines() or [type(error).__name__])[0]
            return "wrong", f"{versions}: {crs} is unusable ({message}). {cause}"
        if not (abs(x - expected[0]) < 0.01 and abs(y - expected[1]) < 0.01):
            return (
                "wrong",
                f"{versions}: a point in {crs} is misplaced, at {x:.2f}, {y:.2f}. {cause}",
            )
    if overrides := [name for name in _DATA_VARIABLES if os.environ.get(name)]:
        return "note", (
            f"{versions}: correct, but {names_with_verb(overrides)} set; other data may be used."
        )
    if ignored := ignored_proj_variables():
        return (
            "note",
            f"{versions}: correct; {names_with_verb(ignored)} set, which lulcmap ignores.",
        )
    return "ok", f"{versions}: EPSG:32632 and EPSG:3035 to the centimetre"


def runtime() -> Finding:
    """ONNX Runtime, and the device on which the default model ran."""
    load_runtime()  # report a missing or duplicate runtime before looking for the model
    session, _ = _tested_session()
    if session.notes:
        return "note", f"{session.runtime}. {' '.join(session.notes)}"
    return "ok", f"{session.runtime}: the default model ran on the {session.device}"


def _tested_session(device: "Device" = "auto") -> "tuple[Session, NDArray[Any]]":
    """A session of the default model, tested by one small run; with the classes it gave."""
    import numpy as np

    from lulcmap.model import open_session

    rng = np.random.default_rng(0)
    session = open_session(find_model(None), device=device)
    logits = session.run(
        rng.integers(1, 6000, (1, 9, 64, 64), dtype=np.uint16),
        rng.integers(-3000, 200, (1, 2, 64, 64), dtype=np.int16),
        np.ones(1, np.float32),
    )
    return session, logits.argmax(axis=1)


def openvino() -> Finding:
    """OpenVINO, if it is installed: whether the default model gives the same classes in it."""
    if find_spec("openvino") is None:
        return "ok", "Not installed, and not needed; lulcmap[openvino] adds --device openvino."
    session, classes = _tested_session("openvino")
    try:
        _, expected = _tested_session("cpu")
    except DeviceError:
        return "skipped", f"{session.runtime}: fix ONNX Runtime first, to compare with it."
    if (share := float((classes != expected).mean())) > _OTHER_CLASSES:
        return "wrong", (
            f"{session.runtime}: {share:.1%} of the default model's classes differ from those of "
            "ONNX Runtime. Update OpenVINO, or do without --device openvino."
        )
    return "ok", f"{session.runtime}: the default model gives the classes of ONNX Runtime"


def cuda() -> Finding:
    """Whether ONNX Runtime, the driver and CUDA fit together."""
    try:
        ort = load_runtime()
    except DeviceError:
        return "skipped", "Fix ONNX Runtime first."
    if not has_driver():
        if has_cuda(ort):
            return "note", (
                "ONNX Runtime is built for CUDA, but no NVIDIA driver was found: the CPU is used. "
                "In a container, start it with the GPU: docker run --gpus all."
            )
        return "ok", "No NVIDIA driver found, and none is needed: maps are made on the CPU."
    driver = _driver_name()
    if not has_cuda(ort):
        return "note", (
            f"Found {driver}, but ONNX Runtime has no CUDA. To use it: pip uninstall "
            "onnxruntime, then pip install lulcmap[gpu]."
        )
    built = str(getattr(ort, "cuda_version", ""))
    pair = f"{driver}; ONNX Runtime {ort.__version__} is built for CUDA {built or 'unknown'}"
    session, _ = _tested_session()
    if session.device == "cuda":
        return "ok", pair
    driver_cuda = _cuda_of_driver()
    if built and driver_cuda and driver_cuda[0] < int(built.split(".")[0]):
        return "wrong", (
            f"{pair}, but the driver supports CUDA {driver_cuda[0]}.{driver_cuda[1]} at most. "
            "Update it, or pip uninstall onnxruntime-gpu and pip install lulcmap[gpu-cuda12]."
        )
    return "wrong", f"{pair}, but it is not usable. {' '.join(session.notes)}"


def _driver_name() -> str:
    """The GPU and its driver's version, if nvidia-smi reports them."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            query, capture_output=True, text=True, timeout=20, check=True
        ).stdout
        name, version = answer.splitlines()[0].split(",")
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return "an NVIDIA driver"
    return f"{name.strip()}, driver {version.strip()}"


def _cuda_of_driver() -> tuple[int, int] | None:
    """The newest CUDA version that the driver supports, major and minor."""
    version = ctypes.c_int()
    library = ctypes.CDLL("libcuda.so.1" if os.name == "posix" else "nvcuda.dll")
    if library.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return None
    return version.value // 1000, version.value % 1000 // 10


def models() -> Finding:
    """Whether the shipped models are present and unchanged."""
    names = [model.name for model in shipped_models()]
    if not names:
        return "wrong", "No model is shipped. Reinstall lulcmap, or give predict a --model FILE."
    for name in names:
        find_model(name)  # raises an error that says what is wrong
    return "ok", f"{', '.join(names)}: sha256 as shipped"
