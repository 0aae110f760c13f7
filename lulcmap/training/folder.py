"""The folder of a training: names of its checkpoints, and whether a training may write there."""

from pathlib import Path

from lulcmap.errors import ModelError
from lulcmap.system import check_destination, check_ours
from lulcmap.training.checkpoint import load_checkpoint
from lulcmap.training.log import LOG_FILE, is_log

CHECKPOINT = "checkpoint.pt"
"""Checkpoint of the last finished epoch, in the training's folder."""

BEST_CHECKPOINT = "best.pt"
"""Checkpoint of the epoch with the best validation, in the training's folder."""


def check_folder(folder: Path) -> None:
    """Check that a training can be written to a folder, and replaces no other file there.

    What is at ``CHECKPOINT`` is read, and refused if it is none, when the training resumes.

    Raises:
        OutputError: it cannot, or would.

    """
    check_destination(folder, folder=True, parents=True)
    check_ours(folder / BEST_CHECKPOINT, _is_checkpoint, kind="a checkpoint")
    check_ours(folder / LOG_FILE, is_log, kind="the log of a training")


def _is_checkpoint(path: Path) -> bool:
    try:
        load_checkpoint(path)
    except ModelError:
        return False
    return True
