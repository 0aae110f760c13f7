"""Sentinel-1 and Sentinel-2 as lulcmap uses them: bands, units, nodata, offsets, mask codes."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

SENSOR_NAMES = {"s2": "Sentinel-2", "s1": "Sentinel-1"}
"""Names of the sensors for people."""

S2_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12")
"""Sentinel-2 bands of a composite, in order: Dynamic World's nine."""

S2_NODATA = 0
"""Nodata value in files (before the offset is removed) and in composites."""

NO_SUN = 65535
"""Nodata value of the sun's zenith in composites (hundredths of a degree, 0 to 9000)."""

S2_OFFSET = 1000
"""DN that ESA adds to all L2A bands since processing baseline 04.00 (25 January 2022), to keep dark
reflectances positive."""

S2_SCALE = 0.0001
"""Reflectance of one DN."""

S2_SATURATED = 31767
"""Smallest reflectance x 10000 that is no measurement. L2A pixels have 15 bits, 1 to 32767, and the
last of them says saturated: 31767 without the offset. Bright snow and the sunlit rims of clouds
reach 16000. Above lies what was written wrongly, such as 64536, which is 0 - 1000 in 16 bits.
Sources: SentiWiki, S2 products; ESA's answer in forum.step.esa.int/t/44294; real scenes of snow."""

S1_BANDS = ("VV", "VH")
"""Sentinel-1 bands of a composite, in order."""

S1_NODATA = -32768
"""Nodata value in files (linear gamma-nought) and in composites (hundredths of a decibel)."""

KEPT_S1_OFFSET_DB = -200.0
"""Decibels of 0 in a composite's file, which holds hundredths of them as uint16 with nodata 0, as
it holds Sentinel-2: a GeoTIFF has one type and one nodata value."""

S1_POWER = (1e-15, 1e5)
"""Smallest and largest linear gamma-nought that can be a measurement. GRD amplitudes have 16 bits
and the calibration constant of IW is 237: they saturate at (65535 / 237)^2 = 7.6e4, 49 dB. Noise of
about 1e-3 is subtracted in floats of 24 bits, so that a difference is a multiple of 1e-11 or so,
which terrain correction changes by less than a factor of 1000.
Source: Sentinel-1 Product Specification (S1-RS-MDA-52-7441), calibration and noise vectors."""

SCL_MASKED = (0, 1, 3, 8, 9, 10)
"""Scene classification (SCL) codes that are masked: no data, saturated or defective, cloud shadow,
cloud of medium and high probability, thin cirrus. Snow (11) and dark areas (2) are kept: snow is a
class of the legend, and dark areas are mostly water and shade."""

SCL_DILATED = (3, 8, 9, 10)
"""SCL codes that the mask dilates: clouds and their shadows, not the swath edge."""


