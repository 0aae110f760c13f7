"""What happened in each epoch: a CSV file, and TensorBoard's where it is installed."""

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOG_FILE = "log.csv"
"""The file in a training's folder: a row an epoch."""

_COLUMNS = (
    "epoch",
    "loss",
    "learning_rate",
    "samples_per_second",
    "mean_iou",
    "accuracy",
    "mean_f1",
)
"""Of every log; the IoU of each class follows."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch of training came to."""

    number: int
    """From 1."""

    epochs: int
    """To be run in all."""

    loss: float
    """Mean over its steps."""

    learning_rate: float
    """Of its last step."""

    samples_per_second: float
    """Of wall-clock time, validation not counted."""

    scores: Mapping[str, float] | None = None
    """Of the averaged weights on the validation chips: ``mean_iou``, ``accuracy``, ``mean_f1`` and
    ``iou_<class>`` of the classes that occur, 0 to 1; None without such chips."""

    best: bool = False
    """Whether no epoch before it had as high a mean IoU."""


class TrainingLog:
    """The records of a training, in its folder."""

    def __init__(self, folder: Path, *, done: int) -> None:
        """Go on after ``done`` epochs: what a killed process wrote of later ones is dropped."""
        self._path = folder / LOG_FILE
        self._rows = [row for row in self._read() if int(row["epoch"]) <= done]
        self._board: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)

    def write(self, epoch: Epoch) -> None:
        """Add an epoch."""
        scores = dict(epoch.scores or {})
        row: dict[str, Any] = {
            "epoch": epoch.number,
            "loss": f"{epoch.loss:.6g}",
            "learning_rate": f"{epoch.learning_rate:.6g}",
            "samples_per_second": f"{epoch.samples_per_second:.3f}",
        }
        row |= {name: f"{score:.6f}" for name, score in scores.items()}
        self._rows.append(row)
        self._save()
        if self._board is not None:
            values = {"loss": epoch.loss, "learning_rate": epoch.learning_rate, **scores}
            for name, value in values.items():
                self._board.add_scalar(name, value, epoch.number)
            self._board.flush()

    def close(self) -> None:
        """Let go of the files."""
        if self._board is not None:
            self._board.close()

    def _read(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        with self._path.open(newline="") as file:
            return list(csv.DictReader(file))

    def _save(self) -> None:
        columns = dict.fromkeys((*_COLUMNS, *(name for row in self._rows for name in row)))
        temporary = self._path.with_name(f".{LOG_FILE}.{os.getpid()}.tmp")
        try:
            with temporary.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(columns))
                writer.writeheader()
                writer.writerows(self._rows)
            temporary.replace(self._path)
        finally:
            temporary.unlink(missing_ok=True)
