"""Where scenes come from, and one reader of their pixels."""

import hashlib
import threading
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import shapely

from lulcmap.catalog import Scene, SearchResult, find_scenes, is_remote, shows_simulated, signer
from lulcmap.imagery import Reader

Orbit = Literal["descending", "ascending", "any"]


@dataclass(frozen=True, slots=True)
class ImageArchive:
    """Where scenes are looked for, and how they are read."""

    catalog: str = "planetary-computer"
    """As of ``catalog.search``, and so are the next two."""

    profile: str | None = None
    s1_catalog: str | None = None

    orbit: Orbit = "descending"
    """Direction of Sentinel-1."""

    keep_without_s1: bool = False
    """Whether a chip may have no radar."""

    max_lost: float = 0.1
    """Share of a sample's radar assets that may be unreadable."""

    workers: int = 4
    """Threads that read."""

    patience: float = 300.0
    """Seconds to wait for a server that gives nothing."""

    def settings(self) -> dict[str, Any]:
        """What decides the pixels, plain JSON; a file of scenes by its content."""
        said: dict[str, Any] = {
            "catalog": self.catalog,
            "profile": self.profile,
            "s1_catalog": self.s1_catalog,
            "orbit": self.orbit,
            "keep_without_s1": self.keep_without_s1,
        }
        if not is_remote(self.catalog) and Path(self.catalog).is_file():
            said["catalog"] = Path(self.catalog).name
            said["simulated"] = shows_simulated(Path(self.catalog))
            said["catalog_sha256"] = hashlib.sha256(Path(self.catalog).read_bytes()).hexdigest()
        return said


class Archive:
    """Scenes of a source, and one reader of their pixels; shared by threads."""

    def __init__(self, source: ImageArchive) -> None:
        self.source = source
        self._reader: Reader | None = None
        self._making = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._reader is not None:
            self._reader.close(wait=error is None)

    def find(
        self,
        area: shapely.MultiPolygon,
        s2_period: tuple[date, date],
        s1_period: tuple[date, date],
        max_cloud: float = 100.0,
    ) -> tuple[list[Scene], list[Scene]]:
        """Scenes of Sentinel-2 and of Sentinel-1; as of ``catalog.search``."""
        found = find_scenes(
            area,
            s2_period=s2_period,
            s1_period=s1_period,
            catalog=self.source.catalog,
            profile=self.source.profile,
            s1_catalog=self.source.s1_catalog,
            s1=True,
            max_cloud=max_cloud,
        )
        self._open(found)
        optical = [scene for scene in found.scenes if scene.sensor == "s2"]
        return optical, [scene for scene in found.scenes if scene.sensor == "s1"]

    @property
    def reader(self) -> Reader:
        """Of the scenes; there once some were found."""
        if self._reader is None:
            raise ValueError("nothing was looked for yet")
        return self._reader

    def _open(self, found: SearchResult) -> None:
        with self._making:
            if self._reader is None:
                self._reader = Reader(
                    workers=self.source.workers,
                    sign=signer(*found.profiles),
                    private=found.private,
                    patience=self.source.patience,
                )