def s2_offset(properties: Mapping[str, Any], asset: Mapping[str, Any]) -> int | None:
    """The DN to subtract from a Sentinel-2 L2A asset, read from its item.

    The date does not decide it: archives reprocess scenes of 2015 with the new baseline. The first
    of these counts: the provider's flag that it has removed the offset, the processing baseline if
    it is before 04.00, the asset's own raster offset, the processing baseline. Catalogues remove
    ESA's offset, but none adds one that ESA did not. An offset of 0 beside a baseline that has one
    is refused: some catalogues write it of pixels without the offset, others without looking.

    Args:
        properties: properties of the STAC item.
        asset: one of the item's assets.

    Returns:
        The offset in DN, 0 or 1000, or None where the item does not say.

    Raises:
        ValueError: what the item says cannot be, or leaves open which offset its pixels have; the
            text says why and follows the words "it states".

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
    ((offset, _),) = s2_offsets(properties, [asset])
    return offset


def s2_offsets(
    properties: Mapping[str, Any], assets: Iterable[Mapping[str, Any]]
) -> set[tuple[int | None, str | None]]:
    """The offsets of some assets of one item, each as of ``s2_offset``, with what contradicts them.

    Args:
        properties: properties of the STAC item.
        assets: some of the item's assets.

    Returns:
        Pairs of offset and contradiction. The contradiction is in words that follow "they state"
        and says what counts; None if there is none.

    Raises:
        ValueError: as ``s2_offset``.

    Examples:
        >>> s2_offsets({"s2:processing_baseline": "04.00"}, [{}, {}])
        {(1000, None)}
        >>> s2_offsets({"s2:processing_baseline": "02.14"}, [{"raster:offset": -0.1}])
        {(0, 'an offset beside a processing baseline without one; the baseline counts')}

    """
    removed, baseline = _offset_removed(properties), _baseline_offset(properties)
    stated = {_stated_offset(asset) for asset in assets}
    return {_decide_offset(*one, baseline, removed=removed) for one in stated}


def _decide_offset(
    stated: int | None, in_dn: bool, baseline: int | None, *, removed: bool
) -> tuple[int | None, str | None]:
    """The offset that counts, DN, and what contradicts it; None where there is none."""
    if removed:
        doubt = "an offset and that it was removed from the pixels; that it was removed counts"
        return 0, doubt if stated else None
    if stated is None:
        return baseline, None
    if not stated and baseline:
        raise ValueError(
            "an offset of 0 beside a processing baseline that adds 1000; give "
            "earthsearch:boa_offset_applied true if the pixels are without it, or no offset"
        )
    if stated and baseline == 0:
        return 0, "an offset beside a processing baseline without one; the baseline counts"
    return (
        stated,
        "an offset of -1000 that does not fit its scale; it counts in DN" if in_dn else None,
    )


def _stated_offset(asset: Mapping[str, Any]) -> tuple[int | None, bool]:
    """The offset that an asset states, DN, and whether it is in DN against its scale.

    Raises:
        ValueError: it is neither 0 nor ESA's.

    """
    if asset.keys().isdisjoint(_OFFSET_PLACES):
        return None, False
    found = set()
    places = [asset, *(_first(asset.get(name)) for name in ("raster:bands", "bands"))]
    scales = [facts.get(name) for facts in places for name in ("scale", "raster:scale")]
    scale = next((value for value in reversed(scales) if value is not None), None)
    for facts in places:
        for name in ("offset", "raster:offset"):
            if facts.get(name) is not None:
                found.add(_offset_in_dn(facts[name], scale))
    if len({offset for offset, _ in found}) > 1:
        raise ValueError("two offsets for one band")
    return min(found, default=(None, False))


def _offset_in_dn(offset: Any, scale: Any) -> tuple[int, bool]:
    """An offset of reflectance as DN, and whether it was in DN although a scale is stated."""
    if not _is_number(offset):
        raise ValueError(f"an offset of {offset!r:.40}, which is not a number")
    if offset == 0:
        return 0, False
    if scale is None and _is_near(offset, -S2_OFFSET):
        return S2_OFFSET, False
    unit = S2_SCALE if scale is None else scale
    if _is_number(unit) and unit > 0:
        if _is_near(-offset / unit, S2_OFFSET):
            return S2_OFFSET, False
        if _is_near(offset, -S2_OFFSET) and _is_near(unit / S2_SCALE, 1):
            return S2_OFFSET, True
    raise ValueError(
        f"an offset of {offset!r:.40} at a scale of {scale!r:.40}, where -0.1 at 0.0001 or 0 are "
        "expected"
    )


def _is_near(value: float, expected: float) -> bool:
    return abs(value / expected - 1) < _TOLERANCE


def _is_number(value: Any) -> bool:
    """Whether a value is a number, finite, and not so large that it has no float."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and -_LARGEST < value < _LARGEST


def _first(bands: Any) -> Mapping[str, Any]:
    """The facts of the first of an asset's bands."""
    first = bands[0] if isinstance(bands, list) and bands else None
    return first if isinstance(first, Mapping) else {}


def _baseline_offset(properties: Mapping[str, Any]) -> int | None:
    """The offset that ESA adds in an item's processing baseline; None if it states none.

    Raises:
        ValueError: the item and its product's name state baselines with and without an offset.

    """
    names = ("s2:processing_baseline", "sentinel:processing_baseline")
    stated = next((n for n in (_baseline(properties.get(name)) for name in names) if n), None)
    match = _BASELINE_OF_PRODUCT.match(str(properties.get("s2:product_uri")))
    named = _baseline(match[1]) if match else None
    if stated and named and (stated >= _FIRST_WITH_OFFSET) != (named >= _FIRST_WITH_OFFSET):
        raise ValueError("another processing baseline than its product's name")
    baseline = stated or named or _baseline(properties.get("processing:version"))
    if baseline is None:
        return None
    return S2_OFFSET if baseline >= _FIRST_WITH_OFFSET else 0


def _baseline(value: Any) -> tuple[int, int] | None:
    """Major and minor number of a processing baseline, such as 05.10, N0510 or 5.1."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    match = _BASELINE.fullmatch(str(value).strip())
    return (int(match[1]), int(match[2] or match[3] or 0)) if match else None


def _offset_removed(properties: Mapping[str, Any]) -> bool:
    """Whether the catalogue says that it has removed ESA's offset from the pixels.

    Raises:
        ValueError: it says so in a word that is neither true nor false, or says both.

    """
    flags = {
        str(value).lower()
        for name, value in properties.items()
        if name.endswith(":boa_offset_applied") and value is not None
    }
    if len(flags) > 1 or not flags <= {"true", "false"}:
        raise ValueError("boa_offset_applied in words that are neither true nor false")
    return flags == {"true"}


_FIRST_WITH_OFFSET = (4, 0)
"""First processing baseline that adds the offset."""

_BASELINE = re.compile(r"N?(\d{1,2})(?:\.(\d{1,2})|(?<=\d{2})(\d{2}))?")
_BASELINE_OF_PRODUCT = re.compile(r"S2[A-Z]_MSIL2A_\d{8}T\d{6}_(N\d{4})_")

_OFFSET_PLACES = frozenset(("offset", "raster:offset", "raster:bands", "bands"))
"""Members of an asset that may state an offset."""

_TOLERANCE = 5e-4
"""Relative difference within which two offsets or scales are the same; some are float32."""

_LARGEST = 1e18
