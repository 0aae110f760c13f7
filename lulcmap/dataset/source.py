"""The archive that images come from: a search for scenes, and one reader of their pixels."""

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
    """Where scenes are searched, and how they are read."""

    catalog: str = "planetary-computer"
    """Catalogue, as in ``find_scenes``."""

    profile: str | None = None
    """Provider whose layout the catalogue has, as in ``find_scenes``."""

    s1_catalog: str | None = None
    """Another catalogue for Sentinel-1, as in ``find_scenes``."""

    orbit: Orbit = "descending"
    """Orbit direction of Sentinel-1."""

    keep_without_s1: bool = False
    """Whether a chip may have no radar."""

    max_lost: float = 0.1
    """Share of a sample's radar assets that may be unreadable."""

    workers: int = 4
    """Reader threads."""

    patience: float = 300.0
    """Seconds to wait for a server that does not answer."""

    def settings(self) -> dict[str, Any]:
        """Settings that decide the pixels, plain JSON; a file of scenes by its content."""
        settings: dict[str, Any] = {
            "catalog": self.catalog,
            "profile": self.profile,
            "s1_catalog": self.s1_catalog,
            "orbit": self.orbit,
            "keep_without_s1": self.keep_without_s1,
        }
        if not is_remote(self.catalog) and Path(self.catalog).is_file():
            settings["catalog"] = Path(self.catalog).name
            settings["simulated"] = shows_simulated(Path(self.catalog))
            digest = hashlib.sha256(Path(self.catalog).read_bytes()).hexdigest()
            settings["catalog_sha256"] = digest
        return settings


class OpenArchive:
    """An image archive in use: its scenes, and one reader of their pixels; shared by threads."""

    def __init__(self, options: ImageArchive) -> None:
        self.options = options
        self._reader: Reader | None = None
        self._opening = threading.Lock()

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
        """Find scenes of Sentinel-2 and of Sentinel-1; arguments as in ``find_scenes``."""
        result = find_scenes(
            area,
            s2_period=s2_period,
            s1_period=s1_period,
            catalog=self.options.catalog,
            profile=self.options.profile,
            s1_catalog=self.options.s1_catalog,
            s1=True,
            max_cloud=max_cloud,
        )
        self._open_reader(result)
        s2_scenes = [scene for scene in result.scenes if scene.sensor == "s2"]
        return s2_scenes, [scene for scene in result.scenes if scene.sensor == "s1"]

    @property
    def reader(self) -> Reader:
        """Reader of the scenes; opened by the first ``find``."""
        if self._reader is None:
            raise ValueError("no scenes were searched yet")
        return self._reader

    def _open_reader(self, result: SearchResult) -> None:
        with self._opening:
            if self._reader is None:
                self._reader = Reader(
                    workers=self.options.workers,
                    sign=signer(*result.profiles),
                    private=result.private,
                    patience=self.options.patience,
                )
