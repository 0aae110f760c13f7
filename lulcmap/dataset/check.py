"""Whether a dataset is what its index says, that no ground is in two splits, and its statistics."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError

from lulcmap.dataset.chips import CHIPS, LABEL, S1, S2, SPLITS, VOTES, Chip, Dataset
from lulcmap.dataset.contact_sheet import contact_sheet
from lulcmap.dataset.splits import overlaps
from lulcmap.dataset.statistics import Band
from lulcmap.dataset.votes import EXPERTS
from lulcmap.errors import OutputError
from lulcmap.legend import NODATA
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_BANDS, S2_NODATA
from lulcmap.system import Steps, no_progress

STATISTICS, SHEET = "statistics.json", "contact-sheet.png"

_EXPECTED = {
    S2: (len(S2_BANDS), "uint16", S2_NODATA),
    S1: (len(S1_BANDS), "int16", S1_NODATA),
    LABEL: (1, "uint8", NODATA),
    VOTES: (EXPERTS + 1, "uint8", NODATA),
}
"""Bands, type and nodata value of each file."""


@dataclass(frozen=True)
class CheckResult:
    """What was found."""

    dataset: Dataset
    """That was looked at."""

    faults: tuple[str, ...]
    """What is wrong, a line each."""

    notes: tuple[str, ...]
    """What is worth knowing."""

    statistics: dict[str, Any]
    """Also in ``statistics.json``."""

    sheet: Path
    """The picture of some chips."""


def check_dataset(folder: Path, *, progress: Steps = no_progress) -> CheckResult:
    """Look at every chip of a dataset; write its statistics and a contact sheet beside them.

    Args:
        folder: of the dataset.
        progress: told how many chips were looked at.

    Raises:
        UsageError: there is no finished dataset.
        OutputError: nothing can be written there.

    """
    dataset = Dataset.open(folder)
    learnt = "train" if dataset.split("train") else None
    bands = {
        **{name: Band(0) for name in S2_BANDS},
        **{name: Band(S1_NODATA) for name in S1_BANDS},
    }
    faults: list[str] = []
    grids: dict[str, GeoBox] = {}
    used = 0
    for done, chip in enumerate(dataset.rows):
        progress(done, len(dataset.rows))
        pixels, found = _look(dataset, chip, grids)
        faults += [f"{chip.chip}: {fault}" for fault in found]
        if not found and learnt in (None, chip.split):
            used += 1
            _measure(bands, pixels)
    progress(len(dataset.rows), len(dataset.rows))
    faults += _leaks(dataset.rows, grids)
    statistics = {
        "split": learnt or "all",
        "chips": used,
        "bands": {name: band.to_dict() for name, band in bands.items()},
    }
    whole = [chip for chip in dataset.rows if chip.chip in grids]
    try:
        (folder / STATISTICS).write_text(json.dumps(statistics, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{folder / STATISTICS} cannot be written ({error.strerror or error}). Make room, or "
            "copy the dataset to where you may write."
        ) from error
    contact_sheet(folder / SHEET, dataset, whole)
    return CheckResult(dataset, tuple(faults), tuple(_notes(dataset)), statistics, folder / SHEET)


def _look(
    dataset: Dataset, chip: Chip, grids: dict[str, GeoBox]
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """A chip's pixels by file, and its faults; its grid is kept if its files agree on one."""
    pixels: dict[str, NDArray[Any]] = {}
    boxes: dict[str, GeoBox] = {}
    faults: list[str] = []
    names = [S2, S1, LABEL]
    if dataset.path(chip, VOTES).exists():
        names.append(VOTES)
    for name in names:
        try:
            with rasterio.open(dataset.path(chip, name)) as file:
                boxes[name] = GeoBox(file.shape, file.transform, file.crs)
                faults += _form(name, file, chip)
                pixels[name] = file.read()
        except (RasterioError, OSError):
            faults.append(f"{name} is missing or broken")
    if any(box != other for box in boxes.values() for other in boxes.values()):
        faults.append("its files lie on different grids")
    if not faults:
        grids[chip.chip] = boxes[LABEL]
        faults += _content(dataset, chip, pixels)
    return pixels, faults


