r"""Evaluate models on places they were not trained on, beside a random forest of the same samples.

    python -m recipes.real_land.evaluate_folds MODEL... --data ../shared/data \
        --dataset RUN_FOLDER/fold-0/dataset

MODEL is an ONNX file, run by the code that makes maps, or a checkpoint. Several are taken as seeds
of one recipe; their mean and spread are printed too. They are measured on:

- *patches*: every held-out sample as a small scene of its own, each month and the year's median;
  the forest is fitted to the training samples, months and years alike.
- *landscapes*: the test split of the fold's dataset, made of held-out samples.
- *validation patches*, *validation landscapes*: the same with the samples of another held-out fold,
  which the recipe was chosen by.
- *interpreted*: parts of other scenes whose cover is plain to see (``interpreted.csv``): the mean
  over the kinds of cover, all equal, and the share of the pixels, all scenes equal. They are the
  most obvious parts.
- *scenes*: the labelled scenes of the archive. Rangeland there is grass or shrub. The share of each
  scene's commonest class is given for comparison. No choice may be made by one of them.
- landscapes and scenes without either sensor.
- *disturbed*: the landscapes with the flaws of real data (``DISTURBED``), for the first MODEL.

Without ``--dataset`` only the scenes are used: nothing else is left for a model that held no fold
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
from lulcmap.evaluation import accuracy, confusion, load_crosswalk, mean_f1, open_onnx_predictor
from lulcmap.legend import CLASSES, NAMES, NODATA
from lulcmap.sensors import S1_NODATA, S2_NODATA
from recipes.real_land import points as real
from recipes.real_land.dataset import held_out_fold
from recipes.real_land.samples import N_OPTICAL, fill_missing_radar, nan_median
from recipes.real_land.scenes import (
    InterpretedScene,
    LabelledScene,
    interpreted_scenes,
    labelled_scenes,
)

Predict = Callable[[NDArray[np.uint16], NDArray[np.int16]], NDArray[np.uint8]]
"""From composites (9, H, W) and (2, H, W) to class ids (H, W)."""

Disturb = Callable[[NDArray[np.uint16], NDArray[np.int16]], tuple[NDArray[Any], NDArray[Any]]]
"""From composites to the disturbed composites."""

SINGLE_SENSOR = {"Sentinel-2 only": "s1", "Sentinel-1 only": "s2"}
"""Cases with one sensor, named as by ``lulcmap evaluate``, and the sensor that is removed."""

SCENES_CROSSWALK = Path(__file__).parent / "scenes.csv"
"""Crosswalk of the labelled scenes: Esri's classes, but numbered without gaps, so ``--crosswalk
esri`` would misread them; clouds (8) count as unknown."""

PATCH_PX = 64
"""Side of a patch, pixels."""

FOREST_PIXELS = 400
"""Pixels of each landscape that the forest classifies."""

N_TREES = 200
"""Trees of the forest."""

LANDSCAPE_SPLITS = {"landscapes": "test", "validation landscapes": "validation"}
"""Split of the dataset, by kind."""

KINDS = ("patches", "validation patches", *LANDSCAPE_SPLITS)
"""Kinds of held-out data."""

FOREST = "random forest"
"""Name of the forest in the output."""


def spectra_of(points: real.Points) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Samples (N, 11) and their classes (N,): clear months, yearly medians, months under snow.

    Canadian places are left out: most samples are Canadian fields and would dominate the scores.
    """
    places = points[points.weight == 1]
    is_clear = np.isfinite(places.clear[:, :, 0])
    place, month = np.nonzero(is_clear)
    ever_clear = np.flatnonzero(is_clear.any(1))
    snow = places.snowy[np.isfinite(places.snowy[:, :, 0])]
    spectra = np.concatenate(
        [places.clear[place, month], nan_median(places.clear[ever_clear]), snow]
    )
    snow_label = np.full(len(snow), real.SNOW, np.uint8)
    label = np.concatenate([places.label[place], places.label[ever_clear], snow_label])
    return fill_missing_radar(spectra, label.astype(np.intp)), label


def forest_of(points: real.Points, *, seed: int = 0) -> Predict:
    """A random forest of single pixels, fitted to the training samples."""
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
"""Thin haze in each band, DN, falling off about like Rayleigh scattering."""


def _relight(s2: NDArray[Any], add: NDArray[np.float32] | float, times: float = 1) -> NDArray[Any]:
    return np.rint(s2 * times + np.reshape(add, (-1, 1, 1))).clip(1, 65535).astype(s2.dtype)


def _shift_half_pixel(image: NDArray[Any]) -> NDArray[Any]:
    """Shift by half a pixel: the mean of four pixels, the worst case of bilinear resampling."""
    edged = np.pad(image.astype(np.float32), ((0, 0), (0, 1), (0, 1)), mode="edge")
    rows = edged[:, :-1] + edged[:, 1:]
    return np.rint((rows[..., :-1] + rows[..., 1:]) / 4).astype(image.dtype)


