"""Write a dataset: its settings first, then chip by chip, at the end its index and report."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from lulcmap.dataset.about import ABOUT, About
from lulcmap.dataset.chips import (
    CHIPS,
    INDEX,
    LABEL,
    PARTIAL,
    PROBABILITIES,
    S1,
    S2,
    VOTES,
    WEIGHT,
    Chip,
)
from lulcmap.dataset.pixels import Pixels
from lulcmap.dataset.sample import Image, Label, Sample
from lulcmap.dataset.sets import LabelSet, check_sets
from lulcmap.dataset.splits import grid_centre
from lulcmap.errors import OutputError, UsageError
from lulcmap.legend import NODATA, LandCover
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_BANDS, S2_NODATA
from lulcmap.system import (
    GDAL_OPTIONS,
    HeldError,
    check_destination,
    check_disk,
    hold_file,
    parts,
    read_json,
    replacing,
    write_atomically,
)

REPORT = "report.json"

CHIP_FILE = "chip.json"

_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class ChipRecord:
    """A finished chip: the file ``chip.json`` in its folder."""

    row: Chip
    """Row of the index, without place and split where those depend on the other chips."""

    digest: str
    """SHA-256 of the label that the chip was made from, hexadecimal."""

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return {**self.row.to_json(), "digest": self.digest}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The record that ``to_json`` made the values of.

        Raises:
            KeyError, TypeError, ValueError: the values are not those of a chip.

        """
        row = dict(values)
        digest = row.pop("digest")
        return cls(Chip.from_json(row), digest)


