"""Images whose classes are known, wholly or in part, and how right a map of them is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from lulcmap.evaluation import Reliability
from lulcmap.legend import NAMES, NODATA
from lulcmap.sensors import S1_NODATA, S2_NODATA
from recipes.real_land.atmosphere import Sky
from recipes.real_land.corine import share_found


@dataclass(frozen=True)
class View:
    """What a model is shown."""

    s2: NDArray[np.uint16]
    """Sentinel-2, DN without offset, 0 nodata, (9, H, W)."""

    s1: NDArray[np.int16]
    """Sentinel-1, hundredths of a decibel, -32768 nodata, (2, H, W)."""

    sky: Sky
    """Sun, for models that ask for it."""

    @property
    def has_radar(self) -> bool:
        """Whether Sentinel-1 saw any of it."""
        return bool((self.s1 != S1_NODATA).any())

    def without(self, sensor: str | None) -> "View":
        """The view without ``"s1"`` or ``"s2"``; all of it for None."""
        if sensor == "s1":
            return replace(self, s1=np.full_like(self.s1, S1_NODATA))
        if sensor == "s2":
            return replace(self, s2=np.full_like(self.s2, S2_NODATA))
        return self


Model = Callable[[View], tuple[NDArray[np.uint8], NDArray[np.float32]]]
"""From a view to class ids (H, W), 255 for none, and the probability of each, (H, W)."""


@dataclass(frozen=True)
class Judged:
    """A view and what is known of its classes."""

    name: str
    """Name of the scene."""

    view: View
    """What a model is shown."""

    kind: NDArray[np.uint8]
    """Kind of each pixel, an index of ``kinds``, 255 unknown, (H, W)."""

    kinds: Sequence[tuple[str, tuple[int, ...]]]
    """Name of each kind, and the ids of the classes that are right there."""

    corine: tuple[str, ...] = ()
    """CORINE's classes of the image, whose presence is looked for too; usually none."""


@dataclass(frozen=True)
class Score:
    """How right a model is on one image."""

    right: Mapping[str, int]
    """Right pixels of each kind."""

    pixels: Mapping[str, int]
    """Pixels of each kind."""

    reliability: Reliability
    """Confidence against truth."""

    found: float | None = None
    """Share of CORINE's classes that the map has."""

    @property
    def share(self) -> float:
        """Share of the pixels that are right; halfway to ``found`` where there is one."""
        share = sum(self.right.values()) / max(1, sum(self.pixels.values()))
        return share if self.found is None else (share + self.found) / 2


def sampled(judged: Judged, count: int) -> Judged:
    """Some of an image's known pixels as an image of one row, for models of single pixels."""
    known = np.flatnonzero(judged.kind.ravel() != NODATA)
    if len(known) > count:
        known = np.random.default_rng(0).choice(known, count, replace=False)
    s2, s1 = (
        planes.reshape(len(planes), 1, -1)[..., known]
        for planes in (judged.view.s2, judged.view.s1)
    )
    view = replace(judged.view, s2=s2, s1=s1)
    return replace(judged, view=view, kind=judged.kind.reshape(1, -1)[:, known])


def judge(model: Model, judged: Judged, *, without: str | None = None) -> Score:
    """Show an image to a model, perhaps without a sensor, and count what is right."""
    ids, confidence = model(judged.view.without(without))
    known = judged.kind != NODATA
    allowed = np.zeros((len(judged.kinds), 256), np.bool_)
    for number, (_, of_kind) in enumerate(judged.kinds):
        allowed[number, list(of_kind)] = True
    kind, correct = judged.kind[known], allowed[judged.kind[known], ids[known]]
    pixels = np.bincount(kind, minlength=len(judged.kinds))
    right = np.bincount(kind[correct], minlength=len(judged.kinds))
    names = [name for name, _ in judged.kinds]
    return Score(
        {name: int(n) for name, n, of in zip(names, right, pixels, strict=True) if of},
        {name: int(of) for name, of in zip(names, pixels, strict=True) if of},
        Reliability.of(confidence[known], correct),
        share_found(ids, judged.corine) if judged.corine else None,
    )


@dataclass(frozen=True)
class Summary:
    """Scores of one suite of images."""

    scenes: Mapping[str, float]
    """Share right in each image, or in each class of points."""

    kinds: Mapping[str, float]
    """Share right of each kind, all images' pixels together."""

    by_kind: float
    """Mean over the images of the mean over their kinds."""

    reliability: Reliability = field(repr=False)
    """Confidence against truth, images alike as far as they have as many pixels."""

    @property
    def mean(self) -> float:
        """Mean over the images."""
        return float(np.mean(list(self.scenes.values())))


def summarise(scores: Mapping[str, Score]) -> Summary:
    """Put the scores of a suite's images together."""
    right: dict[str, int] = {}
    pixels: dict[str, int] = {}
    reliability = Reliability.empty()
    by_kind = []
    for score in scores.values():
        reliability += score.reliability
        by_kind.append(np.mean([score.right[name] / score.pixels[name] for name in score.pixels]))
        for name in score.pixels:
            right[name] = right.get(name, 0) + score.right[name]
            pixels[name] = pixels.get(name, 0) + score.pixels[name]
    return Summary(
        {name: score.share for name, score in scores.items()},
        {name: right[name] / pixels[name] for name in sorted(pixels)},
        float(np.mean(by_kind)),
        reliability,
    )


def classes_as_kinds() -> list[tuple[str, tuple[int, ...]]]:
    """Every class of Dynamic World as a kind of its own."""
    return [(name, (number,)) for number, name in enumerate(NAMES)]
