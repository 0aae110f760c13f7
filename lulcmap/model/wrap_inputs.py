"""Find what is before a foreign network: which bands each input takes, in which unit and order."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lulcmap.errors import ModelError, UsageError
from lulcmap.legend import shortened
from lulcmap.model.contract import S1_INPUT, S2_INPUT, SUN_ZENITH, ModelInput
from lulcmap.model.foreign import ForeignNetwork, Port
from lulcmap.model.hints import Hints
from lulcmap.model.transform import Channels, Layout, Transform, Unit, is_image_type
from lulcmap.model.wrap_request import WrapRequest
from lulcmap.sensors import S1_BANDS, S2_BANDS, S2_SCALE

_RESOLUTION_M = 10.0
"""Pixel size of composites."""

_WINDOW_PX = 512
"""Side of the windows of a network that takes any."""

_LARGEST_WINDOW_PX = 4096
"""Largest side of a window that a test can be made of in little memory."""

_COMMON_NAMES = {
    **{"blue": "B02", "green": "B03", "red": "B04", "nir": "B08", "vv": "VV", "vh": "VH"},
    **{"rededge1": "B05", "rededge2": "B06", "rededge3": "B07", "swir16": "B11", "swir22": "B12"},
}
"""STAC's common names of bands."""

_OURS = {"s2": S2_INPUT, "s1": S1_INPUT}


def find_window(network: ForeignNetwork, request: WrapRequest, hints: Hints) -> tuple[int, bool]:
    """Find the side of a window, pixels, and whether the network takes no other.

    Raises:
        UsageError: another window was asked for than the network takes.
        ModelError: an input is no image, or the network is for another pixel size.

    """
    path = network.path
    for port in network.inputs:
        if len(port.shape) != 4 or not is_image_type(port):
            raise ModelError(
                f"{path} takes {port.describe()}, which is no image of 4 axes (N, bands, H, W). "
                "Export the network with one or two images as inputs, and nothing else but "
                f"{SUN_ZENITH} (N) of float32, degrees."
            )
    resolution = request.resolution or hints.resolution or _RESOLUTION_M
    if resolution != _RESOLUTION_M:
        raise ModelError(
            f"{path} is for pixels of {resolution:g} m; lulcmap provides {_RESOLUTION_M:g} m. If "
            f"it was trained on {_RESOLUTION_M:g} m too, give --resolution {_RESOLUTION_M:g}."
        )
    sizes = {
        size
        for port in network.inputs
        for size in _sizes(port, _guessed_layout(port, request.layout))
        if size is not None
    }
    if len(sizes) > 1:
        raise ModelError(
            f"{path} takes {' and '.join(port.describe() for port in network.inputs)}; windows "
            "are square. Export it for squares, or with free sizes, or give --layout."
        )
    if not sizes:
        return request.window or hints.window or _WINDOW_PX, False
    (size,) = sizes
    if request.window not in (None, size):
        raise UsageError(
            f"--window is {request.window}, but {path} takes only {size} px. Omit --window."
        )
    return size, True


def find_transform(
    network: ForeignNetwork, request: WrapRequest, hints: Hints, *, window: int, fixed: bool
) -> Transform:
    """Find the transform from composites to the network's inputs.

    Raises:
        UsageError: an option is missing, or does not fit the network.
        ModelError: the network takes images or batches that lulcmap does not have.

    """
    if window > _LARGEST_WINDOW_PX:
        raise ModelError(
            f"{network.path} is for windows of {window} px; lulcmap's have at most "
            f"{_LARGEST_WINDOW_PX}. Give a smaller --window."
        )
    if window % 4:
        raise ModelError(
            f"{network.path} takes windows of {window} px; lulcmap's are multiples of 4. "
            + ("Export it for another size." if fixed else "Give another --window.")
        )
    bands = tuple(map(_band, request.bands))
    _check_said(network, request, hints, bands)
    sensors = _sensors(network, request, bands)
    missing = dict(request.missing or {})
    inputs = _inputs(bands, missing)
    means = _per_band("--mean", request.mean, hints.mean, bands, 0.0)
    stds = _per_band("--std", request.std, hints.std, bands, 1.0)
    if any(std <= 0 for std in stds):
        raise UsageError("--std has a number that is not above 0. Give standard deviations.")
    channels = tuple(
        _channels(network, port, taken, bands, means, stds, request)
        for port, taken in zip(network.inputs, sensors, strict=True)
    )
    return Transform(
        inputs=inputs,
        units={name: _unit(name, request, missing) for name in inputs},
        channels=channels,
        window=window,
        fixed=fixed,
        one=_takes_one(network),
        sun=_takes_sun(network, inputs),
    )


def describe(transform: Transform) -> tuple[str, ...]:
    """The transform, a line for each input of the network."""
    sun = (f"{SUN_ZENITH} (N): degrees, 0 to 90",) if transform.sun else ()
    return (*(_line(transform, channels) for channels in transform.channels), *sun)


