"""A dataset on disk, as training and evaluation read it: its legend, its index, its chips.

::

    dataset.json     the legend and the settings it was built with
    index.parquet    one row a chip, sorted by chip
    report.json      what was built, and what was skipped and why
    chips/<chip>/    s2.tif, s1.tif, label.tif, and votes.tif where several annotators labelled it

``lulcmap.dataset`` writes it.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError

from lulcmap.errors import UsageError
from lulcmap.legend import LandCover

FORMAT = 1
"""Version of the folder's form."""

ABOUT, INDEX, CHIPS = "dataset.json", "index.parquet", "chips"
S2, S1, LABEL, VOTES = "s2.tif", "s1.tif", "label.tif", "votes.tif"

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Chip:
    """One row of the index: a labelled image."""

    chip: str
    """Name of its folder."""

    place: str
    """Chips that overlap share a place, and splits share none."""

    lon: float
    """Longitude of its middle, degrees."""

    lat: float
    """Latitude of its middle, degrees."""

    date: str
    """ISO date of the image; of a composite, the middle of its period."""

    split: str
    """``"train"``, ``"validation"`` or ``"test"``."""

    annotator: str
    """``"expert"``, ``"nonexpert"``, ``"holdout"`` or ``"own"``."""

    source: str
    """The label file, relative to the folder of labels."""

    s2: tuple[str, ...]
    """Ids of the Sentinel-2 items in the image."""

    s1: tuple[str, ...]
    """Ids of the Sentinel-1 items in the image; none where it has no radar."""

    s1_dates: tuple[str, ...]
    """ISO dates of ``s1``, in the same order."""

    s1_orbit: str | None
    """``"descending"``, ``"ascending"``, ``"both"``, or None without radar."""

    epsg: int
    """Of its grid."""

    height: int
    """Rows of 10 m."""

    width: int
    """Columns of 10 m."""

    counts: tuple[int, ...]
    """Pixels of each class of the legend."""

    unlabelled: int
    """Pixels without a class."""


@dataclass(frozen=True)
class Dataset:
    """A dataset's legend and index; its pixels are read chip by chip."""

    folder: Path
    """Where it lies."""

    classes: tuple[LandCover, ...]
    """The legend; a class's place is its id in the labels, where 255 is unknown."""

    settings: dict[str, Any]
    """What it was built with, plain JSON."""

    rows: tuple[Chip, ...]
    """The index, sorted by chip."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The dataset in a folder.

        Raises:
            UsageError: there is none, it is not finished, it is of another format, or pyarrow is
                not installed.

        """
        classes, settings = read_about(folder)
        return cls(folder, classes, settings, _rows(folder))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes, by id."""
        return tuple(cover.name for cover in self.classes)

    def split(self, name: str) -> list[Chip]:
        """The chips of ``"train"``, ``"validation"`` or ``"test"``, in order.

        Raises:
            ValueError: there is no such split.

        """
        if name not in SPLITS:
            raise ValueError(f"no such split: {name!r}; there are {', '.join(SPLITS)}")
        return [chip for chip in self.rows if chip.split == name]

    def read(self, chip: Chip) -> tuple[NDArray[np.uint16], NDArray[np.int16], NDArray[np.uint8]]:
        """A chip's pixels.

        Returns:
            (9, H, W) Sentinel-2 DN without offset, 0 nodata; (2, H, W) Sentinel-1 gamma0 in
            hundredths of a decibel, -32768 nodata; (H, W) class ids, 255 unknown.

        Raises:
            UsageError: a file is missing or broken.

        """
        return self._pixels(chip, S2), self._pixels(chip, S1), self._pixels(chip, LABEL)[0]

    def votes(self, chip: Chip) -> NDArray[np.uint8] | None:
        """(4, H, W) what each annotator said: experts 1 to 3, then the non-expert; 255 for nothing.

        None where the chip has one label only.

        Raises:
            UsageError: the file is broken.

        """
        return self._pixels(chip, VOTES) if self.path(chip, VOTES).exists() else None

    def path(self, chip: Chip, name: str) -> Path:
        """Of one of a chip's files, such as ``LABEL``."""
        return self.folder / CHIPS / chip.chip / name

    def _pixels(self, chip: Chip, name: str) -> NDArray[Any]:
        path = self.path(chip, name)
        try:
            with rasterio.open(path) as file:
                return file.read()
        except RasterioIOError as error:
            raise UsageError(
                f"{path} is missing or broken. Delete the folder {path.parent} and run lulcmap "
                "dataset build again, which makes it anew."
            ) from error


def read_about(folder: Path) -> tuple[tuple[LandCover, ...], dict[str, Any]]:
    """A dataset's legend, and the settings it is built with.

    Raises:
        UsageError: there is none, or it is of another format.

    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        form, settings = about["format"], dict(about["settings"])
        classes = tuple(
            LandCover(number, str(one["name"]), str(one["colour"]))
            for number, one in enumerate(about["classes"])
        )
    except FileNotFoundError:
        raise UsageError(
            f"There is no dataset in {folder}; expected a folder made by lulcmap dataset build."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder / ABOUT} cannot be read ({type(error).__name__}). Build the dataset again "
            "in another folder."
        ) from error
    if form != FORMAT:
        raise UsageError(
            f"The dataset in {folder} has format {form}, and this lulcmap reads {FORMAT}. Build it "
            "again with this version, in another folder."
        )
    return classes, settings


def _rows(folder: Path) -> tuple[Chip, ...]:
    """The index of a folder."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            "A dataset's index needs pyarrow, which is not installed: pip install 'lulcmap[train]'."
        ) from error
    path = folder / INDEX
    if not path.is_file():
        raise UsageError(
            f"The dataset in {folder} is not finished: it has no {INDEX}. Run lulcmap dataset "
            "build again, which goes on with it."
        )
    names = [field.name for field in fields(Chip)]
    try:
        table = pyarrow.parquet.read_table(path, columns=names).to_pylist()
        return tuple(Chip(**{name: _value(row[name]) for name in names}) for row in table)
    except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException) as error:
        raise UsageError(
            f"{path} cannot be read ({type(error).__name__}). Delete it and run lulcmap dataset "
            "build again, which makes it anew."
        ) from error


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
