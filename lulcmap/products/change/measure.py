"""Compare maps of one place: two, or one for each of several years."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.evaluation import pixel_areas
from lulcmap.legend import NODATA
from lulcmap.products.change.codes import UNSURE_PAIR, Coding
from lulcmap.products.change.legends import UNSURE
from lulcmap.products.change.outputs import Outputs, Wanted, open_outputs
from lulcmap.products.change.rows import class_rows, transition_rows, year_rows
from lulcmap.products.change.series import ALLOWED, Box, Series, open_series
from lulcmap.products.change.strata import adjust_change, make_strata
from lulcmap.products.change.sums import Sums
from lulcmap.products.change.table import ChangeTable, Trajectory
from lulcmap.products.change.trajectory import (
    START_CHANGE,
    START_ERROR,
    Rates,
    estimate_rates,
    most_probable,
)
from lulcmap.products.regions import NamedRegions, load_named_regions, told
from lulcmap.system import Progress, no_progress

_MAX_WINDOWS, _MAX_SAMPLE_PX = 64, 400_000
"""Windows and pixels from which the model of a trajectory is estimated."""

_SMALL = 0.005
"""Share of an area that is not worth a note."""


def map_change(
    maps: Sequence[str | Path],
    out: str | Path | None = None,
    *,
    regions: str | Path | None = None,
    region_column: str | None = None,
    layer: str | None = None,
    min_confidence: int | None = None,
    yearly: str | Path | None = None,
    strata: str | Path | None = None,
    accuracy: str | Path | None = None,
    allow: Collection[str] = (),
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> ChangeTable:
    """Compare maps of one place, and write a raster of what changed.

    The raster has one value for each pair of classes in the first and the last map, with names and
    colours. Areas are true ones on the WGS 84 ellipsoid. With three maps or more, each pixel first
    gets the most probable path of classes through the years, which removes flicker. Memory does
    not depend on the size of the maps.

    Args:
        maps: paths of the maps, the oldest first.
        out: path of the raster, ``.tif``; None for none.
        regions: path of a vector file with polygons, in any CRS; None compares the whole maps.
        region_column: column with their names; None takes the one that looks like it.
        layer: layer of the file, where it has several.
        min_confidence: percent below which a pixel of a map is unsure; None for none. Each map
            needs a band named confidence, or a file ``<map>-quality.tif`` with one beside it.
        yearly: path of a folder for the most probable map of each year, of three maps or more.
        strata: path of a raster of strata, from which a sample of change is drawn.
        accuracy: path of the folder that an evaluation of ``strata`` against a labelled sample
            wrote, for error-adjusted areas of change; None for none.
        allow: differences between the maps that are not refused: "grid", "legend", "model" and
            "order".
        overwrite: whether existing files may be replaced.
        progress: called with a stage's name, how many windows are done, and how many there are.

    Returns:
        The table; ``write_change`` writes it, ``draw_change`` draws it.

    Raises:
        UsageError: a file cannot be read or is no class map, or the maps cannot be compared.
        OutputError: a file exists, or cannot be written.

    """
    paths = [Path(one) for one in maps]
    unknown = sorted(set(allow) - set(ALLOWED))
    if unknown:
        raise UsageError(f"allow has {told(unknown)}; it takes {', '.join(ALLOWED)}.")
    if min_confidence is not None and not 0 <= min_confidence <= 100:
        raise UsageError(f"--min-confidence is {min_confidence}; it is a percentage, 0 to 100.")
    if yearly is not None and len(paths) == 2:
        raise UsageError("--yearly needs three maps or more: two have no path between them.")
    wanted = Wanted(*(None if one is None else Path(one) for one in (out, strata, yearly)))
    inputs = [*paths, *(Path(one) for one in (regions, accuracy) if one is not None)]
    wanted.check(inputs, overwrite=overwrite)
    named = None
    if regions is not None:
        named = load_named_regions(Path(regions), column=region_column, layer=layer)
    with open_series(paths, allow=allow, need_confidence=min_confidence is not None) as series:
        comparison = _Comparison(series, named, min_confidence, progress)
        return comparison.run(wanted, None if accuracy is None else Path(accuracy))


class _Comparison:
    """The way from open maps to a table."""

    def __init__(
        self,
        series: Series,
        named: NamedRegions | None,
        min_confidence: int | None,
        progress: Progress,
    ) -> None:
        self._series, self._named, self._progress = series, named, progress
        self._min_confidence = min_confidence
        self._sums = Sums(len(named.names) if named else 0, len(series.maps))

    def run(self, wanted: Wanted, accuracy: Path | None) -> ChangeTable:
        """Compare the maps, and write what is wanted.

        Args:
            wanted: rasters to write.
            accuracy: path of the folder of an evaluation; None for none.

        """
        series, sums = self._series, self._sums
        rates = self._rates() if len(series.maps) > 2 else None
        coding = Coding.of(self._values())
        with open_outputs(wanted, series, coding) as outputs:
            self._add_windows(rates, outputs)
            if not sums.columns:
                raise UsageError(
                    f"No pixel has a class both in {series.maps[0].path} and in "
                    f"{series.maps[-1].path}; there is nothing to compare."
                )
            names = self._names()
            strata = make_strata(sums, names, series.colours)
            # Before the files get their names: what is wrong with these must change none.
            regions = self._named.names if self._named else ()
            transitions = tuple(transition_rows(sums, regions, names))
            if not transitions:
                raise UsageError(
                    "No region lies on a pixel that both maps show. They may lie elsewhere, or "
                    "their CRS may be wrong."
                )
            adjusted, more = adjust_change(strata, accuracy) if accuracy else ([], [])
            outputs.finish(sums, names, strata)
        trajectory = None if rates is None else self._trajectory(rates)
        return ChangeTable(
            ", ".join(one.path.name for one in series.maps),
            series.labels,
            transitions,
            tuple(class_rows(transitions)),
            tuple(year_rows(sums, regions, series.labels, names)),
            series.colours,
            trajectory,
            tuple(adjusted),
            (*series.notes, *self._region_notes(), *self._notes(trajectory, bool(adjusted)), *more),
        )

    def _classes(self, box: Box) -> NDArray[np.uint8]:
        """(T, H, W) classes in a window, 254 where they are not sure enough."""
        values = self._series.classes(box)
        if self._min_confidence is not None:
            percent = self._series.confidence(box)
            is_sure = (percent >= self._min_confidence) & (percent <= 100)
            values = np.where((values < UNSURE) & ~is_sure, np.uint8(UNSURE), values)
        return values

    def _values(self) -> set[int]:
        """Values that the classes may have: those with a name, or else those that occur."""
        if self._series.is_named:
            return set(self._series.legend)
        found = np.zeros(256, np.int64)
        boxes = self._series.boxes()
        for done, box in enumerate(boxes, 1):
            found += np.bincount(self._series.classes(box).ravel(), minlength=256)
            self._progress("looking", done, len(boxes))
        return set(np.flatnonzero(found[:UNSURE]).tolist())

    def _rates(self) -> Rates:
        """The model of the trajectory, estimated from some pixels of the maps."""
        boxes = self._series.boxes()
        most = min(len(boxes), _MAX_WINDOWS)
        parts: list[NDArray[np.uint8]] = []
        for i in np.random.default_rng(0).permutation(len(boxes)).tolist():
            values = self._classes(boxes[i])
            flat = values[:, (values < UNSURE).any(axis=0)]
            if flat.size:
                # Odd, so that the pixels are not those of some columns.
                step = math.ceil(flat.shape[1] * most / _MAX_SAMPLE_PX) | 1
                parts.append(flat[:, ::step])
                self._progress("estimating", len(parts), most)
            if len(parts) == most:
                break
        if not parts:
            return Rates(START_CHANGE, START_ERROR, 2)
        pixels = np.concatenate(parts, axis=1)
        n_classes = np.count_nonzero(np.bincount(pixels.ravel(), minlength=256)[:UNSURE])
        return estimate_rates(pixels, max(int(n_classes), 2))

    def _add_windows(self, rates: Rates | None, outputs: Outputs) -> None:
        """Compare the maps window by window."""
        series = self._series
        like = series.maps[0]
        edges = self._named.on_map(like) if self._named else []
        boxes = series.boxes()
        for done, box in enumerate(boxes, 1):
            observed = self._classes(box)
            if (observed != NODATA).any():
                paths = observed
                if rates is not None:
                    sure = series.confidence(box) if series.confidences else None
                    paths = most_probable(observed, rates, sure)
                self._sums.add(observed, paths, pixel_areas(like, box), edges, box)
                outputs.write(paths, box)
            self._progress("comparing", done, len(boxes))

    def _names(self) -> Mapping[int, str]:
        """Names of the classes that occur, and of those of the legend."""
        sums = self._sums
        present = np.flatnonzero((sums.mapped + sums.cleaned).sum(axis=(0, 1))[:UNSURE]).tolist()
        names = dict(self._series.legend)
        if not self._series.is_named and not set(present) <= set(names):
            names = {}
        for value in present:
            names.setdefault(value, f"class {value}")
        return names

    def _trajectory(self, rates: Rates) -> Trajectory:
        sums = self._sums
        return Trajectory(
            rates,
            self._series.confidences is not None,
            float(sums.steps[0]) / 1e4,
            float(sums.steps[1]) / 1e4,
            sums.ends / 1e4,
            rates.expected_change(steps=len(self._series.maps) - 1)
            * float(sums.square_metres[0, 1:].sum())
            / 1e4,
            sums.unconfirmed / 1e4,
            tuple((sums.by_count / 1e4).tolist()),
        )

    def _region_notes(self) -> list[str]:
        """Sentences on the regions."""
        if self._named is None:
            return []
        notes = [*self._named.notes, *self._named.overlap_note()]
        compared = self._sums.square_metres[1:, 1:].sum(axis=1)
        empty = [self._named.names[i] for i in np.flatnonzero(compared == 0).tolist()]
        if empty:
            notes.append(f"Regions without a pixel that both maps show: {told(empty)}.")
        share = compared / np.maximum(self._named.square_metres, 1e-9)
        partly = np.flatnonzero((compared > 0) & (share < 0.999)).tolist()
        if partly:
            text = told([f"{self._named.names[i]} {share[i]:.1%}" for i in partly])
            notes.append(f"Regions that both maps show in part: {text}.")
        return notes

    def _notes(self, trajectory: Trajectory | None, has_sample: bool) -> list[str]:
        """Sentences on what the figures are worth."""
        sums, notes = self._sums, []
        if not self._series.is_named and set(self._names()) <= set(self._series.legend):
            notes.append("The maps name no classes; their values are read as Dynamic World's.")
        total = float(sums.square_metres[0, 1:].sum())
        if sums.one_missing > _SMALL * total:
            notes.append(
                f"{sums.one_missing / 1e4:,.0f} ha are mapped only in the first or only in the "
                "last map, and are left out."
            )
        if UNSURE_PAIR in sums.columns:
            unsure = float(sums.square_metres[0, sums.columns[UNSURE_PAIR]])
            notes.append(
                f"{unsure / total:.1%} of the area is unsure: no class with a confidence of "
                f"{self._min_confidence} %. It counts as no change."
            )
        if trajectory is not None:
            notes.extend(_trajectory_notes(trajectory))
        if not has_sample:
            maps = "two maps" if trajectory is None else "maps"
            notes.append(
                f"A comparison of {maps} also shows their errors as change, often several times as "
                "much as has changed. For areas with intervals, label a sample: docs/change.md."
            )
        return notes


def _trajectory_notes(trajectory: Trajectory) -> list[str]:
    rates, percent = trajectory.rates, trajectory.flicker_percent
    errors = "the maps' confidence tells their errors"
    if not trajectory.uses_confidence:
        errors = f"the maps err at {rates.error:.1%} of the pixels"
    notes = [
        f"Estimated from the maps: {errors}, and {rates.change:.2%} of the land changes from one "
        "to the next."
    ]
    if percent is not None:
        notes.append(
            f"{percent:.0f} % of the change from map to map is flicker and was removed. Between "
            f"the first and the last map {trajectory.mapped_ends_ha:,.0f} ha differ as mapped, and "
            f"about {trajectory.expected_ends_ha:,.0f} ha according to these rates."
        )
    if trajectory.unconfirmed_ha > _SMALL * max(trajectory.mapped_ends_ha, 1e-9):
        notes.append(
            f"{trajectory.unconfirmed_ha:,.0f} ha change only in the first or the last map and "
            "count as flicker; a map of another year would tell."
        )
    return notes
