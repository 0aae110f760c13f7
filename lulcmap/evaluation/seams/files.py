"""Open what is checked for seams: a finished map, or a run's blocks as one raster for each zone."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from xml.etree import ElementTree

import rasterio
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

from lulcmap.errors import UsageError
from lulcmap.evaluation.seams.lines import Lines
from lulcmap.evaluation.seams.rasters import Raster
from lulcmap.geo import Lattice, first_line
from lulcmap.legend import NODATA
from lulcmap.run import RunFolder
from lulcmap.system import GDAL_OPTIONS, check_is_file, open_geotiff

LATTICE_TAG, BLOCK_TAG = "LULCMAP_LATTICE", "LULCMAP_BLOCK"
"""Tags of a map: size and step of its windows, such as ``512/384``, and size of its blocks."""


@contextmanager
def open_rasters(path: Path) -> Iterator[tuple[list[Raster], Lines]]:
    """Open the rasters of a map or of a run folder, and find the lines at which it was cut.

    Raises:
        UsageError: the path is neither, or cannot be opened.

    """
    with rasterio.Env(**GDAL_OPTIONS), ExitStack() as stack:
        if path.is_dir():
            yield _run(path, stack)
        else:
            yield _map(path, stack)


def _map(path: Path, stack: ExitStack) -> tuple[list[Raster], Lines]:
    check_is_file(path, UsageError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # refused below
            dataset = stack.enter_context(open_geotiff(path))
            transform, crs = dataset.transform, dataset.crs
    except RasterioError as error:
        raise UsageError(
            f"{path} is not a GeoTIFF ({first_line(error)}); give a map made by lulcmap, or a run "
            "folder."
        ) from error
    form = f"{dataset.count} {'band' if dataset.count == 1 else 'bands'} of {dataset.dtypes[0]}"
    if crs is None:
        form += " without a CRS"
    if (dataset.count, dataset.dtypes[0]) != (1, "uint8") or crs is None:
        raise UsageError(
            f"{path} has {form}; expected one band of uint8, class ids and 255 for none. Give a "
            "map made by lulcmap, or a run folder."
        )
    if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
        raise UsageError(f"{path} is not north-up; give a map made by lulcmap, or a run folder.")
    grid = GeoBox(dataset.shape, transform, crs.to_wkt())
    return [Raster(dataset, grid)], _lines(path, dataset.tags())


def _lines(path: Path, tags: dict[str, str]) -> Lines:
    """Windows and blocks from a map's tags; the defaults for missing tags."""
    defaults = Lines()
    lattice = tags.get(LATTICE_TAG, f"{defaults.lattice.size}/{defaults.lattice.step}")
    block_size = tags.get(BLOCK_TAG, str(defaults.block_size))
    try:
        size, step = map(int, lattice.split("/"))
        return Lines(Lattice(size, step), int(block_size))
    except ValueError:
        raise UsageError(
            f"The tags of {path} say that its windows are {lattice!r} and its blocks "
            f"{block_size!r}; expected numbers such as 512/384 and 4608. Give a map as lulcmap "
            "wrote it."
        ) from None


def _run(path: Path, stack: ExitStack) -> tuple[list[Raster], Lines]:
    run = RunFolder(path)
    plan = run.plan()
    if plan is None:
        raise UsageError(
            f"{path} is not a run folder: it has no plan. Give a run folder, or a map made by "
            "lulcmap."
        )
    by_zone: dict[int, list[Path]] = {}
    for number in plan.blocks:
        if (block := run.block_path(number)).exists():
            by_zone.setdefault(number.zone, []).append(block)
    if not by_zone:
        raise UsageError(f"{path} has no finished block yet; wait for the run to finish some.")
    try:
        rasters = [_mosaic_blocks(blocks, zone, stack) for zone, blocks in by_zone.items()]
    except RasterioError as error:
        raise UsageError(
            f"A block of {path} cannot be read ({error}). Resume the run, which remakes the block."
        ) from None
    return rasters, Lines(Lattice(*plan.lattice), plan.block_size)


def _mosaic_blocks(blocks: list[Path], zone: int, stack: ExitStack) -> Raster:
    """The blocks of a zone as one raster, a VRT, on the zone's own grid."""
    layouts = []
    for block in blocks:
        with open_geotiff(block) as dataset:
            layouts.append((dataset.bounds, dataset.shape, dataset.res[0], dataset.crs))
    left = min(bounds.left for bounds, *_ in layouts)
    top = max(bounds.top for bounds, *_ in layouts)
    _, _, pixel, crs = layouts[0]
    width = round((max(bounds.right for bounds, *_ in layouts) - left) / pixel)
    height = round((top - min(bounds.bottom for bounds, *_ in layouts)) / pixel)
    root = ElementTree.Element("VRTDataset", rasterXSize=str(width), rasterYSize=str(height))
    ElementTree.SubElement(root, "SRS").text = crs.to_wkt()
    ElementTree.SubElement(root, "GeoTransform").text = f"{left},{pixel},0,{top},0,{-pixel}"
    band = ElementTree.SubElement(root, "VRTRasterBand", dataType="Byte", band="1")
    ElementTree.SubElement(band, "NoDataValue").text = str(NODATA)
    for block, (bounds, shape, *_) in zip(blocks, layouts, strict=True):
        height, width = map(str, shape)
        col, row = round((bounds.left - left) / pixel), round((top - bounds.top) / pixel)
        source = ElementTree.SubElement(band, "SimpleSource")
        ElementTree.SubElement(source, "SourceFilename").text = str(block.resolve())
        ElementTree.SubElement(source, "SourceBand").text = "1"
        ElementTree.SubElement(
            source,
            "SourceProperties",  # so that GDAL need not open every block at once
            RasterXSize=width,
            RasterYSize=height,
            DataType="Byte",
            BlockXSize="512",
            BlockYSize="512",
        )
        ElementTree.SubElement(source, "SrcRect", xOff="0", yOff="0", xSize=width, ySize=height)
        ElementTree.SubElement(
            source, "DstRect", xOff=str(col), yOff=str(row), xSize=width, ySize=height
        )
    memory = stack.enter_context(MemoryFile(ElementTree.tostring(root), ext=".vrt"))
    dataset = stack.enter_context(memory.open())
    return Raster(dataset, GeoBox(dataset.shape, dataset.transform, crs.to_wkt()), zone)
