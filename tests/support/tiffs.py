"""TIFFs written by hand: with tags that no library would write."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 12: 8, 16: 8}
"""Bytes of a number, by TIFF field type."""

CODES = {1: "B", 3: "H", 4: "I", 12: "d", 16: "Q"}

KEYS = ((1024, 1), (1025, 1), (3072, 32632))
"""GeoTIFF keys: projected, pixels are areas, UTM zone 32 north."""

Tag = tuple[int, Sequence[Any]]
"""Field type, and numbers."""


def directory(entries: Sequence[tuple[int, Tag]]) -> bytes:
    """A little-endian TIFF's head of one directory, its entries in the order given."""
    table, values = b"", b""
    first = 8 + 2 + 12 * len(entries) + 4
    for tag, (kind, numbers) in entries:
        body = struct.pack(f"<{len(numbers)}{CODES[kind]}", *numbers)
        field = body.ljust(4, b"\0")
        if len(body) > 4:
            field = struct.pack("<I", first + len(values))
            values += body + bytes(len(body) % 2)
        table += struct.pack("<HHI", tag, kind, len(numbers)) + field
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + table + bytes(4) + values


def geokeys(keys: Sequence[tuple[int, int]]) -> Tag:
    """The tag of GeoTIFF keys that are short numbers."""
    return 3, [1, 1, 0, len(keys), *(part for key, value in keys for part in (key, 0, 1, value))]


def tiff(
    pixels: np.ndarray,
    tags: Mapping[int, Tag | None] | None = None,
    *,
    body: bytes | None = None,
    repeated: Sequence[tuple[int, Tag]] = (),
) -> bytes:
    """A TIFF of one tile in DEFLATE, in UTM zone 32 with its corner at 500000, 5000040.

    Args:
        pixels: (H, W) uint16.
        tags: tags that are added or replaced; None takes one away.
        body: bytes of the tile; by default the pixels.
        repeated: further entries, put behind all others of their tag.

    """
    body = zlib.compress(pixels.astype("<u2").tobytes()) if body is None else body
    height, width = pixels.shape
    entries: dict[int, Tag | None] = {
        256: (3, [width]),
        257: (3, [height]),
        258: (3, [16]),
        259: (3, [8]),
        262: (3, [1]),
        277: (3, [1]),
        322: (3, [width]),
        323: (3, [height]),
        324: (4, [0]),
        325: (4, [len(body)]),
        339: (3, [1]),
        33550: (12, [10.0, 10.0, 0.0]),
        33922: (12, [0.0, 0.0, 0.0, 500_000.0, 5_000_040.0, 0.0]),
        34735: geokeys(KEYS),
        **(tags or {}),
    }
    kept = [(tag, entry) for tag, entry in entries.items() if entry is not None]
    ordered = sorted([*kept, *repeated], key=lambda entry: entry[0])
    length = len(directory(ordered))
    placed = [
        (tag, (4, [length]) if tag == 324 and entry == (4, [0]) else entry)
        for tag, entry in ordered
    ]
    return directory(placed) + body
