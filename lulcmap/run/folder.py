"""The run folder: the frozen plan and items, and one small file a finished block.

::

    <run>/plan.json                     everything that decides the result
    <run>/items.json                    the frozen, unsigned STAC items; also a --catalog
    <run>/about.json                    the area, and what else the report says
    <run>/blocks/z32632_r12_c-3.tif     class, confidence, margin, S2 count, S1 count, origin
    <run>/blocks/z32632_r12_c-3.composite.tif     and what it keeps for a layer of the map
    <run>/failed/z32632_r12_c-4.json    why a block could not be made
    <run>/damaged/z32632_r12_c-3.json   a block that was found damaged and is made again
    <run>/map.tif                       the blocks on a map's grid, until the map is finished
    <run>/run.lock, shard-3-of-10.lock  held by the processes that work on it
    <run>/run.beat, shard-3-of-10.beat  how far they are

Every file is whole, for it was written under a temporary name and then renamed: a run that is
killed resumes. Apart from locks and heartbeats, no file holds a time, host, path or number of
workers.
"""

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap import __version__
from lulcmap.errors import OutputError, UsageError
from lulcmap.geo import Block, BlockId
from lulcmap.run.about import About
from lulcmap.run.block_file import (
    DAMAGED,
    block_fault,
    encoded_block,
    encoded_layer,
    has_proof,
    read_facts,
)
from lulcmap.run.facts import BlockFacts
from lulcmap.run.plan import Plan
from lulcmap.run.shard import Shard
from lulcmap.system import check_disk, parts, read_json, replacing, write_atomically, write_json
from lulcmap.system import written as written_by

logger = logging.getLogger(__name__)

_MAX_DIFFERENCES = 5
"""Differences named in the message that refuses another plan."""

