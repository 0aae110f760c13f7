"""Try a model on one window of typical pixels, before it maps real ones."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import ModelError
from lulcmap.model.contract import NO_S2_SUN_ZENITH
from lulcmap.model.session import Session
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_BANDS, S2_NODATA

COVER_SPECTRA = {
    "water": (420, 480, 380, 350, 300, 280, 250, 200, 200, -2100, -2700),
    "trees": (300, 450, 350, 750, 1800, 2300, 2500, 1500, 700, -900, -1500),
    "crops": (550, 850, 750, 1350, 2500, 2950, 3150, 2300, 1350, -1100, -1800),
    "built": (1200, 1400, 1550, 1750, 1950, 2100, 2250, 2300, 2050, -500, -1200),
    "bare": (1300, 1700, 2150, 2400, 2550, 2650, 2800, 3500, 3000, -1300, -2100),
}
"""Typical pixels of composites, rounded: nine bands (DN), VV and VH (hundredths of a decibel)."""

_PATCH_PX = 24
"""Size of a patch of one cover, about."""

Pixels = tuple[NDArray[np.uint16], NDArray[np.int16]]
"""Windows (N, 9, H, W) of Sentinel-2 and (N, 2, H, W) of Sentinel-1."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a model made of one window of typical pixels."""

    shape: tuple[int, ...]
    """Shape of the logits."""

    shares: dict[str, float]
    """Share of each class that was predicted, the largest first."""

    covers: dict[str, tuple[str, float]]
    """The commonest class, and its share, on the pixels of each cover."""

    seconds: float
    """Time of one window, seconds."""

    device: str
    """Device it ran on."""

    warnings: tuple[str, ...]
    """What looks wrong."""


def typical_pixels(side: int, *, seed: int) -> tuple[NDArray[np.intp], Pixels]:
    """Patches of five covers, with uneven light and noise, nothing missing.

    Args:
        side: rows and columns.
        seed: seed of the random draws.

    Returns:
        (H, W) number of the cover, in the order of ``COVER_SPECTRA``; the pixels of one window.

    """
    from scipy.ndimage import zoom as magnified  # a fifth of all imports; no map needs it

    rng = np.random.default_rng(seed)
    coarse = rng.random((len(COVER_SPECTRA), *[side // _PATCH_PX + 2] * 2), np.float32)
    zoom = (1, *[side / (side // _PATCH_PX + 1)] * 2)
    cover = magnified(coarse, zoom, order=1)[:, :side, :side].argmax(0)
    pixels = np.moveaxis(np.array([*COVER_SPECTRA.values()])[cover], -1, 0)
    n_bands = len(S2_BANDS)
    light = rng.normal(1, 0.1, (1, side, side)) * rng.normal(1, 0.05, (n_bands, side, side))
    s2 = np.rint(pixels[:n_bands] * light).clip(1).astype(np.uint16)
    speckle = rng.normal(0, 80, (len(S1_BANDS), side, side))
    s1 = np.rint(pixels[n_bands:] + speckle).astype(np.int16)
    return cover, (s2[None], s1[None])


def without(pixels: Pixels, *sensors: str) -> Pixels:
    """The pixels with sensors missing."""
    s2, s1 = pixels
    return (
        np.full_like(s2, S2_NODATA) if "s2" in sensors else s2,
        np.full_like(s1, S1_NODATA) if "s1" in sensors else s1,
    )


def try_model(session: Session) -> Trial:
    """Run a model on typical pixels, without each sensor that may be missing, and on nothing.

    Raises:
        ModelError: it fails, or gives NaN or another shape than its contract says.

    """
    contract = session.contract
    cover, pixels = typical_pixels(contract.window, seed=0)
    _run(session, pixels)  # the first call is slower
    logits, seconds = _timed(lambda: _run(session, pixels))
    warnings = []
    if float(np.ptp(logits, axis=(2, 3)).max()) < 1e-6:
        warnings.append(
            "It returns the same for every pixel. Check the scale, the mean and the deviation."
        )
    optional = [name for name, item in contract.inputs.items() if item.optional]
    for name in optional if len(contract.inputs) > 1 else ():
        _run_without(session, pixels, name)
    try:
        _run(session, without(pixels, "s2", "s1"))
    except ModelError:
        warnings.append("It fails on a window without data; lulcmap shows it none.")
    classes = logits[0].argmax(0).repeat(contract.stride, 0).repeat(contract.stride, 1)
    shares = _shares(classes, contract.classes)
    covers = {
        name: next(iter(_shares(classes[cover == number], contract.classes).items()))
        for number, name in enumerate(COVER_SPECTRA)
        if (cover == number).any()
    }
    if len(contract.classes) > 1 and len(shares) == 1:
        warnings.append(
            f"It gives {next(iter(shares))} to water, trees, crops, towns and bare ground alike. "
            "Check the bands, the scale, the mean and the deviation."
        )
    return Trial(logits.shape, shares, covers, seconds, session.device, tuple(warnings))


def _run(session: Session, pixels: Pixels) -> NDArray[np.float32]:
    return session.run(*pixels, np.full(len(pixels[0]), NO_S2_SUN_ZENITH, np.float32))


def _run_without(session: Session, pixels: Pixels, name: str) -> None:
    try:
        _run(session, without(pixels, name))
    except ModelError as error:
        raise ModelError(f"Without {name}: {error} Or give --missing refuse.") from error


def _timed(run: Callable[[], NDArray[np.float32]]) -> tuple[NDArray[np.float32], float]:
    start = time.perf_counter()
    result = run()
    return result, time.perf_counter() - start


def _shares(classes: NDArray[np.intp], names: tuple[str, ...]) -> dict[str, float]:
    counts = np.bincount(classes.ravel(), minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    return {names[k]: float(counts[k] / classes.size) for k in order if counts[k]}