DISTURBED: Mapping[str, Disturb] = {
    "a fifth darker": lambda s2, s1: (_relight(s2, 0, 0.8), s1),
    "a quarter brighter": lambda s2, s1: (_relight(s2, 0, 1.25), s1),
    "hazy": lambda s2, s1: (_relight(s2, HAZE), s1),
    "haze over-corrected": lambda s2, s1: (_relight(s2, np.float32(-0.5) * HAZE), s1),
    "radar 1.2 dB higher (gamma for sigma nought)": lambda s2, s1: (s2, s1 + np.int16(120)),
    "optical grid half a pixel off": lambda s2, s1: (_shift_half_pixel(s2), s1),
    "radar two pixels off": lambda s2, s1: (s2, np.roll(s1, (2, 2), (1, 2))),
}
"""Disturbances of a landscape, (9, H, W) DN and (2, H, W) hundredths of a decibel, without gaps."""


def on_disturbed(predict: Predict, disturb: Disturb) -> Predict:
    """A model that sees disturbed composites."""
    return lambda s2, s1: predict(*disturb(s2, s1))


def model_of(path: Path) -> Predict:
    """Open a model file with the code that makes maps, or a checkpoint with torch."""
    if path.suffix == ".onnx":
        predictor, contract = open_onnx_predictor(path, "cpu")
    else:
        from lulcmap.training import checkpoint_predictor

        predictor, contract = checkpoint_predictor(path, "cpu")
    if contract.classes != NAMES:
        raise SystemExit(f"The classes of {path} are not those of Dynamic World.")
    return lambda s2, s1: predictor(s2, s1)[0]


def without_sensor(predict: Predict, sensor: str) -> Predict:
    """A model that sees composites without one sensor."""

    def blind(s2: NDArray[np.uint16], s1: NDArray[np.int16]) -> NDArray[np.uint8]:
        if sensor == "s2":
            return predict(np.full_like(s2, S2_NODATA), s1)
        return predict(s2, np.full_like(s1, S1_NODATA))

    return blind


