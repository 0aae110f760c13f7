"""What adapting brings on real land: held-out halves of labelled scenes, held-out blocks of points.

    python -m recipes.real_land.adapted [--data ../shared/data] [--model NAME] [--draws 5]

Of each labelled scene one half gives 150 labels, and the other, 320 m away, judges; then the other
way round. Of Lesotho's points 300 give labels and those of the held-out blocks judge; a point is an
even square of its spectrum, without land around it. Only the head is fitted, as ``lulcmap adapt``
fits it, and written nowhere. Every row is printed, better or worse.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from lulcmap.adaptation import Labels, SeenLabels, fitted_head
from lulcmap.legend import NAMES
from lulcmap.model import FeatureNetwork, at_pixels, find_model, open_features
from lulcmap.sensors import S1_BANDS, S1_NODATA
from recipes.real_land.regional_points import load_lesotho
from recipes.real_land.samples import nan_median
from recipes.real_land.scenes import labelled_scenes

SCENE_LABELS, POINT_LABELS = 150, 300

GAP_PX = 16
"""Pixels on either side of the middle that belong to neither half."""

ESRI = {1: "water", 2: "trees", 4: "crops", 5: "built", 7: "snow_and_ice", 9: "grass"}
"""Classes of the scenes' codes; 9, rangeland, is grass or shrub."""

ALIKE = np.array([NAMES.index("grass" if name == "shrub_and_scrub" else name) for name in NAMES])
"""Class that each counts as, where a label does not tell grass from shrub."""

POINT_PX = 32


@dataclass(frozen=True)
class Split:
    """Labels to learn from, and pixels to judge by."""

    name: str
    learn: NDArray[np.float64]
    """(n, D) features of the labels."""
    truth: NDArray[np.intp]
    """(n,) their classes."""
    near: NDArray[np.float64]
    """(n, 2) where they lie, kilometres: labels of a square are one place."""
    judge: NDArray[np.float64]
    """(m, D) features of what judges."""
    answer: NDArray[np.intp]
    """(m,) its classes."""
    alike: NDArray[np.intp]
    """(9,) class that each class counts as."""


def scene_splits(network: FeatureNetwork, data: Path, seed: int) -> Iterator[Split]:
    """Both halves of each labelled scene."""
    codes = {code: NAMES.index(name) for code, name in ESRI.items()}
    for scene in labelled_scenes(data / "archive"):
        width = scene.label.shape[1]
        cells = network.features(scene.s2, scene.s1)
        rows, cols = np.indices(scene.label.shape)
        values = at_pixels(cells, rows.ravel(), cols.ravel(), stride=network.contract.stride)
        truth = np.array([codes.get(code, 255) for code in range(256)])[scene.label].ravel()
        half = width // 2
        for name, own in (("west", cols < half - GAP_PX), ("east", cols >= half + GAP_PX)):
            other = (cols >= half + GAP_PX) if name == "west" else (cols < half - GAP_PX)
            known = truth != 255
            pool = np.flatnonzero(own.ravel() & known)
            chosen = np.random.default_rng(seed).choice(pool, SCENE_LABELS, replace=False)
            judged = np.flatnonzero(other.ravel() & known)
            place = np.stack([cols.ravel()[chosen], rows.ravel()[chosen]], axis=1) / 100
            yield Split(
                f"{scene.name}, {name} half labelled",
                *(values[chosen], truth[chosen], place, values[judged], truth[judged], ALIKE),
            )


def lesotho_split(network: FeatureNetwork, data: Path, seed: int) -> Split:
    """Lesotho's points outside and inside the held-out blocks."""
    points = load_lesotho(data / "points")
    points = points[points.seen.any(1)]
    spectra = nan_median(points.s2)
    s1 = np.full((len(S1_BANDS), POINT_PX, POINT_PX), S1_NODATA, np.int16)
    middle = np.array([POINT_PX // 2])
    chosen = np.random.default_rng(seed).choice(
        np.flatnonzero(~points.held_out), POINT_LABELS, replace=False
    )
    judged = np.flatnonzero(points.held_out)

    def features(numbers: NDArray[np.intp]) -> NDArray[np.float64]:
        found = []
        for spectrum in spectra[numbers]:
            square = np.rint(spectrum).clip(1, 65535).astype(np.uint16)[:, None, None]
            even = np.broadcast_to(square, (len(spectrum), POINT_PX, POINT_PX))
            cells = network.features(np.ascontiguousarray(even), s1)
            found.append(at_pixels(cells, middle, middle, stride=network.contract.stride)[0])
        return np.array(found)

    apart = np.stack([5.0 * np.arange(len(chosen)), np.zeros(len(chosen))], axis=1)
    return Split(
        "Lesotho, held-out blocks",
        *(features(chosen), points.label[chosen].astype(np.intp), apart),
        *(features(judged), points.label[judged].astype(np.intp), np.arange(len(NAMES))),
    )


def judge(network: FeatureNetwork, split: Split) -> tuple[float, float]:
    """Share of what judges that is right, before and after."""
    n = len(split.truth)
    shapes = shapely.points(split.near / 111.32)
    names = np.array(NAMES)[split.truth]
    labels = Labels(Path(split.name), np.asarray(shapes), names, np.ones(n), is_random=False)
    seen = SeenLabels(split.learn, np.arange(n), n, np.zeros((n, 3), np.intp))
    adapted = fitted_head(network, labels, seen, np.arange(n))
    order = np.array([NAMES.index(name) for name in network.contract.classes])
    before, after = (
        split.alike[order[head.logits(split.judge).argmax(1)]] == split.alike[split.answer]
        for head in (network.head, adapted)
    )
    return float(before.mean()), float(after.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", default="lulcformer-tiny-real")
    parser.add_argument("--draws", type=int, default=5)
    options = parser.parse_args()

    network = open_features(find_model(options.model))
    rows: dict[str, list[tuple[float, float]]] = {}
    for seed in range(options.draws):
        for split in scene_splits(network, options.data, seed):
            rows.setdefault(split.name, []).append(judge(network, split))
        split = lesotho_split(network, options.data, seed)
        rows.setdefault(split.name, []).append(judge(network, split))
    print("| held out | before | after | each draw |\n| --- | --- | --- | --- |")
    for name, pairs in rows.items():
        before, after = np.mean(pairs, axis=0)
        each = ", ".join(f"{100 * (second - first):+.1f}" for first, second in pairs)
        print(f"| {name} | {before:.1%} | {after:.1%} | {each} |", flush=True)


if __name__ == "__main__":
    main()
