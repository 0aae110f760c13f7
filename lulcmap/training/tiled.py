"""A network on whole images: overlapping windows, blended; its scores on labelled chips."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lulcmap.evaluation import Prediction, Predictor, confusion
from lulcmap.geo import Lattice, blend_weights
from lulcmap.legend import NODATA
from lulcmap.model import Contract
from lulcmap.sensors import S1_NODATA, S2_NODATA
from lulcmap.training.augment import Sample
from lulcmap.training.checkpoint import contract_of, load_checkpoint, restore_network
from lulcmap.training.chips import Samples
from lulcmap.training.deployable import DeployableNetwork
from lulcmap.training.distributed import find_device
from lulcmap.training.loss import upsample_logits
from lulcmap.training.margins import has_data, mirror_gaps, pad_sample

_SENSORS: tuple[Literal["s2", "s1"], ...] = ("s2", "s1")


@torch.inference_mode()
def logits_of(deployable: DeployableNetwork, s2: Tensor, s1: Tensor, *, lattice: Lattice) -> Tensor:
    """Logits of images of any size: overlapping windows, blended by raised cosines.

    Args:
        deployable: network, in eval mode.
        s2: (B, 9, H, W) uint16, on any device; H and W multiples of 32.
        s1: (B, 2, H, W) int16.
        lattice: lattice of the windows, from the upper left corner; an image no larger than a
            window is classified whole.

    Returns:
        (B, K, H, W) fp32, on the network's device.

    """
    rows, cols = s2.shape[-2:]
    stride, device = deployable.network.stride, next(deployable.parameters()).device
    tops, lefts = _starts(rows, lattice), _starts(cols, lattice)
    if len(tops) == len(lefts) == 1:
        return upsample_logits(deployable(s2.to(device), s1.to(device)), stride=stride)
    total = torch.zeros(1)
    ramp = torch.from_numpy(blend_weights(lattice, stride=stride)).to(device)
    weight = torch.zeros(rows // stride, cols // stride, device=device)
    for top in tops:
        for left in lefts:
            window = np.s_[..., top : top + lattice.size, left : left + lattice.size]
            logits = deployable(s2[window].to(device), s1[window].to(device)).float()
            height, width = logits.shape[-2:]
            if not weight.any():
                total = logits.new_zeros(*logits.shape[:2], *weight.shape)
            window_weight = ramp[:height, None] * ramp[None, :width]
            cells = np.s_[
                ..., top // stride : top // stride + height, left // stride : left // stride + width
            ]
            total[cells] += logits * window_weight
            weight[cells] += window_weight
    return upsample_logits(total / weight, stride=stride)


def _starts(size: int, lattice: Lattice) -> list[int]:
    """Start of each window along one axis; the last is cut off by the image's edge."""
    return [0, *range(lattice.step, size - lattice.overlap, lattice.step)]


def measure(
    deployable: DeployableNetwork,
    samples: Samples,
    *,
    batch: int = 4,
    without: Literal["s2", "s1"] | None = None,
    part: slice = slice(None),
    lattice: Lattice | None = None,
) -> NDArray[np.int64]:
    """Confusion matrix of a network on labelled samples, in windows.

    Args:
        deployable: network to measure.
        samples: labelled samples.
        batch: number of samples of one size at once.
        without: sensor to leave out.
        part: the samples to use, by their index.
        lattice: lattice of the windows; None for those of 512 pixels.

    Returns:
        (K, K) counts of pixels, truth by prediction; those of label sets are not among them.

    """
    deployable.eval()
    n_classes = len(samples.classes)
    matrix = np.zeros((n_classes, n_classes), np.int64)
    for samples_of_batch in _batches_of_one_size(samples, range(len(samples))[part], batch=batch):
        left = [mirror_gaps(_without(one, without), deployable.inputs) for one in samples_of_batch]
        label = np.stack([one.label for one in left])
        label[label >= n_classes] = NODATA  # a set of classes has no row in the matrix
        s2, s1 = (torch.from_numpy(np.stack([getattr(one, n) for one in left])) for n in _SENSORS)
        logits = logits_of(deployable, s2, s1, lattice=lattice or Lattice())
        predicted = logits.argmax(1).cpu().numpy().astype(np.uint8)
        matrix += confusion(label, predicted, n_classes=n_classes)
    return matrix


def _without(sample: Sample, sensor: Literal["s2", "s1"] | None) -> Sample:
    """A sample without one sensor."""
    if sensor == "s2":
        return replace(sample, s2=np.full_like(sample.s2, S2_NODATA))
    if sensor == "s1":
        return replace(sample, s1=np.full_like(sample.s1, S1_NODATA))
    return sample


def _batches_of_one_size(samples: Samples, numbers: range, *, batch: int) -> Iterator[list[Sample]]:
    """Samples that follow each other and have the same size."""
    stack: list[Sample] = []
    for sample in _read_ahead(samples, numbers, ahead=2 * batch):
        if stack and (len(stack) == batch or stack[0].shape != sample.shape):
            yield stack
            stack = []
        stack.append(sample)
    if stack:
        yield stack


def _read_ahead(samples: Samples, numbers: range, *, ahead: int) -> Iterator[Sample]:
    """Samples in order; threads read the next ones while one is in use."""
    with ThreadPoolExecutor(ahead) as pool:
        futures: deque[Future[Sample]] = deque()
        for number in numbers:
            futures.append(pool.submit(samples.sample, number))
            if len(futures) > ahead:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()


def checkpoint_predictor(path: Path, device: str = "auto") -> tuple[Predictor, Contract]:
    """A function that classifies composites with a checkpoint's network, and its contract.

    Args:
        path: path of the checkpoint.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.

    Raises:
        ModelError: the file is not a lulcmap checkpoint.
        DeviceError: the device is not available.

    """
    return predictor_of(load_checkpoint(path), device)


def predictor_of(saved: dict[str, Any], device: str = "auto") -> tuple[Predictor, Contract]:
    """As ``checkpoint_predictor``, of a checkpoint that was read."""
    deployable = restore_network(saved).to(find_device(device))
    contract = contract_of(saved)

    def predict(
        s2: NDArray[np.uint16],
        s1: NDArray[np.int16],
        pixels: NDArray[np.intp] | None = None,
        _sun_zenith: float | None = None,  # no network of ours takes it
        /,
    ) -> Prediction:
        shape = s2.shape[-2:]
        seen = Sample(s2, s1, np.full(shape, NODATA, np.uint8))
        is_seen = has_data(seen, deployable.inputs)
        padded = pad_sample(seen, inputs=deployable.inputs)  # as in the windows of a map
        logits = logits_of(
            deployable,
            torch.from_numpy(padded.s2)[None],
            torch.from_numpy(padded.s1)[None],
            lattice=contract.lattice,
        )[0, :, : shape[0], : shape[1]]
        highest, classes = (logits / contract.temperature).softmax(0).max(0)
        ids = np.where(is_seen, classes.cpu().numpy(), NODATA).astype(np.uint8)
        wanted = None if pixels is None else logits.flatten(1)[:, pixels].T.cpu().numpy()
        confidence = np.where(is_seen, highest.cpu().numpy(), 0).astype(np.float32)
        return Prediction(ids, confidence, wanted)

    return predict, contract
