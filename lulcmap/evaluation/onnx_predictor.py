"""Classify single images with a model file, by the code that makes maps, without torch."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lulcmap.geo import Box
from lulcmap.legend import NODATA
from lulcmap.model import Contract, Device, Network, Prior, Session, classify_image, open_session
from lulcmap.sensors import NO_SUN, S2_NODATA


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of an image."""

    classes: NDArray[np.uint8]
    """(H, W) classes, as positions in the model's legend; 255 where there is none."""

    confidence: NDArray[np.float32]
    """(H, W) probability of the class, 0 to 1."""

    logits: NDArray[np.float32] | None = None
    """(n, K) logits of the pixels that were asked for, before the temperature."""


class Predictor(Protocol):
    """A model that classifies images."""

    def __call__(
        self,
        s2: NDArray[np.uint16],
        s1: NDArray[np.int16],
        pixels: NDArray[np.intp] | None = None,
        sun_zenith: float | None = None,
        /,
    ) -> Prediction:
        """Classify an image.

        Args:
            s2: (9, H, W) Sentinel-2.
            s1: (2, H, W) Sentinel-1.
            pixels: (n,) pixels whose logits are wanted, counted row by row.
            sun_zenith: the sun's zenith, degrees, for a model that takes it.

        """


def open_onnx_predictor(
    path: Path, device: Device = "auto", prior: Prior = "natural"
) -> tuple[Predictor, Contract]:
    """Open a model file to classify images.

    Args:
        path: path of the ONNX file.
        device: device that it runs on.
        prior: class prior, as in ``Contract.logit_bias``.

    Returns:
        The predictor, and the model's contract.

    Raises:
        DeviceError: the runtime or the device is not available.
        ModelError: lulcmap cannot use the model.
        UsageError: the prior needs class frequencies, which the model lacks.

    """
    session = open_session(path, device=device, batch_size=1)
    session.contract.logit_bias(prior)  # fails now if the model lacks class frequencies

    def predict(
        s2: NDArray[np.uint16],
        s1: NDArray[np.int16],
        pixels: NDArray[np.intp] | None = None,
        sun_zenith: float | None = None,
        /,
    ) -> Prediction:
        # the prior is a bias beside the logits, and no temperature is fitted with it
        wanted = pixels if prior == "natural" else None
        return classify_chip(session, s2, s1, sun_zenith, prior=prior, pixels=wanted)

    return predict, session.contract


def classify_chip(
    session: Session,
    s2: NDArray[np.uint16],
    s1: NDArray[np.int16],
    sun_zenith: float | None = None,
    *,
    prior: Prior = "natural",
    pixels: NDArray[np.intp] | None = None,
) -> Prediction:
    """Classify one image, as a ``Predictor`` does.

    An image no larger than a window is classified in one window, as in training: neighbouring
    windows would see little of it. A larger one is cut into overlapping windows that are blended,
    as for a map; beyond the image's edges they show it mirrored.
    """
    contract, height, width = session.contract, *s2.shape[1:]
    network: Network = session.run
    edge = 0
    if max(height, width) <= contract.window:
        size = -(-max(height, width) // contract.multiple) * contract.multiple
        edge = contract.stride
        contract = replace(contract, window=size + 2 * edge, step=size + 2 * edge)
        network = _whole(session, edge)
    classified = classify_image(
        session,
        s2,
        s1,
        box=Box(edge, edge, height, width),
        contract=contract,
        network=network,
        prior=prior,
        sampled=pixels,
        sun=None if sun_zenith is None else _sun_of(s2, sun_zenith),
    )
    table = np.full(256, NODATA, np.uint8)
    table[list(contract.ids)] = np.arange(len(contract.classes))
    return Prediction(
        table[classified.classes],
        (classified.confidence / 100).astype(np.float32),
        classified.logits,
    )


def _sun_of(s2: NDArray[np.uint16], zenith: float) -> NDArray[np.uint16]:
    """(H, W) the same zenith, hundredths of a degree, where there is Sentinel-2."""
    return np.where(s2[0] == S2_NODATA, NO_SUN, round(100 * zenith)).astype(np.uint16)


def _whole(session: Session, edge: int) -> Network:
    """The network for windows with one extra cell on each side, which it does not see.

    The extra cells repeat their neighbours, so that pixels at the image's edge are interpolated as
    in training.
    """
    inner = np.s_[..., edge:-edge, edge:-edge]

    def run(
        s2: NDArray[np.uint16], s1: NDArray[np.int16], *sun: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        logits = session.run(s2[inner], s1[inner], *sun)
        return np.pad(logits, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")

    return run
