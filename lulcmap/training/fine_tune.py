"""Train a network on with few labels, so that it keeps what it learnt.

The labels are single pixels of crops. Everything else in the crops rehearses what the network said
before: its own probabilities there are soft labels (Li and Hoiem 2016, Learning without Forgetting,
arXiv:1606.09282). It starts from a head that was fitted to the same labels, so that the features
are not torn by a random one (Kumar et al. 2022, arXiv:2202.10054), and its weights are drawn
towards where they began. Batch norms keep their statistics.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lulcmap.errors import ModelError
from lulcmap.legend import NODATA
from lulcmap.model import START
from lulcmap.sensors import S1_NODATA
from lulcmap.system import Steps, no_progress
from lulcmap.training.checkpoint import json_values
from lulcmap.training.deployable import DeployableNetwork
from lulcmap.training.export import fold_decoder, start_of, trace
from lulcmap.training.initial import TrainedNetwork, load_trained
from lulcmap.training.loss import upsample_logits
from lulcmap.training.networks import build_network

_HEAD_KEYS = ("decoder.classify.", "classify.")


@dataclass(frozen=True, slots=True)
class FineTuneSettings:
    """Settings of a training that goes on."""

    epochs: int = 4
    """Times each crop is seen."""

    batch: int = 16
    """Crops of a step."""

    learning_rate: float = 1e-4
    """Largest step size of AdamW; it rises in the first tenth and falls to 0."""

    rehearsal: float = 0.2
    """Weight of what the network said before, against that of the labels."""

    hold: float = 1e-3
    """Share by which a step draws the weights towards their start, in units of the learning rate's
    share of its largest."""

    without_s1: float = 0.2
    """Share of crops shown without Sentinel-1, so that it can still do without."""


@dataclass(frozen=True)
class LabelledCrops:
    """Crops around labels."""

    s2: NDArray[np.uint16]
    """(n, 9, H, W) DN, 0 nodata."""

    s1: NDArray[np.int16]
    """(n, 2, H, W) hundredths of a decibel, -32768 nodata."""

    label: NDArray[np.uint8]
    """(n, H, W) class of each labelled pixel, 255 elsewhere."""

    weight: NDArray[np.float32]
    """(n, H, W) how much it counts."""


@dataclass(frozen=True)
class TunedNetwork:
    """A network that was trained on."""

    deployable: DeployableNetwork
    """The network, in eval mode."""

    settings_used: FineTuneSettings
    """How it was trained."""

    def settings(self) -> dict[str, Any]:
        """How it was trained, plain JSON."""
        return asdict(self.settings_used)

    def logits(self, s2: NDArray[np.uint16], s1: NDArray[np.int16]) -> NDArray[np.float32]:
        """Logits (K, H / stride, W / stride) of a window."""
        with torch.inference_mode():
            found = self.deployable(torch.from_numpy(s2)[None], torch.from_numpy(s1)[None])
        logits: NDArray[np.float32] = found[0].float().numpy()
        return logits

    def export(self, order: Sequence[int]) -> tuple[bytes, dict[str, Any]]:
        """The network as an ONNX file without metadata.

        Args:
            order: classes in the order that its logits are to have.

        Returns:
            The file, and the entries of a contract's ``training`` that describe the network.

        """
        network = self.deployable.network
        state = network.state_dict()
        for key in state:
            if key.startswith(_HEAD_KEYS):
                state[key] = state[key][list(order)]
        network.load_state_dict(state)
        model = trace(fold_decoder(self.deployable, fp16=False))
        described = {
            "network": json_values(asdict(network.config)),
            "torch": str(torch.__version__),
            START: start_of(self.deployable),
        }
        data: bytes = model.SerializeToString(deterministic=True)
        return data, described


@dataclass(frozen=True)
class FineTuning:
    """A trained network to train on, as often as wanted."""

    trained: TrainedNetwork
    """The network as it is."""

    @classmethod
    def of(cls, model: Path) -> Self:
        """Load a model's file.

        Raises:
            ModelError: it is none that lulcmap can train.
            DeviceError: onnx or ONNX Runtime is not installed.

        """
        return cls(load_trained(model))

    def tune(
        self,
        crops: LabelledCrops,
        *,
        classes: Sequence[str],
        weight: NDArray[np.float64],
        bias: NDArray[np.float64],
        temperature: float,
        seed: int,
        settings: FineTuneSettings = FineTuneSettings(),
        progress: Steps = no_progress,
    ) -> TunedNetwork:
        """Train the network on.

        Args:
            crops: crops with labels.
            classes: names of the classes, the network's own first.
            weight: (K, D) head to start from.
            bias: (K,) its bias.
            temperature: divisor of the network's logits that makes its probabilities honest.
            seed: random seed; with one thread, the same seed gives the same network.
            settings: settings.
            progress: called with the number of steps done, and of all steps.

        Raises:
            ModelError: the loss is not finite.

        """
        teacher = self._build(self.trained.classes)
        student = self._build(classes)
        if "s2" not in student.inputs:
            settings = replace(settings, without_s1=0.0)  # it would see nothing
        _set_head(student, weight, bias)
        begun = [value.detach().clone() for value in student.parameters()]
        optimizer = torch.optim.AdamW(
            student.parameters(), lr=settings.learning_rate, weight_decay=0.0
        )
        rng = np.random.default_rng(seed)
        n = len(crops.label)
        orders = [rng.permutation(n) for _ in range(settings.epochs)]
        batches = [
            order[i : i + settings.batch] for order in orders for i in range(0, n, settings.batch)
        ]
        for step, chosen in enumerate(batches):
            share = _rate(step, len(batches))
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * share
            loss = _loss(
                student, teacher, _batch(crops, chosen, rng, settings), temperature, settings
            )
            if not torch.isfinite(loss):
                raise ModelError(
                    f"The loss is {float(loss)} in step {step + 1} of the fine-tuning."
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            with torch.no_grad():
                for value, first in zip(student.parameters(), begun, strict=True):
                    value.lerp_(first, settings.hold * share)
            progress(step + 1, len(batches))
        return TunedNetwork(student, settings)

    def _build(self, classes: Sequence[str]) -> DeployableNetwork:
        """The network with some classes; those it knows keep their weights."""
        network = build_network(replace(self.trained.config, classes=len(classes)))
        self.trained.load_into(network, classes)
        if self.trained.normalisation is None:
            raise ModelError(
                f"Model {self.trained.name!r} does not tell how its inputs are standardised. "
                "Export it again, or adapt its head: --way head."
            )
        return DeployableNetwork(network, self.trained.normalisation).eval()


def _set_head(
    deployable: DeployableNetwork, weight: NDArray[np.float64], bias: NDArray[np.float64]
) -> None:
    state = deployable.network.state_dict()
    for key in state:
        if key.startswith(_HEAD_KEYS):
            values = weight if key.endswith("weight") else bias
            state[key] = torch.from_numpy(values).float().reshape(state[key].shape)
    deployable.network.load_state_dict(state)


def _rate(step: int, steps: int) -> float:
    """Share of the largest step size: a rise in the first tenth, then half a cosine."""
    warm = max(1, steps // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + float(np.cos(np.pi * (step - warm) / max(1, steps - warm))))


_Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Sentinel-2, Sentinel-1, labels and their weights."""


