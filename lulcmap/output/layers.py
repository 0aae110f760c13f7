"""Layers of a map: what its blocks know beyond the class, as further COGs on the map's grid."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lulcmap.legend import NODATA
from lulcmap.output.cog import LayerBand, plan_of
from lulcmap.output.layer_names import COMPOSITE, PROBABILITIES, QUALITY, layer_bytes, layer_path
from lulcmap.run import BLOCK_BANDS, PIXEL_ORIGINS, About
from lulcmap.sensors import KEPT_S1_OFFSET_DB, S1_BANDS, S2_BANDS, S2_SCALE


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer and its bands."""

    name: str
    """Name of the layer, which is the ending of its file's stem: ``map-quality.tif``."""

    bands: Sequence[LayerBand]
    """What each band says of itself."""

    sources: Sequence[int]
    """Bands of the blocks' files, in the same order."""

    dtype: str
    """Data type."""

    bytes_per_pixel: float
    """Most bytes that a pixel takes in a compressed file without overviews."""

    nodata: int = NODATA
    """Value of pixels outside the area."""

    overviews: str = "NEAREST"
    """Resampling of the overviews."""

    is_kept: bool = False
    """Whether blocks keep it in a file of its own, which a run must have begun with."""


def quality_layer(about: About) -> Layer:  # noqa: ARG001 - as the others
    """How sure the model is of each pixel, and what the pixel was mapped from."""
    flags = {
        "flag_values": f"{{{','.join(map(str, range(len(PIXEL_ORIGINS))))}}}",
        "flag_meanings": " ".join(PIXEL_ORIGINS),
    }
    bands = (
        LayerBand("confidence", "percent", tags={"long_name": "probability of the class"}),
        LayerBand(
            "margin",
            "percent",
            tags={"long_name": "probability of the class minus that of the second"},
        ),
        LayerBand("s2_count", "1", tags={"long_name": "clear Sentinel-2 observations"}),
        LayerBand("s1_count", "1", tags={"long_name": "Sentinel-1 passes"}),
        LayerBand("origin", "1", tags={"long_name": "what the pixel was mapped from", **flags}),
    )
    sources = [BLOCK_BANDS.index(band.name) + 1 for band in bands]
    return Layer(QUALITY, bands, sources, "uint8", layer_bytes(QUALITY))


def composite_layer(about: About) -> Layer:  # noqa: ARG001 - as the others
    """The image that the map was made from."""
    s2 = [
        LayerBand(name, "1", S2_SCALE, tags={"long_name": f"surface reflectance, {name}"})
        for name in S2_BANDS
    ]
    s1 = [
        LayerBand(name, "dB", 0.01, KEPT_S1_OFFSET_DB, tags={"long_name": f"gamma-nought, {name}"})
        for name in S1_BANDS
    ]
    bands = [*s2, *s1]
    sources = range(1, len(bands) + 1)
    n_bytes = layer_bytes(COMPOSITE)
    return Layer(COMPOSITE, bands, sources, "uint16", n_bytes, 0, overviews="AVERAGE", is_kept=True)


def probabilities_layer(about: About) -> Layer:
    """The probability of every class."""
    bands = [
        LayerBand(cover.name, "percent", tags={"long_name": f"probability of class {cover.id}"})
        for cover in about.legend
    ]
    sources, n_bytes = range(1, len(bands) + 1), layer_bytes(PROBABILITIES, len(bands))
    return Layer(PROBABILITIES, bands, sources, "uint8", n_bytes, is_kept=True)


LAYERS: Mapping[str, Callable[[About], Layer]] = {
    QUALITY: quality_layer,
    COMPOSITE: composite_layer,
    PROBABILITIES: probabilities_layer,
}
"""What makes each layer of a run, by its name."""


def remove_old_layers(out: Path, plan: str) -> None:
    """Remove the layers of another map that was there before.

    Args:
        out: path of the map's file.
        plan: digest of the plan of the map that is there now.

    """
    for name in LAYERS:
        path = layer_path(out, name)
        with suppress(OSError):  # its name may be longer than a file's can be
            if path.is_file() and plan_of(path, name) not in (None, plan):
                path.unlink()
