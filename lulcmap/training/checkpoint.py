"""Checkpoint files: plain values and tensors, replaced as a whole or not at all."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from lulcmap.errors import ModelError, UsageError
from lulcmap.geo import Lattice
from lulcmap.legend import CLASSES
from lulcmap.model import S1_INPUT, S2_INPUT, Contract, ModelInput
from lulcmap.system import check_is_file, parts, replacing
from lulcmap.training.deployable import DeployableNetwork, Normalisation
from lulcmap.training.lulcformer import MULTIPLE
from lulcmap.training.networks import build_network, config_from_json

_REQUIRED_KEYS = {"config", "normalisation", "settings", "weights", "knows", "training"}
"""Keys that every checkpoint holds; one that can be resumed also holds ``resume``."""


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of a training that was killed while saving."""
    for stale in parts(folder):
        if stale.suffix == ".pt":
            stale.unlink(missing_ok=True)


def save_checkpoint(path: Path, checkpoint: dict[str, Any]) -> None:
    """Write a checkpoint; a kill leaves either the old file or the new one.

    Raises:
        OSError: the file cannot be written.

    """
    with (
        replacing(path) as part,
        part.open("wb") as file,  # opened here: torch hides the message of a full disk
    ):
        torch.save(checkpoint, file)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint's plain values and tensors; no code in the file is run.

    Raises:
        ModelError: the file is not a lulcmap checkpoint.

    """
    check_is_file(path, ModelError)
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        missing = _REQUIRED_KEYS - set(saved)
    except Exception as error:  # torch raises a dozen kinds, some of them the unpickler's
        raise ModelError(
            f"{path} is not a lulcmap checkpoint ({type(error).__name__}). "
            "Give a checkpoint.pt or best.pt of a training."
        ) from error
    if missing:
        raise ModelError(
            f"{path} is not a lulcmap checkpoint: it lacks {', '.join(sorted(missing))}. "
            "Give a checkpoint.pt or best.pt of a training."
        )
    return saved


def restore_network(checkpoint: dict[str, Any]) -> DeployableNetwork:
    """The network of a checkpoint, with its averaged weights, in eval mode.

    Raises:
        ModelError: the weights do not fit the shape of the network.

    """
    try:
        network = build_network(config_from_json(checkpoint["config"]))
        network.load_state_dict(checkpoint["weights"])
        normalisation = Normalisation.from_dict(checkpoint["normalisation"])
    except (RuntimeError, TypeError, KeyError, ValueError) as error:
        raise ModelError(
            "The checkpoint's weights do not fit its network "
            f"({str(error).splitlines()[0]}). Train it again with this version."
        ) from error
    return DeployableNetwork(network, normalisation).eval()


def contract_of(
    checkpoint: dict[str, Any],
    *,
    name: str | None = None,
    precision: Literal["fp32", "fp16"] = "fp32",
) -> Contract:
    """The contract of a model file made from a checkpoint."""
    with torch.device("meta"):  # only its inputs and stride are needed
        network = build_network(config_from_json(checkpoint["config"]))
    has_one_sensor = len(network.inputs) == 1
    inputs: dict[str, ModelInput] = {
        kind: replace(sensor, optional=not has_one_sensor)
        for kind, sensor in (("s2", S2_INPUT), ("s1", S1_INPUT))
        if kind in network.inputs
    }
    classes = checkpoint.get("classes") or [(cover.name, cover.colour) for cover in CLASSES]
    training = {key: value for key, value in checkpoint["training"].items() if key != "losses"}
    lattice = lattice_of(checkpoint)
    return Contract(
        name=name or checkpoint["config"]["name"],
        inputs=inputs,
        stride=network.stride,
        window=lattice.size,
        step=lattice.step,
        multiple=MULTIPLE,
        classes=tuple(name for name, _ in classes),
        colours=tuple(colour for _, colour in classes),
        temperature=checkpoint.get("temperature", 1.0),
        prior=tuple(checkpoint.get("prior", ())),
        quality=checkpoint.get("standing", ""),
        precision=precision,
        trained_on=checkpoint["knows"],
        training={**training, "network": checkpoint["config"], "settings": checkpoint["settings"]},
    )


def with_window(checkpoint: dict[str, Any], size: int) -> dict[str, Any]:
    """A checkpoint whose network maps in windows of another size, three quarters of it apart.

    Raises:
        UsageError: the size is not a multiple of 32.

    """
    if size <= 0 or size % MULTIPLE:
        raise UsageError(f"--window is {size}; it must be a multiple of {MULTIPLE}.")
    return {**checkpoint, "window": size}


def lattice_of(checkpoint: Mapping[str, Any]) -> Lattice:
    """The windows that a checkpoint's network maps in.

    Raises:
        ModelError: their size is none.

    """
    size = checkpoint.get("window", Lattice().size)
    if type(size) is not int or size <= 0 or size % MULTIPLE:
        raise ModelError("The checkpoint's windows are not of a multiple of 32 pixels.")
    return Lattice(size, size * 3 // 4)


def json_values(fields: dict[str, Any]) -> dict[str, Any]:
    """The same values as JSON gives them back: lists for tuples."""
    loaded: dict[str, Any] = json.loads(json.dumps(fields))
    return loaded
