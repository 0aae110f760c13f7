"""Simulate a country: scenes of Sentinel-1 and Sentinel-2, and the true map."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from lulcmap.legend import NODATA
from lulcmap.simulation.archive import Archive, to_degrees, write_cog
from lulcmap.simulation.country import Country, SimulatedCountry
from lulcmap.simulation.land import make_land
from lulcmap.simulation.overpasses import add_optical, add_radar
from lulcmap.simulation.signal import load_statistics

_LAND_STREAM, _BORDER_STREAM = 0, 1
"""Streams of random numbers; those of the dates are in ``overpasses``."""


def true_map(country: Country) -> NDArray[np.uint8]:
    """The true map of a country: classes 0 to 8, (H, W)."""
    return make_land(country.key(_LAND_STREAM), country.shape).truth


def simulate(folder: Path, country: Country) -> SimulatedCountry:
    """Write the scenes, the true map and the border of a country.

    Args:
        folder: folder to write to; created if missing, files of the same names are replaced.
        country: country to simulate.

    Returns:
        Paths of the files written.

    """
    folder.mkdir(parents=True, exist_ok=True)
    land = make_land(country.key(_LAND_STREAM), country.shape)
    statistics = load_statistics()
    truth_path, aoi = folder / "truth.tif", folder / "aoi.geojson"
    write_cog(
        truth_path,
        land.truth,
        transform=Affine(10, 0, country.west, 0, -10, country.north),
        epsg=country.epsg,
        nodata=NODATA,
        resampling="mode",
    )
    aoi.write_text(json.dumps(_border(country)) + "\n", encoding="utf-8")
    origin = country.west + country.shift, country.north + country.shift
    archive = Archive(folder, epsg=country.epsg, origin=origin)
    for number in range(country.s2_dates):
        add_optical(archive, country, land, statistics, number)
    for number in range(country.s1_dates):
        add_radar(archive, country, land, statistics, number)
    _damage_files(folder / "sentinel-2-l2a", [item["id"] for item in archive.items], country)
    return SimulatedCountry(items=archive.close(), truth=truth_path, aoi=aoi)


def _damage_files(folder: Path, names: list[str], country: Country) -> None:
    """Delete one file of each of the first items, and truncate one of each of the next."""
    for name in names[: country.missing]:
        (folder / name / "B03.tif").unlink()
    for name in names[country.missing : country.missing + country.truncated]:
        path = folder / name / "B04.tif"
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _border(country: Country) -> dict[str, Any]:
    """The country's border as GeoJSON: a rounded, dented rectangle, 2 to 14 % inside the edge."""
    corners = 36
    dent = country.rng(_BORDER_STREAM).uniform(0.86, 0.98, corners)
    middle = country.west + 5.0 * country.width, country.north - 5.0 * country.height
    xs, ys = [], []
    for number in range(corners):
        angle = -2 * math.pi * number / corners
        across, up = math.cos(angle) / country.width, math.sin(angle) / country.height
        reach = 5.0 * dent[number] * (across**6 + up**6) ** (-1 / 6)
        xs.append(middle[0] + reach * math.cos(angle))
        ys.append(middle[1] + reach * math.sin(angle))
    outline = to_degrees([*xs, xs[0]], [*ys, ys[0]], country.epsg)[::-1]  # counter-clockwise
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"name": f"Simulated country {country.seed}"},
                "geometry": {"type": "Polygon", "coordinates": [outline]},
            }
        ],
    }
