"""Synthetic landscapes made of real pixels: every colour is that of a real sample.

A landscape has a place and a season. Its classes are those of the samples around that place, its
shapes are drawn (``nature``, ``fields``, ``towns``), each patch takes a real sample of its class
from nearby and from that season, and ``sensor`` shows it as a satellite would. The result is like a
composite: uint16 DN, int16 hundredths of a decibel, and a class for every pixel.
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
"""Look in which every pixel has the spectrum of its sample."""

UNIFORM_CLASSES = (WATER, SNOW, TREES, SHRUB, BARE, FLOODED)
"""Classes of which a landscape mostly shows two samples, however many patches it has."""

QUILT_SHARE = 0.35
"""Share of quilts, samples side by side, among the landscapes."""

EVEN_SHARE = 0.7
"""Share of the quilts that are completely even and show every spectrum equally often; the others
have texture and show every region equally often. Nothing else is even, so a network can tell that
only the spectrum counts there, and keeps what it learns there separate from land."""

GAIN_DEVIATION, GAIN_DEVIATION_WORKS = 0.08, 0.2
"""Deviation of the logarithm of each patch's own gain (ground is wet or dry, dark or pale); that of
fields and roofs is larger because the samples contain few soils and roofs."""

SETTLED_SHARES = (0.55, 0.75)
"""Share of the landscapes with towns or villages: of all, and of those around a place with crops.
More than on Earth, because people map the land where people live."""

WINTER_SHARE = 0.05
"""Share of the landscapes under snow."""


@dataclass(frozen=True)
class Landscape:
    """A generated chip."""

    s2: NDArray[np.uint16]
    """Sentinel-2, DN, (9, N, N)."""

    s1: NDArray[np.int16]
    """Sentinel-1, hundredths of a decibel, (2, N, N)."""

    label: NDArray[np.uint8]
    """Class of each pixel, Dynamic World's ids, (N, N)."""

    anchor: int
    """Index of the place at the centre."""

    season: Season
    """Months it is seen in."""


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
        """Prepare the generator.

        Args:
            points: points to draw samples from; at least one place of two classes.
            textures: texture clips (9, H, W), from ``scenes.load_textures``.
            size: side of a landscape, pixels, even.
            look: how strongly landscapes differ from bare samples.
            quilts: share of quilts among the landscapes.
            seed: seed of all random draws.

        """
        self.source = Source(points)
        self.textures, self.size, self.look, self.seed = textures, size, look, seed
        self.quilts = quilts
        self.odds = self.source.anchors
        self.can_snow = bool(self.source.snowy.any())

    def landscape(self, number: int) -> Landscape:
        """Make one landscape."""
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
        """Make a quilt of samples from anywhere; it still gets a place and a season."""
        even = rng.random() < EVEN_SHARE
        odds = self.source.singly if even else self.source.evenly
        canvas, planes = make_quilt(rng, self.source, self.size, odds)
        planes[N_OPTICAL:] = 10 ** (planes[N_OPTICAL:] / 10)
        texture_strength = 0.0 if even else float(rng.choice((0.5, 1.0)))
        look = replace(
            self.look,
            texture=texture_strength * self.look.texture,
            speckle=texture_strength * self.look.speckle,
            noise=texture_strength * self.look.noise,
            relief=0,
        )
        no_relief = np.zeros((self.size, self.size), np.float32)
        s2 = to_optical(
            planes[:N_OPTICAL], canvas, no_relief, rng, textures=self.textures, look=look
        )
        s1 = to_radar(planes[N_OPTICAL:], canvas, no_relief, rng, look=look)
        anchor = int(rng.choice(len(self.odds), p=self.odds))
        return Landscape(s2, s1, canvas.label, anchor, self._season(rng, anchor, winter=False))

    def _season(self, rng: np.random.Generator, anchor: int, *, winter: bool) -> Season:
        """Draw a single month, a season of three to five months, or a year."""
        if winter:
            return Season((int(rng.choice(np.flatnonzero(self.source.snowy[anchor]))),))
        month = int(rng.choice(np.flatnonzero(self.source.seen[anchor])))
        draw = rng.random()
        count = 1 if draw < 0.55 else int(rng.integers(3, 6)) if draw < 0.75 else 12
        return Season(tuple((month + k) % 12 for k in range(count)))

    def _drawn(
        self, rng: np.random.Generator, anchor: int, palette: Palette, *, winter: bool
    ) -> Canvas:
        """Draw the classes and patches of a landscape."""
        canvas = Canvas.blank(self.size)
        shares = self._shares(rng, anchor, palette, winter=winter)
        nature.add_regions(canvas, rng, shares)
        anchor_class = int(self.source.points.label[anchor])
        if winter and TREES in palette.covers and rng.random() < 0.6:
            nature.add_twigs(canvas, rng)
        covers, dry = palette.covers, shares[BARE] + shares[SHRUB]
        if {TREES, SHRUB} <= covers and rng.random() < 0.2 + 0.3 * min(dry, 1):
            nature.add_savanna(canvas, rng)
        if {CROPS, TREES, BARE} <= covers:
            fields.add_farmland(canvas, rng, pasture=float(rng.choice([0.05, 0.2, 0.5])))
            if anchor_class in (CROPS, BARE) and rng.random() < 0.1:
                fields.add_pivots(canvas, rng)
        if FLOODED in covers and rng.random() < (0.9 if anchor_class == FLOODED else 0.2):
            nature.add_shores(canvas, rng)
        if {WATER, TREES} <= covers and rng.random() < 0.25:
            nature.add_river(canvas, rng)
        if {BUILT, TREES, BARE} <= covers:
            self._settled(canvas, rng, anchor_class)
        return canvas

    def _settled(self, canvas: Canvas, rng: np.random.Generator, anchor_class: int) -> None:
        if anchor_class == BUILT:
            towns.add_town(canvas, rng, share=rng.uniform(0.2, 0.9))
        elif anchor_class != SNOW and rng.random() < SETTLED_SHARES[anchor_class == CROPS]:
            for _ in range(int(rng.integers(1, 4))):
                share = float(np.exp(rng.uniform(np.log(0.003), np.log(0.3))))
                towns.add_town(canvas, rng, share=share)
        if rng.random() < 0.4:
            towns.add_road(canvas, rng)
        if anchor_class == CROPS and rng.random() < 0.4:
            towns.add_farms(canvas, rng)

    def _shares(
        self, rng: np.random.Generator, anchor: int, palette: Palette, *, winter: bool
    ) -> NDArray[np.float64]:
        """Approximate share of each natural class, (K,)."""
        points = self.source.points
        odds = self.source.nearness(anchor) * self.source.commoner[points.label]
        shares = np.bincount(points.label, odds, len(NAMES)) / odds.sum()
        shares = (shares + 0.01) ** 0.8 * np.exp(rng.normal(0, 1, len(NAMES)))
        shares /= shares.sum()
        shares[points.label[anchor]] += rng.uniform(0.2, 1.5)
        shares[[BUILT, SNOW]] = 0  # towns are not drawn from noise
        if winter:
            shares[SNOW] = rng.uniform(0.5, 30)
            shares[[CROPS, FLOODED]] = 0
        has_sample = np.zeros(len(NAMES), np.bool_)
        has_sample[list(palette.covers)] = True
        shares[~has_sample | (shares < 0.02)] = 0
        if not shares.any():
            shares[next(iter(palette.covers))] = 1
        return shares

    def _coloured(
        self, rng: np.random.Generator, canvas: Canvas, palette: Palette
    ) -> NDArray[np.float32]:
        """Colour the patches: (11, N, N) reflectance in DN, and radar as linear power."""
        covers = np.array(canvas.covers)
        rows = np.zeros(len(covers), np.intp)
        used = np.zeros(len(covers), np.bool_)
        used[np.unique(canvas.first)] = used[np.unique(canvas.second)] = True
        for cover in np.unique(covers[used]):
            patches = np.flatnonzero((covers == cover) & used)
            is_uniform = cover in UNIFORM_CLASSES and rng.random() < 0.8
            rows[patches] = palette.choose(
                rng, int(cover), len(patches), kinds=2 if is_uniform else None
            )
        by_patch = palette.spectra[rows]
        towns.fade_towns(rng, by_patch, covers)
        by_patch[:, N_OPTICAL:] = 10 ** (by_patch[:, N_OPTICAL:] / 10)
        uneven = self.look.gain * np.where(
            np.isin(covers, (CROPS, BUILT)), GAIN_DEVIATION_WORKS, GAIN_DEVIATION
        )
        by_patch[:, :N_OPTICAL] *= np.exp(rng.normal(0, 1, len(covers)) * uneven)[:, None]
        share = (self.look.mixing * canvas.share)[..., None]
        mixed = by_patch[canvas.first] * (1 - share) + by_patch[canvas.second] * share
        return np.ascontiguousarray(mixed.transpose(2, 0, 1), np.float32)
