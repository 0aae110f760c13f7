"""The archive that images come from: a search for scenes, and one reader of their pixels."""

import hashlib
import threading
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import shapely

from lulcmap.catalog import Scene, SearchResult, find_scenes, is_remote, shows_simulated, signer
from lulcmap.dataset.settings import ImageArchive
from lulcmap.imagery import Reader


def archive_settings(archive: ImageArchive) -> dict[str, Any]:
    """Settings that decide the pixels, plain JSON; a file of scenes by its content."""
    settings: dict[str, Any] = {
        "catalog": archive.catalog,
        "profile": archive.profile,
        "s1_catalog": archive.s1_catalog,
        "orbit": archive.orbit,
        "keep_without_s1": archive.keep_without_s1,
    }
    path = Path(archive.catalog)
    if not is_remote(archive.catalog) and path.is_file():
        settings["catalog"] = path.name
        settings["simulated"] = shows_simulated(path)
        settings["catalog_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
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
        *,
        s1: bool = True,
    ) -> tuple[list[Scene], list[Scene]]:
        """Find scenes of Sentinel-2 and of Sentinel-1; arguments as in ``find_scenes``."""
        result = find_scenes(
            area,
            s2_period=s2_period,
            s1_period=s1_period,
            catalog=self.options.catalog,
            profile=self.options.profile,
            s1_catalog=self.options.s1_catalog,
            s1=s1,
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
