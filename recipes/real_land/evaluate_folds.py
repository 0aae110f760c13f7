r"""What a model is worth on places it has not seen, beside a random forest of the same samples.

    python -m recipes.real_land.evaluate_folds MODEL... --data ../shared/data \
        --dataset RUN_FOLDER/fold-0/dataset

MODEL is an ONNX file, measured by the code that makes maps, or a checkpoint. Several are seeds of
one recipe: their mean and spread are told too. What is measured:

- *patches*: every held-out sample as a small scene of nothing else, one month and the year's
  median; the forest is fitted to the samples to learn from, months and years alike.
- *landscapes*: the test split of the fold's dataset, made of held-out samples.
- *validation patches*, *validation landscapes*: the same of the samples of another fold, held out
  too, that the recipe was chosen by.
- *interpreted*: parts of other scenes whose cover was told by eye (``interpreted.csv``): the mean
  over what is there, each kind as much as any other, and the share of their pixels, each scene as
  much as any other. They are the most obvious parts.
- *scenes*: the labelled scenes of the archive. Rangeland there is grass or shrub. Beside each is
  what naming the commonest class everywhere would give. No choice may be made by one of them.
- either sensor taken away, of landscapes and scenes.
- *disturbed*: the landscapes as real data may bring them (``DISTURBED``), for the first MODEL.

Without ``--dataset`` only the scenes are: all that is left to measure a model on that held no fold
out.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from lulcmap.dataset import Dataset
from lulcmap.evaluation import accuracy, confusion, load_crosswalk, mean_f1, onnx_predictor_of
from lulcmap.legend import CLASSES, NAMES, NODATA
from lulcmap.sensors import S1_NODATA, S2_NODATA
from recipes.real_land import points as real
from recipes.real_land.samples import N_OPTICAL, fill_missing_radar, nan_median
from recipes.real_land.scenes import (
    InterpretedScene,
    LabelledScene,
    interpreted_scenes,
    labelled_scenes,
)

Predict = Callable[[NDArray[np.uint16], NDArray[np.int16]], NDArray[np.uint8]]
"""(9, H, W) and (2, H, W) to ids (H, W)."""

Disturb = Callable[[NDArray[np.uint16], NDArray[np.int16]], tuple[NDArray[Any], NDArray[Any]]]
"""From what a model is shown to what it is shown instead."""

SINGLE_SENSOR = {"Sentinel-2 only": "s1", "Sentinel-1 only": "s2"}
"""As ``lulcmap evaluate`` names them, and which sensor is taken away."""

SCENES_CROSSWALK = Path(__file__).parent / "scenes.csv"
"""Crosswalk of the labelled scenes: Esri's classes, but numbered without gaps, so that
``--crosswalk esri`` misreads them; clouds (8) count as unknown."""

PATCH_PX = 64
"""Pixels a side of a scene that is one sample."""

FOREST_PIXELS = 400
"""Of each landscape that the forest is asked about."""

N_TREES = 200

LANDSCAPE_SPLITS = {"landscapes": "test", "validation landscapes": "validation"}
"""Splits of the dataset."""

KINDS = ("patches", "validation patches", *LANDSCAPE_SPLITS)
"""What models are measured on that did not learn from it."""

FOREST = "random forest"
"""Its name in what is written."""


def spectra_of(points: real.Points) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Samples (N, 11) and their classes (N,): clear months, yearly medians, months under snow.

    Canadian places are left out: most samples are of its fields, and figures would be of Canada.
    """
    chosen = points[points.weight == 1]
    seen = np.isfinite(chosen.clear[:, :, 0])
    place, month = np.nonzero(seen)
    there = np.flatnonzero(seen.any(1))
    snow = chosen.snowy[np.isfinite(chosen.snowy[:, :, 0])]
    spectra = np.concatenate([chosen.clear[place, month], nan_median(chosen.clear[there]), snow])
    under = np.full(len(snow), real.SNOW, np.uint8)
    label = np.concatenate([chosen.label[place], chosen.label[there], under])
    return fill_missing_radar(spectra, label.astype(np.intp)), label


