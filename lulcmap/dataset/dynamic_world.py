"""Dynamic World's label tiles: who drew them, on which day, and what they say.

Releases: training tiles, doi 10.1594/PANGAEA.933475 (``Experts_tiles.zip``,
``Non_expert_tiles.zip``, ``validation_set_tiles.zip``); the hold-out's expert consensus,
doi 10.5281/zenodo.4766508 (``dw_test.zip``). ``docs/dataset.md`` says what is sure of their layout.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError

from lulcmap.dataset.legend import DYNAMIC_WORLD, Legend
from lulcmap.dataset.sample import Label, Sample, SkippedError, digest_of
from lulcmap.dataset.votes import EXPERTS, vote
from lulcmap.errors import UsageError
from lulcmap.legend import NODATA
from lulcmap.system import Steps, no_progress

Annotator = Literal["expert", "nonexpert", "holdout"]

_NAME = re.compile(r"(label_)?(dw_-?\d+(?:\.\d+)?_-?\d+(?:\.\d+)?-(\d{8}))\.tif", re.IGNORECASE)
"""``dw_<lon>_<lat>-<YYYYMMDD>.tif``; ``label_`` before it in the hold-out's consensus."""

_FOLDERS: Mapping[str, Annotator] = {
    **dict.fromkeys(("expert", "experts", "experttiles", "expertstiles"), "expert"),
    **dict.fromkeys(("nonexpert", "nonexperts", "nonexperttiles", "nonexpertstiles"), "nonexpert"),
    **dict.fromkeys(
        (
            *("holdout", "holdouttiles", "validation", "validationset", "validationsettiles"),
            *("validationtiles", "val", "test", "testset", "testtiles", "dwtest"),
        ),
        "holdout",
    ),
}
"""Folders by the letters of their names."""

_LULC = "lulc"
"""Band of the hold-out's consensus with the experts' codes; the other, ``label``, is the model's
own and counts from 0."""

_CODES = 10
"""The highest code: cloud."""

_SAME = 1e-4
"""Metres by which a pixel may differ from 10 m: 5 cm along a tile."""


@dataclass(frozen=True, slots=True)
class _File:
    """A label file, before it is opened."""

    path: Path
    stem: str
    day: date
    annotator: Annotator
    below: tuple[str, ...]
    """Folders under the one that says whose it is."""

    is_consensus: bool


