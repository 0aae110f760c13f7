"""Which real samples a landscape is made of: near one place, at one time of the year."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NAMES
from lulcmap.sensors import S2_BANDS
from recipes.real_land.canvas import SNOW
from recipes.real_land.points import Points

N_OPTICAL = len(S2_BANDS)

LAND_SHARES: Mapping[str, float] = {
    "trees": 0.31,
    "grass": 0.15,
    "crops": 0.14,
    "shrub_and_scrub": 0.13,
    "bare": 0.20,
    "water": 0.03,
    "flooded_vegetation": 0.02,
    "built": 0.03,
}
"""Of the land without ice, what is covered by each class: FAO's GLC-SHARE (2014), its sparse
vegetation shared out among shrub and bare, rounded; towns thrice as many. The samples are half
crops and a sixth trees, for they were gathered to tell crops from the rest."""

LAND_WEIGHT = 2 / 3
"""How much of the landscapes' composition is the land's; the rest is the samples'."""

N_CANDIDATES = 40
"""Samples of a class that a landscape may choose from."""

NEAR_DEGREES = (8.0, 30.0)
"""Degrees of latitude and longitude over which samples become less likely."""

NEAR_MONTHS = 1.2
"""Months over which they do."""


@dataclass(frozen=True)
class Season:
    """When a landscape is seen."""

    months: tuple[int, ...]
    """0 to 11; one, or those a composite is the median of."""


@dataclass(frozen=True)
class Palette:
    """Samples to paint with, by class."""

    spectra: NDArray[np.float32]
    """(N, 11) DN and decibels, complete."""

    cover: NDArray[np.intp]
    """(N,) their classes."""

    odds: NDArray[np.float64]
    """(N,) how likely each is taken among its class."""

    @property
    def covers(self) -> set[int]:
        """Classes there is a sample of."""
        return set(self.cover.tolist())

    def choose(
        self, rng: np.random.Generator, cover: int, count: int, *, kinds: int | None = None
    ) -> NDArray[np.intp]:
        """Samples of a class, with repetition.

        Args:
            rng: draws them.
            cover: the class; there is a sample of it.
            count: how many.
            kinds: different ones at most; None for any number.

        """
        rows = np.flatnonzero(self.cover == cover)
        odds = self.odds[rows] / self.odds[rows].sum()
        if kinds is not None:
            rows, odds = rng.choice(rows, kinds, p=odds), np.full(kinds, 1 / kinds)
        return rng.choice(rows, count, p=odds)