def forest_of(points: real.Points, *, seed: int = 0) -> Predict:
    """A random forest of single pixels, fitted to the samples that networks learn from."""
    spectra, label = spectra_of(points)
    forest = RandomForestClassifier(
        N_TREES, min_samples_leaf=2, max_features="sqrt", n_jobs=1, random_state=seed
    ).fit(spectra, label)

    def predict(s2: NDArray[np.uint16], s1: NDArray[np.int16]) -> NDArray[np.uint8]:
        planes = np.concatenate([s2.astype(np.float32), s1.astype(np.float32) / 100])
        ids: NDArray[np.uint8] = forest.predict(planes.reshape(len(planes), -1).T)
        return ids.reshape(s2.shape[1:])

    return predict


HAZE = np.array([400, 290, 200, 160, 130, 110, 100, 30, 15], np.float32)
"""DN that a thin haze adds to each band, about as Rayleigh's scattering falls off."""


def _relight(s2: NDArray[Any], add: NDArray[np.float32] | float, times: float = 1) -> NDArray[Any]:
    return np.rint(s2 * times + np.reshape(add, (-1, 1, 1))).clip(1, 65535).astype(s2.dtype)


def _shift_half_pixel(image: NDArray[Any]) -> NDArray[Any]:
    """Between four pixels, as bilinear resampling leaves the worst of them."""
    edged = np.pad(image.astype(np.float32), ((0, 0), (0, 1), (0, 1)), mode="edge")
    rows = edged[:, :-1] + edged[:, 1:]
    return np.rint((rows[..., :-1] + rows[..., 1:]) / 4).astype(image.dtype)


DISTURBED: Mapping[str, Disturb] = {
    "a fifth darker": lambda s2, s1: (_relight(s2, 0, 0.8), s1),
    "a quarter brighter": lambda s2, s1: (_relight(s2, 0, 1.25), s1),
    "hazy": lambda s2, s1: (_relight(s2, HAZE), s1),
    "haze taken away too much": lambda s2, s1: (_relight(s2, np.float32(-0.5) * HAZE), s1),
    "radar 1.2 dB higher (gamma for sigma nought)": lambda s2, s1: (s2, s1 + np.int16(120)),
    "optical grid half a pixel off": lambda s2, s1: (_shift_half_pixel(s2), s1),
    "radar two pixels off": lambda s2, s1: (s2, np.roll(s1, (2, 2), (1, 2))),
}
"""What is done to a landscape: (9, H, W) DN and (2, H, W) hundredths of a decibel, without gaps."""


def disturb(predict: Predict, by: Disturb) -> Predict:
    """A model that is shown everything disturbed."""
    return lambda s2, s1: predict(*by(s2, s1))


def model_of(path: Path) -> Predict:
    """A model file through the code that makes maps, or a checkpoint through torch."""
    if path.suffix == ".onnx":
        shipped, contract = onnx_predictor_of(path, "cpu")
    else:
        from lulcmap.training import checkpoint_predictor

        shipped, contract = checkpoint_predictor(path, "cpu")
    if contract.classes != NAMES:
        raise SystemExit(f"{path} has other classes than Dynamic World.")
    return lambda s2, s1: shipped(s2, s1)[0]


def without_sensor(predict: Predict, sensor: str) -> Predict:
    """The same with a sensor taken away."""

    def blind(s2: NDArray[np.uint16], s1: NDArray[np.int16]) -> NDArray[np.uint8]:
        if sensor == "s2":
            return predict(np.full_like(s2, S2_NODATA), s1)
        return predict(s2, np.full_like(s1, S1_NODATA))

    return blind


