"""A labelled stratified random sample of a map: the file that ``lulcmap sample`` writes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.evaluation.olofsson import AdjustedEstimates, estimate_adjusted
from lulcmap.evaluation.vectors import Features
from lulcmap.legend import NODATA

STRATUM, PIXELS, AREA, PIXEL_AREA = (
    "stratum",
    "stratum_pixels",
    "stratum_area_km2",
    "pixel_area_m2",
)
"""Columns of the points: the value of the map when they were drawn, the pixels and square
kilometres of the map with this value, and the square metres of the point's own pixel."""


@dataclass(frozen=True)
class LabelledSample:
    """The labelled points."""

    names: tuple[str, ...]
    """Names of all strata, with or without a labelled point."""

    areas: NDArray[np.float64]
    """(S,) areas of the strata, square kilometres."""

    strata: NDArray[np.int64]
    """(n,) stratum of each point, 0 to S - 1."""

    mapped: NDArray[np.uint8]
    """(n,) classes of the map that is evaluated."""

    truth: NDArray[np.uint8]
    """(n,) classes of the labels."""

    weights: NDArray[np.float64]
    """(n,) areas of the points' pixels, any unit."""

    lon: NDArray[np.float64]
    """(n,) longitudes, degrees."""

    lat: NDArray[np.float64]
    """(n,) latitudes, degrees."""

    def estimate(self, n_classes: int) -> AdjustedEstimates:
        """Estimate area-adjusted accuracies and areas.

        Raises:
            UsageError: a stratum has fewer than two labelled points.

        """
        self.check_sizes()
        return estimate_adjusted(
            self.strata,
            self.mapped.astype(np.int64),
            self.truth.astype(np.int64),
            areas=self.areas,
            n_classes=n_classes,
            weights=self.weights,
        )

    def check_sizes(self) -> None:
        """Check that each stratum has enough points for its variance.

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


def labelled_sample(
    features: Features,
    truth: NDArray[np.uint8],
    mapped: NDArray[np.uint8],
    *,
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
) -> LabelledSample | None:
    """The labelled points of a file; None if they are not a stratified sample.

    Args:
        features: points of the file.
        truth: (n,) classes of the labels, 255 for none.
        mapped: (n,) classes of the map, 255 for none.
        lon: (n,) longitudes, degrees.
        lat: (n,) latitudes, degrees.

    Raises:
        UsageError: the areas of the strata are not numbers, or differ within one stratum.

    """
    if not {STRATUM, AREA} <= set(features.columns):
        return None
    names, strata = np.unique(features.column(STRATUM).astype(str), return_inverse=True)
    try:
        stratum_areas = features.column(AREA).astype(np.float64)
        weights = np.ones(len(stratum_areas))
        if PIXEL_AREA in features.columns:
            weights = features.column(PIXEL_AREA).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise _damaged_error(features) from error
    areas = np.zeros(len(names))
    areas[strata] = stratum_areas
    if not (np.isfinite(weights).all() and (weights > 0).all() and (areas > 0).all()):
        raise _damaged_error(features)
    if (areas[strata] != stratum_areas).any():
        raise _damaged_error(features)
    kept = (truth != NODATA) & (mapped != NODATA)
    return LabelledSample(
        tuple(names.tolist()),
        areas,
        strata[kept],
        mapped[kept],
        truth[kept],
        weights[kept],
        lon[kept],
        lat[kept],
    )


def _damaged_error(features: Features) -> UsageError:
    return UsageError(
        f"{features.path} has strata without one area each: {AREA} is the area of the stratum, the "
        f"same for all its points, and {PIXEL_AREA} that of the point's pixel. Keep these columns "
        "as lulcmap sample wrote them."
    )
