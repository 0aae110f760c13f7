"""Evaluate the maps that `lulcmap predict` makes of the archive's labelled and interpreted scenes.

    python -m recipes.real_land.evaluate_maps MODEL.onnx --data ../shared/data

``evaluate_folds`` shows a model each scene whole, on the scene's own grid. A map is made in the
zone's windows, on the zone's grid, and most windows reach beyond such a small scene. The share of
correct pixels is printed for the map and for the whole scene, with and without Sentinel-1.
"""

import argparse
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.warp import reproject

from lulcmap.catalog import Period, make_period
from lulcmap.legend import NODATA
from lulcmap.output import MapReport
from lulcmap.pipeline import map_area
from lulcmap.planning import Settings
from recipes.real_land.evaluate_folds import (
    Predict,
    model_of,
    on_interpreted,
    on_scene,
    without_sensor,
)
from recipes.real_land.scenes import (
    LABELLED,
    InterpretedScene,
    LabelledScene,
    interpreted_scenes,
    labelled_scenes,
    load_items,
)

Item = dict[str, Any]
"""A STAC item of the archive."""

S1_OPTIONS: dict[str, Literal["optional", "off"]] = {"both": "optional", "Sentinel-2 only": "off"}
"""Value of ``predict --s1``, by the sensors used."""


def map_scene(
    model: Path, archive: Path, item: Item, out: Path, *, s1: Literal["optional", "off"]
) -> MapReport:
    """Map a Sentinel-2 item on the day it was acquired, with the archive as the catalogue."""
    catalog = str(archive / "items.json")
    settings = Settings(model=str(model), catalog=catalog, min_coverage=0, block_size=1152, s1=s1)
    return map_area(",".join(map(str, item["bbox"])), out, period=day_of(item), settings=settings)


def day_of(item: Item) -> Period:
    """The day an item was acquired."""
    day = date.fromisoformat(item["properties"]["datetime"][:10])
    return make_period(start=day, end=day, today=date.today())


def classify_scene(
    model: Path,
    archive: Path,
    scene: LabelledScene | InterpretedScene,
    *,
    s1: Literal["optional", "off"],
) -> NDArray[np.uint8]:
    """Map a scene; the classes on the grid of its 10 m bands, (H, W)."""
    item = load_items(archive)[LABELLED[scene.name][0] if scene.name in LABELLED else scene.name]
    classes = np.full(scene.s2.shape[1:], NODATA, np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "map.tif"
        map_scene(model, archive, item, out, s1=s1)
        with (
            rasterio.open(archive / item["assets"]["B02"]["href"]) as grid_file,
            rasterio.open(out) as map_file,
        ):
            reproject(
                rasterio.band(map_file, 1),
                classes,
                dst_transform=grid_file.transform,
                dst_crs=grid_file.crs,
                resampling=Resampling.nearest,
            )
    return classes


def share_right(predict: Predict, scene: LabelledScene | InterpretedScene) -> float:
    """Share of a scene's labelled or interpreted pixels that are correct."""
    if isinstance(scene, LabelledScene):
        return on_scene(predict, scene)["agreement"]
    return on_interpreted(predict, scene)[1]


def compare(model: Path, archive: Path) -> Iterator[tuple[str, str, float, float]]:
    """Scene, sensors, and the share of correct pixels in its map and in the whole scene."""
    both_sensors = model_of(model)
    scenes: list[LabelledScene | InterpretedScene] = [
        *labelled_scenes(archive),
        *interpreted_scenes(archive),
    ]
    for scene in scenes:
        for sensors, s1 in S1_OPTIONS.items():
            predict = both_sensors if s1 == "optional" else without_sensor(both_sensors, "s1")
            classes = classify_scene(model, archive, scene, s1=s1)
            yield (
                scene.name,
                sensors,
                share_right(lambda *_, of=classes: of, scene),
                share_right(predict, scene),
            )


def main() -> None:
    """Map the scenes and print the shares of correct pixels."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder with archive/")
    options = parser.parse_args()
    shares: dict[str, list[tuple[float, float]]] = {sensors: [] for sensors in S1_OPTIONS}
    for name, sensors, of_map, of_whole in compare(options.model, options.data / "archive"):
        print(f"{name}, {sensors}: map {of_map:.3f}, whole {of_whole:.3f}", flush=True)
        shares[sensors].append((of_map, of_whole))
    for sensors, pairs in shares.items():
        of_map, of_whole = np.mean(pairs, 0)
        print(f"all, {sensors}: map {of_map:.3f}, whole {of_whole:.3f}")


if __name__ == "__main__":
    main()
