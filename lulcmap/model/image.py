"""Classify one image, as a block of a map but without pixels beyond its edges."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.geo import Blend, Box
from lulcmap.legend import LandCover, cf_attributes
from lulcmap.model.contract import Contract, Prior
from lulcmap.model.inference import Classified, Network, bounding_box, classify, needed_windows
from lulcmap.model.session import Session
from lulcmap.sensors import NO_SUN, S1_NODATA, S2_NODATA
from lulcmap.system import as_xarray

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, slots=True)
class ClassifiedImage:
    """The classes of a composite."""

    classes: NDArray[np.uint8]
    """(H, W) ids of the classes in the legend, 255 nodata."""

    confidence: NDArray[np.uint8]
    """(H, W) probability of the class, percent, 255 nodata."""

    margin: NDArray[np.uint8]
    """(H, W) probability of the class minus that of the second, percent, 255 nodata."""

    grid: GeoBox
    """Grid of the image."""

    legend: tuple[LandCover, ...]
    """Legend of the classes."""

    def to_xarray(self) -> "xarray.Dataset":
        """Convert to a Dataset of ``classes``, ``confidence`` and ``margin``.

        ``classes`` has CF ``flag_values`` and ``flag_meanings``. Needs the extra ``xarray``:
        ``pip install 'lulcmap[xarray]'``.

        Raises:
            UsageError: xarray is not installed.

        """
        percent = {"units": "percent", "_FillValue": 255}
        return as_xarray(
            self.grid,
            {
                "classes": (self.classes, cf_attributes(self.legend)),
                "confidence": (self.confidence, percent),
                "margin": (self.margin, percent),
            },
        )


def classify_image(
    session: Session,
    s2: NDArray[np.uint16],
    s1: NDArray[np.int16],
    *,
    box: Box | None = None,
    contract: Contract | None = None,
    network: Network | None = None,
    blend: Blend = "hann",
    prior: Prior = "natural",
    sun: NDArray[np.uint16] | None = None,
    sampled: NDArray[np.intp] | None = None,
) -> Classified:
    """Classify an image in overlapping windows, which see it mirrored beyond its edges.

    Args:
        session: session of the model.
        s2: (9, H, W) DN, bands as ``S2_BANDS``; 0 nodata.
        s1: (2, H, W) hundredths of a decibel, VV and VH; -32768 nodata.
        box: box of the image's (H, W) pixels in its zone, on whose lattice the windows lie; None
            puts the corner of the first window on the image's.
        contract: contract with other windows; None for the session's.
        network: network for those windows; None for the session's.
        blend: how windows are blended.
        prior: class prior, as in ``Contract.logit_bias``.
        sun: (H, W) mean zenith of the sun, as of ``classify``.
        sampled: (n,) pixels whose logits are wanted, counted row by row.

    Returns:
        The classes of the image's pixels.

    Raises:
        ModelError: the model failed; ``DeviceError``: the device has too little memory.
        UsageError: the model does not tell the class shares that ``prior="balanced"`` needs, or
            takes the sun's zenith, which is not given.

    """
    contract = contract or session.contract
    box = box or Box(0, 0, *s2.shape[1:])
    windows = needed_windows(
        np.ones(box.shape, bool), box, lattice=contract.lattice, stride=contract.stride
    )
    over = bounding_box(windows)
    return classify(
        network or session.run,
        contract,
        s2=_pad(s2, box, over, S2_NODATA),
        s1=_pad(s1, box, over, S1_NODATA),
        over=over,
        windows=windows,
        box=box,
        batch_size=session.batch_size,
        in_flight=session.in_flight,
        blend=blend,
        prior=prior,
        sun=None if sun is None else _pad(sun[None], box, over, NO_SUN)[0],
        sampled=sampled,
    )


def _pad(image: NDArray[Any], box: Box, over: Box, nodata: int) -> NDArray[Any]:
    """Pad an image over ``box`` with nodata to ``over``."""
    placed = np.full((len(image), *over.shape), nodata, image.dtype)
    placed[(slice(None), *box.within(over))] = image
    return placed
