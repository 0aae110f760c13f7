"""What can be judged: model files, checkpoints, the teacher, and a forest of single pixels."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lulcmap.evaluation import open_onnx_predictor
from lulcmap.legend import NAMES, NODATA
from lulcmap.sensors import S1_NODATA, S2_NODATA
from recipes.real_land.judged import Model, View
from recipes.real_land.teacher import Teacher


def open_model(path: Path) -> Model:
    """Open a model file with the code that makes maps, or a checkpoint with torch.

    Raises:
        SystemExit: its classes are not Dynamic World's.

    """
    if path.suffix == ".onnx":
        predictor, contract = open_onnx_predictor(path, "cpu")
    else:
        from lulcmap.training import checkpoint_predictor

        predictor, contract = checkpoint_predictor(path, "cpu")
    if contract.classes != NAMES:
        raise SystemExit(f"The classes of {path} are not those of Dynamic World.")

    def predict(view: View) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        made = predictor(view.s2, view.s1, None, view.sky.sun_zenith)
        return made.classes, made.confidence

    return predict


def teacher_model(data: Path, *, flips: int = 1) -> Model:
    """The teacher, under each view's own sun; it sees nothing without Sentinel-2."""
    teacher = Teacher(data / "teacher")

    def predict(view: View) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        seen = (view.s2 != S2_NODATA).all(0)
        probabilities = teacher.probabilities(view.s2, view.sky, flips=flips)
        ids = np.where(seen, probabilities.argmax(0), NODATA).astype(np.uint8)
        return ids, np.where(seen, probabilities.max(0), 0).astype(np.float32)

    return predict


def forest_model(spectra: NDArray[np.float32], label: NDArray[np.uint8], *, seed: int = 0) -> Model:
    """A random forest of single pixels with Sentinel-2, and one without radar.

    Args:
        spectra: (N, 11) DN and decibels, without gaps.
        label: (N,) class ids.
        seed: seed of the forests.

    """
    from sklearn.ensemble import RandomForestClassifier

    def fitted(bands: slice) -> RandomForestClassifier:
        forest = RandomForestClassifier(
            200, min_samples_leaf=2, max_features="sqrt", n_jobs=1, random_state=seed
        )
        return forest.fit(spectra[:, bands], label)

    both, optical = fitted(slice(None)), fitted(slice(9))

    def predict(view: View) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        shape = view.s2.shape[1:]
        planes = np.concatenate([view.s2.astype(np.float32), view.s1 / np.float32(100)])
        pixels = planes.reshape(len(planes), -1).T
        with_radar = (view.s1 != S1_NODATA).any()
        forest, used = (both, pixels) if with_radar else (optical, pixels[:, :9])
        odds = forest.predict_proba(used)
        ids, confidence = forest.classes_[odds.argmax(1)], odds.max(1)
        seen = (view.s2 != S2_NODATA).all(0)
        return (
            np.where(seen, ids.reshape(shape), NODATA).astype(np.uint8),
            np.where(seen, confidence.reshape(shape), 0).astype(np.float32),
        )

    return predict
