"""Check a dataset: its files against its index, no ground in two splits; and its statistics."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError

from lulcmap.dataset.chips import (
    CHIPS,
    LABEL,
    PROBABILITIES,
    S1,
    S2,
    SPLITS,
    VOTES,
    WEIGHT,
    Chip,
    Dataset,
)
from lulcmap.dataset.contact_sheet import contact_sheet
from lulcmap.dataset.pixels import label_faults, soft_faults, weight_faults
from lulcmap.dataset.splits import overlapping_pairs
from lulcmap.dataset.statistics import Band
from lulcmap.dataset.votes import N_EXPERTS
from lulcmap.errors import OutputError
from lulcmap.legend import NODATA
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_BANDS, S2_NODATA
from lulcmap.system import Steps, no_progress, open_geotiff, write_atomically

STATISTICS, SHEET = "statistics.json", "contact-sheet.png"

_FILE_FORMATS: dict[str, tuple[int, str, int | None]] = {
    S2: (len(S2_BANDS), "uint16", S2_NODATA),
    S1: (len(S1_BANDS), "int16", S1_NODATA),
    LABEL: (1, "uint8", NODATA),
    VOTES: (N_EXPERTS + 1, "uint8", NODATA),
    WEIGHT: (1, "uint8", None),
}
"""Bands, data type and nodata value of each file; probabilities have a band for each class."""


@dataclass(frozen=True)
class CheckResult:
    """The findings of a check."""

    dataset: Dataset
    """Dataset that was checked."""

    faults: tuple[str, ...]
    """Faults, a line each."""

    notes: tuple[str, ...]
    """Remarks, a sentence each."""

    statistics: dict[str, Any]
    """Statistics of the bands, plain JSON; also in ``statistics.json``."""

    sheet: Path
    """Path of the contact sheet, a picture of some chips."""

    def to_json(self) -> dict[str, Any]:
        """The findings as plain JSON values."""
        return {
            "chips": len(self.dataset.rows),
            "faults": list(self.faults),
            "notes": list(self.notes),
            "statistics": self.statistics,
            "sheet": str(self.sheet),
        }


def check_dataset(folder: Path, *, progress: Steps = no_progress) -> CheckResult:
    """Check every chip of a dataset; write its statistics and a contact sheet into its folder.

    Args:
        folder: folder of the dataset.
        progress: called with the number of chips checked, and of all chips.

    Raises:
        UsageError: the folder holds no finished dataset.
        OutputError: the folder cannot be written to.

    """
    dataset = Dataset.open(folder)
    measured_split = "train" if dataset.split("train") else None
    bands = {
        **{name: Band(0) for name in S2_BANDS},
        **{name: Band(S1_NODATA) for name in S1_BANDS},
    }
    faults: list[str] = []
    grids: dict[str, GeoBox] = {}
    used = 0
    for done, chip in enumerate(dataset.rows):
        progress(done, len(dataset.rows))
        pixels, chip_faults = _check_chip(dataset, chip, grids)
        faults += [f"{chip.chip}: {fault}" for fault in chip_faults]
        if not chip_faults and measured_split in (None, chip.split):
            used += 1
            _add_pixels(bands, pixels)
    progress(len(dataset.rows), len(dataset.rows))
    faults += _split_faults(dataset.rows, grids)
    statistics = {
        "split": measured_split or "all",
        "chips": used,
        "bands": {name: band.to_json() for name, band in bands.items()},
    }
    readable = [chip for chip in dataset.rows if chip.chip in grids]
    try:
        write_atomically(folder / STATISTICS, json.dumps(statistics, indent=1) + "\n")
    except OSError as error:
        raise OutputError(
            f"{folder / STATISTICS} cannot be written ({error.strerror or error}). Free some "
            "space, or copy the dataset to a folder that you may write to."
        ) from error
    contact_sheet(folder / SHEET, dataset, readable)
    return CheckResult(dataset, tuple(faults), tuple(_notes(dataset)), statistics, folder / SHEET)


def _check_chip(
    dataset: Dataset, chip: Chip, grids: dict[str, GeoBox]
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """A chip's pixels by file, and its faults; keeps its grid if its files agree on one."""
    pixels: dict[str, NDArray[Any]] = {}
    boxes: dict[str, GeoBox] = {}
    faults: list[str] = []
    optional = [
        name for name in (VOTES, PROBABILITIES, WEIGHT) if dataset.path(chip, name).exists()
    ]
    formats = _FILE_FORMATS | {PROBABILITIES: (len(dataset.classes), "uint8", None)}
    for name in (S2, S1, LABEL, *optional):
        try:
            with open_geotiff(dataset.path(chip, name)) as file:
                boxes[name] = GeoBox(file.shape, file.transform, file.crs)
                faults += _format_faults(name, file, chip, formats[name])
                pixels[name] = file.read()
        except (RasterioError, OSError):
            faults.append(f"{name} is missing or broken")
    if any(box != other for box in boxes.values() for other in boxes.values()):
        faults.append("its files lie on different grids")
    if not faults:
        grids[chip.chip] = boxes[LABEL]
        faults += _pixel_faults(dataset, chip, pixels)
    return pixels, faults