def _line(transform: Transform, channels: Channels) -> str:
    parts = []
    for name, item in transform.inputs.items():
        if any(band in item.bands for band in channels.bands):
            parts.append(_words_of_unit(name, transform.units[name], item))
    normalised = [
        f"{word} {', '.join(f'{value:g}' for value in values)}"
        for word, values, neutral in (("mean", channels.mean, 0), ("std", channels.std, 1))
        if any(value != neutral for value in values)
    ]
    shape = "(N, bands, H, W)" if channels.layout == "nchw" else "(N, H, W, bands)"
    takes = f"{shortened(channels.port.name)} {shape}: {', '.join(channels.bands)}"
    return "; ".join([takes, *parts, *normalised])


def _words_of_unit(name: str, unit: Unit, item: ModelInput) -> str:
    words = f"{name} x {unit.scale:g}" + (" as power" if unit.linear else "")
    words += f" {unit.offset:+g}" if unit.offset else ""
    words += f", clipped to {unit.clip[0]:g}..{unit.clip[1]:g}" if unit.clip else ""
    return words + (f", {unit.fill:g} if missing" if item.optional else "")


def _band(name: str) -> str:
    """A band by lulcmap's name: ``B4``, ``b04`` and ``red`` are ``B04``."""
    text = name.strip()
    band = _COMMON_NAMES.get(text.lower(), text.upper())
    if len(band) == 2 and band[0] == "B" and band[1].isdigit():
        band = f"B0{band[1]}"
    if band not in (*S2_BANDS, *S1_BANDS):
        raise UsageError(
            f"--bands has {shortened(text)}; lulcmap provides {', '.join(S2_BANDS)} of Sentinel-2 "
            f"and {', '.join(S1_BANDS)} of Sentinel-1. A network that needs others cannot map here."
        )
    return band


def _check_said(
    network: ForeignNetwork, request: WrapRequest, hints: Hints, bands: Sequence[str]
) -> None:
    """Check that everything was said that no file tells; name all of it at once."""
    missing = []
    if not bands:
        missing.append("its bands in its order (--bands B04,B03,B02,B08)")
    if len(network.inputs) == 2 and not request.inputs:
        missing.append("which input is which (--inputs s2,s1)")
    has_s2 = not bands or any(band in S2_BANDS for band in bands)
    if has_s2 and request.scale is None and request.reflectance is None:
        missing.append(
            "its unit (--reflectance 0-1 for reflectance, 0-10000 for DN, or --scale of DN)"
        )
    has_s1 = any(band in S1_BANDS for band in bands) or (not bands and "s1" in request.inputs)
    if has_s1 and request.s1 is None:
        missing.append("the unit of Sentinel-1 (--s1 db or --s1 linear)")
    if not request.classes and not hints.names:
        missing.append("its classes (--classes water,trees,... or a CSV file)")
    if missing:
        takes = " and ".join(port.describe() for port in network.inputs)
        raise UsageError(
            f"{network.path} takes {takes}; its file does not tell {'; '.join(missing)}. Give "
            f"{'them' if len(missing) > 1 else 'it'}."
        )
    _check_useful(request, bands)


def _check_useful(request: WrapRequest, bands: Sequence[str]) -> None:
    """Check that nothing was said that would have no effect."""
    if request.reflectance is not None and request.scale is not None:
        raise UsageError("--scale and --reflectance say the same. Give one of them.")
    if request.reflectance is not None and request.offset:
        raise UsageError("--offset is for --scale; --reflectance has both. Give --scale instead.")
    s2 = (("--scale", request.scale), ("--reflectance", request.reflectance))
    said: dict[str, Sequence[tuple[str, object]]] = {
        "s2": (*s2, ("--clip", request.clip)),
        "s1": (("--s1", request.s1), ("--s1-clip", request.s1_clip)),
    }
    for name, options in said.items():
        given = [option for option, value in options if value is not None]
        if given and not set(bands) & set(_OURS[name].bands):
            raise UsageError(
                f"{given[0]} is for a network that takes {name}, and --bands has none of its bands."
            )


def _sensors(
    network: ForeignNetwork, request: WrapRequest, bands: Sequence[str]
) -> list[tuple[str, ...]]:
    """The sensors of each of the network's inputs."""
    ports = network.inputs
    named = [one.strip() for one in request.inputs]
    if not 1 <= len(ports) <= 2:
        raise ModelError(
            f"{network.path} takes {len(ports)} inputs; lulcmap provides s2 and s1. Export it with "
            "one or two images as inputs."
        )
    if len(ports) == 1:
        taken = tuple(name for name, item in _OURS.items() if set(bands) & set(item.bands))
        if named and sorted(one.rsplit("=", 1)[-1] for one in named) != sorted(taken):
            raise UsageError(
                f"--inputs is {','.join(named)}, but --bands has bands of {' and '.join(taken)}. "
                "Correct one of them."
            )
        return [taken]
    if any("=" in one for one in named):
        by_name = dict(one.rsplit("=", 1) for one in named if "=" in one)
        named = [by_name.get(port.name, "") for port in ports]
    if sorted(named) != ["s1", "s2"]:
        raise UsageError(
            f"--inputs is {','.join(request.inputs)}; {network.path} takes "
            f"{' and '.join(port.describe() for port in ports)}. Give s2 and s1 in its order, such "
            f"as --inputs s2,s1."
        )
    return [(one,) for one in named]


