"""A land-cover map as a careful script makes it with odc-stac, bottleneck and ONNX Runtime.

It knows nothing of lulcmap: it reads a job (JSON) and an ONNX file, and follows the same rules, so
that the maps can be compared pixel by pixel. What is fast in Python is used: bands of 20 m are read
as they are and doubled by numpy (a warp takes three times as long), dates that no pixel picks are
not read, the picked ones are gathered before the median (of five samples, not of twelve), two bands
are in work at once, ONNX Runtime's threads do not spin, and GDAL's own driver writes the COG.

    python odc_stac_map.py JOB.json OUT.tif [--block 0] [--threads N] [--readers 4]
        [--coarse double]

``--block 0`` makes the map of one piece, as such scripts do; a number of pixels makes it block by
block, which bounds memory and reads the margins of blocks again.
"""

import argparse
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bottleneck
import numpy as np
import odc.stac
import onnxruntime
import pystac
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy.ndimage import maximum_filter

FINE = ("B02", "B03", "B04", "B08")
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12")
MASKED, GROWN = (0, 1, 3, 8, 9, 10), (3, 8, 9, 10)
"""Codes of the scene classification that are not clear, and those of them that are grown."""

NONE = 255
"""No date, and no class."""

NO_POWER = -32768
"""No backscatter."""

STRIP = 64
"""Rows of pixels that are decided at once, so that their logits stay in the cache."""


@dataclass
class Job:
    """What to map, and how."""

    items: dict[str, list[pystac.Item]]
    """Items of ``s2``, of ``s1`` and of ``s1_others``, by time."""

    ranked: list[int]
    """Items of Sentinel-2, the best first."""

    offsets: list[int]
    """DN to subtract from each item of Sentinel-2."""

    epsg: int
    box: tuple[int, int, int, int]
    """First row, first column, rows, columns; pixels of 10 m from the zone's origin."""

    min_clear: int
    max_scenes: int
    dilation: int
    readers: int
    threads: int
    coarse: str

    @classmethod
    def read(cls, path: Path, **options: Any) -> "Job":
        """Read a job from its file."""
        job = json.loads(path.read_text())
        items = {
            name: [pystac.Item.from_dict(item) for item in job.pop(name)]
            for name in ("s2", "s1", "s1_others")
        }
        by_rank = [item.id for item in items["s2"]]
        for some in items.values():
            some.sort(key=lambda item: str(item.datetime))
        ranked = sorted(range(len(by_rank)), key=lambda i: by_rank.index(items["s2"][i].id))
        offsets = [
            1000 if item.properties["s2:processing_baseline"] >= "04.00" else 0
            for item in items["s2"]
        ]
        job["box"] = tuple(job["box"])
        del job["model"]
        return cls(items=items, ranked=ranked, offsets=offsets, **job, **options)

    def geobox(self, box: tuple[int, int, int, int]) -> GeoBox:
        """The grid of some pixels."""
        row, col, height, width = box
        affine = Affine(10, 0, col * 10, 0, -10, -row * 10)
        return GeoBox((height, width), affine, f"EPSG:{self.epsg}")


def load(
    job: Job, items: list[pystac.Item], band: str, geobox: GeoBox, dtype: str, resampling: str
) -> np.ndarray:
    """(T, H, W) of a band, in the order of the items' times, as odc-stac has them."""
    return odc.stac.load(
        items,
        bands=[band],
        geobox=geobox,
        groupby="id",
        dtype=dtype,
        nodata=0,
        resampling=resampling,
        pool=job.readers,
    )[band].values


def pick_dates(job: Job, geobox: GeoBox) -> np.ndarray:
    """(min_clear, H/2, W/2) the dates whose observations count in each pixel of 20 m, or NONE."""
    grow = job.dilation
    codes = load(job, job.items["s2"], "SCL", geobox.zoom_out(2).pad(grow), "uint8", "nearest")
    core = np.s_[grow:-grow, grow:-grow] if grow else np.s_[:, :]
    is_masked, grows = np.zeros(256, bool), np.zeros(256, bool)
    is_masked[list(MASKED)], grows[list(GROWN)] = True, True
    shape = codes[0][core].shape
    picks = np.full((job.min_clear, *shape), NONE, np.uint8)
    tries, clear = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for date in job.ranked:
        plane = codes[date]
        cloud = maximum_filter(grows[plane].view(np.uint8), 2 * grow + 1, mode="constant")
        has_data = plane[core] != 0
        counts = has_data & (tries < job.max_scenes) & (clear < job.min_clear)
        tries += counts
        counts &= ~(is_masked[plane[core]] | (cloud[core] > 0))
        for slot in range(job.min_clear):
            picks[slot][counts & (clear == slot)] = date
        clear += counts
    return picks


