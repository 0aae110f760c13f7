"""Texture of real land for version 2's landscapes: of scenes that train, never of held-out ones."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recipes.real_land.real_scenes import real_scenes
from recipes.real_land.scenes import textures_of

SOURCES = ("gascony", "chesapeake", "punjab")
"""Scenes that are large enough for clips."""


def training_textures(data: Path) -> list[NDArray[np.float32]]:
    """Clips (9, H, W) of the scenes of ``SOURCES`` that train; none without them."""
    if not (data / "scenes" / "gascony_10m.tif").exists():
        return []
    return [
        clip
        for scene in real_scenes(data, use="train", sources=SOURCES)
        for clip in textures_of(scene.s2)
    ]
