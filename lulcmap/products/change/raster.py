"""Write rasters of codes: COGs with palette and names, and what QGIS and GDAL read beside them."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # what copy raises; public nowhere
from rasterio.errors import RasterioError
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate

from lulcmap.errors import OutputError
from lulcmap.evaluation import CHANGE_TAG, ClassMap
from lulcmap.legend import CLASS_TAG
from lulcmap.products.change.series import Box
from lulcmap.system import GDAL_OPTIONS, open_geotiff, write_atomically

_TILE_PX = 512

_JOINED = {
    "driver": "GTiff",
    "count": 1,
    "tiled": True,
    "blockxsize": _TILE_PX,
    "blockysize": _TILE_PX,
    "compress": "deflate",
    "zlevel": 1,  # read once and removed
    "sparse_ok": True,
    "bigtiff": "if_safer",
}

_COG = {
    "driver": "COG",
    "BLOCKSIZE": _TILE_PX,
    "COMPRESS": "DEFLATE",
    "PREDICTOR": "NO",  # codes are not quantities
    "OVERVIEW_RESAMPLING": "MODE",
    "BIGTIFF": "IF_SAFER",
    "SPARSE_OK": True,
    "NUM_THREADS": 2,
}

_MAX_TAGS = 1000
"""Most names that are tags: GDAL searches all of them for each, whenever it opens the file."""

_UNKNOWN = (128, 128, 128)
"""Colour of a value without one."""

_MARK = "lulcmap"
"""Author of a style that lulcmap wrote, by which it is told from somebody's work."""

_STYLE_HEAD = f"""<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<!-- {_MARK} -->
<qgis version="3.16" styleCategories="Symbology">
 <pipe>
  <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
   <rasterTransparency/>
   <colorPalette>
"""
_STYLE_FOOT = """   </colorPalette>
  </rasterrenderer>
 </pipe>
</qgis>
"""


@dataclass(frozen=True)
class CodeRaster:
    """What the values of a raster are."""

    names: Mapping[int, str]
    """Names of the values that occur."""

    colours: Mapping[int, tuple[int, int, int]]
    """Their colours."""

    pixels: Mapping[int, int]
    """Pixels of each; empty if they were not counted."""

    tags: Mapping[str, str]
    """Tags of the file."""

    description: str
    """Description of the band."""

    def colour(self, value: int) -> tuple[int, int, int]:
        """Red, green and blue of a value, grey if it has none."""
        return self.colours.get(value, _UNKNOWN)


@contextmanager
def joined_raster(part: Path, like: ClassMap, *, dtype: str, nodata: int) -> Iterator[Any]:
    """A raster to fill window by window, beside the file that is made of it; removed at the end.

    Args:
        part: temporary path of that file.
        like: map whose grid it has.
        dtype: type of its values.
        nodata: value of what is not filled.

    Yields:
        The raster, open for writing and reading.

    """
    path = part.with_name(f"{part.name}.joined.tif")
    height, width = like.shape
    with ExitStack() as stack:
        stack.callback(path.unlink, missing_ok=True)
        stack.enter_context(rasterio.Env(**GDAL_OPTIONS))
        dataset = rasterio.open(
            path,
            "w+",
            **_JOINED,
            dtype=dtype,
            nodata=nodata,
            height=height,
            width=width,
            crs=like.crs.to_wkt(),
            transform=like.transform,
        )
        with dataset:
            yield dataset


def write_window(dataset: Any, values: NDArray[np.generic], box: Box) -> None:
    """Write a window of a joined raster; nothing where all is nodata."""
    if (values != dataset.nodata).any():
        row, col, height, width = box
        dataset.write(values, 1, window=Window(col, row, width, height))


def read_window(dataset: Any, box: Box) -> NDArray[Any]:
    """(H, W) values of a window of a joined raster."""
    row, col, height, width = box
    values: NDArray[Any] = dataset.read(1, window=Window(col, row, width, height))
    return values


def write_code_cog(dataset: Any, part: Path, raster: CodeRaster) -> None:
    """Close a joined raster and write the COG of it.

    Args:
        dataset: the joined raster, open for writing.
        part: path of the COG.
        raster: what its values are.

    Raises:
        OSError: it cannot be written, or differs from the joined raster.

    """
    palette = {value: (*raster.colour(value), 255) for value in raster.names}
    nodata = int(dataset.nodata)
    dataset.write_colormap(1, palette | {nodata: (0, 0, 0, 0)})
    dataset.update_tags(**dict(sorted(raster.tags.items())))
    if len(raster.names) <= _MAX_TAGS:
        names = {f"{CLASS_TAG}{value}": name for value, name in raster.names.items()}
        dataset.update_tags(1, **names)
    dataset.set_band_description(1, raster.description)
    joined = Path(dataset.name)
    dataset.close()
    try:
        with rasterio.Env(**GDAL_OPTIONS):
            rasterio.shutil.copy(joined, part, **_COG)
            _check(part, joined, palette)
    except (RasterioError, CPLE_BaseError) as error:
        raise OSError(str(error)) from error


