"""Choose the points of a map where labels would help its model most.

Pixels are drawn with a probability that grows with how unsure the map is of them (margin sampling),
by class, so that rare ones are among them. Of these candidates the ones are taken that are unsure
and far from those taken before, in space and in their spectra (the greedy k-centre of Sener and
Savarese 2018, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", weighted
with the unsureness). So they say nothing of the map as a whole, and their file says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.evaluation.classmap import ClassMap, open_class_map
from lulcmap.evaluation.pixel_area import pixel_lonlat
from lulcmap.evaluation.regions import Regions
from lulcmap.evaluation.sampling import allocate, sample_windows
from lulcmap.evaluation.unsureness import (
    Unsureness,
    open_composite,
    open_unsureness,
    read_spectra,
)
from lulcmap.legend import NODATA
from lulcmap.system import Progress, no_progress

_POOL, _LEAST_POOL, _MOST_POOL = 10, 500, 20_000
"""Candidates of a class for each of its points, and the least and most that are kept of each."""

_POWER = 2
"""Power of the unsureness that a pixel is drawn with: pixels that the model is sure of are many."""

_CLIP = 2.0
"""Standard deviations at which spectra are clipped, so that clouds and errors do not lead."""


@dataclass(frozen=True)
class TrainingSample:
    """Points to train with, in random order."""

    classes: Mapping[int, str]
    """Names of the classes that occur, by value."""

    pixels: Mapping[int, int]
    """Pixels of each."""

    mapped: NDArray[np.int64]
    """(n,) value of the map at each point."""

    unsureness: NDArray[np.float64]
    """(n,) unsureness there, 0 to 1."""

    lon: NDArray[np.float64]
    """(n,) longitude of the pixel's centre, degrees."""

    lat: NDArray[np.float64]
    """(n,) latitude of the pixel's centre, degrees."""

    source: str
    """What the unsureness was read from."""

    is_margin: bool
    """Whether it is a model's margin or confidence, not only boundaries."""

    has_spectra: bool
    """Whether the points are spread over spectra, not only over space."""

    def to_json(self) -> dict[str, Any]:
        """The sample's summary as plain JSON values."""
        return {
            "design": "training",
            "chosen_by": self.source,
            "spread_over": ["space", "spectra"] if self.has_spectra else ["space"],
            "classes": [
                {
                    "class": name,
                    "value": value,
                    "pixels": self.pixels[value],
                    "points": int(np.count_nonzero(self.mapped == value)),
                }
                for value, name in self.classes.items()
            ],
        }


@dataclass
class _Pool:
    """Candidates of a class, drawn without replacement with probability by weight.

    Each pixel gets the key log(u) / weight; those with the largest keys are such a draw (Efraimidis
    and Spirakis 2006).
    """

    most: int
    found: NDArray[np.float64]  # (4, n): key, row, column, unsureness
    pixels: int = 0

    def add(self, candidates: NDArray[np.float64]) -> None:
        """Add some pixels, and keep the ones with the largest keys."""
        self.pixels += candidates.shape[1]
        found = np.concatenate([self.found, candidates], axis=1)
        if found.shape[1] > self.most:
            found = found[:, np.argpartition(-found[0], self.most)[: self.most]]
        self.found = found

    def first(self, number: int) -> NDArray[np.float64]:
        """(3, n) row, column and unsureness of the candidates that were drawn first."""
        return self.found[1:, np.argsort(-self.found[0], kind="stable")[:number]]


