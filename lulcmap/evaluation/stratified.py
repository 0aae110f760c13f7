"""A stratified random sample of a map, once it is labelled: the file ``lulcmap sample`` draws."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.evaluation.olofsson import Adjusted, adjusted
from lulcmap.evaluation.vectors import Features
from lulcmap.legend import NODATA

STRATUM, PIXELS, AREA, PIXEL_AREA = (
    "stratum",
    "stratum_pixels",
    "stratum_area_km2",
    "pixel_area_m2",
)
"""Columns of the points: the value of the map when they were drawn, how many pixels and square
kilometres of the map have it, and the square metres of the point's own pixel."""


@dataclass(frozen=True)
class Sample:
    """The labelled points."""

    names: tuple[str, ...]
    """Of the strata; all, also those without a labelled point."""

    areas: NDArray[np.float64]
    """(S,) of the strata, square kilometres."""

    strata: NDArray[np.int64]
    """(n,) of the points, 0 to S - 1."""

    mapped: NDArray[np.uint8]
    """(n,) classes of the map that is judged."""

    truth: NDArray[np.uint8]
    """(n,) classes of the labels."""

    weights: NDArray[np.float64]
    """(n,) area of the points' pixels, any unit."""

    def estimate(self, n_classes: int) -> Adjusted:
        """Area-adjusted accuracies and areas.

        Raises:
            UsageError: a stratum has fewer than two labelled points.

        """
        sizes = np.bincount(self.strata, minlength=len(self.names))
        few = [name for name, size in zip(self.names, sizes, strict=True) if size < 2]
        if few:
            raise UsageError(
                f"Fewer than two points are labelled in the strata {', '.join(few)} of this "
                "sample; each stratum needs two. Label more of its points."
            )
        return adjusted(
            self.strata,
            self.mapped.astype(np.int64),
            self.truth.astype(np.int64),
            areas=self.areas,
            n_classes=n_classes,
            weights=self.weights,
        )


def sample(features: Features, known: NDArray[np.uint8], found: NDArray[np.uint8]) -> Sample | None:
    """The labelled points of a file, if they are a stratified sample.

    Args:
        features: of the file.
        known: (n,) classes of the labels, 255 for none.
        found: (n,) classes of the map, 255 for none.

    Raises:
        UsageError: the sizes of its strata are no numbers, or differ within one stratum.

    """
    if not {STRATUM, AREA} <= set(features.columns):
        return None
    names, strata = np.unique(features.column(STRATUM).astype(str), return_inverse=True)
    try:
        given = features.column(AREA).astype(np.float64)
        weights = np.ones(len(given))
        if PIXEL_AREA in features.columns:
            weights = features.column(PIXEL_AREA).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise _damaged(features) from error
    areas = np.zeros(len(names))
    areas[strata] = given
    if not (np.isfinite(weights).all() and (weights > 0).all() and (areas > 0).all()):
        raise _damaged(features)
    if (areas[strata] != given).any():
        raise _damaged(features)
    kept = (known != NODATA) & (found != NODATA)
    return Sample(
        tuple(names.tolist()), areas, strata[kept], found[kept], known[kept], weights[kept]
    )


def _damaged(features: Features) -> UsageError:
    return UsageError(
        f"{features.path} has strata without one area each: {AREA} is the area of the stratum, the "
        f"same for all of its points, and {PIXEL_AREA} that of the point's pixel. Leave these "
        "columns as lulcmap sample wrote them."
    )
