"""Landscapes that are made up, of pixels that are not: every colour is a real sample's.

A landscape has a place and a season. Its classes are those of the samples about that place, its
shapes are drawn (``nature``, ``fields``, ``towns``), each patch takes a real sample of its class
from nearby at that season, and ``sensor`` shows it as a satellite would. The result is what a
composite is: uint16 DN, int16 hundredths of a decibel, and a class for every pixel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NAMES
from recipes.real_land import fields, nature, towns
from recipes.real_land.canvas import BARE, BUILT, CROPS, FLOODED, SHRUB, SNOW, TREES, WATER, Canvas
from recipes.real_land.noise import fractal
from recipes.real_land.points import Points
from recipes.real_land.quilt import make_quilt
from recipes.real_land.samples import N_OPTICAL, Palette, Season, Source
from recipes.real_land.sensor import Look, to_optical, to_radar

PLAIN = Look(mixing=0, texture=0, relief=0, blur=0, speckle=0, noise=0, gain=0)
"""Every pixel a sample's own spectrum."""

UNIFORM_CLASSES = (WATER, SNOW, TREES, SHRUB, BARE, FLOODED)
"""Classes of which one landscape mostly shows two samples, however many patches."""

QUILT_SHARE = 0.35
"""Share of the landscapes that are none: samples side by side."""

EVEN_SHARE = 0.7
"""Share of the quilts that are wholly even, each sample as common as its spectra are; the others
have texture, and regions count in them. Nothing else is even, so a network can tell that there only
the spectrum counts, and keeps what it learns there apart from land."""

GAIN_DEVIATION, GAIN_DEVIATION_WORKS = 0.08, 0.2
"""Deviation of the logarithm of each patch's own light: ground is wet or dry, dark or pale. Of
fields and roofs most, for the soils and roofs among the samples are few."""

SETTLED_SHARES = (0.55, 0.75)
"""Share of the landscapes with towns or villages: of all, and of those about a place of crops. More
than there are on Earth: people ask about land where people are."""

WINTER_SHARE = 0.05
"""Share of the landscapes that lie under snow."""


@dataclass(frozen=True)
class Landscape:
    """A generated chip."""

    s2: NDArray[np.uint16]
    """(9, N, N) DN."""

    s1: NDArray[np.int16]
    """(2, N, N) hundredths of a decibel."""

    label: NDArray[np.uint8]
    """(N, N) Dynamic World's ids."""

    anchor: int
    """Number of the place in the middle."""

    season: Season
    """When it is seen."""