def on_patches(predict: Predict, points: real.Points, *, side: int = PATCH_PX) -> NDArray[np.int64]:
    """The confusion matrix on held-out samples, each a scene of its own."""
    matrix = np.zeros((len(NAMES), len(NAMES)), np.int64)
    for spectrum, label in zip(*spectra_of(points), strict=True):
        s2 = np.rint(spectrum[:N_OPTICAL]).clip(1, 65535).astype(np.uint16)
        s1 = np.rint(100 * spectrum[N_OPTICAL:]).astype(np.int16)
        shown = (np.broadcast_to(x[:, None, None], (len(x), side, side)).copy() for x in (s2, s1))
        given = predict(*shown)[side // 2, side // 2]
        matrix[label, given] += 1
    return matrix


def on_landscapes(
    predict: Predict, dataset: Dataset, *, split: str = "test", pixels: int | None = None
) -> NDArray[np.int64]:
    """The confusion matrix on a split, of all pixels or of some of each landscape."""
    matrix = np.zeros((len(NAMES), len(NAMES)), np.int64)
    rng = np.random.default_rng(0)
    for chip in dataset.split(split):
        s2, s1, label = dataset.read(chip)
        if pixels is not None:
            place = rng.choice(label.size, pixels, replace=False)
            s2 = s2.reshape(len(s2), 1, -1)[..., place]
            s1 = s1.reshape(len(s1), 1, -1)[..., place]
            label = label.reshape(1, -1)[:, place]
        matrix += confusion(label, predict(s2, s1))
    return matrix


def on_scene(predict: Predict, scene: LabelledScene) -> dict[str, float]:
    """Agreement with a labelled scene, and the share of its commonest class."""
    walk = load_crosswalk(str(SCENES_CROSSWALK), dict(enumerate(NAMES)))
    truth = walk.of_codes(scene.label)
    there = (truth != NODATA) & (scene.s2 > 0).all(0)
    given = walk.values[predict(scene.s2, scene.s1)]
    commonest = np.bincount(truth[there]).max() / there.sum()
    return {
        "agreement": float((given == truth)[there].mean()),
        "commonest": float(commonest),
    }


def on_interpreted(predict: Predict, scene: InterpretedScene) -> tuple[dict[str, float], float]:
    """The share that is right of each kind of cover told by eye, and of all pixels told."""
    given = predict(scene.s2, scene.s1)
    right: dict[str, list[NDArray[np.bool_]]] = {}
    for names, where in scene.parts:
        ids = [NAMES.index(name) for name in names]
        right.setdefault(" or ".join(names), []).append(np.isin(given[where], ids).ravel())
    kinds = {kind: np.concatenate(parts) for kind, parts in right.items()}
    of_all = float(np.concatenate([*kinds.values()]).mean())
    return {kind: float(parts.mean()) for kind, parts in kinds.items()}, of_all


def scores(matrix: NDArray[np.int64]) -> dict[str, Any]:
    """Accuracy, macro F1 over the classes that are there, F1 of each, and the matrix."""
    right = np.diag(matrix)
    of_class = 2 * right / np.maximum(matrix.sum(0) + matrix.sum(1), 1)
    return {
        "accuracy": accuracy(matrix),
        "macro_f1": mean_f1(matrix),
        "f1": {cover.name: round(float(of_class[cover.id]), 4) for cover in CLASSES},
        "confusion": matrix.tolist(),
    }


def figures(
    predict: Predict,
    *,
    scenes: Sequence[LabelledScene],
    told: Sequence[InterpretedScene] = (),
    points: Mapping[str, real.Points] = MappingProxyType({}),
    dataset: Dataset | None = None,
    pixels: int | None = None,
    side: int = PATCH_PX,
) -> dict[str, Any]:
    """What is measured of one model with the sensors it is shown; ``points`` by their kind."""
    found: dict[str, Any] = {
        kind: scores(on_patches(predict, chosen, side=side)) for kind, chosen in points.items()
    }
    if dataset is not None:
        found["fold"] = dataset.settings["fold"]
        found |= {
            kind: scores(on_landscapes(predict, dataset, split=split, pixels=pixels))
            for kind, split in LANDSCAPE_SPLITS.items()
        }
    found["scenes"] = {scene.name: on_scene(predict, scene) for scene in scenes}
    seen = {scene.name: on_interpreted(predict, scene) for scene in told}
    found["interpreted"] = {name: kinds for name, (kinds, _) in seen.items()}
    found["interpreted pixels"] = {name: of_all for name, (_, of_all) in seen.items()}
    return found


def all_figures(predict: Predict, *, disturb: bool, **on: Any) -> dict[str, Any]:
    """``figures`` of both sensors, of each without the other, and perhaps of what is disturbed."""
    found = figures(predict, **on)
    images = {name: value for name, value in on.items() if name != "points"}
    for name, sensor in SINGLE_SENSOR.items():
        found[name] = figures(without_sensor(predict, sensor), **images)
    if disturb and "dataset" in on:
        found["disturbed"] = {
            name: scores(on_landscapes(disturb(predict, by), on["dataset"]))
            for name, by in DISTURBED.items()
        }
    return found


def interpreted_mean(found: Mapping[str, Mapping[str, float]]) -> float:
    """The mean over interpreted scenes of the mean over what is there."""
    return float(np.mean([np.mean(list(kinds.values())) for kinds in found.values()]))


def lines_of(name: str, found: Mapping[str, Any]) -> list[str]:
    """One line a set of sensors."""
    lines = []
    for what, part in (
        ("", found),
        *((alone, found[alone]) for alone in SINGLE_SENSOR if alone in found),
    ):
        words = [
            f"{kind} {part[kind]['accuracy']:.3f} / {part[kind]['macro_f1']:.3f}"
            for kind in KINDS
            if kind in part
        ]
        words += [
            f"{scene} {one['agreement']:.3f} (commonest {one['commonest']:.3f})"
            for scene, one in part["scenes"].items()
        ]
        if part["interpreted"]:
            pixels = np.mean(list(part["interpreted pixels"].values()))
            eye = interpreted_mean(part["interpreted"])
            words.append(f"told by eye {eye:.3f}, of its pixels {pixels:.3f}")
        lines.append(f"{name}{', ' if what else ''}{what}: {'; '.join(words)}")
    return lines


def main() -> None:
    """Measure, tell, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="with points/ and archive/")
    parser.add_argument("--dataset", type=Path, help="of the fold that was held out")
    parser.add_argument("--out", type=Path, help="JSON to write")
    options = parser.parse_args()

    held: dict[str, Any] = {}
    archive = options.data / "archive"
    on: dict[str, Any] = {"scenes": labelled_scenes(archive), "told": interpreted_scenes(archive)}
    if options.dataset is not None:
        dataset = Dataset.open(options.dataset)
        parts = real.split_points(
            real.load_points(options.data / "points"), int(dataset.settings["fold"])
        )
        points = {"patches": parts["test"], "validation patches": parts["validation"]}
        held = {"points": points, "dataset": dataset}
    written: dict[str, Any] = {}
    for path in options.models:
        found = all_figures(model_of(path), disturb=not written, **on, **held)
        written[str(path)] = found
        print(*lines_of(path.name, found), sep="\n", flush=True)
    if held:
        forest = figures(forest_of(parts["train"]), **on, **held, pixels=FOREST_PIXELS, side=1)
        written[FOREST] = forest
        print(*lines_of(FOREST, forest), sep="\n")
        _print_spread([written[str(path)] for path in options.models])
    if options.out is not None:
        options.out.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def _print_spread(seeds: Sequence[Mapping[str, Any]]) -> None:
    if len(seeds) < 2:
        return
    for kind in KINDS:
        for score in ("accuracy", "macro_f1"):
            values = [found[kind][score] for found in seeds]
            print(f"{kind}, {score}: {np.mean(values):.3f} +- {np.std(values, ddof=1):.3f}")


if __name__ == "__main__":
    main()
