"""Run a model in OpenVINO, on the CPU: the same labels in less time, and never the default."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import DeviceError, ModelError
from lulcmap.model.file import ModelFile
from lulcmap.model.graph_check import check_graph
from lulcmap.model.runtime import first_line
from lulcmap.system import available_cores

_TELEMETRY = "openvino_telemetry"

_TYPES = {
    "u16": "tensor(uint16)",
    "i16": "tensor(int16)",
    "f32": "tensor(float)",
    "f16": "tensor(float16)",
}
"""OpenVINO's names of types, and ONNX Runtime's."""


@dataclass(frozen=True, slots=True)
class _Value:
    """An input or output of the graph: a ``GraphValue``."""

    name: str
    type: str
    shape: Sequence[int | None]


@dataclass(slots=True)
class OpenVinoGraph:
    """A graph in OpenVINO, compiled for each shape of its inputs that it meets."""

    runtime: str
    """Name and version of the runtime, and its device."""

    _core: Any
    _data: bytes
    _threads: int
    _calls: int
    _compiled: dict[tuple[tuple[int, ...], ...], tuple[Any, list[Any]]]
    """By the shapes of the inputs, the compiled graph and its idle requests."""
    _lock: Lock

    def run(self, _: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Compute the logits, as ONNX Runtime's session does. Threads may share the graph.

        Raises:
            RuntimeError: OpenVINO failed; the message is one line.

        """
        try:
            compiled, idle = self._compile({name: batch.shape for name, batch in feeds.items()})
            try:
                request = idle.pop()
            except IndexError:
                request = compiled.create_infer_request()
            logits = request.infer(dict(feeds), share_inputs=True)["logits"]
        except Exception as error:  # OpenVINO raises RuntimeError, pybind its own kinds
            raise RuntimeError(_reason(error)) from error
        idle.append(request)
        return [np.asarray(logits)]

    def _compile(self, shapes: Mapping[str, tuple[int, ...]]) -> tuple[Any, list[Any]]:
        key = tuple(shapes[name] for name in sorted(shapes))
        with self._lock:
            if key not in self._compiled:
                model = self._core.read_model(self._data)
                model.reshape({name: list(shape) for name, shape in shapes.items()})
                self._compiled[key] = (
                    self._core.compile_model(
                        model,
                        "CPU",
                        {
                            "INFERENCE_PRECISION_HINT": "f32",  # else bf16 where the CPU has it
                            "INFERENCE_NUM_THREADS": self._threads,
                            "NUM_STREAMS": self._calls,
                            "ENABLE_CPU_PINNING": False,  # cores are shared with readers
                        },
                    ),
                    [],
                )
            return self._compiled[key]


def open_openvino(model: ModelFile, *, threads: int | None, calls: int = 1) -> OpenVinoGraph:
    """Open a model file in OpenVINO.

    Args:
        model: the model file.
        threads: threads of all calls; None for as many as this process may use.
        calls: calls that are made at once, from as many threads.

    Raises:
        DeviceError: OpenVINO is not installed.
        ModelError: it cannot run the model, or the graph is not what the contract says.

    """
    openvino = load_openvino()
    version = openvino.__version__.split("-")[0]
    contract = model.contract
    shapes: dict[str, tuple[int, ...]] = {
        name: (1, len(needed.bands), contract.window, contract.window)
        for name, needed in contract.inputs.items()
    }
    shapes |= dict.fromkeys(contract.scalars, (1,))
    try:
        core = openvino.Core()
        graph = core.read_model(model.data)
        inputs, outputs = _values(graph.inputs), _values(graph.outputs)
    except Exception as error:  # OpenVINO raises RuntimeError, pybind its own kinds
        raise _unusable(model, version, error) from error
    check_graph(model, inputs, outputs)
    opened = OpenVinoGraph(
        runtime=f"openvino {version}, CPU",
        _core=core,
        _data=model.data,
        _threads=threads or available_cores(),
        _calls=calls,
        _compiled={},
        _lock=Lock(),
    )
    try:
        opened._compile(shapes)
    except Exception as error:  # as above
        raise _unusable(model, version, error) from error
    return opened


def load_openvino() -> ModuleType:
    """Import the module ``openvino``, without its telemetry.

    Raises:
        DeviceError: it cannot be imported.

    """
    # Importing OpenVINO reports the import to its makers, unless its package of telemetry is
    # missing: so it is, for the moment.
    hidden = _TELEMETRY not in sys.modules
    if hidden:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise DeviceError(
            f"--device openvino: OpenVINO cannot be imported ({first_line(error)}). Install it: "
            "pip install lulcmap[openvino]. Or give --device cpu."
        ) from error
    finally:
        if hidden:
            del sys.modules[_TELEMETRY]
    return openvino


def _values(ports: Sequence[Any]) -> list[_Value]:
    return [
        _Value(
            port.get_any_name(),
            _TYPES.get(kind := port.get_element_type().get_type_name(), kind),
            _axes(port.get_partial_shape()),
        )
        for port in ports
    ]


def _axes(shape: Any) -> list[int | None]:
    if shape.rank.is_dynamic:
        return []
    return [axis.get_length() if axis.is_static else None for axis in shape]


def _unusable(model: ModelFile, version: str, error: Exception) -> ModelError:
    return ModelError(
        f"OpenVINO {version} cannot run {model.path}: {_reason(error)} Give --device cpu."
    )


def _reason(error: Exception) -> str:
    """Return what OpenVINO says in one line, after places in its code and before advice."""
    lines = [line.strip(" -.") for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith("To facilitate")]
    return f"{said[-1]}." if said else type(error).__name__
