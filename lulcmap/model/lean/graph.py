"""A graph of an ONNX file that is rewritten: nodes are added before others, or dropped."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.model.onnx_graph import (
    TYPES,
    Attribute,
    length_bytes,
    message_bytes,
    node_bytes,
    number_bytes,
    tensor_bytes,
    text_bytes,
)
from lulcmap.model.protobuf import read_fields, read_varint

MICROSOFT = "com.microsoft"
"""Domain of ONNX Runtime's own operators."""

_GRAPH, _OPSET = 7, 8
_INT = 2  # ``onnx.AttributeProto.AttributeType``
_NODE, _INITIALIZER, _INPUT, _OUTPUT = 1, 5, 11, 12
_DTYPES: Mapping[int, np.dtype[Any]] = {1: np.dtype("<f4"), 7: np.dtype("<i8")}
"""Types of the constants that are read, by ``onnx.TensorProto.DataType``."""


Piece = memoryview | bytes
"""Some bytes of a file."""

Fields = list[tuple[int, int | memoryview | bytes]]


@dataclass(slots=True, eq=False)
class Node:
    """A node of a graph."""

    operator: str = ""
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: list[memoryview] = field(default_factory=list)
    """Attributes, as messages."""
    message: memoryview | bytes = b""
    """The whole node."""

    @classmethod
    def read(cls, message: memoryview) -> "Node":
        """Read a node."""
        node = cls(message=message)
        for number, value in read_fields(message):
            if isinstance(value, int):
                continue
            if number == 1:
                node.inputs.append(str(value, "utf-8"))
            elif number == 2:
                node.outputs.append(str(value, "utf-8"))
            elif number == 4:
                node.operator = str(value, "utf-8")
            elif number == 5:
                node.attributes.append(value)
            elif number == 7:
                node.domain = str(value, "utf-8")
        return node

    def has(self, name: str) -> bool:
        """Whether it has an attribute."""
        return any(_text(attribute, 1) == name for attribute in self.attributes)

    def whole(self, name: str) -> tuple[int, ...]:
        """Whole numbers of an attribute; none if it has no such attribute."""
        found = [one for one in self.attributes if _text(one, 1) == name]
        numbers = tuple(number for one in found for number in _whole_numbers(one, (3, 8)))
        kinds = [kind for one in found for kind in _whole_numbers(one, (20,))]
        return numbers or ((0,) if kinds == [_INT] else ())  # some writers leave a 0 out

    def text(self, name: str) -> str:
        """Text of an attribute; empty if it has no such attribute."""
        return "".join(_text(one, 4) for one in self.attributes if _text(one, 1) == name)