@dataclass
class Tiles:
    """Label tiles in a folder."""

    folder: Path
    """Of the labels."""

    legend: Legend = field(default=DYNAMIC_WORLD)
    """What their codes mean."""

    votes: str = "consensus"
    """Scheme by which the hold-out's votes become one label."""

    samples: list[Sample] = field(default_factory=list, init=False)
    left_out: dict[str, str] = field(default_factory=dict, init=False)

    def find(self, progress: Steps = no_progress) -> "Tiles":
        """Look through the folder; the tiles are in ``samples`` afterwards.

        Raises:
            UsageError: there is no such folder, it holds no tile, or a tile lies where nothing says
                who drew it.

        """
        groups = self._groups(self._files())
        voters = _voters(groups.values())
        for done, (name, members) in enumerate(sorted(groups.items())):
            progress(done, len(groups))
            sample = self._sample(name, members, voters)
            if sample is not None:
                self.samples.append(sample)
        progress(len(groups), len(groups))
        return self

    def read(self, sample: Sample) -> Label:
        """What a tile says; of votes, what they say together."""
        shown = [
            None if path is None else self._ids(path, sample.grid.shape) for path in sample.files
        ]
        if len(shown) == 1:
            (ids,) = shown
            assert ids is not None
            return Label(ids)
        silent = np.full(sample.grid.shape, NODATA, np.uint8)
        votes = np.stack([silent if ids is None else ids for ids in shown])
        return Label(vote(votes, self.votes), votes)

    def digest(self, sample: Sample) -> str:
        """SHA-256 of a tile's files."""
        return digest_of(*sample.files)

    def settings(self) -> dict[str, Any]:
        """What decides how the tiles are read."""
        return {"labels": "dynamic-world", "votes": self.votes, "codes": dict(self.legend.codes)}

    def _files(self) -> list[_File]:
        if not self.folder.is_dir():
            raise UsageError(
                f"There is no folder {self.folder}; --labels takes a folder or a file."
            )
        files = []
        for path in sorted(self.folder.rglob("*.tif")):
            match = _NAME.fullmatch(path.name)
            if match is None:
                if not path.name.lower().startswith("probs_dw_"):
                    self.left_out[self._named(path)] = "its name is not dw_<lon>_<lat>-<YYYYMMDD>"
                continue
            try:
                day = datetime.strptime(match[3], "%Y%m%d").date()
            except ValueError:
                self.left_out[self._named(path)] = f"{match[3]} is no date"
                continue
            annotator, below = self._whose(path)
            files.append(_File(path, match[2], day, annotator, below, match[1] is not None))
        if not files:
            raise UsageError(
                f"{self.folder} holds no label tile named dw_<lon>_<lat>-<YYYYMMDD>.tif. Give the "
                "folder that Dynamic World's tiles were unpacked into, or a label raster or vector "
                "file."
            )
        return files

    def _whose(self, path: Path) -> tuple[Annotator, tuple[str, ...]]:
        """Who drew a tile, from the outermost folder that says so, and the folders below that."""
        parts = (self.folder.resolve().name, *path.relative_to(self.folder).parts[:-1])
        for place, part in enumerate(parts):
            annotator = _FOLDERS.get(_letters(part))
            if annotator is not None:
                return annotator, parts[place + 1 :]
        raise UsageError(
            f"Nothing says who drew {path}: it lies in no folder named Experts, Non_expert, or "
            "holdout (also validation_set_tiles or dw_test). Put it into one of them."
        )

    def _groups(self, files: list[_File]) -> dict[str, list[_File]]:
        """By chip's name, the files it is made of; several only where the hold-out has votes."""
        groups: dict[str, list[_File]] = defaultdict(list)
        for file in files:
            groups[f"{file.annotator}-{file.stem}"].append(file)
        for members in groups.values():
            drawn = [file for file in members if not file.is_consensus]
            kept = drawn if drawn and drawn[0].annotator == "holdout" else (drawn or members)[:1]
            for file in members:
                if file not in kept:
                    self.left_out[self._named(file.path)] = (
                        f"{self._named(kept[0].path)} is of the same tile"
                    )
            members[:] = kept
        return dict(groups)

    def _sample(self, name: str, members: list[_File], voters: Mapping[Path, int]) -> Sample | None:
        first = members[0]
        files: list[Path | None] = [first.path]
        if first.path in voters:
            files = [None] * (EXPERTS + 1)
            for file in members:
                files[voters[file.path]] = file.path
        try:
            grids = [_grid(file.path) for file in members]
            if any(grid != grids[0] for grid in grids):
                raise SkippedError("its annotators' tiles lie on different grids")
        except SkippedError as reason:
            self.left_out[self._named(first.path)] = str(reason)
            return None
        return Sample(
            name, first.annotator, self._named(first.path), tuple(files), grids[0], first.day
        )

    def _ids(self, path: Path, shape: Sequence[int]) -> NDArray[np.uint8]:
        codes = _codes(path)
        if codes.shape != tuple(shape):
            raise SkippedError(f"{path.name} has {codes.shape} pixels, not {tuple(shape)}")
        return self.legend.ids(codes)

    def _named(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def _voters(groups: Iterable[list[_File]]) -> dict[Path, int]:
    """By file of the hold-out, whose vote it is: experts are 0 to 2, the non-expert is 3.

    The annotators are the folders in which files of one tile begin to differ. None without votes.

    Raises:
        UsageError: there are more than three experts, or several non-experts.

    """
    drawn = [[file for file in group if not file.is_consensus] for group in groups]
    drawn = [group for group in drawn if group and group[0].annotator == "holdout"]
    depths = [
        next(place for place, names in enumerate(zip_longest(*belows)) if len(set(names)) > 1)
        for group in drawn
        if len(group) > 1
        for belows in [[file.below for file in group]]
    ]
    if not depths:
        return {}
    depth = min(depths)
    who = {
        file.path: file.below[depth] if len(file.below) > depth else ""
        for group in drawn
        for file in group
    }
    others = {name for name in who.values() if "nonexpert" in _letters(name)}
    experts = sorted(set(who.values()) - others, key=_by_number)
    if len(experts) > EXPERTS or len(others) > 1:
        raise UsageError(
            f"The hold-out has tiles by {', '.join(sorted(set(who.values())))}; expected a folder "
            "for each of at most three experts, and one named non_expert."
        )
    places = {name: place for place, name in enumerate(experts)} | dict.fromkeys(others, EXPERTS)
    return {path: places[name] for path, name in who.items()}


def _by_number(name: str) -> list[tuple[int, str]]:
    """A key that sorts expert_10 after expert_9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _letters(name: str) -> str:
    return re.sub("[^a-z]", "", name.lower())


def _grid(path: Path) -> GeoBox:
    """The grid of a tile: 10 m in a UTM zone."""
    try:
        with rasterio.open(path) as file:
            code, transform, shape = file.crs and file.crs.to_epsg(), file.transform, file.shape
    except (RasterioError, OSError) as error:
        raise SkippedError("it cannot be read: it is broken or no GeoTIFF") from error
    if code is None or code // 100 not in (326, 327) or not 1 <= code % 100 <= 60:
        raise SkippedError(f"its CRS is {f'EPSG:{code}' if code else 'unknown'}, no UTM zone")
    a, b, _, d, e, _ = transform[:6]
    if max(abs(a - 10), abs(e + 10), abs(b), abs(d)) > _SAME:
        raise SkippedError(f"its pixels are {a:g} x {-e:g} m, not 10 m and north up")
    return GeoBox(shape, transform, f"EPSG:{code}")


def _codes(path: Path) -> NDArray[np.int64]:
    """(H, W) codes 0 to 10 of a tile."""
    try:
        with rasterio.open(path) as file:
            names = [str(name or "").lower() for name in file.descriptions]
            if file.count > 1 and _LULC not in names:
                raise SkippedError(f"it has {file.count} bands, and none is named {_LULC}")
            values = file.read(names.index(_LULC) + 1 if _LULC in names else 1)
    except (RasterioError, OSError) as error:
        raise SkippedError("it cannot be read: it is broken or cut short") from error
    codes = np.nan_to_num(values).astype(np.int64)
    if codes.min() < 0 or codes.max() > _CODES:
        raise SkippedError(
            f"it holds codes {codes.min()} to {codes.max()}, and a tile's are 0 to {_CODES}"
        )
    return codes
