"""What decides a training, and what it runs on."""

import math
from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp32", "bf16", "fp16"]
Augmentation = Literal["gentle", "strong"]


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """What decides a training, beside its chips and the network's shape.

    The defaults are the paper's where it says what it did (epochs, samples a step: 4 on each of 8
    GPUs, learning rate, cosine, AdamW, focal loss, whole tiles, rotation and flip), else ours.
    """

    epochs: int = 200
    """Each visits every chip once, with one crop of it."""

    batch: int = 32
    """Samples a step, over all devices and all parts of a step."""

    crop: int = 512
    """Pixels a side of what is cut from a chip; a multiple of 32. Smaller chips stay whole."""

    learning_rate: float = 5e-4
    """At the top of the schedule."""

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

    augmentation: Augmentation = "gentle"
    """How far light, haze and backscatter stray: what composites of one archive do, or so far that
    a network of few samples does not rely on any level."""

    average: float = 0.999
    """Of the weights: the share of the old average each step keeps."""

    clip: float = 1.0
    """Largest norm of the gradient."""

    precision: Precision = "fp32"
    """Of the network's arithmetic; the weights stay fp32."""

    patience: int | None = None
    """Epochs without a better validation after which the training ends; None runs them all."""

    seed: int = 0
    """Of the first weights and of every draw."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a training runs on, which decides how fast it is and what memory it needs."""

    device: str = "cpu"
    """``"cpu"`` or ``"cuda"``."""

    devices: int = 1
    """Processes, each with a device of its own."""

    parts: int = 1
    """Parts a device makes of its share of a step, one after the other (gradient accumulation)."""

    workers: int = 2
    """Threads a process that read and augment chips ahead."""


def learning_rate(step: int, total: int, settings: TrainingSettings) -> float:
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
