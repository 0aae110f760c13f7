"""Give a foreign network its contract: the transform goes into the graph, and a window is tried."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import ModelError, OutputError, UsageError
from lulcmap.model.contract import (
    METADATA_KEY,
    NO_S2_SUN_ZENITH,
    SUN_SCALAR,
    SUN_ZENITH,
    Contract,
)
from lulcmap.model.file import is_model
from lulcmap.model.foreign import ForeignNetwork, Port, read_foreign
from lulcmap.model.hints import DEEPNESS_OF_INPUTS, Hints, deepness_metadata, read_hints
from lulcmap.model.runtime import create_inner, first_line, load_runtime
from lulcmap.model.session import open_session
from lulcmap.model.transform import Head, Transform
from lulcmap.model.trial import Pixels, Trial, try_model, typical_pixels
from lulcmap.model.wrap_graph import build
from lulcmap.model.wrap_inputs import describe, find_transform, find_window
from lulcmap.model.wrap_output import Found, choose_output, find_head
from lulcmap.model.wrap_request import WrapRequest
from lulcmap.sensors import S1_BANDS, S2_BANDS
from lulcmap.system import check_destination, check_ours, replacing

_OVERLAP = 0.25
"""Overlap of neighbouring windows, share of their side."""

_MULTIPLE = 32
"""What divides the windows of most networks."""

_FLOAT16 = 10
"""``onnx.TensorProto.FLOAT16``."""

_FAR = 8.0
"""A normalised number this far from 0, on average, is not what a network was trained on."""


@dataclass(frozen=True, slots=True)
class WrappedModel:
    """A wrapped model file and what was seen of it."""

    path: Path
    """Path of the ONNX file."""

    contract: Contract
    """Its contract."""

    transform: tuple[str, ...]
    """The transform, in lines."""

    output: str
    """What becomes of the network's output, in a line."""

    shown: tuple[tuple[float, float, float], ...]
    """Smallest, mean and largest number that each of the network's inputs got in the trial."""

    trial: Trial
    """What it made of a window."""

    notes: tuple[str, ...]
    """What was decided, and what looks wrong."""


def wrap_model(
    path: Path, out: Path, request: WrapRequest, *, overwrite: bool = False
) -> WrappedModel:
    """Write a foreign network as a model that lulcmap can map with.

    Args:
        path: path of the foreign ONNX file.
        out: path of the file to write.
        request: what the user says of the network.
        overwrite: whether to replace ``out`` if it exists.

    Raises:
        UsageError: an option is missing, or does not fit the network.
        ModelError: the file cannot be wrapped, or what it became cannot map. Nothing is written.
        DeviceError: the package ``onnx`` or ONNX Runtime is not installed.
        OutputError: the file exists or is none that lulcmap wrote, or cannot be written.

    """
    _check_out(path, out, overwrite=overwrite)
    network = read_foreign(path)
    hints = read_hints(network)
    output = choose_output(network, request.output)
    window, fixed = find_window(network, request, hints)
    transform = find_transform(network, request, hints, window=window, fixed=fixed)
    transform, raw, shown = _probe(network, transform, output)
    found = find_head(network, output, raw, request, hints, layout=transform.channels[0].layout)
    contract = _contract(network, request, hints, transform, found)
    contract.check()
    metadata = {
        **{key: text for key, text in network.metadata.items() if key not in DEEPNESS_OF_INPUTS},
        **deepness_metadata(contract),
        METADATA_KEY: contract.to_json(),
    }
    trial = _write(out, _build(network, transform, output, found.head, metadata))
    notes = [*hints.notes, *_doubts(transform, shown), *trial.warnings]
    if transform.one:
        notes.append("The network takes one window at a time, on a GPU too.")
    return WrappedModel(
        path=out,
        contract=contract,
        transform=describe(transform),
        output=found.describe(),
        shown=shown,
        trial=trial,
        notes=tuple(notes),
    )


def _check_out(path: Path, out: Path, *, overwrite: bool) -> None:
    check_destination(out)
    if out.exists() and path.exists() and out.samefile(path):
        raise OutputError(f"{out} is the file that is read. Change --out.")
    if out.exists() and not overwrite:
        raise OutputError(f"{out} exists. Give another --out, or --overwrite.")
    check_ours(out, is_model, kind="a model")


def _build(
    network: ForeignNetwork,
    transform: Transform,
    output: Port,
    head: Head | None,
    metadata: Mapping[str, str],
) -> bytes:
    try:
        return build(network, transform, output.name, head, metadata=metadata)
    except Exception as error:  # protobuf's and onnx's exceptions have no common base
        raise ModelError(
            f"{network.path} cannot be wrapped: {first_line(error)}. Export it again, such as with "
            "opset_version=17."
        ) from error


def _probe(
    network: ForeignNetwork, transform: Transform, output: Port
) -> tuple[Transform, NDArray[Any], tuple[tuple[float, float, float], ...]]:
    """Run the network on typical pixels.

    Returns:
        The transform, with ``one`` if the network cannot take two windows; the output of one
        window; smallest, mean and largest number that each input got.

    """
    inner = create_inner(load_runtime(), _build(network, transform, output, None, {}), network.path)
    first, second = (typical_pixels(transform.window, seed=seed)[1] for seed in (0, 1))
    raw, *shown = _run(inner, transform, first, network)
    if not transform.one and not _takes_two(inner, transform, first, second, network):
        transform = replace(transform, one=True)
    ranges = tuple((float(x.min()), float(x.mean()), float(x.max())) for x in shown)
    return transform, raw, ranges


