"""The demo: a simulated country, its map and its truth."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.api import composite, map_area
from lulcmap.evaluation import accuracy, confusion, mean_iou
from lulcmap.geo import load_area, pixels_inside, project
from lulcmap.legend import NODATA
from lulcmap.output import draw_preview
from lulcmap.simulation.country import SimulatedCountry
from lulcmap.system import check_destination, check_ours, read_json

DEMO_MODEL = "lulcformer-tiny"
"""Shipped model trained on simulated countries, like the demo's."""

MAP, FOREST_MAP = "map.tif", "forest.tif"
"""Names of the demo's two maps."""

FOREST_MODEL = "random-forest-simulated"
"""Shipped model to compare with; it classifies each pixel by itself."""


@dataclass(frozen=True, slots=True)
class MapScore:
    """Scores of a map of a simulated country."""

    coverage: float
    """Share of the country's pixels that were mapped."""

    accuracy: float
    """Share of the mapped pixels that are right."""

    mean_iou: float
    """Mean intersection over union of the classes."""


def clear_demo_folder(folder: Path) -> None:
    """Check that a folder is new or an earlier demo's, and remove what a killed one left of runs.

    Raises:
        OutputError: it holds something else, which a demo would replace.

    """
    check_destination(folder, option="FOLDER", folder=True, parents=True)
    check_ours(folder, _is_demo, kind="the folder of a demo", option="FOLDER")
    for name in (MAP, FOREST_MAP):
        shutil.rmtree(folder / f"{name}.run", ignore_errors=True)


def _is_demo(folder: Path) -> bool:
    """Whether a folder is empty, or holds a simulated country's border and no other's scenes."""
    if not any(folder.iterdir()):
        return True
    border = read_json(folder / "aoi.geojson") or {}
    items = read_json(folder / "items.json") or {"features": []}
    is_simulated = all("lulcmap:simulated" in item["properties"] for item in items["features"])
    return is_simulated and "Simulated country" in json.dumps(border)


def score_map(map_path: Path, country: SimulatedCountry) -> MapScore:
    """Compare a map with the truth.

    Args:
        map_path: path of a map of the country, on the truth's grid.
        country: files of the simulated country.

    """
    classes, truth = _map_and_truth(map_path, country)
    matrix = confusion(truth, classes)
    inside = truth != NODATA
    return MapScore(float((classes[inside] != NODATA).mean()), accuracy(matrix), mean_iou(matrix))


def map_with_forest(country: SimulatedCountry, map_path: Path, *, year: int) -> None:
    """Map the country with a random forest that classifies each pixel by itself."""
    map_area(
        country.aoi,
        map_path,
        year=year,
        model=FOREST_MODEL,
        catalog=country.items,
        overwrite=True,
    )


def draw_comparison(
    map_path: Path, country: SimulatedCountry, *, year: int, score: MapScore, out_path: Path
) -> None:
    """Draw the composite, the map and the truth side by side.

    Args:
        map_path: path of the map.
        country: files of the simulated country.
        year: year that was mapped.
        score: scores of the map.
        out_path: path of the PNG to write.

    """
    classes, truth = _map_and_truth(map_path, country)
    with rasterio.open(map_path) as map_file, rasterio.open(country.truth) as truth_file:
        part = truth_file.window(*map_file.bounds).round_offsets().round_lengths()
        grid = GeoBox(truth_file.shape, truth_file.transform, truth_file.crs)
    image = composite(grid, year=year, catalog=country.items).s2[(slice(None), *part.toslices())]
    draw_preview(
        out_path,
        classes,
        composite=np.where(truth == NODATA, 0, image).astype(np.uint16),
        truth=truth,
        title="A simulated country, mapped by lulcmap",
        note=f"Mean IoU {score.mean_iou:.2f}, accuracy {score.accuracy:.0%}, against the truth",
    )


def _map_and_truth(
    map_path: Path, country: SimulatedCountry
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The map, and the truth on the map's grid, nodata outside the country."""
    with rasterio.open(map_path) as map_file, rasterio.open(country.truth) as truth_file:
        classes, grid = map_file.read(1), GeoBox(map_file.shape, map_file.transform, map_file.crs)
        window = truth_file.window(*map_file.bounds).round_offsets().round_lengths()
        truth = truth_file.read(1, window=window, boundless=True, fill_value=NODATA)
    border = project(load_area(str(country.aoi)).polygon, map_file.crs.to_string())
    truth[~pixels_inside(border, grid)] = NODATA
    return classes, truth
