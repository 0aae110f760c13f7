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
        self.inputs.append(value_bytes(name, TYPES[dtype], shape))
        return name

    def add_output(self, name: str, dtype: str, shape: Sequence[int | str]) -> None:
        """Name the result of a node as an output."""
        self.outputs.append(value_bytes(name, TYPES[dtype], shape))

    def add(self, operator: str, *inputs: str, out: str = "", **attributes: Attribute) -> str:
        """Add a node; return the name of its result."""
        name = out or f"{operator}_{len(self.nodes)}"
        label = f"node_{len(self.nodes)}"
        self.nodes.append(node_bytes(operator, inputs, name, label, **attributes))
        return name

    def constant(self, values: Any, dtype: str = "float32") -> str:
        """Add a constant; return its name."""
        name = f"constant_{len(self.constants)}"
        array: NDArray[Any] = np.asarray(values).astype(np.dtype(dtype).newbyteorder("<"))
        self.constants.append(tensor_bytes(name, TYPES[dtype], array.shape, array.tobytes()))
        return name

    def to_bytes(self, *, producer: str, metadata: Mapping[str, str]) -> bytes:
        """The file: the graph and its metadata; equal graphs give equal bytes."""
        graph = (
            b"".join(message_bytes(1, node) for node in self.nodes)
            + text_bytes(2, self.name)
            + b"".join(message_bytes(5, constant) for constant in self.constants)
            + b"".join(message_bytes(11, value) for value in self.inputs)
            + b"".join(message_bytes(12, value) for value in self.outputs)
        )
        pairs = (
            text_bytes(1, key) + text_bytes(2, value) for key, value in sorted(metadata.items())
        )
        return (
            number_bytes(1, _IR_VERSION)
            + text_bytes(2, producer)
            + message_bytes(7, graph)
            + message_bytes(8, text_bytes(1, "") + number_bytes(2, OPSET))
            + b"".join(message_bytes(14, pair) for pair in pairs)
        )


def node_bytes(
    operator: str, inputs: Sequence[str], out: str, name: str, **attributes: Attribute
) -> bytes:
    """A node, as a message."""
    return (
        b"".join(text_bytes(1, one) for one in inputs)
        + text_bytes(2, out)
        + text_bytes(3, name)
        + text_bytes(4, operator)
        + b"".join(message_bytes(5, _attribute(key, value)) for key, value in attributes.items())
    )


def tensor_bytes(name: str, dtype: int, shape: Sequence[int], raw: bytes) -> bytes:
    """A constant, as a message; ``raw`` are its numbers, little-endian."""
    dims = b"".join(number_bytes(1, size) for size in shape)
    return dims + number_bytes(2, dtype) + text_bytes(8, name) + message_bytes(9, raw)


def value_bytes(name: str, dtype: int, shape: Sequence[int | str] | None = None) -> bytes:
    """The type of an input or output, as a message; None leaves its shape open."""
    tensor = number_bytes(1, dtype)
    if shape is not None:
        sizes = (
            number_bytes(1, one) if isinstance(one, int) else text_bytes(2, one) for one in shape
        )
        tensor += message_bytes(2, b"".join(message_bytes(1, size) for size in sizes))
    return text_bytes(1, name) + message_bytes(2, message_bytes(1, tensor))


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, str):
        return text_bytes(1, name) + text_bytes(4, value) + number_bytes(20, _STRING)
    if isinstance(value, int):
        return text_bytes(1, name) + number_bytes(3, value) + number_bytes(20, _INT)
    if isinstance(value, float):
        single = _varint(2 << 3 | 5) + struct.pack("<f", value)
        return text_bytes(1, name) + single + number_bytes(20, _FLOAT)
    numbers = b"".join(number_bytes(8, one) for one in value)
    return text_bytes(1, name) + numbers + number_bytes(20, _INTS)


def number_bytes(key: int, value: int) -> bytes:
    """A field that holds a whole number."""
    return _varint(key << 3) + _varint(value % 2**64)


def text_bytes(key: int, value: str) -> bytes:
    """A field that holds a text."""
    return message_bytes(key, value.encode())


def message_bytes(key: int, value: bytes) -> bytes:
    """A field that holds a text, a message or other bytes."""
    return length_bytes(key, len(value)) + value


def length_bytes(key: int, length: int) -> bytes:
    """What precedes the bytes of a field that holds a text, a message or other bytes."""
    return _varint(key << 3 | 2) + _varint(length)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)
