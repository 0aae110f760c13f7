"""The rasters of a comparison: which are asked for, checked, filled window by window, and made."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from lulcmap.errors import OutputError, UsageError
from lulcmap.evaluation import CHANGE_TAG
from lulcmap.legend import CLASS_TAG, NODATA
from lulcmap.products.change.codes import UNSURE_NAME, Coding, pair_colour, pair_name
from lulcmap.products.change.legends import UNSURE
from lulcmap.products.change.raster import (
    CodeRaster,
    cannot_write,
    is_our_raster,
    is_our_style,
    joined_raster,
    read_window,
    style_path,
    write_beside,
    write_code_cog,
    write_window,
)
from lulcmap.products.change.series import YEARLY, Box, Series
from lulcmap.products.change.strata import Strata
from lulcmap.products.change.sums import Sums
from lulcmap.products.destinations import check_product
from lulcmap.products.regions import one_line
from lulcmap.system import check_destination, check_disk, check_ours, replacing

COUNT_NAME = "number-of-changes.tif"
"""Name of the raster of changes along the path, in the folder of yearly maps."""

_KEPT_TAGS = (
    *("LULCMAP_PERIOD", "LULCMAP_MODEL", "LULCMAP_MODEL_SHA256", "LULCMAP_PRIOR", "LICENSE"),
    *("ATTRIBUTION", "TIFFTAG_COPYRIGHT"),
)
"""Tags of a map that its cleaned one keeps."""

_BESIDE = (".aux.xml",)
_ENDINGS = (".tif", ".tiff")

_COUNT_COLOURS = ((238, 238, 238), (253, 190, 110), (227, 74, 51), (122, 1, 119))
"""Colours of 0, 1, 2 and more changes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The rasters that are asked for."""

    change: Path | None
    """Path of the change raster."""

    strata: Path | None
    """Path of the raster of strata."""

    yearly: Path | None
    """Path of the folder of yearly maps."""

    def check(self, inputs: Collection[Path], *, overwrite: bool) -> None:
        """Check that they may be written, before the work begins.

        Args:
            inputs: paths of files that are read, and must stay.
            overwrite: whether what lulcmap wrote may be replaced.

        Raises:
            UsageError: a name has another ending.
            OutputError: one cannot be written, or replaces something else.

        """
        if self.change is not None and self.strata is not None and _same(self.change, self.strata):
            raise UsageError("--out and --strata are one file. Change one of them.")
        for path, option in ((self.change, "--out"), (self.strata, "--strata")):
            if path is not None:
                _check_raster(path, option, inputs, overwrite=overwrite)
        if self.yearly is not None:
            _check_folder(self.yearly, inputs, overwrite=overwrite)


def _check_raster(path: Path, option: str, inputs: Collection[Path], *, overwrite: bool) -> None:
    if path.suffix.lower() not in _ENDINGS:
        raise UsageError(f"{path} ends in {path.suffix or 'nothing'}; {option} is a .tif file.")
    check_product(
        path,
        is_our_raster,
        kind="a raster of changes",
        overwrite=overwrite,
        option=option,
        inputs=inputs,
        beside=_BESIDE,
    )
    check_ours(style_path(path), is_our_style, kind="a style", option=option)


def _check_folder(path: Path, inputs: Collection[Path], *, overwrite: bool) -> None:
    check_destination(path, option="--yearly", folder=True)
    if any(path.resolve() in other.resolve().parents for other in inputs):
        raise OutputError(f"{path} holds files that are read. Change --yearly.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists. Give --overwrite to replace it, or change --yearly.")
    check_ours(path, _is_our_folder, kind="a folder of yearly maps", option="--yearly")


def _is_our_folder(path: Path) -> bool:
    """Whether a folder holds nothing but rasters that were written here and their side files."""
    rasters = {file for file in path.iterdir() if file.suffix == ".tif" and is_our_raster(file)}
    beside = {file.with_name(f"{file.name}.aux.xml") for file in rasters} | {
        style for file in rasters if (style := style_path(file)).exists() and is_our_style(style)
    }
    return set(path.iterdir()) <= rasters | beside


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


@contextmanager
def open_outputs(wanted: Wanted, series: Series, coding: Coding) -> Iterator["Outputs"]:
    """The rasters, to be filled; they take their places when the body ends.

    Raises:
        OutputError: they cannot be written.

    """
    try:
        with ExitStack() as stack:
            yield Outputs(stack, wanted, series, coding)
    except (RasterioError, CPLE_BaseError, OSError) as error:
        place = wanted.change or wanted.strata or wanted.yearly or series.maps[0].path
        raise cannot_write(place, error) from error


def yearly_names(series: Series) -> list[str]:
    """Names of the yearly maps: those of the maps, numbered where two have one name."""
    stems = [one.path.stem for one in series.maps]
    if len(set(stems)) < len(stems):
        stems = [f"{number}-{stem}" for number, stem in enumerate(stems, 1)]
    return [f"{stem}-path.tif" for stem in stems]


class Outputs:
    """The rasters of a comparison, open."""

    def __init__(self, stack: ExitStack, wanted: Wanted, series: Series, coding: Coding) -> None:
        """Open them.

        Args:
            stack: closes them.
            wanted: which ones.
            series: the maps.
            coding: codes of the change raster.

        """
        self._series, self._coding, self._wanted = series, coding, wanted
        self._parts: dict[str, Path] = {}
        self._beside: list[tuple[Path, CodeRaster]] = []
        # Left by the stack last, when the files have their names.
        stack.callback(self._write_beside)
        needed = 2 * sum(one.path.stat().st_size for one in series.maps)
        for name in ("change", "strata", "yearly"):
            path: Path | None = getattr(wanted, name)
            if path is not None:
                check_disk(path.absolute().parent, needed, str(path))
                self._parts[name] = stack.enter_context(replacing(path))
        self._codes: Any = None
        self._count: Any = None
        self._years: list[Any] = []
        like = series.maps[0]

        def joined(part: Path, dtype: str = "uint8", nodata: int = NODATA) -> Any:
            return stack.enter_context(joined_raster(part, like, dtype=dtype, nodata=nodata))

        if "change" in self._parts or "strata" in self._parts:
            part = self._parts.get("change") or self._parts["strata"]
            self._codes = joined(part.with_name(f"{part.name}.codes"), coding.dtype, coding.nodata)
        if "yearly" in self._parts:
            folder = self._parts["yearly"]
            folder.mkdir()
            self._years = [joined(folder / name) for name in yearly_names(series)]
            self._count = joined(folder / COUNT_NAME)
        self._strata_raster = joined(self._parts["strata"]) if "strata" in self._parts else None
        self._is_done = False

    def write(self, paths: NDArray[np.uint8], box: Box) -> None:
        """Write a window.

        Args:
            paths: (T, H, W) classes of the most probable paths.
            box: the window.

        """
        if self._codes is not None:
            self._check_values(paths)
            write_window(self._codes, self._coding.codes(paths[0], paths[-1]), box)
        for dataset, values in zip(self._years, paths, strict=False):
            write_window(dataset, np.where(values == UNSURE, NODATA, values), box)
        if self._count is not None:
            moves = (paths[1:] != paths[:-1]) & (paths[1:] < UNSURE) & (paths[:-1] < UNSURE)
            number = moves.sum(axis=0).astype(np.uint8)
            number[(paths[0] >= UNSURE) | (paths[-1] >= UNSURE)] = NODATA
            write_window(self._count, number, box)

    def _check_values(self, paths: NDArray[np.uint8]) -> None:
        """Check that no class is too large for the codes.

        Raises:
            UsageError: a class that no legend names is.

        """
        base = self._coding.base
        wrong = (paths >= base) & (paths < UNSURE)
        if wrong.any():
            raise UsageError(
                f"The maps have the value {paths[wrong].min()}, which their legend does not name "
                f"({CLASS_TAG}{paths[wrong].min()}). Name it, or make it {NODATA}."
            )

    def finish(self, sums: Sums, names: Mapping[int, str], strata: Strata) -> None:
        """Make the files.

        Args:
            sums: sums of all windows.
            names: names of the classes.
            strata: strata of the changes.

        """
        if self._strata_raster is not None:
            table = strata.table(self._coding)
            for box in self._series.boxes():
                write_window(self._strata_raster, table[read_window(self._codes, box)], box)
            self._make("strata", self._strata_raster, self._of_strata(strata))
        if "change" in self._parts:
            self._make("change", self._codes, self._of_change(sums, names))
        if self._years:
            folder = self._parts["yearly"]
            for t, dataset in enumerate(self._years):
                self._make_yearly(dataset, folder, self._of_year(t, names))
            self._make_yearly(self._count, folder, self._of_count())
        self._is_done = True

    def _make(self, name: str, dataset: Any, raster: CodeRaster) -> None:
        write_code_cog(dataset, self._parts[name], raster)
        self._beside.append((getattr(self._wanted, name), raster))

    def _make_yearly(self, dataset: Any, folder: Path, raster: CodeRaster) -> None:
        out = folder / Path(dataset.name).name.removesuffix(".joined.tif")
        write_code_cog(dataset, out, raster)
        write_beside(out, raster)
        Path(dataset.name).unlink()  # before the folder gets its name

    def _write_beside(self) -> None:
        if self._is_done:
            for out, raster in self._beside:
                write_beside(out, raster)

    def _tags(self, what: str, description: str) -> dict[str, str]:
        maps = self._series.maps
        attributions = dict.fromkeys(
            text for one in maps if (text := one.tags.get("TIFFTAG_COPYRIGHT"))
        )
        tags = {
            CHANGE_TAG: what,
            "TIFFTAG_IMAGEDESCRIPTION": description,
            "TIFFTAG_SOFTWARE": "lulcmap",
            "LULCMAP_MAPS": "; ".join(
                f"{label}: {one_line(one.path.name)}"
                for label, one in zip(self._series.labels, maps, strict=True)
            ),
        }
        if attributions:
            tags["TIFFTAG_COPYRIGHT"] = "; ".join(attributions)
        return tags

    def _span(self) -> str:
        return f"{self._series.labels[0]} to {self._series.labels[-1]}"

    def _of_change(self, sums: Sums, names: Mapping[int, str]) -> CodeRaster:
        base = self._coding.base
        text = f"Land-cover change {self._span()}: {base} x first class + last class"
        pairs = [(self._coding.code(pair), pair, column) for pair, column in sums.pairs()]
        return CodeRaster(
            {code: pair_name(pair, names) for code, pair, _ in pairs},
            {code: pair_colour(pair, self._series.colours) for code, pair, _ in pairs},
            {code: round(float(sums.pixels[0, column])) for code, _, column in pairs},
            self._tags(f"transitions, {base}", text),
            "land-cover change",
        )

    def _of_strata(self, strata: Strata) -> CodeRaster:
        named = {
            value: name
            for value, name in enumerate(strata.names)
            if name != UNSURE_NAME or strata.pixels[value]
        }
        return CodeRaster(
            named,
            {value: strata.colours[value] for value in named},
            {value: round(float(strata.pixels[value])) for value in named},
            self._tags("strata", f"Strata of land-cover change {self._span()}, for a sample"),
            "strata of change",
        )

    def _of_year(self, t: int, names: Mapping[int, str]) -> CodeRaster:
        shown = dict(sorted(names.items()))
        tags = {key: text for key in _KEPT_TAGS if (text := self._series.maps[t].tags.get(key))}
        about = f"Land cover {self._series.labels[t]}, the most probable of {len(self._years)} maps"
        return CodeRaster(
            shown,
            {value: one for value in shown if (one := self._series.colours.get(value))},
            {},
            tags | self._tags(YEARLY, about),
            "land cover",
        )

    def _of_count(self) -> CodeRaster:
        values = range(len(self._series.maps))
        return CodeRaster(
            {value: f"{value} change{'s' * (value != 1)}" for value in values},
            {value: _COUNT_COLOURS[min(value, 3)] for value in values},
            {},
            self._tags("number", f"Number of land-cover changes {self._span()}"),
            "number of changes",
        )