def draw_training_sample(
    path: Path,
    *,
    size: int,
    min_per_class: int,
    quality: Path | None = None,
    composite: Path | None = None,
    regions: Regions | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> TrainingSample:
    """Choose points of a map to train with.

    The classes share the points by the square root of their pixels, so that rare ones get more than
    their share.

    Args:
        path: path of the map.
        size: points in all.
        min_per_class: least points of each class of the map.
        quality: path of the map's layer of margins; None takes the one beside the map, the map's
            own band of confidence, or its boundaries.
        composite: path of the image that the map was made from; None takes the one beside the map,
            if any.
        regions: regions that each class's points are spread over evenly.
        seed: random seed; the same files, size and seed give the same points.
        progress: called with the stage and its progress in windows.

    Raises:
        UsageError: a file is not what it should be, the map is empty, or the size is too small.

    """
    with (
        open_class_map(path) as class_map,
        open_unsureness(class_map, quality) as unsureness,
        open_composite(class_map, composite) as image,
    ):
        most = int(np.clip(_POOL * size, _LEAST_POOL, _MOST_POOL))
        pools = _draw_pools(class_map, unsureness, most, seed, progress)
        if not pools:
            raise UsageError(f"{path} has no pixel with a class; there is nothing to sample.")
        pixels = np.array([pool.pixels for pool in pools.values()])
        points = allocate(np.sqrt(pixels), pixels, size=size, min_per_class=min_per_class)
        wanted = dict(zip(pools, points.tolist(), strict=True))
        found = [pools[value].first(max(_POOL * n, _LEAST_POOL)) for value, n in wanted.items()]
        value = np.repeat(list(pools), [one.shape[1] for one in found])
        rows, cols, unsure = np.concatenate(found, axis=1)
        lon, lat = pixel_lonlat(class_map, rows + 0.5, cols + 0.5)
        names = None
        if regions is not None:
            names = np.array([regions.of(*at) for at in zip(lon, lat, strict=True)])
        chosen = _choose(_features(class_map, image, rows, cols), unsure, value, wanted, names)
        order = np.random.default_rng([seed, NODATA]).permutation(chosen)
        return TrainingSample(
            {value: class_map.legend.get(value, f"class {value}") for value in pools},
            {value: pool.pixels for value, pool in pools.items()},
            value[order],
            unsure[order],
            lon[order],
            lat[order],
            unsureness.source,
            unsureness.is_margin,
            image is not None,
        )


def _choose(
    features: NDArray[np.float64],
    weights: NDArray[np.float64],
    value: NDArray[np.int64],
    wanted: Mapping[int, int],
    regions: NDArray[np.str_] | None,
) -> NDArray[np.int64]:
    """Indices of the candidates that are chosen, the rarest class first.

    Points of one class also keep away from those of another: across a boundary they would be pairs.

    Args:
        features: (n, F) coordinates of the candidates.
        weights: (n,) their weights.
        value: (n,) their classes.
        wanted: points of each class.
        regions: (n,) names of their regions; None for one region.

    """
    chosen = np.empty(0, np.int64)
    for one in sorted(wanted, key=lambda one: wanted[one]):
        own = np.flatnonzero(value == one)
        taken = spread(
            features[own],
            weights[own],
            wanted[one],
            regions=None if regions is None else regions[own],
            before=features[chosen],
        )
        chosen = np.concatenate([chosen, own[taken]])
    return chosen


def spread(
    features: NDArray[np.float64],
    weights: NDArray[np.float64],
    number: int,
    *,
    regions: NDArray[np.str_] | None = None,
    before: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Choose candidates that are far from each other and have large weights.

    Each has the largest product of weight and distance to the nearest that was chosen before it,
    within the region that has the fewest so far.

    Args:
        features: (n, F) coordinates of the candidates.
        weights: (n,) their weights, above 0.
        number: candidates to choose; all, if there are fewer.
        regions: (n,) names of the candidates' regions; None for one region.
        before: (k, F) coordinates of what was chosen before.

    Returns:
        (m,) indices of the chosen.

    """
    number = min(number, len(weights))
    names = np.zeros(len(weights)) if regions is None else regions
    region = np.unique(names, return_inverse=True)[1].ravel()
    left, chosen_in = np.bincount(region), np.zeros(region.max(initial=0) + 1, np.int64)
    nearest = np.full(len(weights), np.inf)
    for place in [] if before is None else before:
        nearest = np.minimum(nearest, _distance(features, place))
    is_free = np.ones(len(weights), bool)
    chosen = np.empty(number, np.int64)
    for i in range(number):
        fewest = int(np.argmin(np.where(left > 0, chosen_in, np.iinfo(np.int64).max)))
        distance = np.where(np.isinf(nearest), 1.0, nearest)  # the first one has no other
        score = np.where(is_free & (region == fewest), weights * distance, -1.0)
        chosen[i] = best = int(np.argmax(score))
        is_free[best] = False
        left[fewest] -= 1
        chosen_in[fewest] += 1
        nearest = np.minimum(nearest, _distance(features, features[best]))
    return chosen


def _distance(features: NDArray[np.float64], place: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) distance of candidates from a place."""
    return np.sqrt(((features - place) ** 2).sum(axis=1))


def _draw_pools(
    class_map: ClassMap, unsureness: Unsureness, most: int, seed: int, progress: Progress
) -> dict[int, _Pool]:
    """Candidates of each class that occurs, by value."""
    pools: dict[int, _Pool] = {}
    windows = sample_windows(class_map.shape)
    for i, box in enumerate(windows):
        values = class_map.window(*box)
        if (values != NODATA).any():
            unsure = unsureness.window(values, box)
            key = np.log1p(-np.random.default_rng([seed, i]).random(values.shape)) / unsure**_POWER
            for value in np.unique(values[values != NODATA]).tolist():
                rows, cols = np.nonzero(values == value)
                pool = pools.setdefault(value, _Pool(most, np.empty((4, 0))))
                pool.add(
                    np.stack([key[rows, cols], rows + box[0], cols + box[1], unsure[rows, cols]])
                )
        progress("drawing", i + 1, len(windows))
    return dict(sorted(pools.items()))


def _features(
    class_map: ClassMap, image: Any | None, rows: NDArray[np.float64], cols: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n, F) place and spectrum of candidates, each of the two with a variance of 1 in all."""
    place = np.stack([rows, cols], axis=1) / max(class_map.shape)
    parts = [place / max(float(np.sqrt(place.var(axis=0).sum())), 1e-9)]
    if image is not None:
        spectra = read_spectra(image, rows.astype(np.int64), cols.astype(np.int64))
        spectra = spectra[:, np.isfinite(spectra).any(axis=0)]
        if spectra.size:
            spectra = np.where(np.isfinite(spectra), spectra, np.nanmedian(spectra, axis=0))
            spectra = (spectra - spectra.mean(axis=0)) / np.maximum(spectra.std(axis=0), 1e-9)
            parts.append(np.clip(spectra, -_CLIP, _CLIP) / np.sqrt(spectra.shape[1]))
    return np.concatenate(parts, axis=1)