def on_patches(predict: Predict, points: real.Points, *, side: int = PATCH_PX) -> NDArray[np.int64]:
    """Confusion matrix on held-out samples, each a scene of its own."""
    matrix = np.zeros((len(NAMES), len(NAMES)), np.int64)
    for spectrum, label in zip(*spectra_of(points), strict=True):
        s2 = np.rint(spectrum[:N_OPTICAL]).clip(1, 65535).astype(np.uint16)
        s1 = np.rint(100 * spectrum[N_OPTICAL:]).astype(np.int16)
        patch = (np.broadcast_to(x[:, None, None], (len(x), side, side)).copy() for x in (s2, s1))
        matrix[label, predict(*patch)[side // 2, side // 2]] += 1
    return matrix


def on_landscapes(
    predict: Predict, dataset: Dataset, *, split: str = "test", pixels: int | None = None
) -> NDArray[np.int64]:
    """Confusion matrix on a split, over all pixels or over some of each landscape."""
    matrix = np.zeros((len(NAMES), len(NAMES)), np.int64)
    rng = np.random.default_rng(0)
    for chip in dataset.split(split):
        seen = dataset.read(chip)
        s2, s1, label = seen.s2, seen.s1, seen.label
        if pixels is not None:
            place = rng.choice(label.size, pixels, replace=False)
            s2 = s2.reshape(len(s2), 1, -1)[..., place]
            s1 = s1.reshape(len(s1), 1, -1)[..., place]
            label = label.reshape(1, -1)[:, place]
        matrix += confusion(label, predict(s2, s1))
    return matrix


def on_scene(predict: Predict, scene: LabelledScene) -> dict[str, float]:
    """Agreement with a labelled scene, and the share of its commonest class."""
    crosswalk = load_crosswalk(str(SCENES_CROSSWALK), dict(enumerate(NAMES)))
    truth = crosswalk.of_codes(scene.label)
    has_truth = (truth != NODATA) & (scene.s2 > 0).all(0)
    predicted = crosswalk.values[predict(scene.s2, scene.s1)]
    commonest = np.bincount(truth[has_truth]).max() / has_truth.sum()
    return {
        "agreement": float((predicted == truth)[has_truth].mean()),
        "commonest": float(commonest),
    }


def on_interpreted(predict: Predict, scene: InterpretedScene) -> tuple[dict[str, float], float]:
    """Share of correct pixels in each kind of interpreted cover, and in all of it."""
    predicted = predict(scene.s2, scene.s1)
    correct: dict[str, list[NDArray[np.bool_]]] = {}
    for names, where in scene.parts:
        ids = [NAMES.index(name) for name in names]
        correct.setdefault(" or ".join(names), []).append(np.isin(predicted[where], ids).ravel())
    kinds = {kind: np.concatenate(parts) for kind, parts in correct.items()}
    overall = float(np.concatenate([*kinds.values()]).mean())
    return {kind: float(parts.mean()) for kind, parts in kinds.items()}, overall


def scores(matrix: NDArray[np.int64]) -> dict[str, Any]:
    """Accuracy, macro F1 over the classes that occur, F1 of each class, and the matrix."""
    correct = np.diag(matrix)
    f1 = 2 * correct / np.maximum(matrix.sum(0) + matrix.sum(1), 1)
    return {
        "accuracy": accuracy(matrix),
        "macro_f1": mean_f1(matrix),
        "f1": {cover.name: round(float(f1[cover.id]), 4) for cover in CLASSES},
        "confusion": matrix.tolist(),
    }


def figures(
    predict: Predict,
    *,
    scenes: Sequence[LabelledScene],
    interpreted: Sequence[InterpretedScene] = (),
    points: Mapping[str, real.Points] = MappingProxyType({}),
    dataset: Dataset | None = None,
    pixels: int | None = None,
    side: int = PATCH_PX,
) -> dict[str, Any]:
    """Scores of one model with the sensors it is shown; ``points`` are by their kind."""
    report: dict[str, Any] = {
        kind: scores(on_patches(predict, places, side=side)) for kind, places in points.items()
    }
    if dataset is not None:
        report["fold"] = held_out_fold(dataset)
        report |= {
            kind: scores(on_landscapes(predict, dataset, split=split, pixels=pixels))
            for kind, split in LANDSCAPE_SPLITS.items()
        }
    report["scenes"] = {scene.name: on_scene(predict, scene) for scene in scenes}
    by_scene = {scene.name: on_interpreted(predict, scene) for scene in interpreted}
    report["interpreted"] = {name: kinds for name, (kinds, _) in by_scene.items()}
    report["interpreted pixels"] = {name: overall for name, (_, overall) in by_scene.items()}
    return report


def all_figures(predict: Predict, *, with_disturbed: bool, **data: Any) -> dict[str, Any]:
    """``figures`` with both sensors, with each alone, and perhaps of disturbed landscapes."""
    report = figures(predict, **data)
    images = {name: value for name, value in data.items() if name != "points"}
    for name, sensor in SINGLE_SENSOR.items():
        report[name] = figures(without_sensor(predict, sensor), **images)
    if with_disturbed and "dataset" in data:
        report["disturbed"] = {
            name: scores(on_landscapes(on_disturbed(predict, disturb), data["dataset"]))
            for name, disturb in DISTURBED.items()
        }
    return report


def interpreted_mean(scenes: Mapping[str, Mapping[str, float]]) -> float:
    """Mean over the interpreted scenes of the mean over each scene's kinds of cover."""
    return float(np.mean([np.mean(list(kinds.values())) for kinds in scenes.values()]))


def lines_of(name: str, report: Mapping[str, Any]) -> list[str]:
    """A model's scores in words, one line per set of sensors."""
    parts = [("", report), *((case, report[case]) for case in SINGLE_SENSOR if case in report)]
    lines = []
    for case, part in parts:
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
            kinds = interpreted_mean(part["interpreted"])
            pixels = np.mean(list(part["interpreted pixels"].values()))
            words.append(f"interpreted {kinds:.3f}, of its pixels {pixels:.3f}")
        lines.append(f"{name}{', ' if case else ''}{case}: {'; '.join(words)}")
    return lines


def main() -> None:
    """Evaluate the models, print the scores and write them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder with points/ and archive/")
    parser.add_argument("--dataset", type=Path, help="dataset of the fold that was held out")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()

    held_out: dict[str, Any] = {}
    archive = options.data / "archive"
    scenes: dict[str, Any] = {
        "scenes": labelled_scenes(archive),
        "interpreted": interpreted_scenes(archive),
    }
    if options.dataset is not None:
        dataset = Dataset.open(options.dataset)
        points = real.load_points(options.data / "points")
        parts = real.split_points(points, held_out_fold(dataset))
        by_kind = {"patches": parts["test"], "validation patches": parts["validation"]}
        held_out = {"points": by_kind, "dataset": dataset}
    reports: dict[str, Any] = {}
    for path in options.models:
        report = all_figures(model_of(path), with_disturbed=not reports, **scenes, **held_out)
        reports[str(path)] = report
        print(*lines_of(path.name, report), sep="\n", flush=True)
    if held_out:
        forest = figures(
            forest_of(parts["train"]), **scenes, **held_out, pixels=FOREST_PIXELS, side=1
        )
        reports[FOREST] = forest
        print(*lines_of(FOREST, forest), sep="\n")
        _print_spread([reports[str(path)] for path in options.models])
    if options.out is not None:
        options.out.write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")


def _print_spread(seeds: Sequence[Mapping[str, Any]]) -> None:
    if len(seeds) < 2:
        return
    for kind in KINDS:
        for score in ("accuracy", "macro_f1"):
            values = [report[kind][score] for report in seeds]
            print(f"{kind}, {score}: {np.mean(values):.3f} +- {np.std(values, ddof=1):.3f}")


if __name__ == "__main__":
    main()
