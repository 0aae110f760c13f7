"""What making a map will take, before any pixel is read: scenes, gaps, bytes, time, memory, disk.

Counts of blocks, windows, scenes and pixels are exact or nearly so. What is read is gone through
block by block, in a large area for some of the blocks. Bytes, time, memory and disk
are estimates from measured figures, which stand beside their names here and in ``assumed``.
"""

import math
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lulcmap.catalog import SearchResult, first_hrefs, signer
from lulcmap.errors import LulcmapError, OutputError, ProviderError, UsageError
from lulcmap.geo import MapGrid
from lulcmap.model import Session
from lulcmap.output import JOINED, check_writable, cog_bytes, made_before
from lulcmap.planning.budget import memory_budget
from lulcmap.planning.estimate.footprints import Footprints
from lulcmap.planning.estimate.reads import BYTES_A_PIXEL, Reading, needed
from lulcmap.planning.estimate.scenes import gaps, s1_orbits, s2_months, skipped
from lulcmap.planning.estimate.values import (
    Credential,
    Disk,
    Estimate,
    MapEstimate,
    Obstacle,
    Reads,
    Seconds,
    ZoneEstimate,
)
from lulcmap.planning.planner import PlannedMap
from lulcmap.run import BLOCK_BYTES_PER_PIXEL as BYTES_A_FILE_PIXEL
from lulcmap.run import RunFolder

LOOKED_AT = 400
"""Blocks that are gone through for what they read, others read as much a window; for all 10,133 of
Russia it would take a minute."""

NETWORK = 25e6
"""Bytes a second from a provider: a good line, and what one machine in another data centre gets."""

READ, WARP = 60e6, 20e6
"""Samples a CPU-second to decode and composite (``benchmarks/README.md``, Compositing), and of a
scene on another grid."""

WRITE = 3e6
"""Filled pixels a second to join the blocks, write the COG with its overviews, and check it: two
cores, a map of 67 Mpx with many small patches."""


def estimate_run(
    planned: PlannedMap,
    *,
    out: Path,
    folder: Path,
    clock: Callable[[], float] = time.perf_counter,
) -> Estimate:
    """What making a map will take. Nothing is written, and no pixel is read.

    One window is run through the model, and where assets lie with a provider one URL of each
    sensor is signed.

    Args:
        planned: the map.
        out: path of the map.
        folder: path of the run folder.
        clock: gives seconds.

    """
    job, scenes, settings = planned.job, planned.scenes, planned.settings
    contract = planned.session.contract
    footprints = Footprints(scenes)
    run = RunFolder(folder)
    zones, reads = [], Reads(0, 0.0, 0.0, 0.0)
    share = min(LOOKED_AT / max(len(job.blocks), 1), 1.0)
    for zone in job.zones:
        todo = [block.box for block in zone.blocks if not run.block_path(block.id).is_file()]
        windows = needed(zone, contract, todo)
        n_windows = sum(map(len, windows))
        done = len(zone.blocks) - len(todo)
        zones.append(ZoneEstimate(zone.epsg, len(zone.blocks), done, n_windows))
        reads += Reading(job, zone, scenes, footprints, contract).total(windows, share=share)
    n_windows = sum(zone.windows for zone in zones)
    maps = tuple(_map_estimate(map_grid) for map_grid in planned.grids)
    filled = sum(one.pixels * one.filled for one in maps)
    disk = _disk(filled, planned, out, folder)
    credentials, missing = _credentials(scenes)
    refusals, is_made = _refusals(planned, out, run)
    obstacles = [*refusals, *missing]
    memory = 0.0
    try:
        largest = max((block.box.shape for block in job.blocks), key=math.prod)
        memory = memory_budget(
            largest,
            readers=settings.workers,
            allowed=settings.max_memory,
            logits=contract.bytes_per_pixel,
        ).peak
    except UsageError as error:
        obstacles.append(error)
    return Estimate(
        area=planned.area.name,
        km2=planned.area.km2,
        period=(planned.period.start.isoformat(), planned.period.end.isoformat()),
        model=contract.name,
        classes=tuple(cover.name for cover in contract.legend),
        device=f"{planned.session.device}, {planned.session.runtime}",
        catalogs={sensor: source.name for sensor, source in scenes.sources.items()},
        zones=tuple(zones),
        maps=maps,
        s2=s2_months(job, planned.period),
        s1=s1_orbits(job, scenes),
        platforms=scenes.platforms,
        skipped=skipped(reason for _, reason in planned.skipped),
        gaps=gaps(job, scenes, footprints, planned.period, s1="s1" in scenes.sources),
        reads=reads,
        seconds=_seconds(
            reads,
            planned,
            filled=filled,
            classify=n_windows * (_window(planned.session, clock) if n_windows else 0),
            n_blocks=sum(zone.blocks - zone.done for zone in zones),
        ),
        memory=memory,
        disk=disk,
        credentials=credentials,
        obstacles=tuple(Obstacle(str(error), error.exit_code) for error in obstacles),
        notes=(
            *planned.notes,
            *planned.session.notes,
            *_remarks(planned, out, folder, disk, is_made=is_made),
        ),
        assumed={
            "network_bytes_per_second": NETWORK,
            "samples_read_per_cpu_second": READ,
            "samples_resampled_per_cpu_second": WARP,
            "map_pixels_written_per_second": WRITE,
            **{f"bytes_per_pixel_{kind.lower()}": size for kind, size in BYTES_A_PIXEL.items()},
        },
    )


