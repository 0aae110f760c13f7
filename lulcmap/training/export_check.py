"""Whether a model file makes the map of its network: both are run on the same composites."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lulcmap.errors import ModelError
from lulcmap.model import COVER_SPECTRA
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_BANDS, S2_NODATA
from lulcmap.training.deployable import DeployableNetwork
from lulcmap.training.loss import upsample_logits

LOGIT_TOLERANCE = 1e-4
"""Largest allowed difference of a logit from torch, fp32."""

LABEL_TOLERANCE = {"fp32": 1e-4, "fp16": 1e-3}
"""Largest allowed share of pixels whose class differs from torch's in fp32, by precision."""

CHECK_SHAPES = ((1, 64, 96), (2, 128, 128), (1, 256, 160))
"""Images, rows and columns of the composites that are compared."""

Missing = Literal["nothing", "parts", "s1", "s2"]
"""What composites lack: nothing, parts of both sensors, or a whole sensor."""


@dataclass(frozen=True, slots=True)
class ExportCheck:
    """Comparison of ONNX Runtime with torch on one batch of composites."""

    shape: tuple[int, int, int]
    """Shape of the batch: images, rows, columns."""

    missing: Missing
    """What the composites lack."""

    logits: float
    """Largest difference of a logit."""

    labels: int
    """Number of pixels that get another class."""

    @property
    def pixels(self) -> int:
        """Number of pixels compared."""
        images, rows, cols = self.shape
        return images * rows * cols

    def describe(self) -> str:
        """The comparison in one line."""
        images, rows, cols = self.shape
        data = {"nothing": "complete", "parts": "with gaps"}.get(
            self.missing, f"without {self.missing}"
        )
        return (
            f"{images} x {rows} x {cols} px, {data}: logits differ by at most {self.logits:.1e}, "
            f"classes on {self.labels} of {self.pixels} pixels"
        )


def composites(
    shape: tuple[int, int, int], *, seed: int, missing: Missing = "nothing"
) -> tuple[NDArray[np.uint16], NDArray[np.int16]]:
    """Plausible composites: patches of five covers, uneven light, noise and perhaps gaps.

    Args:
        shape: images, rows, columns; rows and columns multiples of 32.
        seed: seed of the random draws.
        missing: what the composites lack.

    Returns:
        (N, 9, H, W) DN and (N, 2, H, W) hundredths of a decibel.

    """
    images, rows, cols = shape
    rng = np.random.default_rng(seed)

    def smooth(planes: int) -> NDArray[np.float32]:  # (N, planes, H, W), 0 to 1
        coarse = rng.random((images, planes, rows // 16 + 1, cols // 16 + 1), np.float32)
        return nn.functional.interpolate(
            torch.from_numpy(coarse), (rows, cols), mode="bilinear"
        ).numpy()

    cover = smooth(len(COVER_SPECTRA)).argmax(1)  # (N, H, W)
    pixels = np.moveaxis(np.array([*COVER_SPECTRA.values()])[cover], -1, 1)  # (N, 11, H, W)
    light = (0.8 + 0.4 * smooth(1)) * rng.normal(1, 0.05, (images, len(S2_BANDS), rows, cols))
    s2 = np.rint(pixels[:, : len(S2_BANDS)] * light).clip(1).astype(np.uint16)
    speckle = rng.normal(0, 80, (images, len(S1_BANDS), rows, cols))
    s1 = np.rint(pixels[:, len(S2_BANDS) :] + speckle).astype(np.int16)
    if missing == "s2":
        s2[:] = S2_NODATA
    elif missing == "s1":
        s1[:] = S1_NODATA
    elif missing == "parts":
        s2[:, :, : rows // 3, : cols // 2] = S2_NODATA
        s1[..., cols // 3 : cols // 2 + 7] = S1_NODATA
        s2[:, 4, rows // 2 :: 9, ::7] = S2_NODATA  # a pixel without one band is missing
    return s2, s1


def compare_with_torch(
    deployable: DeployableNetwork,
    run: Callable[[NDArray[np.uint16], NDArray[np.int16]], NDArray[np.floating[Any]]],
    *,
    shapes: Sequence[tuple[int, int, int]] = CHECK_SHAPES,
) -> list[ExportCheck]:
    """Compare the exported model with torch at several sizes and with either sensor missing.

    Args:
        deployable: network in fp32, its decoder not folded.
        run: exported model, from composites to logits.
        shapes: images, rows and columns of the composites.

    """
    checks = []
    all_cases: tuple[Missing, ...] = ("nothing", "parts", "s1", "s2")
    cases = all_cases if len(deployable.inputs) == 2 else all_cases[:2]
    stride = deployable.network.stride
    for seed, (shape, missing) in enumerate((s, w) for s in shapes for w in cases):
        s2, s1 = composites(shape, seed=seed, missing=missing)
        with torch.inference_mode():
            expected = deployable(torch.from_numpy(s2), torch.from_numpy(s1))
        exported = torch.from_numpy(run(s2, s1)).float()
        exported_classes, expected_classes = (
            upsample_logits(x, stride=stride).argmax(1) for x in (exported, expected)
        )
        difference = (exported - expected).abs().nan_to_num(nan=torch.inf).max()
        checks.append(
            ExportCheck(
                shape, missing, float(difference), int((exported_classes != expected_classes).sum())
            )
        )
    return checks


def check_same_map(checks: list[ExportCheck], *, precision: Literal["fp32", "fp16"]) -> None:
    """Check that the exported model makes the same map.

    Raises:
        ModelError: logits differ by more than 1e-4 (fp32) or are not finite, or the class differs
            on more than 1 pixel in 10,000 (fp16: in 1,000).

    """
    logits = max(check.logits for check in checks)
    share = sum(check.labels for check in checks) / sum(check.pixels for check in checks)
    allowed = LOGIT_TOLERANCE if precision == "fp32" else np.finfo(np.float32).max
    if logits > allowed or share > LABEL_TOLERANCE[precision]:
        raise ModelError(
            f"The exported model does not match the network: in {precision} logits differ by up to "
            f"{logits:.2g} and classes on {share:.4%} of the pixels (allowed: "
            f"{f'{LOGIT_TOLERANCE:g} and ' if precision == 'fp32' else ''}"
            f"{LABEL_TOLERANCE[precision]:.2%}). Nothing was written. "
            + ("Export it in fp32." if precision == "fp16" else "Try another version of torch.")
        )
