"""Write ONNX files: the nodes, constants, inputs and outputs of one graph, as protobuf.

The ``onnx`` package is not among lulcmap's dependencies, and a graph of standard operators needs
few kinds of messages. Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES = {"float32": 1, "uint16": 4, "int64": 7, "bool": 9}
"""Numbers of the data types, ``onnx.TensorProto.DataType``."""

OPSET = 18
"""Version of the standard operators."""

_IR_VERSION = 8
"""Version of the file format: that of opset 18."""

_FLOAT, _INT, _STRING, _INTS = 1, 2, 3, 7
"""Kinds of attributes, ``onnx.AttributeProto.AttributeType``."""

Attribute = float | int | str | Sequence[int]


@dataclass(slots=True)
class OnnxGraph:
    """A graph that is being written."""

    name: str
    """Name of the graph."""

    inputs: list[bytes] = field(default_factory=list)
    """Inputs, as messages."""

    outputs: list[bytes] = field(default_factory=list)
    """Outputs, as messages."""

    nodes: list[bytes] = field(default_factory=list)
    """Nodes in the order they run, as messages."""

    constants: list[bytes] = field(default_factory=list)
    """Constant tensors, as messages."""

    def add_input(self, name: str, dtype: str, shape: Sequence[int | str]) -> str:
        """Add an input; a text in its shape names a size that is left open. Returns its name."""
        self.inputs.append(_value(name, dtype, shape))
        return name

    def add_output(self, name: str, dtype: str, shape: Sequence[int | str]) -> None:
        """Name the result of a node as an output."""
        self.outputs.append(_value(name, dtype, shape))

    def add(self, operator: str, *inputs: str, out: str = "", **attributes: Attribute) -> str:
        """Add a node; return the name of its result."""
        name = out or f"{operator}_{len(self.nodes)}"
        self.nodes.append(
            b"".join(_text(1, one) for one in inputs)
            + _text(2, name)
            + _text(3, f"node_{len(self.nodes)}")
            + _text(4, operator)
            + b"".join(_bytes(5, _attribute(key, value)) for key, value in attributes.items())
        )
        return name

    def constant(self, values: Any, dtype: str = "float32") -> str:
        """Add a constant; return its name."""
        name = f"constant_{len(self.constants)}"
        array: NDArray[Any] = np.asarray(values).astype(np.dtype(dtype).newbyteorder("<"))
        self.constants.append(
            b"".join(_number(1, size) for size in array.shape)
            + _number(2, TYPES[dtype])
            + _text(8, name)
            + _bytes(9, array.tobytes())
        )
        return name

    def to_bytes(self, *, producer: str, metadata: Mapping[str, str]) -> bytes:
        """The file: the graph and its metadata; equal graphs give equal bytes."""
        graph = (
            b"".join(_bytes(1, node) for node in self.nodes)
            + _text(2, self.name)
            + b"".join(_bytes(5, constant) for constant in self.constants)
            + b"".join(_bytes(11, value) for value in self.inputs)
            + b"".join(_bytes(12, value) for value in self.outputs)
        )
        pairs = (_text(1, key) + _text(2, value) for key, value in sorted(metadata.items()))
        return (
            _number(1, _IR_VERSION)
            + _text(2, producer)
            + _bytes(7, graph)
            + _bytes(8, _text(1, "") + _number(2, OPSET))
            + b"".join(_bytes(14, pair) for pair in pairs)
        )


def _value(name: str, dtype: str, shape: Sequence[int | str]) -> bytes:
    sizes = (_number(1, one) if isinstance(one, int) else _text(2, one) for one in shape)
    dims = b"".join(_bytes(1, size) for size in sizes)
    tensor = _number(1, TYPES[dtype]) + _bytes(2, dims)
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, str):
        return _text(1, name) + _text(4, value) + _number(20, _STRING)
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, _INT)
    if isinstance(value, float):
        single = _varint(2 << 3 | 5) + struct.pack("<f", value)
        return _text(1, name) + single + _number(20, _FLOAT)
    numbers = b"".join(_number(8, one) for one in value)
    return _text(1, name) + numbers + _number(20, _INTS)


def _number(key: int, value: int) -> bytes:
    """A field that holds a whole number."""
    return _varint(key << 3) + _varint(value % 2**64)


def _text(key: int, value: str) -> bytes:
    return _bytes(key, value.encode())


def _bytes(key: int, value: bytes) -> bytes:
    """A field that holds a text, a message or other bytes."""
    return _varint(key << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)