class Graph:
    """A graph of an ONNX file.

    Args:
        data: content of the file; ``read_model`` found it safe to load.

    """

    def __init__(self, data: bytes) -> None:
        self._file = list(read_fields(memoryview(data)))
        graph = next(_message(value) for number, value in self._file if number == _GRAPH)
        self._fields = list(read_fields(graph))
        self.nodes = [Node.read(value) for value in self._messages(_NODE)]
        self.constants = {_text(value, 8): value for value in self._messages(_INITIALIZER)}
        self.results = {_text(value, 1) for value in self._messages(_OUTPUT)}
        self.inputs = {_text(value, 1): _sizes(value) for value in self._messages(_INPUT)}
        """Sizes of the graph's inputs by their names; 0 where a size is left open."""
        self.types = {_text(value, 1): _type(value) for value in self._messages(_INPUT)}
        """Types of the graph's inputs by their names, ``onnx.TensorProto.DataType``."""
        self.source = {name: node for node in self.nodes for name in node.outputs}
        """The node that gives a tensor."""
        self.users: dict[str, list[Node]] = {}
        """The nodes that take a tensor."""
        for node in self.nodes:
            for name in node.inputs:
                self.users.setdefault(name, []).append(node)
        self._before: dict[int, list[Node]] = {}
        self._dropped: set[int] = set()
        self._added: dict[str, bytes] = {}
        self._tables: dict[bytes, str] = {}
        self._values: dict[str, NDArray[Any] | None] = {}
        self._count = 0

    @property
    def opset(self) -> int:
        """Version of the standard operators."""
        return self._versions.get("", self._versions.get("ai.onnx", 0))

    @property
    def _versions(self) -> dict[str, int]:
        """Versions of the operators by their domains."""
        messages = [_message(value) for number, value in self._file if number == _OPSET]
        return {_text(one, 1): next(_whole_numbers(one, (2,)), 0) for one in messages}

    def given_by(self, name: str, *operators: str) -> Node | None:
        """The node that gives a tensor, if it has one of these standard operators."""
        node = self.source.get(name)
        return node if node and not node.domain and node.operator in operators else None

    def only_user(self, name: str, *operators: str) -> Node | None:
        """The one node that takes a tensor, if it has one of these standard operators."""
        users = self.users.get(name, [])
        if len(users) != 1 or name in self.results:
            return None
        return users[0] if not users[0].domain and users[0].operator in operators else None

    def values(self, name: str) -> NDArray[Any] | None:
        """A constant of fp32 or int64 numbers; None if a tensor is none."""
        if name not in self._values:
            message = self.constants.get(name)
            self._values[name] = None if message is None else _numbers(message)
        return self._values[name]

    def whole(self, name: str) -> tuple[int, ...] | None:
        """Whole numbers of a constant without or with one axis; None if a tensor is none."""
        values = self.values(name)
        if values is None or values.dtype != np.int64 or values.ndim > 1:
            return None
        return tuple(values.ravel().tolist())

    def constant(self, values: Any, dtype: str = "float32") -> str:
        """Add a constant; return its name."""
        name = self._new_name()
        array: NDArray[Any] = np.asarray(values).astype(np.dtype(dtype).newbyteorder("<"))
        self._added[name] = tensor_bytes(name, TYPES[dtype], array.shape, array.tobytes())
        return name

    def table(self, values: NDArray[np.float32]) -> str:
        """Add a constant, or take one that was added with the same numbers; return its name."""
        key = values.tobytes()
        if key not in self._tables:
            self._tables[key] = self.constant(values)
        return self._tables[key]

    def add(
        self,
        before: Node,
        operator: str,
        *inputs: str,
        out: str = "",
        domain: str = "",
        like: Node | None = None,
        **attributes: Attribute,
    ) -> str:
        """Add a node before another one; return the name of its output.

        Args:
            before: node before which it runs.
            operator: its operator.
            inputs: names of its inputs.
            out: name of its output; a new one if empty.
            domain: domain of the operator.
            like: a node whose attributes it has too.
            attributes: its attributes.

        """
        out = out or self._new_name()
        message = node_bytes(operator, inputs, out, self._new_name(), **attributes)
        for attribute in like.attributes if like else ():
            message += message_bytes(5, bytes(attribute))
        if domain:
            message += text_bytes(7, domain)
        self._put(before, Node(operator, domain, [*inputs], [out], [], message))
        return out

    def add_split(self, before: Node, name: str, n_parts: int) -> list[str]:
        """Add a node that splits a tensor along its second axis; return the parts' names."""
        parts = [self._new_name() for _ in range(n_parts)]
        message = node_bytes(
            "Split", (name,), parts[0], self._new_name(), axis=1, num_outputs=n_parts
        )
        message += b"".join(text_bytes(2, part) for part in parts[1:])
        self._put(before, Node("Split", "", [name], parts, [], message))
        return parts

    def _put(self, before: Node, node: Node) -> None:
        self._before.setdefault(id(before), []).append(node)

    def drop(self, node: Node) -> None:
        """Leave a node out, as another one gives what it gave."""
        self._dropped.add(id(node))

    @property
    def is_changed(self) -> bool:
        """Whether a node gives what another one gave."""
        return bool(self._dropped)

    def to_bytes(self) -> bytes:
        """The file with the nodes that its outputs need, and the constants that these need."""
        nodes = self._needed()
        used = {name for node in nodes for name in node.inputs} | self.results
        used |= self.inputs.keys()  # a constant may also be an input, of which it is the default
        graph: Fields = [(_NODE, node.message) for node in nodes]
        graph += [(_INITIALIZER, one) for name, one in self._added.items() if name in used]
        for number, value in self._fields:
            if number == _INITIALIZER and _text(_message(value), 8) not in used:
                continue
            if number != _NODE:
                graph.append((number, value))
        content = [*_written(graph)]
        fields = [field for field in self._file if field[0] != _GRAPH]
        if MICROSOFT not in self._versions and any(node.domain == MICROSOFT for node in nodes):
            fields.append((_OPSET, memoryview(text_bytes(1, MICROSOFT) + number_bytes(2, 1))))
        start = length_bytes(_GRAPH, sum(map(len, content)))
        return b"".join([*_written(fields), start, *content])

    def _needed(self) -> list[Node]:
        """The nodes that the graph's outputs need, in the order they run."""
        nodes = [
            one
            for node in self.nodes
            for one in (*self._before.get(id(node), ()), node)
            if id(one) not in self._dropped
        ]
        wanted, needed = set(self.results), []
        for node in reversed(nodes):
            if wanted.intersection(node.outputs):
                wanted.update(node.inputs)
                needed.append(node)
        return needed[::-1]

    def _new_name(self) -> str:
        self._count += 1
        return f"lulcmap/lean_{self._count}"

    def _messages(self, wanted: int) -> Iterator[memoryview]:
        return (_message(value) for number, value in self._fields if number == wanted)


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message is expected")
    return value


