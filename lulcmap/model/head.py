"""The head of a network: its last layer, read out of the ONNX file and put back changed.

A head is a 1 x 1 convolution: logits = weight x features + bias. A network that ends otherwise gets
one after its logits, which then are the features. So a head can be fitted anew without torch, and
without the package ``onnx``: an ONNX file is one protobuf message, whose other fields stay as they
are. Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import ModelError
from lulcmap.model.onnx_graph import (
    message_bytes,
    node_bytes,
    number_bytes,
    tensor_bytes,
    text_bytes,
    value_bytes,
)
from lulcmap.model.protobuf import read_fields

FEATURES = "lulcmap/features"
"""Name of the features where a network has no head of its own."""

_GRAPH, _METADATA = 7, 14
_NODE, _INITIALIZER, _OUTPUT, _VALUE_INFO = 1, 5, 12, 13
_DTYPES: Mapping[int, np.dtype[np.floating]] = {1: np.dtype("<f4"), 10: np.dtype("<f2")}
"""Types of a head's numbers by ``onnx.TensorProto.DataType``."""

Fields = list[tuple[int, int | memoryview]]


@dataclass(frozen=True, slots=True)
class Head:
    """The last layer of a network."""

    weight: NDArray[np.float64]
    """(K, D) weight of each feature for each class, in the order of the logits."""

    bias: NDArray[np.float64]
    """(K,) bias of each class."""

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Logits (..., K) of features (..., D)."""
        return features @ self.weight.T + self.bias


@dataclass(frozen=True, slots=True)
class HeadPlace:
    """Where the head is in a graph."""

    features: str
    """Name of the tensor it takes."""

    node: int | None
    """Number of its node; None if the network has no head of its own."""

    names: tuple[str, str]
    """Names of its weight and bias."""

    dtype: int
    """Type of its numbers, ``onnx.TensorProto.DataType``."""


def read_head(data: bytes, n_classes: int) -> tuple[Head, HeadPlace]:
    """Read the head of a network.

    Args:
        data: content of an ONNX file that ``read_model`` found safe to load.
        n_classes: number of its classes.

    Returns:
        The head, and its place. Of a network that ends otherwise, the head that changes nothing:
        the identity, after the logits.

    """
    graph = _graph_of(data)
    nodes = [_Node.read(value) for value in _messages(graph, _NODE)]
    tensors = {tensor.name: tensor for tensor in map(_Tensor.read, _messages(graph, _INITIALIZER))}
    for number, node in enumerate(nodes):
        if node.outputs != ("logits",) or node.operator != "Conv" or len(node.inputs) != 3:
            continue
        weight, bias = (tensors.get(name) for name in node.inputs[1:])
        if weight is None or bias is None:
            break
        features = weight.dims[1] if len(weight.dims) == 4 else 0
        values = weight.values(), bias.values()
        if (
            not node.is_plain
            or weight.dims != (n_classes, features, 1, 1)
            or values[0] is None
            or values[1] is None
        ):
            break
        uses = [name for other in nodes for name in other.inputs]
        if any(uses.count(name) != 1 for name in node.inputs[1:]):
            break
        head = Head(values[0].reshape(n_classes, features), values[1])
        names = node.inputs[1], node.inputs[2]
        return head, HeadPlace(node.inputs[0], number, names, weight.dtype)
    identity = Head(np.eye(n_classes), np.zeros(n_classes))
    dtype = _type_of_output(graph)
    names = "lulcmap/head.weight", "lulcmap/head.bias"
    return identity, HeadPlace(FEATURES, None, names, dtype)


def with_features(data: bytes, place: HeadPlace) -> bytes:
    """An ONNX file that gives the features of a network too, as a second output.

    Args:
        data: content of the file.
        place: place of its head.

    """
    graph = _graph_of(data)
    if place.node is None:
        graph = _renamed(graph, place)
        output = value_bytes(place.features, place.dtype)
        return _with_graph(data, [*_without(graph, _OUTPUT), (_OUTPUT, memoryview(output))])
    output = value_bytes(place.features, place.dtype)
    return _with_graph(data, [*graph, (_OUTPUT, memoryview(output))])


def with_head(data: bytes, place: HeadPlace, head: Head, metadata: Mapping[str, str]) -> bytes:
    """An ONNX file with another head, perhaps of more classes, and other metadata.

    Args:
        data: content of the file.
        place: place of its head.
        head: the new head.
        metadata: entries of the metadata to set.

    """
    graph = _graph_of(data)
    if place.node is None:
        graph = _renamed(graph, place)
        inputs = (place.features, *place.names)
        node = node_bytes("Conv", inputs, "logits", "lulcmap/head", kernel_shape=(1, 1))
        graph = [*graph, (_NODE, memoryview(node))]
    graph = [
        (number, value)
        for number, value in graph
        if not (number == _INITIALIZER and _Tensor.read(_message(value)).name in place.names)
        and number != _OUTPUT
    ]
    dtype = _DTYPES[place.dtype]
    shapes = (*head.weight.shape, 1, 1), head.bias.shape
    for name, values, shape in zip(place.names, (head.weight, head.bias), shapes, strict=True):
        array = values.astype(dtype).reshape(shape)
        tensor = tensor_bytes(name, place.dtype, shape, array.tobytes())
        graph.append((_INITIALIZER, memoryview(tensor)))
    shape = ("images", len(head.bias), "cell_rows", "cell_cols")
    graph.append((_OUTPUT, memoryview(value_bytes("logits", place.dtype, shape))))
    return with_metadata(_with_graph(data, graph), metadata)


def with_metadata(data: bytes, metadata: Mapping[str, str]) -> bytes:
    """An ONNX file with some entries of its metadata set, and the others as they were."""
    kept = [
        (number, value)
        for number, value in read_fields(memoryview(data))
        if number != _METADATA or _text_of(_message(value), 1) not in metadata
    ]
    pairs = (text_bytes(1, key) + text_bytes(2, value) for key, value in sorted(metadata.items()))
    return _written([*kept, *((_METADATA, memoryview(pair)) for pair in pairs)])


@dataclass(frozen=True, slots=True)
class _Node:
    """A node of a graph."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operator: str
    is_plain: bool
    """Whether a ``Conv`` of 1 x 1 takes each cell by itself, and all features: no stride, padding,
    dilation or groups."""

    @classmethod
    def read(cls, message: memoryview) -> "_Node":
        texts: dict[int, list[str]] = {}
        is_plain = True
        for number, value in read_fields(message):
            if number in (1, 2, 4) and isinstance(value, memoryview):
                texts.setdefault(number, []).append(bytes(value).decode())
            elif number == 5:
                is_plain = is_plain and _is_plain(_message(value))
        inputs, outputs = (tuple(texts.get(number, ())) for number in (1, 2))
        return cls(inputs, outputs, texts.get(4, [""])[-1], is_plain)


