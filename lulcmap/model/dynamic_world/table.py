"""Read a table of keys and values: the format of LevelDB, in which TensorFlow writes an index.

A table ends in a footer that points to its index block, whose values point to the blocks of
entries. A block is maybe compressed (Snappy) and has a checksum; its keys leave out what they share
with the key before. Sources: https://github.com/google/leveldb, doc/table_format.md;
https://github.com/google/snappy, format_description.txt.
"""

from collections.abc import Iterator

from lulcmap.model.dynamic_world.checksum import masked_crc32c
from lulcmap.model.protobuf import read_varint

_FOOTER_BYTES = 48
_MAGIC = 0xDB4775248B80FB57
"""Last eight bytes of a table."""

_TRAILER_BYTES = 5
"""Bytes after a block: the way of compression, and the checksum of both."""

_PLAIN, _SNAPPY = 0, 1

MAX_BLOCK_BYTES = 1 << 20
"""Largest block, decompressed."""

MAX_ENTRIES = 100_000
"""Most entries of a table."""

Span = tuple[int, int]
"""First byte and number of bytes."""


def read_table(data: memoryview) -> dict[bytes, memoryview]:
    """The entries of a table.

    Raises:
        ValueError: the bytes are not a whole table, or are larger than this reads.

    """
    if len(data) < _FOOTER_BYTES or int.from_bytes(data[-8:], "little") != _MAGIC:
        raise ValueError("it is no table, or cut off")
    footer = data[-_FOOTER_BYTES:]
    _, at = _span(footer, 0)  # of metadata, which TensorFlow leaves empty
    index, _ = _span(footer, at)
    entries: dict[bytes, memoryview] = {}
    for _, value in _entries(_block(data, index)):
        span, _ = _span(value, 0)
        for key, found in _entries(_block(data, span)):
            if key in entries or len(entries) == MAX_ENTRIES:
                raise ValueError("it has a key twice, or too many")
            entries[key] = found
    return entries


def _span(data: memoryview, at: int) -> tuple[Span, int]:
    """Read where a block is; return that and the position after it."""
    first, at = read_varint(data, at)
    size, at = read_varint(data, at)
    return (first, size), at


def _block(data: memoryview, span: Span) -> memoryview:
    """A block, checked and decompressed."""
    first, size = span
    end = first + size + _TRAILER_BYTES
    if size > MAX_BLOCK_BYTES or end > len(data) - _FOOTER_BYTES:
        raise ValueError("a block lies outside of it")
    stored, way = data[first : first + size], data[first + size]
    checksum = int.from_bytes(data[end - 4 : end], "little")
    if masked_crc32c(data[first : first + size + 1]) != checksum:
        raise ValueError("the checksum of a block is wrong")
    if way == _PLAIN:
        return stored
    if way == _SNAPPY:
        return memoryview(decompress(stored))
    raise ValueError(f"a block is compressed in an unknown way ({way})")


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield keys and values of a block."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * restarts
    if len(block) < 4 or end < 0:
        raise ValueError("a block is cut off")
    at, key = 0, b""
    while at < end:
        shared, at = read_varint(block, at)
        own, at = read_varint(block, at)
        size, at = read_varint(block, at)
        if shared > len(key) or at + own + size > end:
            raise ValueError("an entry lies outside of its block")
        key = key[:shared] + bytes(block[at : at + own])
        at += own
        yield key, block[at : at + size]
        at += size


def decompress(data: memoryview) -> bytes:
    """Decompress Snappy's block format.

    Raises:
        ValueError: the bytes are not that, or give more than ``MAX_BLOCK_BYTES``.

    """
    expected, at = read_varint(data, 0)
    if expected > MAX_BLOCK_BYTES:
        raise ValueError("a block is too large")
    out = bytearray()
    while at < len(data):
        tag, at = data[at], at + 1
        if tag & 3 == 0:
            size, at = _literal_size(data, at, tag >> 2)
            out += data[at : at + size]
            at += size
        else:
            size, back, at = _copy(data, at, tag)
            _repeat(out, size, back)
        if at > len(data) or len(out) > expected:
            raise ValueError("a compressed block is cut off, or too long")
    if len(out) != expected:
        raise ValueError("a compressed block is cut off")
    return bytes(out)


def _literal_size(data: memoryview, at: int, code: int) -> tuple[int, int]:
    """Length of a run of plain bytes, and the position of its first."""
    if code < 60:
        return code + 1, at
    n_bytes = code - 59
    return int.from_bytes(data[at : at + n_bytes], "little") + 1, at + n_bytes


def _copy(data: memoryview, at: int, tag: int) -> tuple[int, int, int]:
    """Length of a copy, how far back it starts, and the position after it."""
    if tag & 3 == 1:
        low = int.from_bytes(data[at : at + 1], "little")
        return (tag >> 2 & 7) + 4, (tag >> 5) << 8 | low, at + 1
    n_bytes = 2 if tag & 3 == 2 else 4
    return (tag >> 2) + 1, int.from_bytes(data[at : at + n_bytes], "little"), at + n_bytes


def _repeat(out: bytearray, size: int, back: int) -> None:
    """Append bytes that were written before; they may reach into themselves."""
    if not 0 < back <= len(out):
        raise ValueError("a compressed block refers to bytes before its first")
    start = len(out) - back
    for at in range(start, start + size):
        out.append(out[at])
