"""Write the map: a validated Cloud-Optimized GeoTIFF with its palette, class names and tags."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError  # what copy raises; public nowhere
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from lulcmap.errors import OutputError
from lulcmap.legend import CLASS_TAG, CLASSES, NODATA, LandCover, cf_attributes
from lulcmap.output.cog_header import make_header
from lulcmap.output.cog_tiles import write_tiles
from lulcmap.output.overviews import TILE_PX
from lulcmap.output.stream import Raster, raster_of
from lulcmap.system import GDAL_OPTIONS, check_disk, replacing, sha256_of, threads

PLAN_TAG = "LULCMAP_PLAN"
"""Tag with the digest of the plan a map was made under."""

REQUEST_TAG = "LULCMAP_REQUEST"
"""Tag with the digest of the request: the plan without its scenes."""

LAYER_TAG = "LULCMAP_LAYER"
"""Tag with the name of a layer; the map itself has none."""

_COG_OPTIONS = {
    "driver": "COG",
    "BLOCKSIZE": TILE_PX,
    "COMPRESS": "DEFLATE",  # every reader supports it
    "LEVEL": 6,
    "PREDICTOR": "NO",  # class ids are not quantities
    "BIGTIFF": "IF_SAFER",
    "SPARSE_OK": True,  # an empty tile takes no room
}
"""Options of the header; ``cog_tiles`` writes the tiles in the same way."""

_VALIDATOR = "rio_cogeo.cogeo"
"""Module that checks a COG; slow to import, and needed at the end only."""

_OVERVIEWS = 4 / 3
"""Most bytes of a COG for each of a plain file with its pixels: overviews of noise add a third."""


def write_cog(
    source: Path | Raster,
    out: Path,
    *,
    tags: Mapping[str, str],
    legend: Sequence[LandCover] = CLASSES,
) -> tuple[int, str]:
    """Write a map as a valid Cloud-Optimized GeoTIFF, or leave nothing.

    GeoTIFF has no field for class names, so they are tags of the band: ``CLASS_0=water`` and so on.
    Tiles are compressed and halved while the pixels come; until all are there, they lie in a
    temporary file beside the map.

    Args:
        source: raster with one uint8 band, 255 nodata, or path of a GeoTIFF with one.
        out: path of the file to write or replace.
        tags: tags of the file; ``plan_of`` reads ``PLAN_TAG``.
        legend: ids, names and colours of the classes.

    Returns:
        Size and SHA-256 of the file.

    Raises:
        OutputError: the map cannot be made or written, or the disk is too full, before the start
            or while writing.

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

    return _write(source, out, tags, dress, check, "MODE")


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
    source: Path | Raster,
    out: Path,
    *,
    layer: str,
    bands: Sequence[LayerBand],
    tags: Mapping[str, str],
    overviews: str = "NEAREST",
) -> tuple[int, str]:
    """Write a layer of a map as a valid Cloud-Optimized GeoTIFF, or leave nothing.

    Args:
        source: raster with the layer's bands, or path of a GeoTIFF with them.
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

    return _write(source, out, tags, dress, check, overviews)


def _write(
    source: Path | Raster,
    out: Path,
    tags: Mapping[str, str],
    dress: Callable[[Any], None],
    check: Callable[[Any], None],
    resampling: str,
) -> tuple[int, str]:
    """Write a raster as a COG, dressed on the way, and check it.

    Raises:
        OutputError: it cannot be written, or differs.

    """
    try:
        with replacing(out) as part:
            raster = raster_of(source) if isinstance(source, Path) else source
            check_disk(out.parent, cog_bytes(raster.bytes), "the map")
            with rasterio.Env(**GDAL_OPTIONS):
                header = make_header(raster.layout, dress, _COG_OPTIONS)
            with threads() as workers:
                workers.submit(import_module, _VALIDATOR)  # in the meantime
                sha256 = write_tiles(raster, header, part, workers, resampling=resampling)
            with rasterio.Env(**GDAL_OPTIONS):
                _check(part, raster, tags=tags, check=check)
            if sha256_of(part) != sha256:
                raise OSError("some pixels did not arrive on disk")
            return part.stat().st_size, sha256
    except (RasterioError, CPLE_BaseError, OSError) as error:
        raise OutputError(
            f"The map cannot be written to {out} ({error}). Check that the disk is not full and "
            "the folder is writable, then run the same command again."
        ) from error


def cog_bytes(joined: int) -> int:
    """Most bytes that ``write_cog`` needs on disk: the file, and as much for its waiting tiles.

    Args:
        joined: most bytes of its pixels in a plain file, which need not exist.

    """
    return int(2 * _OVERVIEWS * joined)


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
    part: Path, raster: Raster, *, tags: Mapping[str, str], check: Callable[[Any], None]
) -> None:
    """Check that a file is a valid COG on the raster's grid and has its tags.

    Raises:
        OSError: it is not.

    """
    _, errors, warnings = import_module(_VALIDATOR).cog_validate(part, strict=True, quiet=True)
    if raster.layout["width"] == 1:  # it stays one, which looks like no overview
        errors = [error for error in errors if not error.startswith("Invalid Decimation 1 ")]
    if errors or warnings:
        raise OSError(f"it is not a valid COG: {'; '.join([*errors, *warnings])}")
    with rasterio.open(part) as cog:
        for name in ("height", "width", "count", "dtype", "nodata", "transform"):
            if cog.profile[name] != raster.layout[name]:
                raise OSError(f"its {name} differs from the map's")
        if any(cog.tags().get(key) != value for key, value in tags.items()):
            raise OSError("some of its tags are missing")
        check(cog)
