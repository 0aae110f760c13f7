"""Read a network that another program exported to ONNX: what it takes, gives and says of itself."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from lulcmap.errors import DeviceError, ModelError
from lulcmap.legend import shortened
from lulcmap.model.contract import METADATA_KEY, SUN_ZENITH
from lulcmap.model.file import read_onnx

FIRST_OPSET = 11
"""First opset of which the transform's operators are."""

_FLOAT = 1
"""``onnx.TensorProto.FLOAT``."""

_LOOPS = ("Loop", "Scan", "SequenceMap")
"""Operators that may never end."""

_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Domains of the operators that every ONNX Runtime has."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a graph."""

    name: str
    """Name in the graph."""

    dtype: int
    """Data type, as ``onnx.TensorProto.DataType``."""

    shape: tuple[int | None, ...]
    """Sizes of the axes; None where the graph leaves one open."""

    def describe(self) -> str:
        """Name and shape, for messages."""
        sizes = " x ".join("?" if size is None else str(size) for size in self.shape)
        return f"{shortened(self.name)} ({sizes or 'a number'})"


@dataclass(frozen=True, slots=True)
class ForeignNetwork:
    """A network without a contract."""

    path: Path
    """Path of its file."""

    sha256: str
    """Sha256 of the file, 64 hexadecimal digits."""

    proto: Any = field(repr=False)
    """The ``onnx.ModelProto``."""

    inputs: tuple[Port, ...]
    """Images that have to be given."""

    outputs: tuple[Port, ...]
    """Outputs."""

    opset: int
    """Version of the standard operators."""

    metadata: dict[str, str]
    """Metadata of the file."""

    sun: Port | None = None
    """Input for the sun's zenith, degrees, one number a window."""


def load_onnx() -> ModuleType:
    """The module ``onnx``.

    Raises:
        DeviceError: it is not installed.

    """
    try:
        import onnx
        import onnx.compose
    except ImportError as error:
        raise DeviceError(
            "Wrapping needs the package onnx. Install it: pip install onnx, or "
            "pip install 'lulcmap[train]'."
        ) from error
    return onnx


def read_foreign(path: Path) -> ForeignNetwork:
    """Read an ONNX file that has no contract, and check that it can get one.

    Args:
        path: path of the file.

    Raises:
        ModelError: the file is not ONNX, refers to other files, has a contract, or its graph has
            loops, operators of its own, or an opset too old.
        DeviceError: the package ``onnx`` is not installed.

    """
    data, metadata = read_onnx(path)
    if METADATA_KEY in metadata:
        raise ModelError(
            f"{path} already has a contract. Use it as it is: lulcmap predict --model {path}."
        )
    onnx = load_onnx()
    try:
        proto = onnx.load_from_string(data)
    except Exception as error:  # protobuf's exception, whose module changes
        raise ModelError(f"{path} is not an ONNX model ({error}). Export it again.") from error
    weights = {tensor.name for tensor in proto.graph.initializer}
    weights |= {tensor.values.name for tensor in proto.graph.sparse_initializer}
    ports = [_port(path, one) for one in proto.graph.input if one.name not in weights]
    network = ForeignNetwork(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        proto=proto,
        inputs=tuple(port for port in ports if not _is_sun(port)),
        outputs=tuple(_port(path, one) for one in proto.graph.output),
        opset=max(
            (one.version for one in proto.opset_import if one.domain in ("", "ai.onnx")), default=0
        ),
        metadata=metadata,
        sun=next(filter(_is_sun, ports), None),
    )
    _check_graph(network)
    return network


def _port(path: Path, value: Any) -> Port:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        raise ModelError(
            f"{path} takes or returns {shortened(value.name)}, which is no tensor. Export the "
            "network alone, from images to classes."
        )
    sizes = (
        one.dim_value if one.HasField("dim_value") and one.dim_value > 0 else None
        for one in tensor.shape.dim
    )
    return Port(value.name, tensor.elem_type, tuple(sizes))


def _is_sun(port: Port) -> bool:
    return (port.name, port.dtype, len(port.shape)) == (SUN_ZENITH, _FLOAT, 1)


def _check_graph(network: ForeignNetwork) -> None:
    path, proto = network.path, network.proto
    if network.opset < FIRST_OPSET:
        raise ModelError(
            f"{path} has opset {network.opset}; lulcmap wraps {FIRST_OPSET} and newer. Export it "
            f"again, such as with opset_version=17."
        )
    functions = {(one.domain, one.name) for one in proto.functions}
    nodes = [*_nodes(proto.graph.node)]
    for function in proto.functions:
        nodes += _nodes(function.node)
    for node in nodes:
        if node.op_type in _LOOPS:
            raise ModelError(
                f"{path} has a loop ({node.op_type}), whose end cannot be foreseen. Export it with "
                "fixed sizes, or without the steps after the network."
            )
        if node.domain not in _DOMAINS and (node.domain, node.op_type) not in functions:
            raise ModelError(
                f"{path} needs the operator {shortened(node.op_type)} of "
                f"{shortened(node.domain)}, which ONNX Runtime does not have. Export it again with "
                "standard operators."
            )


def _nodes(nodes: Any) -> Iterator[Any]:
    """Nodes of a graph and of the graphs in them."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _nodes(graph.node)
