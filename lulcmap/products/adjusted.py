"""Error-adjusted areas: what a labelled reference sample says of a map's areas, also by region.

The estimator is the one of ``lulcmap evaluate``: Olofsson et al. (2014). In a region, the strata
are the parts of the map's classes within it, whose areas are known, and the sample's points within
it are a simple random sample of each of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.evaluation import (
    ClassMap,
    Estimate,
    SamplePoints,
    estimate_adjusted,
    transformer,
)
from lulcmap.products.regions import WGS84, NamedRegions, told

MIN_POINTS = 30
"""Least labelled points in a region."""

MIN_STRATUM_POINTS = 2
"""Least labelled points of each class of the map in a region; fewer have no variance."""

MAX_SCARCE = 0.01
"""Share of a region's mapped area of classes that may have fewer points than that: their points in
the whole map are taken instead."""

_MAX_MISMATCH = 0.01
"""Share of the points that may lie on another class of the map: rounding at pixels' borders."""

_AREA_TOLERANCE = 1e-3
"""Share that the area of a stratum may differ from the map's."""

_NO_SPREAD = 1e-9
"""Share of an area below which its interval is rounding."""


@dataclass(frozen=True, slots=True)
class Adjusted:
    """An error-adjusted area."""

    ha: float | None
    """Hectares; None where the sample cannot tell."""

    ci95_ha: float | None
    """Half the 95 % confidence interval, hectares; None where the sample cannot tell."""

    note: str
    """Why something is unknown, or what the estimate rests on."""

    def to_json(self) -> dict[str, Any]:
        """The area as plain JSON values."""
        return {
            "adjusted_ha": None if self.ha is None else round(self.ha, 4),
            "ci95_ha": None if self.ci95_ha is None else round(self.ci95_ha, 4),
            "adjusted_note": self.note,
        }


