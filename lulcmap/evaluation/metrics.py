"""The metrics of an evaluation, as plain JSON: the file ``metrics.json``."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.evaluation.calibration import BINS, Reliability
from lulcmap.evaluation.counts import (
    BOOTSTRAP_DRAWS,
    CLASS_METRICS,
    TOTAL_METRICS,
    Counts,
    Intervals,
    Place,
    bootstrap_intervals,
    sum_matrices,
)
from lulcmap.evaluation.olofsson import AdjustedEstimates, Estimate
from lulcmap.evaluation.regions import Regions
from lulcmap.evaluation.sets import SetCounts
from lulcmap.evaluation.stratified import LabelledSample
from lulcmap.evaluation.temperature import TemperatureFit


@dataclass(frozen=True)
class Evaluation:
    """The counts of a model or a map against labels."""

    subject: Mapping[str, Any]
    """The model or the map, plain JSON."""

    labels: Mapping[str, Any]
    """The labels it is compared with, plain JSON; ``"votes"`` names the scheme."""

    classes: tuple[str, ...]
    """Names of the rows and columns."""

    counts: Counts
    """Counts of all places."""

    regions: Regions
    """Regions to give metrics for."""

    sensors: Mapping[str, Counts] = field(default_factory=dict)
    """Counts by the sensors used, with each one removed in turn; empty if there is one case."""

    sets: SetCounts | None = None
    """Counts of the labels that are sets of classes."""

    temperature: TemperatureFit | None = None
    """Best temperature of the model; None for a map, or if it gives no logits."""

    adjusted: AdjustedEstimates | None = None
    """Area-adjusted estimates, if the labels are a stratified sample."""

    sample: LabelledSample | None = None
    """The labelled points, if they are a stratified sample."""

    notes: Sequence[str] = ()
    """Remarks for the reader, in sentences."""

    def to_json(self, *, draws: int = BOOTSTRAP_DRAWS, seed: int = 0) -> dict[str, Any]:
        """All metrics as plain JSON values; None where one is unknown.

        Args:
            draws: draws of the bootstrap.
            seed: random seed of the bootstrap.

        """
        counts, matrix = self.counts, self.counts.matrix
        intervals = bootstrap_intervals(counts, draws=draws, seed=seed)
        notes = list(self.notes)
        if intervals is None:
            notes.append("One place is too few for confidence intervals; none are given.")
        return {
            "subject": dict(self.subject),
            "labels": dict(self.labels),
            "classes": list(self.classes),
            "pixels": int(matrix.sum()),
            "unmapped": counts.unmapped,
            "places": len(counts.places),
            "scores": {
                name: _with_interval(total(matrix), intervals, name)
                for name, total in TOTAL_METRICS.items()
            },
            "per_class": _per_class(matrix, self.classes, intervals),
            "confusion": matrix.tolist(),
            "regions": self._regions(),
            "sensors": [
                {"sensors": name, **_totals(case.matrix)} for name, case in self.sensors.items()
            ],
            "sets": [] if self.sets is None else self.sets.to_json(draws=draws, seed=seed),
            "calibration": _calibration(counts.reliability),
            "temperature": None if self.temperature is None else self.temperature.to_json(),
            "bootstrap": None
            if intervals is None
            else {"draws": draws, "seed": seed, "of": "places"},
            "area_adjusted": _adjusted(self.adjusted, self.classes),
            "notes": notes,
        }

    def _regions(self) -> list[dict[str, Any]]:
        """A row for each region, by name."""
        groups: dict[str, list[Place]] = {}
        for place in self.counts.places.values():
            groups.setdefault(self.regions.of(place.lon, place.lat), []).append(place)
        return [
            {
                "region": name,
                "places": len(groups[name]),
                **_totals(sum_matrices(groups[name], len(self.classes))),
            }
            for name in sorted(groups)
        ]


def as_number(value: float) -> float | None:
    """A number that JSON can hold; None for one that is not finite."""
    return float(value) if math.isfinite(value) else None


def _with_interval(value: float, intervals: Intervals | None, name: str) -> dict[str, float | None]:
    low, high = (math.nan, math.nan) if intervals is None else intervals[name]
    return {"value": as_number(value), "low": as_number(low), "high": as_number(high)}


def _totals(matrix: NDArray[np.int64]) -> dict[str, Any]:
    """Pixels, and the metrics over all classes."""
    return {
        "pixels": int(matrix.sum()),
        **{name: as_number(total(matrix)) for name, total in TOTAL_METRICS.items()},
    }


def _per_class(
    matrix: NDArray[np.int64], names: Sequence[str], intervals: Intervals | None
) -> list[dict[str, Any]]:
    metrics = {name: each(matrix) for name, each in CLASS_METRICS.items()}
    rows = []
    for i, name in enumerate(names):
        row: dict[str, Any] = {
            "class": name,
            "true_pixels": int(matrix[i].sum()),
            "given_pixels": int(matrix[:, i].sum()),
        }
        for metric, values in metrics.items():
            ends = None if intervals is None else {metric: intervals[f"class_{metric}"][:, i]}
            row[metric] = _with_interval(values[i], ends, metric)
        rows.append(row)
    return rows


def _calibration(reliability: Reliability) -> dict[str, Any] | None:
    if not reliability.pixels.any():
        return None
    return {
        "ece": as_number(reliability.ece),
        "bins": [
            {
                "from": i / BINS,
                "to": (i + 1) / BINS,
                "pixels": int(reliability.pixels[i]),
                "confidence": as_number(reliability.confidences[i]),
                "accuracy": as_number(reliability.accuracies[i]),
            }
            for i in range(BINS)
        ],
    }


def _adjusted(estimates: AdjustedEstimates | None, names: Sequence[str]) -> dict[str, Any] | None:
    if estimates is None:
        return None
    total = sum(area.value for area in estimates.areas)
    mapped = estimates.proportions.sum(axis=1) * total
    return {
        "method": "Olofsson et al. (2014), Remote Sensing of Environment 148:42-57",
        "overall_accuracy": _estimate(estimates.overall),
        "per_class": [
            {
                "class": name,
                "users_accuracy": _estimate(estimates.users[i]),
                "producers_accuracy": _estimate(estimates.producers[i]),
                "mapped_km2": float(mapped[i]),
                "area_km2": _estimate(estimates.areas[i]),
            }
            for i, name in enumerate(names)
        ],
        "proportions": estimates.proportions.tolist(),
    }


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    return {"value": as_number(estimate.value), "margin": as_number(estimate.margin)}


def unknown_note(unknown: Mapping[str, int]) -> Iterable[str]:
    """A sentence on labels that match no class, if there are any.

    Args:
        unknown: how often each of these labels occurs.

    """
    if unknown:
        most = Counter(unknown).most_common(5)
        names = ", ".join(f"{label} ({count:,})" for label, count in most)
        more = ", ..." if len(unknown) > len(most) else ""
        yield f"Labels that match no class are not counted: {names}{more}."
