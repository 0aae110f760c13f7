"""A wild landscape while it is drawn: a canvas of materials, its relief, and its doubts."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NAMES
from recipes.real_land.canvas import BARE, GRASS, SHRUB, SNOW, TREES, Canvas
from recipes.real_land.noise import Field, fractal, smooth
from recipes.real_land.regional_points import NOT_CROPS
from recipes.real_land.wild.materials import CLASS_OF

SETS = {
    "not crops": tuple(name for name in NAMES if name != "crops"),
    "shrub or bare": (NAMES[SHRUB], NAMES[BARE]),
    "grass or shrub": (NAMES[GRASS], NAMES[SHRUB]),
    "grass, shrub or bare": (NAMES[GRASS], NAMES[SHRUB], NAMES[BARE]),
    "trees or snow": (NAMES[TREES], NAMES[SNOW]),
}
"""Classes of each label set, whose codes count down from 254 in this order."""

NOT_CROPS_SET, SHRUB_OR_BARE, GRASS_OR_SHRUB, OPEN_LAND, TREES_OR_SNOW = range(
    NOT_CROPS, NOT_CROPS - len(SETS), -1
)
"""Codes of the sets."""


@dataclass
class Land:
    """A square of land to draw on."""

    canvas: Canvas
    """Classes and patches; ``covers`` holds the material of each patch."""

    doubt: NDArray[np.uint8]
    """Code of the set that a pixel's class is only known to be in, (N, N); 0 where it is known."""

    height: Field
    """Height whose slopes are lit and shaded, (N, N)."""

    palette_base: int
    """Material whose colour the others are chosen by."""

    steep: float = 1.0
    """Strength of the relief."""

    sun_zenith: float | None = None
    """Zenith of the sun, degrees; None for any."""

    extras: dict[str, float] = field(default_factory=dict)
    """Facts that a drawing function leaves for those after it."""

    @classmethod
    def blank(cls, rng: np.random.Generator, size: int, base: int) -> Self:
        """Even land of one material."""
        land = cls(
            Canvas.blank(size),
            np.zeros((size, size), np.uint8),
            fractal(rng, size, rng.uniform(20, 90), octaves=5),
            base,
        )
        land.lay(rng, np.ones((size, size), np.bool_), base)
        return land

    @property
    def size(self) -> int:
        """Side, pixels."""
        return self.canvas.size

    def lay(
        self,
        rng: np.random.Generator,
        where: NDArray[np.bool_],
        material: int,
        *,
        kinds: int = 3,
        uneven: float = 0.6,
        doubt: int = 0,
        cover: int | None = None,
    ) -> None:
        """Cover some pixels with a material of several kinds that pass into each other.

        Args:
            rng: source of all random draws.
            where: pixels to cover, (N, N).
            material: material to cover them with.
            kinds: number of its spectra that are used.
            uneven: how grained the mixing of kinds is, 0 to 1.
            doubt: code of a set, where the class is not known; 0 where it is.
            cover: class; None for the material's own.

        """
        size, canvas = self.size, self.canvas
        ground = fractal(rng, size, rng.uniform(15, 110), octaves=5) + np.float32(
            0.5 * uneven
        ) * smooth(rng, size, rng.uniform(2.5, 9))
        place = ((0.5 + ground / 3) * (kinds - 1)).clip(0, max(kinds - 1.001, 0))
        kind = place.astype(np.int64)
        # from soft passages to edges of a pixel
        sharpness = float(np.exp(rng.uniform(0, np.log(8))))
        share = (sharpness * (place - kind - 0.5) + 0.5).clip(0, 1)
        first = canvas.patches(material, kinds + 1)
        canvas.paint(
            where,
            CLASS_OF[material] if cover is None else cover,
            first + kind,
            second=first + kind + 1,
            share=share.astype(np.float32),
        )
        self.doubt[where] = doubt

    def dot(
        self,
        rng: np.random.Generator,
        where: NDArray[np.bool_],
        material: int,
        share: NDArray[np.floating],
        *,
        kinds: int = 3,
    ) -> None:
        """Mix a material into some pixels by its share of each, (N, N); classes stay."""
        first = self.canvas.patches(material, kinds)
        kind = first + np.digitize(smooth(rng, self.size, 30), np.linspace(-0.7, 0.7, kinds - 1))
        self.canvas.mix(where, kind, share.astype(np.float32))

    @property
    def truth(self) -> NDArray[np.uint8]:
        """Class ids, or codes of sets, (N, N)."""
        return np.where(self.doubt > 0, self.doubt, self.canvas.label).astype(np.uint8)


def crowns(rng: np.random.Generator, size: int, density: NDArray[np.floating]) -> Field:
    """Share of each pixel under single bushes or trees, (N, N), of a given mean density."""
    grain = smooth(rng, size, rng.uniform(2, 3)) + 0.35 * rng.standard_normal((size, size))
    share = density.clip(1e-3, 0.95)
    # grain above its own quantile; bushes are smaller than pixels, so edges are soft
    level = (share**0.135 - (1 - share) ** 0.135) / 0.1975
    return (1 / (1 + np.exp(-3.5 * (grain / 1.06 + level)))).astype(np.float32)


def part_of(
    rng: np.random.Generator, size: int, share: float, wavelength: float
) -> NDArray[np.bool_]:
    """Mask of connected regions that cover about a share of the square, (N, N)."""
    height = fractal(rng, size, wavelength, octaves=4)
    return height > np.quantile(height, 1 - min(max(share, 0), 1))
