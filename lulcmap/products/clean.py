"""Clean a map: merge its patches below a minimum area into their neighbours."""

import math
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from lulcmap.errors import OutputError, UsageError
from lulcmap.evaluation import ClassMap, open_class_map
from lulcmap.legend import NODATA
from lulcmap.output import cog_bytes, write_cog, write_legend
from lulcmap.products.clean_report import CleanReport, cleaned_classes
from lulcmap.products.destinations import check_product
from lulcmap.products.maps import chosen_classes, class_names, full_legend
from lulcmap.products.merging import cleaned, find_small, settle_round
from lulcmap.products.minimum import MinimumArea, PixelMeasure
from lulcmap.products.patches import Strips
from lulcmap.products.regions import one_line
from lulcmap.products.states import PatchStates
from lulcmap.system import (
    GDAL_OPTIONS,
    Progress,
    check_disk,
    no_progress,
    open_geotiff,
    parts,
    sha256_of,
    written,
)

CLEANED_TAG = "LULCMAP_CLEANED"
"""Tag of a cleaned map: the minimum area, the connectivity and the kept classes."""

_PLAN_TAGS = ("LULCMAP_PLAN", "LULCMAP_REQUEST")
"""Tags that make a file the map of a plan, which a cleaned one is not."""

_TILE_PX = 512

_BYTES_PER_PIXEL = 0.5
"""Most bytes on disk of a pixel of the map before it is a COG."""

_WORK_OPTIONS: dict[str, Any] = {
    "driver": "GTiff",
    "count": 1,
    "dtype": "uint8",
    "nodata": NODATA,
    "tiled": True,
    "blockxsize": _TILE_PX,
    "blockysize": _TILE_PX,
    "compress": "deflate",
    "zlevel": 1,  # written once, read once and removed
    "sparse_ok": True,
    "bigtiff": "if_safer",
}


def clean_map(
    path: str | Path,
    out: str | Path,
    *,
    min_area: str,
    keep: Sequence[str] = (),
    connectivity: int = 4,
    overwrite: bool = False,
    strip_rows: int | None = None,
    progress: Progress = no_progress,
) -> CleanReport:
    """Merge the patches of a map below a minimum area into their neighbours, and write a COG.

    Beside the COG go its style for QGIS and its class names, as beside every map.

    A patch is connected pixels of one class. One that reaches the minimum keeps its class. A
    smaller one takes the class with which it shares the longest border among the neighbours that
    stay; where small patches only touch small ones, they are merged from outside in. Pixels
    without a class stay, and are nobody's neighbours. Memory depends on the width of the map only.

    Args:
        path: path of the map.
        out: path of the COG to write.
        min_area: the area of the smallest patch that stays, with its unit: ``"0.5ha"``,
            ``"5000m2"``, ``"1km2"`` or ``"50px"``; true areas on the WGS 84 ellipsoid.
        keep: names or ids of the classes whose patches stay, whatever their area; the small ones
            do not grow either.
        connectivity: 4 if pixels belong to one patch that share a side, 8 if also a corner.
        overwrite: whether a cleaned map at ``out`` may be replaced.
        strip_rows: rows that are worked on at a time; the result does not depend on it. None takes
            what needs little memory.
        progress: called with a stage's name, how much of it is done, and how much there is.

    Returns:
        Patches and hectares that were moved, by class.

    Raises:
        UsageError: the map cannot be read, or an argument cannot be used.
        OutputError: the file exists or is another one, or cannot be written.

    """
    path, out = Path(path), Path(out)
    minimum = MinimumArea.of(min_area)
    if connectivity not in (4, 8):
        raise ValueError(f"connectivity is {connectivity!r}, not 4 or 8")
    check_clean_path(out, path, overwrite=overwrite)
    with open_class_map(path) as class_map, _work_folder(out) as work:
        kept = chosen_classes(class_map, keep, option="--keep")
        strips = Strips(class_map, diagonal=connectivity == 8, height=strip_rows)
        work.mkdir()
        with PatchStates(work / "states") as states:
            pixels, settled, left = _settle(strips, states, minimum, kept, progress)
            names, notes = class_names([class_map], np.flatnonzero(pixels[:NODATA]))
            legend = full_legend(class_map, names)
            joined = work / "joined.tif"
            check_disk(out.parent, _work_bytes(pixels), "the cleaned map")
            areas = _write(strips, states, joined, progress)
        tags = _tags(class_map, minimum, connectivity, [names.get(one, str(one)) for one in kept])
        write_cog(joined, out, tags=tags, legend=legend)
        write_legend(out, legend)
    if left:
        notes.append(
            f"{left:,} patches below {minimum} have no neighbour that reaches it, such as islands "
            "among pixels without a class; they stay."
        )
    return CleanReport(
        out, str(minimum), cleaned_classes(areas, settled, names), left, tuple(notes)
    )


