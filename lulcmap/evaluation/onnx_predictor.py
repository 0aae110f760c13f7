"""A model file as an evaluation uses it: the code that makes maps, on one image, without torch."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lulcmap.geo.tiling import Box
from lulcmap.legend import NODATA
from lulcmap.model.contract import Contract, Prior
from lulcmap.model.inference import Run, classify, needed_windows, union
from lulcmap.model.session import Session, open_session
from lulcmap.sensors import S1_NODATA, S2_NODATA

Predict = Callable[
    [NDArray[np.uint16], NDArray[np.int16]], tuple[NDArray[np.uint8], NDArray[np.float32]]
]
"""From an image (9, H, W) and (2, H, W) to its classes (H, W), by their place in the model's
legend, 255 where there is none, and their probabilities (H, W), 0 to 1."""


def predictor(
    path: Path, device: Literal["auto", "cpu", "cuda"] = "auto", prior: Prior = "natural"
) -> tuple[Predict, Contract]:
    """A model file, ready to classify images, and what it says of itself.

    Args:
        path: of the ONNX file.
        device: it runs on.
        prior: how common classes are taken to be, as of ``Contract.told_apart``.

    Raises:
        DeviceError: the runtime or the device cannot be had.
        ModelError: the file is no model that lulcmap can use.
        UsageError: the model does not know how common its classes are, which the prior needs.

    """
    session = open_session(path, device=device, batch_size=1)
    session.contract.told_apart(prior)  # a model that cannot is said now
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
    run: Run = session.run
    edge = 0
    if max(height, width) <= contract.window:
        size = -(-max(height, width) // contract.multiple) * contract.multiple
        edge = contract.stride
        contract = replace(contract, window=size + 2 * edge, step=size + 2 * edge)
        run = _whole(session, edge)
    box = Box(edge, edge, height, width)
    windows = needed_windows(
        np.ones(box.shape, bool), box, lattice=contract.lattice, stride=contract.stride
    )
    over = union(windows)
    found = classify(
        run,
        contract,
        s2=_placed(s2, box, over, S2_NODATA),
        s1=_placed(s1, box, over, S1_NODATA),
        over=over,
        windows=windows,
        box=box,
        batch_size=1,
        prior=prior,
    )
    table = np.full(256, NODATA, np.uint8)
    table[list(contract.ids)] = np.arange(len(contract.classes))
    return table[found.classes], (found.confidence / 100).astype(np.float32)


def _whole(session: Session, edge: int) -> Run:
    """The network on windows with one more cell on each side, which it does not see.

    Those cells repeat their neighbours, so that pixels at the image's edge are interpolated as in
    training.
    """
    inner = np.s_[..., edge:-edge, edge:-edge]

    def run(s2: NDArray[np.uint16], s1: NDArray[np.int16]) -> NDArray[np.float32]:
        logits = session.run(s2[inner], s1[inner])
        return np.pad(logits, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")

    return run


def _placed(image: NDArray[Any], box: Box, over: Box, nodata: int) -> NDArray[Any]:
    """An image with nodata around it."""
    placed = np.full((len(image), *over.shape), nodata, image.dtype)
    placed[(slice(None), *box.within(over))] = image
    return placed
