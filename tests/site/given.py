"""What a reader of the documentation has at hand, as small as it can be: areas, maps, labels.

The country lies where the pages' longitudes and latitudes do, and any year shows it: the scenes of
its one simulated year stand in for those of every other.
"""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely

from lulcmap.simulation import Country, LabelSet, simulate, simulate_labels
from tests.support.foreign import linear

MODELS = Path(__file__).parents[2] / "models"

COUNTRY = Country(
    seed=7, height=192, width=192, west=290_000, north=5_499_200, s2_dates=4, s1_dates=2, cloud=0.2
)
YEARS = range(2015, 2028)
AREAS = ["area", "country", "fiji", "france", "laos", "luxembourg", "togo"]

EARLIER = """
lulcmap predict --aoi luxembourg.geojson --year 2024 --confidence --out luxembourg-2024.tif
lulcmap predict --aoi france.geojson --year 2024 --out france.tif --keep-run
find . -maxdepth 1 -type f -name 'france.*' ! -name '*.geojson' -delete
lulcmap dataset build --labels dynamicworld --out chips
lulcmap train --data chips --out run
for name in dataset labelled mine; do cp -r chips $name; done
cp -r run other
"""
"""What the reader did before: on another page, or on another day."""


def simulate_archive(folder: Path) -> Path:
    """Write the archive, and return its ItemCollection of all years."""
    country = simulate(folder, COUNTRY)
    labels = LabelSet(size=64, experts=2, nonexperts=2, holdout=2)
    simulate_labels(folder / "labels", COUNTRY, country, labels)
    items = json.loads(country.items.read_text())
    written = [json.dumps(item) for item in items["features"]]
    items["features"] = [
        # the files keep their names: only ids and dates are of another year
        _dated(json.loads(text), COUNTRY.year, year)
        for year in YEARS
        for text in written
    ]
    every = folder / "every-year.json"
    every.write_text(json.dumps(items))
    return every


def _dated(item: dict, old: int, new: int) -> dict:
    item["id"] = item["id"].replace(str(old), str(new))
    item["properties"]["datetime"] = item["properties"]["datetime"].replace(str(old), str(new))
    return item


def give_files(folder: Path, archive: Path, run: Callable[[str], None]) -> None:
    """Write the files that the pages name and do not make.

    Args:
        folder: the reader's folder.
        archive: folder of ``simulate_archive``.
        run: runs shell commands in the reader's folder.

    """
    for name in AREAS:
        shutil.copy(archive / "aoi.geojson", folder / f"{name}.geojson")
    shutil.copytree(archive / "labels", folder / "dynamicworld")
    shutil.copy(archive / "truth.tif", folder / "truth.tif")
    run(EARLIER)
    made = folder / "luxembourg-2024.tif"
    _maps(folder, made)
    _regions(folder, made)
    _labels(folder, archive / "truth.tif")
    shutil.copy(MODELS / "lulcformer-tiny.onnx", folder)
    shutil.copy(MODELS / "lulcformer-tiny-real.onnx", folder / "mine.onnx")
    linear(folder / "unet.onnx", np.eye(5, 4), np.zeros(5))
    (folder / "legend.csv").write_text(
        "code,name,colour\n0,water,419BDF\n1,trees,397D49\n2,crops,E49635\n3,built,C4281B\n"
        "4,bare,A59B8F\n"
    )


def _maps(folder: Path, made: Path) -> None:
    """Maps of other years, where something changed, and of other places."""
    quality = made.with_name("luxembourg-2024-quality.tif")
    for number, year in enumerate(range(2020, 2025)):
        _copy(made, folder / f"{year}.tif", year=year, changed=number)
        shutil.copy(quality, folder / f"{year}-quality.tif")
    _copy(made, folder / "mine.tif")
    _copy(made, folder / "theirs.tif", changed=4)
    _copy(made, folder / "fiji-2024.tif")
    _copy(made, folder / "fiji-2024-2.tif", east=60_000)


def _copy(made: Path, out: Path, *, year: int = 2024, changed: int = 0, east: int = 0) -> None:
    with rasterio.open(made) as source:
        profile, values = source.profile, source.read(1)
        tags, names, colours = source.tags(), source.tags(1), source.colormap(1)
    part = values[20 : 20 + 12 * changed, 20:80]
    part[part != 255] = 4  # fields were made of it
    profile.update(transform=rasterio.Affine.translation(east, 0) * profile["transform"])
    tags["LULCMAP_PERIOD"] = f"{year}-01-01/{year}-12-31"
    with rasterio.open(out, "w", **profile) as file:
        file.write(values, 1)
        file.update_tags(**tags)
        file.update_tags(1, **names)
        file.write_colormap(1, colours)


def _regions(folder: Path, made: Path) -> None:
    with rasterio.open(made) as source:
        west, south, east, north = source.bounds
        crs = source.crs.to_string()
    middle = (west + east) / 2
    halves = [shapely.box(west, south, middle, north), shapely.box(middle, south, east, north)]
    table = geopandas.GeoDataFrame({"NAME": ["West", "East"]}, geometry=halves, crs=crs)
    for name in ("cantons.gpkg", "districts.gpkg", "provinces.shp"):
        table.to_file(folder / name)
    villages = table.set_geometry(table.centroid).to_crs("EPSG:4326")
    rows = [("lon", "lat"), *((point.x, point.y) for point in villages.geometry)]
    with (folder / "villages.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _labels(folder: Path, truth: Path) -> None:
    """Labels of the reader's own: points, polygons and a raster, of vines and orchards."""
    with rasterio.open(truth) as source:
        classes, profile = source.read(1), source.profile
        transform, crs = source.transform, source.crs.to_string()
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(30, 160, (2, 120))
    x, y = transform * (cols + 0.5, rows + 0.5)
    points = geopandas.GeoDataFrame(geometry=shapely.points(x, y), crs=crs).to_crs("EPSG:4326")
    labels = classes[rows, cols]
    with (folder / "points.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("lon", "lat", "label", "landcover"))
        pairs = zip(points.geometry, labels, strict=True)
        writer.writerows((point.x, point.y, label, label) for point, label in pairs)
    (folder / "vines.csv").write_text("code,name,colour\n11,vines,7B2D43\n20,orchard,4C9A2A\n")
    squares = [shapely.box(a, b - 200, a + 200, b) for a, b in zip(x[:40], y[:40], strict=True)]
    vines = {"use": [11, 20] * 20, "geometry": squares}
    geopandas.GeoDataFrame(vines, crs=crs).to_file(folder / "vines.gpkg")
    (folder / "landuse.csv").write_text(
        "code,name,colour\n"
        + "".join(f"{code},class {code},{code}{code}88{code}{code}\n" for code in range(9))
    )
    shutil.copy(truth, folder / "landuse.tif")
    profile.update(nodata=0)
    codes = np.array([80, 10, 30, 90, 40, 20, 50, 60, 70], np.uint8)  # WorldCover's
    with rasterio.open(folder / "worldcover.tif", "w", **profile) as file:
        file.write(np.where(classes == 255, 0, codes[np.minimum(classes, 8)]).astype(np.uint8), 1)