def _map_estimate(map_grid: MapGrid) -> MapEstimate:
    height, width = map_grid.grid.shape
    return MapEstimate(map_grid.crs, height, width, map_grid.filled)


def _window(session: Session, clock: Callable[[], float]) -> float:
    """Seconds the model takes for one window, random values in it."""
    size, n = session.contract.window, session.batch_size
    rng = np.random.default_rng(0)
    s2 = rng.integers(1, 6000, (n, 9, size, size), dtype=np.uint16)
    s1 = rng.integers(-3000, 200, (n, 2, size, size), dtype=np.int16)
    session.run(s2, s1)  # the first one makes itself ready
    start = clock()
    session.run(s2, s1)
    return (clock() - start) / n


def _seconds(
    reads: Reads,
    planned: PlannedMap,
    *,
    filled: float,
    classify: float,
    n_blocks: int,
) -> Seconds:
    """How long it takes, the network and the processor each shared as they are."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    remote = any("://" in href for href in first_hrefs(planned.scenes).values())
    network = reads.bytes / NETWORK if remote else 0.0
    processor = (reads.samples - reads.warped) / READ + reads.warped / WARP
    read = max(network, processor / min(cores or 1, planned.settings.workers))
    write = filled / WRITE
    # The first block is only read and the last only classified; between, the two go on together.
    together = max(read, classify) + min(read, classify) / max(n_blocks, 1)
    if planned.session.device == "cpu":
        together = max(together, processor / (cores or 1) + classify)
    return Seconds(read, classify, write, together + write)


def _disk(filled: float, planned: PlannedMap, out: Path, folder: Path) -> Disk:
    """What is needed at most; ``filled`` pixels are mapped, and with zones written twice."""
    return Disk(
        run=filled * (BYTES_A_FILE_PIXEL + JOINED),
        map=cog_bytes(round(filled * JOINED)) * (2 if planned.settings.zones else 1),
        free_for_run=_free(folder.parent),
        free_for_map=_free(out.parent),
    )


def _free(folder: Path) -> float:
    """Bytes; none where there is no such folder."""
    return float(shutil.disk_usage(folder).free) if folder.is_dir() else 0.0


def _credentials(scenes: SearchResult) -> tuple[tuple[Credential, ...], list[ProviderError]]:
    """Whether each sensor's assets can be opened, and why not; no URL leaves here."""
    sign = signer(*scenes.profiles)
    states, errors = [], []
    for sensor, href in first_hrefs(scenes).items():
        if "://" not in href:
            states.append(Credential(sensor, "not needed"))
            continue
        try:
            url = sign(href)
        except ProviderError as error:
            states.append(Credential(sensor, "missing"))
            errors.append(error)
        else:
            plain = "?" not in url.removeprefix(href)
            states.append(Credential(sensor, "not needed" if plain else "present"))
    return tuple(states), errors


def _refusals(planned: PlannedMap, out: Path, run: RunFolder) -> tuple[list[LulcmapError], bool]:
    """What ``predict`` would refuse to do here, and whether the map exists."""
    errors: list[LulcmapError] = []
    settings, is_made = planned.settings, False
    try:
        check_writable(out)
        report = made_before(
            out,
            planned.plan,
            remote=planned.remote,
            zones=settings.zones,
            overwrite=settings.overwrite,
            min_coverage=settings.min_coverage,
        )
        is_made = report is not None
    except OutputError as error:
        errors.append(error)
    begun = run.plan()
    if not is_made and begun not in (None, planned.plan):
        errors.append(
            UsageError(
                f"The run folder {run.path} was begun under another plan. Give the old options to "
                "resume it, choose another folder with --workdir, or delete it."
            )
        )
    return errors, is_made


def _remarks(
    planned: PlannedMap, out: Path, folder: Path, disk: Disk, *, is_made: bool
) -> list[str]:
    remarks = []
    if len(planned.job.blocks) > LOOKED_AT:
        remarks.append(
            f"What is read was counted for {LOOKED_AT} of {len(planned.job.blocks):,} blocks, and "
            "scaled up."
        )
    if is_made:
        remarks.append(f"{out} is already made; predict has nothing to do.")
    places: dict[int, tuple[float, float, Path]] = {}
    for place, size, free in (
        (folder.parent, disk.run, disk.free_for_run),
        (out.parent, disk.map, disk.free_for_map),
    ):
        if place.is_dir():
            device = place.stat().st_dev
            size += places[device][0] if device in places else 0
            places[device] = (size, free, place)
    for size, free, place in places.values():
        if size > free:
            remarks.append(
                f"The disk of {place} has {free / 1e9:.1f} GB free, and {size / 1e9:.1f} GB are "
                "needed."
            )
    return remarks
