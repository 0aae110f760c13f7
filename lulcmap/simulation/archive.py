"""Files of a simulated country: a STAC ItemCollection of COGs, as on Planetary Computer."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

from lulcmap.sensors import S1_NODATA, S2_NODATA

_EXTENSIONS = [
    "https://stac-extensions.github.io/eo/v1.0.0/schema.json",
    "https://stac-extensions.github.io/sat/v1.0.0/schema.json",
    "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
]

_NODATA = {"uint16": S2_NODATA, "uint8": 0, "float32": S1_NODATA}


def write_cog(
    path: Path,
    pixels: NDArray[Any],
    *,
    transform: Affine,
    epsg: int,
    nodata: float,
    resampling: str = "average",
) -> None:
    """Write a single-band COG: 512 px tiles, DEFLATE with a predictor, overviews.

    Args:
        path: path of the file to write.
        pixels: pixel values, (H, W).
        transform: transform from pixel (col, row) to metres.
        epsg: EPSG code of the grid.
        nodata: value of a missing pixel.
        resampling: resampling method of the overviews.

    """
    height, width = pixels.shape
    with rasterio.open(
        path,
        "w",
        driver="COG",
        height=height,
        width=width,
        count=1,
        dtype=pixels.dtype,
        crs=f"EPSG:{epsg}",
        transform=transform,
        nodata=nodata,
        compress="DEFLATE",
        predictor="YES",
        level=1,
        blocksize=512,
        overview_resampling=resampling,
        bigtiff="IF_SAFER",
    ) as file:
        file.write(pixels, 1)


class Archive:
    """A folder of scenes, each with a STAC item."""

    def __init__(self, folder: Path, *, epsg: int, origin: tuple[float, float]) -> None:
        """Open an archive.

        Args:
            folder: folder to write to.
            epsg: EPSG code of the scenes' grid.
            origin: west and north edge of the grid, metres.

        """
        self.folder = folder
        self.epsg = epsg
        self.origin = origin
        self.items: list[dict[str, Any]] = []

    def add(
        self,
        collection: str,
        name: str,
        assets: Mapping[str, tuple[NDArray[Any], int]],
        properties: Mapping[str, Any],
    ) -> None:
        """Write one scene's assets and record its item.

        Args:
            collection: ``sentinel-2-l2a`` or ``sentinel-1-rtc``.
            name: id of the item.
            assets: pixels (H, W) and pixel size (metres) of each asset, by key.
            properties: properties of the item, without its projection.

        """
        folder = self.folder / collection / name
        folder.mkdir(parents=True, exist_ok=True)
        asset_fields = {}
        west, north = self.origin
        bounds = (west, north, west, north)
        for key, (pixels, size) in assets.items():
            transform = Affine(size, 0, west, 0, -size, north)
            nodata = _NODATA[pixels.dtype.name]
            resampling = "nearest" if key == "SCL" else "average"
            write_cog(
                folder / f"{key}.tif",
                pixels,
                transform=transform,
                epsg=self.epsg,
                nodata=nodata,
                resampling=resampling,
            )
            height, width = pixels.shape
            asset_fields[key] = {
                "href": f"./{collection}/{name}/{key}.tif",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "roles": ["data"],
                "gsd": size,
                "proj:shape": [height, width],
                "proj:transform": list(transform)[:6],
            }
            if collection == "sentinel-1-rtc":
                asset_fields[key]["raster:bands"] = [
                    {"nodata": nodata, "data_type": pixels.dtype.name, "spatial_resolution": size}
                ]
            bounds = (west, north - size * height, west + size * width, north)
        outline = _outline(bounds, self.epsg)
        lon, lat = np.transpose(outline)
        grid = (
            {"proj:epsg": self.epsg}
            if len(self.items) % 3 or collection == "sentinel-1-rtc"
            else {"proj:code": f"EPSG:{self.epsg}"}  # as in newer catalogues
        )
        self.items.append(
            {
                "type": "Feature",
                "stac_version": "1.0.0",
                "stac_extensions": _EXTENSIONS,
                "id": name,
                "collection": collection,
                "bbox": [min(lon), min(lat), max(lon), max(lat)],
                "geometry": {"type": "Polygon", "coordinates": [outline]},
                "properties": {**properties, **grid, "lulcmap:simulated": True},
                "assets": asset_fields,
                "links": [],
            }
        )

    def close(self) -> Path:
        """Write ``items.json``, with the items in order of time, and return its path."""
        path = self.folder / "items.json"
        features = sorted(self.items, key=lambda item: (item["properties"]["datetime"], item["id"]))
        path.write_text(
            json.dumps({"type": "FeatureCollection", "features": features}, indent=1) + "\n",
            encoding="utf-8",
        )
        return path


def _outline(bounds: tuple[float, float, float, float], epsg: int) -> list[list[float]]:
    """The closed outline of a rectangle in degrees, with seven decimals.

    Args:
        bounds: left, bottom, right, top, metres of ``epsg``.
        epsg: EPSG code of the CRS.

    """
    left, bottom, right, top = bounds
    xs = [left, right, right, left, left]
    ys = [bottom, bottom, top, top, bottom]
    return to_degrees(xs, ys, epsg)


def to_degrees(xs: list[float], ys: list[float], epsg: int) -> list[list[float]]:
    """Convert points of a CRS to longitude and latitude, with seven decimals (1 cm)."""
    lon, lat = Transformer.from_crs(epsg, 4326, always_xy=True).transform(xs, ys)
    return [[round(a, 7), round(b, 7)] for a, b in zip(lon, lat, strict=True)]