def _is_plain(attribute: memoryview) -> bool:
    """Whether an attribute leaves a ``Conv`` of 1 x 1 plain; of unknown ones, no."""
    name = _text_of(attribute, 1)
    if name in ("kernel_shape", "auto_pad"):
        return True  # the weight tells the kernel, and one pixel needs no padding
    plain = {"group": 1, "strides": 1, "dilations": 1, "pads": 0}.get(name)
    numbers = [value for key, value in read_fields(attribute) if key in (3, 8)]
    return bool(numbers) and all(number == plain for number in numbers)


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A constant of a graph."""

    name: str
    dims: tuple[int, ...]
    dtype: int
    raw: bytes | None

    @classmethod
    def read(cls, message: memoryview) -> "_Tensor":
        dims: list[int] = []
        name, dtype, raw = "", 0, None
        for number, value in read_fields(message):
            if number == 1 and isinstance(value, int):
                dims.append(value)
            elif number == 2 and isinstance(value, int):
                dtype = value
            elif number == 8 and isinstance(value, memoryview):
                name = bytes(value).decode()
            elif number in (4, 9) and isinstance(value, memoryview):
                raw = bytes(value)  # packed floats are the same bytes
        return cls(name, tuple(dims), dtype, raw)

    def values(self) -> NDArray[np.float64] | None:
        """(n,) its numbers; None if they are no floats, or kept in another way."""
        size = int(np.prod(self.dims))
        dtype = _DTYPES.get(self.dtype)
        if dtype is None or self.raw is None or len(self.raw) != size * dtype.itemsize:
            return None
        return np.frombuffer(self.raw, dtype).astype(np.float64)


def _renamed(graph: Fields, place: HeadPlace) -> Fields:
    """A graph whose logits have the name of features."""
    changed: Fields = []
    for number, value in graph:
        if number == _VALUE_INFO and _text_of(_message(value), 1) == "logits":
            continue  # they get another shape
        if number == _NODE:
            fields = [
                (key, memoryview(place.features.encode()))
                if key in (1, 2) and isinstance(part, memoryview) and bytes(part) == b"logits"
                else (key, part)
                for key, part in read_fields(_message(value))
            ]
            value = memoryview(_written(fields))
        changed.append((number, value))
    return changed


def _type_of_output(graph: Fields) -> int:
    """Type of the logits' numbers."""
    for value in _messages(graph, _OUTPUT):
        if _text_of(value, 1) == "logits":
            for number, kind in read_fields(value):
                if number == 2:
                    tensor = next(part for key, part in read_fields(_message(kind)) if key == 1)
                    return next(
                        int(part)
                        for key, part in read_fields(_message(tensor))
                        if key == 1 and isinstance(part, int)
                    )
    raise ModelError("The model's graph returns no logits. Export it again.")


def _graph_of(data: bytes) -> Fields:
    for number, value in read_fields(memoryview(data)):
        if number == _GRAPH:
            return list(read_fields(_message(value)))
    raise ModelError("The model's file holds no graph. Export it again.")


def _with_graph(data: bytes, graph: Fields) -> bytes:
    fields = [
        (number, memoryview(_written(graph)) if number == _GRAPH else value)
        for number, value in read_fields(memoryview(data))
    ]
    return _written(fields)


def _without(fields: Fields, number: int) -> Fields:
    return [field for field in fields if field[0] != number]


def _messages(fields: Fields, number: int) -> Iterator[memoryview]:
    return (_message(value) for key, value in fields if key == number)


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ModelError("The model's graph cannot be read. Export it again.")
    return value


def _text_of(message: memoryview, number: int) -> str:
    texts = [
        bytes(_message(value)).decode() for key, value in read_fields(message) if key == number
    ]
    return texts[-1] if texts else ""


def _written(fields: Iterable[tuple[int, int | memoryview]]) -> bytes:
    """A message of fields; models, graphs and nodes have none of fixed width."""
    return b"".join(
        number_bytes(number, value)
        if isinstance(value, int)
        else message_bytes(number, bytes(value))
        for number, value in fields
    )
