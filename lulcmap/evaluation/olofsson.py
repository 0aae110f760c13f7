"""Accuracies and areas from a stratified random sample of a map.

The estimators of Olofsson et al. (2014), Good practices for estimating area and assessing accuracy
of land change, Remote Sensing of Environment 148:42-57, in the form of Stehman (2014),
International Journal of Remote Sensing 35:4923-4939, which also holds where the strata are no
longer the classes of the map: classes were merged by a crosswalk, or the sample of one map judges
another. Where they are, both are the same.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Z_95 = 1.96
"""Standard errors on each side of a 95 % confidence interval, rounded as in the paper."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate from a sample, with half its 95 % confidence interval."""

    value: float
    """Estimated value; NaN where the sample cannot tell."""

    margin: float
    """Half the confidence interval; NaN where ``value`` is."""


@dataclass(frozen=True, slots=True)
class AdjustedEstimates:
    """Area-adjusted estimates."""

    overall: Estimate
    """Overall accuracy: share of the area that is mapped as its true class, 0 to 1."""

    users: tuple[Estimate, ...]
    """User's accuracy of each class: share of its mapped area that is truly the class, 0 to 1."""

    producers: tuple[Estimate, ...]
    """Producer's accuracy of each class: share of its true area that is mapped as it, 0 to 1."""

    areas: tuple[Estimate, ...]
    """True area of each class, in the unit of the strata."""

    proportions: NDArray[np.float64]
    """(K, K) estimated shares of the area: row the class of the *map*, column the true one."""


def estimate_adjusted(
    strata: NDArray[np.int64],
    mapped: NDArray[np.int64],
    truth: NDArray[np.int64],
    *,
    areas: NDArray[np.float64],
    n_classes: int,
    weights: NDArray[np.float64] | None = None,
) -> AdjustedEstimates:
    """Estimate accuracies and areas from a labelled sample.

    Args:
        strata: (n,) stratum of each point, 0 to S - 1.
        mapped: (n,) class of the map at each point, 0 to K - 1.
        truth: (n,) true class of each point, 0 to K - 1.
        areas: (S,) areas of the strata, any unit.
        n_classes: number of classes, K.
        weights: (n,) area of the pixel of each point, any unit; None if all are equal.

    Raises:
        ValueError: a stratum has fewer than two points, so its variance is unknown.

    """
    sizes = np.bincount(strata, minlength=len(areas))
    if (sizes < 2).any():
        raise ValueError(f"a stratum has {sizes.min()} points; each needs two")
    if weights is None:
        weights = np.ones(len(strata))
    sample = _Sample(strata, areas / areas.sum(), weights)
    classes = np.arange(n_classes)
    is_mapped = mapped[:, None] == classes  # (n, K)
    is_true = truth[:, None] == classes
    both = is_mapped & is_true
    hits = (mapped == truth)[:, None]
    pairs = (is_mapped[:, :, None] & is_true[:, None, :]).reshape(len(truth), -1)
    total = float(areas.sum())
    return AdjustedEstimates(
        overall=sample.shares(hits)[0],
        users=sample.ratios(both, is_mapped),
        producers=sample.ratios(both, is_true),
        areas=tuple(
            Estimate(total * share.value, total * share.margin) for share in sample.shares(is_true)
        ),
        proportions=sample.means(pairs).reshape(n_classes, n_classes),
    )


def estimate_difference(
    strata: NDArray[np.int64],
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    *,
    areas: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> Estimate:
    """Estimate how much more of the area the first of two maps has right than the second.

    Both are right or wrong at the same points, so the difference of each point is estimated, not
    that of two accuracies.

    Args:
        strata: (n,) stratum of each point, 0 to S - 1; each has at least two.
        first: (n,) whether the first map is right.
        second: (n,) whether the second map is right.
        areas: (S,) areas of the strata, any unit.
        weights: (n,) area of the pixel of each point, any unit.

    """
    sample = _Sample(strata, areas / areas.sum(), weights)
    return sample.shares((first.astype(np.float64) - second)[:, None])[0]


@dataclass(frozen=True, slots=True)
class _Sample:
    """Points of a stratified random sample, equally probable within each stratum."""

    strata: NDArray[np.int64]
    """(n,) stratum of each point, 0 to S - 1."""

    parts: NDArray[np.float64]
    """(S,) share of the area of each stratum."""

    weights: NDArray[np.float64]
    """(n,) area of the pixel of each point."""

    def means(self, values: NDArray[np.bool_] | NDArray[np.float64]) -> NDArray[np.float64]:
        """(V,) means of the values (n, V) over the area: where they are truths, its share."""
        return self.parts @ self._within(values)

    def shares(self, values: NDArray[np.bool_] | NDArray[np.float64]) -> tuple[Estimate, ...]:
        """As ``means``, as estimates."""
        shares = self.means(values)
        errors = self._errors(values - self._within(values)[self.strata])
        return tuple(map(_estimate, shares, errors))

    def ratios(self, part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> tuple[Estimate, ...]:
        """Ratios of the area where ``part`` (n, V) is true to that where ``whole`` (n, V) is."""
        parts, wholes = self.means(part), self.means(whole)
        known, unknown = wholes > 0, np.full(len(parts), np.nan)
        ratios = np.divide(parts, wholes, out=unknown.copy(), where=known)
        deviations = part - self._within(part)[self.strata]
        deviations = deviations - np.nan_to_num(ratios) * (whole - self._within(whole)[self.strata])
        errors = np.divide(self._errors(deviations), wholes, out=unknown.copy(), where=known)
        return tuple(map(_estimate, ratios, errors))

    def _within(self, values: NDArray[np.bool_] | NDArray[np.float64]) -> NDArray[np.float64]:
        """(S, V) mean of values (n, V) in each stratum, weighted by the points' pixel areas."""
        sums = self._sums(self.weights[:, None] * values)
        return sums / self._sums(self.weights[:, None])

    def _errors(self, deviations: NDArray[np.float64]) -> NDArray[np.float64]:
        """(V,) standard errors, from the deviations (n, V) from the stratum's mean.

        Without the correction for a finite population, as in the paper: pixels are many.
        """
        sizes = np.bincount(self.strata, minlength=len(self.parts))
        mean_weight = self._sums(self.weights[:, None])[:, 0] / sizes
        relative = self.weights / mean_weight[self.strata]
        squares = self._sums((deviations * relative[:, None]) ** 2)
        return np.sqrt((self.parts**2 / (sizes * (sizes - 1))) @ squares)

    def _sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(S, V) sums of values (n, V) in each stratum."""
        sums = np.zeros((len(self.parts), values.shape[1]))
        np.add.at(sums, self.strata, values)
        return sums


def _estimate(value: float, error: float) -> Estimate:
    return Estimate(float(value), float(_Z_95 * error))
