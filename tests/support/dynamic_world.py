"""Dynamic World's network as its paper and release have it, in numpy and scipy: an oracle."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate

from lulcmap.model.dynamic_world.network import (
    _PERCENTILES,
    BRANCH,
    FIRST,
    HEAD,
    SECOND,
    STEM,
    THIRD,
    Block,
    Layer,
)

Image = NDArray[np.float64]
Tensors = Mapping[str, NDArray[np.float32]]


def logits(tensors: Tensors, top: NDArray[np.floating]) -> Image:
    """(9, H, W) DN of L1C to (9, H, W) logits."""
    centre, scale = np.array(_PERCENTILES).T[:, :, None, None]
    x = (np.log(top * 0.005 + 1) - centre) / scale
    image = 1 / (1 + np.exp(-(5 * x - 1)))
    half = halved(layer(tensors, STEM, image))
    branch = half
    for one in BRANCH:
        branch = layer(tensors, one, branch)
    main = block(tensors, SECOND, block(tensors, FIRST, half))
    features = doubled(block(tensors, THIRD, np.concatenate([main, branch])))
    features /= np.sqrt((features**2).sum(0))
    return convolved(tensors, HEAD, features)


def variable(tensors: Tensors, number: int) -> Image:
    return tensors[f"variables/{number}/.ATTRIBUTES/VARIABLE_VALUE"].astype(float)


def convolved(tensors: Tensors, one: Layer, image: Image) -> Image:
    kernel, bias = variable(tensors, one.kernel), variable(tensors, one.kernel + 1)

    def filtered(plane: Image, weights: Image) -> Image:
        return correlate(plane, weights, mode="constant")

    if one.shape[:2] == (1, 1):
        out = np.tensordot(kernel[0, 0], image, axes=(0, 0))
    elif one.shape[3] == 1:
        out = np.stack([filtered(plane, kernel[:, :, at, 0]) for at, plane in enumerate(image)])
    else:
        out = np.stack(
            [
                sum(filtered(plane, kernel[:, :, at, to]) for at, plane in enumerate(image))
                for to in range(one.shape[3])
            ]
        )
    return out + bias[:, None, None]


def layer(tensors: Tensors, one: Layer, image: Image) -> Image:
    gamma, beta, mean, variance = (
        variable(tensors, one.norm + at)[:, None, None] for at in range(4)
    )
    x = gamma * (convolved(tensors, one, image) - mean) / np.sqrt(variance + 1e-3) + beta
    return x * np.tanh(np.logaddexp(0, x))


def block(tensors: Tensors, one: Block, image: Image) -> Image:
    values = image
    for inner in one.layers:
        values = layer(tensors, inner, values)
    return values + layer(tensors, one.short, image)


def halved(image: Image) -> Image:
    """Four taps each way, of what lies inside, every second pixel."""
    taps = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64

    def summed(plane: Image) -> Image:
        padded = np.pad(plane, 1)
        rows, cols = (size // 2 for size in plane.shape)
        return sum(
            taps[dy, dx] * padded[dy : dy + 2 * rows : 2, dx : dx + 2 * cols : 2]
            for dy in range(4)
            for dx in range(4)
        )

    return np.stack([summed(plane) / summed(np.ones_like(plane)) for plane in image])


def doubled(image: Image) -> Image:
    """Bilinear between centres of pixels, constant beyond the outer ones."""
    for axis in (1, 2):
        n = image.shape[axis]
        at = np.clip((np.arange(2 * n) + 0.5) / 2 - 0.5, 0, n - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, n - 1)
        share = (at - low).reshape([-1 if one == axis else 1 for one in range(3)])
        image = np.take(image, low, axis) * (1 - share) + np.take(image, high, axis) * share
    return image
