"""What several interpreters say of a point together, and how far they agree.

Sources: Cohen (1960), "A Coefficient of Agreement for Nominal Scales", Educational and
Psychological Measurement 20:37-46; Fleiss (1971), "Measuring Nominal Scale Agreement among Many
Raters", Psychological Bulletin 76:378-382, with the extension to unequal numbers of raters of
Fleiss, Levin and Paik (2003), "Statistical Methods for Rates and Proportions", section 18.3.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Answer:
    """What one interpreter says of a point."""

    point: int
    """Id of the point."""

    interpreter: str
    """Who says so."""

    name: str | None
    """Name of the class; None where the interpreter cannot tell."""

    is_sure: bool
    """Whether the interpreter is sure."""

    comment: str
    """What the interpreter remarks."""

    answered_at: str
    """When, UTC, as in a GeoPackage: ``2024-05-06T07:08:09.123Z``."""

    map_shown: bool
    """Whether the class of the map was shown before the answer."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the answers to a point say together."""

    name: str | None
    """Name of the class; None where nobody can tell, or as many say one class as another."""

    is_sure: bool
    """Whether those who decided it are sure."""

    is_tie: bool
    """Whether as many say one class as another."""


def decide(answers: Sequence[Answer]) -> Decision:
    """The class that most interpreters say.

    Those who are sure decide; where nobody is, those who are not. An answer without a class does
    not count. A tie has no class.
    """
    named = [one for one in answers if one.name is not None]
    sure = [one for one in named if one.is_sure]
    ranked = Counter(one.name for one in sure or named).most_common(2)
    if not ranked:
        return Decision(None, False, False)
    if len(ranked) == 2 and ranked[0][1] == ranked[1][1]:
        return Decision(None, False, True)
    return Decision(ranked[0][0], bool(sure), False)


def cohen_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa of two interpreters; None if both gave one and the same class throughout.

    Args:
        pairs: what both said of each point that both answered with a class.

    """
    if not pairs:
        return None
    names = {name: number for number, name in enumerate(sorted({n for p in pairs for n in p}))}
    matrix = np.zeros((len(names), len(names)))
    for one, other in pairs:
        matrix[names[one], names[other]] += 1
    matrix /= len(pairs)
    chance = float(matrix.sum(axis=0) @ matrix.sum(axis=1))
    return None if chance >= 1 else float((np.trace(matrix) - chance) / (1 - chance))


def fleiss_kappa(counts: NDArray[np.integer]) -> float | None:
    """Fleiss' kappa; None if no two answered a point, or all gave one and the same class.

    Args:
        counts: (n, K) interpreters that gave each class to each point; points with fewer than two
            are left out.

    """
    raters = counts.sum(axis=1)
    counts, raters = counts[raters > 1], raters[raters > 1]
    if not len(raters):
        return None
    agreed = ((counts**2).sum(axis=1) - raters) / (raters * (raters - 1))
    shares = counts.sum(axis=0) / raters.sum()
    chance = float((shares**2).sum())
    return None if chance >= 1 else float((agreed.mean() - chance) / (1 - chance))


def summary(answers: Sequence[Answer], points: int) -> dict[str, Any]:
    """Progress of each interpreter, and how far they agree, as plain JSON values.

    Args:
        answers: the answers that hold, at most one of each interpreter to each point.
        points: points of the sample.

    """
    by_point: dict[int, list[Answer]] = {}
    for one in answers:
        by_point.setdefault(one.point, []).append(one)
    decisions = {point: decide(some) for point, some in by_point.items()}
    people = sorted({one.interpreter for one in answers})
    return {
        "points": points,
        "answered": len(by_point),
        "decided": sum(one.name is not None for one in decisions.values()),
        "ties": sorted(point for point, one in decisions.items() if one.is_tie),
        "interpreters": [_progress(name, answers) for name in people],
        "agreement": _agreement(by_point, people),
    }


def _progress(interpreter: str, answers: Sequence[Answer]) -> dict[str, Any]:
    own = [one for one in answers if one.interpreter == interpreter]
    return {
        "interpreter": interpreter,
        "answered": len(own),
        "unsure": sum(one.name is not None and not one.is_sure for one in own),
        "without_class": sum(one.name is None for one in own),
        "map_shown": sum(one.map_shown for one in own),
    }


def _agreement(
    by_point: Mapping[int, Sequence[Answer]], people: Sequence[str]
) -> dict[str, Any] | None:
    """Agreement of all and of each pair; None with one interpreter."""
    if len(people) < 2:
        return None
    named = [
        {one.interpreter: one.name for one in some if one.name is not None}
        for some in by_point.values()
    ]
    several = [said for said in named if len(said) > 1]
    names = sorted({name for said in several for name in said.values()})
    counts = np.array(
        [[list(said.values()).count(name) for name in names] for said in several], np.int64
    ).reshape(len(several), len(names))
    pairs = []
    for one, other in combinations(people, 2):
        both = [(said[one], said[other]) for said in several if one in said and other in said]
        if both:
            agreed = sum(first == second for first, second in both) / len(both)
            pairs.append(
                {
                    "interpreters": [one, other],
                    "points": len(both),
                    "agreed": agreed,
                    "cohen_kappa": cohen_kappa(both),
                }
            )
    return {
        "points": len(several),
        "all_agree": int((np.count_nonzero(counts, axis=1) == 1).sum()),
        "fleiss_kappa": fleiss_kappa(counts),
        "pairs": pairs,
    }
