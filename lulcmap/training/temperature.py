"""The temperature of a checkpoint, fitted to a dataset before it is exported."""

from collections.abc import Mapping
from typing import Any

from lulcmap.dataset import Dataset
from lulcmap.errors import UsageError
from lulcmap.evaluation import measure_temperature
from lulcmap.system import Steps, no_progress
from lulcmap.training.chips import ChipFolder
from lulcmap.training.tiled import predictor_of

CALIBRATION = "calibration"
"""Key in a checkpoint's and a contract's ``training`` of where the temperature comes from."""


def with_temperature(
    checkpoint: Mapping[str, Any],
    dataset: Dataset,
    split: str,
    *,
    device: str = "auto",
    progress: Steps = no_progress,
) -> dict[str, Any]:
    """A checkpoint with the temperature that suits a dataset, and how well it does.

    Args:
        checkpoint: checkpoint, as read by ``load_checkpoint``.
        dataset: dataset with the model's classes.
        split: ``"train"``, ``"validation"``, ``"test"`` or ``"all"``.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        progress: called with the number of chips done, and of all chips.

    Raises:
        UsageError: the split is empty, or holds the chips that the network learnt from, or the
            dataset has none of the model's classes.
        DeviceError: the device is not available.
        ModelError: the weights do not fit the network.

    """
    chips = list(dataset.rows) if split == "all" else dataset.split(split)
    if not chips:
        raise UsageError(
            f"The dataset {dataset.folder} has no chip in the split {split!r}. Give another "
            "--temperature-split."
        )
    learnt = dataset.split("train")
    if split in ("train", "all") and learnt:
        digest = ChipFolder(dataset, learnt).digest
        if digest == checkpoint["training"].get("digest"):
            raise UsageError(
                f"The network learnt from the chips in the split 'train' of {dataset.folder}, and "
                "is too sure of them for a temperature. Give --temperature-split validation or "
                "test, or another dataset."
            )
    predict, contract = predictor_of(dict(checkpoint), device)
    fit = measure_temperature(dataset, chips, predict, contract, progress=progress)
    calibration = {
        "labels": f"{dataset.folder.absolute().name}, {split}",
        "chips": len(chips),
        **fit.to_json(),
    }
    training = {**checkpoint["training"], CALIBRATION: calibration}
    return {**checkpoint, "temperature": fit.temperature, "training": training}
