"""Labels of a simulated country, laid out and coded like Dynamic World's releases."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from lulcmap.simulation.archive import to_degrees
from lulcmap.simulation.country import Country, SimulatedCountry
from lulcmap.simulation.land import make_land

_LAND_STREAM, _LABEL_STREAM = 0, 5
"""Streams of random numbers; the first is that of the land in the package."""

_UNMARKED_CODE, _CLOUD_CODE = 0, 10
"""Codes besides id + 1."""

_SCL_CLOUDS = (8, 9, 10)
"""Codes of clouds in the scene classification."""

_PATCH_PX = 15
"""Side of the patches that an annotator gets wrong or leaves out, pixels."""

_CONFUSED_WITH = np.array([3, 5, 4, 2, 2, 2, 7, 5, 7], np.uint8)
"""Class that annotators confuse each class with."""

_MAX_TRIES = 20
"""Places to try in a cell until a scene covers one completely."""


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Number and quality of the labels."""

    size: int = 510
    """Side of a tile, pixels."""

    experts: int = 4
    """Number of tiles by experts, in ``Experts``."""

    nonexperts: int = 8
    """Number of tiles by others, in ``Non_expert``."""

    holdout: int = 3
    """Number of tiles by three experts and one other, in ``holdout``."""

    wrong: float = 0.04
    """Share of the ground that an expert labels wrongly; others twice that."""

    unmarked: float = 0.08
    """Share of the ground that an annotator leaves out, besides the edges of classes."""


@dataclass(frozen=True, slots=True)
class _Tile:
    row: int
    col: int
    day: str
    cloud: NDArray[np.bool_]


def simulate_labels(
    folder: Path, country: Country, scenes: SimulatedCountry, labels: LabelSet | None = None
) -> Path:
    """Write label tiles of a simulated country.

    Tiles do not overlap, lie on any whole pixels, and each has the day of a scene that covers it
    completely. The same country gives the same tiles.

    Args:
        folder: folder to write to, created if missing; ``Experts``, ``Non_expert`` and ``holdout``
            are created in it.
        country: country that was simulated.
        scenes: files of the country.
        labels: number and quality of the labels; None for the defaults.

    Returns:
        The folder.

    Raises:
        ValueError: the country has no room for so many tiles.

    """
    labels = labels or LabelSet()
    truth = make_land(country.key(_LAND_STREAM), country.shape).truth
    rng = country.rng(_LABEL_STREAM)
    count = labels.experts + labels.nonexperts + labels.holdout
    tiles = _place_tiles(country, scenes, labels.size, count, rng)
    kinds = ["Experts/EH/4"] * labels.experts + ["Non_expert/WorkForce/EH/4"] * labels.nonexperts
    for number, tile in enumerate(tiles):
        part = truth[tile.row : tile.row + labels.size, tile.col : tile.col + labels.size]
        if number < len(kinds):
            folders = [(kinds[number], 1 + (number >= labels.experts))]
        else:
            folders = [(f"holdout/expert_{expert}", 1) for expert in (1, 2, 3)]
            folders.append(("holdout/non_expert", 2))
        for tile_folder, factor in folders:
            codes = _annotate(part, labels.wrong * factor, labels.unmarked, rng)
            codes[tile.cloud] = _CLOUD_CODE
            _write_tile(
                folder / tile_folder / _tile_name(country, tile, labels.size), codes, country, tile
            )
    return folder


def _place_tiles(
    country: Country, scenes: SimulatedCountry, size: int, count: int, rng: np.random.Generator
) -> list[_Tile]:
    """Tiles that do not overlap, each with a scene that covers it."""
    scenes_by_day = _scenes(scenes)
    down, across = country.height // size, country.width // size
    tiles: list[_Tile] = []
    for cell in rng.permutation(down * across).tolist():
        for _ in range(_MAX_TRIES):
            # Somewhere in its own cell; there are as many cells as fit.
            row, col = (
                side * tile_folder // cells + int(rng.integers(side // cells - size + 1))
                for side, tile_folder, cells in (
                    (country.height, cell // across, down),
                    (country.width, cell % across, across),
                )
            )
            part = slice(row, row + size), slice(col, col + size)
            covering = [(day, scl[part]) for day, scl in scenes_by_day if scl[part].all()]
            if covering and len(tiles) < count:
                day, scl = covering[rng.integers(len(covering))]
                tiles.append(_Tile(row, col, day, np.isin(scl, _SCL_CLOUDS)))
                break
    if len(tiles) < count:
        raise ValueError(
            f"only {len(tiles)} of {count} tiles of {size} pixels fit in a country of "
            f"{country.height} x {country.width}"
        )
    return tiles


def _scenes(scenes: SimulatedCountry) -> list[tuple[str, NDArray[np.uint8]]]:
    """Day (YYYYMMDD) and scene classification (H, W), 0 for nodata, of each scene."""
    classifications = []
    for item in json.loads(scenes.items.read_text(encoding="utf-8"))["features"]:
        if "SCL" in item["assets"]:
            with rasterio.open(scenes.items.parent / item["assets"]["SCL"]["href"]) as file:
                codes = file.read(1)
            day = item["properties"]["datetime"][:10].replace("-", "")
            classifications.append((day, codes.repeat(2, axis=0).repeat(2, axis=1)))
    return classifications


def _annotate(
    truth: NDArray[np.uint8], wrong: float, unmarked: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Codes (H, W) as drawn by one annotator: no edges, some patches wrong or left out."""
    draws = rng.random([2, *(-(-side // _PATCH_PX) for side in truth.shape)])
    draws = draws.repeat(_PATCH_PX, axis=1).repeat(_PATCH_PX, axis=2)[
        :, : truth.shape[0], : truth.shape[1]
    ]
    codes = np.where(draws[0] < wrong, _CONFUSED_WITH[truth], truth) + 1
    edge = np.zeros(truth.shape, bool)
    edge[:-1] |= truth[:-1] != truth[1:]
    edge[:, :-1] |= truth[:, :-1] != truth[:, 1:]
    codes[edge | (draws[1] < unmarked)] = _UNMARKED_CODE
    return codes.astype(np.uint8)


def _tile_name(country: Country, tile: _Tile, size: int) -> str:
    """Name of a tile: longitude and latitude of its centre, and the day of its scene."""
    x = country.west + 10.0 * (tile.col + size / 2)
    y = country.north - 10.0 * (tile.row + size / 2)
    ((lon, lat),) = to_degrees([x], [y], country.epsg)
    return f"dw_{lon:.7f}_{lat:.7f}-{tile.day}.tif"


def _write_tile(path: Path, codes: NDArray[np.uint8], country: Country, tile: _Tile) -> None:
    """Write a tile as in the releases: one band, no nodata value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    west = country.west + country.shift + 10 * tile.col
    north = country.north + country.shift - 10 * tile.row
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=codes.shape[0],
        width=codes.shape[1],
        count=1,
        dtype="uint8",
        crs=f"EPSG:{country.epsg}",
        transform=Affine(10, 0, west, 0, -10, north),
        compress="DEFLATE",
    ) as file:
        file.write(codes, 1)
