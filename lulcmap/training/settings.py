"""Settings of a training, and the hardware it runs on."""

import math
from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp32", "bf16", "fp16"]
Augmentation = Literal["gentle", "strong"]


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Everything that decides a training, besides its chips and the network's shape.

    The defaults follow the paper where it gives them (epochs, samples per step: 4 on each of 8
    GPUs, learning rate, cosine, AdamW, focal loss, whole tiles, rotation and flip); the others are
    ours.
    """

    epochs: int = 200
    """Number of epochs; each visits every chip once, with one crop of it."""

    batch: int = 32
    """Samples per step, over all devices and all parts of a step."""

    crop: int = 512
    """Side of the crop from a chip, pixels; a multiple of 32. Smaller chips stay whole."""

    learning_rate: float = 5e-4
    """Highest learning rate, after the warm-up."""

    weight_decay: float = 0.01
    """Weight decay of AdamW, on matrices only."""

    warmup: float = 0.05
    """Share of the steps over which the learning rate rises."""

    gamma: float = 2.0
    """Gamma of the focal loss: how much less pixels count that are already right."""

    balance: float = 0.5
    """Class weight is frequency to the power of minus this: 0 no weights, 1 all classes equal."""

    missing_s2: float = 0.1
    """Share of the samples whose Sentinel-2 is removed, wholly or beyond a line."""

    missing_s1: float = 0.15
    """Share of the samples whose Sentinel-1 is removed, wholly or beyond a line."""

    augmentation: Augmentation = "gentle"
    """How much light, haze and backscatter vary: ``"gentle"`` as between composites of one archive,
    ``"strong"`` so much that a network of few samples cannot rely on absolute levels."""

    pixel_shift: float | None = None
    """Share of the samples whose sensors are each shifted against the label, by up to half a pixel;
    None: as ``augmentation`` has it, none of ``"gentle"`` and half of ``"strong"``."""

    average: float = 0.999
    """Share of the averaged weights that each step keeps."""

    clip: float = 1.0
    """Largest norm of the gradient; larger gradients are scaled down to it."""

    precision: Precision = "fp32"
    """Precision of the network's arithmetic; the weights stay fp32."""

    patience: int | None = None
    """Stop after this many epochs without a better validation; None runs all epochs."""

    seed: int = 0
    """Seed of the initial weights and of every random draw."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a training runs on: it decides the speed and the memory needed."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device; ``"auto"`` is CUDA if available, else the CPU."""

    devices: int = 1
    """Number of processes, each with its own device."""

    parts: int = 1
    """Parts that each device splits its share of a step into (gradient accumulation)."""

    workers: int = 4
    """Reader threads per process: they read and augment chips ahead."""


def learning_rate(step: int, total: int, settings: TrainingSettings) -> float:
    """Learning rate of one step: a linear warm-up, then half a cosine down to 0.

    Examples:
        >>> settings = TrainingSettings(warmup=0.1, learning_rate=1.0)
        >>> [round(learning_rate(step, 100, settings), 2) for step in (0, 9, 10, 55, 99)]
        [0.1, 1.0, 1.0, 0.5, 0.0]

    """
    rise = max(1, round(settings.warmup * total))
    if step < rise:
        return settings.learning_rate * (step + 1) / rise
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / (total - rise)))
