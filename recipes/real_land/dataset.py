"""Landscapes as a dataset on disk, of the form that ``lulcmap dataset build`` makes.

A folder rather than a stream: a landscape takes several times as long to make as to learn from, so
each is used many times, cut, turned and relit anew; it can be looked at (``lulcmap dataset
check``), trained on by ``lulcmap train`` as it is, and the same folder serves every seed and every
other network.

Nothing of it lies anywhere: a landscape's ground is a free spot in the block of degrees whose
samples it shows, so that regions mean something and no two share ground.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import date
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from lulcmap.dataset import Chip, Image, Label, Sample, open_dataset, placed
from lulcmap.legend import CLASSES
from recipes.real_land import points as real
from recipes.real_land.generator import Generator, Landscape
from recipes.real_land.scenes import load_textures
from recipes.real_land.sensor import Look

SPLITS = ("train", "validation", "test")

LANDSCAPES_PER_ROW = 64
"""Landscapes side by side on the ground that they are given."""

Progress = Callable[[int, int], object]


def build_landscapes(
    data: Path,
    out: Path,
    *,
    counts: Mapping[str, int],
    fold: int | None,
    size: int = 256,
    seed: int = 0,
    workers: int = 1,
    progress: Progress = lambda *_: None,
) -> None:
    """Make a dataset, or go on with one that was begun.

    Args:
        data: folder with ``points`` and, for texture, ``archive``.
        out: folder of the dataset.
        counts: landscapes by split; of splits that are not named there are none.
        fold: of the points that the test split is made of; the next one makes the validation. None
            makes the training's of all points, and no others.
        size: pixels a side.
        seed: of all draws.
        workers: processes that make landscapes.
        progress: told how many are done.

    """
    settings = {
        "landscapes": "made up, of real samples",
        "points": real.POINTS_FILE,
        "fold": fold,
        "size": size,
        "seed": seed,
        "look": asdict(Look()),
        **{f"{name}_chips": counts.get(name, 0) for name in SPLITS},
    }
    digest = json.dumps(settings, sort_keys=True)
    total = sum(counts.values())
    rows: list[Chip] = []
    # started afresh, they heed OMP_NUM_THREADS as it is now: threads within them are in the way
    context = get_context("spawn")
    with (
        open_dataset(out, CLASSES, settings) as folder,
        ProcessPoolExecutor(workers, mp_context=context) as pool,
    ):
        for split in SPLITS:
            wanted = range(counts.get(split, 0))
            done = {
                number: row
                for number in wanted
                if (row := folder.done(_sample(split, number), digest)) is not None
            }
            rows += [_with_split(row, split) for row in done.values()]
            missing = [number for number in wanted if number not in done]
            make = partial(_make, data, fold, split, size, seed)
            for number, (block, made) in zip(
                missing, _in_batches(pool, make, missing), strict=True
            ):
                sample = _sample(split, number, block=block, size=size)
                row = folder.write(sample, digest, Label(made.label), _image(made), len(CLASSES))
                rows.append(_with_split(row, split))
                progress(len(rows), total)
        folder.close(rows, CLASSES, settings, {"built": len(rows), "skipped": {}})


def _in_batches(
    pool: ProcessPoolExecutor, make: Callable[[int], Any], numbers: list[int]
) -> Iterator[Any]:
    """In order, without all of them being made before the first is written."""
    for start in range(0, len(numbers), 256):
        yield from pool.map(make, numbers[start : start + 256], chunksize=8)


_generators: dict[tuple[Any, ...], Generator] = {}


def _make(
    data: Path, fold: int | None, split: str, size: int, seed: int, number: int
) -> tuple[int, Landscape]:
    """One landscape and the block of its place; a process reads the points once."""
    key = (data, fold, split, size, seed)
    if key not in _generators:
        seen = real.split_points(real.load_points(data / "points"), fold)[split]
        archive = data / "archive"
        clips = load_textures(archive) if archive.is_dir() else []
        own = seed * len(SPLITS) + SPLITS.index(split)
        _generators[key] = Generator(seen, clips, size=size, seed=own)
    generator = _generators[key]
    made = generator.landscape(number)
    return int(generator.source.points.block[made.anchor]), made


def _sample(split: str, number: int, *, block: int = 0, size: int = 2) -> Sample:
    return Sample(
        name=f"{split}-{number:05d}",
        annotator="own",
        source=f"block-{block:04d}",
        files=(),
        grid=_grid_of(block, number, size),
    )


def _grid_of(block: int, number: int, size: int) -> GeoBox:
    """A spot of its own in a block."""
    row, col = divmod(block, round(360 / real.BLOCK_DEGREES))
    lat, lon = (row + 0.5) * real.BLOCK_DEGREES - 90, (col + 0.5) * real.BLOCK_DEGREES - 180
    epsg = (32600 if lat >= 0 else 32700) + int((lon + 180) // 6) + 1
    east, north = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
    down, along = divmod(number, LANDSCAPES_PER_ROW)
    left = round(east / 20) * 20 + (along - LANDSCAPES_PER_ROW // 2) * size * 10
    top = round(north / 20) * 20 - down * size * 10
    return GeoBox((size, size), Affine(10, 0, left, 0, -10, top), f"EPSG:{epsg}")


def _image(made: Landscape) -> Image:
    months = made.season.months
    day = date(2021, months[len(months) // 2] + 1, 15)  # WorldCover's year
    return Image(made.s2, made.s1, day, ("points",), ("points",), (day.isoformat(),), None)


def _with_split(row: Chip, split: str) -> Chip:
    return placed(row, row.source, split)
