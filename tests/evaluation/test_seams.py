"""Seams are found where there are some, and nowhere else."""

import json
import math
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from scipy.ndimage import gaussian_filter, map_coordinates

from lulcmap.cli import main
from lulcmap.evaluation.seams.search import find_seams
from lulcmap.geo import BlockId
from lulcmap.geo.grid import geobox
from lulcmap.geo.tiling import Box
from lulcmap.geo.transform import pixel_zones, zone_pixels
from lulcmap.geo.utm import utm_zone
from lulcmap.model.inference import bounding_box, classify, needed_windows
from lulcmap.model.session import open_session
from lulcmap.run import RunFolder
from tests.support.records import make_plan
from tests.support.stubs import contract, make_model

LATTICE, BLOCK = "LULCMAP_LATTICE", "LULCMAP_BLOCK"


def write(path: Path, classes: np.ndarray, grid: GeoBox, *, bands: int = 1, **tags: str) -> Path:
    layout = {"driver": "GTiff", "dtype": classes.dtype, "nodata": 255, "tiled": True}
    place = {"height": grid.shape[0], "width": grid.shape[1], "crs": grid.crs.to_wkt()}
    with rasterio.open(
        path, "w", count=bands, transform=grid.affine, compress="deflate", **layout, **place
    ) as file:
        file.write(np.stack([classes] * bands))
        file.update_tags(**tags)
    return path


def around(crs: str, lon: float, lat: float, shape: tuple[int, int], pixel: float = 10) -> GeoBox:
    """A grid with a place in its middle, its edges on multiples of the pixel."""
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
    left, top = round(x / pixel) - shape[1] // 2, round(y / pixel) + shape[0] // 2
    right, bottom = left + shape[1], top - shape[0]
    box = (left * pixel, bottom * pixel, right * pixel, top * pixel)
    return GeoBox.from_bbox(box, crs, shape=shape, tight=True)


def landscape(shape: tuple[int, int], seed: int, sigma: float = 4) -> np.ndarray:
    """Smooth random classes 0 to 4; a class changes every 8 pixels or so."""
    height = gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma, mode="wrap")
    return height / height.std()


def classes_of(height: np.ndarray) -> np.ndarray:
    return np.digitize(height, [-1, -0.4, 0.2, 0.8]).astype(np.uint8)


def in_two_zones(grid: GeoBox, lon: float, lat: float, seed: int) -> np.ndarray:
    """A landscape's classes at the centre of the zone's pixel that each pixel is taken from."""
    zones, crs = pixel_zones(grid), str(grid.crs)
    east, north = np.zeros(grid.shape), np.zeros(grid.shape)
    for code in np.unique(zones).tolist():
        mine = zones == code
        row, col = zone_pixels(grid, Transformer.from_crs(crs, code, always_xy=True))
        back = Transformer.from_crs(code, 4326, always_xy=True)
        at = back.transform(10 * col[mine] + 5, -10 * row[mine] - 5)
        east[mine] = (np.asarray(at[0]) - lon) * 11_132 * math.cos(math.radians(lat))
        north[mine] = (lat - np.asarray(at[1])) * 11_132
    east, north = east - east.min() + 2, north - north.min() + 2
    world = landscape((int(north.max()) + 4, int(east.max()) + 4), seed)
    return classes_of(map_coordinates(world, [north, east], order=1))


def by_kind(path: Path):
    return {border.kind: border for border in find_seams(path).borders}


LINES = {"block": (384, {256}), "window": (384, {0, 128}), "overlap": (384, {64})}


def kinds_at(line: int) -> set[str]:
    return {kind for kind, (period, first) in LINES.items() if line % period in first}


@cache
def between(zone: int, other: int) -> Transformer:
    return Transformer.from_crs(zone, other, always_xy=True)


