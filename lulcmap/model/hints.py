"""What a model file says of itself in the words of other programs.

Deepness, a plugin of QGIS, reads JSON values in the metadata: ``model_type``, ``class_names``,
``resolution`` (centimetres a pixel), ``tile_size``, ``tiles_overlap`` (percent),
``standardization_mean`` and ``standardization_std`` of pixels divided by 255.
Source: https://qgis-plugin-deepness.readthedocs.io, adding metadata to an ONNX model.
geoai writes ``<file>.json`` beside a model: ``task`` and ``id2label``.
"""

import ast
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lulcmap.errors import ModelError
from lulcmap.legend import is_plain_name, shortened
from lulcmap.model.contract import Contract
from lulcmap.model.foreign import ForeignNetwork

DEEPNESS_OF_INPUTS = (
    *("standardization_mean", "standardization_std", "seg_thresh", "names", "tiles_size"),
)
"""Deepness's keys that are true of the foreign network's inputs and outputs alone, and old names of
others; a wrapped model does not keep them."""

_SEGMENTERS = ("segmentor", "semantic-segmentation", "segmentation")
"""Kinds of networks that give classes of pixels."""

_MAX_SIDECAR_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Hints:
    """What is known of a network before its user says anything; empty or None if unknown."""

    names: tuple[str, ...] = ()
    """Names of the classes."""

    window: int | None = None
    """Side of a window, pixels."""

    overlap: float | None = None
    """Overlap of neighbouring windows, share of their side."""

    mean: tuple[float, ...] = ()
    """Mean of each band, to be subtracted."""

    std: tuple[float, ...] = ()
    """Standard deviation of each band, to divide by."""

    resolution: float | None = None
    """Pixel size, metres."""

    notes: tuple[str, ...] = field(default=())
    """What was found and not used."""


def read_hints(network: ForeignNetwork) -> Hints:
    """Read what a network's metadata, and geoai's file beside it, say.

    Raises:
        ModelError: they say that the network does not give classes of pixels.

    """
    return _add_deepness(_read_sidecar(network.path), network)


def deepness_metadata(contract: Contract) -> dict[str, str]:
    """The metadata of a model for Deepness: what is true of it in Deepness's words."""
    overlap = 100 * (1 - contract.step / contract.window)
    values = {
        "model_type": "Segmentor",
        "class_names": dict(enumerate(contract.classes)),
        "resolution": 100 * contract.resolution,
        "tile_size": contract.window,
        "tiles_overlap": round(overlap),
    }
    return {key: json.dumps(value) for key, value in values.items()}


def _add_deepness(hints: Hints, network: ForeignNetwork) -> Hints:
    metadata = network.metadata
    _check_kind(network.path, _value(metadata, "model_type"))
    notes = list(hints.notes)

    def read(*keys: str) -> Any:
        for key in keys:
            if key in metadata:
                value = _READERS[key](_value(metadata, key))
                if value is not None:
                    return value
                notes.append(f"its {key} is {shortened(metadata[key])}, which cannot be used")
        return None

    found = replace(
        hints,
        names=read("class_names", "names") or hints.names,
        window=read("tile_size", "tiles_size") or hints.window,
        overlap=read("tiles_overlap"),
        mean=read("standardization_mean") or (),
        std=read("standardization_std") or (),
        resolution=read("resolution"),
    )
    threshold = _value(metadata, "seg_thresh")
    if threshold not in (None, 0.5):
        notes.append(f"its seg_thresh is {shortened(threshold)}; lulcmap takes the likeliest class")
    return replace(found, notes=tuple(notes))


def _read_sidecar(path: Path) -> Hints:
    """What geoai's file beside a model says; nothing if there is none."""
    sidecar = path.with_name(f"{path.name}.json")
    try:
        if not sidecar.is_file() or sidecar.stat().st_size > _MAX_SIDECAR_BYTES:
            return Hints()
        values = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return Hints(notes=(f"{sidecar.name} beside it cannot be read",))
    if not isinstance(values, dict):
        return Hints()
    _check_kind(path, values.get("task"))
    names = _names(values.get("id2label"))
    if names is not None and all(re.fullmatch(r"LABEL_\d+", name) for name in names):
        names = None  # what transformers writes of classes without names
    return Hints(names=names or ())


def _check_kind(path: Path, kind: Any) -> None:
    if isinstance(kind, str) and kind.lower() not in _SEGMENTERS:
        raise ModelError(
            f"{path} says that it is a {shortened(kind)}; lulcmap maps with networks of semantic "
            "segmentation, which give a class of every pixel."
        )


def _value(metadata: Mapping[str, str], key: str) -> Any:
    """A value of the metadata: JSON, Python's text as Ultralytics writes it, or plain text."""
    text = metadata.get(key)
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text) if len(text) < _MAX_SIDECAR_BYTES else text
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def _names(value: Any) -> tuple[str, ...] | None:
    """Names of classes numbered from 0, or None."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        value = value[0]  # one head
    if isinstance(value, dict):
        try:
            numbered = {int(key): name for key, name in value.items()}
        except (TypeError, ValueError):
            return None
        if sorted(numbered) != list(range(len(numbered))):
            return None
        value = [numbered[number] for number in range(len(numbered))]
    if isinstance(value, list) and value and all(is_plain_name(name) for name in value):
        return tuple(value)
    return None


def _numbers(value: Any) -> tuple[float, ...] | None:
    values = value if isinstance(value, list) else [value]
    return tuple(map(float, values)) if values and all(map(_is_number, values)) else None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _positive(value: Any) -> Any:
    return value if _is_number(value) and value > 0 else None


def _whole(value: Any) -> int | None:
    return int(value) if _positive(value) and value == int(value) else None


def _share(value: Any) -> float | None:
    return value / 100 if _is_number(value) and 0 <= value <= 100 else None


def _metres(value: Any) -> float | None:
    return value / 100 if _positive(value) else None


_READERS = {
    "class_names": _names,
    "names": _names,
    "tile_size": _whole,
    "tiles_size": _whole,
    "tiles_overlap": _share,
    "standardization_mean": _numbers,
    "standardization_std": _numbers,
    "resolution": _metres,
}