def _form(name: str, file: Any, chip: Chip) -> Iterator[str]:
    count, dtype, nodata = _EXPECTED[name]
    if (file.count, file.dtypes[0], file.nodata) != (count, dtype, nodata):
        yield (
            f"{name} has {file.count} bands of {file.dtypes[0]}, nodata {file.nodata}; expected "
            f"{count} of {dtype}, nodata {nodata}"
        )
    if file.shape != (chip.height, chip.width):
        yield f"{name} has {file.shape} pixels, and the index {(chip.height, chip.width)}"
    if file.crs is None or file.crs.to_epsg() != chip.epsg:
        yield f"{name} is in {file.crs}, and the index says EPSG:{chip.epsg}"


def _content(dataset: Dataset, chip: Chip, pixels: dict[str, NDArray[Any]]) -> Iterator[str]:
    classes = len(dataset.classes)
    for name in (LABEL, VOTES):
        ids = np.unique(pixels.get(name, pixels[LABEL]))
        strange = ids[(ids >= classes) & (ids != NODATA)]
        if strange.size:
            yield f"{name} holds id {strange[0]}, and the legend has 0 to {classes - 1}"
    counts = np.bincount(pixels[LABEL].ravel(), minlength=NODATA + 1)
    if tuple(counts[:classes].tolist()) != chip.counts or counts[NODATA] != chip.unlabelled:
        yield "its label's pixels by class are not those of the index"
    for name, nodata in ((S2, S2_NODATA), (S1, S1_NODATA)):
        missing = pixels[name] == nodata
        if (missing.any(axis=0) != missing.all(axis=0)).any():
            yield f"{name} has pixels with data in some bands only"
    if (pixels[S2] == S2_NODATA).all():
        yield f"{S2} has no data"
    if bool(chip.s1) == bool((pixels[S1] == S1_NODATA).all()):
        yield f"{S1} has {'no data' if chip.s1 else 'data'}, and the index {len(chip.s1)} scenes"


def _measure(bands: dict[str, Band], pixels: dict[str, NDArray[Any]]) -> None:
    for file, names, nodata in ((S2, S2_BANDS, S2_NODATA), (S1, S1_BANDS, S1_NODATA)):
        valid = pixels[file][0] != nodata
        for name, plane in zip(names, pixels[file], strict=True):
            bands[name].add(plane[valid])


def _leaks(rows: Sequence[Chip], grids: dict[str, GeoBox]) -> Iterator[str]:
    """Places in several splits, and ground that two chips of different splits or places share."""
    by_place = sorted(rows, key=lambda row: row.place)
    for place, group in groupby(by_place, key=lambda row: row.place):
        splits = sorted({row.split for row in group})
        if len(splits) > 1:
            yield f"place {place} is in {' and '.join(splits)}"
    for row in rows:
        if row.split not in SPLITS:
            yield f"{row.chip}: its split is {row.split!r}, none of {', '.join(SPLITS)}"
    known = [row for row in rows if row.chip in grids]
    for one, other in overlaps([grids[row.chip] for row in known]):
        first, second = known[one], known[other]
        if first.split != second.split:
            yield (f"{first.chip} ({first.split}) and {second.chip} ({second.split}) share ground")
        elif first.place != second.place:
            yield f"{first.chip} and {second.chip} share ground and are not of one place"


def _notes(dataset: Dataset) -> Iterator[str]:
    names = {row.chip for row in dataset.rows}
    beside = [path for path in (dataset.folder / CHIPS).iterdir() if path.name not in names]
    if beside:
        yield f"{len(beside)} folders of {CHIPS}/ are not in the index, such as {beside[0].name}."
    for split in SPLITS:
        if not dataset.split(split):
            yield f"There is no chip for {split}."
