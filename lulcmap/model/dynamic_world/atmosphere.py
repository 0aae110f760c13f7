"""The atmosphere between the ground and Sentinel-2: from L2A back to what the satellite saw.

Dynamic World's network takes reflectance at the top of the atmosphere, and lulcmap has that of the
surface. For each band

    top = path + gain * surface / (1 - albedo * surface)

where path is the light that never reached the ground, gain the transmission of the gases and of
the air on the way down and up, and albedo that of the sky seen from below. Path and gain depend on
the air mass 1 / cos(sun zenith): here a polynomial of its logarithm, fitted to runs of the
radiative transfer code 6SV 1.1 (Vermote et al., 1997) at sun zeniths from 0 to 78 degrees:
continental aerosol of optical thickness 0.1 at 550 nm, 1.5 cm of water vapour, 0.30 cm-atm of
ozone, sea level, the responses of Sentinel-2A, the view 5 degrees from nadir.

For suns of 0 to 80 degrees and reflectances of 0 to 1 the fit is within 5 DN or 0.5 %, whichever is
more, of the runs: over a black surface within 4 DN, over a white one within 16 DN (B02).
"""

from lulcmap.model.onnx_graph import OnnxGraph
from lulcmap.sensors import S2_BANDS

MAX_SUN_ZENITH = 78.0
"""Largest sun zenith of the runs, degrees; lower suns are taken as this."""

_COEFFICIENTS = {
    "B02": (
        (0.066065, -0.011021, 0.067090, -0.031824, 0.007328),
        (0.807158, -0.074948, -0.089261, 0.029104, -0.005065),
        0.14027,
    ),
    "B03": (
        (0.039317, -0.011512, 0.052127, -0.028087, 0.006942),
        (0.823790, -0.076113, -0.072866, 0.012643, -0.002886),
        0.09878,
    ),
    "B04": (
        (0.022235, -0.010872, 0.042070, -0.025319, 0.007247),
        (0.886381, -0.054637, -0.049760, 0.002507, -0.002070),
        0.06328,
    ),
    "B05": (
        (0.018415, -0.010619, 0.039025, -0.024135, 0.007097),
        (0.892984, -0.050751, -0.045210, 0.002492, -0.002365),
        0.05463,
    ),
    "B06": (
        (0.015811, -0.010410, 0.036743, -0.023340, 0.006966),
        (0.901597, -0.047189, -0.041566, 0.002197, -0.002498),
        0.04845,
    ),
    "B07": (
        (0.013465, -0.009867, 0.033583, -0.021406, 0.006512),
        (0.936733, -0.033607, -0.032458, 0.000296, -0.002051),
        0.04216,
    ),
    "B08": (
        (0.011182, -0.008994, 0.029029, -0.018411, 0.005529),
        (0.901718, -0.039910, -0.036578, 0.004286, -0.003138),
        0.03705,
    ),
    "B11": (
        (0.001784, 0.000156, -0.001817, 0.004133, -0.001361),
        (0.948610, -0.021445, -0.018737, 0.002032, -0.002609),
        0.00922,
    ),
    "B12": (
        (0.000623, 0.000153, 0.000571, -0.000154, 0.000105),
        (0.912788, -0.031345, -0.028855, 0.007838, -0.004452),
        0.00452,
    ),
}
"""Path and gain, coefficients of the powers 0 to 4 of ln(air mass), and albedo, of each band."""

_LIMITS_DN = (1.0, 20000.0)
"""DN of the surface that are told apart: 1 is the least that is no nodata."""


def add_atmosphere(graph: OnnxGraph, surface: str, sun_zenith: str) -> str:
    """Add the nodes from reflectance at the surface to that at the top of the atmosphere.

    Args:
        graph: graph to add them to.
        surface: name of (N, 9, H, W) float32 DN of L2A, the offset removed.
        sun_zenith: name of (N,) float32 degrees.

    Returns:
        Name of (N, 9, H, W) float32 DN of L1C.

    """
    axes = graph.constant([1, 2, 3], "int64")
    zenith = graph.add("Unsqueeze", sun_zenith, axes)
    zenith = graph.add("Clip", zenith, *map(graph.constant, (0.0, MAX_SUN_ZENITH)))
    radians = graph.add("Mul", zenith, graph.constant(3.141592653589793 / 180))
    log_mass = graph.add("Neg", graph.add("Log", graph.add("Cos", radians)))
    path = _add_polynomial(graph, log_mass, [_COEFFICIENTS[band][0] for band in S2_BANDS])
    gain = _add_polynomial(graph, log_mass, [_COEFFICIENTS[band][1] for band in S2_BANDS])
    albedo = over_bands(graph, [_COEFFICIENTS[band][2] for band in S2_BANDS])
    limited = graph.add("Clip", surface, *map(graph.constant, _LIMITS_DN))
    reflectance = graph.add("Mul", limited, graph.constant(1e-4))
    bounced = graph.add("Sub", graph.constant(1.0), graph.add("Mul", reflectance, albedo))
    lit = graph.add("Div", graph.add("Mul", reflectance, gain), bounced)
    return graph.add("Mul", graph.add("Add", lit, path), graph.constant(1e4))


def over_bands(graph: OnnxGraph, values: list[float]) -> str:
    """Add a constant (1, C, 1, 1)."""
    return graph.constant([[[[value]] for value in values]])


def _add_polynomial(graph: OnnxGraph, x: str, bands: list[tuple[float, ...]]) -> str:
    """Add a polynomial of each band, by Horner's rule: (N, 1, 1, 1) to (N, C, 1, 1)."""
    *lower, highest = zip(*bands, strict=True)
    value = over_bands(graph, list(highest))
    for power in reversed(lower):
        value = graph.add("Add", graph.add("Mul", value, x), over_bands(graph, list(power)))
    return value
