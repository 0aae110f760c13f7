"""Write wild landscapes as a dataset for ``lulcmap train``."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import date
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from affine import Affine
from odc.geo.geobox import GeoBox

from lulcmap.dataset import Chip, Image, Label, Sample, dataset_writer, label_sets
from lulcmap.legend import CLASSES
from recipes.real_land.scenes import load_textures
from recipes.real_land.wild.land import SETS
from recipes.real_land.wild.make import KINDS, WildLandscape, make_landscape
from recipes.real_land.wild.materials import Materials, load_materials

DAY = date(2021, 7, 1)
"""Day given to landscapes, which have none."""

PER_ROW = 64
"""Landscapes per row of the grid on which they are laid out."""


def build_wild(
    data: Path,
    out: Path,
    *,
    counts: Mapping[str, int],
    size: int = 256,
    seed: int = 0,
    workers: int = 1,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> None:
    """Build a dataset of wild landscapes of the points that train, or resume one.

    Args:
        data: folder with ``points`` and, for the texture of fields, ``archive``.
        out: folder of the dataset.
        counts: number of landscapes of each kind of ``KINDS``.
        size: side of a landscape, pixels.
        seed: seed of all random draws.
        workers: number of processes that make landscapes.
        progress: called with the number of finished landscapes and the total.

    """
    settings = {"landscapes": "wild, of real samples", "counts": dict(counts)}
    settings |= {"size": size, "seed": seed}
    digest = json.dumps(settings, sort_keys=True)
    wanted = [(kind, number) for kind in KINDS for number in range(counts.get(kind, 0))]
    rows: list[Chip] = []
    context = get_context("spawn")  # new processes read OMP_NUM_THREADS as set now
    with (
        dataset_writer(out, CLASSES, settings, sets=label_sets(SETS)) as writer,
        ProcessPoolExecutor(workers, mp_context=context) as pool,
    ):
        missing = []
        for place, (kind, number) in enumerate(wanted):
            row = writer.finished_chip(_sample(kind, number, place, size), digest)
            if row is None:
                missing.append((place, kind, number))
            else:
                rows.append(_with_place(row))
        for start in range(0, len(missing), 256):  # in batches: not all are in memory at once
            batch = missing[start : start + 256]
            make = partial(_make, data, size, seed)
            tasks = [(kind, number) for _, kind, number in batch]
            for (place, kind, number), made in zip(
                batch, pool.map(make, tasks, chunksize=8), strict=True
            ):
                sample = _sample(kind, number, place, size)
                row = writer.write_chip(sample, digest, Label(made.label), _image(made))
                rows.append(_with_place(row))
                progress(len(rows), len(wanted))
        writer.finish(rows, {"built": len(rows), "skipped": {}})


_read: dict[Path, tuple[Materials, list[Any]]] = {}


def _make(data: Path, size: int, seed: int, task: tuple[str, int]) -> WildLandscape:
    """Make one landscape; each process reads the points once."""
    if data not in _read:
        archive = data / "archive"
        clips = load_textures(archive) if archive.is_dir() else []
        _read[data] = (load_materials(data / "points", held_out=False), clips)
    materials, clips = _read[data]
    return make_landscape(*task, materials, clips, size=size, seed=seed)


def _sample(kind: str, number: int, place: int, size: int) -> Sample:
    """A landscape's sample, on a free spot of a zone of its own."""
    down, along = divmod(place, PER_ROW)
    corner = Affine(10, 0, 200_000 + along * size * 10, 0, -10, 9_000_000 - down * size * 10)
    grid = GeoBox((size, size), corner, "EPSG:32631")
    return Sample(name=f"{kind}-{number:05d}", annotator="own", source=kind, files=(), grid=grid)


def _image(made: WildLandscape) -> Image:
    return Image(made.s2, made.s1, DAY, ("points",), ("points",), (DAY.isoformat(),), None)


def _with_place(row: Chip) -> Chip:
    return replace(row, place=row.chip, split="train")
