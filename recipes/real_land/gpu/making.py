"""Made-up landscapes on the GPU machine: all its cores make them while the GPU is started."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from recipes.real_land.generator import Generator
from recipes.real_land.gpu.pack import Tiles
from recipes.real_land.mix_amounts import WILD_SHARES
from recipes.real_land.points import held_out_points, load_points
from recipes.real_land.wild.make import make_landscape
from recipes.real_land.wild.materials import Materials, load_materials

SEED = 7
"""Seed of the landscapes."""


def make_tiles(points: Path, *, fields: int, wild: int, size: int, workers: int) -> list[Tiles]:
    """Make landscapes of fields and wild ones, each as tiles.

    Args:
        points: folder of the points.
        fields: number of landscapes of fields, towns and quilts.
        wild: number of wild landscapes.
        size: side of a landscape, pixels.
        workers: number of processes.

    """
    kinds = list(WILD_SHARES)
    order = np.random.default_rng(SEED).choice(len(kinds), wild, p=list(WILD_SHARES.values()))
    tasks: list[tuple[str, int]] = [("fields", number) for number in range(fields)]
    tasks += [(kinds[kind], number) for number, kind in enumerate(order)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        made = [*pool.map(partial(_make, points, size), tasks, chunksize=8)]
    parts = (made[:fields], made[fields:])
    return [
        {
            name: np.stack([landscape[place] for landscape in part])
            for place, name in enumerate(("s2", "s1", "label"))
        }
        for part in parts
    ]


_read: dict[Path, tuple[Generator, Materials]] = {}


def _make(
    points: Path, size: int, task: tuple[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make one landscape; each process reads the points once."""
    if points not in _read:
        training, _ = held_out_points(load_points(points))
        generator = Generator(training, size=size, seed=SEED)
        _read[points] = (generator, load_materials(points, held_out=False))
    generator, materials = _read[points]
    kind, number = task
    if kind == "fields":
        landscape = generator.landscape(number)
        return landscape.s2, landscape.s1, landscape.label
    wild = make_landscape(kind, number, materials, size=size, seed=SEED)
    return wild.s2, wild.s1, wild.label