class BruteForce:
    """Counts pairs one by one: what ``find_seams`` says, by another way."""

    def __init__(self, classes: np.ndarray, grid: GeoBox) -> None:
        self.classes, self.affine = classes, grid.affine
        self.to_degrees = Transformer.from_crs(str(grid.crs), 4326, always_xy=True)
        self.from_degrees = Transformer.from_crs(4326, str(grid.crs), always_xy=True)
        row, col = np.indices(grid.shape)
        x, y = self.affine @ (col + 0.5, row + 0.5)
        lon, lat = self.to_degrees.transform(x, y)
        self.zone = np.vectorize(utm_zone)(lon, lat)
        self.source = np.zeros((*grid.shape, 2), int)
        for code in np.unique(self.zone):
            mine = self.zone == code
            to_zone = Transformer.from_crs(str(grid.crs), int(code), always_xy=True)
            easting, northing = to_zone.transform(x[mine], y[mine])
            at = np.floor(-np.asarray(northing) / 10), np.floor(np.asarray(easting) / 10)
            self.source[mine] = np.stack(at, axis=-1)
        self.counts = {kind: np.zeros((2, 3)) for kind in (*LINES, "zone")}
        for one in np.ndindex(*grid.shape):
            for other in ((one[0], one[1] + 1), (one[0] + 1, one[1])):
                if self.good(other):
                    self.count(one, other)

    def good(self, place) -> bool:
        return all(0 <= a < n for a, n in zip(place, self.classes.shape, strict=True))

    def add(self, kind: str, *, away: bool, one, other, length: float) -> None:
        if 255 not in (self.classes[one], self.classes[other]):
            differ = self.classes[one] != self.classes[other]
            self.counts[kind][int(away)] += 1, length, differ

    def count(self, one, other) -> None:
        if self.zone[one] != self.zone[other]:
            if 255 not in (self.classes[one], self.classes[other]):
                self.at_a_zone(one, other)
            return
        step = np.abs(self.source[one] - self.source[other])
        if sorted(step) != [0, 1]:
            return
        axis = int(np.argmax(step))
        line = int(max(self.source[one][axis], self.source[other][axis]))
        for kind in kinds_at(line):
            self.add(kind, away=False, one=one, other=other, length=1)
        if not kinds_at(line):
            for border in (line - 32, line + 32):
                for kind in kinds_at(border):
                    self.add(kind, away=True, one=one, other=other, length=1)

    def at_a_zone(self, one, other) -> None:
        self.add("zone", away=False, one=one, other=other, length=self.apart(one, other))
        x, y = self.affine @ (one[1] + 0.5, one[0] + 0.5)
        lon, lat = self.to_degrees.transform(x, y)
        if self.zone[one] // 100 == self.zone[other] // 100:
            lon += 1e-4
        else:
            lat += 1e-4
        to_x, to_y = self.from_degrees.transform(lon, lat)
        step = np.array([(to_y - y) / self.affine.e, (to_x - x) / self.affine.a])
        move = np.round(32 * step / np.hypot(*step)).astype(int)
        for shift in (move, -move):
            here, there = tuple(one + shift), tuple(other + shift)
            if self.good(here) and self.good(there) and self.zone[here] == self.zone[there]:
                crossed = [
                    kinds_at(line)
                    for axis in (0, 1)
                    for line in range(
                        min(self.source[here][axis], self.source[there][axis]) + 1,
                        max(self.source[here][axis], self.source[there][axis]) + 1,
                    )
                ]
                if not any(crossed):
                    self.add(
                        "zone", away=True, one=here, other=there, length=self.apart(here, there)
                    )

    def apart(self, one, other) -> float:
        to_first = between(int(self.zone[other]), int(self.zone[one]))
        row, col = self.source[other] + 0.5
        x, y = to_first.transform(10 * col, -10 * row)
        begin = self.source[one] + 0.5
        return math.hypot(-y / 10 - begin[0], x / 10 - begin[1])