def _check(part: Path, joined: Path, palette: Mapping[int, tuple[int, ...]]) -> None:
    """Check that a COG is valid and holds what was joined.

    Raises:
        OSError: it is not, or does not.

    """
    valid, errors, warnings = cog_validate(part, strict=True, quiet=True)
    if not valid:
        raise OSError(f"it is not a valid COG: {'; '.join([*errors, *warnings])}")
    with rasterio.open(part) as cog, rasterio.open(joined) as source:
        colours = cog.colormap(1)
        if any(colours[value] != colour for value, colour in palette.items()):
            raise OSError("its palette did not arrive on disk")
        height, width = cog.shape
        for row in range(0, height, _TILE_PX):
            window = Window(0, row, width, min(_TILE_PX, height - row))
            if not np.array_equal(cog.read(1, window=window), source.read(1, window=window)):
                raise OSError("some pixels did not arrive on disk")


def style_path(out: Path) -> Path:
    """Path of the style that QGIS reads with a raster."""
    return out.with_suffix(".qml")


def write_beside(out: Path, raster: CodeRaster) -> None:
    """Write what QGIS and GDAL read beside a raster: style, names and attribute table.

    Raises:
        OSError: it cannot be written.

    """
    write_atomically(style_path(out), _style(raster))
    write_atomically(out.with_name(f"{out.name}.aux.xml"), _attributes(raster))


def is_our_style(path: Path) -> bool:
    """Whether lulcmap wrote a style, and nobody saved it again."""
    with path.open("rb") as file:
        return f"<!-- {_MARK} -->".encode() in file.read(200)


def is_our_raster(path: Path) -> bool:
    """Whether a raster was written here."""
    try:
        with open_geotiff(path) as dataset:
            return CHANGE_TAG in dataset.tags()
    except RasterioError:
        return False


def _style(raster: CodeRaster) -> str:
    """A QGIS style with exactly the values that occur."""
    entries = [
        f'    <paletteEntry value="{value}" label={quoteattr(name)} alpha="255" '
        f'color="#{bytes(raster.colour(value)).hex()}"/>\n'
        for value, name in raster.names.items()
    ]
    return _STYLE_HEAD + "".join(entries) + _STYLE_FOOT


def _attributes(raster: CodeRaster) -> str:
    """GDAL's side file: names of the values, and a raster attribute table."""
    most = max(raster.names, default=0)
    names = ""
    if most < 256:
        texts = [_text(raster.names.get(value, "")) for value in range(most + 1)]
        entries = (f"<Category>{text}</Category>" for text in texts)
        names = f"<CategoryNames>{''.join(entries)}</CategoryNames>"
    columns: list[tuple[str, int, int, list[object]]] = [
        ("Value", 0, 5, list(raster.names)),
        ("Class", 2, 2, [_text(name) for name in raster.names.values()]),
    ]
    if raster.pixels:
        columns.insert(1, ("Count", 1, 1, [raster.pixels.get(value, 0) for value in raster.names]))
    for i, name in enumerate(("Red", "Green", "Blue")):
        columns.append((name, 0, 6 + i, [raster.colour(value)[i] for value in raster.names]))
    head = "".join(
        f'<FieldDefn index="{i}"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage>'
        "</FieldDefn>"
        for i, (name, kind, usage, _) in enumerate(columns)
    )
    rows = [
        f'<Row index="{i}">{"".join(f"<F>{cell}</F>" for cell in cells)}</Row>'
        for i, cells in enumerate(zip(*(cells for *_, cells in columns), strict=True))
    ]
    return (
        f'<PAMDataset><PAMRasterBand band="1">{names}'
        f'<GDALRasterAttributeTable tableType="thematic">{head}{"".join(rows)}'
        "</GDALRasterAttributeTable></PAMRasterBand></PAMDataset>\n"
    )


def _text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cannot_write(out: Path, error: Exception) -> OutputError:
    """The error that a file cannot be written."""
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
    return OutputError(
        f"{out} cannot be written ({reason}). Check that the disk is not full and the folder is "
        "writable, then run the same command again."
    )
