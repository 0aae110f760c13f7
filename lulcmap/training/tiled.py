"""A network on whole images: overlapping windows, blended; what it is worth on labelled chips."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lulcmap.evaluation import confusion
from lulcmap.geo import Lattice, blend_weights
from lulcmap.legend import NODATA
from lulcmap.model import Contract, mirrored
from lulcmap.sensors import S1_NODATA, S2_NODATA
from lulcmap.training.augment import Sample
from lulcmap.training.checkpoint import contract_of, load_checkpoint, restore_network
from lulcmap.training.chips import Samples, pad_sample
from lulcmap.training.deployable import DeployableNetwork
from lulcmap.training.distributed import find_device
from lulcmap.training.loss import upsample_logits

Predict = Callable[
    [NDArray[np.uint16], NDArray[np.int16]], tuple[NDArray[np.uint8], NDArray[np.float32]]
]
"""Composites (9, H, W) and (2, H, W) to class ids (H, W), 255 where there is neither sensor, and
the probability (H, W) of each."""


@torch.inference_mode()
def logits_of(deployed: DeployableNetwork, s2: Tensor, s1: Tensor, *, lattice: Lattice) -> Tensor:
    """Logits of images of any size: windows that overlap, blended by raised cosines.

    Args:
        deployed: the network, in eval mode.
        s2: (B, 9, H, W) uint16, on any device; H and W multiples of 32.
        s1: (B, 2, H, W) int16.
        lattice: of the windows, from the upper left corner; an image no larger than a window is
            seen whole.

    Returns:
        (B, K, H, W) fp32, on the network's device.

    """
    rows, cols = s2.shape[-2:]
    stride, device = deployed.network.stride, next(deployed.parameters()).device
    tops, lefts = _starts(rows, lattice), _starts(cols, lattice)
    if len(tops) == len(lefts) == 1:
        return upsample_logits(deployed(s2.to(device), s1.to(device)), stride=stride)
    total = torch.zeros(1)
    along = torch.from_numpy(blend_weights(lattice, stride=stride)).to(device)
    weight = torch.zeros(rows // stride, cols // stride, device=device)
    for top in tops:
        for left in lefts:
            window = np.s_[..., top : top + lattice.size, left : left + lattice.size]
            seen = deployed(s2[window].to(device), s1[window].to(device)).float()
            height, width = seen.shape[-2:]
            if not weight.any():
                total = seen.new_zeros(*seen.shape[:2], *weight.shape)
            counts = along[:height, None] * along[None, :width]
            here = np.s_[
                ..., top // stride : top // stride + height, left // stride : left // stride + width
            ]
            total[here] += seen * counts
            weight[here] += counts
    return upsample_logits(total / weight, stride=stride)


def _starts(size: int, lattice: Lattice) -> list[int]:
    """Where windows begin along one axis, the last cut off by the image's edge."""
    return [0, *range(lattice.step, size - lattice.overlap, lattice.step)]


def measure(
    deployed: DeployableNetwork,
    samples: Samples,
    *,
    batch: int = 4,
    without: Literal["s2", "s1"] | None = None,
    part: slice = slice(None),
) -> NDArray[np.int64]:
    """The confusion matrix of a network on samples, at full size, in windows as maps are made.

    Args:
        deployed: the network.
        samples: with their truth.
        batch: samples of one size at once.
        without: a sensor to be taken away.
        part: of the samples.

    Returns:
        (K, K) counts of pixels, truth by prediction.

    """
    deployed.eval()
    n_classes = len(samples.classes)
    matrix = np.zeros((n_classes, n_classes), np.int64)
    for s2, s1, label in _batches_of_one_size(samples, range(len(samples))[part], batch=batch):
        if without == "s2":
            s2[:] = S2_NODATA
        elif without == "s1":
            s1[:] = S1_NODATA
        logits = logits_of(deployed, torch.from_numpy(s2), torch.from_numpy(s1), lattice=Lattice())
        predicted = logits.argmax(1).cpu().numpy().astype(np.uint8)
        matrix += confusion(label, predicted, n_classes=n_classes)
    return matrix


def _batches_of_one_size(samples: Samples, numbers: range, *, batch: int) -> Iterator[Sample]:
    """Samples stacked, as many at once as follow each other in one size."""
    held: list[Sample] = []
    for sample in _read_ahead(samples, numbers, ahead=2 * batch):
        if held and (len(held) == batch or held[0][2].shape != sample[2].shape):
            yield _stack(held)
            held = []
        held.append(sample)
    if held:
        yield _stack(held)


def _read_ahead(samples: Samples, numbers: range, *, ahead: int) -> Iterator[Sample]:
    """Samples in their order, the next ones read by threads while one is in use."""
    with ThreadPoolExecutor(ahead) as pool:
        coming: deque[Future[Sample]] = deque()
        for number in numbers:
            coming.append(pool.submit(samples.sample, number))
            if len(coming) > ahead:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def _stack(held: list[Sample]) -> Sample:
    s2, s1, label = (np.stack(arrays) for arrays in zip(*held, strict=True))
    return s2, s1, label


def checkpoint_predictor(path: Path, device: str = "auto") -> tuple[Predict, Contract]:
    """What a checkpoint's network makes of a composite.

    Args:
        path: of the checkpoint.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.

    Raises:
        ModelError: it is no checkpoint of lulcmap.
        DeviceError: there is no such device.

    """
    saved: dict[str, Any] = load_checkpoint(path)
    deployed = restore_network(saved).to(find_device(device))
    contract = contract_of(saved)

    def predict(
        s2: NDArray[np.uint16], s1: NDArray[np.int16]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        shape = s2.shape[-2:]
        seen2, seen1, _ = pad_sample((s2, s1, np.full(shape, NODATA, np.uint8)))
        there = np.zeros(seen2.shape[-2:], np.bool_)
        if "s2" in deployed.inputs:
            there |= (seen2 != S2_NODATA).all(0)
        if "s1" in deployed.inputs:
            there |= (seen1 != S1_NODATA).all(0)
        if there.any():  # as windows of a map are shown
            rows, cols = mirrored(there)
            seen2, seen1 = seen2[:, rows, cols], seen1[:, rows, cols]
        logits = logits_of(
            deployed,
            torch.from_numpy(seen2)[None],
            torch.from_numpy(seen1)[None],
            lattice=contract.lattice,
        )[0, :, : shape[0], : shape[1]]
        highest, classes = (logits / contract.temperature).softmax(0).max(0)
        there = there[: shape[0], : shape[1]]
        ids = np.where(there, classes.cpu().numpy(), NODATA).astype(np.uint8)
        return ids, np.where(there, highest.cpu().numpy(), 0).astype(np.float32)

    return predict, contract
