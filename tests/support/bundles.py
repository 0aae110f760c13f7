"""TensorFlow variable bundles as its writer makes them, and Dynamic World's with random weights."""

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lulcmap.model.dynamic_world.checksum import masked_crc32c
from lulcmap.model.dynamic_world.network import LAYERS, tensor_name

MAGIC = 0xDB4775248B80FB57


def varint(value: int) -> bytes:
    """A number of seven bits a byte, the lowest first."""
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def number(key: int, value: int) -> bytes:
    """A field of protobuf that holds a number; 0 is left out."""
    return varint(key << 3) + varint(value) if value else b""


def message(key: int, value: bytes) -> bytes:
    """A field of protobuf that holds bytes."""
    return varint(key << 3 | 2) + varint(len(value)) + value


def compress(data: bytes) -> bytes:
    """Snappy's block format: a copy of what occurred before where four bytes did, else literals."""
    out, at, start = bytearray(varint(len(data))), 0, 0
    seen: dict[bytes, int] = {}
    while at + 4 <= len(data):
        before = seen.get(data[at : at + 4], -(2**16))
        seen[data[at : at + 4]] = at
        back, size = at - before, 4
        if back >= 2**16:
            at += 1
            continue
        while at + size < len(data) and size < 64 and data[before + size] == data[at + size]:
            size += 1
        out += _literals(data[start:at])
        if size < 12 and back < 2048:
            out += bytes([1 | size - 4 << 2 | back >> 8 << 5, back & 255])
        else:
            out += bytes([2 | size - 1 << 2, *back.to_bytes(2, "little")])
        at = start = at + size
    return bytes(out + _literals(data[start:]))


def _literals(data: bytes) -> bytes:
    out = bytearray()
    for at in range(0, len(data), 70):  # a length of more than 60 takes a byte of its own
        part = data[at : at + 70]
        out += bytes([len(part) - 1 << 2] if len(part) <= 60 else [60 << 2, len(part) - 1]) + part
    return bytes(out)


def block(entries: Mapping[bytes, bytes], *, restart: int = 16) -> bytes:
    """A block of entries, sorted, each key without what it shares with the one before."""
    out, restarts, before = bytearray(), [], b""
    for at, (key, value) in enumerate(sorted(entries.items())):
        shared = 0
        if at % restart == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value))
        out += key[shared:] + value
        before = key
    restarts = restarts or [0]
    return bytes(out) + b"".join(struct.pack("<I", one) for one in [*restarts, len(restarts)])


def table(
    entries: Mapping[bytes, bytes], *, compressed: bool = True, per_block: int = 100
) -> bytes:
    """A table of LevelDB."""
    out = bytearray()

    def add(content: bytes, way: int) -> bytes:
        stored = compress(content) if way else content
        handle = varint(len(out)) + varint(len(stored))
        out.extend(stored + bytes([way]))
        out.extend(struct.pack("<I", masked_crc32c(stored + bytes([way]))))
        return handle

    keys, handles = sorted(entries), {}
    for at in range(0, len(keys), per_block):
        part = {key: entries[key] for key in keys[at : at + per_block]}
        handles[max(part)] = add(block(part), int(compressed))
    footer = add(block({}), 0) + add(block(handles), 0)
    return bytes(out) + footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def bundle(tensors: Mapping[str, NDArray[np.float32]], **options) -> tuple[bytes, bytes]:
    """Index and data of a bundle, with a text beside the tensors, as TensorFlow's object graph."""
    data, entries = bytearray(b"a text that is no tensor"), {}
    entries[b""] = number(1, 1) + message(3, number(1, 1))
    entries[b"_CHECKPOINTABLE_OBJECT_GRAPH"] = number(1, 7) + number(5, len(data))
    for name, values in tensors.items():
        raw = values.astype("<f4").tobytes()
        shape = b"".join(message(2, number(1, size)) for size in values.shape)
        entries[name.encode()] = (
            number(1, 1)
            + message(2, shape)
            + number(4, len(data))
            + number(5, len(raw))
            + varint(6 << 3 | 5)
            + struct.pack("<I", masked_crc32c(raw))
        )
        data += raw
    return table(entries, **options), bytes(data)


def random_tensors(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Weights of the names and shapes of Dynamic World's, at random, such that its logits differ
    from pixel to pixel."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for layer in LAYERS:
        n = layer.channels
        fan_in = np.prod(layer.shape[:2] if layer.is_depthwise else layer.shape[:3])
        tensors[layer.kernel] = rng.normal(size=layer.shape) * 2 / np.sqrt(fan_in)
        tensors[layer.kernel + 1] = rng.normal(size=n) / 10
        if layer.norm is not None:
            gamma, variance = rng.uniform(0.5, 1.5, (2, n))
            beta, mean = rng.normal(size=(2, n)) / 10
            tensors.update(enumerate((gamma, beta, mean, variance), layer.norm))
    return {tensor_name(number): np.float32(values) for number, values in tensors.items()}


def write_bundle(folder: Path, index: bytes, data: bytes) -> Path:
    """Write a bundle under its released names."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "variables.index").write_bytes(index)
    (folder / "variables.data-00000-of-00001").write_bytes(data)
    return folder
