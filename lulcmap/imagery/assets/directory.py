"""Read and write the directory of a TIFF: the tags that are needed to decode its tiles.

Source: TIFF 6.0 (Adobe, 1992), BigTIFF, and GeoTIFF 1.1 (OGC 19-008r4).
"""

import struct
from collections.abc import Callable, Mapping

Entry = tuple[int, int, bytes]
"""Type, count and value of a tag."""

MAX_FILE_BYTES = 2**62
"""Largest file; a header that points beyond it is broken."""

_MAX_HEADER_BYTES = 16 * 2**20
"""Most bytes of a directory's values: those of a million tiles. Thousands of headers are kept."""

_MAX_VALUE_BYTES = 65536
"""Most bytes of any value but the lists of tiles; keys and tables take a few thousand."""

WIDTH, HEIGHT, SAMPLES, ROWS_PER_STRIP, PLANAR = 256, 257, 277, 278, 284
STRIPS, STRIP_BYTES = 273, 279
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES = 322, 323, 324, 325
BITS, COMPRESSION, PREDICTOR, EXTRA, FORMAT = 258, 259, 317, 338, 339
FILL_ORDER = 266
_LISTS = (STRIPS, STRIP_BYTES, TILES, TILE_BYTES)
"""Tags with one value per tile."""
PER_BAND = (BITS, FORMAT)
"""Tags with one value per band."""
_PLACE = (33550, 33922, 34264)
"""Tags of the pixel scale, tie points and transformation."""
CRS = (34735, 34736, 34737)
"""Tags of GeoTIFF's keys, which hold the CRS."""
RASTER_TYPE_KEY = 1025
"""Id of the key ``GTRasterTypeGeoKey``."""
KEPT = (
    *(BITS, COMPRESSION, PREDICTOR, EXTRA, FORMAT),
    *(262, FILL_ORDER, 347),  # photometric interpretation, JPEG tables
    *(42113, 50674),  # GDAL's nodata, LERC parameters
    *(PLANAR, SAMPLES, TILE_WIDTH, TILE_HEIGHT, ROWS_PER_STRIP),
    *_PLACE,
)

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8}
TYPE_DTYPES = {1: "u1", 3: "u2", 4: "u4", 16: "u8"}
"""Bytes of one value, and numpy's integer type, by TIFF field type."""


class NotTiffError(ValueError):
    """The bytes are not a TIFF, or a broken one."""


def read(at: Callable[[int, int], bytes], order: str, place: int, *, big: bool) -> dict[int, Entry]:
    """Read the entries of a directory that are needed.

    As in libtiff, the first entry of a tag counts. What other directories or tags hold is not read.

    Args:
        at: function that reads bytes of the file, given the first and their number.
        order: byte order, ``"<"`` or ``">"``.
        place: first byte of the directory.
        big: whether the file is a BigTIFF.

    Returns:
        The entries by tag.

    Raises:
        NotTiffError: the directory is broken, or too large to be one of a scene.

    """
    head, entry, field = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    size = struct.calcsize(f"={head}")
    (count,) = struct.unpack(f"{order}{head}", at(place, size))
    if count > 4096:  # broken: do not fetch gigabytes
        raise NotTiffError("its TIFF header is broken")
    step = struct.calcsize(f"={entry}") + field
    table = at(place + size, count * step)
    wanted = {*KEPT, *CRS, *_LISTS, WIDTH, HEIGHT}
    entries: dict[int, Entry] = {}
    left = _MAX_HEADER_BYTES
    for start in range(0, count * step, step):
        tag, kind, length = struct.unpack_from(f"{order}{entry}", table, start)
        if tag not in wanted or tag in entries or kind not in _TYPE_BYTES:
            continue
        total = _TYPE_BYTES[kind] * length
        left -= total
        if left < 0 or (total > _MAX_VALUE_BYTES and tag not in _LISTS):
            raise NotTiffError("its TIFF header is too large")
        value = table[start + step - field : start + step]
        if total > field:
            value = at(struct.unpack(f"{order}{'Q' if big else 'I'}", value)[0], total)
        entries[tag] = kind, length, value[:total]
    return entries


def write(order: str, entries: Mapping[int, Entry]) -> bytes:
    """Write a classic TIFF's head: one directory, and the values it points to."""
    table, values = bytearray(), bytearray()
    first = 8 + 2 + 12 * len(entries) + 4
    for tag in sorted(entries):
        kind, count, value = entries[tag]
        if len(value) <= 4:
            field = value.ljust(4, b"\0")
        else:
            field = struct.pack(f"{order}I", first + len(values))
            values += value + bytes(len(value) % 2)
        table += struct.pack(f"{order}HHI", tag, kind, count) + field
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(f"{order}HIH", 42, 8, len(entries))
    return bytes(head + table + bytes(4) + values)
