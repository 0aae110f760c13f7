"""Dynamic World's label tiles: who drew them, on which day, and their classes.

Releases: training tiles, doi 10.1594/PANGAEA.933475 (``Experts_tiles.zip``,
``Non_expert_tiles.zip``, ``validation_set_tiles.zip``); the hold-out's expert consensus,
doi 10.5281/zenodo.4766508 (``dw_test.zip``). ``docs/dataset.md`` says what is certain about their
layout.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError

from lulcmap.dataset.legend import DYNAMIC_WORLD, Legend
from lulcmap.dataset.sample import Label, Sample, SkippedError, digest_files
from lulcmap.dataset.votes import N_EXPERTS, merge_votes
from lulcmap.errors import UsageError
from lulcmap.legend import NODATA
from lulcmap.system import Steps, no_progress, open_geotiff

Annotator = Literal["expert", "nonexpert", "holdout"]

_TILE_NAME = re.compile(
    r"(label_)?(dw_-?\d+(?:\.\d+)?_-?\d+(?:\.\d+)?-(\d{8}))\.tif", re.IGNORECASE
)
"""Name of a tile: ``dw_<lon>_<lat>-<YYYYMMDD>.tif``, with ``label_`` before it in the hold-out's
consensus."""

_ANNOTATOR_FOLDERS: Mapping[str, Annotator] = {
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
"""Annotators by the letters of a folder's name."""

_CONSENSUS_BAND = "lulc"
"""Band of the hold-out's consensus that holds the experts' codes; the other one, ``label``, is the
model's own, with codes from 0."""

_MAX_CODE = 10
"""Highest code: cloud."""

_PIXEL_TOLERANCE_M = 1e-4
"""Metres by which a pixel may differ from 10 m: 5 cm over a tile."""


@dataclass(frozen=True, slots=True)
class _TileFile:
    """A label file, before it is opened."""

    path: Path
    stem: str
    day: date
    annotator: Annotator
    below: tuple[str, ...]
    """Names of the folders below the one that names the annotator."""

    is_consensus: bool


