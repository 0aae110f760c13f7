"""Write the map: a validated Cloud-Optimized GeoTIFF with its palette, class names and tags."""

import io
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError  # what copy raises; public nowhere
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate

from lulcmap.errors import OutputError
from lulcmap.legend import CLASS_TAG, CLASSES, NODATA, LandCover
from lulcmap.system import GDAL_OPTIONS, check_disk, replacing, sha256_of

PLAN_TAG = "LULCMAP_PLAN"
"""Tag with the digest of the plan a map was made under."""

REQUEST_TAG = "LULCMAP_REQUEST"
"""Tag with the digest of the request: the plan without its scenes."""

_TILE_PX = 512
"""Side of a tile, pixels; also in the overviews."""

_COG_OPTIONS = {
    "driver": "COG",
    "BLOCKSIZE": _TILE_PX,
    "COMPRESS": "DEFLATE",  # every reader supports it
    "LEVEL": 6,
    "PREDICTOR": "NO",  # class ids are not quantities
    "OVERVIEW_RESAMPLING": "MODE",
    "BIGTIFF": "IF_SAFER",
    "SPARSE_OK": True,  # an empty tile takes no room
    "NUM_THREADS": 4,  # each takes 13 MB; tiles are written in one order, so the bytes are the same
}

_MAX_DISK_RATIO = 1.5
"""Peak disk space of the map and its temporary overviews, in sizes of the joined map, which is not
included: 1.28 was measured for land, 1.41 for noise (``benchmarks/README.md``)."""

_DISK_CHECK_S = 0.5
"""Seconds between checks of the free disk space."""


def write_cog(
    source: Path,
    out: Path,
    *,
    tags: Mapping[str, str],
    legend: Sequence[LandCover] = CLASSES,
) -> tuple[int, str]:
    """Write a map as a valid Cloud-Optimized GeoTIFF, or leave nothing.

    GeoTIFF has no field for class names, so they are tags of the band: ``CLASS_0=water`` and so on.
    GDAL first writes the overviews into a temporary file beside the map.

    Args:
        source: path of a GeoTIFF with one uint8 band, 255 nodata.
        out: path of the file to write or replace.
        tags: tags of the file; ``plan_of`` reads ``PLAN_TAG``.
        legend: ids, names and colours of the classes.

    Returns:
        Size and SHA-256 of the file.

    Raises:
        OutputError: the map cannot be written or differs from its source, or the disk is too full,
            before the start or while writing.

    """
    try:
        with replacing(out) as part:
            check_disk(out.parent, cog_bytes(source.stat().st_size), "the map")
            _watched(partial(_copy, source, part, tags=tags, legend=legend), out.parent)
            with rasterio.Env(**GDAL_OPTIONS):
                _check(part, source, tags=tags, legend=legend)
            return part.stat().st_size, sha256_of(part)
    except (RasterioError, CPLE_BaseError, OSError) as error:
        raise OutputError(
            f"The map cannot be written to {out} ({error}). Check that the disk is not full and "
            "the folder is writable, then run the same command again."
        ) from error


def cog_bytes(joined: int) -> int:
    """Most bytes that ``write_cog`` needs on disk, temporary files included.

    Args:
        joined: size of the source, bytes.

    """
    return int(_MAX_DISK_RATIO * joined)


def plan_of(path: Path) -> str | None:
    """Digest of the plan a map was made under; None if there is no map or it is not lulcmap's."""
    return _tag(path, PLAN_TAG)


def request_of(path: Path) -> str | None:
    """Digest of the request a map was made for; None as in ``plan_of``."""
    return _tag(path, REQUEST_TAG)


def _tag(path: Path, name: str) -> str | None:
    try:
        with (
            warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
            rasterio.Env(**GDAL_OPTIONS),
            rasterio.open(path, driver="GTiff") as dataset,
        ):
            value: str | None = dataset.tags().get(name)
    except RasterioError:
        return None
    return value


def _watched(work: Callable[[threading.Event], None], folder: Path) -> None:
    """Run minutes of GDAL work in a thread, while this one checks the disk and receives signals.

    Args:
        work: function called with an event; it stops early once the event is set.
        folder: path of the folder written to.

    Raises:
        OutputError: the disk is nearly full; the work has stopped.

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
    """A file that seems to end once an event is set, which makes GDAL stop a copy.

    rasterio has no progress callback to cancel one, but lets GDAL read through such objects.
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
        rasterio.open(source.resolve(), opener=partial(_Stoppable, stop=stop)) as joined,
        MemoryFile(ext=".vrt") as virtual,
    ):
        rasterio.shutil.copy(joined, virtual.name, driver="VRT")
        with rasterio.open(virtual.name, "r+") as dataset:
            dataset.update_tags(**dict(sorted(tags.items())))
            dataset.update_tags(1, **_class_tags(legend))
            dataset.set_band_description(1, "land cover")
            dataset.write_colormap(1, _palette(legend))
        rasterio.shutil.copy(virtual.name, part, **_COG_OPTIONS)


def _class_tags(legend: Sequence[LandCover]) -> dict[str, str]:
    return {f"{CLASS_TAG}{cover.id}": cover.name for cover in legend}


def _palette(legend: Sequence[LandCover]) -> dict[int, tuple[int, int, int, int]]:
    return {cover.id: (*cover.rgb, 255) for cover in legend} | {NODATA: (0, 0, 0, 0)}


def _check(
    part: Path, source: Path, *, tags: Mapping[str, str], legend: Sequence[LandCover]
) -> None:
    """Check that a file is a valid COG and the same map as its source.

    Raises:
        OSError: it is not.

    """
    valid, errors, warnings = cog_validate(part, strict=True, quiet=True)
    if not valid:
        raise OSError(f"it is not a valid COG: {'; '.join([*errors, *warnings])}")
    with rasterio.open(part) as cog, rasterio.open(source) as mosaic:
        for name in ("shape", "crs", "transform", "nodata", "dtypes", "count"):
            if getattr(cog, name) != getattr(mosaic, name):
                raise OSError(f"its {name} differs from the mosaic's")
        palette = cog.colormap(1)
        if any(palette[id_] != colour for id_, colour in _palette(legend).items()):
            raise OSError("its palette differs from the legend")
        if any(cog.tags().get(key) != value for key, value in tags.items()):
            raise OSError("some of its tags are missing")
        if any(cog.tags(1).get(key) != name for key, name in _class_tags(legend).items()):
            raise OSError("some names of its classes are missing")
        height, width = cog.shape
        for row in range(0, height, _TILE_PX):
            for col in range(0, width, 4 * _TILE_PX):
                window = Window(
                    col, row, min(4 * _TILE_PX, width - col), min(_TILE_PX, height - row)
                )
                if not np.array_equal(cog.read(1, window=window), mosaic.read(1, window=window)):
                    raise OSError("some pixels did not arrive on disk")
