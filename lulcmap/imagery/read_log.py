"""What compositing reads: the planes, and a log of what was read and lost."""

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.catalog import Scene
from lulcmap.errors import ReadError
from lulcmap.imagery.reader import FallbackPlane, Plane
from lulcmap.imagery.resample import CoarsePlane
from lulcmap.system import busy


@dataclass(frozen=True, slots=True)
class LostAsset:
    """An asset that could not be read."""

    scene: str
    """Id of the asset's scene."""

    band: str
    """Band of the scene: B02 ... B12, SCL, VV or VH."""

    reason: str
    """Why the asset could not be read, in one line."""


class Planes(Protocol):
    """Reads bands of scenes on a grid, in order; ``Reader.planes`` is one."""

    def __call__(self, requests: Sequence[tuple[Scene, str]], grid: GeoBox) -> Generator[Plane]:
        """Yield for each request, in order, its pixels as of ``Reader.read``, or the error."""
        ...


@dataclass(slots=True)
class ReadLog:
    """What was read and what was lost, noted while compositing."""

    used: list[str] = field(default_factory=list)
    lost: list[LostAsset] = field(default_factory=list)
    unmasked: list[str] = field(default_factory=list)
    implausible: Counter[str] = field(default_factory=Counter)
    fallback: list[LostAsset] = field(default_factory=list)
    opened: int = 0
    replaced: int = 0
    parts: Sequence[tuple[slice, slice]] = ()
    used_in: list[set[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.used_in = [set() for _ in self.parts]

    def picked(
        self, picks: NDArray[np.uint16], scenes: Sequence[Scene], sources: Mapping[int, set[int]]
    ) -> None:
        """Note which scenes of Sentinel-2 gave pixels to each part.

        Args:
            picks: (slots, H/2, W/2) numbers of the scenes picked.
            scenes: scenes of all datatakes.
            sources: the scenes that were read for each number.

        """
        for (rows, cols), used in zip(self.parts, self.used_in, strict=True):
            half = (slice(each.start // 2, -(-each.stop // 2)) for each in (rows, cols))
            numbers = np.bincount(picks[(slice(None), *half)].ravel())
            for number in np.flatnonzero(numbers).tolist():
                used.update(scenes[source].id for source in sources.get(number, ()))

    def added(self, scene: Scene, pixels: NDArray[np.bool_]) -> None:
        """Note which parts a scene of Sentinel-1 gave pixels to: (H, W) True where it did."""
        for part, used in zip(self.parts, self.used_in, strict=True):
            if pixels[part].any():
                used.add(scene.id)

    def take(self, stream: Iterator[Plane], scene: Scene, band: str) -> NDArray[Any] | None:
        """Return the next plane of a stream on its grid, or None if it was lost."""
        plane = self.take_coarse(stream, scene, band)
        return plane.doubled() if isinstance(plane, CoarsePlane) else plane

    def take_coarse(
        self, stream: Iterator[Plane], scene: Scene, band: str
    ) -> NDArray[Any] | CoarsePlane | None:
        """Return the next plane of a stream, doubled or not, or None if it was lost."""
        with busy(None):
            plane = next(stream)
        self.opened += 1
        if isinstance(plane, ReadError):
            self.lost.append(LostAsset(scene.id, band, str(plane)))
            return None
        if isinstance(plane, FallbackPlane):
            self.fallback.append(LostAsset(scene.id, band, plane.reason))
            return plane.pixels
        return plane
