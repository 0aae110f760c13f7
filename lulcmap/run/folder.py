"""The run folder: the frozen plan and items, and one small file a finished block.

::

    <run>/plan.json                     everything that decides the result
    <run>/items.json                    the frozen, unsigned STAC items; also a --catalog
    <run>/about.json                    the area, and what else the report says
    <run>/blocks/z32632_r12_c-3.tif     class, confidence, margin, S2 count, S1 count, source
    <run>/failed/z32632_r12_c-4.json    why a block could not be made
    <run>/map.tif                       the blocks on a map's grid, until the map is finished
    <run>/run.lock, shard-3-of-10.lock  held by the processes that work on it
    <run>/run.beat, shard-3-of-10.beat  how far they are

Whatever is there is whole: it was written under a temporary name, then renamed. So a run may be
killed at any moment and resumed. All but locks and heartbeats carries no time, host, path or worker
count.
"""

import json
import logging
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from lulcmap.errors import OutputError, UsageError
from lulcmap.geo.grid import RESOLUTION
from lulcmap.geo.tiling import Box
from lulcmap.legend import NODATA
from lulcmap.run.shard import Shard
from lulcmap.system.disk import keep_free
from lulcmap.system.gdal import ENV

logger = logging.getLogger(__name__)

BANDS = ("class", "confidence", "margin", "s2_count", "s1_count", "source")
"""Of a block file, in order, uint8; where nothing is mapped the first three are 255, the last 0."""

Number = tuple[int, int, int]
"""Of a block: its UTM zone (EPSG code), and its row and column on the zone's lattice of blocks."""

FACTS = "lulcmap"
"""The metadata item of a block file that holds its facts as JSON."""

_PART = ".part"
"""Ending of a file that is being written."""

_BLOCK_LAYOUT: Mapping[str, Any] = {
    "driver": "GTiff",
    "tiled": True,
    "blockxsize": 512,
    "blockysize": 512,
    "compress": "deflate",
    "zlevel": 1,  # half the time of 6 for a tenth more bytes, in files that are soon removed
    "interleave": "band",  # the mosaic reads one band and shall not inflate the other five
}

