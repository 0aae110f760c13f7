"""A model file as an evaluation uses it: the code that makes maps, on one image, without torch."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lulcmap.geo import Box
from lulcmap.legend import NODATA
from lulcmap.model import Contract, Network, Prior, Session, classify_image, open_session

Predict = Callable[
    [NDArray[np.uint16], NDArray[np.int16]], tuple[NDArray[np.uint8], NDArray[np.float32]]
]
"""From an image (9, H, W) and (2, H, W) to its classes (H, W), by their place in the model's
legend, 255 where there is none, and their probabilities (H, W), 0 to 1."""


def onnx_predictor_of(
    path: Path, device: Literal["auto", "cpu", "cuda"] = "auto", prior: Prior = "natural"
) -> tuple[Predict, Contract]:
    """A model file, ready to classify images, and what it says of itself.

    Args:
        path: of the ONNX file.
        device: it runs on.
        prior: how common classes are taken to be, as of ``Contract.logit_bias``.

    Raises:
        DeviceError: the runtime or the device cannot be had.
        ModelError: the file is no model that lulcmap can use.
        UsageError: the model does not know how common its classes are, which the prior needs.

    """
    session = open_session(path, device=device, batch_size=1)
    session.contract.logit_bias(prior)  # a model that cannot is said now
    return lambda s2, s1: classified(session, s2, s1, prior=prior), session.contract


def classified(
    session: Session, s2: NDArray[np.uint16], s1: NDArray[np.int16], *, prior: Prior = "natural"
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The classes of one image, as ``Predict`` says.

    An image no larger than a window is seen whole, in one window, as in training: neighbouring
    windows would see little of it. A larger one is cut into overlapping windows that are blended,
    as for a map; beyond its edges they see it mirrored.
    """
    contract, height, width = session.contract, *s2.shape[1:]
    network: Network = session.run
    edge = 0
    if max(height, width) <= contract.window:
        size = -(-max(height, width) // contract.multiple) * contract.multiple
        edge = contract.stride
        contract = replace(contract, window=size + 2 * edge, step=size + 2 * edge)
        network = _whole(session, edge)
    found = classify_image(
        session,
        s2,
        s1,
        box=Box(edge, edge, height, width),
        contract=contract,
        network=network,
        prior=prior,
    )
    table = np.full(256, NODATA, np.uint8)
    table[list(contract.ids)] = np.arange(len(contract.classes))
    return table[found.classes], (found.confidence / 100).astype(np.float32)


def _whole(session: Session, edge: int) -> Network:
    """The network on windows with one more cell on each side, which it does not see.

    Those cells repeat their neighbours, so that pixels at the image's edge are interpolated as in
    training.
    """
    inner = np.s_[..., edge:-edge, edge:-edge]

    def run(s2: NDArray[np.uint16], s1: NDArray[np.int16]) -> NDArray[np.float32]:
        logits = session.run(s2[inner], s1[inner])
        return np.pad(logits, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")

    return run
