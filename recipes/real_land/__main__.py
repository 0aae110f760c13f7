"""The recipe, version 2: real scenes and landscapes to a network, the network to a model file.

    python -m recipes.real_land RUN_FOLDER --data ../shared/data

It labels the real scenes (``RUN_FOLDER/labels``), builds the datasets (``RUN_FOLDER/data``), trains
three seeds, each starting from version 1, two at a time, each on one thread, fits each one's
temperature on held-out real scenes, measures all of them (``RUN_FOLDER/figures.json``) and exports
each. The model to ship is that of the first seed: none is chosen. If interrupted, rerun the same
command; it resumes. See ``README.md`` beside this file.
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from recipes.real_land.development import VERSION_1_FILE, measure, report
from recipes.real_land.labels import all_taught_scenes, label_scenes
from recipes.real_land.mix import Amounts, build_mix
from recipes.real_land.models import open_model
from recipes.real_land.release import add_figures, export, fit_temperature
from recipes.real_land.suites import Suite, all_suites
from recipes.real_land.trainings import run_trainings

PASSED_OPTIONS = (
    *("model", "transform", "epochs", "batch_size", "crop", "learning_rate", "average"),
    *("device", "workers"),
)
"""Options of this command that are passed on to ``lulcmap train``."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Label, build, train, measure and export."""
    options = _parsed(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"  # for every process that is started
    labels = options.labels or options.folder / "labels"
    _label(options.data, labels)
    amounts = Amounts(options.fields, options.wild, options.size)
    with tqdm(desc="landscapes") as bar:
        shares = build_mix(
            options.data,
            labels,
            options.folder / "data",
            amounts,
            workers=options.workers,
            report=lambda name, done, _: bar.set_postfix_str(f"{name} {done}"),
        )
    trainings = [options.folder / f"seed-{seed}" for seed in options.seeds]
    _train(options, shares, trainings)
    suites = [*tqdm(all_suites(options.data, labels), desc="suites")]
    _finish(options, trainings, suites, made=options.fields + options.wild, labels=labels)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m recipes.real_land",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="folder of the run")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data")
    parser.add_argument("--labels", type=Path, help="labels made before; default: in the run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one training each")
    parser.add_argument("--fields", type=int, default=1600, help="landscapes and quilts")
    parser.add_argument("--wild", type=int, default=1400, help="wild landscapes")
    parser.add_argument("--size", type=int, default=256, help="side of a landscape, pixels")
    parser.add_argument(
        "--init", default=str(VERSION_1_FILE), help="as of lulcmap train; empty to start anew"
    )
    parser.add_argument("--model", default="lulcformer-tiny")
    parser.add_argument("--transform", default="log-indices")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=7e-4)
    parser.add_argument("--average", type=float, default=0.998)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--together", type=int, default=2, help="trainings side by side")
    return parser.parse_args(arguments)


def _label(data: Path, labels: Path) -> None:
    with tqdm(desc="scenes labelled") as bar:
        for _ in label_scenes(data, labels, all_taught_scenes(data)):
            bar.update()


def _train(
    options: argparse.Namespace, shares: Mapping[Path, float], folders: Sequence[Path]
) -> None:
    """Train each seed, some side by side."""
    for start in range(0, len(folders), options.together):
        part = folders[start : start + options.together]
        run_trainings({folder: _own_options(options, shares, folder) for folder in part})


def _own_options(
    options: argparse.Namespace, shares: Mapping[Path, float], folder: Path
) -> list[str]:
    passed = [
        word
        for name in PASSED_OPTIONS
        for word in (f"--{name.replace('_', '-')}", str(getattr(options, name)))
    ]
    if options.init:
        passed += ["--init", options.init]
    data = [word for path, share in shares.items() for word in ("--data", f"{path}={share:g}")]
    seed = folder.name.removeprefix("seed-")
    return [*data, "--seed", seed, *passed]


def _finish(
    options: argparse.Namespace,
    trainings: Sequence[Path],
    suites: Sequence[Suite],
    *,
    made: int,
    labels: Path,
) -> None:
    """Fit temperatures, measure, export, and print the table of figures."""
    torch.set_num_threads(1)  # the last digits of a temperature depend on their number
    name, figures = f"{options.model}-real", {}
    for folder in trainings:
        measured = fit_temperature(folder, suites, made=made)
        own = figures[folder.name] = measure(open_model(measured), suites)
        add_figures(measured, own)
        is_shipped = folder == trainings[0]
        own_name = name if is_shipped else f"{name}-{folder.name}"
        export(measured, options.folder / f"{own_name}.onnx", name=own_name)
    (options.folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(report(figures, options.data, labels, suites))


if __name__ == "__main__":
    main()
