"""The samples of each step, in an order set by seed and epoch, read and augmented ahead."""

import math
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lulcmap.training.augment import Sample, augment, strength_of
from lulcmap.training.chips import Samples
from lulcmap.training.loss import Target
from lulcmap.training.lulcformer import Inputs
from lulcmap.training.margins import mirror_gaps, pad_sample
from lulcmap.training.mix import epoch_draws
from lulcmap.training.settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples of one size, stacked."""

    s2: Tensor
    """Sentinel-2 (B, 9, H, W) uint16."""

    s1: Tensor
    """Sentinel-1 (B, 2, H, W) int16."""

    target: Target
    """What the network is to say of each pixel."""


_STEPS_AHEAD = 2
"""Number of steps whose samples are prepared while one is trained on."""


def steps_per_epoch(n_samples: int, settings: TrainingSettings) -> int:
    """Number of steps of an epoch: whole steps only, but at least one."""
    return max(1, n_samples // settings.batch)


def batches(
    samples: Samples,
    settings: TrainingSettings,
    epoch: int,
    *,
    inputs: Inputs = ("s2", "s1"),
    rank: int = 0,
    world_size: int = 1,
    parts: int = 1,
    workers: int = 2,
) -> Iterator[list[Batch]]:
    """Steps of one epoch: of each, the parts that one process trains on.

    The order depends on seed and epoch only, and a sample on seed, epoch, its number and how often
    the epoch drew it before: a step has the same samples with any number of processes, parts and
    threads. Samples that do not fill a last step are left out; which ones changes with the epoch.
    Where none of the network's sensors has data, and at the edges of samples smaller than the
    largest in their part, there is mirrored land without a label, as in the windows of a map.

    Args:
        samples: samples to train on.
        settings: settings of the training.
        epoch: number of the epoch, from 0.
        inputs: sensors that the network takes.
        rank: rank of this process.
        world_size: number of processes that share the steps.
        parts: number of parts this process splits its share into.
        workers: number of threads that read and augment samples.

    """
    draws = _numbered(epoch_draws(samples, np.random.default_rng((settings.seed, epoch))))
    shares = []
    for step in range(steps_per_epoch(len(samples), settings)):
        drawn = draws[step * settings.batch : (step + 1) * settings.batch]
        first, last = (number * len(drawn) // world_size for number in (rank, rank + 1))
        shares.append(drawn[first:last])
    strength = strength_of(settings)

    def make_sample(draw: tuple[int, ...]) -> Sample:
        augmented = augment(
            samples.sample(draw[0]),
            np.random.default_rng((settings.seed, epoch, *draw)),
            crop=settings.crop,
            missing_s2=settings.missing_s2,
            missing_s1=settings.missing_s1,
            strength=strength,
        )
        return mirror_gaps(augmented, inputs)

    pool = ThreadPoolExecutor(workers, "chips")
    try:
        pending: deque[list[Future[Sample]]] = deque()
        for share in shares:
            pending.append([pool.submit(make_sample, draw) for draw in share])
            if len(pending) > _STEPS_AHEAD:
                yield _stack_parts(pending.popleft(), parts)
        while pending:
            yield _stack_parts(pending.popleft(), parts)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _numbered(order: list[int]) -> list[tuple[int, ...]]:
    """Each sample of an epoch; from its second draw on, with the number of draws before."""
    before: Counter[int] = Counter()
    draws: list[tuple[int, ...]] = []
    for index in order:
        draws.append((index, before[index]) if before[index] else (index,))
        before[index] += 1
    return draws


def _stack_parts(share: list[Future[Sample]], parts: int) -> list[Batch]:
    size = math.ceil(len(share) / parts)
    stacked = []
    for start in range(0, len(share), size):
        samples = [future.result() for future in share[start : start + size]]
        rows, cols = (max(sample.shape[axis] for sample in samples) for axis in (0, 1))
        stacked.append(stack([pad_sample(sample, min_size=(rows, cols)) for sample in samples]))
    return stacked


def stack(samples: list[Sample]) -> Batch:
    """Samples of one size as a batch; certain labels and full weights beside others are filled in.

    So a sample's loss does not depend on the samples beside it.
    """
    soft = [sample.probabilities for sample in samples if sample.probabilities is not None]
    has_weight = any(sample.weight is not None for sample in samples)
    probabilities = weight = None
    if soft:
        shape = (len(samples), *soft[0].shape)
        probabilities = np.zeros(shape, np.uint8)  # 0 in all classes: the label is certain
    if has_weight:
        weight = np.full((len(samples), *samples[0].shape), 100, np.uint8)
    for number, sample in enumerate(samples):
        if probabilities is not None and sample.probabilities is not None:
            probabilities[number] = sample.probabilities
        if weight is not None and sample.weight is not None:
            weight[number] = sample.weight
    label = np.stack([sample.label for sample in samples]).astype(np.int64)
    return Batch(
        torch.from_numpy(np.stack([sample.s2 for sample in samples])),
        torch.from_numpy(np.stack([sample.s1 for sample in samples])),
        Target(
            torch.from_numpy(label),
            None if probabilities is None else torch.from_numpy(probabilities),
            None if weight is None else torch.from_numpy(weight),
        ),
    )
