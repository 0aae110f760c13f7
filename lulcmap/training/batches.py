"""The samples of each step, in an order that seed and epoch decide, read and augmented ahead."""

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from lulcmap.training.augment import STRENGTHS, Sample, augment
from lulcmap.training.chips import Samples, pad_sample
from lulcmap.training.settings import TrainingSettings

Batch = tuple[Tensor, Tensor, Tensor]
"""(B, 9, H, W) uint16, (B, 2, H, W) int16 and (B, H, W) int64."""

_STEPS_AHEAD = 2
"""Steps whose samples are made while one is learnt from."""


def steps_per_epoch(n_samples: int, settings: TrainingSettings) -> int:
    """Steps of an epoch: whole ones only, but one at least."""
    return max(1, n_samples // settings.batch)


def batches(
    samples: Samples,
    settings: TrainingSettings,
    epoch: int,
    *,
    rank: int = 0,
    world: int = 1,
    parts: int = 1,
    workers: int = 2,
) -> Iterator[list[Batch]]:
    """One epoch's steps, each the parts that one process makes of its share.

    The order depends on seed and epoch; a sample on seed, epoch and its number. Nothing else: with
    any number of processes, parts and threads a step has the same samples. Those that do not fill a
    last step are left out; which these are changes with the epoch. Smaller samples are filled up
    with nodata to the size of the largest in their part.

    Args:
        samples: to learn from.
        settings: of the training.
        epoch: from 0.
        rank: of this process.
        world: how many processes share the steps.
        parts: a share is made in.
        workers: threads that read and augment.

    """
    order = np.random.default_rng((settings.seed, epoch)).permutation(len(samples))
    shares = []
    for step in range(steps_per_epoch(len(samples), settings)):
        whole = order[step * settings.batch : (step + 1) * settings.batch].tolist()
        shares.append(whole[rank * len(whole) // world : (rank + 1) * len(whole) // world])

    def make(index: int) -> Sample:
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
        made: deque[list[Future[Sample]]] = deque()
        for share in shares:
            made.append([pool.submit(make, index) for index in share])
            if len(made) > _STEPS_AHEAD:
                yield _stack_parts(made.popleft(), parts)
        while made:
            yield _stack_parts(made.popleft(), parts)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _stack_parts(share: list[Future[Sample]], parts: int) -> list[Batch]:
    size = math.ceil(len(share) / parts)
    stacked = []
    for start in range(0, len(share), size):
        chosen = [future.result() for future in share[start : start + size]]
        rows, cols = (max(label.shape[axis] for *_, label in chosen) for axis in (0, 1))
        alike = [pad_sample(sample, least=(rows, cols)) for sample in chosen]
        s2, s1, label = (np.stack(arrays) for arrays in zip(*alike, strict=True))
        stacked.append(
            (
                torch.from_numpy(s2),
                torch.from_numpy(s1),
                torch.from_numpy(label.astype(np.int64)),
            )
        )
    return stacked
