"""Whether a folder's training is the one that is asked for."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lulcmap.errors import ModelError, UsageError
from lulcmap.training.checkpoint import json_values
from lulcmap.training.networks import NetworkConfig, config_from_json
from lulcmap.training.settings import TrainingSettings


def check_same_training(
    path: Path,
    saved: Mapping[str, Any],
    config: NetworkConfig,
    settings: TrainingSettings,
    origin: Mapping[str, Any],
) -> None:
    """Check that a folder's training has the same settings, network and chips.

    Raises:
        UsageError: something differs; the message names it.
        ModelError: the checkpoint cannot be resumed.

    """
    chips = ("chips", "digest", "validated_on")
    try:
        # older trainings lack newer settings, and used what is their default now
        old_settings = asdict(TrainingSettings(**saved["settings"]))
        old_config = json_values(asdict(config_from_json(saved["config"])))
        missing = {"resume"} - set(saved)
    except (TypeError, KeyError):
        missing = {"settings of this version"}
    if missing:
        raise ModelError(
            f"{path} cannot be resumed: it lacks {missing.pop()}. Give another folder."
        )
    for what, old, new in (
        ("starts", _start_of(saved), _start_of(origin)),
        ("settings", old_settings, asdict(settings)),
        ("networks", old_config, json_values(asdict(config))),
        ("chips", saved["training"], {key: origin["training"][key] for key in chips}),
    ):
        differences = [
            f"{key}: {old.get(key)} in the folder, {new[key]} given"
            for key in new
            if old.get(key) != new[key]
        ]
        if differences:
            raise UsageError(
                f"{path} is a training with other {what} ({'; '.join(differences)}). "
                f"Give the same {what} to resume it, or another folder."
            )


def _start_of(checkpoint: Mapping[str, Any]) -> dict[str, str]:
    """What a training started from, for a message."""
    init = checkpoint["training"].get("init")
    if init is None:
        return {"--init": "none"}
    return {
        "--init": f"{init['name']}, sha256 {init['sha256'][:12]}",
        "normalisation": init["normalisation"],
    }
