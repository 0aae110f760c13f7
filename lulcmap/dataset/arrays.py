"""Make a dataset of arrays: for images and labels that lulcmap did not read itself."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.dataset.chips import SPLITS, Chip, Split
from lulcmap.dataset.sample import Image, Label, Sample
from lulcmap.dataset.sets import LabelSet
from lulcmap.dataset.writer import DatasetWriter, dataset_writer
from lulcmap.geo import RESOLUTION_M, transformer, utm_zone
from lulcmap.legend import CLASSES, LandCover
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_NODATA

_DIGEST = "arrays"
"""Stands for the digest of a label file in ``chip.json``."""


@dataclass
class ChipWriter:
    """Adds chips to a dataset; ``write_chips`` makes one."""

    writer: DatasetWriter
    """Writes the files."""

    rows: dict[str, Chip] = field(default_factory=dict)
    """Rows of the index so far, by the names of the chips."""

    split_of: dict[str, str] = field(default_factory=dict)
    """Splits of the places so far."""

    def __len__(self) -> int:
        """Number of chips so far."""
        return len(self.rows)

    def keep(self, name: str) -> bool:
        """Keep a chip that an interrupted run finished; False if it has to be added.

        Args:
            name: name of the chip.

        """
        row = self.writer.finished_row(name, _DIGEST)
        if row is None:
            return False
        self._check_place(row.place, row.split)
        self.rows[name] = row
        return True

    def add(
        self,
        name: str,
        *,
        s2: NDArray[np.uint16],
        label: NDArray[np.uint8],
        day: date,
        s1: NDArray[np.int16] | None = None,
        probabilities: NDArray[np.uint8] | None = None,
        weight: NDArray[np.uint8] | None = None,
        grid: GeoBox | None = None,
        lon: float | None = None,
        lat: float | None = None,
        place: str | None = None,
        split: Split = "train",
        source: str = "arrays",
    ) -> Chip:
        """Add a chip: its files are written at once, the index at the end.

        Args:
            name: name of the chip's folder, unique in the dataset.
            s2: (9, H, W) Sentinel-2 DN without offset (reflectance x 10,000), the bands in the
                order of ``lulcmap.sensors.S2_BANDS``, 0 nodata in all bands or in none.
            label: (H, W) class ids, codes of label sets, 255 unknown.
            day: day of the Sentinel-2 image, or the middle of its period.
            s1: (2, H, W) Sentinel-1 VV and VH, gamma0, hundredths of a decibel, -32768 nodata; None
                without radar.
            probabilities: (K, H, W) probability of each class, percent, with the most probable
                class in ``label``; 0 in all classes where the label is certain.
            weight: (H, W) how much a pixel counts in training, percent.
            grid: grid of the pixels, 10 m, in a UTM zone.
            lon: instead of ``grid``, longitude of the centre, degrees; the chip then lies on the
                grid of its UTM zone, on whole multiples of 10 m.
            lat: latitude of the centre, degrees.
            place: place of the chip: chips that overlap or are alike should share one, since no two
                splits share one; None makes each chip a place.
            split: ``"train"``, ``"validation"`` or ``"test"``.
            source: what the label comes from, for the index.

        Returns:
            The chip's row of the index.

        Raises:
            ValueError: the arrays do not fit each other or the legend, the name was used or cannot
                be a folder's, the place is in another split, or the location is missing or given
                twice.
            AreaError: the place is nearer to a pole than Sentinel-2 is mapped in UTM.
            OutputError: the chip cannot be written.

        """
        if s1 is None:
            s1 = np.full((len(S1_BANDS), *label.shape), S1_NODATA, np.int16)
        place = name if place is None else place
        self._check_name(name, split)
        self._check_place(place, split)
        box = _grid(label.shape, grid, lon, lat)
        for sensor, planes, nodata in (("s2", s2, S2_NODATA), ("s1", s1, S1_NODATA)):
            missing = planes == nodata
            if (missing.any(0) != missing.all(0)).any():
                raise ValueError(f"{sensor} of {name} has pixels with data in some bands only")
        has_s1 = bool((s1 != S1_NODATA).any())
        image = Image(
            s2,
            s1,
            day,
            s2_ids=(source,),
            s1_ids=(source,) if has_s1 else (),
            s1_dates=(day.isoformat(),) if has_s1 else (),
            s1_orbit=None,
        )
        row = self.writer.write_chip(
            Sample(name, "own", source, (), box),
            _DIGEST,
            Label(label, probabilities=probabilities, weight=weight),
            image,
            place=place,
            split=split,
        )
        self.rows[name] = row
        return row

    def _check_name(self, name: str, split: str) -> None:
        if Path(name).name != name or name.startswith("."):
            raise ValueError(f"{name!r} cannot be the name of a chip's folder")
        if name in self.rows:
            raise ValueError(f"a chip {name!r} was added before")
        if split not in SPLITS:
            raise ValueError(f"no such split: {split!r}; expected one of {', '.join(SPLITS)}")

    def _check_place(self, place: str, split: str) -> None:
        other = self.split_of.setdefault(place, split)
        if other != split:
            raise ValueError(f"place {place!r} is in {other}, so it cannot be in {split} too")


def _grid(
    shape: tuple[int, ...], grid: GeoBox | None, lon: float | None, lat: float | None
) -> GeoBox:
    """The grid that is given, or the one around a place."""
    if grid is not None and lon is None and lat is None:
        return grid
    if grid is not None or lon is None or lat is None:
        raise ValueError("give either grid, or lon and lat")
    epsg, (rows, cols) = utm_zone(lon, lat), shape
    east, north = transformer("EPSG:4326", f"EPSG:{epsg}").transform(lon, lat)
    left, top = (
        round(middle / RESOLUTION_M - side / 2) * RESOLUTION_M
        for middle, side in ((east, cols), (north, -rows))
    )
    affine = Affine(RESOLUTION_M, 0, left, 0, -RESOLUTION_M, top)
    return GeoBox((rows, cols), affine, f"EPSG:{epsg}")


@contextmanager
def write_chips(
    path: Path | str,
    classes: Sequence[LandCover] = CLASSES,
    *,
    settings: Mapping[str, Any] | None = None,
    sets: Sequence[LabelSet] = (),
) -> Iterator[ChipWriter]:
    """Make a dataset of arrays, in the body; at its end the index is written.

    After an error in the body the chips stay, and the same call continues: ``keep`` says which are
    there. ``lulcmap train``, ``evaluate`` and ``dataset check`` take the folder as any other.

    Args:
        path: folder of the dataset, new or begun with the same settings.
        classes: classes of the legend; a class's position is its id.
        settings: what the chips are made with, plain JSON; other settings are another dataset.
        sets: sets of classes that labels may give instead of one class: ``label_sets`` makes them.

    Raises:
        ValueError: the sets do not fit the legend, or no chip was added.
        UsageError: the dataset was begun with other settings, or pyarrow is not installed.
        OutputError: the folder cannot be used.

    """
    with dataset_writer(Path(path), classes, settings or {}, sets=sets) as writer:
        chips = ChipWriter(writer)
        yield chips
        if not chips.rows:
            raise ValueError("no chip was added")
        writer.finish(tuple(chips.rows.values()), {"chips": len(chips), "skipped": {}})
