"""The samples of each step, in an order set by seed and epoch, read and augmented ahead."""

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lulcmap.training.augment import STRENGTHS, Sample, augment
from lulcmap.training.chips import Samples, pad_sample
from lulcmap.training.settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples of one size, stacked."""

    s2: Tensor
    """Sentinel-2 (B, 9, H, W) uint16."""

    s1: Tensor
    """Sentinel-1 (B, 2, H, W) int16."""

    label: Tensor
    """Labels (B, H, W) int64: class ids, codes of sets, 255 unknown."""


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
    rank: int = 0,
    world_size: int = 1,
    parts: int = 1,
    workers: int = 2,
) -> Iterator[list[Batch]]:
    """Steps of one epoch: of each, the parts that one process trains on.

    The order depends on seed and epoch only, and a sample on seed, epoch and its number: a step has
    the same samples with any number of processes, parts and threads. Samples that do not fill a
    last step are left out; which ones changes with the epoch. Smaller samples are padded with
    nodata to the size of the largest in their part.

    Args:
        samples: samples to train on.
        settings: settings of the training.
        epoch: number of the epoch, from 0.
        rank: rank of this process.
        world_size: number of processes that share the steps.
        parts: number of parts this process splits its share into.
        workers: number of threads that read and augment samples.

    """
    order = np.random.default_rng((settings.seed, epoch)).permutation(len(samples))
    shares = []
    for step in range(steps_per_epoch(len(samples), settings)):
        step_samples = order[step * settings.batch : (step + 1) * settings.batch].tolist()
        shares.append(
            step_samples[
                rank * len(step_samples) // world_size : (rank + 1)
                * len(step_samples)
                // world_size
            ]
        )

    def make_sample(index: int) -> Sample:
        return augment(
            samples.sample(index),
            np.random.default_rng((settings.seed, epoch, index)),
            crop=settings.crop,
            missing_s2=settings.missing_s2,
            missing_s1=settings.missing_s1,
            strength=STRENGTHS[settings.augmentation],
        )

    pool = ThreadPoolExecutor(workers, "chips")
    try:
        pending: deque[list[Future[Sample]]] = deque()
        for share in shares:
            pending.append([pool.submit(make_sample, index) for index in share])
            if len(pending) > _STEPS_AHEAD:
                yield _stack_parts(pending.popleft(), parts)
        while pending:
            yield _stack_parts(pending.popleft(), parts)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _stack_parts(share: list[Future[Sample]], parts: int) -> list[Batch]:
    size = math.ceil(len(share) / parts)
    stacked = []
    for start in range(0, len(share), size):
        samples_of_part = [future.result() for future in share[start : start + size]]
        rows, cols = (max(sample.shape[axis] for sample in samples_of_part) for axis in (0, 1))
        padded = [pad_sample(sample, min_size=(rows, cols)) for sample in samples_of_part]
        stacked.append(
            Batch(
                torch.from_numpy(np.stack([sample.s2 for sample in padded])),
                torch.from_numpy(np.stack([sample.s1 for sample in padded])),
                torch.from_numpy(np.stack([sample.label for sample in padded]).astype(np.int64)),
            )
        )
    return stacked