class Generator:
    """Makes landscapes; the same seed and number give the same one."""

    def __init__(
        self,
        points: Points,
        textures: Sequence[NDArray[np.float32]] = (),
        *,
        size: int = 256,
        look: Look = Look(),  # noqa: B008  # it is frozen
        quilts: float = QUILT_SHARE,
        seed: int = 0,
    ) -> None:
        """Get ready.

        Args:
            points: to draw from; at least one place of two classes.
            textures: (9, H, W) clips as ``scenes.load_textures`` gives them.
            size: pixels a side, even.
            look: how strongly landscapes differ from bare samples.
            quilts: share of the landscapes that are none.
            seed: of all draws.

        """
        self.source = Source(points)
        self.textures, self.size, self.look, self.seed = textures, size, look, seed
        self.quilts = quilts
        self.odds = self.source.anchors
        self.can_snow = bool(self.source.snowy.any())

    def landscape(self, number: int) -> Landscape:
        """One landscape."""
        rng = np.random.default_rng((self.seed, number))
        if rng.random() < self.quilts:
            return self._quilt(rng)
        points = self.source.points
        anchor = int(rng.choice(len(points), p=self.odds))
        winter = self.can_snow and rng.random() < WINTER_SHARE
        if winter:
            cold = self.odds * self.source.snowy.any(1)
            if cold.any():
                anchor = int(rng.choice(len(points), p=cold / cold.sum()))
        season = self._season(rng, anchor, winter=winter)
        palette = self.source.palette(rng, anchor, season)
        canvas = self._drawn(rng, anchor, palette, winter=winter)
        planes = self._coloured(rng, canvas, palette)
        height = fractal(rng, self.size, rng.uniform(20, 90), octaves=5)
        s2 = to_optical(
            planes[:N_OPTICAL], canvas, height, rng, textures=self.textures, look=self.look
        )
        s1 = to_radar(planes[N_OPTICAL:], canvas, height, rng, look=self.look)
        return Landscape(s2, s1, canvas.label, anchor, season)

    def _quilt(self, rng: np.random.Generator) -> Landscape:
        """Samples from anywhere; filed under a place and a season all the same."""
        even = rng.random() < EVEN_SHARE
        odds = self.source.singly if even else self.source.evenly
        canvas, planes = make_quilt(rng, self.source, self.size, odds)
        planes[N_OPTICAL:] = 10 ** (planes[N_OPTICAL:] / 10)
        strength = 0.0 if even else float(rng.choice((0.5, 1.0)))
        look = replace(
            self.look,
            texture=strength * self.look.texture,
            speckle=strength * self.look.speckle,
            noise=strength * self.look.noise,
            relief=0,
        )
        flat = np.zeros((self.size, self.size), np.float32)
        s2 = to_optical(planes[:N_OPTICAL], canvas, flat, rng, textures=self.textures, look=look)
        s1 = to_radar(planes[N_OPTICAL:], canvas, flat, rng, look=look)
        anchor = int(rng.choice(len(self.odds), p=self.odds))
        return Landscape(s2, s1, canvas.label, anchor, self._season(rng, anchor, winter=False))

    def _season(self, rng: np.random.Generator, anchor: int, *, winter: bool) -> Season:
        """A single date, a season of three to five months, or a year."""
        if winter:
            return Season((int(rng.choice(np.flatnonzero(self.source.snowy[anchor]))),))
        month = int(rng.choice(np.flatnonzero(self.source.seen[anchor])))
        draw = rng.random()
        count = 1 if draw < 0.55 else int(rng.integers(3, 6)) if draw < 0.75 else 12
        return Season(tuple((month + k) % 12 for k in range(count)))

    def _drawn(
        self, rng: np.random.Generator, anchor: int, palette: Palette, *, winter: bool
    ) -> Canvas:
        """What is where."""
        canvas = Canvas.blank(self.size)
        shares = self._shares(rng, anchor, palette, winter=winter)
        nature.add_regions(canvas, rng, shares)
        anchored = int(self.source.points.label[anchor])
        if winter and TREES in palette.covers and rng.random() < 0.6:
            nature.add_twigs(canvas, rng)
        can, dry = palette.covers, shares[BARE] + shares[SHRUB]
        if {TREES, SHRUB} <= can and rng.random() < 0.2 + 0.3 * min(dry, 1):
            nature.add_savanna(canvas, rng)
        if {CROPS, TREES, BARE} <= can:
            fields.add_farmland(canvas, rng, pasture=float(rng.choice([0.05, 0.2, 0.5])))
            if anchored in (CROPS, BARE) and rng.random() < 0.1:
                fields.add_pivots(canvas, rng)
        if FLOODED in can and rng.random() < (0.9 if anchored == FLOODED else 0.2):
            nature.add_shores(canvas, rng)
        if {WATER, TREES} <= can and rng.random() < 0.25:
            nature.add_river(canvas, rng)
        if {BUILT, TREES, BARE} <= can:
            self._settled(canvas, rng, anchored)
        return canvas

    def _settled(self, canvas: Canvas, rng: np.random.Generator, anchored: int) -> None:
        if anchored == BUILT:
            towns.add_town(canvas, rng, share=rng.uniform(0.2, 0.9))
        elif anchored != SNOW and rng.random() < SETTLED_SHARES[anchored == CROPS]:
            for _ in range(int(rng.integers(1, 4))):
                share = float(np.exp(rng.uniform(np.log(0.003), np.log(0.3))))
                towns.add_town(canvas, rng, share=share)
        if rng.random() < 0.4:
            towns.add_road(canvas, rng)
        if anchored == CROPS and rng.random() < 0.4:
            towns.add_farms(canvas, rng)

    def _shares(
        self, rng: np.random.Generator, anchor: int, palette: Palette, *, winter: bool
    ) -> NDArray[np.float64]:
        """(K,) how much of each class the land has before people come."""
        points = self.source.points
        near = self.source.nearness(anchor) * self.source.commoner[points.label]
        shares = np.bincount(points.label, near, len(NAMES)) / near.sum()
        shares = (shares + 0.01) ** 0.8 * np.exp(rng.normal(0, 1, len(NAMES)))
        shares /= shares.sum()
        shares[points.label[anchor]] += rng.uniform(0.2, 1.5)
        shares[[BUILT, SNOW]] = 0  # towns are not made by noise
        if winter:
            shares[SNOW] = rng.uniform(0.5, 30)
            shares[[CROPS, FLOODED]] = 0
        there = np.zeros(len(NAMES), np.bool_)
        there[list(palette.covers)] = True
        shares[~there | (shares < 0.02)] = 0
        if not shares.any():
            shares[next(iter(palette.covers))] = 1
        return shares

    def _coloured(
        self, rng: np.random.Generator, canvas: Canvas, palette: Palette
    ) -> NDArray[np.float32]:
        """(11, N, N) reflectance in DN, and radar as linear power."""
        covers = np.array(canvas.covers)
        rows = np.zeros(len(covers), np.intp)
        used = np.zeros(len(covers), np.bool_)
        used[np.unique(canvas.first)] = used[np.unique(canvas.second)] = True
        for cover in np.unique(covers[used]):
            of = np.flatnonzero((covers == cover) & used)
            few = cover in UNIFORM_CLASSES and rng.random() < 0.8
            rows[of] = palette.choose(rng, int(cover), len(of), kinds=2 if few else None)
        spectra = palette.spectra.copy()
        spectra[:, N_OPTICAL:] = 10 ** (spectra[:, N_OPTICAL:] / 10)
        by_patch = spectra[rows]
        uneven = self.look.gain * np.where(
            np.isin(covers, (CROPS, BUILT)), GAIN_DEVIATION_WORKS, GAIN_DEVIATION
        )
        by_patch[:, :N_OPTICAL] *= np.exp(rng.normal(0, 1, len(covers)) * uneven)[:, None]
        share = (self.look.mixing * canvas.share)[..., None]
        mixed = by_patch[canvas.first] * (1 - share) + by_patch[canvas.second] * share
        return np.ascontiguousarray(mixed.transpose(2, 0, 1), np.float32)