def doubled(coarse: np.ndarray) -> np.ndarray:
    """(T, 2h-4, 2w-4) of (T, h, w) samples of 20 m: bilinear, as GDAL has it, gaps left out."""
    out = np.empty((len(coarse), *(2 * side - 4 for side in coarse.shape[1:])), np.uint16)
    for plane, fine in zip(coarse, out, strict=True):
        total = _tent(plane.astype(np.uint32))
        if plane.all():
            fine[:] = (total + 8) >> 4
            continue
        weight = _tent((plane > 0).astype(np.uint32))
        own = plane[1:-1, 1:-1].repeat(2, 0).repeat(2, 1) > 0
        weight[~own] = 1
        fine[:] = np.where(own, (2 * total + weight) // (2 * weight), 0)
    return out


def _tent(values: np.ndarray) -> np.ndarray:
    """Sums with weights of 9, 3, 3 and 1 of the samples around each half sample."""
    own = 3 * values[1:-1]
    tall = np.empty((2 * len(own), values.shape[1]), values.dtype)
    tall[0::2], tall[1::2] = own + values[:-2], own + values[2:]
    own = 3 * tall[:, 1:-1]
    wide = np.empty((len(tall), 2 * own.shape[1]), values.dtype)
    wide[:, 0::2], wide[:, 1::2] = own + tall[:, :-2], own + tall[:, 2:]
    return wide


def median_of(
    job: Job, band: str, geobox: GeoBox, picks: np.ndarray, used: list[int]
) -> np.ndarray:
    """(H, W) median of the picked observations of a band, 0 where there are none."""
    items = [job.items["s2"][date] for date in used]
    if band in FINE or job.coarse == "warp":
        stack = load(job, items, band, geobox, "uint16", "bilinear")
    else:
        stack = doubled(load(job, items, band, geobox.zoom_out(2).pad(1), "uint16", "nearest"))
    for plane, date in zip(stack, used, strict=True):
        if offset := job.offsets[date]:
            np.maximum(plane, offset + 1, out=plane, where=plane > 0)
            np.subtract(plane, offset, out=plane, where=plane > 0)
    out = np.zeros(geobox.shape, np.uint16)
    place = np.full(256, 0, np.intp)
    place[used] = np.arange(len(used))
    for start in range(0, len(out), 2 * STRIP):
        rows = slice(start, start + 2 * STRIP)
        chosen = picks[:, start // 2 : start // 2 + STRIP].repeat(2, 1).repeat(2, 2)
        samples = np.take_along_axis(stack[:, rows], place[chosen], axis=0).astype(np.float32)
        samples[(samples == 0) | (chosen == NONE)] = np.nan
        out[rows] = np.nan_to_num(np.floor(bottleneck.nanmedian(samples, axis=0) + 0.5))
    return out


def composite(job: Job, box: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(9, H, W) DN of Sentinel-2, and (2, H, W) hundredths of a decibel of Sentinel-1."""
    geobox = job.geobox(box)
    picks = pick_dates(job, geobox)
    used = [int(date) for date in np.unique(picks) if date != NONE]
    s2 = np.zeros((len(BANDS), *geobox.shape), np.uint16)
    if used:
        with ThreadPoolExecutor(job.threads) as pool:
            run = pool.map(lambda band: median_of(job, band, geobox, picks, used), BANDS)
            for plane, median in zip(s2, run, strict=True):
                plane[:] = median
    s2[:, (s2 == 0).any(0)] = 0
    return s2, backscatter(job, geobox)


def backscatter(job: Job, geobox: GeoBox) -> np.ndarray:
    """(2, H, W) mean linear power in hundredths of a decibel, of the other orbit where it lacks."""
    s1 = mean_power(job, job.items["s1"], geobox)
    lacking = s1[0] == NO_POWER
    if job.items["s1_others"] and lacking.any():
        s1[:, lacking] = mean_power(job, job.items["s1_others"], geobox)[:, lacking]
    return s1


def mean_power(job: Job, items: list[pystac.Item], geobox: GeoBox) -> np.ndarray:
    """(2, H, W) mean linear power of all dates, in hundredths of a decibel."""
    vv, vh = (load(job, items, band, geobox, "float32", "nearest") for band in ("vv", "vh"))
    valid = (vv > 0) & (vh > 0)
    count = valid.sum(0, dtype=np.uint16)
    seen = count > 0
    s1 = np.full((2, *geobox.shape), NO_POWER, np.int16)
    for out, power in zip(s1, (vv, vh), strict=True):
        power[~valid] = 0
        mean = power.sum(0)[seen].astype(np.float64) / count[seen]
        out[seen] = np.clip(np.floor(1000 * np.log10(mean) + 0.5), -5000, 32767)
    return s1


class Network:
    """The ONNX file, with what its contract says."""

    def __init__(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        contract = json.loads(self.session.get_modelmeta().custom_metadata_map["lulcmap"])
        self.size, self.step, self.stride = (
            int(contract[name]) for name in ("window", "step", "stride")
        )
        self.classes = len(contract["classes"])

    def starts(self, start: int, stop: int) -> range:
        """First pixels of the windows that some pixels, and their neighbours, lie in."""
        start, stop = start - 2 * self.stride, stop + 2 * self.stride
        first = -(-(start - self.size + 1) // self.step)
        return range(first * self.step, (stop - 1) // self.step * self.step + 1, self.step)

    def over(self, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """The box around the windows of a box of pixels."""
        rows, cols = (self.starts(box[i], box[i] + box[i + 2]) for i in (0, 1))
        return (
            rows[0],
            cols[0],
            rows[-1] + self.size - rows[0],
            cols[-1] + self.size - cols[0],
        )

    def weights(self) -> np.ndarray:
        """(cells, cells) weight of a window's cells: a raised cosine over the overlap."""
        ramp = (self.size - self.step) // self.stride
        rise = np.sin(np.pi / 2 * (np.arange(ramp) + 0.5) / ramp) ** 2
        along = np.ones(self.size // self.stride, np.float32)
        along[:ramp], along[-ramp:] = rise, np.float32(1) - rise.astype(np.float32)
        return along[:, None] * along

    def logits(self, s2: np.ndarray, s1: np.ndarray) -> np.ndarray:
        """(K, H/stride, W/stride) blended logits of the windows of a composite."""
        total = np.zeros(
            (self.classes, *(side // self.stride for side in s2.shape[1:])), np.float32
        )
        weights, cells = self.weights(), self.size // self.stride
        for row in range(0, s2.shape[1] - self.size + 1, self.step):
            for col in range(0, s2.shape[2] - self.size + 1, self.step):
                part = np.s_[None, :, row : row + self.size, col : col + self.size]
                (out,) = self.session.run(
                    ["logits"],
                    {"s2": np.ascontiguousarray(s2[part]), "s1": np.ascontiguousarray(s1[part])},
                )
                y, x = row // self.stride, col // self.stride
                total[:, y : y + cells, x : x + cells] += out[0] * weights
        return total


def between(start: int, n: int, first: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells before the centres of pixels, and the centres' distance from them in cells."""
    before, rest = np.divmod(2 * (start + np.arange(n)) + 1 - stride, 2 * stride)
    return before - first, (rest / (2 * stride)).astype(np.float32)


def decide(logits: np.ndarray, usable: np.ndarray, box: Any, over: Any, stride: int) -> np.ndarray:
    """(H, W) class of each pixel of a box, NONE where there is no data."""
    above, down = between(box[0], box[2], over[0] // stride, stride)
    left, right = between(box[1], box[3], over[1] // stride, stride)
    out = np.empty(box[2:], np.uint8)
    for start in range(0, box[2], STRIP):
        rows = slice(start, start + STRIP)
        upper = logits[:, above[rows]]
        line = upper + down[rows, None] * (logits[:, above[rows] + 1] - upper)
        before = line[:, :, left]
        out[rows] = (before + right * (line[:, :, left + 1] - before)).argmax(0)
    row, col = box[0] - over[0], box[1] - over[1]
    out[~usable[row : row + box[2], col : col + box[3]]] = NONE
    return out


def map_box(job: Job, network: Network, box: tuple[int, int, int, int]) -> np.ndarray:
    """(H, W) classes of a box of pixels."""
    over = network.over(box)
    s2, s1 = composite(job, over)
    usable = (s2[0] > 0) | (s1[0] != NO_POWER)
    return decide(network.logits(s2, s1), usable, box, over, network.stride)


def cuts(start: int, stop: int, block: int, first: int) -> list[tuple[int, int]]:
    """Where some pixels are cut into blocks: in the middle of windows, so that few run twice."""
    if not block:
        return [(start, stop)]
    after = start + (first - start - 1) % block + 1
    edges = range(after, stop, block)
    return list(zip([start, *edges], [*edges, stop], strict=True))


def write(job: Job, classes: np.ndarray, path: Path) -> None:
    """Write the map as a COG."""
    with rasterio.open(
        path,
        "w",
        driver="COG",
        height=classes.shape[0],
        width=classes.shape[1],
        count=1,
        dtype="uint8",
        nodata=NONE,
        crs=f"EPSG:{job.epsg}",
        transform=job.geobox(job.box).affine,
        compress="deflate",
        blocksize=512,
        overview_resampling="mode",
        num_threads=job.threads,
    ) as file:
        file.write(classes, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--block", type=int, default=0, help="pixels a side; 0 is all at once")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--coarse", choices=["double", "warp"], default="double")
    options = parser.parse_args()
    odc.stac.configure_rio(cloud_defaults=True)
    given = {name: getattr(options, name) for name in ("threads", "readers", "coarse")}
    job = Job.read(options.job, **given)
    network = Network(Path(json.loads(options.job.read_text())["model"]), options.threads)
    row, col, height, width = job.box
    classes = np.empty((height, width), np.uint8)
    for top, bottom in cuts(row, row + height, options.block, network.size // 2):
        for left, right in cuts(col, col + width, options.block, network.size // 2):
            part = map_box(job, network, (top, left, bottom - top, right - left))
            classes[top - row : bottom - row, left - col : right - col] = part
    write(job, classes, options.out)


if __name__ == "__main__":
    main()
