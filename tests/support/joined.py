"""Join blocks and write what they make in one step, as ``predict`` does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.output.cog import LayerBand, write_cog, write_layer_cog
from lulcmap.output.mosaic import LayerBlocks, joined_layer, joined_map
from lulcmap.output.zone_reader import ZoneBlocks


def write_map(zones: Sequence[ZoneBlocks], *, out: Path, **options: Any) -> NDArray[np.int64]:
    """Write a map; return its counts."""
    counts = np.zeros(256, np.int64)
    write_cog(joined_map(zones, counts=counts, **options), out, tags={})
    return counts


def write_layer(
    zones: Sequence[ZoneBlocks], layer: LayerBlocks, *, out: Path, **options: Any
) -> None:
    """Write a layer."""
    bands = [LayerBand(str(number)) for number in layer.bands]
    write_layer_cog(joined_layer(zones, layer, **options), out, layer="x", bands=bands, tags={})