@dataclass(frozen=True)
class ReferenceSample:
    """A labelled sample that belongs to a map."""

    points: SamplePoints
    """The points."""

    mapped: NDArray[np.int64]
    """(n,) values of the map at the points."""

    truth: NDArray[np.int64]
    """(n,) values of the true classes."""

    strata: tuple[str, ...]
    """Names of the strata."""

    stratum: NDArray[np.int64]
    """(n,) stratum of each point, 0 to S - 1."""

    stratum_values: tuple[int, ...] | None
    """Values of the map that the strata are; None if the sample was drawn of another map."""

    names: Mapping[int, str]
    """Names of the map's values."""

    @property
    def values(self) -> tuple[int, ...]:
        """Values of the classes at the points."""
        return tuple(np.unique([self.mapped, self.truth]).tolist())

    @classmethod
    def of(
        cls,
        points: SamplePoints,
        class_map: ClassMap,
        names: Mapping[int, str],
        square_metres: NDArray[np.float64],
    ) -> "ReferenceSample":
        """The sample of a map.

        Args:
            points: the points of an evaluation.
            class_map: the map.
            names: names of its values.
            square_metres: (255,) areas of its values.

        Raises:
            UsageError: the points are of another map, or of other classes.

        """
        value_of = {name.removeprefix("'"): value for value, name in reversed(list(names.items()))}
        unknown = sorted({*points.mapped.tolist(), *points.true.tolist()} - set(value_of))
        if unknown:
            raise UsageError(
                f"{points.path} has classes that {class_map.path} has not: {told(unknown)}. "
                "Evaluate this map, without --crosswalk."
            )
        mapped, truth = (
            np.array([value_of[name] for name in column.tolist()], np.int64)
            for column in (points.mapped, points.true)
        )
        xs, ys = transformer(WGS84, class_map.crs).transform(points.lon, points.lat)
        values, _ = class_map.at(np.asarray(xs), np.asarray(ys))
        wrong = int(np.count_nonzero(values != mapped))
        if wrong > _MAX_MISMATCH * len(values):
            raise UsageError(
                f"{points.path} is of another map: {wrong:,} of its {len(values):,} points have "
                f"another class in {class_map.path}. Evaluate this map: lulcmap evaluate "
                f"{class_map.path} --labels SAMPLE --out FOLDER."
            )
        strata, stratum = np.unique(points.stratum, return_inverse=True)
        sample = cls(points, mapped, truth, tuple(strata.tolist()), stratum, None, names)
        return sample._with_values(values, square_metres, class_map)

    def _with_values(
        self, values: NDArray[np.uint8], square_metres: NDArray[np.float64], class_map: ClassMap
    ) -> "ReferenceSample":
        """The sample with the values its strata are, if they are those of the map."""
        own = np.array(
            [
                name == str(value)
                for name, value in zip(self.points.stratum.tolist(), values.tolist(), strict=True)
            ]
        )
        if np.count_nonzero(~own) > _MAX_MISMATCH * len(own):
            return self
        stratum_values = tuple(int(name) for name in self.strata)
        without = sorted(set(np.flatnonzero(square_metres).tolist()) - set(stratum_values))
        if without:
            raise UsageError(
                f"{self.points.path} has no point on {told([self.names[one] for one in without])}, "
                f"which {class_map.path} shows. Draw and label a sample of all its classes."
            )
        for value, area in zip(stratum_values, self.areas(), strict=True):
            if abs(area - square_metres[value]) > _AREA_TOLERANCE * area:
                raise UsageError(
                    f"{self.points.path} is of another map: there, {self.names[value]} has "
                    f"{area / 1e6:,.2f} km2; in {class_map.path}, "
                    f"{square_metres[value] / 1e6:,.2f}. Draw and evaluate a sample of this map."
                )
        return ReferenceSample(
            self.points,
            self.mapped,
            self.truth,
            self.strata,
            self.stratum,
            stratum_values,
            self.names,
        )

    def areas(self) -> NDArray[np.float64]:
        """(S,) areas of the strata in the map the sample was drawn of, square metres."""
        areas = np.zeros(len(self.strata))
        areas[self.stratum] = self.points.stratum_km2 * 1e6
        return areas

    def adjust(
        self, named: NamedRegions | None, square_metres: NDArray[np.float64]
    ) -> tuple[list[Mapping[int, Adjusted]], list[str]]:
        """Adjusted areas by region and value, and notes on them.

        Args:
            named: the regions; None for the whole map.
            square_metres: (R, 255) mapped areas by region and value.

        Raises:
            UsageError: a stratum of the sample has fewer than two points.

        """
        present = np.flatnonzero(square_metres.any(axis=0)).tolist()
        values = sorted({*present, *self.values})
        everywhere = np.ones(len(self.stratum), bool)
        if named is None:
            if (np.bincount(self.stratum) < MIN_STRATUM_POINTS).any():
                raise UsageError(
                    f"{self.points.path} has a stratum with one point; each needs two."
                )
            return [self._estimate(everywhere, self.areas(), values)], []
        if self.stratum_values is None:
            reason = "the sample was drawn of another map"
            unknown: Mapping[int, Adjusted] = dict.fromkeys(values, Adjusted(None, None, reason))
            return [unknown] * len(named.names), [_regions_note(named, [reason] * len(named.names))]
        inside = self._inside(named)
        results: list[Mapping[int, Adjusted]] = []
        reasons = []
        for i in range(len(named.names)):
            areas = square_metres[i, list(self.stratum_values)]
            reason, scarce = self._doubt(inside[i], areas)
            reasons.append(reason)
            if reason:
                results.append(dict.fromkeys(values, Adjusted(None, None, reason)))
                continue
            chosen = np.where(scarce[self.stratum], everywhere, inside[i])
            note = f"points of {self._told(scarce)} from the whole map" if scarce.any() else ""
            results.append(self._estimate(chosen, areas, values, note))
        return results, [_regions_note(named, reasons)] if any(reasons) else []

    def _inside(self, named: NamedRegions) -> NDArray[np.bool_]:
        """(R, n) whether each point lies in each region."""
        lon = (self.points.lon + 180) % 360 - 180
        places = shapely.points(lon, self.points.lat)
        point, region = shapely.STRtree(named.degrees).query(places, predicate="intersects")
        inside = np.zeros((len(named.names), len(places)), bool)
        inside[region, point] = True
        return inside

    def _doubt(
        self, inside: NDArray[np.bool_], areas: NDArray[np.float64]
    ) -> tuple[str, NDArray[np.bool_]]:
        """Why the points of a region do not suffice, if so, and the strata with too few of them.

        Args:
            inside: (n,) whether a point lies in the region.
            areas: (S,) areas of the strata in the region.

        """
        counts = np.bincount(self.stratum[inside], minlength=len(areas))
        scarce = (areas > 0) & (counts < MIN_STRATUM_POINTS)
        if inside.sum() < MIN_POINTS:
            return f"{inside.sum()} labelled points; {MIN_POINTS} are needed", scarce
        if areas[scarce].sum() > MAX_SCARCE * areas.sum():
            return f"fewer than {MIN_STRATUM_POINTS} points in {self._told(scarce)}", scarce
        return "", scarce

    def _told(self, strata: NDArray[np.bool_]) -> str:
        values = self.stratum_values or ()
        return told([self.names[values[s]] for s in np.flatnonzero(strata).tolist()])

    def _estimate(
        self,
        chosen: NDArray[np.bool_],
        areas: NDArray[np.float64],
        values: Sequence[int],
        note: str = "",
    ) -> Mapping[int, Adjusted]:
        """Adjusted areas by value.

        Args:
            chosen: (n,) points to estimate from.
            areas: (S,) areas of the strata, square metres; those of 0 are left out.
            values: values to estimate.
            note: what the estimates rest on.

        """
        chosen = chosen & (areas[self.stratum] > 0)
        _, strata = np.unique(self.stratum[chosen], return_inverse=True)
        truth = np.searchsorted(values, self.truth[chosen])
        estimates = estimate_adjusted(
            strata,
            np.searchsorted(values, self.mapped[chosen]),
            truth,
            areas=areas[areas > 0],
            n_classes=len(values),
            weights=self.points.pixel_m2[chosen],
        )
        seen = np.bincount(truth, minlength=len(values)) > 0
        return {
            value: _adjusted(area, note, is_seen=bool(seen[i]))
            for i, (value, area) in enumerate(zip(values, estimates.areas, strict=True))
        }


def _adjusted(area: Estimate, note: str, *, is_seen: bool) -> Adjusted:
    """An estimate in hectares, its interval unknown where the sample shows no error.

    Args:
        area: the estimate, square metres.
        note: what it rests on.
        is_seen: whether a point has this true class.

    """
    if not is_seen:
        return Adjusted(0.0, None, "no labelled point of this class")
    if area.margin < _NO_SPREAD * area.value:
        why = "its points show no error, so the interval is unknown"
        return Adjusted(area.value / 1e4, None, f"{why}; {note}" if note else why)
    return Adjusted(area.value / 1e4, area.margin / 1e4, note)


def _regions_note(named: NamedRegions, reasons: Sequence[str]) -> str:
    """A sentence on the regions without adjusted areas."""
    without = [f"{n} ({why})" for n, why in zip(named.names, reasons, strict=True) if why]
    return (
        f"Error-adjusted areas are given for {len(reasons) - len(without):,} of {len(reasons):,} "
        f"regions; not for {told(without, '; ')}. Without --regions, they are given for the whole "
        "map."
    )
