"""Development figures: any model on everything that is known and never trains, in one table.

    python -m recipes.real_land.development MODEL... --data ../shared/data --labels LABELS_FOLDER \
        [--out figures.json] [--landscapes 0]

MODEL is an ONNX file, run by the code that makes maps, or a checkpoint. Several are taken as seeds
of one recipe: their mean and spread are printed too. The teacher (under each scene's own sun),
version 1 and a forest of single pixels stand beside them; they are measured once and kept in
``LABELS_FOLDER/references.json``. ``suites.py`` says what each row is.

A figure is the mean over a suite's images, then the mean over kinds of cover; each model with both
sensors, and with each alone. Below the table: images on which radar harms by more than 0.01, and
the calibration.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from lulcmap.evaluation import Reliability
from recipes.real_land.evaluate_folds import spectra_of
from recipes.real_land.judged import Model, Score, judge, sampled, summarise
from recipes.real_land.labels import held_out_scenes, label_scenes
from recipes.real_land.models import forest_model, open_model, teacher_model
from recipes.real_land.points import held_out_points, load_points
from recipes.real_land.suites import DISTURBANCES, Suite, all_suites

SENSORS = {"both": None, "S2 only": "s1", "S1 only": "s2"}
"""Sets of sensors, and the sensor that is removed."""

TOLERANCE = 0.01
"""How much lower than without it an image's share may be with radar."""

VERSION_1_FILE = Path(__file__).parent / "version1.onnx"
"""The default model of lulcmap 0.1.0, which version 2 starts from."""

FOREST, TEACHER, VERSION_1 = "forest", "teacher", "version 1"

FOREST_PIXELS = 2000
"""Pixels of an image that the forest classifies; it is slow."""

CALIBRATED_ON = ("denmark", "ontario", "by eye", "held-out places")
"""Suites of real scenes that the calibration error is measured on."""

Figures = dict[str, Any]
"""Figures of one model by set of sensors, plain JSON."""


def measure(
    model: Model, suites: Iterable[Suite], *, pixels: int | None = None, is_optical: bool = False
) -> Figures:
    """Measure one model on every suite with each set of sensors that it can be seen with.

    Args:
        model: model to measure.
        suites: suites to measure it on.
        pixels: known pixels of an image that are shown, for models of single pixels; None for all.
        is_optical: whether the model ignores radar, so that sets of sensors need no run.

    """
    figures: Figures = {sensors: {} for sensors in SENSORS}
    reliability = {sensors: Reliability.empty() for sensors in SENSORS}
    for suite in suites:
        images = [sampled(image, pixels) if pixels else image for image in suite.images]
        alone = [image for image in images if image.view.has_radar]
        whole = {image.name: judge(model, image) for image in images}
        scores = {"both": whole, "S2 only": whole, "S1 only": {}}
        if alone and not is_optical:
            blind = {image.name: judge(model, image, without="s1") for image in alone}
            scores["S2 only"] = {**whole, **blind}
            if suite.name not in DISTURBANCES:
                scores["S1 only"] = {
                    image.name: judge(model, image, without="s2") for image in alone
                }
        for sensors, of_suite in scores.items():
            if of_suite:
                figures[sensors][suite.name] = _figures_of(suite, of_suite)
                if suite.name in CALIBRATED_ON:
                    reliability[sensors] += summarise(of_suite).reliability
    for sensors, counts in reliability.items():
        if counts.pixels.sum():
            figures[sensors]["ece"] = round(counts.ece, 4)
    return figures


def _figures_of(suite: Suite, scores: Mapping[str, Score]) -> Figures:
    summary = summarise(scores)
    kinds = {name: round(share, 4) for name, share in summary.kinds.items()}
    by_kind = float(np.mean(list(kinds.values()))) if suite.is_pooled else summary.by_kind
    scenes = {} if suite.is_pooled else {k: round(v, 4) for k, v in summary.scenes.items()}
    return {
        "mean": round(summary.mean, 4),
        "by kind": round(by_kind, 4),
        "kinds": kinds,
        "scenes": scenes,
    }


