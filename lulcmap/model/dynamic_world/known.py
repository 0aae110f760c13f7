"""Pixels made by a formula, and what the released network makes of them.

A model of the network is kept only if it gives these logits. They were computed once, by a graph
whose network was within 2e-5 of TensorFlow's on real scenes.
"""

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import ModelError
from lulcmap.model.session import Session
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_NODATA

SUN_ZENITHS = (25.0, 66.0)
"""Suns of the two windows, degrees."""

_SIDE = 64

_SPECTRA = (
    (400, 470, 380, 350, 300, 270, 240, 180, 120),
    (280, 420, 300, 700, 1700, 2150, 2300, 1400, 650),
    (600, 900, 800, 1400, 2450, 2850, 3000, 2350, 1400),
    (1150, 1350, 1500, 1700, 1900, 2050, 2200, 2250, 2000),
)
"""DN of water, trees, crops and a town, rounded: one in each quarter of a window."""

_POINTS = ((16, 16), (16, 48), (48, 16), (48, 48), (31, 31))
"""Row and column of the pixels whose logits are known; their mean over the window is as well."""

_TOLERANCE = 2e-3
"""Largest difference of a logit; runtimes and processors differ by less than 1e-4."""

LOGITS = (
    (-4.3676, -6.2281, -6.5285, -5.9921, -6.8265, -6.5247, -7.0644, -6.6791, -5.2588),
    (-4.8206, -6.1914, -6.6778, -6.3699, -6.8059, -6.6758, -6.8317, -6.7622, -4.6485),
    (-5.7044, -2.9444, -5.4323, -5.7492, -5.7150, -5.8897, -5.7090, -5.9931, -5.9901),
    (-6.3320, -4.0302, -6.2695, -6.6949, -6.1104, -6.5498, -6.4127, -6.4740, -6.6230),
    (-8.4057, -7.0817, -7.6665, -8.0747, -7.9051, -7.7867, -5.2581, -8.2724, -8.2363),
    (-8.5041, -7.3713, -7.6208, -8.1370, -8.0270, -7.6906, -5.6967, -8.1674, -8.3433),
    (-7.7264, -7.8301, -7.9280, -7.7319, -7.4329, -7.6144, -4.4750, -7.5090, -7.5920),
    (-7.7229, -7.7498, -7.9150, -7.7471, -7.4318, -7.6011, -4.5045, -7.4807, -7.5820),
    (-5.7833, -6.5583, -7.6284, -7.6416, -7.8576, -7.7525, -6.6487, -7.9514, -7.5900),
    (-6.0171, -6.4856, -7.6463, -7.9446, -7.9561, -7.7118, -6.7012, -7.8787, -7.3302),
    (-6.5246, -6.1690, -6.9943, -6.9966, -7.0486, -7.0096, -5.8579, -7.2242, -7.0905),
    (-6.6686, -6.3593, -7.1216, -7.2728, -7.1407, -7.1138, -6.0262, -7.2240, -6.9939),
)
"""Rows of ``logits_at_points`` of the released network."""


def known_pixels() -> NDArray[np.uint16]:
    """Two windows (2, 9, 64, 64) of DN: textured quarters, and in the second a hole of nodata."""
    band, row, col = np.indices((len(_SPECTRA[0]), _SIDE, _SIDE))
    quarter = 2 * (row >= _SIDE // 2) + (col >= _SIDE // 2)
    percent = 80 + (7 * col + 13 * row + 5 * band + 3 * row * col) % 41
    pixels = np.array(_SPECTRA)[quarter, band] * percent // 100
    windows = np.stack([pixels, pixels]).astype(np.uint16)
    windows[1, :, 40:48, 8:16] = S2_NODATA
    return windows


def logits_at_points(session: Session) -> NDArray[np.float32]:
    """Logits of the known pixels: a row for each point, then one for the mean, of each window."""
    s2 = known_pixels()
    s1 = np.full((len(s2), len(S1_BANDS), _SIDE, _SIDE), S1_NODATA, np.int16)
    logits = session.run(s2, s1, np.array(SUN_ZENITHS, np.float32))
    rows = [logits[:, :, row, col] for row, col in _POINTS] + [logits.mean(axis=(2, 3))]
    return np.concatenate(rows)


def check_logits(session: Session, expected: tuple[tuple[float, ...], ...]) -> None:
    """Check that a model gives the known logits.

    Args:
        session: session of the model.
        expected: rows of ``logits_at_points``.

    Raises:
        ModelError: it does not, or fails.

    """
    found = logits_at_points(session)
    difference = float(np.abs(found - np.array(expected)).max())
    if not difference <= _TOLERANCE:
        raise ModelError(
            f"its logits of known pixels differ by up to {difference:.3g} from those stored, more "
            f"than {_TOLERANCE:g}. Update lulcmap and ONNX Runtime, and run it again."
        )