@pytest.mark.parametrize(
    ("crs", "lon", "lat", "pixel"),
    [
        ("EPSG:32632", 12.0, 47.9, 10),
        ("EPSG:3035", 12.0, 47.9, 10),
        ("EPSG:4326", 12.0, 47.9, 1 / 12000),
        ("EPSG:32636", 34.9, 0.0, 10),
        ("EPSG:3832", 180.0, -17.0, 10),
    ],
)
def test_a_small_map_counts_as_it_does_by_brute_force(tmp_path, monkeypatch, crs, lon, lat, pixel):
    monkeypatch.setattr("lulcmap.evaluation.seams.search._ROWS", 70)  # several pieces
    monkeypatch.setattr("lulcmap.evaluation.seams.search._COLS", 90)
    grid = around(crs, lon, lat, (150, 170), pixel)
    classes = classes_of(landscape(grid.shape, seed=1))
    classes[20:40, 60:130] = 255
    path = write(tmp_path / "map.tif", classes, grid, **{LATTICE: "512/384", BLOCK: "384"})

    borders = by_kind(path)

    for kind, counts in BruteForce(classes, grid).counts.items():
        border = borders[kind]
        assert [border.pairs, border.away_pairs] == counts[:, 0].tolist()
        for rate, (_, length, changes) in zip((border.across, border.away), counts, strict=True):
            assert rate == (pytest.approx(changes / length, rel=1e-6) if length else None)
    assert borders["zone"].pairs > 100
    assert sum(borders[kind].pairs > 0 for kind in LINES) >= 2


def test_a_map_without_seams_has_none(tmp_path):
    box = Box(-530_000, 50_000, 1700, 1700)
    classes = classes_of(landscape(box.shape, seed=0))
    path = write(tmp_path / "map.tif", classes, geobox(box, 32632), **{BLOCK: "384"})

    borders = by_kind(path)

    for kind in LINES:
        low, high = borders[kind].interval
        assert low < 1 < high
        assert high - low < 0.25
        assert borders[kind].pairs > 13_000
    assert borders["zone"].verdict == "not judged"


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:3035"])
def test_two_zones_without_a_seam_have_none(tmp_path, crs):
    grid = around(crs, 12.0, 47.5, (4000, 320))
    path = write(tmp_path / "map.tif", in_two_zones(grid, 12.0, 47.5, seed=0), grid)

    border = by_kind(path)["zone"]

    assert border.pairs > 3000
    low, high = border.interval
    assert low < 1 < high
    assert border.ratio == pytest.approx(1, abs=0.15)


def test_two_zones_that_do_not_fit_are_a_seam(tmp_path):
    grid = around("EPSG:3035", 12.0, 47.5, (2000, 320))
    classes, zones = in_two_zones(grid, 12.0, 47.5, seed=0), pixel_zones(grid)
    moved = np.roll(classes, 4, axis=0)
    path = write(tmp_path / "map.tif", np.where(zones == 32633, moved, classes), grid)

    border = by_kind(path)["zone"]

    assert border.verdict == "seam"
    assert border.worst[0] == pytest.approx(12.0, abs=0.001)
    assert border.worst[1] == pytest.approx(47.5, abs=0.1)


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:3035"])
def test_a_shifted_block_is_found_and_where_it_lies_is_said(tmp_path, crs):
    box = Box(-530_048, 49_920, 1500, 1500)
    world = classes_of(landscape(box.shape, seed=2))
    block = Box(768 * -690 + 256, 768 * 65 + 256, 768, 768)
    rows, cols = block.intersection(box).within(box)
    world[rows, cols] = np.roll(world, 3, axis=1)[rows, cols]
    path = tmp_path / "map.tif"
    if crs == "EPSG:32632":
        write(path, world, geobox(box, 32632), **{BLOCK: "768"})
    else:
        middle = Transformer.from_crs(32632, 4326, always_xy=True).transform(
            10 * (box.col + 750), -10 * (box.row + 750)
        )
        grid = around(crs, *middle, (1300, 1300))
        row, col = zone_pixels(grid, Transformer.from_crs(crs, 32632, always_xy=True))
        write(path, world[row - box.row, col - box.col], grid, **{BLOCK: "768"})

    result = CliRunner().invoke(main, ["seams", str(path)])

    assert result.exit_code == 1, result.output
    (line,) = [line for line in result.output.splitlines() if line.startswith("Seam: ")]
    assert "borders of blocks" in line
    lon, lat = map(float, line.split("near ")[1].split(" ")[0].split(","))
    x, y = Transformer.from_crs(4326, 32632, always_xy=True).transform(lon, lat)
    off = [(axis - 256) % 768 for axis in (x / 10, -y / 10)]
    assert min(min(axis, 768 - axis) for axis in off) < 40


