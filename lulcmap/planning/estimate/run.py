"""What making a map will take, before any pixel is read: scenes, gaps, bytes, time, memory, disk.

Counts of blocks, windows, scenes and pixels are exact or nearly so. Reads are counted block by
block; in a large area, for some of the blocks. Bytes, time, memory and disk are estimates from
measured figures, which are documented below and repeated in ``assumed``.
"""

import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from lulcmap.catalog import SearchResult, count_reasons, first_hrefs, signer
from lulcmap.errors import LulcmapError, OutputError, ProviderError, UsageError
from lulcmap.geo import MapGrid
from lulcmap.output import (
    JOINED_BYTES_PER_PIXEL,
    check_writable,
    cog_bytes,
    layer_bytes,
    made_before,
)
from lulcmap.planning.budget import MemoryBudget
from lulcmap.planning.estimate.costs import (
    RATES,
    WindowTime,
    cpu_seconds,
    inflate_seconds,
    window_time,
    work_of,
)
from lulcmap.planning.estimate.egress import egress_of
from lulcmap.planning.estimate.footprints import Footprints
from lulcmap.planning.estimate.reads import (
    ASSET_BYTES_PER_PIXEL,
    ReadCounter,
    block_windows,
)
from lulcmap.planning.estimate.scenes import find_gaps, s1_orbits, s2_months
from lulcmap.planning.estimate.values import (
    Costs,
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
from lulcmap.planning.sharing import blocks_budget, in_order, windows_run
from lulcmap.run import BLOCK_BYTES_PER_PIXEL, RunFolder
from lulcmap.system import available_cores

MAX_COUNTED_BLOCKS = 400
"""Most blocks whose reads are counted; the others are taken to read as much per window. Counting
all 10,133 of Russia would take a minute."""

NETWORK_BYTES_PER_S = 25e6
"""Bytes per second from a provider: a good line, or one machine in another data centre."""


def estimate_run(
    planned: PlannedMap,
    *,
    out: Path,
    folder: Path,
    clock: Callable[[], float] = time.perf_counter,
    cpu_clock: Callable[[], float] = time.process_time,
) -> Estimate:
    """Estimate what making a map will take. Nothing is written, and no pixel is read.

    As many windows are run through the model as a run has at once; if a provider holds the assets,
    one URL of each sensor is signed.

    Args:
        planned: planned map.
        out: path of the map.
        folder: path of the run folder.
        clock: clock that returns seconds.
        cpu_clock: clock that returns CPU-seconds of this process.

    """
    job, scenes, contract = planned.job, planned.scenes, planned.session.contract
    footprints, run = Footprints(scenes), RunFolder(folder)
    budget, too_little = _budget(planned, run)
    zones, reads = _zones(planned, run, footprints, budget)
    n_windows = sum(zone.windows for zone in zones)
    maps = tuple(_map_estimate(map_grid) for map_grid in planned.grids)
    filled = sum(each.pixels * each.filled for each in maps)
    disk = _disk(filled, planned, out, folder)
    credentials, missing = _credentials(scenes)
    refusals, is_made = _refusals(planned, out, run)
    obstacles = [*refusals, *missing, *too_little]
    calls = budget.calls if planned.session.device == "cpu" else 1
    window = WindowTime(0, 0)
    if n_windows:
        window = window_time(planned.session, calls=calls, clock=clock, cpu_clock=cpu_clock)
    costs = _costs(planned, run, reads, n_windows=n_windows, window=window, filled=filled)
    return Estimate(
        area=planned.area.name,
        km2=planned.area.km2,
        period=(planned.period.start.isoformat(), planned.period.end.isoformat()),
        model=contract.name,
        classes=tuple(cover.name for cover in contract.legend),
        device=f"{planned.session.device}, {planned.session.runtime}",
        catalogs={sensor: source.name for sensor, source in scenes.sources.items()},
        zones=zones,
        maps=maps,
        s2=s2_months(job, planned.period),
        s1=s1_orbits(job, scenes),
        platforms=scenes.platforms,
        skipped=count_reasons(reason for _, reason in planned.skipped),
        gaps=find_gaps(job, scenes, footprints, planned.period, s1="s1" in scenes.sources),
        reads=reads,
        seconds=_seconds(
            reads,
            planned,
            costs.cpu,
            classify=n_windows * window.wall,
            n_blocks=sum(zone.blocks - zone.done for zone in zones),
        ),
        costs=costs,
        memory=budget.peak,
        disk=disk,
        credentials=credentials,
        obstacles=tuple(Obstacle(str(error), error.exit_code) for error in obstacles),
        notes=(
            *planned.notes,
            *planned.session.notes,
            *_remarks(planned, out, folder, disk, is_made=is_made),
        ),
        assumed=_ASSUMED,
    )


_BLOCK_BYTES = 16_384
"""Most bytes of the files of a block beside their pixels: headers, facts and checksums."""

_ASSUMED = {
    "network_bytes_per_second": NETWORK_BYTES_PER_S,
    **{f"cpu_seconds_{name}": value for name, value in asdict(RATES).items()},
    **{f"bytes_per_pixel_{kind.lower()}": n for kind, n in ASSET_BYTES_PER_PIXEL.items()},
}


def _zones(
    planned: PlannedMap, run: RunFolder, footprints: Footprints, budget: MemoryBudget
) -> tuple[tuple[ZoneEstimate, ...], Reads]:
    """What is done in each UTM zone, and what all of them read."""
    job, scenes, contract = planned.job, planned.scenes, planned.session.contract
    share = min(MAX_COUNTED_BLOCKS / max(len(job.blocks), 1), 1.0)
    zones, reads = [], Reads(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for zone in job.zones:
        todo = in_order([b for b in zone.blocks if not run.block_path(b.id).is_file()])
        boxes = [block.box for block in todo]
        needed = block_windows(zone, contract, boxes)
        fresh = windows_run(planned, todo, needed, budget)
        done = len(zone.blocks) - len(todo)
        zones.append(ZoneEstimate(zone.epsg, len(zone.blocks), done, sum(map(len, fresh))))
        reads += ReadCounter(job, zone, scenes, footprints, contract).total(
            boxes, needed, fresh, share=share
        )
    return tuple(zones), reads


_NOTHING_KEPT = MemoryBudget(
    blocks=1, composites=1, readers=1, calls=1, strips=1, kept=0.0, peak=0.0
)
"""Of a run that does not fit."""


def _budget(planned: PlannedMap, run: RunFolder) -> tuple[MemoryBudget, list[UsageError]]:
    """What the blocks that are left keep in memory; and the error if too little is allowed."""
    blocks = planned.job.blocks
    todo = [block for block in blocks if not run.block_path(block.id).is_file()]
    try:
        return blocks_budget(planned, todo or blocks), []
    except UsageError as error:
        return _NOTHING_KEPT, [error]


def _map_estimate(map_grid: MapGrid) -> MapEstimate:
    height, width = map_grid.grid.shape
    return MapEstimate(map_grid.crs, height, width, map_grid.filled)


def _costs(
    planned: PlannedMap,
    run: RunFolder,
    reads: Reads,
    *,
    n_windows: int,
    window: WindowTime,
    filled: float,
) -> Costs:
    """What the run takes of the machine, and what providers charge."""
    todo = [b for b in planned.job.blocks if not run.block_path(b.id).is_file()]
    times = 2 if planned.settings.zones else 1  # --zones writes another map
    work = work_of(
        reads,
        n_blocks=len(todo),
        block_pixels=sum(math.prod(block.box.shape) for block in todo),
        n_maps=len(planned.grids) * times,
        map_pixels=filled * times,
    )
    rates = RATES.of_this_machine(inflate_seconds())
    cpu = cpu_seconds(rates, work, classifying=n_windows * window.cpu)
    gpu = None if planned.session.device == "cpu" else n_windows * window.wall
    return Costs(cpu, gpu, egress_of(planned.scenes, reads), work)


def _seconds(
    reads: Reads,
    planned: PlannedMap,
    cpu: Mapping[str, float],
    *,
    classify: float,
    n_blocks: int,
) -> Seconds:
    """Time of each step; the wire and the cores are shared by all threads."""
    cores = available_cores()
    remote = any("://" in href for href in first_hrefs(planned.scenes).values())
    wire = reads.bytes / NETWORK_BYTES_PER_S if remote else 0.0
    processor = cpu["reading"] + cpu["compositing"]
    read = max(wire, processor / min(cores, planned.settings.workers or cores))
    # The first block is only read and the last only classified; in between, both run at once.
    together = max(read, classify) + min(read, classify) / max(n_blocks, 1)
    if planned.session.device == "cpu":
        together = max(together, processor / cores + classify)
    write = cpu["writing"] + cpu["joining"]
    return Seconds(read, classify, write, cpu["start"] + together + write)


def _disk(filled: float, planned: PlannedMap, out: Path, folder: Path) -> Disk:
    """Disk space needed at most for ``filled`` pixels; with --zones every file is written twice."""
    n_classes, settings = len(planned.session.contract.legend), planned.settings
    layers = {name: layer_bytes(name, n_classes) for name in settings.extras.layers}
    kept = sum(layers[name] for name in settings.kept_layers)
    files = [JOINED_BYTES_PER_PIXEL, *layers.values()]
    # A file needs as much again while it is written, which is one after the other.
    most = sum(files) * (2 if settings.zones else 1) + max(files)
    return Disk(
        run=filled * (BLOCK_BYTES_PER_PIXEL + kept) + _BLOCK_BYTES * len(planned.job.blocks),
        map=cog_bytes(round(filled * most)) / 2,
        free_for_run=_free_bytes(folder.parent),
        free_for_map=_free_bytes(out.parent),
    )


def _free_bytes(folder: Path) -> float:
    """Free bytes of a folder's disk; 0 if there is no such folder."""
    return float(shutil.disk_usage(folder).free) if folder.is_dir() else 0.0


def _credentials(scenes: SearchResult) -> tuple[tuple[Credential, ...], list[ProviderError]]:
    """Whether each sensor's assets can be opened, and why not. Signed URLs are not returned."""
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
    """Errors that ``predict`` would raise, and whether the map is already made."""
    errors: list[LulcmapError] = []
    settings, is_made = planned.settings, False
    is_compared = bool(planned.plan.items)  # otherwise neither existed before the search
    try:
        check_writable(out)
        if is_compared:
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
    if not is_compared:
        return errors, False
    try:
        is_other = run.plan() not in (None, planned.plan)
    except UsageError as error:
        errors.append(error)
        is_other = False
    if is_other and not is_made:
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
    if len(planned.job.blocks) > MAX_COUNTED_BLOCKS:
        remarks.append(
            f"Reads were counted for {MAX_COUNTED_BLOCKS} of {len(planned.job.blocks):,} blocks"
            " and scaled up."
        )
    if is_made:
        remarks.append(f"{out} is already made; predict has nothing to do.")
    disks: dict[int, tuple[float, float, Path]] = {}  # by device: bytes needed, free; a folder
    for place, size, free in (
        (folder.parent, disk.run, disk.free_for_run),
        (out.parent, disk.map, disk.free_for_map),
    ):
        if place.is_dir():
            device = place.stat().st_dev
            size += disks[device][0] if device in disks else 0
            disks[device] = (size, free, place)
    for size, free, place in disks.values():
        if size > free:
            remarks.append(
                f"The disk of {place} has {free / 1e9:.1f} GB free, and the map needs "
                f"{size / 1e9:.1f} GB."
            )
    return remarks