_OURS = re.compile(
    r"(plan|items|about)\.json|map\.tif|(run|shard-.+)\.beat|z.+_r.+_c.+\.(tif|json)"
)
"""Names of the files lulcmap writes into a run folder."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder that holds one run."""

    path: Path
    """Path of the folder; other files in it are left alone."""

    @classmethod
    def open(
        cls, path: Path, plan: Plan, items: Iterable[bytes], about: About, *, alone: bool = True
    ) -> Self:
        """Begin a run, or resume the one that was begun here under the same plan.

        Args:
            path: path of the folder, made if it is missing.
            plan: everything that decides the result.
            items: text of a STAC ItemCollection, in parts; only a new run keeps it.
            about: what else a map says of itself; only a new run keeps it.
            alone: whether no other process works here, so that half-written files of a killed run
                can be removed. Blocks of another plan are discarded one by one, by
                ``discard_invalid``.

        Raises:
            UsageError: the folder holds a run under another plan; the differences are named.
            OutputError: the folder cannot be written.

        """
        run = cls(path)
        begun = run.plan()
        if begun is not None and begun != plan:
            raise UsageError(
                f"The run folder {path} was begun under another plan ("
                f"{_differences(begun.to_json(), plan.to_json())}). "
                "Give the old options to resume it, choose another folder with --workdir, or "
                "delete it."
            )
        with os_errors_named(path):
            run._blocks.mkdir(parents=True, exist_ok=True)
            run._failed.mkdir(exist_ok=True)
            if alone:
                run.clean()
            if begun is None:
                with replacing(run.items_path, others=True) as part, part.open("wb") as file:
                    file.writelines(items)
                write_json(run.about_path, about.to_json())
                write_json(run.plan_path, plan.to_json())  # last: with it the run is begun
        return run

    @property
    def plan_path(self) -> Path:
        """Path of the plan."""
        return self.path / "plan.json"

    @property
    def items_path(self) -> Path:
        """Path of the frozen items."""
        return self.path / "items.json"

    @property
    def about_path(self) -> Path:
        """Path of what else a map says of itself."""
        return self.path / "about.json"

    @property
    def joined_path(self) -> Path:
        """Path of the joined map that version 0.1.0 left while it wrote the map; only removed."""
        return self.path / "map.tif"

    def lock_path(self, shard: Shard | None = None) -> Path:
        """Path of the lock of the process that does a shard, or everything."""
        name = "run" if shard is None else f"shard-{shard.index}-of-{shard.count}"
        return self.path / f"{name}.lock"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Paths of the folders in it that are written to."""
        return self._blocks, self._failed, self._damaged

    @property
    def _blocks(self) -> Path:
        return self.path / "blocks"

    @property
    def _failed(self) -> Path:
        return self.path / "failed"

    @property
    def _damaged(self) -> Path:
        return self.path / "damaged"

    def is_begun(self) -> bool:
        """Whether a plan was frozen here, of whatever version.

        Raises:
            OutputError: the plan exists and cannot be read.

        """
        return self._json(self.plan_path) is not None

    def plan(self) -> Plan | None:
        """The plan this run was begun under; None if none was, or the file is half-written.

        Raises:
            UsageError: the run is of another version of lulcmap, or the file is no plan.
            OutputError: it exists and cannot be read.

        """
        values = self._json(self.plan_path)
        if values is None:
            return None
        version = values.get("version")
        if version is not None and version != __version__:
            raise UsageError(
                f"The run folder {self.path} was begun by lulcmap {version}; this is lulcmap "
                f"{__version__}, which may map differently. Finish it with that version "
                f"(pip install lulcmap=={version}), or delete the folder."
            )
        try:
            return Plan.from_json(values)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise UsageError(
                f"{self.plan_path} is not a plan of this lulcmap. Give the run folder of a map, "
                "<out>.run."
            ) from None

    def is_free_for(self, plan: Plan) -> bool:
        """Whether the folder holds no run, or the run of a plan."""
        try:
            return self.plan() in (None, plan)
        except UsageError:  # of another version
            return False

    def about(self) -> About:
        """What else a map says of itself.

        Raises:
            OutputError: it cannot be read, or was changed.

        """
        try:
            return About.from_json(self._json(self.about_path) or {})
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise OutputError(
                f"{self.about_path} cannot be read: the file was changed. Delete the folder, then "
                "map the area again."
            ) from None

    def frozen(self) -> tuple[Plan, About]:
        """The plan of a run that was begun, and what else a map of it says.

        Raises:
            UsageError: no run was begun here, or by another version of lulcmap.
            OutputError: the folder cannot be read.

        """
        plan = self.plan()
        if plan is None:
            raise UsageError(f"No run in {self.path}. Give the run folder of a map, <out>.run.")
        return plan, self.about()

    def _json(self, path: Path) -> dict[str, Any] | None:
        with os_errors_named(self.path):
            return read_json(path)

    def block_path(self, number: BlockId, layer: str = "") -> Path:
        """Path of a block's file, or of what it keeps for a layer of the map.

        Examples:
            >>> RunFolder(Path("map.run")).block_path(BlockId(32632, 12, -3)).name
            'z32632_r12_c-3.tif'

        """
        return self._blocks / f"{number}{f'.{layer}' if layer else ''}.tif"

    def write_block(
        self,
        number: BlockId,
        bands: NDArray[np.uint8],
        grid: GeoBox,
        facts: BlockFacts,
        layers: Mapping[str, tuple[NDArray[Any], int]] = MappingProxyType({}),
    ) -> None:
        """Write a finished block: all of it, or nothing.

        Args:
            number: id of the block.
            bands: (6, H, W) in the order of ``BLOCK_BANDS``, 255 nodata.
            grid: grid of the block, (H, W).
            facts: what the report needs to know of it.
            layers: by name, (B, H, W) values that it keeps for a layer of the map, and nodata.

        Raises:
            OutputError: it cannot be written, as on a full disk.

        """
        for name, (values, nodata) in layers.items():  # first: the block's own file says done
            layer = encoded_layer(values, grid, nodata=nodata)
            with os_errors_named(self.path):
                check_disk(self._blocks, len(layer), "the next block")
                write_atomically(self.block_path(number, name), layer)
        with encoded_block(bands, grid, facts) as content:
            logger.debug("writing %s", number)
            with os_errors_named(self.path):
                check_disk(self._blocks, len(content), "the next block")
                # Another shard may write the same block, where shards are of different counts.
                write_atomically(self.block_path(number), content)
                self._failure_path(number).unlink(missing_ok=True)
            logger.debug("wrote %s", number)

    def fail(self, number: BlockId, reason: str) -> None:
        """Note why a block could not be made.

        Raises:
            OutputError: it cannot be noted.

        """
        with os_errors_named(self.path):
            write_json(self._failure_path(number), {"reason": reason})

    def failures(self) -> dict[BlockId, str]:
        """The blocks that could not be made and why, sorted by id."""
        reasons = {}
        for number, path in _noted(self._failed):
            values = read_json(path)
            if values is not None and not self.block_path(number).exists():
                reasons[number] = str(values.get("reason"))
        return reasons

    def damaged(self) -> list[BlockId]:
        """The blocks that were found damaged since the run was begun, sorted by id."""
        return [number for number, _ in _noted(self._damaged)]

    def _failure_path(self, number: BlockId) -> Path:
        return self._failed / f"{number}.json"

    def is_done(self, block: Block, *, plan: str, layers: Sequence[str] = ()) -> bool:
        """Whether a block has no ``fault``."""
        return self.fault(block, plan=plan, layers=layers) is None

    def fault(self, block: Block, *, plan: str, layers: Sequence[str] = ()) -> str | None:
        """What is wrong with a block's file; None if it was made under a plan and is as written.

        Args:
            block: the block.
            plan: digest of the plan.
            layers: layers of the map for which it keeps a file.

        Returns:
            ``DAMAGED``, another fault, or None.

        Raises:
            OutputError: the file exists and cannot be read.

        """
        with os_errors_named(self.path):
            try:
                content = self.block_path(block.id).read_bytes()
                for layer in layers:
                    if not has_proof(self.block_path(block.id, layer).read_bytes()):
                        return DAMAGED
            except FileNotFoundError:
                return "is missing"
        return block_fault(content, block, plan)

    def discard_invalid(self, block: Block, *, plan: str, layers: Sequence[str] = ()) -> bool:
        """Remove a block's file unless it is done, as of ``is_done``; say it if it is damaged.

        Returns:
            Whether the block is done.

        Raises:
            OutputError: the file cannot be read or removed.

        """
        fault = self.fault(block, plan=plan, layers=layers)
        if fault is None:
            return True
        with os_errors_named(self.path):
            if fault == DAMAGED:
                logger.warning("Block %s in %s is damaged and is made again.", block.id, self.path)
                self._damaged.mkdir(exist_ok=True)
                write_json(self._damaged / f"{block.id}.json", {"reason": fault})
            self.block_path(block.id).unlink(missing_ok=True)
        return False

    def facts(self, number: BlockId) -> BlockFacts:
        """The facts that ``write_block`` was given.

        Args:
            number: id of a block that is done.

        Raises:
            OutputError: the block's file cannot be read.

        """
        return read_facts(self.block_path(number))

    def is_blank(self) -> bool:
        """Whether no block was made or failed."""
        made, failed = self._blocks.glob("z*_r*_c*.tif"), self._failed.glob("z*_r*_c*.json")
        return not any(made) and not any(failed)

    def remove(self) -> None:
        """Remove the run, and its folder if it holds nothing else.

        Raises:
            OutputError: it cannot be removed.

        """
        with os_errors_named(self.path):
            self.plan_path.unlink(missing_ok=True)  # first: without a plan there is no run
            for path in (self.items_path, self.about_path, self.joined_path):
                path.unlink(missing_ok=True)
            self.clean(blocks=True)
            for pattern in ("run.beat", "shard-*-of-*.beat", "shard-*-of-*.lock", "plan.lock"):
                for path in self.path.glob(pattern):
                    path.unlink()
            self.lock_path().unlink(missing_ok=True)
            for folder in (*self.folders, self.path):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()

    def clean(self, *, blocks: bool = False) -> None:
        """Remove half-written files and, if asked, the blocks; nothing that is not lulcmap's.

        No other process may work here.

        Args:
            blocks: whether finished and failed blocks are removed too.

        """
        for folder in (self.path, *self.folders):
            for part in parts(folder):
                if _OURS.fullmatch(written_by(part) or ""):
                    part.unlink(missing_ok=True)  # a heartbeat may just have got its name
        if blocks:
            notes = [path for folder in (self._failed, self._damaged) for _, path in _noted(folder)]
            for block in (*self._blocks.glob("z*_r*_c*.tif"), *notes):
                block.unlink()


def _noted(folder: Path) -> list[tuple[BlockId, Path]]:
    """The notes on blocks in a folder, sorted by id."""
    notes = []
    for path in folder.glob("z*_r*_c*.json"):
        match = re.fullmatch(r"z(\d+)_r(-?\d+)_c(-?\d+)", path.stem)
        if match:
            notes.append((BlockId(*(int(part) for part in match.groups())), path))
    return sorted(notes)


@contextmanager
def os_errors_named(folder: Path) -> Iterator[None]:
    """Raise the system's errors in the body as an ``OutputError`` that names the run folder."""
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, ConnectionError | TimeoutError):
            raise  # of a network
        raise OutputError(
            f"The run folder {folder} cannot be used ({error.strerror or error}). Free some "
            "space, or choose another folder with --workdir, then run the same command again."
        ) from error


def _differences(begun: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between two plans, in one line."""
    old, new = dict(_leaves(begun)), dict(_leaves(now))
    keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    found = [
        f"{key}: was {_short(old.get(key))}, now {_short(new.get(key))}"
        for key in keys[:_MAX_DIFFERENCES]
    ]
    if len(keys) > _MAX_DIFFERENCES:
        found.append(f"and {len(keys) - _MAX_DIFFERENCES} more differences")
    return "; ".join(found)


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, entry in value.items():
        if isinstance(entry, Mapping) and entry:
            yield from _leaves(entry, f"{prefix}{key}.")
        else:
            yield prefix + key, entry


def _short(value: Any) -> str:
    text = json.dumps(value)
    if len(text) <= 60:
        return text
    return f"{len(value)} entries" if isinstance(value, list) else f"{text[:57]}..."