def stitched(session, blend: str) -> tuple[np.ndarray, Box]:
    """A map of smooth land, by a network that sees each window as a whole."""
    box, agreed = Box(-160, -96, 760, 760), session.contract
    windows = needed_windows(
        np.ones(box.shape, bool), box, lattice=agreed.lattice, stride=agreed.stride
    )
    over, rng = bounding_box(windows), np.random.default_rng(0)
    s2 = [gaussian_filter(rng.normal(size=over.shape), 3) for _ in range(9)]
    s1 = [gaussian_filter(rng.normal(size=over.shape), 3) for _ in range(2)]
    classified = classify(
        session.run,
        agreed,
        s2=(2000 + 4000 * np.stack(s2)).clip(1, 9000).astype(np.uint16),
        s1=(-1500 + 4000 * np.stack(s1)).astype(np.int16),
        over=over,
        windows=windows,
        box=box,
        batch_size=8,
        blend=blend,
    )
    return classified.classes, box


@pytest.mark.parametrize(("blend", "verdict"), [("centre", "seam"), ("hann", "no seam")])
def test_windows_that_are_cropped_instead_of_blended_are_a_seam(tmp_path, blend, verdict):
    model = make_model(tmp_path / "m.onnx", contract(), kernel=12, attention=True)
    session = open_session(model, device="cpu", threads=1)
    classes, box = stitched(session, blend)
    place = geobox(Box(box.row - 528_000, box.col + 48_000, *box.shape), 32632)
    path = write(tmp_path / "map.tif", classes, place, **{LATTICE: "64/48", BLOCK: "480"})

    borders = by_kind(path)

    assert borders["overlap"].verdict == verdict
    assert borders["window"].verdict == "no seam"


def a_run(folder: Path, classes: np.ndarray, box: Box, zone: int, size: int) -> Path:
    (folder / "blocks").mkdir(parents=True)
    parts = {}
    for row, col in product(range(-1400, -1300), range(100, 200)):
        part = Box(row * size + 256, col * size + 256, size, size).intersection(box)
        if part is not None:
            parts[BlockId(zone, row, col)] = part
            path = RunFolder(folder).block_path(BlockId(zone, row, col))
            write(path, classes[part.within(box)], geobox(part, zone), bands=6)
    boxes = tuple((part.row, part.col, *part.shape) for part in parts.values())
    plan = make_plan(lattice=(512, 384), block_size=size, blocks=tuple(parts), boxes=boxes)
    RunFolder(folder).plan_path.write_text(json.dumps(plan.to_json()))
    return folder


def test_a_run_is_judged_as_its_map_is(tmp_path):
    box = Box(-530_000, 50_000, 1100, 1200)
    classes = classes_of(landscape(box.shape, seed=3))
    classes[200:300, 100:700] = 255
    path = write(tmp_path / "map.tif", classes, geobox(box, 32632), **{BLOCK: "384"})
    folder = a_run(tmp_path / "a & b.run", classes, box, 32632, 384)

    run, whole = find_seams(folder), find_seams(path)

    assert len(list((folder / "blocks").iterdir())) == 12
    assert {border.kind: border for border in run.borders} == {
        border.kind: border for border in whole.borders if border.kind != "zone"
    }
    assert run.notes == ("Zone borders are judged on the finished map only.",)


