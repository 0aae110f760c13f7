"""From a training to a model file: temperature of held-out real scenes, figures, export."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lulcmap.evaluation import LogitSample
from lulcmap.legend import NODATA
from lulcmap.training import (
    CHECKPOINT,
    export_onnx,
    load_checkpoint,
    predictor_of,
    save_checkpoint,
    with_window,
)
from recipes.real_land.finish import MEASURED
from recipes.real_land.judged import Judged
from recipes.real_land.suites import Suite

FITTED_ON = ("denmark", "ontario", "by eye", "held-out places")
"""Suites of real scenes that the temperature is fitted on, each image alike."""

WINDOW_PX = 256
"""Side of the windows that maps are made in. The network learnt from crops of 64 px: told by eye
it is better in these than in 512 px, and a pixel costs a quarter less."""

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

    Args:
        training: folder of the training.
        suites: suites of ``suites.all_suites``.
        made: number of landscapes that it was trained on, for the record.

    Returns:
        Path of a checkpoint with the temperature, ``MEASURED``.

    """
    checkpoint = with_window(load_checkpoint(training / CHECKPOINT), WINDOW_PX)
    checkpoint.pop("resume", None)
    images = [image for suite in suites if suite.name in FITTED_ON for image in suite.images]
    fit = _sample(checkpoint, images).fit(checkpoint.get("temperature", 1.0))
    if fit is None:
        raise SystemExit("The held-out scenes have no pixel of a single known class.")
    checkpoint["temperature"] = fit.temperature
    checkpoint["training"]["source"] = SOURCE.format(made=made)
    checkpoint["training"]["figures"] = fit.to_json()
    save_checkpoint(training / MEASURED, checkpoint)
    return training / MEASURED


def _sample(checkpoint: dict[str, Any], images: Sequence[Judged]) -> LogitSample:
    """Logits of some pixels of every image whose class is known; each image is a place."""
    predict, _ = predictor_of(checkpoint, "cpu")
    sample = LogitSample(len(images))
    for number, image in enumerate(images):
        only = np.array([of[0] if len(of) == 1 else NODATA for _, of in image.kinds] + [NODATA])
        truth = only[np.where(image.kind == NODATA, len(image.kinds), image.kind)]
        pixels = sample.choose(truth != NODATA, seed=number)
        logits = predict(image.view.s2, image.view.s1, pixels).logits
        assert logits is not None
        sample.add(image.name, logits, truth.ravel()[pixels].astype(np.int64))
    return sample


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