class Source:
    """Points, ready to be drawn from."""

    def __init__(self, points: Points) -> None:
        self.points = points
        self.seen = np.isfinite(points.clear[:, :, 0])
        self.snowy = np.isfinite(points.snowy[:, :, 0])

    @cached_property
    def crowding(self) -> NDArray[np.float64]:
        """(P,) how many places lie about each; a region is not more land for more samples."""
        lat, lon = self.points.lat, self.points.lon
        crowd = np.empty(len(lat))
        for i in range(len(lat)):
            near = (np.abs(lat - lat[i]) < 4) & (np.abs(lon - lon[i]) < 6)
            crowd[i] = self.points.weight[near].sum()
        return crowd

    @cached_property
    def evenly(self) -> NDArray[np.float64]:
        """(P,) how likely each place is drawn where regions count, and not their samples."""
        odds = self.points.weight * self.crowding**-0.5 * self.seen.any(1)
        return odds / odds.sum()

    @cached_property
    def singly(self) -> NDArray[np.float64]:
        """(P,) how likely each place is drawn where every clear spectrum counts."""
        odds = self.points.weight * self.seen.sum(1)
        return odds / odds.sum()

    @cached_property
    def anchors(self) -> NDArray[np.float64]:
        """(P,) how likely each place is the middle of a landscape."""
        odds = self.evenly * self.commoner[self.points.label]
        return odds / odds.sum()

    @cached_property
    def commoner(self) -> NDArray[np.float64]:
        """(K,) by how much a class's samples count more, so that landscapes are as land is.

        One part as among the samples, which lie where people ask what the land is, and two as in
        ``LAND_SHARES``.
        """
        points = self.points
        share = np.bincount(points.label, self.evenly, len(NAMES))
        land = np.array([LAND_SHARES.get(name, 0.0) for name in NAMES])
        wanted = LAND_WEIGHT * land + (1 - LAND_WEIGHT) * share
        return np.divide(wanted, share, out=np.zeros(len(NAMES)), where=share > 0)

    def nearness(self, anchor: int) -> NDArray[np.float64]:
        """(P,) how likely a place lends its samples to a landscape about an anchor."""
        points = self.points
        north = (points.lat - points.lat[anchor]) / NEAR_DEGREES[0]
        east = (points.lon - points.lon[anchor] + 180) % 360 - 180
        # samples from far away are better than none
        return points.weight * np.exp(-(north**2) - (east / NEAR_DEGREES[1]) ** 2) + 1e-7

    def palette(self, rng: np.random.Generator, anchor: int, season: Season) -> Palette:
        """The samples of a landscape.

        Args:
            rng: draws the candidates.
            anchor: the place in the middle.
            season: when it is seen.

        """
        near = self.nearness(anchor)
        parts = [
            self._drawn(rng, self.points.label == cover, near, season)
            for cover in np.unique(self.points.label)
        ]
        snow = self._snow(rng, near, season)
        spectra = np.concatenate([*(spectra for _, spectra, _ in parts), snow[1]])
        cover = np.concatenate(
            [*(self.points.label[place] for place, _, _ in parts), np.full(len(snow[0]), SNOW)]
        ).astype(np.intp)
        odds = np.concatenate([*(odds for _, _, odds in parts), snow[2]])
        return Palette(fill_missing_radar(spectra, cover), cover, odds)

    def _drawn(
        self,
        rng: np.random.Generator,
        of: NDArray[np.bool_],
        near: NDArray[np.float64],
        season: Season,
    ) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.float64]]:
        """Places of a class, their spectra, and how likely each is."""
        if len(season.months) == 1:
            month, off = _nearest_month(self.seen, season.months[0])
            odds = near * of * np.exp(-((off / NEAR_MONTHS) ** 2))
            place = _draw_places(rng, odds)
            return place, self.points.clear[place, month[place]], np.ones(len(place))
        months = list(season.months)
        odds = near * of * self.seen[:, months].mean(1)
        if not odds.any():
            months, odds = list(range(12)), near * of * self.seen.mean(1)
        place = _draw_places(rng, odds)
        return place, nan_median(self.points.clear[place][:, months]), np.ones(len(place))

    def _snow(
        self, rng: np.random.Generator, near: NDArray[np.float64], season: Season
    ) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.float64]]:
        month, off = _nearest_month(self.snowy, season.months[0])
        odds = near * np.exp(-((off / 3) ** 2)) * self.snowy.any(1)
        place = _draw_places(rng, odds)
        return place, self.points.snowy[place, month[place]], np.ones(len(place))


def _draw_places(rng: np.random.Generator, odds: NDArray[np.float64]) -> NDArray[np.intp]:
    """Places drawn with repetition by their odds: likely ones come more than once."""
    total = odds.sum()
    if not total > 0:
        return np.zeros(0, np.intp)
    return rng.choice(len(odds), N_CANDIDATES, p=odds / total)


def _nearest_month(
    seen: NDArray[np.bool_], month: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """(P,) the month nearest to one in which each place was seen, and how far off it is."""
    off = np.abs((np.arange(12) - month + 6) % 12 - 6).astype(np.float64)
    away = np.where(seen, off, np.inf)
    return away.argmin(1), away.min(1)


def nan_median(spectra: NDArray[np.float32]) -> NDArray[np.float32]:
    """Over axis 1, of what is there; the lower of two middle ones' mean as numpy's."""
    ordered = np.sort(spectra, 1)  # NaN last
    count = np.isfinite(spectra).sum(1)
    low, high = ((count - 1).clip(0) // 2, count.clip(1) // 2)
    rows, bands = np.indices(count.shape)
    return (ordered[rows, low, bands] + ordered[rows, high, bands]) / 2


def fill_missing_radar(
    spectra: NDArray[np.float32], cover: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Samples without radar get the middle of their class's."""
    spectra = spectra.copy()
    radar = spectra[:, N_OPTICAL:]
    lacks = ~np.isfinite(radar).all(1)
    if lacks.all():
        radar[:] = (-11.0, -18.0)
        return spectra
    for c in np.unique(cover[lacks]):
        known = radar[(cover == c) & ~lacks]
        middle = np.median(known if len(known) else radar[~lacks], 0)
        radar[lacks & (cover == c)] = middle
    return spectra