@dataclass
class DynamicWorldTiles:
    """Label tiles in a folder."""

    folder: Path
    """Folder of the labels."""

    legend: Legend = field(default=DYNAMIC_WORLD)
    """Meaning of their codes."""

    votes: str = "consensus"
    """Scheme that merges the hold-out's votes into one label."""

    samples: list[Sample] = field(default_factory=list, init=False)
    left_out: dict[str, str] = field(default_factory=dict, init=False)

    def find(self, progress: Steps = no_progress) -> Self:
        """Find the tiles in the folder, and keep them in ``samples``.

        Raises:
            UsageError: the folder is missing or holds no tile, or no folder's name says who drew a
                tile.

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
        """Read a tile; votes are merged into one label."""
        layers = [
            None if path is None else self._ids(path, sample.grid.shape) for path in sample.files
        ]
        if len(layers) == 1:
            (ids,) = layers
            assert ids is not None
            return Label(ids)
        unlabelled = np.full(sample.grid.shape, NODATA, np.uint8)
        votes = np.stack([unlabelled if ids is None else ids for ids in layers])
        return Label(merge_votes(votes, self.votes), votes)

    def digest(self, sample: Sample) -> str:
        """SHA-256 of a tile's files."""
        return digest_files(*sample.files)

    def settings(self) -> dict[str, Any]:
        """Settings that decide how the tiles are read, plain JSON."""
        return {"labels": "dynamic-world", "votes": self.votes, "codes": dict(self.legend.codes)}

    def _files(self) -> list[_TileFile]:
        if not self.folder.is_dir():
            raise UsageError(f"No folder {self.folder}; check --labels.")
        files = []
        for path in sorted(self.folder.rglob("*.tif")):
            match = _TILE_NAME.fullmatch(path.name)
            if match is None:
                if not path.name.lower().startswith("probs_dw_"):
                    self.left_out[self._named(path)] = "its name is not dw_<lon>_<lat>-<YYYYMMDD>"
                continue
            try:
                day = datetime.strptime(match[3], "%Y%m%d").date()
            except ValueError:
                self.left_out[self._named(path)] = f"{match[3]} is not a date"
                continue
            annotator, below = self._annotator(path)
            files.append(_TileFile(path, match[2], day, annotator, below, match[1] is not None))
        if not files:
            raise UsageError(
                f"{self.folder} holds no label tile named dw_<lon>_<lat>-<YYYYMMDD>.tif. Give the "
                "folder that holds Dynamic World's unpacked tiles, or a label raster or vector "
                "file."
            )
        return files

    def _annotator(self, path: Path) -> tuple[Annotator, tuple[str, ...]]:
        """A tile's annotator, named by the outermost folder that does, and the folders below it."""
        parts = (self.folder.resolve().name, *path.relative_to(self.folder).parts[:-1])
        for depth, part in enumerate(parts):
            annotator = _ANNOTATOR_FOLDERS.get(_letters(part))
            if annotator is not None:
                return annotator, parts[depth + 1 :]
        raise UsageError(
            f"The annotator of {path} is unknown: none of its folders is named Experts, "
            "Non_expert, or holdout (also validation_set_tiles or dw_test). Move it into one."
        )

    def _groups(self, files: list[_TileFile]) -> dict[str, list[_TileFile]]:
        """By chip's name, its label files; several only where the hold-out has votes."""
        groups: dict[str, list[_TileFile]] = defaultdict(list)
        for file in files:
            groups[f"{file.annotator}-{file.stem}"].append(file)
        for members in groups.values():
            drawn = [file for file in members if not file.is_consensus]
            kept = drawn if drawn and drawn[0].annotator == "holdout" else (drawn or members)[:1]
            for file in members:
                if file not in kept:
                    self.left_out[self._named(file.path)] = (
                        f"{self._named(kept[0].path)} is the same tile"
                    )
            members[:] = kept
        return dict(groups)

    def _sample(
        self, name: str, members: list[_TileFile], voters: Mapping[Path, int]
    ) -> Sample | None:
        first = members[0]
        files: list[Path | None] = [first.path]
        if first.path in voters:
            files = [None] * (N_EXPERTS + 1)
            for file in members:
                files[voters[file.path]] = file.path
        try:
            grids = [_read_grid(file.path) for file in members]
            if any(grid != grids[0] for grid in grids):
                raise SkippedError("its annotators' tiles have different grids")
        except SkippedError as reason:
            self.left_out[self._named(first.path)] = str(reason)
            return None
        return Sample(
            name, first.annotator, self._named(first.path), tuple(files), grids[0], first.day
        )

    def _ids(self, path: Path, shape: Sequence[int]) -> NDArray[np.uint8]:
        codes = _read_codes(path)
        if codes.shape != tuple(shape):
            raise SkippedError(f"{path.name} has {codes.shape} pixels, not {tuple(shape)}")
        return self.legend.ids(codes)

    def _named(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def _voters(groups: Iterable[list[_TileFile]]) -> dict[Path, int]:
    """By file of the hold-out, its annotator: 0 to 2 for the experts, 3 for the non-expert.

    The annotators are the folders in which files of one tile begin to differ; empty without votes.

    Raises:
        UsageError: more than three experts, or several non-experts.

    """
    drawn = [[file for file in group if not file.is_consensus] for group in groups]
    drawn = [group for group in drawn if group and group[0].annotator == "holdout"]
    depths = [
        next(depth for depth, names in enumerate(zip_longest(*belows)) if len(set(names)) > 1)
        for group in drawn
        if len(group) > 1
        for belows in [[file.below for file in group]]
    ]
    if not depths:
        return {}
    depth = min(depths)
    annotators = {
        file.path: file.below[depth] if len(file.below) > depth else ""
        for group in drawn
        for file in group
    }
    names = set(annotators.values())
    others = {name for name in names if "nonexpert" in _letters(name)}
    experts = sorted(names - others, key=_natural_key)
    if len(experts) > N_EXPERTS or len(others) > 1:
        raise UsageError(
            f"The hold-out has tiles by {', '.join(sorted(names))}; expected a folder "
            "for each of at most three experts, and one named non_expert."
        )
    numbers = {name: i for i, name in enumerate(experts)} | dict.fromkeys(others, N_EXPERTS)
    return {path: numbers[name] for path, name in annotators.items()}


def _natural_key(name: str) -> list[tuple[int, str]]:
    """Sort key that puts expert_10 after expert_9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _letters(name: str) -> str:
    return re.sub("[^a-z]", "", name.lower())


def _read_grid(path: Path) -> GeoBox:
    """The grid of a tile: 10 m in a UTM zone."""
    try:
        with open_geotiff(path) as file:
            code, transform, shape = file.crs and file.crs.to_epsg(), file.transform, file.shape
    except (RasterioError, OSError) as error:
        raise SkippedError("it cannot be read: it is broken or not a GeoTIFF") from error
    if code is None or code // 100 not in (326, 327) or not 1 <= code % 100 <= 60:
        raise SkippedError(f"its CRS is {f'EPSG:{code}' if code else 'unknown'}, not a UTM zone")
    a, b, _, d, e, _ = transform[:6]
    if max(abs(a - 10), abs(e + 10), abs(b), abs(d)) > _PIXEL_TOLERANCE_M:
        raise SkippedError(f"its pixels are {a:g} x {-e:g} m, not 10 m and north up")
    return GeoBox(shape, transform, f"EPSG:{code}")


def _read_codes(path: Path) -> NDArray[np.int64]:
    """(H, W) codes of a tile, 0 to 10."""
    try:
        with open_geotiff(path) as file:
            names = [str(name or "").lower() for name in file.descriptions]
            if file.count > 1 and _CONSENSUS_BAND not in names:
                raise SkippedError(f"it has {file.count} bands, none named {_CONSENSUS_BAND}")
            values = file.read(names.index(_CONSENSUS_BAND) + 1 if _CONSENSUS_BAND in names else 1)
    except (RasterioError, OSError) as error:
        raise SkippedError("it cannot be read: it is broken or cut short") from error
    codes = np.nan_to_num(values).astype(np.int64)
    if codes.min() < 0 or codes.max() > _MAX_CODE:
        raise SkippedError(
            f"it holds codes {codes.min()} to {codes.max()}; expected 0 to {_MAX_CODE}"
        )
    return codes
