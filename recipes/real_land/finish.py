"""From a training to the model file: temperature, scores, source and export."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from lulcmap.dataset import Dataset
from lulcmap.evaluation import Reliability, accuracy, iou, mean_f1, mean_iou
from lulcmap.geo import Lattice
from lulcmap.legend import NAMES
from lulcmap.training import (
    CHECKPOINT,
    ChipFolder,
    DeployableNetwork,
    export_onnx,
    load_checkpoint,
    logits_of,
    measure,
    restore_network,
    save_checkpoint,
)
from recipes.real_land import points as real
from recipes.real_land.dataset import held_out_fold

SOURCE = (
    "{count} made-up landscapes of real samples: pixels of Sentinel-2 L2A and Sentinel-1 in "
    "{blocks} blocks of 8 degrees with ESA WorldCover 2021 classes (CC BY 4.0; contains modified "
    "Copernicus Sentinel data 2017-2023), texture of unlabelled real scenes; {held}. "
    "Recipe: python -m models.real"
)

QUALITY = (
    "learnt from made-up landscapes of real pixels; its recipe is right on {accuracy:.0%} of such "
    "landscapes of places it has not seen, and on less of real land: look at the map before you "
    "use it"
)

MEASURED = "measured.pt"
"""Checkpoint of the last epoch with temperature and scores, but without the state to resume."""

PIXELS_PER_LANDSCAPE = 500
"""Pixels per landscape that the temperature is fitted on."""


def measure_twin(training: Path, dataset: Dataset) -> Path:
    """Fit the temperature on both held-out splits and measure the scores on the test split.

    The right temperature differs more between parts of the Earth than a fit to one part can show,
    so both splits are used together. The fit is evaluated crosswise: each split with the
    temperature of the other.

    Args:
        training: folder of the training. The last epoch is used; none is chosen.
        dataset: dataset the network was trained on, with a fold held out.

    Returns:
        Path of a checkpoint with temperature and scores, ``MEASURED``.

    """
    checkpoint = _last_epoch(training)
    deployable = restore_network(checkpoint)
    held_out = [logits_and_truth(deployable, dataset, split) for split in ("validation", "test")]
    logits, truth = (np.concatenate(parts) for parts in zip(*held_out, strict=True))
    crosswise = [
        split_logits / temperature_of(*other)
        for (split_logits, _), other in zip(held_out, reversed(held_out), strict=True)
    ]
    temperature = temperature_of(logits, truth)
    checkpoint["temperature"] = temperature
    checkpoint["training"]["source"] = _source(dataset)
    checkpoint["training"]["figures"] = {
        **_figures(deployable, dataset),
        "ece": round(calibration_error(logits, truth), 4),
        "ece_with_temperature": round(calibration_error(np.concatenate(crosswise), truth), 4),
        "temperature": round(temperature, 3),
        "fold": held_out_fold(dataset),
    }
    checkpoint["standing"] = QUALITY.format(**checkpoint["training"]["figures"])
    save_checkpoint(training / MEASURED, checkpoint)
    return training / MEASURED


def copy_figures(measured: Path, training: Path, dataset: Dataset) -> Path:
    """Copy the temperature and scores of the twin to the network trained on all places.

    Args:
        measured: checkpoint of the twin, from ``measure_twin``: the same recipe with a fold held
            out.
        training: folder of the training that held nothing out, so nothing is left to measure it on.
        dataset: dataset of that training.

    Returns:
        Path of a checkpoint with temperature and scores, ``MEASURED``.

    """
    checkpoint, twin = _last_epoch(training), load_checkpoint(measured)
    checkpoint["temperature"], checkpoint["standing"] = twin["temperature"], twin["standing"]
    checkpoint["training"]["source"] = _source(dataset)
    checkpoint["training"]["figures"] = twin["training"]["figures"]
    save_checkpoint(training / MEASURED, checkpoint)
    return training / MEASURED


def export(measured: Path, out: Path, *, name: str) -> None:
    """Write the model file and its card."""
    checkpoint = load_checkpoint(measured)
    print(checkpoint["training"]["figures"])
    export_onnx(checkpoint, out, name=name, overwrite=True)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


def _last_epoch(training: Path) -> dict[str, Any]:
    """Checkpoint of the last epoch, without the state to resume."""
    checkpoint = load_checkpoint(training / CHECKPOINT)
    checkpoint.pop("resume", None)
    return checkpoint


def _source(dataset: Dataset) -> str:
    fold, rows = held_out_fold(dataset), dataset.split("train")
    twin = "none held out, and figures are of a twin that a fifth was held out from"
    return SOURCE.format(
        count=len(rows),
        blocks=len({chip.place for chip in rows}),
        held=twin if fold is None else f"fold {fold} of {real.N_FOLDS} held out",
    )


def logits_and_truth(
    deployable: DeployableNetwork, dataset: Dataset, split: str
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Logits (N, K) and true classes (N,) of some pixels of each landscape of a split."""
    samples = ChipFolder(dataset, dataset.split(split))
    rng = np.random.default_rng(0)
    parts = []
    for number in range(len(samples)):
        sample = samples.sample(number)
        s2, s1, label = sample.s2, sample.s1, sample.label
        logits = logits_of(
            deployable, torch.from_numpy(s2)[None], torch.from_numpy(s1)[None], lattice=Lattice()
        )[0]
        pixels = rng.choice(label.size, min(PIXELS_PER_LANDSCAPE, label.size), replace=False)
        labelled = pixels[label.ravel()[pixels] < len(NAMES)]
        parts.append((logits.flatten(1).numpy().T[labelled], label.ravel()[labelled]))
    values, truth = (np.concatenate(part) for part in zip(*parts, strict=True))
    return values.astype(np.float64), truth.astype(np.intp)


def temperature_of(logits: NDArray[np.float64], truth: NDArray[np.intp]) -> float:
    """Divisor of the logits that makes the truth most likely (Guo et al. 2017)."""

    def surprise(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float((_log_sum(scaled) - scaled[np.arange(len(truth)), truth]).mean())

    return float(np.exp(minimize_scalar(surprise, bounds=(-2, 2), method="bounded").x))


def calibration_error(logits: NDArray[np.float64], truth: NDArray[np.intp]) -> float:
    """Expected calibration error of the softmax."""
    confidence = np.exp(logits.max(1) - _log_sum(logits))
    return Reliability.of(confidence, logits.argmax(1) == truth).ece


def _log_sum(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    highest = logits.max(1)
    return highest + np.log(np.exp(logits - highest[:, None]).sum(1))


def _figures(deployable: DeployableNetwork, dataset: Dataset) -> dict[str, Any]:
    samples = ChipFolder(dataset, dataset.split("test"))
    whole = measure(deployable, samples)
    return {
        "landscapes": len(samples),
        "accuracy": round(accuracy(whole), 4),
        "macro_f1": round(mean_f1(whole), 4),
        "mean_iou": round(mean_iou(whole), 4),
        "iou": {
            name: round(float(value), 4)
            for name, value in zip(NAMES, iou(whole), strict=True)
            if np.isfinite(value)  # only classes that occur
        },
        "accuracy_s2_only": round(accuracy(measure(deployable, samples, without="s1")), 4),
        "accuracy_s1_only": round(accuracy(measure(deployable, samples, without="s2")), 4),
    }