def references(data: Path, labels: Path, suites: Sequence[Suite]) -> dict[str, Figures]:
    """Figures of the teacher, version 1 and the forest, measured once."""
    path = labels / "references.json"
    kept: dict[str, Figures] = json.loads(path.read_text()) if path.exists() else {}
    makers: dict[str, Callable[[Sequence[Suite]], Figures]] = {
        VERSION_1: lambda missing: measure(open_model(VERSION_1_FILE), missing),
        TEACHER: lambda missing: measure(teacher_model(data), missing, is_optical=True),
        FOREST: lambda missing: measure(_forest(data), missing, pixels=FOREST_PIXELS),
    }
    for name, make in makers.items():
        known = kept.setdefault(name, {sensors: {} for sensors in SENSORS})
        names = {suite.name for suite in suites} - known["both"].keys()
        if names & set(CALIBRATED_ON):  # one figure of all of them
            names |= set(CALIBRATED_ON)
        missing = [suite for suite in suites if suite.name in names]
        if missing:
            for sensors, found in make(missing).items():
                known[sensors] = {**known[sensors], **found}
            path.write_text(json.dumps(kept, indent=1) + "\n")
    return {name: kept[name] for name in makers}


def _forest(data: Path) -> Model:
    return forest_model(*spectra_of(held_out_points(load_points(data / "points"))[0]))


def table(figures: Mapping[str, Figures], names: Sequence[str]) -> str:
    """The figures as text: a row for each suite, a column for each model and set of sensors."""
    columns = [
        (model, sensors)
        for model, of_model in figures.items()
        for sensors in SENSORS
        if len(of_model[sensors]) and not (model in (FOREST, TEACHER) and sensors != "both")
    ]
    heads = [f"{model}, {sensors}" for model, sensors in columns]
    width = max(map(len, heads)) if heads else 0
    lines = [f"{number + 1:>3}  {head:<{width}}" for number, head in enumerate(heads)]
    lines += ["", " " * 22 + "".join(f"{number + 1:^14}" for number in range(len(heads)))]
    for name in names:
        cells = []
        for model, sensors in columns:
            one = figures[model][sensors].get(name)
            cells.append("-" if one is None else f"{one['mean']:.3f} / {one['by kind']:.3f}")
        lines.append(f"{name:<22}" + "".join(f"{cell:^14}" for cell in cells))
    errors = [figures[model][sensors].get("ece", float("nan")) for model, sensors in columns]
    cells = [f"{error:.3f}" for error in errors]
    lines.append(f"{'calibration error':<22}" + "".join(f"{cell:^14}" for cell in cells))
    return "\n".join(lines)


def harmed(figures: Figures) -> list[str]:
    """Images of real land on which radar harms, in words."""
    lines = []
    for suite, both in figures["both"].items():
        if suite == "ece" or suite in DISTURBANCES:
            continue
        optical = figures["S2 only"].get(suite, {"scenes": {}})["scenes"]
        for scene, share in both["scenes"].items():
            without = optical.get(scene, share)
            if share < without - TOLERANCE:
                lines.append(f"{suite}, {scene}: {share:.3f} with radar, {without:.3f} without")
    return lines


def spread(seeds: Sequence[Figures]) -> str:
    """Mean and deviation of the seeds of one recipe, a line for each suite."""
    lines = []
    for name in seeds[0]["both"]:
        if name != "ece":
            of_seeds = [seed["both"][name] for seed in seeds]
            mean, kinds = ([one[key] for one in of_seeds] for key in ("mean", "by kind"))
            lines.append(
                f"{name:<22} {np.mean(mean):.3f} +- {np.std(mean, ddof=1):.3f}, by kind "
                f"{np.mean(kinds):.3f} +- {np.std(kinds, ddof=1):.3f}"
            )
    return "\n".join(lines)


def report(
    figures: Mapping[str, Figures],
    data: Path,
    labels: Path,
    suites: Sequence[Suite],
) -> str:
    """The figures beside the references, the harm of radar, and the spread of seeds, as text."""
    beside = references(data, labels, suites)
    parts = [table({**figures, **beside}, [suite.name for suite in suites])]
    for name, of_model in {**figures, VERSION_1: beside[VERSION_1]}.items():
        found = harmed(of_model)
        parts.append("\n  ".join([f"{name}: radar harms on {len(found)} images", *found]))
    if len(figures) > 1:
        seeds = list(figures.values())
        parts.append(f"mean and deviation of {len(seeds)} seeds\n{spread(seeds)}")
    return "\n\n".join(parts)


def main() -> None:
    """Measure the models, print the table and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data")
    parser.add_argument("--labels", type=Path, required=True, help="folder of the teacher's labels")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()

    for _ in label_scenes(options.data, options.labels, held_out_scenes(options.data)):
        pass
    suites = [*tqdm(all_suites(options.data, options.labels), desc="suites")]
    figures = {path.stem: measure(open_model(path), suites) for path in options.models}
    print(report(figures, options.data, options.labels, suites))
    if options.out is not None:
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
