"""The figures of an evaluation, as plain JSON."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.evaluation.calibration import BINS, Reliability
from lulcmap.evaluation.counts import DRAWS, OF_A_CLASS, TOTALS, Intervals, Tally, intervals, summed
from lulcmap.evaluation.olofsson import Adjusted, Estimate
from lulcmap.evaluation.regions import Regions


@dataclass(frozen=True)
class Evaluation:
    """What was measured, and of what."""

    subject: Mapping[str, Any]
    """The model or the map, plain JSON."""

    labels: Mapping[str, Any]
    """What it was measured against, plain JSON; ``"votes"`` names the scheme."""

    classes: tuple[str, ...]
    """Names of the rows and columns."""

    tally: Tally
    """What was counted."""

    regions: Regions
    """That places are in."""

    sensors: Mapping[str, Tally] = field(default_factory=dict)
    """The same with a sensor taken away, by which are used."""

    adjusted: Adjusted | None = None
    """From a stratified sample."""

    notes: Sequence[str] = ()
    """What its reader should know, in sentences."""


def evaluation_json(evaluation: Evaluation, *, draws: int = DRAWS, seed: int = 0) -> dict[str, Any]:
    """All figures, as plain JSON; None where one is not known.

    Args:
        evaluation: what was measured.
        draws: of the bootstrap.
        seed: of the bootstrap.

    """
    tally, names = evaluation.tally, evaluation.classes
    matrix = tally.matrix
    found = intervals(tally, draws=draws, seed=seed)
    notes = list(evaluation.notes)
    if found is None:
        notes.append("One place is too few for confidence intervals; there are none.")
    return {
        "subject": dict(evaluation.subject),
        "labels": dict(evaluation.labels),
        "classes": list(names),
        "pixels": int(matrix.sum()),
        "unmapped": tally.unmapped,
        "places": len(tally.places),
        "scores": {
            name: _with_interval(total(matrix), found, name) for name, total in TOTALS.items()
        },
        "per_class": _per_class(matrix, names, found),
        "confusion": matrix.tolist(),
        "regions": _regions(evaluation),
        "sensors": [
            {"sensors": name, **_row(one.matrix)} for name, one in evaluation.sensors.items()
        ],
        "calibration": _calibration(tally.reliability),
        "bootstrap": None if found is None else {"draws": draws, "seed": seed, "of": "places"},
        "area_adjusted": _adjusted(evaluation.adjusted, names),
        "notes": notes,
    }


def _number(value: float) -> float | None:
    """As JSON knows it."""
    return float(value) if math.isfinite(value) else None


def _with_interval(value: float, found: Intervals | None, name: str) -> dict[str, float | None]:
    low, high = (math.nan, math.nan) if found is None else found[name]
    return {"value": _number(value), "low": _number(low), "high": _number(high)}


def _row(matrix: NDArray[np.int64]) -> dict[str, Any]:
    """Pixels, and the figures of all classes together."""
    return {
        "pixels": int(matrix.sum()),
        **{name: _number(total(matrix)) for name, total in TOTALS.items()},
    }


def _per_class(
    matrix: NDArray[np.int64], names: Sequence[str], found: Intervals | None
) -> list[dict[str, Any]]:
    figures = {name: each(matrix) for name, each in OF_A_CLASS.items()}
    rows = []
    for i, name in enumerate(names):
        row: dict[str, Any] = {
            "class": name,
            "true_pixels": int(matrix[i].sum()),
            "given_pixels": int(matrix[:, i].sum()),
        }
        for figure, values in figures.items():
            ends = None if found is None else {figure: found[f"class_{figure}"][:, i]}
            row[figure] = _with_interval(values[i], ends, figure)
        rows.append(row)
    return rows


def _regions(evaluation: Evaluation) -> list[dict[str, Any]]:
    """A row a region, by name."""
    groups: dict[str, list[Any]] = {}
    for place in evaluation.tally.places.values():
        groups.setdefault(evaluation.regions.of(place.lon, place.lat), []).append(place)
    return [
        {
            "region": name,
            "places": len(groups[name]),
            **_row(summed(groups[name], len(evaluation.classes))),
        }
        for name in sorted(groups)
    ]


def _calibration(reliability: Reliability) -> dict[str, Any] | None:
    if not reliability.pixels.any():
        return None
    return {
        "ece": _number(reliability.ece),
        "bins": [
            {
                "from": i / BINS,
                "to": (i + 1) / BINS,
                "pixels": int(reliability.pixels[i]),
                "confidence": _number(reliability.confidences[i]),
                "accuracy": _number(reliability.accuracies[i]),
            }
            for i in range(BINS)
        ],
    }


def _adjusted(adjusted: Adjusted | None, names: Sequence[str]) -> dict[str, Any] | None:
    if adjusted is None:
        return None
    total = sum(one.value for one in adjusted.areas)
    mapped = adjusted.proportions.sum(axis=1) * total
    return {
        "method": "Olofsson et al. (2014), Remote Sensing of Environment 148:42-57",
        "overall_accuracy": _estimate(adjusted.overall),
        "per_class": [
            {
                "class": name,
                "users_accuracy": _estimate(adjusted.users[i]),
                "producers_accuracy": _estimate(adjusted.producers[i]),
                "mapped_km2": float(mapped[i]),
                "area_km2": _estimate(adjusted.areas[i]),
            }
            for i, name in enumerate(names)
        ],
        "proportions": adjusted.proportions.tolist(),
    }


def _estimate(one: Estimate) -> dict[str, float | None]:
    return {"value": _number(one.value), "margin": _number(one.margin)}


def unknown_note(unknown: Mapping[str, int]) -> Iterable[str]:
    """A sentence on labels that are no class, if there are any."""
    if unknown:
        most = Counter(unknown).most_common(5)
        names = ", ".join(f"{label} ({count:,})" for label, count in most)
        more = ", ..." if len(unknown) > len(most) else ""
        yield f"Labels that are no class are not counted: {names}{more}."
