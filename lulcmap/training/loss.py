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
        alpha: (K,) what a pixel of each class counts.
        gamma: 0 gives the weighted cross-entropy.
        total: what the sum is divided by; the weight of these labels if None. Parts of a step give
            the weight of the whole step, so that their losses add up to the step's.

    Returns:
        The mean, weighted by ``alpha``; 0 where no pixel has a label.

    """
    entropy = F.cross_entropy(logits, label, ignore_index=NODATA, reduction="none")  # (B, H, W)
    weight = pixel_weights(label, alpha=alpha)
    hard = (1 - torch.exp(-entropy)) ** gamma
    whole = weight.sum() if total is None else total
    return (weight * hard * entropy).sum() / whole.clamp(min=1e-6)


def pixel_weights(label: Tensor, *, alpha: Tensor) -> Tensor:
    """What each pixel counts: its class's share of ``alpha``, 0 where it is unknown."""
    known = label != NODATA
    return alpha[torch.where(known, label, 0)] * known


def upsample_logits(logits: Tensor, *, stride: int) -> Tensor:
    """Logits (B, K, H / stride, W / stride) at every pixel (B, K, H, W), in fp32."""
    logits = logits.float()
    if stride == 1:
        return logits
    return F.interpolate(logits, scale_factor=float(stride), mode="bilinear")
