"""Write the map: a validated Cloud-Optimized GeoTIFF with its palette, class names and tags."""

import io
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError  # what copy raises; public nowhere
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window

from lulcmap.errors import OutputError
from lulcmap.legend import CLASS_TAG, CLASSES, NODATA, LandCover, cf_attributes
from lulcmap.system import GDAL_OPTIONS, check_disk, replacing, sha256_of

PLAN_TAG = "LULCMAP_PLAN"
"""Tag with the digest of the plan a map was made under."""

REQUEST_TAG = "LULCMAP_REQUEST"
"""Tag with the digest of the request: the plan without its scenes."""

LAYER_TAG = "LULCMAP_LAYER"
"""Tag with the name of a layer; the map itself has none."""

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

    def dress(dataset: Any) -> None:
        dataset.update_tags(**dict(sorted(tags.items())))
        dataset.update_tags(1, **_class_tags(legend))
        dataset.set_band_description(1, "land cover")
        dataset.write_colormap(1, _palette(legend))

    def check(cog: Any) -> None:
        palette = cog.colormap(1)
        if any(palette[id_] != colour for id_, colour in _palette(legend).items()):
            raise OSError("its palette differs from the legend")
        if any(cog.tags(1).get(key) != name for key, name in _class_tags(legend).items()):
            raise OSError("some names of its classes are missing")

    return _write(source, out, tags, dress, check, _COG_OPTIONS)


@dataclass(frozen=True, slots=True)
class LayerBand:
    """What a band of a layer says of itself."""

    name: str
    """Name of the band."""

    unit: str = ""
    """Unit of the values, scale and offset applied."""

    scale: float = 1.0
    """Factor of a pixel's value."""

    offset: float = 0.0
    """Added to the scaled value."""

    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of the band."""


def write_layer_cog(
    source: Path,
    out: Path,
    *,
    layer: str,
    bands: Sequence[LayerBand],
    tags: Mapping[str, str],
    overviews: str = "NEAREST",
) -> tuple[int, str]:
    """Write a layer of a map as a valid Cloud-Optimized GeoTIFF, or leave nothing.

    Args:
        source: path of a GeoTIFF with the layer's bands.
        out: path of the file to write or replace.
        layer: name of the layer.
        bands: what each band says of itself.
        tags: tags of the map.
        overviews: resampling of the overviews.

    Returns:
        Size and SHA-256 of the file.

    Raises:
        OutputError: as of ``write_cog``.

    """
    tags = {**tags, LAYER_TAG: layer}
    described = [(band.name, band.unit, band.scale, band.offset) for band in bands]

    def dress(dataset: Any) -> None:
        dataset.update_tags(**dict(sorted(tags.items())))
        for number, band in enumerate(bands, 1):
            dataset.update_tags(number, **dict(sorted(band.tags.items())))
        dataset.descriptions = tuple(band.name for band in bands)
        dataset.units = tuple(band.unit for band in bands)
        dataset.scales = tuple(band.scale for band in bands)
        dataset.offsets = tuple(band.offset for band in bands)

    def check(cog: Any) -> None:
        units = [unit or "" for unit in cog.units]
        found = list(zip(cog.descriptions, units, cog.scales, cog.offsets, strict=True))
        if found != described:
            raise OSError("some names, units or scales of its bands are missing")

    options = {**_COG_OPTIONS, "OVERVIEW_RESAMPLING": overviews}
    return _write(source, out, tags, dress, check, options)


def _write(
    source: Path,
    out: Path,
    tags: Mapping[str, str],
    dress: Callable[[Any], None],
    check: Callable[[Any], None],
    options: Mapping[str, Any],
) -> tuple[int, str]:
    """Copy a file to a COG, dressed on the way, and check it.

    Raises:
        OutputError: it cannot be written, or differs.

    """
    try:
        with replacing(out) as part:
            check_disk(out.parent, cog_bytes(source.stat().st_size), "the map")
            _watched(partial(_copy, source, part, dress=dress, options=options), out.parent)
            with rasterio.Env(**GDAL_OPTIONS):
                _check(part, source, tags=tags, check=check)
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


def plan_of(path: Path, layer: str | None = None) -> str | None:
    """Digest of the plan a map was made under; None if there is no map or it is not lulcmap's.

    Args:
        path: path of the file.
        layer: name of the layer that the file is to be; None is the map itself.

    """
    return _tag(path, PLAN_TAG, layer)


def request_of(path: Path, layer: str | None = None) -> str | None:
    """Digest of the request a map was made for; None as in ``plan_of``."""
    return _tag(path, REQUEST_TAG, layer)


def _tag(path: Path, name: str, layer: str | None) -> str | None:
    try:
        with (
            warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
            rasterio.Env(**GDAL_OPTIONS),
            rasterio.open(path, driver="GTiff") as dataset,
        ):
            tags = dataset.tags()
    except RasterioError:
        return None
    return tags.get(name) if tags.get(LAYER_TAG) == layer else None


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
    dress: Callable[[Any], None],
    options: Mapping[str, Any],
) -> None:
    """Write the COG of a file, with its tags."""
    with (
        rasterio.Env(**GDAL_OPTIONS),
        rasterio.open(source.resolve(), opener=partial(_Stoppable, stop=stop)) as joined,
        MemoryFile(ext=".vrt") as virtual,
    ):
        rasterio.shutil.copy(joined, virtual.name, driver="VRT")
        with rasterio.open(virtual.name, "r+") as dataset:
            dress(dataset)
        rasterio.shutil.copy(virtual.name, part, **options)


def _class_tags(legend: Sequence[LandCover]) -> dict[str, str]:
    """Names of the classes, and the CF flags that rioxarray and xarray show; lists in braces."""
    names = {f"{CLASS_TAG}{cover.id}": cover.name for cover in legend}
    flags = cf_attributes(legend)
    return {
        **names,
        "flag_values": f"{{{','.join(map(str, flags['flag_values']))}}}",
        "flag_meanings": flags["flag_meanings"],
        "flag_colors": flags["flag_colors"],
    }


def _palette(legend: Sequence[LandCover]) -> dict[int, tuple[int, int, int, int]]:
    return {cover.id: (*cover.rgb, 255) for cover in legend} | {NODATA: (0, 0, 0, 0)}


def _check(
    part: Path, source: Path, *, tags: Mapping[str, str], check: Callable[[Any], None]
) -> None:
    """Check that a file is a valid COG, has its tags and the pixels of its source.

    Raises:
        OSError: it is not.

    """
    from rio_cogeo.cogeo import cog_validate  # slow to import, and needed at the end only

    valid, errors, warnings = cog_validate(part, strict=True, quiet=True)
    if not valid:
        raise OSError(f"it is not a valid COG: {'; '.join([*errors, *warnings])}")
    with rasterio.open(part) as cog, rasterio.open(source) as mosaic:
        for name in ("shape", "crs", "transform", "nodata", "dtypes", "count"):
            if getattr(cog, name) != getattr(mosaic, name):
                raise OSError(f"its {name} differs from the mosaic's")
        if any(cog.tags().get(key) != value for key, value in tags.items()):
            raise OSError("some of its tags are missing")
        check(cog)
        height, width = cog.shape
        for row in range(0, height, _TILE_PX):
            for col in range(0, width, 4 * _TILE_PX):
                window = Window(
                    col, row, min(4 * _TILE_PX, width - col), min(_TILE_PX, height - row)
                )
                if not np.array_equal(cog.read(window=window), mosaic.read(window=window)):
                    raise OSError("some pixels did not arrive on disk")
