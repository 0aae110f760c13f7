"""Chips of real scenes, labelled by the teacher: what a network learns real land from.

A label is the teacher's mean over the dates of a place, and it stays soft; where the teacher is not
sure it counts less (``weight_of``). What CORINE's image labels exclude becomes less likely. Left
out are clouds, haze and low sun, but for two cases that CORINE decides: fields and pasture without
forest under a low sun, and boreal forest under snow. Both kinds of 20 m bands become chips of their
own, and so does the composite of a place with several dates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.dataset import Label, write_chips
from lulcmap.legend import CLASSES, NAMES, NODATA
from lulcmap.sensors import S1_NODATA
from recipes.real_land.corine import FORESTS, prior
from recipes.real_land.corrections import SNOW, TREES, without_bright_forest, without_false_snow
from recipes.real_land.labels import taught
from recipes.real_land.real_scenes import RealScene, real_scenes
from recipes.real_land.told import told
from recipes.real_land.usable import BLUE, MAX_SUN, clear, snowy

TILE_PX = 128
"""Largest side of a chip, pixels."""

MIN_KNOWN = 0.3
"""Share of a tile that must be labelled."""

WATER_SHARE, WATER_TILES = 0.95, 6
"""Of tiles with more water than this, one of so many is kept."""

SURE_MARGIN = 0.3
"""Margin between the two most likely classes from which a pixel counts in full."""

UNSURE_WEIGHT = 0.35
"""Weight of a pixel without any margin. Leaving such pixels out makes trees grow, since the teacher
is sure of trees and hardly ever of shrub."""

OUTSIDE_CORINE, OUTSIDE_CORINE_LOW_SUN = 0.3, 0.05
"""Factor of the classes that an image's labels exclude."""

LOW_SUN_LABEL, LOW_SUN_WEIGHT = 73.0, 0.6
"""Sun zenith up to which fields are labelled with CORINE's help, degrees; and their weight."""

SNOWY_SHARE = 0.4
"""Share of a scene under snow from which its forests are labelled by darkness."""

OPEN_SNOW_DN, DARK_FOREST_DN = 3000, 1400
"""Blue above which snowy ground is open, and below which it is forest, in a snowy scene."""

SNOW_FOREST_WEIGHT = 0.5


@dataclass(frozen=True)
class SoftLabel:
    """What is thought of each pixel of a scene."""

    probabilities: NDArray[np.float32]
    """(9, H, W); they sum to 1."""

    weight: NDArray[np.float32]
    """How much a pixel counts, 0 to 1, (H, W); 0 where nothing is thought of it."""

    @property
    def ids(self) -> NDArray[np.uint8]:
        """The most likely class, 255 where the weight is 0, (H, W)."""
        likeliest = self.probabilities.argmax(0)
        return np.where(self.weight > 0, likeliest, NODATA).astype(np.uint8)

    def percent(self) -> Label:
        """The label as it is written: whole percents."""
        ids = self.ids
        soft = np.rint(100 * self.probabilities).clip(0, 100).astype(np.uint8)
        soft[:, ids == NODATA] = 0
        weight = np.rint(100 * self.weight).clip(0, 100).astype(np.uint8)
        return Label(ids, probabilities=soft, weight=weight)


def label_place(scenes: Sequence[RealScene], labels: Path) -> list[SoftLabel]:
    """The labels of one place's scenes: the teacher's mean over those it can be asked about."""
    asked = [scene.sky.sun_zenith <= MAX_SUN for scene in scenes]
    usable = np.stack([clear(scene) for scene in scenes])
    taken = [without_false_snow(scene, taught(labels, scene)) for scene in scenes]
    seen = [probabilities for probabilities, _ in taken]
    usable = usable * np.stack([share for _, share in taken])
    counts = np.sum([ok * use for ok, use in zip(usable, asked, strict=True)], 0)
    total = np.sum([p * ok * use for p, ok, use in zip(seen, usable, asked, strict=True)], 0)
    mean = total / np.maximum(counts, 1e-6)
    found = []
    for scene, own, ok, is_asked in zip(scenes, seen, usable, asked, strict=True):
        probabilities = without_bright_forest(scene, mean) if is_asked else own
        label = _with_corine(scene, probabilities, ok, is_asked=is_asked)
        found.append(_as_told(label, told(scene)))
    return found


def _with_corine(
    scene: RealScene,
    probabilities: NDArray[np.float32],
    usable: NDArray[np.float32],
    *,
    is_asked: bool,
) -> SoftLabel:
    """A scene's label, corrected by CORINE's classes of the image where there are some."""
    if scene.corine and (snowy(scene.s2) & (scene.s2[BLUE] > DARK_FOREST_DN)).mean() > SNOWY_SHARE:
        return _under_snow(scene)
    others, strength = OUTSIDE_CORINE, 1.0
    if not is_asked:
        others, strength = OUTSIDE_CORINE_LOW_SUN, LOW_SUN_WEIGHT * _is_plain(scene)
    if scene.corine:
        probabilities = probabilities * prior(scene.corine, others=others)
        probabilities = probabilities / np.maximum(probabilities.sum(0), 1e-6)
    return SoftLabel(probabilities, weight_of(probabilities) * usable * np.float32(strength))


def _as_told(label: SoftLabel, ids: NDArray[np.uint8]) -> SoftLabel:
    """A label with what is told by eye instead of the teacher's opinion."""
    known = ids != NODATA
    certain = ids == np.arange(len(NAMES), dtype=np.uint8)[:, None, None]
    probabilities = np.where(known, certain.astype(np.float32), label.probabilities)
    return SoftLabel(probabilities, np.where(known, np.float32(1), label.weight))


