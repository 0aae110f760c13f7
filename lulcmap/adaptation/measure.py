"""How much better an adapted model is at places it has not seen, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.evaluation import PairedCounts, PairedPlace, paired_intervals, scores_of

DRAWS = 4000
"""Draws of places for the intervals."""

_SEED = 0
_UNIT = 1000
"""Counts of a label of average weight, so that weights become whole numbers."""

_MAX_WEIGHT = 10**6


@dataclass(frozen=True)
class Gain:
    """Two models against the same labels: the model as it is, and the adapted one."""

    before: float
    """Share of the land's labels that the model as it is gets right."""

    after: float
    """The same of the adapted one, at places that it had not learnt from."""

    interval: tuple[float, float]
    """Ends of the 95 % interval of ``after - before``."""

    f1_before: float
    """Mean F1 of the classes, before."""

    f1_after: float
    """Mean F1 after."""

    f1_interval: tuple[float, float]
    """Ends of the 95 % interval of their difference."""

    of_classes: Mapping[str, tuple[int, float, float]]
    """By class with labels: their number, F1 before and after."""

    @property
    def is_better(self) -> bool:
        """Whether more labels are right, beyond what chance explains."""
        return self.interval[0] > 0

    def to_json(self) -> dict[str, Any]:
        """The figures, rounded, as plain JSON values."""
        return {
            "accuracy_before": round(self.before, 4),
            "accuracy_after": round(self.after, 4),
            "difference_95": [round(end, 4) for end in self.interval],
            "f1_before": round(self.f1_before, 4),
            "f1_after": round(self.f1_after, 4),
            "f1_difference_95": [round(end, 4) for end in self.f1_interval],
            "classes": {
                name: {"labels": n, "f1_before": round(first, 4), "f1_after": round(second, 4)}
                for name, (n, first, second) in self.of_classes.items()
            },
        }

    def describe(self) -> str:
        """The figures in a phrase."""
        low, high = (100 * end for end in self.interval)
        return (
            f"right at {self.after:.1%} of labels at places left out, before {self.before:.1%} "
            f"(difference {100 * (self.after - self.before):+.1f} points, 95 % interval "
            f"{low:+.1f} to {high:+.1f})"
        )


def gain(
    truth: NDArray[np.intp],
    before: NDArray[np.intp],
    after: NDArray[np.intp],
    *,
    places: NDArray[np.intp],
    weights: NDArray[np.float64],
    classes: Sequence[str],
) -> Gain:
    """Compare two models at labels that neither learnt from.

    Args:
        truth: (n,) class of each label.
        before: (n,) class that the model as it is gives.
        after: (n,) class that the adapted one gives.
        places: (n,) number of each label's place.
        weights: (n,) how much each label counts, 1 on average.
        classes: names of the classes.

    """
    k = len(classes)
    counts = PairedCounts(k)
    whole = np.clip(np.rint(_UNIT * weights), 1, _MAX_WEIGHT).astype(np.int64)
    for place in np.unique(places).tolist():
        at = places == place
        matrices = np.zeros((2, k, k), np.int64)
        for number, given in enumerate((after, before)):
            np.add.at(matrices[number], (truth[at], given[at]), whole[at])
        right = after[at] == truth[at], before[at] == truth[at]
        outcome = 2 * ~right[0] + ~right[1]
        outcomes = np.bincount(outcome, minlength=4).astype(np.int64)
        counts.places[str(place)] = PairedPlace(matrices, outcomes)
    scores = scores_of(counts.matrices)
    ends = paired_intervals(counts, draws=DRAWS, seed=_SEED)
    if ends is None:
        raise ValueError("an interval needs two places")
    f1 = np.nan_to_num(scores["class_f1"])
    n_labels = np.bincount(truth, minlength=k)
    return Gain(
        before=float(scores["oa"][1]),
        after=float(scores["oa"][0]),
        interval=(float(ends["oa"][0]), float(ends["oa"][1])),
        f1_before=float(scores["f1"][1]),
        f1_after=float(scores["f1"][0]),
        f1_interval=(float(ends["f1"][0]), float(ends["f1"][1])),
        of_classes={
            name: (int(n_labels[i]), float(f1[1, i]), float(f1[0, i]))
            for i, name in enumerate(classes)
            if n_labels[i]
        },
    )