def test_the_findings_are_a_table_or_json(tmp_path):
    box = Box(-529_000, 51_000, 900, 1200)
    path = write(tmp_path / "map.tif", classes_of(landscape(box.shape, 1)), geobox(box, 32632))

    table = CliRunner().invoke(main, ["seams", str(path)])
    report = json.loads(CliRunner().invoke(main, ["seams", str(path), "--json"]).output)

    lines = table.output.splitlines()
    assert table.exit_code == 0
    assert [line.split("  ")[0] for line in lines[1:5]] == [
        "blocks",
        "windows",
        "middles of overlaps",
        "UTM zones",
    ]
    assert lines[-2:] == [
        "Not judged: fewer than 1,000 pairs, or too few changes.",
        "No seams.",
    ]
    assert report["lattice"] == [512, 384]
    assert report["block_size"] == 4608
    assert report["seam"] is False
    assert [border["verdict"] for border in report["borders"]] == [
        "not judged",
        "no seam",
        "no seam",
        "not judged",
    ]
    assert (
        lines[2].split()[-5:]
        == [
            f"{report['borders'][1]['ratio']:.3f}",
            f"{report['borders'][1]['interval'][0]:.3f}",
            "to",
            f"{report['borders'][1]['interval'][1]:.3f}",
            "no",
        ]
        or "no seam" in lines[2]
    )


def test_a_border_with_changes_where_nothing_else_changes_is_a_seam(tmp_path):
    box = Box(384 * -1380, 384 * 130, 1200, 1200)
    classes = np.zeros(box.shape, np.uint8)
    classes[:, 256 + 384 :] = 3
    path = write(tmp_path / "map.tif", classes, geobox(box, 32632), **{BLOCK: "384"})

    result = CliRunner().invoke(main, ["seams", str(path)])
    report = json.loads(CliRunner().invoke(main, ["seams", str(path), "--json"]).output)

    assert result.exit_code == 1
    assert "across the borders of blocks and not at all 32 pixels away" in result.output
    assert report["borders"][0]["interval"] == [None, None]


def unusable(folder: Path) -> dict[str, Path]:
    grid = geobox(Box(-530_000, 50_000, 64, 64), 32632)
    classes = np.random.default_rng(0).integers(0, 9, grid.shape, np.uint8)
    (folder / "text.tif").write_text("This is no map.")
    (folder / "empty").mkdir()
    a_run(folder / "new.run", classes, Box(0, 0, 1, 1), 32632, 384)
    whole = write(
        folder / "whole.tif", np.tile(classes, (8, 8)), geobox(Box(0, 50_000, 512, 512), 32632)
    )
    content = bytearray(whole.read_bytes())
    content[len(content) // 4 : len(content) // 2] = bytes(len(content) // 4)
    (folder / "cut.tif").write_bytes(content)
    with (
        rasterio.open(whole) as source,
        rasterio.open(folder / "nowhere.tif", "w", **{**source.profile, "crs": None}) as file,
    ):
        file.write(source.read())
    return {
        "text": folder / "text.tif",
        "empty": folder / "empty",
        "new": folder / "new.run",
        "cut": folder / "cut.tif",
        "nowhere": folder / "nowhere.tif",
        "float": write(folder / "float.tif", classes.astype(np.float32), grid),
        "bands": write(folder / "bands.tif", classes, grid, bands=3),
        "tags": write(folder / "tags.tif", classes, grid, **{LATTICE: "512"}),
        "missing": folder / "missing.tif",
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "does not exist"),
        ("text", "is not a GeoTIFF"),
        ("float", "has 1 band of float32"),
        ("bands", "has 3 bands of uint8"),
        ("nowhere", "without a CRS"),
        ("tags", "its windows are '512'"),
        ("cut", "cannot be read to its end"),
        ("empty", "has no plan"),
        ("new", "no finished block"),
    ],
)
def test_what_is_no_map_is_refused_in_one_line(tmp_path, name, message):
    path = unusable(tmp_path)[name]

    result = CliRunner().invoke(main, ["seams", str(path)])

    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert message in line
