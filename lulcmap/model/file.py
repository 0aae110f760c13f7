"""Read a model file without a runtime: its bytes and its contract.

An ONNX file is one protobuf message. Three things are needed before, or without, ONNX Runtime: the
metadata, whether a tensor's values are in another file, and whether the file is ONNX at all. These
are few fields, so they are parsed here, and the ``onnx`` package is not a dependency.
Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lulcmap.errors import ModelError
from lulcmap.model.contract import METADATA_KEY, Contract

_METADATA = 14
_GRAPH = 7

_PATHS_TO_TENSORS = {
    "model": {_GRAPH: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Fields of each kind of message that hold, or lead to, a tensor."""

_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
"""Fields of a tensor that tell where its values are, if not in the tensor."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model file, as it was when it was read."""

    path: Path
    """Path of the file."""

    data: bytes = field(repr=False)
    """Content of the file."""

    sha256: str
    """Sha256 of ``data``, 64 hexadecimal digits."""

    contract: Contract
    """Contract of the model; checked: lulcmap can map with it."""


def read_model(path: Path) -> ModelFile:
    """Read a model file and check its contract.

    Args:
        path: path of the ONNX file.

    Raises:
        ModelError: the file does not exist, is not ONNX, refers to other files, or has no contract
            or one that does not fit.

    """
    if not path.is_file():
        raise ModelError(f"No model file {path}. For the names of models, see lulcmap models.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"Model file {path} cannot be read: {error.strerror}.") from error
    try:
        metadata = _metadata(memoryview(data))
        external = _refers_outside(memoryview(data), "model")
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} is not an ONNX model ({error}). Give a model exported by lulcmap export-onnx."
        ) from error
    if external:
        raise ModelError(
            f"{path} keeps weights in another file; lulcmap reads only models of one file. "
            "Export it again with the weights inside (external_data=False)."
        )
    if METADATA_KEY not in metadata:
        raise ModelError(
            f"{path} has no contract: its metadata has no key {METADATA_KEY!r}. "
            "Give a model exported by lulcmap export-onnx."
        )
    contract = Contract.from_json(metadata[METADATA_KEY])
    contract.check()
    return ModelFile(path, data, hashlib.sha256(data).hexdigest(), contract)


def _metadata(data: memoryview) -> dict[str, str]:
    """Parse ``metadata_props``."""
    fields = list(_fields(data))
    if not any(number == _GRAPH and isinstance(value, memoryview) for number, value in fields):
        raise ValueError("it holds no graph")
    entries = (value for number, value in fields if number == _METADATA)
    pairs = (dict(_fields(entry)) for entry in entries if isinstance(entry, memoryview))
    return {_text(pair.get(1, b"")): _text(pair.get(2, b"")) for pair in pairs}


def _text(value: int | memoryview | bytes) -> str:
    if isinstance(value, int):
        raise ValueError("its metadata is not text")
    return bytes(value).decode()


def _refers_outside(message: memoryview, kind: str) -> bool:
    """Tell whether a tensor in this message has its values in another file."""
    if kind == "tensor":
        return any(
            number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value == 1)
            for number, value in _fields(message)
        )
    paths = _PATHS_TO_TENSORS[kind]
    return any(
        _refers_outside(value, paths[number])
        for number, value in _fields(message)
        if number in paths and isinstance(value, memoryview)
    )


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of a protobuf message, in order.

    Source: https://protobuf.dev/programming-guides/encoding.

    Raises:
        ValueError: the bytes are not a protobuf message.

    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind, number = key & 7, key >> 3
        value: int | memoryview
        if kind == 0:
            value, at = _varint(message, at)
        elif kind in (1, 2, 5):
            size, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = message[at : at + size], at + size
        else:
            raise ValueError(f"not protobuf: wire type {kind}")
        if at > len(message):
            raise ValueError("it is cut off")
        yield number, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Read the number that starts at a byte; return it and the position after it."""
    value = 0
    for place in range(10):
        if at >= len(message):
            raise ValueError("it is cut off")
        byte = message[at]
        value, at = value | (byte & 127) << 7 * place, at + 1
        if byte < 128:
            return value, at
    raise ValueError("not protobuf: an endless number")