_MOST_DIFFERENCES = 5
"""Named in the message that refuses another plan."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder that holds one run."""

    path: Path
    """Of the folder; it may hold other files, which are left alone."""

    @classmethod
    def open(
        cls,
        path: Path,
        plan: Mapping[str, Any],
        items: Mapping[str, Any],
        about: Mapping[str, Any],
        *,
        alone: bool = True,
    ) -> Self:
        """A new run, or the one that was begun here under the same plan.

        Args:
            path: of the folder, made if need be.
            plan: everything that decides the result, as JSON.
            items: STAC ItemCollection; kept only by a new run.
            about: what else a map is to say of itself, as JSON; kept only by a new run.
            alone: whether no other process works here: then what a killed run left half-written
                is removed. Blocks of another plan are found out one by one, by ``done``.

        Raises:
            UsageError: the folder holds a run under another plan; the differences are named.
            OutputError: the folder cannot be written.

        """
        run = cls(path)
        begun = run.plan()
        if begun is not None:
            check_version(path, begun, plan)
        if begun is not None and begun != json.loads(_json(plan)):
            raise UsageError(
                f"The run folder {path} was begun under another plan:\n"
                f"{_differences(begun, plan)}\n"
                "Give the old options again to resume it, name another folder with --workdir, or "
                "delete it."
            )
        with writing(path):
            run._blocks.mkdir(parents=True, exist_ok=True)
            run._failed.mkdir(exist_ok=True)
            if alone:
                run.clean()
            if begun is None:
                _write(run.items_path, _json(items))
                _write(run.about_path, _json(about))
                _write(run.plan_path, _json(plan))  # last: it says "begun"
        return run

    @property
    def plan_path(self) -> Path:
        """Of the plan."""
        return self.path / "plan.json"

    @property
    def items_path(self) -> Path:
        """Of the frozen items."""
        return self.path / "items.json"

    @property
    def about_path(self) -> Path:
        """Of what else a map is to say of itself."""
        return self.path / "about.json"

    @property
    def joined_path(self) -> Path:
        """Of the blocks on a map's grid, while the map is made of them."""
        return self.path / "map.tif"

    def lock_path(self, shard: Shard | None = None) -> Path:
        """Of the file that is held by the process that does a shard, or everything."""
        name = "run" if shard is None else f"shard-{shard.index}-of-{shard.count}"
        return self.path / f"{name}.lock"

    @property
    def _blocks(self) -> Path:
        return self.path / "blocks"

    @property
    def _failed(self) -> Path:
        return self.path / "failed"

    def plan(self) -> dict[str, Any] | None:
        """The plan this run was begun under; None if none was, or it is half-written.

        Raises:
            OutputError: it is there and cannot be read.

        """
        with writing(self.path):
            return _read_json(self.plan_path)

    def about(self) -> dict[str, Any]:
        """What else a map is to say of itself.

        Raises:
            OutputError: it cannot be read.

        """
        with writing(self.path):
            about = _read_json(self.about_path)
        if about is None:
            raise OutputError(
                f"{self.about_path} cannot be read. Delete the folder, and map the area again."
            )
        return about

    def block_path(self, number: Number) -> Path:
        """Of a block's file.

        Examples:
            >>> RunFolder(Path("map.run")).block_path((32632, 12, -3)).name
            'z32632_r12_c-3.tif'

        """
        zone, row, col = number
        return self._blocks / f"z{zone}_r{row}_c{col}.tif"

    def write_block(
        self,
        number: Number,
        bands: NDArray[np.uint8],
        grid: GeoBox,
        facts: Mapping[str, Any],
    ) -> None:
        """Write a finished block: all of it, or nothing.

        Args:
            number: zone, row and column of the block.
            bands: (6, H, W) in the order of ``BANDS``, 255 nodata.
            grid: of the block, (H, W).
            facts: what the report wants to know of it, as JSON, and ``plan``, the plan's digest.

        Raises:
            OutputError: it cannot be written, as on a full disk.

        """
        crs = grid.crs
        if crs is None or bands.shape != (len(BANDS), *grid.shape) or bands.dtype != np.uint8:
            raise ValueError(f"a block of {bands.dtype} {bands.shape} on a grid of {grid.shape}")
        # Encoded in memory, so that a full disk is Python's error and not a line in GDAL's log.
        with rasterio.Env(**ENV), MemoryFile() as memory:
            with memory.open(
                count=len(BANDS),
                height=grid.shape[0],
                width=grid.shape[1],
                dtype="uint8",
                nodata=NODATA,
                crs=crs.to_wkt(),
                transform=grid.affine,
                **_BLOCK_LAYOUT,
            ) as dataset:
                dataset.descriptions = BANDS
                dataset.update_tags(**{FACTS: json.dumps(facts, sort_keys=True)})
                dataset.write(bands)
            logger.debug("writing %s", self.block_path(number).stem)
            with writing(self.path):
                keep_free(self._blocks, len(memory.getbuffer()), "the next block")
                _write(self.block_path(number), memory.getbuffer())
                self._failure_path(number).unlink(missing_ok=True)
            logger.debug("wrote %s", self.block_path(number).stem)

    def fail(self, number: Number, reason: str) -> None:
        """Note why a block could not be made.

        Raises:
            OutputError: it cannot be noted.

        """
        with writing(self.path):
            _write(self._failure_path(number), _json({"reason": reason}))

    def failures(self) -> dict[Number, str]:
        """The blocks that could not be made, and why, in their order."""
        found = {}
        for path in self._failed.glob("z*_r*_c*.json"):
            match = re.fullmatch(r"z(\d+)_r(-?\d+)_c(-?\d+)", path.stem)
            said = _read_json(path)
            if match and said is not None:
                zone, row, col = (int(part) for part in match.groups())
                if not self.block_path((zone, row, col)).exists():
                    found[zone, row, col] = str(said.get("reason"))
        return dict(sorted(found.items()))

    def _failure_path(self, number: Number) -> Path:
        return self._failed / f"{self.block_path(number).stem}.json"

    def is_done(self, number: Number, box: Box, *, plan: str) -> bool:
        """Whether a block's file is there, made to a plan, and valid, every tile of it.

        Args:
            number: zone, row and column of the block.
            box: of the block, in its zone's pixels.
            plan: the plan's digest, as the block's facts have it.

        Raises:
            OutputError: the file is there and cannot be read.

        """
        with writing(self.path):
            try:
                content = self.block_path(number).read_bytes()
            except FileNotFoundError:
                return False
        return _valid(content, box, plan)

    def done(self, number: Number, box: Box, *, plan: str) -> bool:
        """As ``is_done``; a file that is not is removed."""
        if self.is_done(number, box, plan=plan):
            return True
        with writing(self.path):
            self.block_path(number).unlink(missing_ok=True)
        return False

    def facts(self, number: Number) -> dict[str, Any]:
        """What ``write_block`` was told of a block.

        Args:
            number: of a block that is done.

        Raises:
            OutputError: its file cannot be read.

        """
        path = self.block_path(number)
        try:
            with rasterio.Env(**ENV), rasterio.open(path) as dataset:
                facts: dict[str, Any] = json.loads(dataset.tags()[FACTS])
        except (RasterioError, KeyError, ValueError) as error:
            raise OutputError(
                f"Block {path} cannot be read ({error}). Run the same command again: it is made "
                "anew."
            ) from error
        return facts

    def is_blank(self) -> bool:
        """Whether no block was made, nor failed."""
        made, failed = self._blocks.glob("z*_r*_c*.tif"), self._failed.glob("z*_r*_c*.json")
        return not any(made) and not any(failed)

    def remove(self) -> None:
        """Remove the run, and its folder if nothing else is in it.

        Raises:
            OutputError: it cannot be removed.

        """
        with writing(self.path):
            self.plan_path.unlink(missing_ok=True)  # first: without a plan there is no run
            for path in (self.items_path, self.about_path, self.joined_path):
                path.unlink(missing_ok=True)
            self.clean(blocks=True)
            for pattern in ("run.beat", "shard-*-of-*.beat", "shard-*-of-*.lock", "plan.lock"):
                for path in self.path.glob(pattern):
                    path.unlink()
            self.lock_path().unlink(missing_ok=True)
            for folder in (self._blocks, self._failed, self.path):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()

    def clean(self, *, blocks: bool = False) -> None:
        """Remove what is half-written and, if asked, the blocks; nothing that is not ours.

        No other process may work here.
        """
        for folder in (self.path, self._blocks, self._failed):
            for part in folder.glob(f"*{_PART}"):
                if re.search(r"\.(json|tif|beat)(\.[0-9a-f]{8})?$", part.name.removesuffix(_PART)):
                    part.unlink()
        if blocks:
            for block in (*self._blocks.glob("z*_r*_c*.tif"), *self._failed.glob("z*_r*_c*.json")):
                block.unlink()


