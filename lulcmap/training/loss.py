"""The focal loss of hard, soft and partial labels, and logits at the size of their labels."""

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from lulcmap.legend import NODATA


@dataclass(frozen=True, slots=True)
class Target:
    """What a network is to say of each pixel, as in ``lulcmap.training.Sample``."""

    label: Tensor
    """(B, H, W) int64 class ids, codes of sets, 255 where unknown."""

    probabilities: Tensor | None = None
    """(B, K, H, W) uint8 percent, 0 in all classes where the label is certain; None without soft
    labels."""

    weight: Tensor | None = None
    """(B, H, W) uint8 percent; None for 100 everywhere."""

    def to(self, device: torch.device) -> Self:
        """The target on a device."""
        soft, weight = self.probabilities, self.weight
        return type(self)(
            self.label.to(device, non_blocking=True),
            None if soft is None else soft.to(device, non_blocking=True),
            None if weight is None else weight.to(device, non_blocking=True),
        )


@dataclass(frozen=True, slots=True)
class SetWeights:
    """The label sets of a training: row 0 is that of code 254, row 1 of 253, and so on."""

    members: Tensor
    """(S, K) bool, whether a class is in the set."""

    alpha: Tensor
    """(S,) weight of a pixel of the set."""

    @classmethod
    def of(cls, members: Tensor, *, alpha: Tensor, prior: Tensor) -> Self:
        """Weights of sets: that of an average pixel of their classes.

        Args:
            members: (S, K) bool.
            alpha: (K,) weight of a pixel of each class.
            prior: (K,) share of each class in the labels, weighted by ``alpha``.

        """
        pixels = torch.where(alpha > 0, prior / alpha.clamp(min=1e-12), 0.0)  # (K,), up to a factor
        total = (members * pixels).sum(1)
        average = (members * prior).sum(1) / total.clamp(min=1e-12)
        return cls(members, torch.where(total > 0, average, 1.0))

    def rows(self, label: Tensor) -> tuple[Tensor, Tensor]:
        """Whether each pixel's label is a set, and its row, 0 where it is none."""
        row = NODATA - 1 - label
        is_set = (row >= 0) & (row < len(self.members))
        return is_set, torch.where(is_set, row, 0)


def focal_loss(
    logits: Tensor,
    target: Target,
    *,
    alpha: Tensor,
    gamma: float,
    sets: SetWeights | None = None,
    total: Tensor | None = None,
) -> Tensor:
    """The alpha-balanced focal loss of Lin et al. (2017), over the pixels with a label.

    A pixel's loss is ``alpha * (1 - exp(-d)) ** gamma * d``, where d says how far the network is
    from the label: ``-log p`` of a certain class; ``-log`` of the summed probabilities of a set's
    classes; and of a soft label q the cross-entropy less the entropy of q, ``sum q log(q / p)``,
    which is 0 where the network says q. With ``gamma`` 0 its gradient is that of the cross-entropy.
    So pixels count less once they are right, and not because the teacher is unsure of them.

    Args:
        logits: (B, K, H, W) fp32.
        target: labels of the pixels.
        alpha: (K,) weight of a pixel of each class; of a soft label, its mean over the label.
        gamma: focus on hard pixels; 0 gives the weighted cross-entropy.
        sets: the label sets, if labels hold their codes.
        total: divisor of the sum; the weight of these labels if None. Parts of a step give the
            weight of the whole step, so that their losses add up to the step's.

    Returns:
        The mean, weighted by ``alpha`` and the pixels' weights; 0 where no pixel has a label.

    """
    distance = _distance(logits, target, sets)  # (B, H, W)
    weight = pixel_weights(target, alpha=alpha, sets=sets)
    # the gradient of a power is infinite at 0
    focus = (1 - torch.exp(-distance)).clamp(min=torch.finfo(distance.dtype).tiny) ** gamma
    divisor = weight.sum() if total is None else total
    return (weight * focus * distance).sum() / divisor.clamp(min=1e-6)


def _distance(logits: Tensor, target: Target, sets: SetWeights | None) -> Tensor:
    """How far the logits are from each pixel's label: (B, H, W), 0 where it is unknown."""
    label = target.label
    is_set, row = (None, None) if sets is None else sets.rows(label)
    certain = label if is_set is None else torch.where(is_set, NODATA, label)
    distance = F.cross_entropy(logits, certain, ignore_index=NODATA, reduction="none")
    if target.probabilities is None and is_set is None:
        return distance
    log_p = logits.log_softmax(1)
    if target.probabilities is not None:
        q, is_soft = soft_labels(target)
        divergence = (torch.xlogy(q, q) - q * log_p).sum(1).clamp(min=0)  # rounded below 0
        distance = torch.where(is_soft, divergence, distance)
    if sets is not None and is_set is not None and row is not None:
        members = sets.members[row].movedim(-1, 1)  # (B, K, H, W); any row where it is no set
        surprise = -log_p.masked_fill(~members, -torch.inf).logsumexp(1)
        distance = torch.where(is_set, surprise.clamp(min=0), distance)
    return distance


def soft_labels(target: Target) -> tuple[Tensor, Tensor]:
    """Probabilities (B, K, H, W) that sum to 1 where a label is soft; and (B, H, W) where it is."""
    if target.probabilities is None:
        raise ValueError("the labels are not soft")
    q = target.probabilities.float()
    sums = q.sum(1, keepdim=True)
    is_soft = (sums[:, 0] > 0) & (target.label < q.shape[1])
    return q / sums.clamp(min=1), is_soft


def pixel_weights(target: Target, *, alpha: Tensor, sets: SetWeights | None = None) -> Tensor:
    """Weight of each pixel (B, H, W), 0 where its class is unknown.

    That of its class, its set, or the mean over its soft label, times the pixel's own weight.
    """
    label = target.label
    has_class = label < len(alpha)
    weight = alpha[torch.where(has_class, label, 0)] * has_class
    if sets is not None:
        is_set, row = sets.rows(label)
        weight = torch.where(is_set, sets.alpha[row], weight)
    if target.probabilities is not None:
        q, is_soft = soft_labels(target)
        weight = torch.where(is_soft, (q * alpha[:, None, None]).sum(1), weight)
    if target.weight is not None:
        weight = weight * (target.weight.float() / 100)
    return weight


def upsample_logits(logits: Tensor, *, stride: int) -> Tensor:
    """Logits (B, K, H / stride, W / stride), upsampled to every pixel (B, K, H, W), in fp32."""
    logits = logits.float()
    if stride == 1:
        return logits
    return F.interpolate(logits, scale_factor=float(stride), mode="bilinear")