def _batch(
    crops: LabelledCrops,
    chosen: NDArray[np.intp],
    rng: np.random.Generator,
    settings: FineTuneSettings,
) -> _Batch:
    """Some crops, each turned and flipped at random, some without Sentinel-1."""
    turned = []
    for number in chosen.tolist():
        turns, flips = int(rng.integers(4)), bool(rng.integers(2))
        planes = []
        for array in (crops.s2, crops.s1, crops.label, crops.weight):
            plane = np.rot90(array[number], turns, axes=(-2, -1))
            planes.append(plane[..., ::-1] if flips else plane)
        has_s2 = (planes[0] > 0).all()
        if has_s2 and rng.random() < settings.without_s1:
            planes[1] = np.full_like(planes[1], S1_NODATA)
        turned.append(planes)
    s2, s1, label, weight = (
        torch.from_numpy(np.ascontiguousarray(np.stack(part))) for part in zip(*turned, strict=True)
    )
    return s2, s1, label.long(), weight


def _loss(
    student: DeployableNetwork,
    teacher: DeployableNetwork,
    batch: _Batch,
    temperature: float,
    settings: FineTuneSettings,
) -> Tensor:
    """Cross-entropy of the labels, and how far the network is from what it said before."""
    s2, s1, label, weight = batch
    logits = student(s2, s1).float() / temperature
    with torch.no_grad():
        before = (teacher(s2, s1).float() / temperature).softmax(1)
    n_old = before.shape[1]
    # New classes are left out of the rehearsal: the network could say nothing of them.
    rehearsed = -(before * logits[:, :n_old].log_softmax(1)).sum(1).mean()
    fine = upsample_logits(logits, stride=student.network.stride)
    surprise = F.cross_entropy(fine, label, ignore_index=NODATA, reduction="none")
    learnt = (weight * surprise).sum() / weight.sum().clamp(min=1e-6)
    return learnt + settings.rehearsal * rehearsed
