"""The whole network trained on with labels: crops around them, and windows to judge it in."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from lulcmap.adaptation.ways import FOLDS, HeadWay, Made, Task, WayName
from lulcmap.adaptation.windows import LabelledWindow
from lulcmap.errors import DeviceError, OutputError
from lulcmap.legend import NODATA
from lulcmap.model import at_pixels, mirrored, with_metadata
from lulcmap.system import Progress

if TYPE_CHECKING:
    from lulcmap.training import FineTuning, LabelledCrops, TunedNetwork

CROP_PX = 64
"""Side of the land around a label that the network learns from, pixels: as in its own training."""


class WindowStore:
    """Windows of labels in a temporary folder, for as long as an adaptation takes."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lulcmap-adapt-")
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def keep(self, window: LabelledWindow) -> None:
        """Keep a window.

        Raises:
            OutputError: the disk is full.

        """
        try:
            np.savez(self._path(self.count), s2=window.s2, s1=window.s1)
        except OSError as error:
            raise OutputError(
                f"{self._folder.name} cannot be written ({error.strerror or error}). Set TMPDIR to "
                "a folder on a larger disk."
            ) from error
        self.count += 1

    def read(self, number: int) -> tuple[NDArray[np.uint16], NDArray[np.int16]]:
        """Sentinel-2 (9, H, W) and Sentinel-1 (2, H, W) of a window, as they were kept."""
        with np.load(self._path(number)) as arrays:
            return arrays["s2"], arrays["s1"]

    def _path(self, number: int) -> Path:
        return Path(self._folder.name) / f"{number}.npz"


@dataclass(frozen=True)
class WholeWay:
    """The whole network, from the head that was fitted to the same labels."""

    tuning: "FineTuning"
    """The model as it is, in torch."""

    store: WindowStore
    """Windows of the labels."""

    name: WayName = "whole"

    @classmethod
    def open(cls, model: Path, store: WindowStore) -> Self:
        """Load a model to train on.

        Raises:
            DeviceError: torch is not installed.
            ModelError: the model is none that lulcmap can train.

        """
        try:
            from lulcmap.training import FineTuning
        except ImportError as error:
            raise DeviceError(
                "--way whole needs torch. Install it: pip install 'lulcmap[train]'; or give "
                "--way head."
            ) from error
        return cls(FineTuning.of(model), store)

    def held_out_logits(self, task: Task, progress: Progress) -> NDArray[np.float64]:
        """As of ``Way``."""
        folds, logits = task.folds, np.zeros((len(task.seen.features), len(task.classes)))
        for fold in range(FOLDS):
            out = folds == fold
            if out.any():
                tuned = self._tune(task, ~out, progress, f"whole {fold + 1} of {FOLDS}")
                at = out[task.seen.label]
                logits[at] = self._logits(task, tuned, at)
        return logits

    def make(self, task: Task, order: NDArray[np.intp], progress: Progress) -> Made:
        """As of ``Way``."""
        tuned = self._tune(task, np.ones(task.seen.n, bool), progress, "whole, all labels")
        data, training = tuned.export(order.tolist())

        def file(metadata: dict[str, str]) -> bytes:
            return with_metadata(data, metadata)

        return Made(file, tuned.settings(), "fp32", training)

    def _tune(
        self, task: Task, chosen: NDArray[np.bool_], progress: Progress, stage: str
    ) -> "TunedNetwork":
        head, _ = HeadWay().fit(task, chosen)
        crops = self._crops(task, chosen)
        return self.tuning.tune(
            crops,
            classes=task.classes,
            weight=head.weight,
            bias=head.bias,
            temperature=task.temperature,
            seed=task.seed,
            progress=lambda done, total: progress(stage, done, total),
        )

    def _crops(self, task: Task, chosen: NDArray[np.bool_]) -> "LabelledCrops":
        """A crop around each label, with the pixels of all chosen labels in it."""
        from lulcmap.training import LabelledCrops

        seen = task.seen
        each = seen.shared(task.weights)
        used = chosen[seen.label]
        firsts = np.searchsorted(seen.label, np.arange(seen.n))
        parts: list[tuple[NDArray[Any], ...]] = []
        for number in np.unique(seen.at[used, 0]).tolist():
            s2, s1 = self.store.read(number)
            here = used & (seen.at[:, 0] == number)
            label = np.full(s2.shape[1:], NODATA, np.uint8)
            weight = np.zeros(s2.shape[1:], np.float32)
            at = seen.at[here, 1], seen.at[here, 2]
            label[at] = task.truth[seen.label[here]]
            weight[at] = each[here]
            for first in firsts[chosen & (seen.at[firsts, 0] == number)].tolist():
                rows, cols = (
                    _around(int(seen.at[first, axis + 1]), label.shape[axis]) for axis in (0, 1)
                )
                s2_part, s1_part = _mirrored(task, s2[:, rows, cols], s1[:, rows, cols])
                parts.append((s2_part, s1_part, label[rows, cols], weight[rows, cols]))
        return LabelledCrops(*(np.stack(arrays) for arrays in zip(*parts, strict=True)))

    def _logits(
        self, task: Task, tuned: "TunedNetwork", pixels: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """(p, K) logits at some pixels, in the windows of a map."""
        at = task.seen.at[pixels]
        logits = np.zeros((len(at), len(task.classes)))
        for number in np.unique(at[:, 0]).tolist():
            here = at[:, 0] == number
            cells = tuned.logits(*_mirrored(task, *self.store.read(number)))
            logits[here] = at_pixels(
                cells, at[here, 1], at[here, 2], stride=task.network.contract.stride
            )
        return logits


def _around(pixel: int, size: int) -> slice:
    """The crop around a pixel, on one axis of a window."""
    start = min(max(pixel - CROP_PX // 2, 0), size - CROP_PX)
    return slice(start, start + CROP_PX)


def _mirrored(
    task: Task, s2: NDArray[np.uint16], s1: NDArray[np.int16]
) -> tuple[NDArray[np.uint16], NDArray[np.int16]]:
    """A window or crop, mirrored where it has no data, as a map's windows are."""
    usable = task.network.usable(s2, s1)
    if usable.all():
        return s2, s1
    rows, cols = mirrored(usable)
    return s2[:, rows, cols], s1[:, rows, cols]
