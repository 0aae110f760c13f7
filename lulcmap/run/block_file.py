"""The file of a finished block: a small GeoTIFF that proves itself undamaged.

Two proofs: its tags hold SHA-256 sums of the facts and of the pixels, and behind the GeoTIFF, where
no reader looks, stands the SHA-256 of all bytes before it. The second finds every flipped bit and
needs no decoding, so it is checked again just before a map is joined.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from lulcmap.errors import OutputError
from lulcmap.geo import RESOLUTION_M, Block
from lulcmap.legend import NODATA
from lulcmap.run.facts import BlockFacts
from lulcmap.system import GDAL_OPTIONS

BLOCK_BANDS = ("class", "confidence", "margin", "s2_count", "s1_count", "origin")
"""Bands of a block file, uint8, in order; where nothing is mapped the first three are 255 and the
others 0."""

BLOCK_BYTES_PER_PIXEL = 1.4
"""Most bytes of a block's file a pixel; simulated countries have 1.23 to 1.30, smooth land less."""

_BLOCK_BANDS_0_1 = (*BLOCK_BANDS[:5], "source")
"""The same bands as version 0.1.0 named them; its blocks carry no checksum."""

_FACTS_TAG, _SHA256_TAG = "lulcmap", "lulcmap_sha256"
"""Metadata items of a block file: its facts as JSON, and the SHA-256 of that text."""

_PIXELS_SHA256 = "pixels_sha256"
"""Key of the facts' JSON that holds the SHA-256 of the bands. The two together prove that neither
facts nor pixels were damaged since the block was written."""

_BLOCK_LAYOUT: Mapping[str, Any] = {
    "driver": "GTiff",
    "tiled": True,
    "blockxsize": 512,
    "blockysize": 512,
    "compress": "deflate",
    "zlevel": 1,  # half the time of 6 for a tenth more bytes, in files that are soon removed
    "interleave": "band",  # the mosaic reads one band and need not decompress the other five
}

_DIGEST_BYTES = 32
"""Bytes of a SHA-256."""

DAMAGED = "is damaged"
"""Fault of a block whose file is not as it was written; of other faults there is no more to say."""

_UNREADABLE = (
    *(RasterioError, KeyError, ValueError, TypeError, AttributeError, OverflowError),
    RecursionError,
)
"""What damaged facts and pixels raise."""


@contextmanager
def encoded_block(
    bands: NDArray[np.uint8], grid: GeoBox, facts: BlockFacts
) -> Iterator[memoryview]:
    """The content of a block's file, for the body.

    It is in memory, so that a full disk is Python's error and not a line in GDAL's log.

    Args:
        bands: (6, H, W) in the order of ``BLOCK_BANDS``, 255 nodata.
        grid: grid of the block, (H, W).
        facts: what the report needs to know of it.

    """
    crs = grid.crs
    if crs is None or bands.shape != (len(BLOCK_BANDS), *grid.shape) or bands.dtype != np.uint8:
        raise ValueError(f"a block of {bands.dtype} {bands.shape} on a grid of {grid.shape}")
    with rasterio.Env(**GDAL_OPTIONS), MemoryFile() as memory:
        with memory.open(
            count=len(BLOCK_BANDS),
            height=grid.shape[0],
            width=grid.shape[1],
            dtype="uint8",
            nodata=NODATA,
            crs=crs.to_wkt(),
            transform=grid.affine,
            **_BLOCK_LAYOUT,
        ) as dataset:
            dataset.descriptions = BLOCK_BANDS
            values = {**facts.to_json(), _PIXELS_SHA256: _pixels_sha256(bands)}
            text = json.dumps(values, sort_keys=True)
            dataset.update_tags(**{_FACTS_TAG: text, _SHA256_TAG: _sha256(text.encode())})
            dataset.write(bands)
        content = bytes(memory.getbuffer())
    yield memoryview(content + hashlib.sha256(content).digest())


