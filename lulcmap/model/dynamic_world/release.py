"""What Google released of Dynamic World, and where it is.

None of it is part of lulcmap: ``lulcmap models add`` fetches it from Google's repository.
"""

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

import lulcmap
from lulcmap.model.dynamic_world.known import LOGITS

REPOSITORY = "https://github.com/google/dynamicworld"
COMMIT = "94e73e713ee8693136f8c9e3d4fe57b4e67f0d7e"

_NOTICE = """\
This source code is available under an Apache 2 open source license and requires
the following attribution:

This code is produced for the Dynamic World Project by Google in partnership
with National Geographic and the World Resources Institute.
"""
_LICENSE_URL = "https://www.apache.org/licenses/LICENSE-2.0"


@dataclass(frozen=True, slots=True)
class ReleasedFile:
    """One file of the release."""

    name: str
    """Name of the file."""

    size: int
    """Size, bytes."""

    sha256: str
    """Its sha256, 64 hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class Release:
    """The released weights of one network, a TensorFlow variable bundle."""

    name: str
    """Name of the model."""

    summary: str
    """Summary of the model, one line."""

    notice: str
    """The attribution that its licence asks for: the repository's file NOTICE."""

    url: str
    """URL of the folder of the files."""

    index: ReleasedFile
    """Index of the bundle."""

    data: ReleasedFile
    """Values of the bundle."""

    logits: tuple[tuple[float, ...], ...]
    """What the network makes of known pixels, as ``logits_at_points``."""

    @property
    def files(self) -> tuple[ReleasedFile, ReleasedFile]:
        """Index and values."""
        return self.index, self.data


DYNAMIC_WORLD = Release(
    name="dynamic-world",
    summary="Google's Dynamic World network (Apache-2.0): Sentinel-2 only, a second opinion, good "
    "on towns, weak under low sun and haze",
    notice=_NOTICE,
    url=f"https://raw.githubusercontent.com/google/dynamicworld/{COMMIT}/model/forward/variables",
    index=ReleasedFile(
        "variables.index",
        2631,
        "f27000c6a3d7dcd3e76e333331b108697712c734d5d5ef11b3f34571027c8436",
    ),
    data=ReleasedFile(
        "variables.data-00000-of-00001",
        964710,
        "c4a38299f2c0a741682cbe48810d55afdc832ff451e3d3708082751fe655fcb1",
    ),
    logits=LOGITS,
)


def license_text() -> str:
    """The Apache License 2.0, which is lulcmap's own too; its address if lulcmap's is not found."""
    try:
        text = importlib.metadata.distribution("lulcmap").read_text("licenses/LICENSE")
    except importlib.metadata.PackageNotFoundError:
        text = None
    if text is None:
        checkout = Path(lulcmap.__file__).parents[1]
        if (checkout / "pyproject.toml").is_file():
            text = (checkout / "LICENSE").read_text(encoding="utf-8")
    return text or f"Apache License, Version 2.0: {_LICENSE_URL}\n"
