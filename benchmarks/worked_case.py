"""A model adapted to a land it does not know, over and over: is the map better, are areas right?

A simulated country is mapped by a model of real land. 300 points of its western half are drawn as
``lulcmap sample`` draws them, answered from the truth, and the model's head is fitted to them as
``lulcmap adapt`` fits it. The eastern half is never labelled: there the maps before and after are
compared with the truth. The same points give the area of each class in the western half, with 95 %
intervals, which should hold the true area.

    python benchmarks/worked_case.py [FOLDER] [--repetitions 50]

FOLDER keeps the country, its composite and what each repetition gave; if interrupted, rerun the
same command; it resumes. ``--commands`` also runs the first repetition by ``lulcmap adapt`` and
``lulcmap predict``, with the cross-validation, and compares its map.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio
import shapely
from numpy.typing import NDArray

from lulcmap import map_area
from lulcmap.adaptation import KeptComposite, decoded, fitted_head, read_labels, see_labels
from lulcmap.evaluation import draw_sample, estimate_adjusted, write_sample
from lulcmap.geo import Box
from lulcmap.legend import NAMES, NODATA
from lulcmap.model import (
    FeatureNetwork,
    Head,
    classify_image,
    find_model,
    open_features,
    open_session,
)
from lulcmap.simulation import Country, simulate

MODEL = "lulcformer-tiny-real"
SIZE, MIN_PER_CLASS = 300, 20
SEED = 7
"""Seed of the country."""


@dataclass
class Land:
    """The country, as every repetition needs it."""

    folder: Path
    map: NDArray[np.uint8]
    """(H, W) classes that the model as it is gives, 255 outside."""
    truth: NDArray[np.uint8]
    """(H, W) true classes."""
    middle: int
    """First column of the eastern half."""
    west: Path
    """Map of the western half, to draw samples of."""

    @property
    def composite(self) -> Path:
        """Its composite."""
        return self.folder / "before-composite.tif"

    def right(self, classes: NDArray[np.uint8]) -> float:
        """Share of the eastern half that is right."""
        part = np.s_[:, self.middle :]
        inside = self.map[part] != NODATA
        return float((classes[part] == self.truth[part])[inside].mean())


def make_land(folder: Path, model: str, size: int) -> Land:
    """Simulate and map the country, unless that was done before."""
    folder.mkdir(parents=True, exist_ok=True)
    country = Country(seed=SEED, height=size, width=size)
    before = folder / "before.tif"
    if not before.exists():
        scenes = simulate(folder, country)
        map_area(
            scenes.aoi,
            before,
            year=country.year,
            model=model,
            catalog=scenes.items,
            save_composite=True,
        )
    with rasterio.open(before) as file, rasterio.open(folder / "truth.tif") as truth_file:
        classes, profile, tags = file.read(1), file.profile, file.tags(1)
        window = truth_file.window(*file.bounds).round_offsets().round_lengths()
        truth = truth_file.read(1, window=window)
    middle, west = classes.shape[1] // 2, folder / "west.tif"
    if not west.exists():
        half = classes.copy()
        half[:, middle:] = NODATA
        plain = {key: profile[key] for key in ("height", "width", "crs", "transform", "nodata")}
        with rasterio.open(west, "w", driver="GTiff", count=1, dtype="uint8", **plain) as file:
            file.write(half, 1)
            file.update_tags(1, **tags)
    return Land(folder, classes, truth, middle, west)


def answer(land: Land, seed: int, out: Path) -> dict[str, Any]:
    """Draw a sample of the western half, answer it from the truth; areas with their intervals."""
    sample = draw_sample(land.west, size=SIZE, min_per_class=MIN_PER_CLASS, seed=seed)
    write_sample(out, sample, overwrite=True)
    meta, _, geometry, fields = pyogrio.raw.read(out)
    columns = dict(zip(meta["fields"], fields, strict=True))
    with rasterio.open(land.west) as file:
        shapes = shapely.from_wkb(geometry)
        xs, ys = rasterio.warp.transform(
            "EPSG:4326", file.crs, shapely.get_x(shapes), shapely.get_y(shapes)
        )
        rows, cols = rasterio.transform.rowcol(file.transform, xs, ys)
    truth = land.truth[rows, cols].astype(np.int64)
    columns["label"] = np.array(NAMES)[truth].astype(object)
    pyogrio.raw.write(
        out,
        geometry=geometry,
        field_data=list(columns.values()),
        fields=list(columns),
        layer="sample",
        driver="GPKG",
        geometry_type="Point",
        crs="EPSG:4326",
    )
    strata = np.array([one.value for one in sample.strata])
    km2 = np.array([one.km2 for one in sample.strata])
    found = estimate_adjusted(
        sample.stratum,
        strata[sample.stratum].astype(np.int64),
        truth,
        areas=km2,
        n_classes=len(NAMES),
        weights=sample.pixel_m2,
    )
    west = land.truth[:, : land.middle][land.map[:, : land.middle] != NODATA]
    shares = np.bincount(west, minlength=len(NAMES)) / west.size
    return {
        name: {
            "true": float(shares[i]),
            "estimate": one.value / km2.sum(),
            "low": (one.value - one.margin) / km2.sum(),
            "high": (one.value + one.margin) / km2.sum(),
        }
        for i, (name, one) in enumerate(zip(NAMES, found.areas, strict=True))
    }


class Remembering:
    """A network that computes the features of a window once."""

    def __init__(self, network: FeatureNetwork) -> None:
        self.network, self.contract, self.usable = network, network.contract, network.usable
        self.known: dict[bytes, NDArray[np.float32]] = {}

    def features(
        self, s2: NDArray[np.uint16], s1: NDArray[np.int16], *, sun: None = None
    ) -> NDArray[np.float32]:
        """As of ``FeatureNetwork``."""
        key = hashlib.sha256(s2.tobytes() + s1.tobytes()).digest()
        if key not in self.known:
            self.known[key] = self.network.features(s2, s1, sun=sun)
        return self.known[key]


class CachedFeatures:
    """Features of every window of the country, computed once."""

    def __init__(self, land: Land, model: str) -> None:
        path = find_model(model)
        self.network = open_features(path)
        self.remembering = Remembering(self.network)
        self.session = open_session(path, device="cpu")
        with rasterio.open(land.composite) as file:
            bands, affine = file.read(), file.transform
        self.s2, self.s1 = decoded(bands)
        self.box = Box(round(-affine.f / 10), round(affine.c / 10), *self.s2.shape[1:])
        self.found: list[NDArray[np.float32]] = []
        self.classify(self._first)

    def classify(self, run: Any) -> NDArray[np.uint8]:
        """Classes of the country by a network."""
        return classify_image(self.session, self.s2, self.s1, box=self.box, network=run).classes

    def _first(self, s2: NDArray[np.uint16], s1: NDArray[np.int16]) -> NDArray[np.float32]:
        self.found += [self.network.features(*pair) for pair in zip(s2, s1, strict=True)]
        return self._logits(self.network.head, self.found[-len(s2) :])

    def map(self, head: Head) -> NDArray[np.uint8]:
        """Classes of the country with another head; windows come in the same order again."""
        rest = iter(self.found)
        return self.classify(lambda s2, _: self._logits(head, [next(rest) for _ in range(len(s2))]))

    @staticmethod
    def _logits(head: Head, features: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        logits = (head.logits(np.moveaxis(one, 0, -1)) for one in features)
        return np.stack([np.moveaxis(one, -1, 0) for one in logits]).astype(np.float32)


def repeat(land: Land, cached: CachedFeatures, number: int) -> dict[str, Any]:
    """One repetition: areas, and accuracy before and after where nothing was labelled."""
    sample = land.folder / f"sample-{number}.gpkg"
    areas = answer(land, number, sample)
    labels = read_labels(sample, cached.network.contract.legend)
    imagery = [KeptComposite.open(land.composite)]
    seen, kept = see_labels(cached.remembering, labels, imagery)  # type: ignore[arg-type]
    head = fitted_head(cached.network, labels, seen, kept)
    after = cached.map(head)
    return {
        "repetition": number,
        "before": land.right(land.map),
        "after": land.right(after),
        "areas": areas,
    }


def run_commands(land: Land, model: str) -> dict[str, Any]:
    """The first repetition by the commands, as a user has it."""
    sample, out = land.folder / "sample-0.gpkg", land.folder / "mine.onnx"
    after = land.folder / "after.tif"
    command = partial(subprocess.run, check=True, capture_output=True, text=True)
    lulcmap = [sys.executable, "-m", "lulcmap"]
    labels = ["--labels", sample, "--composite", land.composite]
    adapted = command(
        [*lulcmap, "adapt", "--model", model, *labels, "--out", out, "--overwrite", "--json"]
    )
    scenes = ["--year", "2024", "--catalog", land.folder / "items.json"]
    area = ["--aoi", land.folder / "aoi.geojson", *scenes]
    command([*lulcmap, "predict", *area, "--model", out, "--out", after, "--overwrite"])
    with rasterio.open(after) as file:
        right = land.right(file.read(1))
    return {"adapt": json.loads(adapted.stdout), "after": right}


def summary(rows: list[dict[str, Any]]) -> str:
    """What the repetitions gave."""
    before, after = (np.array([row[name] for row in rows]) for name in ("before", "after"))
    gains = after - before
    held = {
        name: np.mean(
            [
                row["areas"][name]["low"]
                <= row["areas"][name]["true"]
                <= row["areas"][name]["high"]
                for row in rows
            ]
        )
        for name in NAMES
    }
    lines = [
        f"{len(rows)} repetitions of {SIZE} labels",
        f"right in the half never labelled: {before.mean():.1%} before, {after.mean():.1%} after "
        f"({after.min():.1%} to {after.max():.1%}); better in {np.mean(gains > 0):.0%}",
        f"95 % intervals of areas that hold the truth: {np.mean(list(held.values())):.1%} of all",
        *(f"  {name:<20} {share:.0%}" for name, share in held.items()),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--repetitions", type=int, default=50)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--size", type=int, default=1024, help="side of the country, pixels")
    parser.add_argument("--commands", action="store_true")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        land = make_land(options.folder or Path(temporary), options.model, options.size)
        kept = land.folder / "repetitions.jsonl"
        rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
        cached = None
        for number in range(len(rows), options.repetitions):
            cached = cached or CachedFeatures(land, options.model)
            rows.append(repeat(land, cached, number))
            with kept.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(f"{number}: {rows[-1]['before']:.1%} -> {rows[-1]['after']:.1%}", flush=True)
        print(summary(rows))
        if options.commands:
            print(json.dumps(run_commands(land, options.model), indent=1))


if __name__ == "__main__":
    main()
