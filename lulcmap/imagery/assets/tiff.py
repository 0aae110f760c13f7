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

from lulcmap.imagery.assets import directory
from lulcmap.imagery.assets.directory import Entry, NotTiffError

TIFF_HEADER_BYTES = 32768
"""Bytes fetched first: they hold the whole directory of a Cloud-Optimized GeoTIFF."""

_MAX_GAP_BYTES = 65536
"""Largest gap between two tiles that is fetched along with them, to save a request."""

_MAX_RANGE_BYTES = 8 * 2**20
"""Largest request, so that a large window is fetched over several connections."""

_MAX_TILE_BYTES = 64 * 2**20
"""Largest decoded tile. Tiles of 512 or 1024 pixels are common; a window needs whole ones."""

_NONE, JPEG, DEFLATE = 1, 7, (8, 32946)
"""Compression codes: none; JPEG; DEFLATE, Adobe's and the older one."""
_LISTS = {
    True: (directory.TILES, directory.TILE_BYTES),
    False: (directory.STRIPS, directory.STRIP_BYTES),
}
"""Tags of the places and sizes of tiles, and of strips."""
_PLAIN_SAMPLES = {(bits, 1, predictor) for bits in (8, 16) for predictor in (1, 2)} | {
    (32, 3, 1),
    (32, 3, 3),
}
"""Bits, sample format and predictor that ``deflate`` decodes: unsigned integers and floats."""


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
    """Predictor (1, 2 or 3) if each tile is one little-endian band in plain DEFLATE; else None."""

    compression: int
    """Code of the compression, as of TIFF: 1 none, 7 JPEG, 8 and 32946 DEFLATE."""

    fill_order: int
    """1, or 2 if the bits of each compressed byte are reversed."""

    tags: Mapping[int, Entry]
    """Type, count and value of the tags needed to decode tiles."""

    def rows_of(self, row: int) -> int:
        """Return the rows of pixels in the tiles of a row; the last strips may have fewer."""
        is_tiled = directory.TILE_WIDTH in self.tags
        return self.tile[0] if is_tiled else min(self.tile[0], self.shape[0] - row * self.tile[0])

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
    def crs_keys(self) -> tuple[Entry, ...]:
        """Entries that hold the CRS; files with equal entries have the same CRS."""
        return tuple(self.tags[tag] for tag in directory.CRS if tag in self.tags)

    def header(self, *, crs: bool = True) -> bytes:
        """Write a TIFF of the whole image without tiles, with its data type and transform.

        Args:
            crs: whether to include the CRS, which takes most of the time to open the file.

        """
        keys = {tag: self.tags[tag] for tag in directory.CRS if tag in self.tags}
        if not crs:
            keys = self._raster_type()
        no_sizes = np.zeros_like(self.sizes)
        return self._head(slice(None), slice(None), self.offsets, no_sizes, extra_tags=keys)

    def _raster_type(self) -> dict[int, Entry]:
        """Return the key that tells whether a pixel is an area or a point, half a pixel apart."""
        kind, _, value = self.tags.get(directory.CRS[0], (3, 0, b""))
        keys = np.frombuffer(value, f"{self.order}u2")
        keys = keys[: keys.size // 4 * 4].reshape(-1, 4)[1:]  # skip the directory's header
        raster_type = keys[(keys[:, 0] == directory.RASTER_TYPE_KEY) & (keys[:, 1] == 0)][:1]
        if not raster_type.size:
            return {}
        lines = np.concatenate([[[1, 1, 0, 1]], raster_type]).astype(f"{self.order}u2")
        return {directory.CRS[0]: (kind, lines.size, lines.tobytes())}

    def _head(
        self,
        rows: slice,
        cols: slice,
        places: NDArray[np.uint64],
        sizes: NDArray[np.uint64],
        *,
        extra_tags: Mapping[int, Entry] = MappingProxyType({}),
    ) -> bytes:
        """Write everything before the tiles; ``places`` are offsets from its end."""
        top, left = rows.start or 0, cols.start or 0
        height = min(self.shape[0] - top * self.tile[0], places.shape[0] * self.tile[0])
        width = min(self.shape[1] - left * self.tile[1], places.shape[1] * self.tile[1])
        lists = _LISTS[directory.TILE_WIDTH in self.tags]
        entries = {tag: self.tags[tag] for tag in directory.KEPT if tag in self.tags} | dict(
            extra_tags
        )
        entries[directory.WIDTH] = 4, 1, struct.pack(f"{self.order}I", width)
        entries[directory.HEIGHT] = 4, 1, struct.pack(f"{self.order}I", height)
        for tag in lists:
            entries[tag] = 4, places.size, bytes(4 * places.size)
        length = len(directory.write(self.order, entries))
        from_start = np.where(sizes > 0, places + np.uint64(length), 0)
        for tag, numbers in zip(lists, (from_start, sizes), strict=True):
            entries[tag] = 4, places.size, numbers.astype(f"{self.order}u4").tobytes()
        return directory.write(self.order, entries)


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
        if start + length > directory.MAX_FILE_BYTES:
            raise NotTiffError("its TIFF header is broken")
        body = read(start, length)
        if len(body) < length:
            raise NotTiffError("its header is cut short")
        return body

    order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
    version = struct.unpack(f"{order}H", head[2:4])[0] if order and len(head) >= 16 else 0
    if version == 42:
        tags = directory.read(at, order, struct.unpack(f"{order}I", head[4:8])[0], big=False)
    elif version == 43:
        tags = directory.read(at, order, struct.unpack(f"{order}Q", head[8:16])[0], big=True)
    else:
        raise NotTiffError("it is not a TIFF")
    try:
        return _layout(order, tags)
    except NotTiffError:
        raise
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise NotTiffError("its TIFF header is broken") from error


def _layout(order: str, tags: Mapping[int, Entry]) -> Layout:
    """Read a layout from the entries of a directory."""
    number = _Numbers(order, tags)
    shape = number.of(directory.HEIGHT), number.of(directory.WIDTH)
    is_tiled = directory.TILE_WIDTH in tags
    if is_tiled:
        tile = number.of(directory.TILE_HEIGHT), number.of(directory.TILE_WIDTH)
    else:
        tile = min(number.of(directory.ROWS_PER_STRIP, shape[0]), shape[0]), shape[1]
    lists = _LISTS[is_tiled]
    across = ceil(shape[0] / tile[0]), ceil(shape[1] / tile[1])
    count = across[0] * across[1]
    places = [number.all(tag)[:count] for tag in lists]
    if min(*shape, *tile) < 1 or max(shape) >= 2**31 or min(map(len, places)) < count:
        raise ValueError("the directory lists fewer tiles than the image has")
    offsets, sizes = (place.reshape(across) for place in places)
    if number.of(directory.PLANAR, 1) == 2:
        tags = _first_band(order, tags)
        number = _Numbers(order, tags)
    samples, bits = number.of(directory.SAMPLES, 1), number.of(directory.BITS, 1)
    sample = bits, number.of(directory.FORMAT, 1), number.of(directory.PREDICTOR, 1)
    compression = number.of(directory.COMPRESSION, 1)
    fill_order = number.of(directory.FILL_ORDER, 1)
    line = ceil(tile[1] * samples * bits / 8)
    _check_tiles(tile, line, offsets, sizes)
    if compression == _NONE:
        heights = np.full(across, tile[0], np.uint64)
        if not is_tiled:
            heights[-1] = shape[0] - (across[0] - 1) * tile[0]
        sizes = _check_uncompressed(sizes, heights * np.uint64(line))
    is_plain = order == "<" and samples == fill_order == 1 and sample in _PLAIN_SAMPLES
    return Layout(
        order=order,
        shape=shape,
        tile=tile,
        offsets=offsets,
        sizes=sizes,
        deflate=sample[2] if is_plain and compression in DEFLATE else None,
        compression=compression,
        fill_order=fill_order,
        tags={tag: tags[tag] for tag in (*directory.KEPT, *directory.CRS) if tag in tags},
    )


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Whole numbers in the entries of a directory."""

    order: str
    """Byte order."""

    tags: Mapping[int, Entry]
    """The entries."""

    def all(self, tag: int) -> NDArray[np.uint64]:
        """Return the numbers of a tag."""
        kind, _, value = self.tags[tag]
        return np.frombuffer(value, f"{self.order}{directory.TYPE_DTYPES[kind]}").astype(np.uint64)

    def of(self, tag: int, default: int | None = None) -> int:
        """Return the first number of a tag; the default, if there is one, where the tag lacks."""
        return default if default is not None and tag not in self.tags else int(self.all(tag)[0])


def _first_band(order: str, tags: Mapping[int, Entry]) -> dict[int, Entry]:
    """Return the entries of a file with the first of its bands alone, which are in own tiles."""
    kept = {tag: entry for tag, entry in tags.items() if tag != directory.EXTRA}
    for tag in directory.PER_BAND:
        if tag in kept:
            kind, _, value = kept[tag]
            kept[tag] = kind, 1, value[:2]
    kept[directory.SAMPLES] = 3, 1, struct.pack(f"{order}H", 1)
    return kept


def _check_tiles(
    tile: tuple[int, int], line: int, offsets: NDArray[np.uint64], sizes: NDArray[np.uint64]
) -> None:
    """Check that tiles have a place and a size that a decoder can take.

    Args:
        tile: rows and columns of a tile.
        line: bytes of a row of a tile.
        offsets: first byte of each tile.
        sizes: bytes of each tile.

    Raises:
        NotTiffError, ValueError: they have not.

    """
    raw = tile[0] * line
    if raw > _MAX_TILE_BYTES:
        raise NotTiffError(
            f"its tiles of {tile[0]} x {tile[1]} pixels take {raw / 2**20:.0f} MB each, "
            f"and no more than {_MAX_TILE_BYTES // 2**20} MB are read"
        )
    if sizes.max() > 2 * raw + _MAX_GAP_BYTES:
        raise ValueError("a tile is larger than any compression makes it")
    if int(offsets.max()) + int(sizes.max()) > directory.MAX_FILE_BYTES:
        raise ValueError("a tile lies beyond any file")
    if ((sizes == 0) != (offsets == 0)).any():  # both are 0 where a tile was never written
        raise NotTiffError("it lists a tile without a place or without bytes")


def _check_uncompressed(
    sizes: NDArray[np.uint64], wanted: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Return the bytes to read of uncompressed tiles: GDAL takes any that follow for missing ones.

    Raises:
        NotTiffError: a tile is shorter than its pixels.

    """
    short = (sizes > 0) & (sizes < wanted)
    if short.any():
        raise NotTiffError(f"a tile has {sizes[short][0]} bytes instead of {wanted[short][0]}")
    return np.minimum(sizes, wanted)
