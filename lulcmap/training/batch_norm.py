"""Statistics of batch norms: what an export folds away, and a training that starts from it needs.

In training a batch norm scales by its batch, not by its statistics. Only if the statistics are
those of the network's data does the network start with the function it was exported with.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lulcmap.training.chips import Samples
from lulcmap.training.deployable import DeployableNetwork

Statistics = Mapping[str, Mapping[str, list[float]]]
"""Mean and variance of every channel that a batch norm gives: ``"mean"`` and ``"variance"``, by the
name of the batch norm."""

_DIGITS = 4
"""Significant digits that are kept: statistics of a batch differ by more."""

_MEASURED_SAMPLES = 32
"""Most samples that statistics are measured on."""


def batch_norms(network: nn.Module) -> dict[str, nn.BatchNorm2d]:
    """The batch norms of a network, by name."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    }


def batch_norm_statistics(network: nn.Module) -> Statistics:
    """Mean and variance of what each batch norm gives, as its own statistics tell."""
    found = {}
    for name, norm in batch_norms(network).items():
        variance = norm.get_buffer("running_var").double()
        given = norm.weight.detach().double() ** 2 * variance / (variance + norm.eps)
        found[name] = {
            "mean": [float(f"{value:.{_DIGITS}g}") for value in norm.bias.detach().tolist()],
            "variance": [float(f"{value:.{_DIGITS}g}") for value in given.tolist()],
        }
    return found


def set_statistics(network: nn.Module, statistics: Any) -> bool:
    """Give batch norms of mean 0 and variance 1 their statistics; the network's function stays.

    Args:
        network: network as ``read_onnx_weights`` gives its state.
        statistics: what a model file holds as ``Statistics``.

    Returns:
        Whether the statistics are those of this network. If not, nothing was changed.

    """
    norms = batch_norms(network)
    try:
        found = {
            name: (
                torch.tensor(statistics[name]["mean"], dtype=torch.float32),
                torch.tensor(statistics[name]["variance"], dtype=torch.float32),
            )
            for name in norms
        }
    except (KeyError, TypeError, ValueError, IndexError):
        return False
    for name, (mean, variance) in found.items():
        shape = norms[name].bias.shape
        if not (mean.shape == variance.shape == shape and mean.isfinite().all()):
            return False
        if not (variance.isfinite() & (variance >= 0)).all():
            return False
    for name, (mean, variance) in found.items():
        _set(norms[name], mean, variance)
    return True


def _set(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Set the statistics of a batch norm that scales by 1, and still does afterwards."""
    with torch.no_grad():
        shift = norm.bias - norm.get_buffer("running_mean")
        norm.get_buffer("running_mean").copy_(mean - shift)
        norm.get_buffer("running_var").copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean)


@torch.inference_mode()
def measure_statistics(deployable: DeployableNetwork, samples: Samples) -> None:
    """Measure the statistics of batch norms on some samples; the network's function stays.

    Args:
        deployable: network as ``read_onnx_weights`` gives its state.
        samples: samples to take some of, evenly.

    """
    deployable.eval()
    norms = batch_norms(deployable.network)
    sums = {name: np.zeros((3, norm.num_features)) for name, norm in norms.items()}

    def add(name: str, _: nn.Module, __: object, given: Tensor) -> None:
        values = given.double().transpose(0, 1).flatten(1)  # (C, pixels)
        count = torch.full_like(values[:, 0], values.shape[1])
        sums[name] += torch.stack([count, values.sum(1), (values**2).sum(1)]).cpu().numpy()

    hooks = [norm.register_forward_hook(partial(add, name)) for name, norm in norms.items()]
    device = next(deployable.parameters()).device
    count = min(len(samples), _MEASURED_SAMPLES)
    for index in range(count):
        sample = samples.sample(index * len(samples) // count)
        # copied: cached chips are read-only
        deployable(
            *(torch.from_numpy(image.copy())[None].to(device) for image in (sample.s2, sample.s1))
        )
    for hook in hooks:
        hook.remove()
    for name, (pixels, total, squares) in sums.items():
        mean = total / pixels
        _set(norms[name], *_tensors(mean, np.maximum(squares / pixels - mean**2, 0)))


def _tensors(*arrays: NDArray[np.float64]) -> list[Tensor]:
    return [torch.from_numpy(array.astype(np.float32)) for array in arrays]
