"""Read TensorFlow's variable bundle without TensorFlow: tensors by their name.

A bundle is two files: an index, a table whose values tell type, shape, place and checksum of a
tensor, and the tensors' bytes. Source: https://github.com/tensorflow/tensorflow,
tensorflow/core/protobuf/tensor_bundle.proto and core/util/tensor_bundle.
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from lulcmap.model.dynamic_world.checksum import masked_crc32c
from lulcmap.model.dynamic_world.table import read_table
from lulcmap.model.protobuf import read_fields

_HEADER_KEY = b""
_N_SHARDS, _ENDIANNESS = 1, 2
"""Fields of the header."""

_DTYPE, _SHAPE, _SHARD, _FIRST, _SIZE, _CHECKSUM, _SLICES = range(1, 8)
"""Fields of a tensor's entry."""

_DIM, _UNKNOWN_RANK, _DIM_SIZE = 2, 3, 1
"""Fields of a shape, and of its dimensions."""

_FLOAT32 = 1
_MAX_DIMENSIONS = 8

Fields = Mapping[int, int | memoryview]


def read_tensors(index: bytes, data: bytes, names: Iterable[str]) -> dict[str, NDArray[np.float32]]:
    """Read tensors of float32 from a bundle of one data file.

    Args:
        index: content of ``variables.index``.
        data: content of ``variables.data-00000-of-00001``.
        names: names of the tensors.

    Raises:
        ValueError: the bytes are no such bundle, or hold not all of the tensors unharmed.

    """
    entries = read_table(memoryview(index))
    header = _fields(entries.get(_HEADER_KEY, memoryview(b"")))
    if header.get(_N_SHARDS) != 1 or header.get(_ENDIANNESS, 0) != 0:
        raise ValueError("it is no bundle of one data file, little-endian")
    tensors = {}
    for name in names:
        entry = entries.get(name.encode())
        if entry is None:
            raise ValueError(f"it lacks the tensor {name}")
        tensors[name] = _tensor(name, _fields(entry), memoryview(data))
    return tensors


def _tensor(name: str, entry: Fields, data: memoryview) -> NDArray[np.float32]:
    if entry.get(_DTYPE) != _FLOAT32 or entry.get(_SHARD, 0) != 0 or _SLICES in entry:
        raise ValueError(f"the tensor {name} is no float32 in one piece")
    shape = _shape(name, entry.get(_SHAPE, b""))
    first, size = entry.get(_FIRST, 0), entry.get(_SIZE, 0)
    if not isinstance(first, int) or not isinstance(size, int) or first + size > len(data):
        raise ValueError(f"the tensor {name} lies outside of the data")
    if size != 4 * math.prod(shape):
        raise ValueError(f"the tensor {name} has {size} bytes, which is not its shape {shape}")
    values, checksum = data[first : first + size], entry.get(_CHECKSUM)
    if not isinstance(checksum, memoryview) or int.from_bytes(checksum, "little") != masked_crc32c(
        values
    ):
        raise ValueError(f"the checksum of the tensor {name} is wrong")
    tensor = np.frombuffer(values, "<f4").reshape(shape).astype(np.float32)
    if not np.isfinite(tensor).all():
        raise ValueError(f"the tensor {name} holds numbers that are not finite")
    return tensor


def _shape(name: str, message: int | memoryview | bytes) -> tuple[int, ...]:
    if isinstance(message, int):
        raise ValueError(f"the tensor {name} has no shape")
    sizes = []
    for number, value in read_fields(memoryview(message)):
        if number == _UNKNOWN_RANK and value:
            raise ValueError(f"the tensor {name} has no shape")
        if number == _DIM and isinstance(value, memoryview):
            size = _fields(value).get(_DIM_SIZE, 0)
            sizes.append(size if isinstance(size, int) else 0)
    if len(sizes) > _MAX_DIMENSIONS:
        raise ValueError(f"the tensor {name} has {len(sizes)} dimensions")
    return tuple(sizes)


def _fields(message: memoryview) -> Fields:
    return dict(read_fields(message))