def _written(fields: Iterable[tuple[int, int | memoryview | bytes]]) -> Iterator[Piece]:
    """The pieces of a message; models and graphs have no fields of fixed width."""
    for number, value in fields:
        if isinstance(value, int):
            yield number_bytes(number, value)
        else:
            yield length_bytes(number, len(value))
            yield value


def _text(message: memoryview, wanted: int) -> str:
    """The text of a field; empty if there is none."""
    for number, value in read_fields(message):
        if number == wanted:
            return str(_message(value), "utf-8")
    return ""


def _numbers(tensor: memoryview) -> NDArray[Any] | None:
    """The numbers of a constant of fp32 or int64, kept as bytes; None of any other."""
    sizes, kind, raw = [], 0, memoryview(b"")
    for number, value in read_fields(tensor):
        if number == 1 and isinstance(value, int):
            sizes.append(value)
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 9 and not isinstance(value, int):
            raw = value
    dtype = _DTYPES.get(kind)
    if dtype is None or len(raw) != int(np.prod(sizes)) * dtype.itemsize:
        return None
    return np.frombuffer(raw, dtype).reshape(sizes)


def _whole_numbers(message: memoryview, wanted: Sequence[int]) -> Iterator[int]:
    """The whole numbers of some fields, each alone or several together."""
    for number, value in read_fields(message):
        if number not in wanted:
            continue
        if isinstance(value, int):
            yield _signed(value)
            continue
        at = 0
        while at < len(value):
            one, at = read_varint(value, at)
            yield _signed(one)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _type(value: memoryview) -> int:
    """Type of an input's numbers; 0 if it is no tensor."""
    tensor = _part(_part(value, 2), 1)
    return next(_whole_numbers(tensor, (1,)), 0)


def _sizes(value: memoryview) -> tuple[int, ...]:
    """Sizes of an input's axes, 0 where one is left open."""
    shape = _part(_part(_part(value, 2), 1), 2)
    axes = [_message(part) for number, part in read_fields(shape) if number == 1]
    return tuple(next(_whole_numbers(axis, (1,)), 0) for axis in axes)


def _part(message: memoryview, wanted: int) -> memoryview:
    """The message of a field; empty if there is none."""
    parts = (_message(value) for number, value in read_fields(message) if number == wanted)
    return next(parts, memoryview(b""))