@dataclass(frozen=True, slots=True)
class DatasetWriter:
    """A dataset being built."""

    path: Path
    """Folder of the dataset."""

    about: About
    """Its legend and settings."""

    @property
    def chips(self) -> Path:
        """Folder of the chips."""
        return self.path / CHIPS

    def finished_chip(self, sample: Sample, digest: str) -> Chip | None:
        """A finished chip's row, still without place and split; None if it has to be made.

        Args:
            sample: sample of the chip.
            digest: digest of its label now.

        """
        return self.finished_row(sample.name, digest)

    def finished_row(self, name: str, digest: str) -> Chip | None:
        """The row of the finished chip of a name; None if there is none of this digest."""
        try:
            path = self.chips / name / CHIP_FILE
            record = ChipRecord.from_json(json.loads(path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return record.row if record.digest == digest else None

    def write_chip(
        self,
        sample: Sample,
        digest: str,
        label: Label,
        image: Image,
        *,
        place: str = "",
        split: str = "",
    ) -> Chip:
        """Write a chip: all of it, or nothing.

        Args:
            sample: sample of the chip.
            digest: digest of its label.
            label: label of the sample.
            image: image of the sample.
            place: place of the chip, if it does not depend on the other chips.
            split: split of the chip, likewise.

        Returns:
            Its row.

        Raises:
            OutputError: the disk is full, or the chip cannot be written.
            ValueError: the arrays do not fit each other, the grid or the legend.

        """
        seen = Pixels(image.s2, image.s1, label.ids, label.probabilities, label.weight)
        seen.check(len(self.about.classes), frozenset(one.code for one in self.about.sets))
        if seen.shape != sample.grid.shape:
            raise ValueError(f"the label has shape {seen.shape}, its grid {sample.grid.shape}")
        row = _chip_row(sample, label, image, len(self.about.classes))
        record = ChipRecord(replace(row, place=place, split=split), digest)
        planes = _planes(label, image, [cover.name for cover in self.about.classes])
        check_disk(self.path, sum(pixels.nbytes for pixels, *_ in planes.values()), "a chip")
        with _write_errors(self.path), replacing(self.chips / sample.name, others=True) as part:
            part.mkdir()
            for name, (pixels, nodata, bands) in planes.items():
                (part / name).write_bytes(_tiff_bytes(pixels, sample, nodata, bands))
            (part / CHIP_FILE).write_bytes(_json_bytes(record.to_json()))
        return record.row

    def finish(self, rows: Sequence[Chip], report: Mapping[str, Any]) -> None:
        """Write the index and the report.

        Args:
            rows: rows of all chips, in any order.
            report: the report, plain JSON.

        Raises:
            OutputError: they cannot be written.

        """
        with _write_errors(self.path):
            write_atomically(self.path / ABOUT, _json_bytes(self.about.to_json()))
            _write_index(self.path / INDEX, rows)
            write_atomically(self.path / REPORT, _json_bytes(report))


@contextmanager
def dataset_writer(
    path: Path,
    classes: Sequence[LandCover],
    settings: Mapping[str, Any],
    *,
    sets: Sequence[LabelSet] = (),
) -> Iterator[DatasetWriter]:
    """Start or resume a dataset; the body holds its folder against other processes.

    Args:
        path: path of the folder; created if missing.
        classes: classes of the legend.
        settings: settings that the chips are made with, plain JSON.
        sets: sets of classes that labels may give instead of one class, by code from 254 down.

    Raises:
        ValueError: the sets do not fit the legend.
        UsageError: the dataset was begun with other settings, or pyarrow is not installed.
        OutputError: the folder is something else, cannot be written to, or another process builds
            there.

    """
    _check_pyarrow()
    check_sets(sets, [cover.name for cover in classes])
    check_destination(path, folder=True, parents=True)
    with _write_errors(path):
        if path.exists() and not _is_dataset(path):
            raise OutputError(f"{path} exists and is not a dataset. Give another --out.")
    about = About(tuple(classes), settings, tuple(sets))
    with _write_errors(path):
        (path / CHIPS).mkdir(parents=True, exist_ok=True)
        try:
            with hold_file(path / _LOCK):
                if (path / ABOUT).exists():
                    _check_same(path, about)
                else:
                    write_atomically(path / ABOUT, _json_bytes(about.to_json()))
                for stale in parts(path / CHIPS):
                    shutil.rmtree(stale, ignore_errors=True)
                try:
                    yield DatasetWriter(path, about)
                except BaseException:
                    _remove_if_empty(path)
                    raise
        except HeldError as error:
            raise OutputError(
                f"The dataset {path} is being built by {error}. Wait for it, or give another --out."
            ) from None


def _remove_if_empty(path: Path) -> None:
    """Remove a folder without a chip: it has nothing to resume."""
    with suppress(OSError):
        (path / CHIPS).rmdir()  # only if it is empty
        (path / ABOUT).unlink()
        (path / _LOCK).unlink()
        path.rmdir()


def _is_dataset(path: Path) -> bool:
    """Whether a folder holds a dataset, or one that was killed at its start, or nothing."""
    if (path / ABOUT).exists():
        return "classes" in (read_json(path / ABOUT) or {})
    names = {entry.name for entry in path.iterdir()} - {part.name for part in parts(path)}
    return names <= {CHIPS, _LOCK} and not any((path / CHIPS).glob("*"))


def _check_same(path: Path, about: About) -> None:
    """Check that a dataset was begun with the same settings."""
    differences = About.read(path).differences(about)
    if differences:
        raise UsageError(
            f"The dataset {path} was begun with other settings: {'; '.join(differences)}. Give the "
            "old options to resume it, or another --out."
        )


def _chip_row(sample: Sample, label: Label, image: Image, n_classes: int) -> Chip:
    lon, lat = grid_centre(sample.grid)
    counts = np.bincount(label.ids.ravel(), minlength=NODATA + 1)
    return Chip(
        chip=sample.name,
        place="",
        lon=round(lon, 6),
        lat=round(lat, 6),
        date=image.day.isoformat(),
        split="",
        annotator=sample.annotator,
        source=sample.source,
        s2=image.s2_ids,
        s1=image.s1_ids,
        s1_dates=image.s1_dates,
        s1_orbit=image.s1_orbit,
        epsg=sample.epsg,
        height=sample.grid.shape[0],
        width=sample.grid.shape[1],
        counts=tuple(counts[:n_classes].tolist()),
        unlabelled=int(counts[n_classes:].sum()),
        partial=int(counts[n_classes:NODATA].sum()),
    )


def _planes(
    label: Label, image: Image, classes: Sequence[str]
) -> dict[str, tuple[NDArray[Any], int | None, Sequence[str]]]:
    """Pixels (C, H, W), nodata value and names of the bands of each file of a chip."""
    planes: dict[str, tuple[NDArray[Any], int | None, Sequence[str]]] = {
        S2: (image.s2, S2_NODATA, S2_BANDS),
        S1: (image.s1, S1_NODATA, S1_BANDS),
        LABEL: (label.ids[None], NODATA, ("class",)),
    }
    if label.votes is not None:
        names = ("expert 1", "expert 2", "expert 3", "non-expert")
        planes[VOTES] = (label.votes, NODATA, names)
    if label.probabilities is not None:
        planes[PROBABILITIES] = (label.probabilities, None, classes)
    if label.weight is not None:
        planes[WEIGHT] = (label.weight[None], None, ("weight",))
    return planes


def _tiff_bytes(
    pixels: NDArray[Any], sample: Sample, nodata: int | None, bands: Sequence[str]
) -> memoryview:
    """A GeoTIFF of (C, H, W) pixels on a sample's grid."""
    count, height, width = pixels.shape
    with rasterio.Env(**GDAL_OPTIONS), MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            count=count,
            height=height,
            width=width,
            dtype=pixels.dtype,
            crs=f"EPSG:{sample.epsg}",
            transform=sample.grid.affine,
            nodata=nodata,
            compress="DEFLATE",
            predictor=2,
            interleave="BAND",
        ) as file:
            file.write(pixels)
            file.descriptions = tuple(bands)
        return memoryview(bytes(memory.getbuffer()))


def _json_bytes(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def _write_index(path: Path, rows: Sequence[Chip]) -> None:
    import pyarrow
    import pyarrow.parquet

    text, texts = pyarrow.string(), pyarrow.list_(pyarrow.string())
    types = {
        **{field.name: text for field in fields(Chip)},
        **dict.fromkeys(("lon", "lat"), pyarrow.float64()),
        **dict.fromkeys(("s2", "s1", "s1_dates"), texts),
        **dict.fromkeys(("epsg", "height", "width", "unlabelled", PARTIAL), pyarrow.int64()),
        "counts": pyarrow.list_(pyarrow.int64()),
    }
    if not any(row.partial for row in rows):
        del types[PARTIAL]
    table = pyarrow.Table.from_pylist(
        [{PARTIAL: 0} | row.to_json() for row in sorted(rows, key=lambda row: row.chip)],
        schema=pyarrow.schema(list(types.items())),
    )
    with replacing(path) as part:
        pyarrow.parquet.write_table(table, part)


def _check_pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "A dataset's index needs pyarrow, which is not installed: pip install 'lulcmap[train]'."
        ) from error


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Turn errors of the disk into one line."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise  # an error of the network
        raise OutputError(
            f"The dataset {path} cannot be written ({error.strerror or error}). Free some space, "
            "or name another folder with --out; then rerun the same command to resume."
        ) from error
