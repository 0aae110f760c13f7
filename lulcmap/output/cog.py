"""The finished map: a validated Cloud-Optimized GeoTIFF with its palette, class names and tags."""

import io
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError  # what copy raises; public nowhere
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate

from lulcmap.errors import OutputError
from lulcmap.legend import CLASS_TAG, CLASSES, NODATA, LandCover
from lulcmap.system import GDAL_OPTIONS, check_disk, replacing

PLAN_TAG = "LULCMAP_PLAN"
"""The tag with the digest of the plan a map was made under."""

REQUEST_TAG = "LULCMAP_REQUEST"
"""The tag with the digest of what was asked for: the plan without its scenes."""

_TILE_PX = 512
"""Pixels a side of a tile, also of the overviews."""

_COG_OPTIONS = {
    "driver": "COG",
    "BLOCKSIZE": _TILE_PX,
    "COMPRESS": "DEFLATE",  # every reader has it
    "LEVEL": 6,
    "PREDICTOR": "NO",  # class ids are no quantity
    "OVERVIEW_RESAMPLING": "MODE",
    "BIGTIFF": "IF_SAFER",
    "SPARSE_OK": True,  # an empty tile takes no room
    "NUM_THREADS": 4,  # each takes 13 MB; tiles are written in one order, so the bytes are the same
}

_MAX_DISK_RATIO = 1.5
"""Most that is on disk at a time beside the joined map, the temporary overviews included, in sizes
of the joined map: 1.28 was measured for land, 1.41 for noise (``benchmarks/README.md``)."""

_DISK_CHECK_S = 0.5
"""Seconds between two looks at the disk."""


def write_cog(
    source: Path,
    out: Path,
    *,
    tags: Mapping[str, str],
    legend: Sequence[LandCover] = CLASSES,
) -> None:
    """Write a map as a Cloud-Optimized GeoTIFF: a valid one, or nothing.

    GeoTIFF has no place for class names, so they are tags of the band: ``CLASS_0=water`` and so on.
    GDAL writes the overviews into a temporary file beside the map first.

    Args:
        source: GeoTIFF of one uint8 band, 255 nodata.
        out: file to write, or to replace.
        tags: of the file; ``PLAN_TAG`` is the one that ``plan_of`` reads.
        legend: the classes' ids, names and colours.

    Raises:
        OutputError: it cannot be written, is not what it ought to be, or the disk has no room for
            it, before it is begun or while it is written.

    """
    try:
        with replacing(out) as part:
            check_disk(out.parent, cog_bytes(source.stat().st_size), "the map")
            _watched(partial(_copy, source, part, tags=tags, legend=legend), out.parent)
            with rasterio.Env(**GDAL_OPTIONS):
                _check(part, source, tags=tags, legend=legend)
    except (RasterioError, CPLE_BaseError, OSError) as error:
        raise OutputError(
            f"The map cannot be written to {out} ({error}). See that the disk is not full and the "
            "folder can be written, then run the same command again."
        ) from error


def cog_bytes(joined: int) -> int:
    """Bytes that ``write_cog`` takes at most, temporary ones included.

    Args:
        joined: bytes of its source.

    """
    return int(_MAX_DISK_RATIO * joined)


def plan_of(path: Path) -> str | None:
    """Digest of the plan a map was made under; None if there is no map, or it is not lulcmap's."""
    return _tag(path, PLAN_TAG)


def request_of(path: Path) -> str | None:
    """Digest of what was asked for when a map was made; None as of ``plan_of``."""
    return _tag(path, REQUEST_TAG)


def _tag(path: Path, name: str) -> str | None:
    try:
        with rasterio.Env(**GDAL_OPTIONS), rasterio.open(path) as dataset:
            value: str | None = dataset.tags().get(name)
    except RasterioError:
        return None
    return value


def _watched(work: Callable[[threading.Event], None], folder: Path) -> None:
    """Do what takes minutes without Python, while this thread sees to the disk and hears signals.

    Args:
        work: called in a thread of its own with an event; it ends early once that is set.
        folder: written to.

    Raises:
        OutputError: the disk has no room left; the work has ended.

    """
    stop = threading.Event()
    with ThreadPoolExecutor(1, "cog") as pool:
        working = pool.submit(work, stop)
        try:
            while not wait([working], timeout=_DISK_CHECK_S).done:
                check_disk(folder, 0, "the map")
        except BaseException:
            stop.set()
            raise
    working.result()


class _Stoppable(io.FileIO):
    """A file that seems to end once an event is set: all that makes GDAL leave off a copy.

    rasterio has no progress callback, which could say so, but lets GDAL read through such objects.
    """

    def __init__(self, path: str, mode: str = "rb", *, stop: threading.Event) -> None:
        super().__init__(path, mode)
        self._stop = stop

    def read(self, size: int | None = -1) -> bytes:
        return b"" if self._stop.is_set() else super().read(size)


def _copy(
    source: Path,
    part: Path,
    stop: threading.Event,
    *,
    tags: Mapping[str, str],
    legend: Sequence[LandCover],
) -> None:
    """Write the COG of a file, with the tags and the palette."""
    with (
        rasterio.Env(**GDAL_OPTIONS),
        rasterio.open(source.resolve(), opener=partial(_Stoppable, stop=stop)) as given,
        MemoryFile(ext=".vrt") as virtual,
    ):
        rasterio.shutil.copy(given, virtual.name, driver="VRT")
        with rasterio.open(virtual.name, "r+") as dataset:
            dataset.update_tags(**dict(sorted(tags.items())))
            dataset.update_tags(1, **{f"{CLASS_TAG}{cover.id}": cover.name for cover in legend})
            dataset.set_band_description(1, "land cover")
            dataset.write_colormap(1, _palette(legend))
        rasterio.shutil.copy(virtual.name, part, **_COG_OPTIONS)


def _palette(legend: Sequence[LandCover]) -> dict[int, tuple[int, int, int, int]]:
    return {cover.id: (*cover.rgb, 255) for cover in legend} | {NODATA: (0, 0, 0, 0)}


def _check(
    part: Path, source: Path, *, tags: Mapping[str, str], legend: Sequence[LandCover]
) -> None:
    """See that a file is a valid COG and the same map as its source.

    Raises:
        OSError: it is not.

    """
    valid, errors, warnings = cog_validate(part, strict=True, quiet=True)
    if not valid:
        raise OSError(f"it is no valid COG: {'; '.join([*errors, *warnings])}")
    with rasterio.open(part) as made, rasterio.open(source) as wanted:
        for what in ("shape", "crs", "transform", "nodata", "dtypes", "count"):
            if getattr(made, what) != getattr(wanted, what):
                raise OSError(f"its {what} is not that of the mosaic")
        palette = made.colormap(1)
        if any(palette[id_] != colour for id_, colour in _palette(legend).items()):
            raise OSError("its palette is not the legend's")
        if any(made.tags().get(key) != value for key, value in tags.items()):
            raise OSError("its tags are not all there")
        height, width = made.shape
        for row in range(0, height, _TILE_PX):
            for col in range(0, width, 4 * _TILE_PX):
                window = Window(col, row, min(4 * _TILE_PX, width - col), min(_TILE_PX, height - row))
                if not np.array_equal(made.read(1, window=window), wanted.read(1, window=window)):
                    raise OSError("some pixels did not arrive on disk")
