"""Networks, chips and checkpoints small enough for a test."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

from lulcmap.training.baselines import UNet
from lulcmap.training.checkpoint import json_values
from lulcmap.training.chips import Chips
from lulcmap.training.deployable import BandStatistics, DeployableNetwork, Normalisation
from lulcmap.training.lulcformer import LulcFormerConfig
from lulcmap.training.networks import Network, NetworkConfig, build_network

MICRO = LulcFormerConfig(
    name="micro",
    s2_widths=(8, 8, 16, 16),
    s1_widths=(4, 4, 8, 8),
    depths=(1, 1, 1, 1),
    heads=(1, 1, 2, 2),
    decoder_width=16,
)

NORMALISATION = Normalisation(
    s2=BandStatistics(*((value,) * 9 for value in (100.0, 6000.0, 2000.0, 900.0))),
    s1=BandStatistics(*((value,) * 2 for value in (-2800.0, 0.0, -1300.0, 400.0))),
)


def lively(config: NetworkConfig, seed: int = 0) -> Network:
    """A network whose logits vary like a trained one's; at first all are near 0."""
    torch.manual_seed(seed)
    network = build_network(config)
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    # random logits are often nearly equal, so that fp16 decides; a trained network's seldom are
    classify = network.classify if isinstance(network, UNet) else network.decoder.classify
    classify.bias.data = torch.arange(float(config.classes))
    return network.eval()


def deployable(config: NetworkConfig = MICRO, seed: int = 0) -> DeployableNetwork:
    """A lively network with its normalisation."""
    return DeployableNetwork(lively(config, seed), NORMALISATION).eval()


def checkpoint(config: NetworkConfig = MICRO, seed: int = 0) -> dict[str, Any]:
    """A checkpoint as a training of a lively network would write it."""
    return {
        "config": json_values(asdict(config)),
        "normalisation": json_values(NORMALISATION.to_dict()),
        "settings": {"epochs": 1},
        "weights": lively(config, seed).state_dict(),
        "knows": "simulated",
        "training": {"source": "drawn at random", "chips": 0, "losses": [1.0]},
    }


def make_chips(count: int = 5, size: int = 64, seed: int = 0) -> Chips:
    """Squares of three classes, each with its own reflectance and backscatter, little noise."""
    rng = np.random.default_rng(seed)
    label = rng.choice([0, 4, 8], (count, 4, 4)).repeat(size // 4, 1).repeat(size // 4, 2)
    s2 = 500 + 300 * label[:, None] + rng.normal(0, 30, (count, 9, size, size))
    s1 = -2000 + 150 * label[:, None] + rng.normal(0, 50, (count, 2, size, size))
    return Chips(s2.astype(np.uint16), s1.astype(np.int16), label.astype(np.uint8))