def _inputs(bands: Sequence[str], missing: dict[str, float]) -> dict[str, ModelInput]:
    """Inputs of the wrapped model."""
    taken = {
        name: tuple(dict.fromkeys(band for band in bands if band in item.bands))
        for name, item in _OURS.items()
    }
    names = [name for name, chosen in taken.items() if chosen]
    unknown = sorted(set(missing) - set(names) - {"fill"})
    if unknown:
        raise UsageError(
            f"--missing names {', '.join(unknown)}, which the model does not take ("
            f"{', '.join(names)})."
        )
    for name in names:
        if "fill" in missing:
            missing.setdefault(name, missing["fill"])
    return {
        name: ModelInput(
            bands=taken[name],
            dtype=_OURS[name].dtype,
            unit=_OURS[name].unit,
            nodata=_OURS[name].nodata,
            optional=name in missing and len(names) > 1,
        )
        for name in names
    }


def _unit(name: str, request: WrapRequest, missing: Mapping[str, float]) -> Unit:
    fill = missing.get(name, 0.0)
    if name == "s1":
        return Unit(scale=0.01, clip=request.s1_clip, linear=request.s1 == "linear", fill=fill)
    if request.reflectance is not None:
        low, high = request.reflectance
        return Unit(scale=(high - low) * S2_SCALE, offset=low, clip=request.clip, fill=fill)
    return Unit(scale=request.scale or 1.0, offset=request.offset, clip=request.clip, fill=fill)


def _per_band(
    option: str,
    said: Sequence[float],
    hinted: Sequence[float],
    bands: Sequence[str],
    neutral: float,
) -> tuple[float, ...]:
    values = said or hinted or (neutral,)
    if len(values) == 1:
        return (values[0],) * len(bands)
    if len(values) != len(bands):
        where = option if said else f"The file's standardization_{option.removeprefix('--')}"
        raise UsageError(
            f"{where} has {len(values)} numbers; --bands names {len(bands)} bands. Give {option} "
            "with one number, or one for each band."
        )
    return tuple(values)


def _channels(
    network: ForeignNetwork,
    port: Port,
    sensors: Sequence[str],
    bands: Sequence[str],
    means: Sequence[float],
    stds: Sequence[float],
    request: WrapRequest,
) -> Channels:
    places = [
        at for at, band in enumerate(bands) if any(band in _OURS[one].bands for one in sensors)
    ]
    return Channels(
        port=port,
        bands=tuple(bands[at] for at in places),
        mean=tuple(means[at] for at in places),
        std=tuple(stds[at] for at in places),
        layout=_layout(network.path, port, len(places), request.layout),
    )


def _layout(path: Path, port: Port, n_bands: int, said: Layout | None) -> Layout:
    """The order of an input's axes that has place for its bands."""
    axes: dict[Layout, int] = {"nchw": 1, "nhwc": 3}
    sizes = {layout: port.shape[axis] for layout, axis in axes.items() if said in (None, layout)}
    exact = [layout for layout, size in sizes.items() if size == n_bands]
    if exact:
        return exact[0]
    if all(size is None for size in sizes.values()):
        return next(iter(sizes))
    layout = _guessed_layout(port, said)
    raise UsageError(
        f"{path} takes {port.describe()}, with {port.shape[axes[layout]]} bands as {layout}; "
        f"--bands names {n_bands} for it. Correct --bands, or --layout."
    )


def _guessed_layout(port: Port, said: Layout | None) -> Layout:
    """The order of an image's axes by its shape: the channels are the fewest."""
    if said is not None:
        return said
    second, last = port.shape[1], port.shape[3]
    return "nhwc" if last is not None and (second is None or last < second) else "nchw"


def _sizes(port: Port, layout: Layout) -> tuple[int | None, ...]:
    return port.shape[2:] if layout == "nchw" else port.shape[1:3]


def _takes_sun(network: ForeignNetwork, inputs: Mapping[str, ModelInput]) -> bool:
    if network.sun is not None and "s2" not in inputs:
        raise ModelError(
            f"{network.path} takes {SUN_ZENITH}, which is that of Sentinel-2, and --bands has none "
            "of its bands. Export it without."
        )
    return network.sun is not None


def _takes_one(network: ForeignNetwork) -> bool:
    batches = {port.shape[0] for port in (*network.inputs, *([network.sun] if network.sun else []))}
    fixed = batches - {None, 1}
    if fixed:
        raise ModelError(
            f"{network.path} takes batches of {max(map(str, fixed))} images. Export it for 1, or "
            "for any (dynamic_axes)."
        )
    return 1 in batches
