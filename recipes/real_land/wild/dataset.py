"""Write wild landscapes as a dataset for ``lulcmap train``."""

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from affine import Affine
from odc.geo.geobox import GeoBox

from lulcmap.dataset import label_sets, write_chips
from lulcmap.legend import CLASSES
from recipes.real_land.textures import training_textures
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
        data: folder with ``points`` and, for the texture of fields, ``scenes``.
        out: folder of the dataset.
        counts: number of landscapes of each kind of ``KINDS``.
        size: side of a landscape, pixels.
        seed: seed of all random draws.
        workers: number of processes that make landscapes.
        progress: called with the number of finished landscapes and the total.

    """
    settings: dict[str, Any] = {"landscapes": "wild, of real samples", "counts": dict(counts)}
    settings |= {"size": size, "seed": seed}
    wanted = [(kind, number) for kind in KINDS for number in range(counts.get(kind, 0))]
    context = get_context("spawn")  # new processes read OMP_NUM_THREADS as set now
    with (
        write_chips(out, CLASSES, settings=settings, sets=label_sets(SETS)) as chips,
        ProcessPoolExecutor(workers, mp_context=context) as pool,
    ):
        missing = [(spot, task) for spot, task in enumerate(wanted) if not chips.keep(_name(task))]
        for start in range(0, len(missing), 256):  # in batches: not all are in memory at once
            batch = missing[start : start + 256]
            make = partial(_make, data, size, seed)
            tasks = [task for _, task in batch]
            landscapes = pool.map(make, tasks, chunksize=8)
            for (spot, task), made in zip(batch, landscapes, strict=True):
                chips.add(
                    _name(task),
                    s2=made.s2,
                    s1=made.s1,
                    label=made.label,
                    day=DAY,
                    grid=_grid_of(spot, size),
                    source=task[0],
                )
                progress(len(chips), len(wanted))


def _name(task: tuple[str, int]) -> str:
    kind, number = task
    return f"{kind}-{number:05d}"


_read: dict[Path, tuple[Materials, list[Any]]] = {}


def _make(data: Path, size: int, seed: int, task: tuple[str, int]) -> WildLandscape:
    """Make one landscape; each process reads the points once."""
    if data not in _read:
        materials = load_materials(data / "points", held_out=False)
        _read[data] = (materials, training_textures(data))
    materials, clips = _read[data]
    return make_landscape(*task, materials, clips, size=size, seed=seed)


def _grid_of(spot: int, size: int) -> GeoBox:
    """A free spot for a landscape."""
    down, along = divmod(spot, PER_ROW)
    corner = Affine(10, 0, 200_000 + along * size * 10, 0, -10, 9_000_000 - down * size * 10)
    return GeoBox((size, size), corner, "EPSG:32631")
