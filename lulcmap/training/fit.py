"""Training on chips: AdamW, a cosine, focal loss; resumed after a kill as if nothing had been."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lulcmap.errors import ModelError, UsageError
from lulcmap.legend import CLASSES, NODATA
from lulcmap.scores import confusion
from lulcmap.sensors import S1_NODATA, S2_NODATA
from lulcmap.training.augment import augmented
from lulcmap.training.checkpoint import load_checkpoint, plain, save_checkpoint
from lulcmap.training.chips import Chips, class_weights_of, normalisation_of
from lulcmap.training.deployed import Deployed, Normalisation
from lulcmap.training.network import STRIDE, Config, LulcFormer

CHECKPOINT = "checkpoint.pt"
"""The file in a training's folder: the last finished epoch."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides a training, beside its chips and the network's shape."""

    epochs: int = 20
    """Each visits every chip once, with one crop of it."""

    batch: int = 8
    """Samples a step."""

    crop: int = 256
    """Pixels a side of what is cut from a chip; a multiple of 32."""

    learning_rate: float = 5e-4
    """At the top of the schedule (the paper's)."""

    weight_decay: float = 0.01
    """Of AdamW, on matrices only."""

    warmup: float = 0.05
    """Share of the steps over which the learning rate rises."""

    gamma: float = 2.0
    """Of the focal loss: how much pixels that are right already count less."""

    balance: float = 0.5
    """Classes weigh as their frequency to the power of minus this: 0 not at all, 1 all alike."""

    missing_s2: float = 0.1
    """Share of the samples whose Sentinel-2 is taken away, wholly or beyond a line."""

    missing_s1: float = 0.15
    """Share of the samples whose Sentinel-1 is taken away, wholly or beyond a line."""

    average: float = 0.999
    """Of the weights: the share of the old average each step keeps."""

    clip: float = 1.0
    """Largest norm of the gradient."""

    seed: int = 0
    """Of the first weights and of every draw."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch of training came to."""

    number: int
    """From 1."""

    epochs: int
    """To be run in all."""

    loss: float
    """Mean over its steps."""

    samples_per_second: float
    """Of wall-clock time."""


def fit(
    chips: Chips,
    folder: Path,
    *,
    config: Config,
    settings: Settings,
    knows: Literal["simulated", "real"],
    source: str = "",
    progress: Callable[[Epoch], None] | None = None,
) -> Path:
    """Train a network, or go on where a killed training left off.

    On a CPU with one number of threads the resumed training gives the same weights, bit for bit.

    Args:
        chips: to learn from.
        folder: where the checkpoint is kept; made if need be.
        config: the network's shape.
        settings: of the training.
        knows: the kind of land the chips show.
        source: what the chips are and where they come from, a sentence for the model card.
        progress: told of every finished epoch.

    Returns:
        The checkpoint's path. Its ``weights`` are the average over the training.

    Raises:
        UsageError: the folder holds a training with other settings or another shape.
        ModelError: the loss is no number, or the folder's checkpoint cannot be read.

    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CHECKPOINT
    run = _Run.resume(path, config, settings) if path.exists() else None
    if run is None:
        run = _Run.start(chips, config, settings)
    provenance = {
        "source": source,
        "chips": len(chips),
        "chip_size": list(chips.label.shape[1:]),
        "crop": settings.crop,
        "torch": str(torch.__version__),  # a subclass that would not load again
    }
    for number in range(run.done, settings.epochs):
        began = time.perf_counter()
        loss = run.epoch(chips, number)
        run.done, run.losses = number + 1, [*run.losses, loss]
        save_checkpoint(
            path,
            run.checkpoint() | {"knows": knows, "training": provenance | {"losses": run.losses}},
        )
        if progress is not None:
            seconds = time.perf_counter() - began
            progress(Epoch(number + 1, settings.epochs, loss, len(chips) / seconds))
    return path


class _Run:
    """A training between two epochs: everything that must outlive a kill."""

    def __init__(self, deployed: Deployed, settings: Settings, class_weights: list[float]) -> None:
        self.deployed, self.settings, self.class_weights = deployed, settings, class_weights
        self.average = {k: v.clone() for k, v in deployed.network.state_dict().items()}
        matrices = [p for p in deployed.network.parameters() if p.ndim > 1]
        others = [p for p in deployed.network.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": settings.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=settings.learning_rate,
        )
        self.done, self.step, self.losses = 0, 0, list[float]()

    @classmethod
    def start(cls, chips: Chips, config: Config, settings: Settings) -> Self:
        torch.manual_seed(settings.seed)
        deployed = Deployed(LulcFormer(config), normalisation_of(chips))
        return cls(deployed, settings, class_weights_of(chips, power=settings.balance))

    @classmethod
    def resume(cls, path: Path, config: Config, settings: Settings) -> Self:
        saved = load_checkpoint(path)
        for what, old, new in (
            ("settings", saved["settings"], asdict(settings)),
            ("network", saved["config"], plain(asdict(config))),
        ):
            other = [
                f"{key}: {old.get(key)} there, {new[key]} now"
                for key in new
                if old.get(key) != new[key]
            ]
            if other:
                raise UsageError(
                    f"{path} is a training with another {what} ({'; '.join(other)}). "
                    "Go on with its own, or give another folder."
                )
        resume = saved["resume"]
        deployed = Deployed(LulcFormer(config), Normalisation.from_dict(saved["normalisation"]))
        run = cls(deployed, settings, resume["class_weights"])
        run.average = saved["weights"]
        deployed.network.load_state_dict(resume["network"])
        run.optimizer.load_state_dict(resume["optimizer"])
        run.done, run.step, run.losses = (
            resume["epochs"],
            resume["steps"],
            saved["training"]["losses"],
        )
        torch.set_rng_state(resume["rng"])
        return run

    def checkpoint(self) -> dict[str, Any]:
        """What is saved, less the provenance."""
        return {
            "config": plain(asdict(self.deployed.network.config)),
            "normalisation": plain(self.deployed.normalisation.to_dict()),
            "settings": asdict(self.settings),
            "weights": self.average,
            "resume": {
                "epochs": self.done,
                "steps": self.step,
                "network": self.deployed.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "class_weights": self.class_weights,
                "rng": torch.get_rng_state(),
            },
        }

    def epoch(self, chips: Chips, number: int) -> float:
        """Visit every chip once; the mean loss."""
        settings, alpha = self.settings, torch.tensor(self.class_weights)
        total = settings.epochs * math.ceil(len(chips) / settings.batch)
        self.deployed.train()
        losses = []
        for s2, s1, label in batches(chips, settings, number):
            rate = learning_rate(self.step, total, settings)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            logits = full_size(self.deployed(s2, s1))
            loss = focal_loss(logits, label, alpha=alpha, gamma=settings.gamma)
            if not torch.isfinite(loss):
                raise ModelError(
                    f"The loss is {loss.item()} in step {self.step + 1}. Lower the learning rate."
                )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.deployed.parameters(), settings.clip)
            self.optimizer.step()
            self.step += 1
            self._keep_average()
            losses.append(loss.item())
        return sum(losses) / len(losses)

    def _keep_average(self) -> None:
        keep = min(self.settings.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.deployed.network.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - keep)
                else:
                    self.average[name].copy_(value)


def learning_rate(step: int, total: int, settings: Settings) -> float:
    """Of one step: a linear rise, then half a cosine down to 0.

    Examples:
        >>> settings = Settings(warmup=0.1, learning_rate=1.0)
        >>> [round(learning_rate(step, 100, settings), 2) for step in (0, 9, 10, 55, 99)]
        [0.1, 1.0, 1.0, 0.5, 0.0]

    """
    rise = max(1, round(settings.warmup * total))
    if step < rise:
        return settings.learning_rate * (step + 1) / rise
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / (total - rise)))


def focal_loss(logits: Tensor, label: Tensor, *, alpha: Tensor, gamma: float) -> Tensor:
    """The alpha-balanced focal loss of Lin et al. (2017), over the pixels with a label.

    Args:
        logits: (B, K, H, W).
        label: (B, H, W) int64 class ids, 255 where unknown.
        alpha: (K,) what a pixel of each class counts.
        gamma: 0 gives the weighted cross-entropy.

    Returns:
        The mean, weighted by ``alpha``; 0 where no pixel has a label.

    """
    entropy = F.cross_entropy(logits, label, ignore_index=NODATA, reduction="none")  # (B, H, W)
    known = label != NODATA
    weight = alpha[torch.where(known, label, 0)] * known
    hard = (1 - torch.exp(-entropy)) ** gamma
    return (weight * hard * entropy).sum() / weight.sum().clamp(min=1e-6)


def full_size(logits: Tensor) -> Tensor:
    """Logits (B, K, H / 4, W / 4) at every pixel (B, K, H, W), in fp32."""
    return F.interpolate(logits.float(), scale_factor=float(STRIDE), mode="bilinear")


def batches(
    chips: Chips, settings: Settings, epoch: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """One epoch's augmented samples: (B, 9, H, W) uint16, (B, 2, H, W) int16, (B, H, W) int64.

    The order depends on seed and epoch; a sample on seed, epoch and its number. Nothing else.
    """
    order = np.random.default_rng((settings.seed, epoch)).permutation(len(chips))
    for start in range(0, len(chips), settings.batch):
        samples = [
            augmented(
                chips.sample(index),
                np.random.default_rng((settings.seed, epoch, index)),
                crop=settings.crop,
                missing_s2=settings.missing_s2,
                missing_s1=settings.missing_s1,
            )
            for index in order[start : start + settings.batch].tolist()
        ]
        s2, s1, label = (np.stack(arrays) for arrays in zip(*samples, strict=True))
        yield (
            torch.from_numpy(s2),
            torch.from_numpy(s1),
            torch.from_numpy(label.astype(np.int64)),
        )


@torch.inference_mode()
def measure(
    deployed: Deployed,
    chips: Chips,
    *,
    batch: int = 4,
    without: Literal["s2", "s1"] | None = None,
) -> NDArray[np.int64]:
    """The confusion matrix of a network on chips, at full size.

    Args:
        deployed: the network.
        chips: with their truth.
        batch: chips at once.
        without: a sensor to be taken away.

    Returns:
        (K, K) counts of pixels, truth by prediction.

    """
    deployed.eval()
    matrix = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for start in range(0, len(chips), batch):
        part = slice(start, start + batch)
        s2, s1 = np.array(chips.s2[part]), np.array(chips.s1[part])
        if without == "s2":
            s2[:] = S2_NODATA
        elif without == "s1":
            s1[:] = S1_NODATA
        logits = full_size(deployed(torch.from_numpy(s2), torch.from_numpy(s1)))
        predicted = logits.argmax(1).numpy().astype(np.uint8)
        matrix += confusion(np.asarray(chips.label[part]), predicted)
    return matrix