def _valid(content: bytes, box: Box, plan: str) -> bool:
    left, top = box.col * RESOLUTION, -box.row * RESOLUTION
    try:
        with (
            rasterio.Env(**ENV),
            MemoryFile(content) as memory,
            memory.open() as dataset,
        ):
            for band in dataset.indexes:  # a broken tile shows only when it is inflated
                dataset.read(band)
            return bool(
                dataset.shape == box.shape
                and dataset.descriptions == BANDS
                and set(dataset.dtypes) == {"uint8"}
                and (dataset.transform.c, dataset.transform.f) == (left, top)
                and json.loads(dataset.tags()[FACTS]).get("plan") == plan
            )
    except (RasterioError, KeyError, ValueError, AttributeError):
        return False


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn what the system says in the body into an ``OutputError``."""
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, ConnectionError | TimeoutError):
            raise  # of a network
        raise OutputError(
            f"The run folder {folder} cannot be used ({error.strerror or error}). Free some "
            "space, or name another folder with --workdir; then run the same command again."
        ) from error


def _write(path: Path, content: bytes | memoryview) -> None:
    """Write a file: all of it, or nothing."""
    # Another shard may write the same block, where the shards are not of one count.
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{_PART}")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def check_version(path: Path, begun: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
    """See that a run was begun by this version of lulcmap.

    Args:
        path: of the run folder.
        begun: the plan there.
        plan: the plan now.

    Raises:
        UsageError: it was begun by another.

    """
    old, new = begun.get("version"), plan.get("version")
    if old != new:
        raise UsageError(
            f"The run folder {path} was begun by lulcmap {old}; this is lulcmap {new}, which may "
            f"map otherwise. Finish it with that version (pip install lulcmap=={old}), or delete "
            "the folder."
        )


def _differences(begun: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Lines that say what differs between two plans."""
    old, new = dict(_leaves(begun)), dict(_leaves(now))
    keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    lines = [
        f"  {key}: was {_short(old.get(key))}, now {_short(new.get(key))}"
        for key in keys[:_MOST_DIFFERENCES]
    ]
    if len(keys) > _MOST_DIFFERENCES:
        lines.append(f"  and {len(keys) - _MOST_DIFFERENCES} more differences")
    return "\n".join(lines)


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, entry in value.items():
        if isinstance(entry, Mapping) and entry:
            yield from _leaves(entry, f"{prefix}{key}.")
        else:
            yield prefix + key, json.loads(json.dumps(entry))  # tuples come back from disk as lists


def _short(value: Any) -> str:
    text = json.dumps(value)
    if len(text) <= 60:
        return text
    return f"{len(value)} entries" if isinstance(value, list) else f"{text[:57]}..."