def check_clean_path(out: Path, path: Path, *, overwrite: bool) -> None:
    """Check that a cleaned map may be written, before the work begins.

    Args:
        out: path of the file to write.
        path: path of the map that is cleaned.
        overwrite: whether a cleaned map there may be replaced.

    Raises:
        UsageError: its ending is not that of a GeoTIFF.
        OutputError: the file exists or is another one, or cannot be written.

    """
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise UsageError(f"{out} ends in {out.suffix or 'nothing'}; a map ends in .tif or .tiff.")
    check_product(out, _is_cleaned, kind="a cleaned map", overwrite=overwrite, inputs=[path])


def _is_cleaned(path: Path) -> bool:
    try:
        with open_geotiff(path) as dataset:
            return CLEANED_TAG in dataset.tags()
    except RasterioError:
        return False


@contextmanager
def _work_folder(out: Path) -> Iterator[Path]:
    """A folder's path beside a file, for temporary files; those of a killed run go first."""
    name = f"{out.stem[:60]}~clean"
    for leftover in parts(out.parent):
        if written(leftover) == name:
            shutil.rmtree(leftover, ignore_errors=True)
    folder = out.with_name(f".{name}.{secrets.token_hex(4)}.part")
    try:
        yield folder
    except (RasterioError, OSError) as error:
        raise OutputError(
            f"The cleaned map cannot be written to {out} ({error}). Check that the disk is not "
            "full and the folder is writable."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _work_bytes(pixels: NDArray[np.int64]) -> int:
    joined = math.ceil(_BYTES_PER_PIXEL * int(pixels[:NODATA].sum()))
    return joined + cog_bytes(joined)


def _settle(
    strips: Strips,
    states: PatchStates,
    minimum: MinimumArea,
    kept: Sequence[int],
    progress: Progress,
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Find the small patches and settle them.

    Returns:
        (256,) pixels of each value; (256,) patches of each class that went to another; and how
        many small ones have no class to go to.

    """
    measure = PixelMeasure(strips.class_map, counts=minimum.unit == "px")
    pixels, small = find_small(
        strips,
        states,
        measure,
        least=measure.least(minimum),
        keep=kept,
        progress=lambda done, total: progress("finding patches", done, total),
    )
    if not pixels[:NODATA].any():
        raise UsageError(f"{strips.class_map.path} has no pixel with a class; nothing to clean.")
    settled = np.zeros((256, 256), np.int64)
    while (now := settle_round(strips, states)).any():
        settled += now
        progress("merging", int(settled.sum()), small)
    left = small - int(settled.sum())
    np.fill_diagonal(settled, 0)  # joined a large patch of their own class
    return pixels, settled.sum(axis=1), left


def _write(
    strips: Strips, states: PatchStates, joined: Path, progress: Progress
) -> NDArray[np.float64]:
    """Write the cleaned values as a plain GeoTIFF, whole rows of tiles at a time.

    Returns:
        (256, 256) square metres by the value before and after.

    """
    class_map = strips.class_map
    height, width = class_map.shape
    measure = PixelMeasure(class_map)
    sums = np.zeros(256 * 256)
    rows = np.empty((0, width), np.uint8)
    with (
        rasterio.Env(**GDAL_OPTIONS),
        rasterio.open(
            joined,
            "w",
            height=height,
            width=width,
            crs=class_map.crs.to_wkt(),
            transform=class_map.transform,
            **_WORK_OPTIONS,
        ) as output,
    ):
        first = 0
        for strip in strips:
            values = cleaned(strip, states.read(strip.number))
            pairs = strip.values.astype(np.int32) * 256 + values
            areas = measure.of(strip.rows, slice(0, width))
            sums += np.bincount(pairs.ravel(), weights=areas.ravel(), minlength=len(sums))
            rows = np.concatenate([rows, values]) if len(rows) else values
            whole = len(rows) // _TILE_PX * _TILE_PX
            if strip.rows.stop == height:
                whole = len(rows)
            if whole:
                output.write(rows[:whole], 1, window=Window(0, first, width, whole))
                first, rows = first + whole, rows[whole:].copy()
                check_disk(joined.parent, 0, "the cleaned map")
            progress("writing", strip.rows.stop, height)
    return sums.reshape(256, 256) * measure.square_metres


def _tags(
    class_map: ClassMap, minimum: MinimumArea, connectivity: int, kept: Sequence[str]
) -> dict[str, str]:
    """The map's own tags, and what was done to it."""
    tags = {
        name: text
        for name, value in class_map.tags.items()
        if name not in _PLAN_TAGS and (text := one_line(value))
    }
    done = f"minimum area {minimum}, connectivity {connectivity}"
    if kept:
        done += f", kept {', '.join(kept)}"
    return {
        **tags,
        CLEANED_TAG: done,
        "LULCMAP_SOURCE": one_line(class_map.path.name),
        "LULCMAP_SOURCE_SHA256": sha256_of(class_map.path),
    }
