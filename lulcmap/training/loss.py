"""The focal loss, and logits at the size of their labels."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lulcmap.legend import NODATA


def focal_loss(
    logits: Tensor, label: Tensor, *, alpha: Tensor, gamma: float, total: Tensor | None = None
) -> Tensor:
    """The alpha-balanced focal loss of Lin et al. (2017), over the pixels with a label.

    Args:
        logits: (B, K, H, W).
        label: (B, H, W) int64 class ids, 255 where unknown.
        alpha: (K,) weight of a pixel of each class.
        gamma: focus on hard pixels; 0 gives the weighted cross-entropy.
        total: divisor of the sum; the weight of these labels if None. Parts of a step give the
            weight of the whole step, so that their losses add up to the step's.

    Returns:
        The mean, weighted by ``alpha``; 0 where no pixel has a label.

    """
    entropy = F.cross_entropy(logits, label, ignore_index=NODATA, reduction="none")  # (B, H, W)
    weight = pixel_weights(label, alpha=alpha)
    focus = (1 - torch.exp(-entropy)) ** gamma
    divisor = weight.sum() if total is None else total
    return (weight * focus * entropy).sum() / divisor.clamp(min=1e-6)


def pixel_weights(label: Tensor, *, alpha: Tensor) -> Tensor:
    """Weight of each pixel: ``alpha`` of its class, 0 where the class is unknown."""
    has_label = label != NODATA
    return alpha[torch.where(has_label, label, 0)] * has_label


def upsample_logits(logits: Tensor, *, stride: int) -> Tensor:
    """Logits (B, K, H / stride, W / stride), upsampled to every pixel (B, K, H, W), in fp32."""
    logits = logits.float()
    if stride == 1:
        return logits
    return F.interpolate(logits, scale_factor=float(stride), mode="bilinear")
