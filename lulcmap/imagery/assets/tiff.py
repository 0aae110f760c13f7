"""Locate the tiles of a TIFF, and write small TIFFs that hold a few of them.

To read a window of a large remote file, fetch its tiles in a few ranges of bytes and put them, as
they are, into a TIFF in memory. GDAL opens only that, so every compression it supports can be read,
and nothing but bytes comes over the network.

Source of the layout: TIFF 6.0 (Adobe, 1992), BigTIFF, and GeoTIFF 1.1 (OGC 19-008r4).
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

TIFF_HEADER_BYTES = 32768
"""Bytes fetched first: they hold the whole directory of a Cloud-Optimized GeoTIFF."""

_MAX_GAP_BYTES = 65536
"""Largest gap between two tiles that is fetched along with them, to save a request."""

_MAX_RANGE_BYTES = 8 * 2**20
"""Largest request, so that a large window is fetched over several connections."""

_MAX_FILE_BYTES = 2**62
"""Largest file; a header that points beyond it is broken."""

_WIDTH, _HEIGHT, _SAMPLES, _ROWS_PER_STRIP, _PLANAR = 256, 257, 277, 278, 284
_STRIPS, _STRIP_BYTES = 273, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_BITS, _COMPRESSION, _PREDICTOR, _EXTRA, _FORMAT = 258, 259, 317, 338, 339
_PER_BAND_TAGS = (_BITS, _FORMAT)
"""Tags with one value per band."""
_DEFLATE = (8, 32946)
"""Compression codes of DEFLATE: Adobe's, and the older one."""
_PLAIN_SAMPLES = {(bits, 1, predictor) for bits in (8, 16) for predictor in (1, 2)} | {
    (32, 3, 1),
    (32, 3, 3),
}
"""Bits, sample format and predictor that ``deflate`` decodes: unsigned integers and floats."""
_PLACE_TAGS = (33550, 33922, 34264)
"""Tags of the pixel scale, tie points and transformation."""
_CRS_TAGS = (34735, 34736, 34737)
"""Tags of GeoTIFF's keys, which hold the CRS."""
_RASTER_TYPE_KEY = 1025
"""Id of the key ``GTRasterTypeGeoKey``."""
_KEPT_TAGS = (
    *(_BITS, _COMPRESSION, _PREDICTOR, _EXTRA, _FORMAT),
    *(262, 266, 347),  # photometric interpretation, fill order, JPEG tables
    *(42113, 50674),  # GDAL's nodata, LERC parameters
    *(_PLANAR, _SAMPLES, _TILE_WIDTH, _TILE_HEIGHT, _ROWS_PER_STRIP),
    *_PLACE_TAGS,
)

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8}
_TYPE_DTYPES = {1: "u1", 3: "u2", 4: "u4", 16: "u8"}
"""Bytes of one value, and numpy's integer type, by TIFF field type."""