def _is_plain(scene: RealScene) -> bool:
    """Whether CORINE tells the classes of a scene under a low sun: there is no forest in it."""
    wooded = {*FORESTS, "Transitional woodland, shrub", "Agro-forestry areas"}
    is_low = scene.sky.sun_zenith > LOW_SUN_LABEL
    return bool(scene.corine) and not is_low and not wooded & set(scene.corine)


def _under_snow(scene: RealScene) -> SoftLabel:
    """Boreal land under snow: dark is forest if there is forest, bright is open snow."""
    blue, has_forest = scene.s2[BLUE], bool({*FORESTS} & set(scene.corine))
    probabilities = np.zeros((len(NAMES), *blue.shape), np.float32)
    probabilities[SNOW] = blue > OPEN_SNOW_DN
    probabilities[TREES] = (blue > 0) & (blue < DARK_FOREST_DN) & has_forest
    return SoftLabel(probabilities, probabilities.sum(0) * np.float32(SNOW_FOREST_WEIGHT))


def weight_of(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weight (H, W) by the margin between the two most likely classes of (9, H, W)."""
    ordered = np.sort(probabilities, 0)
    margin = (ordered[-1] - ordered[-2]) / SURE_MARGIN
    weight: NDArray[np.float32] = UNSURE_WEIGHT + (1 - UNSURE_WEIGHT) * margin.clip(0, 1)
    return weight


@dataclass(frozen=True)
class LabelledTile:
    """A tile of a labelled scene."""

    name: str
    """Name of the scene, the tile, and the kind of its 20 m bands."""

    scene: RealScene
    """The tile's pixels."""

    label: SoftLabel
    """The tile's label."""


def labelled_tiles(data: Path, labels: Path) -> Iterator[LabelledTile]:
    """The tiles of all scenes that train."""
    by_place: dict[str, list[RealScene]] = {}
    for scene in real_scenes(data, use="train"):
        by_place.setdefault(scene.place.place, []).append(scene)
    for scenes in by_place.values():
        of_scenes = label_place(scenes, labels)
        for scene, label in zip(scenes, of_scenes, strict=True):
            yield from _tiles(scene, label, "near")
            if (scene.s2 != scene.s2_smooth).any():
                yield from _tiles(replace(scene, s2=scene.s2_smooth), label, "smooth")
        if len(scenes) > 1:
            yield from _tiles(composite(scenes), of_scenes[0], "composite")


def composite(scenes: Sequence[RealScene]) -> RealScene:
    """The median of a place's scenes, and the mean of their radar's decibels."""
    dark = np.iinfo(np.uint16).max
    seen = np.stack([np.where(scene.s2 > 0, scene.s2, dark) for scene in scenes])
    s2 = np.where((seen == dark).all(0), 0, np.quantile(seen, 0.5, axis=0, method="lower"))
    radar = np.stack([np.where(one.s1 == S1_NODATA, np.nan, one.s1) for one in scenes])
    known = np.isfinite(radar).any(0)
    counts = np.maximum(np.isfinite(radar).sum(0), 1)
    s1 = np.where(known, np.nansum(radar, 0) / counts, S1_NODATA)
    return replace(scenes[0], s2=s2.astype(np.uint16), s1=np.rint(s1).astype(np.int16))


def _tiles(scene: RealScene, label: SoftLabel, kind: str) -> Iterator[LabelledTile]:
    height, width = scene.s2.shape[1:]
    waters = 0
    for top in _starts(height):
        for left in _starts(width):
            where = np.s_[..., top : top + TILE_PX, left : left + TILE_PX]
            of_tile = SoftLabel(label.probabilities[where], label.weight[where])
            ids = of_tile.ids
            if (ids != NODATA).mean() < MIN_KNOWN:
                continue
            if (ids == 0).mean() > WATER_SHARE:
                waters += 1
                if waters % WATER_TILES != 1:
                    continue
            part = replace(scene, s2=scene.s2[where], s1=scene.s1[where])
            yield LabelledTile(f"{scene.name}-{top:04d}-{left:04d}-{kind}", part, of_tile)


def _starts(length: int) -> list[int]:
    """Starts of tiles that cover a length, the last at its end."""
    count = -(-length // TILE_PX)
    if count == 1:
        return [0]
    return [round(i * (length - TILE_PX) / (count - 1)) for i in range(count)]


def build_labelled(data: Path, labels: Path, out: Path) -> None:
    """Write the chips as a dataset for ``lulcmap train``; resume one that was interrupted.

    Args:
        data: folder of the data.
        labels: folder of ``python -m recipes.real_land.labels``, complete.
        out: folder of the dataset.

    """
    settings: dict[str, Any] = {
        "scenes": "real, labelled by Dynamic World's network",
        "sure_margin": SURE_MARGIN,
        "unsure_weight": UNSURE_WEIGHT,
        "outside_corine": [OUTSIDE_CORINE, OUTSIDE_CORINE_LOW_SUN],
        "tile": TILE_PX,
    }
    with write_chips(out, CLASSES, settings=settings) as chips:
        for tile in labelled_tiles(data, labels):
            if not chips.keep(tile.name):
                scene, label = tile.scene, tile.label.percent()
                chips.add(
                    tile.name,
                    s2=np.ascontiguousarray(scene.s2),
                    s1=np.ascontiguousarray(scene.s1),
                    label=label.ids,
                    probabilities=label.probabilities,
                    weight=label.weight,
                    day=scene.day.date(),
                    lon=scene.lon,
                    lat=scene.lat,
                    place=scene.place.place,
                    source=scene.name,
                )
