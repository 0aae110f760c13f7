"""Check that the graph of a model file is what its contract says."""

from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

from lulcmap.errors import ModelError
from lulcmap.model.file import ModelFile

_DTYPES = {"uint16": "tensor(uint16)", "int16": "tensor(int16)"}


class GraphValue(Protocol):
    """An input or output of a graph, as ONNX Runtime describes it."""

    @property
    def name(self) -> str:
        """Name."""

    @property
    def type(self) -> str:
        """Type, such as ``"tensor(uint16)"``."""

    @property
    def shape(self) -> Sequence[Any]:
        """Size of each axis: a whole number where it is fixed."""


def check_graph(
    model: ModelFile, inputs: Sequence[GraphValue], outputs: Sequence[GraphValue]
) -> None:
    """Check that the graph matches the contract.

    Raises:
        ModelError: it does not.

    """
    taken, given = _by_name(inputs), _by_name(outputs)
    contract = model.contract
    named = {*contract.inputs, *contract.scalars}
    if set(taken) != named:
        _refuse(model, f"takes {_names(taken)}", _names(named))
    sizes = {0: "batch size", 2: "height", 3: "width"}
    for name, expected in contract.inputs.items():
        value = taken[name]
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
        value = taken[name]
        if value.type != "tensor(float)":
            _refuse(model, f"takes {name} as {value.type}", "tensor(float)")
        if len(value.shape) != 1:
            _refuse(model, f"takes {name} with {len(value.shape)} axes", "1 (N)")
        if isinstance(value.shape[0], int) and value.shape[0] != 1:
            _refuse(model, f"fixes the batch size of {name} at {value.shape[0]}", "any, or 1")
    if "logits" not in given:
        _refuse(model, f"returns {_names(given)}", "logits")
    logits = given["logits"]
    if logits.type not in ("tensor(float)", "tensor(float16)"):
        _refuse(model, f"returns logits as {logits.type}", "tensor(float) or tensor(float16)")
    classes = logits.shape[1] if len(logits.shape) == 4 else None
    if isinstance(classes, int) and classes != len(contract.classes):
        _refuse(model, f"returns {classes} classes", f"{len(contract.classes)}")


def _by_name(values: Sequence[GraphValue]) -> dict[str, GraphValue]:
    return {value.name: value for value in values}


def _names(values: Any) -> str:
    return ", ".join(sorted(values)) or "nothing"


def _refuse(model: ModelFile, problem: str, expected: str) -> NoReturn:
    raise ModelError(
        f"The graph of model {model.contract.name!r} {problem}; its contract says {expected}. "
        "Export the model again: lulcmap export-onnx."
    )
