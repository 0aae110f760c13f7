"""Sentinel-1 and Sentinel-2 as lulcmap uses them: bands, units, nodata, offsets, mask codes."""

from collections.abc import Mapping
from typing import Any

S2_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12")
"""Sentinel-2 bands of a composite, in order: Dynamic World's nine."""

S2_NODATA = 0
"""Nodata value in files (before the offset is removed) and in composites."""

S2_OFFSET = 1000
"""DN that ESA adds to all L2A bands since processing baseline 04.00 (25 January 2022), to keep dark
reflectances positive."""

S1_BANDS = ("VV", "VH")
"""Sentinel-1 bands of a composite, in order."""

S1_NODATA = -32768
"""Nodata value in files (linear gamma-nought) and in composites (hundredths of a decibel)."""

SCL_MASKED = (0, 1, 3, 8, 9, 10)
"""Scene classification (SCL) codes that are masked: no data, saturated or defective, cloud shadow,
cloud of medium and high probability, thin cirrus. Snow (11) and dark areas (2) are kept: snow is a
class of the legend, and dark areas are mostly water and shade."""

SCL_DILATED = (3, 8, 9, 10)
"""SCL codes that the mask dilates: clouds and their shadows, not the swath edge."""


def s2_offset(properties: Mapping[str, Any], asset: Mapping[str, Any]) -> int | None:
    """The DN to subtract from a Sentinel-2 L2A asset, read from its item.

    The date does not decide it: archives reprocess scenes of 2015 with the new baseline. The first
    of these counts: the provider's flag that it has removed the offset, the asset's own raster
    offset, the processing baseline.

    Args:
        properties: properties of the STAC item.
        asset: one of the item's assets.

    Returns:
        The offset in DN (0 or 1000, or the asset's own), or None where the item does not say.

    Examples:
        >>> s2_offset({"s2:processing_baseline": "04.00"}, {})
        1000
        >>> s2_offset({"s2:processing_baseline": "02.14"}, {})
        0
        >>> s2_offset({}, {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]})
        1000
        >>> s2_offset({"earthsearch:boa_offset_applied": True, "processing:version": "05.00"}, {})
        0
        >>> s2_offset({}, {}) is None
        True

    """
    if properties.get("earthsearch:boa_offset_applied") is True:
        return 0
    bands = asset.get("raster:bands") or asset.get("bands") or [{}]
    facts = {**asset, **bands[0]}
    facts = {key.removeprefix("raster:"): value for key, value in facts.items()}
    if isinstance(facts.get("offset"), int | float):
        return round(-float(facts["offset"]) / float(facts.get("scale") or 0.0001))
    baseline = properties.get("s2:processing_baseline") or properties.get("processing:version")
    try:
        return S2_OFFSET if float(str(baseline)) >= 4.0 else 0
    except ValueError:
        return None