def encoded_layer(bands: NDArray[Any], grid: GeoBox, *, nodata: int) -> bytes:
    """The content of what a block keeps for a layer of the map, with the proof behind it.

    Args:
        bands: (B, H, W) values of the layer, uint8 or uint16.
        grid: grid of the block, (H, W).
        nodata: value of pixels without any.

    """
    crs = grid.crs
    if crs is None or bands.shape[1:] != grid.shape:
        raise ValueError(f"a layer of {bands.shape} on a grid of {grid.shape}")
    count, height, width = bands.shape
    with rasterio.Env(**GDAL_OPTIONS), MemoryFile() as memory:
        with memory.open(
            count=count,
            height=height,
            width=width,
            dtype=str(bands.dtype),
            nodata=nodata,
            crs=crs.to_wkt(),
            transform=grid.affine,
            **_BLOCK_LAYOUT,
        ) as dataset:
            dataset.write(bands)
        content = bytes(memory.getbuffer())
    return content + hashlib.sha256(content).digest()


def read_facts(path: Path) -> BlockFacts:
    """The facts that a block was written with.

    Args:
        path: path of the file of a block that is done.

    Raises:
        OutputError: it cannot be read.

    """
    try:
        with rasterio.Env(**GDAL_OPTIONS), rasterio.open(path) as dataset:
            return BlockFacts.from_json(_checked_facts(dataset))
    except _UNREADABLE as error:
        raise OutputError(
            f"Block {path} cannot be read ({error}). Run the same command again to make "
            "the block again."
        ) from error


def block_fault(content: bytes, block: Block, plan: str) -> str | None:
    """What is wrong with the file of a block; None if it is as written, in every tile.

    Args:
        content: content of the file.
        block: the block.
        plan: digest of the plan.

    Returns:
        ``DAMAGED``, another fault, or None.

    """
    left, top = block.box.col * RESOLUTION_M, -block.box.row * RESOLUTION_M
    try:
        with (
            rasterio.Env(**GDAL_OPTIONS),
            MemoryFile(content) as memory,
            memory.open() as dataset,
        ):
            values = _checked_facts(dataset)
            is_old = dataset.descriptions == _BLOCK_BANDS_0_1
            if not (is_old or has_proof(content)) or not _has_whole_pixels(dataset, values):
                return DAMAGED
            is_of_plan = (
                BlockFacts.from_json(values).plan == plan
                and dataset.shape == block.box.shape
                and dataset.descriptions in (BLOCK_BANDS, _BLOCK_BANDS_0_1)
                and set(dataset.dtypes) == {"uint8"}
                and (dataset.transform.c, dataset.transform.f) == (left, top)
            )
            return None if is_of_plan else "is of another plan"
    except _UNREADABLE:
        return DAMAGED


def check_block(path: Path) -> None:
    """Check that a block's file is as it was written, before its pixels are used.

    Raises:
        OutputError: it is damaged, or cannot be read.

    """
    try:
        content = path.read_bytes()
        if has_proof(content):
            return
        with rasterio.Env(**GDAL_OPTIONS), rasterio.open(path, driver="GTiff") as dataset:
            fault = None if dataset.descriptions == _BLOCK_BANDS_0_1 else DAMAGED
    except UnicodeDecodeError:  # of a damaged description
        fault = DAMAGED
    except (RasterioError, OSError) as error:
        fault = f"cannot be read ({error})"
    if fault is not None:
        raise OutputError(
            f"Block {path} {fault}. Run the same command again to make the block again."
        )


def has_proof(content: bytes) -> bool:
    """Whether a file of a block ends with the SHA-256 of the bytes before."""
    body = memoryview(content)[:-_DIGEST_BYTES]
    return hashlib.sha256(body).digest() == content[-_DIGEST_BYTES:]


def _checked_facts(dataset: Any) -> dict[str, Any]:
    """The values of a block's facts, proved undamaged; version 0.1.0 wrote no proof."""
    tags = dataset.tags()
    text = tags[_FACTS_TAG]
    if dataset.descriptions == BLOCK_BANDS and _sha256(text.encode()) != tags[_SHA256_TAG]:
        raise ValueError("its facts are damaged")
    values: dict[str, Any] = json.loads(text)
    return values


def _has_whole_pixels(dataset: Any, values: Mapping[str, Any]) -> bool:
    """Whether every tile can be read, and the pixels are those that were written."""
    digest = _pixels_sha256(dataset.read(band) for band in dataset.indexes)
    return dataset.descriptions == _BLOCK_BANDS_0_1 or digest == values[_PIXELS_SHA256]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _pixels_sha256(bands: Iterable[NDArray[np.uint8]]) -> str:
    """SHA-256 of bands, one after the other, hexadecimal."""
    digest = hashlib.sha256()
    for band in bands:
        digest.update(np.ascontiguousarray(band).data)
    return digest.hexdigest()
