"""Read protobuf: ONNX files as far as needed, and small messages of other formats.

An ONNX file is one protobuf message. Three things are needed before, or without, ONNX Runtime: the
metadata, whether a tensor's values are in another file, and whether the file is ONNX at all. These
are few fields, so they are parsed here, and the ``onnx`` package is not a dependency.
Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.

ONNX Runtime must not read more in a file than this parser sees. Parsers differ only in bytes that
no writer makes: keys of more than 32 bits, whose upper bits some drop; lengths written longer than
needed; groups. All of these are refused. Fields that occur several times are all looked at.
"""

from collections.abc import Iterator

_METADATA = 14
_GRAPH = 7

_PATHS_TO_TENSORS = {
    "model": {_GRAPH: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Fields of each kind of message that hold, or lead to, a tensor; the tests compare them with those
of the ``onnx`` package."""

_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
"""Fields of a tensor that tell where its values are, if not in the tensor."""

_ORT_FORMAT = b"ORTM"
"""Bytes 4 to 8 of ONNX Runtime's own format, which it recognises in any file that has them."""

_MAX_KEY, _MAX_LENGTH = 2**32, 2**31


def read_metadata(data: memoryview) -> dict[str, str]:
    """The ``metadata_props`` of an ONNX model.

    Raises:
        ValueError: the bytes are not an ONNX model.

    """
    if data[4:8] == _ORT_FORMAT:
        raise ValueError("it is in ONNX Runtime's own format")
    fields = list(read_fields(data))
    if not any(number == _GRAPH and isinstance(value, memoryview) for number, value in fields):
        raise ValueError("it holds no graph")
    entries = (value for number, value in fields if number == _METADATA)
    pairs = (dict(read_fields(entry)) for entry in entries if isinstance(entry, memoryview))
    return {_text(pair.get(1, b"")): _text(pair.get(2, b"")) for pair in pairs}


def refers_outside(data: memoryview) -> bool:
    """Whether a tensor anywhere in an ONNX model has its values in another file.

    Raises:
        ValueError: the bytes are not protobuf as writers make it.
        RecursionError: messages lie too deep in each other.

    """
    return _refers_outside(data, "model")


def _text(value: int | memoryview | bytes) -> str:
    if isinstance(value, int):
        raise ValueError("its metadata is not text")
    return bytes(value).decode()


def _refers_outside(message: memoryview, kind: str) -> bool:
    if kind == "tensor":
        return any(
            number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)
            for number, value in read_fields(message)
        )
    paths = _PATHS_TO_TENSORS[kind]
    return any(
        _refers_outside(value, paths[number])
        for number, value in read_fields(message)
        if number in paths and isinstance(value, memoryview)
    )


def read_fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of a protobuf message, in order.

    Source: https://protobuf.dev/programming-guides/encoding.

    Raises:
        ValueError: the bytes are not a protobuf message.

    """
    at, end = 0, len(message)
    while at < end:
        key = message[at]
        key, at = (key, at + 1) if key < 128 else read_varint(message, at, most=_MAX_KEY)
        kind, number = key & 7, key >> 3
        value: int | memoryview
        if number == 0:
            raise ValueError("not protobuf: a field without a number")
        if kind == 0:
            value, at = read_varint(message, at)
        elif kind in (1, 2, 5):
            if kind != 2:
                size = 8 if kind == 1 else 4
            elif at < end and message[at] < 128:
                size, at = message[at], at + 1
            else:
                size, at = read_varint(message, at, most=_MAX_LENGTH)
            value, at = message[at : at + size], at + size
        else:
            raise ValueError(f"not protobuf: wire type {kind}")
        if at > end:
            raise ValueError("it is cut off")
        yield number, value


def read_varint(message: memoryview, at: int, *, most: int | None = None) -> tuple[int, int]:
    """Read the number that starts at a byte; return it and the position after it.

    Args:
        message: bytes.
        at: position of the first byte.
        most: number that it must be less than, written as short as possible; None takes any.

    """
    value = 0
    for place in range(10):
        if at >= len(message):
            raise ValueError("it is cut off")
        byte = message[at]
        value, at = value | (byte & 127) << 7 * place, at + 1
        if byte < 128:
            if most is not None and (value >= most or (place and not byte)):
                raise ValueError("not protobuf: a number written as no program writes it")
            return value, at
    raise ValueError("not protobuf: an endless number")