def _format_faults(
    name: str, file: Any, chip: Chip, expected: tuple[int, str, int | None]
) -> Iterator[str]:
    count, dtype, nodata = expected
    if (file.count, file.dtypes[0], file.nodata) != (count, dtype, nodata):
        bands = "band" if file.count == 1 else "bands"
        yield (
            f"{name} has {file.count} {bands} of {file.dtypes[0]}, nodata {file.nodata}; expected "
            f"{count} of {dtype}, nodata {nodata}"
        )
    if file.shape != (chip.height, chip.width):
        yield f"{name} has {file.shape} pixels; the index says {(chip.height, chip.width)}"
    if file.crs is None or file.crs.to_epsg() != chip.epsg:
        yield f"{name} is in {file.crs}; the index says EPSG:{chip.epsg}"


def _pixel_faults(dataset: Dataset, chip: Chip, pixels: dict[str, NDArray[Any]]) -> Iterator[str]:
    classes, label = len(dataset.classes), pixels[LABEL][0]
    codes = frozenset(one.code for one in dataset.sets)
    weight = pixels.get(WEIGHT)
    yield from (f"{LABEL} {fault}" for fault in label_faults(label, classes, codes))
    if VOTES in pixels:
        yield from (f"{VOTES} {fault}" for fault in label_faults(pixels[VOTES], classes))
    soft = soft_faults(label, pixels.get(PROBABILITIES), classes)
    yield from (f"{PROBABILITIES} {fault}" for fault in soft)
    yield from (f"{WEIGHT} {fault}" for fault in weight_faults(weight))
    counts = np.bincount(label.ravel(), minlength=NODATA + 1)
    counted = (
        tuple(counts[:classes].tolist()),
        int(counts[classes:].sum()),
        int(counts[classes:NODATA].sum()),
    )
    if counted != (chip.counts, chip.unlabelled, chip.partial):
        yield "its label has other pixels by class than the index says"
    for name, nodata in ((S2, S2_NODATA), (S1, S1_NODATA)):
        missing = pixels[name] == nodata
        if (missing.any(axis=0) != missing.all(axis=0)).any():
            yield f"{name} has pixels with data in some bands only"
    if (pixels[S2] == S2_NODATA).all():
        yield f"{S2} has no data"
    if bool(chip.s1) == bool((pixels[S1] == S1_NODATA).all()):
        content = "no data" if chip.s1 else "data"
        yield f"{S1} has {content}; scenes in the index: {len(chip.s1)}"


def _add_pixels(bands: dict[str, Band], pixels: dict[str, NDArray[Any]]) -> None:
    for file, names, nodata in ((S2, S2_BANDS, S2_NODATA), (S1, S1_BANDS, S1_NODATA)):
        valid = pixels[file][0] != nodata
        for name, plane in zip(names, pixels[file], strict=True):
            bands[name].add(plane[valid])


def _split_faults(rows: Sequence[Chip], grids: dict[str, GeoBox]) -> Iterator[str]:
    """Faults of the splits: places in several, and ground shared across splits or places."""
    by_place = sorted(rows, key=lambda row: row.place)
    for place, group in groupby(by_place, key=lambda row: row.place):
        splits = sorted({row.split for row in group})
        if len(splits) > 1:
            yield f"place {place} is in {' and '.join(splits)}"
    for row in rows:
        if row.split not in SPLITS:
            yield f"{row.chip}: its split is {row.split!r}; expected one of {', '.join(SPLITS)}"
    located = [row for row in rows if row.chip in grids]
    for i, j in overlapping_pairs([grids[row.chip] for row in located]):
        first, second = located[i], located[j]
        if first.split != second.split:
            yield (f"{first.chip} ({first.split}) and {second.chip} ({second.split}) share ground")
        elif first.place != second.place:
            yield f"{first.chip} and {second.chip} share ground but not their place"


def _notes(dataset: Dataset) -> Iterator[str]:
    names = {row.chip for row in dataset.rows}
    extra = [path for path in (dataset.folder / CHIPS).iterdir() if path.name not in names]
    if extra:
        yield f"Folders of {CHIPS}/ not in the index: {len(extra)}, such as {extra[0].name}."
    for split in SPLITS:
        if not dataset.split(split):
            yield f"No chip for {split}."
