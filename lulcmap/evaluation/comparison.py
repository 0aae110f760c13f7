"""Two models, or two maps, against the same labels: the file ``comparison.json``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.evaluation.counts import BOOTSTRAP_DRAWS
from lulcmap.evaluation.metrics import as_number
from lulcmap.evaluation.olofsson import Estimate
from lulcmap.evaluation.paired import (
    OUTCOMES,
    TOTALS,
    Intervals,
    PairedCounts,
    paired_intervals,
    scores_of,
)

_FEW_PLACES = 20
"""With fewer places an interval is rough."""

_SCORES = {"oa": "accuracy", "f1": "mean F1"}
"""Scores that the verdict is of, as words."""


@dataclass(frozen=True)
class Comparison:
    """The paired counts of two models or maps."""

    first: Mapping[str, Any]
    """The first one as plain JSON, with a ``"name"``."""

    second: Mapping[str, Any]
    """The second one."""

    labels: Mapping[str, Any]
    """The labels as plain JSON; ``"votes"`` names the scheme."""

    classes: tuple[str, ...]
    """Names of the classes."""

    counts: PairedCounts
    """Counts of all places."""

    adjusted: Estimate | None = None
    """Difference of the area-adjusted accuracies, if the labels are a stratified sample."""

    notes: Sequence[str] = ()
    """Remarks for the reader, in sentences."""

    def to_json(self, *, draws: int = BOOTSTRAP_DRAWS, seed: int = 0) -> dict[str, Any]:
        """The comparison as plain JSON values; differences are the first minus the second.

        Args:
            draws: draws of the bootstrap.
            seed: random seed of the bootstrap.

        """
        counts, scores = self.counts, scores_of(self.counts.matrices)
        intervals = paired_intervals(counts, draws=draws, seed=seed)
        won = counts.places_won
        values: dict[str, Any] = {
            "first": dict(self.first),
            "second": dict(self.second),
            "labels": dict(self.labels),
            "classes": list(self.classes),
            "pixels": int(counts.outcomes.sum()),
            "places": len(counts.places),
            "unpaired": {
                "only_first": int(counts.unpaired[0]),
                "only_second": int(counts.unpaired[1]),
            },
            "scores": {name: _difference(scores[name], intervals, name) for name in TOTALS},
            "per_class": self._per_class(scores["class_f1"], intervals),
            "outcomes": dict(zip(OUTCOMES, counts.outcomes.tolist(), strict=True)),
            "places_won": dict(zip(("first", "second", "neither"), won, strict=True)),
            "area_adjusted": None
            if self.adjusted is None
            else {
                "difference": as_number(self.adjusted.value),
                "margin": as_number(self.adjusted.margin),
            },
            "bootstrap": None
            if intervals is None
            else {"draws": draws, "seed": seed, "of": "places"},
        }
        return values | {"verdict": self._verdict(values), "notes": self._all_notes()}

    def _per_class(
        self, scores: NDArray[np.float64], intervals: Intervals | None
    ) -> list[dict[str, Any]]:
        true = self.counts.matrices[0].sum(1)
        return [
            {
                "class": name,
                "true_pixels": int(true[i]),
                "f1": _difference(
                    scores[:, i],
                    None if intervals is None else {"f1": intervals["class_f1"][:, i]},
                    "f1",
                ),
            }
            for i, name in enumerate(self.classes)
        ]

    def _verdict(self, values: Mapping[str, Any]) -> str:
        """Whether one is better, in sentences."""
        names = self.first["name"], self.second["name"]
        adjusted = values["area_adjusted"]
        if adjusted is not None and adjusted["margin"] is not None:
            value, margin = adjusted["difference"], adjusted["margin"]
            return _sentence(names, "area-adjusted accuracy", value, value - margin, value + margin)
        if values["bootstrap"] is None:
            return "One place is too few to tell a difference from chance."
        found = (values["scores"][name] for name in _SCORES)
        return " ".join(
            _sentence(names, word, score["difference"], score["low"], score["high"])
            for word, score in zip(_SCORES.values(), found, strict=True)
        )

    def _all_notes(self) -> list[str]:
        notes, n_places = list(self.notes), len(self.counts.places)
        if 2 <= n_places < _FEW_PLACES:
            notes.append(f"{n_places} places are few: the intervals are rough.")
        if self.counts.unpaired.any():
            first, second = self.counts.unpaired.tolist()
            notes.append(
                f"Labelled pixels that only one of both gives a class are not compared: {first:,} "
                f"of {self.first['name']}, {second:,} of {self.second['name']}."
            )
        return notes


def _difference(
    scores: NDArray[np.float64], intervals: Intervals | None, name: str
) -> dict[str, float | None]:
    """Both scores (2,), their difference and its interval."""
    low, high = (np.nan, np.nan) if intervals is None else intervals[name]
    return {
        "first": as_number(scores[0]),
        "second": as_number(scores[1]),
        "difference": as_number(scores[0] - scores[1]),
        "low": as_number(low),
        "high": as_number(high),
    }


def _sentence(
    names: tuple[str, str], word: str, value: float | None, low: float | None, high: float | None
) -> str:
    if value is None or low is None or high is None:
        return f"The difference in {word} is unknown."
    if low <= 0 <= high:
        return (
            f"No difference in {word} can be told: {100 * value:+.1f} points for {names[0]}, 95 % "
            f"interval {100 * low:+.1f} to {100 * high:+.1f}."
        )
    better, worse = names if value > 0 else names[::-1]
    ends = sorted((abs(low), abs(high)))
    return (
        f"{better} has a higher {word} than {worse}, by {100 * abs(value):.1f} points, 95 % "
        f"interval {100 * ends[0]:.1f} to {100 * ends[1]:.1f}."
    )
