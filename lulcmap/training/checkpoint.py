"""A training's file: plain values and tensors, replaced as a whole or not at all."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from lulcmap.errors import ModelError
from lulcmap.legend import CLASSES
from lulcmap.model import S1_INPUT, S2_INPUT, Contract, ModelInput
from lulcmap.system import parts, replacing
from lulcmap.training.deployable import DeployableNetwork, Normalisation
from lulcmap.training.lulcformer import MULTIPLE
from lulcmap.training.networks import build_network, config_from_json

_REQUIRED_KEYS = {"config", "normalisation", "settings", "weights", "knows", "training"}
"""What a checkpoint holds; a training that may go on also has ``resume``."""


def remove_leftovers(folder: Path) -> None:
    """Remove what a training that was killed in the middle of a save left in its folder."""
    for stale in parts(folder):
        if stale.suffix == ".pt":
            stale.unlink(missing_ok=True)


def save_checkpoint(path: Path, checkpoint: dict[str, Any]) -> None:
    """Write a checkpoint: after a kill the old file or the new one is there.

    Raises:
        OSError: it cannot be written.

    """
    with (
        replacing(path) as part,
        part.open("wb") as file,  # opened here: torch reports a full disk in other words
    ):
        torch.save(checkpoint, file)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's plain values and tensors; runs no code of the file.

    Raises:
        ModelError: the file is no checkpoint of lulcmap.

    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        missing = _REQUIRED_KEYS - set(saved)
    except Exception as error:  # torch raises a dozen kinds, down to the unpickler's
        raise ModelError(
            f"{path} is no checkpoint of lulcmap ({type(error).__name__}). "
            "Give the checkpoint.pt of a training."
        ) from error
    if missing:
        raise ModelError(
            f"{path} is no checkpoint of lulcmap: it lacks {', '.join(sorted(missing))}. "
            "Give the checkpoint.pt of a training."
        )
    return saved


def restore_network(checkpoint: dict[str, Any]) -> DeployableNetwork:
    """The network a checkpoint holds, with its averaged weights, in eval mode.

    Raises:
        ModelError: the weights do not fit the network's shape.

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
    """What a model file made from a checkpoint says of itself."""
    with torch.device("meta"):  # asked for its inputs and stride only
        network = build_network(config_from_json(checkpoint["config"]))
    one = len(network.inputs) == 1
    inputs: dict[str, ModelInput] = {
        kind: replace(given, optional=not one)
        for kind, given in (("s2", S2_INPUT), ("s1", S1_INPUT))
        if kind in network.inputs
    }
    classes = checkpoint.get("classes") or [(cover.name, cover.colour) for cover in CLASSES]
    training = {key: value for key, value in checkpoint["training"].items() if key != "losses"}
    return Contract(
        name=name or checkpoint["config"]["name"],
        inputs=inputs,
        stride=network.stride,
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


def json_values(fields: dict[str, Any]) -> dict[str, Any]:
    """The same values as JSON would give them back: lists for tuples."""
    loaded: dict[str, Any] = json.loads(json.dumps(fields))
    return loaded
