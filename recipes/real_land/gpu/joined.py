"""The parts of a training on a GPU as a checkpoint of ``lulcmap train``."""

import json
from dataclasses import asdict
from pathlib import Path

from lulcmap.legend import CLASSES, NAMES
from lulcmap.training import network_config, save_checkpoint
from recipes.real_land.gpu.train import read_parts


def join(out: Path, checkpoint: Path) -> None:
    """Write the averaged weights of a folder of parts as a checkpoint."""
    about = json.loads((out / "parts.json").read_text())
    plan = about["plan"]
    config = network_config(plan["model"], classes=len(NAMES), transform="log-indices")
    figures = out / "figures.json"
    training = {
        "source": "real scenes labelled by Dynamic World's network, and made-up landscapes",
        "figures": json.loads(figures.read_text()) if figures.exists() else {},
        "steps": about["step"],
    }
    save_checkpoint(
        checkpoint,
        {
            "config": asdict(config),
            "normalisation": about["normalisation"],
            "settings": plan,
            "weights": read_parts(out),
            "knows": "real",
            "training": training,
            "classes": [(cover.name, cover.colour) for cover in CLASSES],
            "prior": [],
        },
    )
