"""The teacher: Dynamic World's network behind an atmosphere, a mean over eight flips and turns."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from recipes.real_land.atmosphere import Atmosphere, Sky

NETWORK_FILE = "dw_l1c.onnx"

STRIP_PX = 512
"""Rows and columns of the parts that large scenes are labelled in."""

MARGIN_PX = 32
"""Pixels that a part sees beyond its own; the network reaches about 20."""


class Teacher:
    """Dynamic World's network, which reads L1C, for scenes of surface reflectance."""

    def __init__(self, folder: Path) -> None:
        """Read the network and the atmosphere of a folder, ``teacher`` of the data."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._network = onnxruntime.InferenceSession(
            folder / NETWORK_FILE, options, providers=["CPUExecutionProvider"]
        )
        self.atmosphere = Atmosphere(folder)

    def probabilities(
        self, s2: NDArray[np.generic], sky: Sky, *, flips: int = 8
    ) -> NDArray[np.float32]:
        """Probabilities (9, H, W) of Dynamic World's classes for L2A, (9, H, W) DN."""
        return self.of_toa(self.atmosphere.to_toa(s2, sky), flips=flips)

    def of_toa(self, toa: NDArray[np.float32], *, flips: int = 8) -> NDArray[np.float32]:
        """Probabilities (9, H, W) for L1C, (9, H, W) DN: a mean over 1, 4 or 8 flips and turns."""
        height, width = toa.shape[1:]
        found = np.empty((9, height, width), np.float32)
        for top in range(0, height, STRIP_PX):
            for left in range(0, width, STRIP_PX):
                seen, own = zip(_with_margin(top, height), _with_margin(left, width), strict=True)
                part = self._turned(toa[:, seen[0], seen[1]], flips)
                found[:, top : top + STRIP_PX, left : left + STRIP_PX] = part[:, own[0], own[1]]
        return found

    def _turned(self, toa: NDArray[np.float32], flips: int) -> NDArray[np.float32]:
        total = np.zeros((9, *toa.shape[1:]), np.float32)
        for number in range(flips):
            columns = slice(None, None, -1 if number >= 4 else 1)
            turned = np.rot90(toa[:, :, columns], number % 4, (1, 2))
            total += np.rot90(self._once(turned), -number % 4, (1, 2))[:, :, columns]
        return (total / flips).astype(np.float32)

    def _once(self, toa: NDArray[np.float32]) -> NDArray[np.float32]:
        height, width = toa.shape[1:]
        even = np.pad(toa, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
        (logits,) = self._network.run(None, {"s2": np.ascontiguousarray(even[None])})
        odds = np.exp(logits[0] - logits[0].max(0))
        return (odds / odds.sum(0))[:, :height, :width]


def _with_margin(start: int, length: int) -> tuple[slice, slice]:
    """The pixels that a part sees, and its own among them."""
    stop, first = min(start + STRIP_PX, length), max(0, start - MARGIN_PX)
    return slice(first, min(stop + MARGIN_PX, length)), slice(start - first, stop - first)
