"""A dataset on disk, as training and evaluation read it: its legend, its index, its chips.

::

    dataset.json     the legend and the settings it was built with
    index.parquet    one row for each chip, sorted by chip
    report.json      what was built, and what was skipped and why
    chips/<chip>/    s2.tif, s1.tif, label.tif, and votes.tif where several annotators labelled it;
                     probabilities.tif where labels are soft, weight.tif where pixels count less

``lulcmap.dataset.writer`` writes it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError

from lulcmap.dataset.about import About
from lulcmap.dataset.pixels import Pixels
from lulcmap.dataset.sets import LabelSet
from lulcmap.errors import UsageError
from lulcmap.legend import LandCover
from lulcmap.system import open_geotiff

INDEX, CHIPS = "index.parquet", "chips"
S2, S1, LABEL, VOTES = "s2.tif", "s1.tif", "label.tif", "votes.tif"
PROBABILITIES, WEIGHT = "probabilities.tif", "weight.tif"

PARTIAL = "partial"

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Chip:
    """One row of the index: a labelled image."""

    chip: str
    """Name of the chip's folder."""

    place: str
    """Place of the chip: chips that overlap share one, and no two splits share one."""

    lon: float
    """Longitude of the chip's centre, degrees."""

    lat: float
    """Latitude of the chip's centre, degrees."""

    date: str
    """ISO date of the image; of a composite, the middle of its period."""

    split: str
    """``"train"``, ``"validation"`` or ``"test"``."""

    annotator: str
    """``"expert"``, ``"nonexpert"``, ``"holdout"`` or ``"own"``."""

    source: str
    """Path of the label file, relative to the folder of labels."""

    s2: tuple[str, ...]
    """Ids of the Sentinel-2 items in the image."""

    s1: tuple[str, ...]
    """Ids of the Sentinel-1 items in the image; empty without radar."""

    s1_dates: tuple[str, ...]
    """ISO dates of ``s1``, in the same order."""

    s1_orbit: str | None
    """``"descending"``, ``"ascending"``, ``"both"``, or None without radar."""

    epsg: int
    """EPSG code of the chip's grid."""

    height: int
    """Rows of 10 m."""

    width: int
    """Columns of 10 m."""

    counts: tuple[int, ...]
    """Pixels of each class of the legend."""

    unlabelled: int
    """Pixels without a class, those with a set of classes among them."""

    partial: int = 0
    """Pixels with a set of classes."""

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON values; without partial labels it says nothing of them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if name != PARTIAL or value
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The row that ``to_json`` made the values of.

        Raises:
            TypeError: the keys are not those of a row.

        """
        row: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return cls(**row)


@dataclass(frozen=True)
class Dataset:
    """A dataset's legend and index; its pixels are read chip by chip."""

    folder: Path
    """Folder of the dataset."""

    about: About
    """Legend, and settings that it was built with."""

    rows: tuple[Chip, ...]
    """The index, sorted by chip."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the dataset in a folder.

        Raises:
            UsageError: the folder holds no dataset, an unfinished one or one of another format, or
                pyarrow is not installed.

        """
        return cls(folder, About.read(folder), _read_index(folder))

    @property
    def classes(self) -> tuple[LandCover, ...]:
        """The legend: a class's position is its id in the labels, where 255 is unknown."""
        return self.about.classes

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings that the dataset was built with, plain JSON."""
        return self.about.settings

    @property
    def sets(self) -> tuple[LabelSet, ...]:
        """Sets of classes that labels may give instead of one class, by code from 254 down."""
        return self.about.sets

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, by id."""
        return tuple(cover.name for cover in self.classes)

    def split(self, name: str) -> list[Chip]:
        """The chips of ``"train"``, ``"validation"`` or ``"test"``, in order.

        Raises:
            ValueError: no such split.

        """
        if name not in SPLITS:
            raise ValueError(f"no such split: {name!r}; expected one of {', '.join(SPLITS)}")
        return [chip for chip in self.rows if chip.split == name]

    def read(self, chip: Chip) -> Pixels:
        """A chip's pixels and label.

        Raises:
            UsageError: a file is missing or broken.

        """
        soft, weight = (
            self._pixels(chip, name) if self.path(chip, name).exists() else None
            for name in (PROBABILITIES, WEIGHT)
        )
        return Pixels(
            self._pixels(chip, S2),
            self._pixels(chip, S1),
            self._pixels(chip, LABEL)[0],
            soft,
            None if weight is None else weight[0],
        )

    def votes(self, chip: Chip) -> NDArray[np.uint8] | None:
        """(4, H, W) class ids by annotator: experts 1 to 3, then the non-expert; 255 for none.

        None where the chip has only one label.

        Raises:
            UsageError: the file is broken.

        """
        return self._pixels(chip, VOTES) if self.path(chip, VOTES).exists() else None

    def path(self, chip: Chip, name: str) -> Path:
        """Path of one of a chip's files, such as ``LABEL``."""
        return self.folder / CHIPS / chip.chip / name

    def _pixels(self, chip: Chip, name: str) -> NDArray[Any]:
        path = self.path(chip, name)
        try:
            with open_geotiff(path) as file:
                return file.read()
        except RasterioIOError as error:
            raise UsageError(
                f"{path} is missing or broken. Delete the folder {path.parent} and rerun lulcmap "
                "dataset build, which rebuilds it."
            ) from error


def _read_index(folder: Path) -> tuple[Chip, ...]:
    """The rows of a folder's index."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            "A dataset's index needs pyarrow, which is not installed: pip install 'lulcmap[train]'."
        ) from error
    path = folder / INDEX
    if not path.is_file():
        raise UsageError(
            f"The dataset in {folder} is not finished: it has no {INDEX}. Rerun lulcmap dataset "
            "build, which resumes it."
        )
    try:
        found = pyarrow.parquet.read_schema(path).names
        # the index of a dataset without partial labels lacks their column
        columns = [each.name for each in fields(Chip) if each.name in found or each.name != PARTIAL]
        table = pyarrow.parquet.read_table(path, columns=columns)
        return tuple(Chip.from_json(row) for row in table.to_pylist())
    except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException) as error:
        raise UsageError(
            f"{path} cannot be read ({type(error).__name__}). Delete it and rerun lulcmap dataset "
            "build, which rewrites it."
        ) from error