class NotTiffError(ValueError):
    """The bytes are not a TIFF, or a broken one."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Layout of a TIFF's first directory, the full-resolution image."""

    order: str
    """Byte order: ``"<"`` or ``">"``."""

    shape: tuple[int, int]
    """Rows and columns of pixels."""

    tile: tuple[int, int]
    """Rows and columns of a tile; a strip is as wide as the image."""

    offsets: NDArray[np.uint64]
    """(rows of tiles, columns of tiles) first byte of each tile of the first band."""

    sizes: NDArray[np.uint64]
    """(rows of tiles, columns of tiles) bytes of each tile; 0 where a tile was never written."""

    deflate: int | None
    """Predictor (1, 2 or 3) if each tile is one little-endian band in DEFLATE; else None."""

    tags: Mapping[int, tuple[int, int, bytes]]
    """Type, count and value of the tags needed to decode tiles."""

    def ranges(self, rows: slice, cols: slice) -> list[tuple[int, int]]:
        """Return the ranges of a window of tiles, first byte and length, neighbours joined.

        Args:
            rows: rows of tiles.
            cols: columns of tiles.

        """
        starts, sizes = self.offsets[rows, cols].ravel(), self.sizes[rows, cols].ravel()
        order = np.argsort(starts, kind="stable")
        ranges: list[tuple[int, int]] = []
        for start, size in zip(starts[order].tolist(), sizes[order].tolist(), strict=True):
            if size == 0:
                continue
            if ranges:
                first, length = ranges[-1]
                if (
                    start - (first + length) <= _MAX_GAP_BYTES
                    and start + size - first <= _MAX_RANGE_BYTES
                ):
                    ranges[-1] = first, max(length, start + size - first)
                    continue
            ranges.append((start, size))
        return ranges

    def tiles(
        self, rows: slice, cols: slice, ranges: Sequence[tuple[int, int]], bodies: Sequence[bytes]
    ) -> list[list[memoryview]]:
        """Cut the bytes of each tile out of the ranges, row by row; empty if never written.

        Args:
            rows: rows of tiles.
            cols: columns of tiles.
            ranges: ranges of the window, as returned by ``ranges``.
            bodies: bytes of each range.

        """
        firsts = np.array([first for first, _ in ranges], np.uint64)
        views = [memoryview(body) for body in bodies]

        def tile(start: int, size: int) -> memoryview:
            if size == 0:
                return memoryview(b"")
            number = int(np.searchsorted(firsts, start, side="right")) - 1
            at = start - ranges[number][0]
            return views[number][at : at + size]

        return [
            [tile(start, size) for start, size in zip(*line, strict=True)]
            for line in zip(
                self.offsets[rows, cols].tolist(), self.sizes[rows, cols].tolist(), strict=True
            )
        ]

    def excerpt(self, rows: slice, cols: slice, tiles: Sequence[Sequence[memoryview]]) -> bytes:
        """Write a TIFF of a window of tiles, without CRS and with the transform of the whole.

        Args:
            rows: rows of tiles.
            cols: columns of tiles.
            tiles: bytes of each tile, as returned by ``tiles``.

        """
        sizes = self.sizes[rows, cols]
        ends = np.cumsum(sizes.ravel()).reshape(sizes.shape)
        head = self._head(rows, cols, ends - sizes, sizes)
        return b"".join([head, *(tile for line in tiles for tile in line)])

    @property
    def crs_keys(self) -> tuple[tuple[int, int, bytes], ...]:
        """Entries that hold the CRS; files with equal entries have the same CRS."""
        return tuple(self.tags[tag] for tag in _CRS_TAGS if tag in self.tags)

    def header(self, *, crs: bool = True) -> bytes:
        """Write a TIFF of the whole image without tiles, with its data type and transform.

        Args:
            crs: whether to include the CRS, which takes most of the time to open the file.

        """
        keys = {tag: self.tags[tag] for tag in _CRS_TAGS if tag in self.tags}
        if not crs:
            keys = self._raster_type()
        no_sizes = np.zeros_like(self.sizes)
        return self._head(slice(None), slice(None), self.offsets, no_sizes, extra_tags=keys)

    def _raster_type(self) -> dict[int, tuple[int, int, bytes]]:
        """Return the key that tells whether a pixel is an area or a point, half a pixel apart."""
        kind, _, value = self.tags.get(_CRS_TAGS[0], (3, 0, b""))
        keys = np.frombuffer(value, f"{self.order}u2")
        keys = keys[: keys.size // 4 * 4].reshape(-1, 4)[1:]  # skip the directory's header
        raster_type = keys[(keys[:, 0] == _RASTER_TYPE_KEY) & (keys[:, 1] == 0)][:1]
        if not raster_type.size:
            return {}
        lines = np.concatenate([[[1, 1, 0, 1]], raster_type]).astype(f"{self.order}u2")
        return {_CRS_TAGS[0]: (kind, lines.size, lines.tobytes())}

    def _head(
        self,
        rows: slice,
        cols: slice,
        places: NDArray[np.uint64],
        sizes: NDArray[np.uint64],
        *,
        extra_tags: Mapping[int, tuple[int, int, bytes]] = MappingProxyType({}),
    ) -> bytes:
        """Write everything before the tiles; ``places`` are offsets from its end."""
        top, left = rows.start or 0, cols.start or 0
        height = min(self.shape[0] - top * self.tile[0], places.shape[0] * self.tile[0])
        width = min(self.shape[1] - left * self.tile[1], places.shape[1] * self.tile[1])
        tiled = _TILE_WIDTH in self.tags
        entries = {tag: self.tags[tag] for tag in _KEPT_TAGS if tag in self.tags} | dict(extra_tags)
        entries[_WIDTH] = 4, 1, struct.pack(f"{self.order}I", width)
        entries[_HEIGHT] = 4, 1, struct.pack(f"{self.order}I", height)
        lists = (_TILES, _TILE_BYTES) if tiled else (_STRIPS, _STRIP_BYTES)
        for tag in lists:
            entries[tag] = 4, places.size, bytes(4 * places.size)
        length = len(_directory(self.order, entries))
        from_start = np.where(sizes > 0, places + np.uint64(length), 0)
        for tag, numbers in zip(lists, (from_start, sizes), strict=True):
            entries[tag] = 4, places.size, numbers.astype(f"{self.order}u4").tobytes()
        return _directory(self.order, entries)


def _directory(order: str, entries: Mapping[int, tuple[int, int, bytes]]) -> bytes:
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


def parse(read: Callable[[int, int], bytes]) -> Layout:
    """Read the layout of a TIFF.

    Args:
        read: function that reads bytes of the file, given the first and their number; fewer at the
            end of the file.

    Raises:
        NotTiffError: the file is not a TIFF, or a broken one.

    """
    head = read(0, TIFF_HEADER_BYTES)

    def at(start: int, length: int) -> bytes:
        if start + length <= len(head):
            return head[start : start + length]
        if start + length > _MAX_FILE_BYTES:
            raise NotTiffError("its TIFF header is broken")
        body = read(start, length)
        if len(body) < length:
            raise NotTiffError("its header is cut short")
        return body

    order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
    version = struct.unpack(f"{order}H", head[2:4])[0] if order and len(head) >= 16 else 0
    if version == 42:
        tags = _tags(at, order, struct.unpack(f"{order}I", head[4:8])[0], big=False)
    elif version == 43:
        tags = _tags(at, order, struct.unpack(f"{order}Q", head[8:16])[0], big=True)
    else:
        raise NotTiffError("it is not a TIFF")
    try:
        return _layout(order, tags)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise NotTiffError("its TIFF header is broken") from error


def _tags(
    at: Callable[[int, int], bytes], order: str, place: int, *, big: bool
) -> dict[int, tuple[int, int, bytes]]:
    """Read the entries of a directory that are needed: type, count, value."""
    head, entry, field = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    size = struct.calcsize(f"={head}")
    (count,) = struct.unpack(f"{order}{head}", at(place, size))
    if count > 4096:  # broken: do not fetch gigabytes
        raise NotTiffError("its TIFF header is broken")
    step = struct.calcsize(f"={entry}") + field
    table = at(place + size, count * step)
    wanted = {*_KEPT_TAGS, *_CRS_TAGS, _WIDTH, _HEIGHT, _STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES}
    tags = {}
    for start in range(0, count * step, step):
        tag, kind, length = struct.unpack_from(f"{order}{entry}", table, start)
        if tag not in wanted or kind not in _TYPE_BYTES:
            continue
        total = _TYPE_BYTES[kind] * length
        if total > 64 * 2**20:
            raise NotTiffError("its TIFF header is broken")
        value = table[start + step - field : start + step]
        if total > field:
            value = at(struct.unpack(f"{order}{'Q' if big else 'I'}", value)[0], total)
        tags[tag] = kind, length, value[:total]
    return tags


def _layout(order: str, tags: Mapping[int, tuple[int, int, bytes]]) -> Layout:
    def numbers(tag: int) -> NDArray[np.uint64]:
        kind, _, value = tags[tag]
        return np.frombuffer(value, f"{order}{_TYPE_DTYPES[kind]}").astype(np.uint64)

    def number(tag: int, default: int | None = None) -> int:
        return default if default is not None and tag not in tags else int(numbers(tag)[0])

    height, width = number(_HEIGHT), number(_WIDTH)
    if _TILE_WIDTH in tags:
        tile = number(_TILE_HEIGHT), number(_TILE_WIDTH)
        offsets, sizes = numbers(_TILES), numbers(_TILE_BYTES)
    else:
        tile = min(number(_ROWS_PER_STRIP, height), height), width
        offsets, sizes = numbers(_STRIPS), numbers(_STRIP_BYTES)
    across = ceil(height / tile[0]), ceil(width / tile[1])
    count = across[0] * across[1]
    if number(_PLANAR, 1) == 2:  # bands in separate tiles: keep only the first band
        tags = {tag: entry for tag, entry in tags.items() if tag != _EXTRA}
        tags |= {tag: (tags[tag][0], 1, tags[tag][2][:2]) for tag in _PER_BAND_TAGS if tag in tags}
        tags[_SAMPLES] = 3, 1, struct.pack(f"{order}H", 1)
    sample = number(_BITS, 1), number(_FORMAT, 1), number(_PREDICTOR, 1)
    is_plain = order == "<" and _TILE_WIDTH in tags and number(_SAMPLES, 1) == 1
    is_deflate = number(_COMPRESSION, 1) in _DEFLATE and sample in _PLAIN_SAMPLES
    if min(height, width, *tile) < 1 or min(len(offsets), len(sizes)) < count:
        raise ValueError("the directory lists fewer tiles than the image has")
    raw = tile[0] * tile[1] * ceil(number(_SAMPLES, 1) * sample[0] / 8)
    last = int(offsets.max()) + int(sizes.max())
    if (
        max(height, width, raw) >= 2**31
        or sizes.max() > 2 * raw + _MAX_GAP_BYTES
        or last > _MAX_FILE_BYTES
    ):
        raise ValueError("a tile is larger than any compression makes it")
    return Layout(
        order=order,
        shape=(height, width),
        tile=tile,
        offsets=offsets[:count].reshape(across),
        sizes=sizes[:count].reshape(across),
        deflate=sample[2] if is_plain and is_deflate else None,
        tags={tag: tags[tag] for tag in (*_KEPT_TAGS, *_CRS_TAGS) if tag in tags},
    )
