"""Whether a map's file is the one that was written: lulcmap's, and undamaged.

The report records size and SHA-256 of each file. Reading a national map of 2 GB to compare them
takes a few seconds, where a search takes as long; so it is done whenever a map counts as made.
Version 0.1.0 recorded neither: of its maps every tile is read, whose compression has a checksum of
its own, and the classes are counted where the report counted them on the same grid.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from lulcmap.legend import NODATA
from lulcmap.output.cog import plan_of
from lulcmap.output.report import MapReport, WrittenFile
from lulcmap.system import GDAL_OPTIONS, sha256_of

_TIFF_STARTS = (b"II*\0", b"II+\0")
"""First bytes of a TIFF as GDAL writes one here, small or large."""

_READ_PX = 4096
"""Side of the windows in which a map without a checksum is read, pixels."""


def is_map(path: Path, written: WrittenFile | None = None, layer: str | None = None) -> bool:
    """Whether lulcmap wrote a file, as its tags tell.

    Args:
        path: path of an existing file.
        written: what the report beside it says of the file, for a file whose tags are damaged: it
            is lulcmap's if it is as long, or the beginning of one that was longer.
        layer: name of the layer that the file is to be; None is the map itself.

    Raises:
        OSError: it cannot be read.

    """
    if plan_of(path, layer) is not None:
        return True
    if written is None or written.bytes is None:
        return False
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(4)
    is_cut = size < written.bytes and any(tiff.startswith(start) for tiff in _TIFF_STARTS)
    return is_cut or size == written.bytes


def map_fault(out: Path, paths: Sequence[Path], report: MapReport) -> str | None:
    """What is wrong with the files of a finished map; None if they are as they were written.

    Args:
        out: path of the first.
        paths: paths of those that are wanted; they exist.
        report: the map's report.

    Raises:
        OSError: one of them cannot be read.

    """
    recorded = {**written_files(out, report), **written_layers(out, report)}
    unproved = []
    for path in paths:
        written = recorded.get(path)
        if written is None:
            return f"the report does not know {path.name}"
        if written.sha256 is None:
            unproved.append(path)
        elif path.stat().st_size != written.bytes:
            return f"{path.name} has {path.stat().st_size:,} bytes instead of {written.bytes:,}"
        elif sha256_of(path) != written.sha256:
            return f"{path.name} is not as it was written"
    return _fault_without_proof(unproved, report) if unproved else None


def written_files(out: Path, report: MapReport) -> Mapping[Path, WrittenFile]:
    """What a map's report says of each file, also where map and report were renamed together."""
    return _by_path(out, report, report.maps)


def written_layers(out: Path, report: MapReport) -> Mapping[Path, WrittenFile]:
    """As ``written_files``, of the layers of the map's files."""
    return _by_path(out, report, [file for files in report.layers.values() for file in files])


def _by_path(out: Path, report: MapReport, files: Sequence[WrittenFile]) -> dict[Path, WrittenFile]:
    old = Path(report.maps[0].file).stem if report.maps else ""
    tails = [Path(written.file).stem.removeprefix(old) for written in files]
    return {
        out.with_stem(f"{out.stem}{tail}"): written
        for tail, written in zip(tails, files, strict=True)
    }


def _fault_without_proof(paths: Sequence[Path], report: MapReport) -> str | None:
    from rio_cogeo.cogeo import cog_validate  # slow to import, and seldom needed

    counts, crs = np.zeros(NODATA + 1, np.int64), set()
    for path in paths:
        try:
            with rasterio.Env(**GDAL_OPTIONS):
                valid, errors, _ = cog_validate(path, quiet=True)
                if not valid:
                    return f"{path.name} is no whole COG: {errors[0]}"
                with rasterio.open(path, driver="GTiff") as dataset:
                    crs.add(str(dataset.crs))
                    levels = len(dataset.overviews(1))
                counts += _values(path, None)
                for level in range(levels):
                    _values(path, level)
        except RasterioError as error:
            return f"{path.name} cannot be read ({error})"
    mapped = {cover.name: int(counts[cover.id]) for cover in report.legend if counts[cover.id]}
    is_countable = len(report.maps) == len(paths) == 1 and crs == set(report.counted_on)
    if is_countable and mapped != dict(report.classes):
        return f"{paths[0].name} has other classes than its report"
    return None


def _values(path: Path, level: int | None) -> NDArray[np.int64]:
    """(256,) number of pixels of each value, of the map or one of its overviews."""
    counts = np.zeros(NODATA + 1, np.int64)
    overview = {} if level is None else {"overview_level": level}
    with rasterio.open(path, driver="GTiff", **overview) as dataset:
        height, width = dataset.shape
        for row in range(0, height, _READ_PX):
            for col in range(0, width, _READ_PX):
                size = min(_READ_PX, width - col), min(_READ_PX, height - row)
                values = dataset.read(1, window=Window(col, row, *size))
                counts += np.bincount(values.ravel(), minlength=NODATA + 1)
    return counts
