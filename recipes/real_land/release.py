"""From a training to a model file: temperature of held-out real scenes, figures, export."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lulcmap.geo import Lattice
from lulcmap.legend import NODATA
from lulcmap.training import (
    CHECKPOINT,
    DeployableNetwork,
    export_onnx,
    load_checkpoint,
    logits_of,
    restore_network,
    save_checkpoint,
)
from recipes.real_land.finish import MEASURED, calibration_error, temperature_of
from recipes.real_land.judged import Judged
from recipes.real_land.suites import Suite

FITTED_ON = ("denmark", "ontario", "by eye", "held-out places")
"""Suites of real scenes that the temperature is fitted on, each image alike."""

PIXELS_PER_IMAGE = 400
"""Pixels of an image that the temperature is fitted on."""

MULTIPLE = 32
"""Sides of a network's input are multiples of this, pixels."""

SOURCE = (
    "340 km2 of real Sentinel-1 and Sentinel-2 scenes in Europe, the Americas and South Asia, "
    "labelled by Google's Dynamic World network (Apache-2.0) behind an atmosphere of 6SV, and "
    "{made} made-up landscapes of real samples: ESA WorldCover 2021 (CC BY 4.0), Digital Earth "
    "Africa (Apache-2.0). Contains modified Copernicus Sentinel data 2017-2025. "
    "Recipe: python -m recipes.real_land"
)

QUALITY = (
    "learnt from real scenes labelled by Dynamic World's network and from made-up landscapes; of "
    "real places it has not seen it names {places:.0%} as that network does, and {eye:.0%} of what "
    "is plain to see: look at the map before you use it"
)


def fit_temperature(training: Path, suites: Sequence[Suite], *, made: int) -> Path:
    """Fit the temperature of a training's last epoch; no epoch is chosen.

    The error after the fit is measured crosswise: each half of the images with the temperature of
    the other.

    Args:
        training: folder of the training.
        suites: suites of ``suites.all_suites``.
        made: number of landscapes that it was trained on, for the record.

    Returns:
        Path of a checkpoint with the temperature, ``MEASURED``.

    """
    checkpoint = load_checkpoint(training / CHECKPOINT)
    checkpoint.pop("resume", None)
    deployable = restore_network(checkpoint)
    images = [image for suite in suites if suite.name in FITTED_ON for image in suite.images]
    pixels = [_pixels(deployable, image, number) for number, image in enumerate(images)]
    halves = [_together(pixels[part::2]) for part in (0, 1)]
    crosswise = [
        logits / temperature_of(*other)
        for (logits, _), other in zip(halves, reversed(halves), strict=True)
    ]
    logits, truth = _together(pixels)
    temperature = temperature_of(logits, truth)
    truth_of_halves = np.concatenate([truth for _, truth in halves])
    checkpoint["temperature"] = temperature
    checkpoint["training"]["source"] = SOURCE.format(made=made)
    checkpoint["training"]["figures"] = {
        "temperature": round(temperature, 3),
        "ece": round(calibration_error(logits, truth), 4),
        "ece_with_temperature": round(
            calibration_error(np.concatenate(crosswise), truth_of_halves), 4
        ),
    }
    save_checkpoint(training / MEASURED, checkpoint)
    return training / MEASURED


def _pixels(
    deployable: DeployableNetwork, image: Judged, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Logits (N, K) and classes (N,) of some of an image's pixels of a single possible class."""
    only = np.array([of[0] if len(of) == 1 else NODATA for _, of in image.kinds] + [NODATA])
    kind = np.where(image.kind == NODATA, len(image.kinds), image.kind)
    truth = only[kind].ravel()
    known = np.flatnonzero(truth != NODATA)
    rng = np.random.default_rng(seed)
    if len(known) > PIXELS_PER_IMAGE:
        known = rng.choice(known, PIXELS_PER_IMAGE, replace=False)
    rows, cols = image.kind.shape
    edges = [(0, 0), (0, -rows % MULTIPLE), (0, -cols % MULTIPLE)]
    s2 = np.pad(image.view.s2, edges, mode="symmetric")
    s1 = np.pad(image.view.s1, edges, mode="symmetric")
    planes = (torch.from_numpy(np.ascontiguousarray(x))[None] for x in (s2, s1))
    logits = logits_of(deployable, *planes, lattice=Lattice())[0, :, :rows, :cols]
    values = logits.flatten(1).numpy().T[known].astype(np.float64)
    return values, truth[known].astype(np.intp)


def _together(
    parts: Sequence[tuple[NDArray[np.float64], NDArray[np.intp]]],
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    logits, truth = zip(*parts, strict=True)
    return np.concatenate(logits), np.concatenate(truth)


def add_figures(measured: Path, figures: Mapping[str, Any]) -> None:
    """Write the development figures of a checkpoint into it, and the sentence of its quality.

    Args:
        measured: checkpoint of ``fit_temperature``.
        figures: figures of ``development.measure``.

    """
    checkpoint = load_checkpoint(measured)
    both, optical = figures["both"], figures["S2 only"]
    summary = {
        name: {"both": both[name]["mean"], "s2_only": optical[name]["mean"]}
        for name in both
        if name != "ece"
    }
    checkpoint["training"]["figures"] |= {"development": summary}
    checkpoint["standing"] = QUALITY.format(
        places=both["held-out places"]["mean"], eye=both["by eye"]["mean"]
    )
    save_checkpoint(measured, checkpoint)


def export(measured: Path, out: Path, *, name: str) -> None:
    """Write the model file and its card."""
    export_onnx(load_checkpoint(measured), out, name=name, overwrite=True)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
