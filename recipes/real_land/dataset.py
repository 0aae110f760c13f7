"""Write landscapes as a dataset on disk, in the format of ``lulcmap dataset build``.

It is a folder and not a stream because making a landscape takes several times as long as training
on it: each is used many times, with new crops, turns and light. ``lulcmap dataset check`` shows it,
``lulcmap train`` trains on it, and the same folder serves every seed and every network.

A landscape has no real location: it gets a free spot in the block of degrees whose samples it
shows, so that regions are meaningful and no two landscapes overlap.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import date
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from lulcmap.dataset import Dataset, write_chips
from lulcmap.legend import CLASSES
from recipes.real_land import points as real
from recipes.real_land.generator import Generator, Landscape
from recipes.real_land.scenes import load_textures
from recipes.real_land.sensor import Look
from recipes.real_land.textures import training_textures

SPLITS: tuple[Literal["train", "validation", "test"], ...] = ("train", "validation", "test")
"""Splits of the dataset."""

LANDSCAPES_PER_ROW = 64
"""Landscapes per row of the grid on which they are laid out."""


def build_landscapes(
    data: Path,
    out: Path,
    *,
    counts: Mapping[str, int],
    fold: int | None,
    size: int = 256,
    seed: int = 0,
    workers: int = 1,
    validation: bool = True,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> None:
    """Build a dataset of landscapes, or resume one that was interrupted.

    Args:
        data: folder with ``points`` and, for texture, ``archive``.
        out: folder of the dataset.
        counts: number of landscapes by split; none in the splits that are missing.
        fold: fold of the points for the test split; the next one makes the validation split. None
            makes training landscapes of all points, and no others.
        size: side of a landscape, pixels.
        seed: seed of all random draws.
        workers: number of processes that make landscapes.
        validation: whether the next fold is held out too; if not, it trains.
        progress: called with the number of finished landscapes and the total.

    """
    settings = {
        "landscapes": "made up, of real samples",
        "points": real.POINTS_FILE,
        "fold": fold,
        "size": size,
        "seed": seed,
        "look": asdict(Look()),
        **{f"{name}_chips": counts.get(name, 0) for name in SPLITS},
        **({} if validation else {"validation": "trains"}),
    }
    total = sum(counts.values())
    # new processes read OMP_NUM_THREADS as set now: threads within them only slow them down
    context = get_context("spawn")
    with (
        write_chips(out, CLASSES, settings=settings) as chips,
        ProcessPoolExecutor(workers, mp_context=context) as pool,
    ):
        for split in SPLITS:
            numbers = range(counts.get(split, 0))
            missing = [number for number in numbers if not chips.keep(_name(split, number))]
            make = partial(_make, data, fold, split, size, seed, validation)
            for number, (block, landscape) in zip(
                missing, _in_batches(pool, make, missing), strict=True
            ):
                chips.add(
                    _name(split, number),
                    s2=landscape.s2,
                    s1=landscape.s1,
                    label=landscape.label,
                    day=_day(landscape),
                    grid=_grid_of(block, number, size),
                    place=f"block-{block:04d}",
                    split=split,
                    source="points",
                )
                progress(len(chips), total)


def held_out_fold(dataset: Dataset) -> int | None:
    """Fold of the points that a dataset of landscapes is tested on; None if it holds none out."""
    fold: int | None = dataset.settings["fold"]
    return fold


def _in_batches(
    pool: ProcessPoolExecutor, make: Callable[[int], Any], numbers: list[int]
) -> Iterator[Any]:
    """Make landscapes in order, in batches, so that not all are in memory at once."""
    for start in range(0, len(numbers), 256):
        yield from pool.map(make, numbers[start : start + 256], chunksize=8)


_generators: dict[tuple[Any, ...], Generator] = {}


def _make(
    data: Path,
    fold: int | None,
    split: str,
    size: int,
    seed: int,
    validation: bool,
    number: int,
) -> tuple[int, Landscape]:
    """Make one landscape, and the block of its place; each process reads the points once."""
    key = (data, fold, split, size, seed, validation)
    if key not in _generators:
        points = real.load_points(data / "points")
        points = real.split_points(points, fold, validation=validation)[split]
        archive = data / "archive"
        if validation:  # version 1 took its texture from all unlabelled scenes
            clips = load_textures(archive) if archive.is_dir() else []
        else:
            clips = training_textures(data)
        split_seed = seed * len(SPLITS) + SPLITS.index(split)
        _generators[key] = Generator(points, clips, size=size, seed=split_seed)
    generator = _generators[key]
    landscape = generator.landscape(number)
    return int(generator.source.points.block[landscape.anchor]), landscape


def _name(split: str, number: int) -> str:
    return f"{split}-{number:05d}"


def _grid_of(block: int, number: int, size: int) -> GeoBox:
    """Grid of a landscape: its own spot in a block."""
    row, col = divmod(block, round(360 / real.BLOCK_DEGREES))
    lat, lon = (row + 0.5) * real.BLOCK_DEGREES - 90, (col + 0.5) * real.BLOCK_DEGREES - 180
    epsg = (32600 if lat >= 0 else 32700) + int((lon + 180) // 6) + 1
    east, north = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
    down, along = divmod(number, LANDSCAPES_PER_ROW)
    left = round(east / 20) * 20 + (along - LANDSCAPES_PER_ROW // 2) * size * 10
    top = round(north / 20) * 20 - down * size * 10
    return GeoBox((size, size), Affine(10, 0, left, 0, -10, top), f"EPSG:{epsg}")


def _day(landscape: Landscape) -> date:
    months = landscape.season.months
    return date(2021, months[len(months) // 2] + 1, 15)  # WorldCover's year
