"""The features that a network's head takes, at single pixels of one window."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import ModelError, UsageError
from lulcmap.model.contract import SUN_ZENITH, Contract
from lulcmap.model.file import ModelFile, read_model
from lulcmap.model.head import Head, HeadPlace, read_head, with_features
from lulcmap.model.mirror import mirrored
from lulcmap.model.protobuf import read_metadata
from lulcmap.model.runtime import create_inner, first_line, load_runtime
from lulcmap.model.session import select_bands
from lulcmap.model.sun import given_zeniths, window_zenith
from lulcmap.model.windows import usable_pixels


@dataclass(frozen=True, slots=True)
class FeatureNetwork:
    """A model whose features can be read."""

    file: ModelFile
    """Its file."""

    head: Head
    """Its head."""

    place: HeadPlace
    """Place of the head in the file."""

    _ort: Any = field(repr=False)

    @property
    def contract(self) -> Contract:
        """Its contract."""
        return self.file.contract

    def features(
        self,
        s2: NDArray[np.uint16],
        s1: NDArray[np.int16],
        *,
        sun: NDArray[np.uint16] | None = None,
    ) -> NDArray[np.float32]:
        """Features of a window's cells; where it has no data the network sees mirrored land.

        Args:
            s2: (9, H, W) DN, bands as ``S2_BANDS``; 0 nodata.
            s1: (2, H, W) hundredths of a decibel, VV and VH; -32768 nodata.
            sun: (H, W) zenith of the sun, hundredths of a degree, for a model that takes it.

        Returns:
            (D, H / stride, W / stride).

        Raises:
            ModelError: the model failed.
            UsageError: the model takes the sun's zenith, which is not given.

        """
        usable = usable_pixels(self.contract, s2, s1)
        if not usable.any():
            raise ValueError("the window has no data")
        composites = {"s2": s2[None], "s1": s1[None]}
        if not usable.all():
            at = mirrored(usable)
            composites = {
                name: np.ascontiguousarray(p[:, :, *at]) for name, p in composites.items()
            }
        feeds: dict[str, Any] = {
            name: select_bands(composites[name], name, needed.bands)
            for name, needed in self.contract.inputs.items()
        }
        if SUN_ZENITH in self.contract.scalars:
            if sun is None:
                raise UsageError(
                    f"Model {self.contract.name!r} takes the sun's zenith, which a composite's "
                    "file does not tell. Give --aoi, a period and --catalog instead of --composite."
                )
            feeds[SUN_ZENITH] = given_zeniths([window_zenith(sun, usable)])
        try:
            (found,) = self._ort.run([self.place.features], feeds)
        except Exception as error:  # the runtime's exceptions have no common base
            raise ModelError(f"Model {self.contract.name!r} failed: {first_line(error)}") from error
        if not np.isfinite(found).all():
            raise ModelError(
                f"Model {self.contract.name!r} gave features that are NaN or infinite."
            )
        stride = self.contract.stride
        expected = (1, self.head.weight.shape[1], *(side // stride for side in usable.shape))
        if found.shape != expected:
            raise ModelError(
                f"Model {self.contract.name!r} gave features of the shape {found.shape}, where its "
                f"contract has {expected}: one cell per {stride} x {stride} pixels. Export it "
                "again with the contract it keeps."
            )
        features: NDArray[np.float32] = np.asarray(found[0], np.float32)
        return features

    def metadata(self) -> Mapping[str, str]:
        """Metadata of its file."""
        return read_metadata(memoryview(self.file.data))

    def usable(self, s2: NDArray[np.uint16], s1: NDArray[np.int16]) -> NDArray[np.bool_]:
        """(H, W) True where a pixel has the inputs that the model needs."""
        return usable_pixels(self.contract, s2, s1)


def open_features(path: Path) -> FeatureNetwork:
    """Open a model to read its features, on the CPU.

    Args:
        path: path of its file.

    Raises:
        ModelError: it is none that lulcmap can map with.
        DeviceError: ONNX Runtime is not installed.

    """
    file = read_model(path)
    head, place = read_head(file.data, len(file.contract.classes))
    inner = create_inner(
        load_runtime(), with_features(file.data, place), path, lean=file.is_exported
    )
    return FeatureNetwork(file, head, place, inner)


def at_pixels(
    cells: NDArray[np.floating], rows: NDArray[np.intp], cols: NDArray[np.intp], *, stride: int
) -> NDArray[np.float64]:
    """(n, D) values of pixels between the cells (D, h, w) of a window, as a map interpolates them.

    Args:
        cells: (D, h, w) values of cells.
        rows: (n,) rows of pixels.
        cols: (n,) columns of pixels.
        stride: side of a cell, pixels.

    """
    (above, below, down), (left, right, beside) = (
        _between(pixels, stride, size)
        for pixels, size in zip((rows, cols), cells.shape[1:], strict=True)
    )
    upper = cells[:, above, left] * (1 - beside) + cells[:, above, right] * beside
    lower = cells[:, below, left] * (1 - beside) + cells[:, below, right] * beside
    values: NDArray[np.float64] = (upper * (1 - down) + lower * down).T.astype(np.float64)
    return values


def _between(
    pixels: NDArray[np.intp], stride: int, size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Cells before and after each pixel's centre, and its distance from the first, 0 to 1."""
    place = np.clip((pixels + 0.5) / stride - 0.5, 0, size - 1)
    before = np.floor(place).astype(np.intp)
    return before, np.minimum(before + 1, size - 1), place - before
