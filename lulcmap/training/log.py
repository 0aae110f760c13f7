"""Log of a training: a CSV file, and TensorBoard's files where it is installed."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lulcmap.system import replacing, write_table

LOG_FILE = "log.csv"
"""Log file in a training's folder: one row per epoch."""

_COLUMNS = (
    "epoch",
    "loss",
    "learning_rate",
    "samples_per_second",
    "mean_iou",
    "accuracy",
    "mean_f1",
)
"""First columns of every log; the IoU of each class follows."""


def is_log(path: Path) -> bool:
    """Whether a file is the log of a training.

    Raises:
        OSError: it cannot be read.

    """
    with path.open("rb") as file:
        return file.readline().startswith(",".join(_COLUMNS).encode())


@dataclass(frozen=True, slots=True)
class Epoch:
    """Result of one epoch of training."""

    number: int
    """Number of the epoch, from 1."""

    epochs: int
    """Number of epochs of the whole training."""

    loss: float
    """Mean loss over the epoch's steps."""

    learning_rate: float
    """Learning rate of the epoch's last step."""

    samples_per_second: float
    """Samples per second of wall-clock time, without the validation."""

    scores: Mapping[str, float] | None = None
    """Scores of the averaged weights on the validation chips: ``mean_iou``, ``accuracy``,
    ``mean_f1`` and ``iou_<class>`` of the classes that occur, 0 to 1; None without such chips."""

    best: bool = False
    """Whether the mean IoU is higher than in every epoch before."""


class TrainingLog:
    """The log of a training, in its folder."""

    def __init__(self, folder: Path, *, done: int) -> None:
        """Continue the log after ``done`` epochs; rows of later epochs are dropped."""
        self._path = folder / LOG_FILE
        self._rows = [row for row in self._read() if int(row["epoch"]) <= done]
        self._board: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)

    def write(self, epoch: Epoch) -> None:
        """Append an epoch."""
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
        """Close TensorBoard's files."""
        if self._board is not None:
            self._board.close()

    def _read(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        with self._path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def _save(self) -> None:
        columns = dict.fromkeys((*_COLUMNS, *(name for row in self._rows for name in row)))
        rows = [[row.get(column, "") for column in columns] for row in self._rows]
        with replacing(self._path) as part:
            write_table(part, [list(columns), *rows])