def _takes_two(
    inner: Any, transform: Transform, first: Pixels, second: Pixels, network: ForeignNetwork
) -> bool:
    """Whether two windows in one call give what they give alone."""
    both = np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])
    try:
        together = _run(inner, transform, both, network)[0]
    except ModelError:
        return False
    alone = [_run(inner, transform, one, network)[0] for one in (first, second)]
    if any(one.shape[:1] != (1,) or one.shape[1:] != together.shape[1:] for one in alone):
        return False
    return np.allclose(together, np.concatenate(alone), rtol=1e-3, atol=1e-3, equal_nan=True)


def _run(
    inner: Any, transform: Transform, pixels: Pixels, network: ForeignNetwork
) -> list[NDArray[Any]]:
    ours = {"s2": (S2_BANDS, pixels[0]), "s1": (S1_BANDS, pixels[1])}
    feeds = {
        name: np.ascontiguousarray(ours[name][1][:, [ours[name][0].index(b) for b in item.bands]])
        for name, item in transform.inputs.items()
    }
    if transform.sun:
        feeds[SUN_ZENITH] = np.full(len(pixels[0]), NO_S2_SUN_ZENITH, np.float32)
    try:
        return inner.run(None, feeds)
    except Exception as error:  # the runtime's exceptions have no common base
        raise ModelError(
            f"{network.path} fails on a window of {transform.window} x {transform.window} px: "
            f"{first_line(error)} Give --window as in its training."
        ) from error


def _contract(
    network: ForeignNetwork,
    request: WrapRequest,
    hints: Hints,
    transform: Transform,
    found: Found,
) -> Contract:
    stride = _stride(network, transform, found, request)
    window = transform.window
    fits = window % _MULTIPLE == 0 and not transform.fixed
    kind = request.trained_on if request.trained_on in ("simulated", "real") else "unknown"
    halves = any(channels.port.dtype == _FLOAT16 for channels in transform.channels)
    return Contract(
        name=request.name or network.path.stem,
        inputs=transform.inputs,
        stride=stride,
        window=window,
        step=_step(window, stride, request, hints),
        multiple=_MULTIPLE if fits else window,
        classes=tuple(cover.name for cover in found.covers),
        colours=tuple(cover.colour for cover in found.covers),
        precision="fp16" if halves else "fp32",
        trained_on=kind,  # type: ignore[arg-type]
        quality=(
            f"was not measured by lulcmap; its makers say: {request.quality}"
            if request.quality
            else ""
        ),
        training=_origin(network, request, transform, found),
        scalars={SUN_ZENITH: SUN_SCALAR} if transform.sun else {},
    )


def _origin(
    network: ForeignNetwork, request: WrapRequest, transform: Transform, found: Found
) -> dict[str, Any]:
    """Where the network comes from and what was done to it."""
    producer = f"{network.proto.producer_name} {network.proto.producer_version}".strip()
    origin = {
        "wrapped_from": network.path.name,
        "sha256": network.sha256,
        "producer": producer,
        "license": request.license or "unknown",
        "data": "" if request.trained_on in ("simulated", "real") else request.trained_on,
        "transform": " and ".join(describe(transform)),
        "returns": found.describe(),
    }
    return {key: value for key, value in origin.items() if value}


def _stride(
    network: ForeignNetwork, transform: Transform, found: Found, request: WrapRequest
) -> int:
    rows, cols = found.size
    window = transform.window
    if rows != cols or not rows or window % rows:
        raise ModelError(
            f"{network.path} returns {rows} x {cols} cells for {window} x {window} px; a window "
            "must have a whole number of pixels a cell. Export it with padding, so that the output "
            "covers the input."
        )
    stride = window // rows
    if request.stride not in (None, stride):
        raise UsageError(
            f"--stride is {request.stride}, but {network.path} returns cells of {stride} px. Omit "
            "--stride, or give another --output."
        )
    return stride


def _step(window: int, stride: int, request: WrapRequest, hints: Hints) -> int:
    """The distance of windows: what was asked for, or the nearest to it that fits."""
    fitting = [
        step
        for step in range(-(-window // 2), window + 1)
        if step % 2 == 0 and step % stride == 0 and (window - step) // 2 % stride == 0
    ]
    overlap = _OVERLAP if hints.overlap is None else hints.overlap
    wanted = request.step or window * (1 - overlap)
    best = min(fitting, key=lambda step: abs(step - wanted), default=window)
    if request.step not in (None, best):
        raise UsageError(
            f"--step is {request.step}; for windows of {window} px in cells of {stride} px the "
            f"nearest that fits is {best}. Give --step {best}."
        )
    return best


def _doubts(transform: Transform, shown: tuple[tuple[float, float, float], ...]) -> list[str]:
    """Warnings of numbers that no network was trained on."""
    doubts = []
    for channels, (_, mean, _) in zip(transform.channels, shown, strict=True):
        is_normalised = any(channels.mean) or any(value != 1 for value in channels.std)
        if is_normalised and abs(mean) > _FAR:
            doubts.append(
                f"After mean and deviation its numbers are {mean:.3g} on average, where about 0 is "
                "usual. Check that --mean and --std are in the unit of --scale or --reflectance."
            )
    return doubts


def _write(out: Path, data: bytes) -> Trial:
    """Write the model if lulcmap can map with it."""
    try:
        with replacing(out) as part:
            part.write_bytes(data)
            session = open_session(part, device="cpu")
            try:
                return try_model(session)
            finally:
                session.close()
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror}.") from error
