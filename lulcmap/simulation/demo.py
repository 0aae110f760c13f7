"""The demonstration: a country that does not exist, its map, and its truth."""

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

DEMO_MODEL = "lulcformer-tiny"
"""The shipped model that learnt from simulated countries: the demo's is one of those."""

FOREST_MODEL = "random-forest-simulated"
"""The shipped model that the network is compared with: it sees each pixel alone."""


@dataclass(frozen=True, slots=True)
class MapScore:
    """How good a map of a simulated country is."""

    coverage: float
    """Share of the country's pixels that were mapped."""

    accuracy: float
    """Share of the mapped pixels that are right."""

    mean_iou: float
    """Mean intersection over union of the classes."""


def score_map(out: Path, country: SimulatedCountry) -> MapScore:
    """Compare a map with the truth.

    Args:
        out: a map of the country, on the truth's grid.
        country: as it was simulated.

    """
    mapped, truth = _map_and_truth(out, country)
    matrix = confusion(truth, mapped)
    inside = truth != NODATA
    return MapScore(float((mapped[inside] != NODATA).mean()), accuracy(matrix), mean_iou(matrix))


def map_with_forest(country: SimulatedCountry, out: Path, *, year: int) -> None:
    """Map the country again, with a random forest that sees each pixel alone."""
    map_area(country.aoi, out, year=year, model=FOREST_MODEL, catalog=country.items, overwrite=True)


def draw_comparison(
    out: Path, country: SimulatedCountry, *, year: int, verdict: MapScore, to: Path
) -> None:
    """Draw the composite, the map and the truth side by side.

    Args:
        out: path of the map.
        country: as it was simulated.
        year: year that was mapped.
        verdict: how good the map is.
        to: path of the PNG to write.

    """
    mapped, truth = _map_and_truth(out, country)
    with rasterio.open(out) as made, rasterio.open(country.truth) as known:
        part = known.window(*made.bounds).round_offsets().round_lengths()
        on = GeoBox(known.shape, known.transform, known.crs)
    image = composite(on, year=year, catalog=country.items).s2[(slice(None), *part.toslices())]
    draw_preview(
        to,
        mapped,
        composite=np.where(truth == NODATA, 0, image).astype(np.uint16),
        truth=truth,
        title="A simulated country, mapped by lulcmap",
        note=f"Mean IoU {verdict.mean_iou:.2f}, accuracy {verdict.accuracy:.0%}, against the truth",
    )


def _map_and_truth(
    out: Path, country: SimulatedCountry
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The map, and the truth on the map's grid and inside the country only."""
    with rasterio.open(out) as made, rasterio.open(country.truth) as known:
        mapped, on = made.read(1), GeoBox(made.shape, made.transform, made.crs)
        window = known.window(*made.bounds).round_offsets().round_lengths()
        truth = known.read(1, window=window, boundless=True, fill_value=NODATA)
    border = project(load_area(str(country.aoi)).polygon, made.crs.to_string())
    truth[~pixels_inside(border, on)] = NODATA
    return mapped, truth
