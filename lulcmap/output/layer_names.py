"""Names of the layers of a map, their files, and how large they become; needs no library."""

from pathlib import Path

QUALITY, COMPOSITE, PROBABILITIES = "quality", "composite", "probabilities"

_QUALITY_BYTES, _COMPOSITE_BYTES, _BYTES_PER_PROBABILITY = 2.0, 22.0, 0.5
"""Most bytes a pixel of a layer's compressed file: a simulated country has 1.5, 17.8 and 0.31."""


def layer_path(out: Path, name: str) -> Path:
    """Path of a layer of a file of a map: ``map-quality.tif`` beside ``map.tif``."""
    return out.with_stem(f"{out.stem}-{name}")


def layer_bytes(name: str, n_classes: int = 0) -> float:
    """Most bytes that a pixel of a layer takes in a compressed file without overviews.

    Args:
        name: name of the layer.
        n_classes: number of classes of the legend, which decides the size of the probabilities.

    """
    sizes = {
        QUALITY: _QUALITY_BYTES,
        COMPOSITE: _COMPOSITE_BYTES,
        PROBABILITIES: _BYTES_PER_PROBABILITY * n_classes,
    }
    return sizes[name]
