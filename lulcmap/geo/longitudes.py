"""Longitudes past 180 degrees: polygons brought to -180..180, and cut at 180."""

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from lulcmap.errors import AreaError


def check_degrees(xy: NDArray[np.float64], source: str) -> None:
    """Check that coordinates are longitude, latitude; longitudes may go on to 360, as 177 to 182.

    Args:
        xy: (n, 2) coordinates.
        source: what they belong to, for the message.

    Raises:
        AreaError: they are not.

    """
    x, y = np.abs(xy).max(axis=0)
    if x <= 360 and y <= 90:
        return
    if x <= 90 and y <= 180:
        hint = "They look like latitude, longitude; swap them to longitude, latitude order."
    elif max(x, y) > 1000:
        hint = "They look like metres; give the file its CRS, or convert it to EPSG:4326."
    else:
        hint = "Give degrees: longitude from -180 to 180, latitude from -90 to 90."
    raise AreaError(
        f"{source} has coordinates up to {x:g}, {y:g}, which are not longitude, latitude. {hint}"
    )


def unwrapped(polygon: shapely.Polygon, source: str) -> shapely.Polygon:
    """The polygon in one piece, from a western end of -180 to below 180.

    Args:
        polygon: polygon in degrees; its longitudes may be from 0 to 360, and jump at 180 or 0.
        source: what it belongs to, for the message.

    Returns:
        The same object if it does not go past 180 degrees.

    Raises:
        AreaError: the polygon is wider than half of the globe, or its rings cross when joined.

    """
    west, _, east, _ = polygon.bounds
    if east - west <= 180 and west >= -180 and east <= 180:
        return polygon
    if east - west <= 180:
        return _turned(polygon)
    # Without an edge that jumps, the polygon really spans more than half of the globe.
    jumps = np.abs(np.diff(shapely.get_coordinates(polygon.exterior)[:, 0])).max() > 180
    for cut in (180, 0) if jumps else ():
        moved = shapely.transform(
            polygon,
            lambda xy, cut=cut: np.column_stack(
                [(xy[:, 0] + cut - 180) % 360 - cut + 180, xy[:, 1]]
            ),
        )
        # A ring that crosses itself here was cut at 180 degrees by a program that did it wrongly;
        # any repair would be a guess (Fiji cut so and repaired is 13 % too large).
        if moved.bounds[2] - moved.bounds[0] <= 180 and moved.is_valid:
            return _turned(moved)
    raise AreaError(
        f"{source} has a polygon from {west:g} to {east:g} degrees of longitude, past 180 "
        "degrees or round the globe, which cannot be repaired. Give longitudes from -180 to "
        "180, and split polygons at 180 degrees."
    )


def _turned(polygon: shapely.Polygon) -> shapely.Polygon:
    """The polygon by whole turns of the globe, its western end from -180 to below 180."""
    turns = 360 * np.floor((polygon.bounds[0] + 180) / 360)
    return shapely.transform(polygon, lambda xy: xy - (turns, 0)) if turns else polygon


def cut_at_180(whole: BaseGeometry) -> list[BaseGeometry]:
    """The parts on either side of 180 degrees, both between -180 and 180."""
    if whole.bounds[2] <= 180:
        return [whole]
    east = shapely.intersection(whole, shapely.box(-180, -90, 180, 90))
    west = shapely.intersection(whole, shapely.box(180, -90, 540, 90))
    return [east, shapely.transform(west, lambda xy: xy - (360, 0))]


def within_180(shape: BaseGeometry, source: str) -> BaseGeometry:
    """A polygon or multipolygon brought to -180..180 and cut there, if it goes past.

    Args:
        shape: valid shape in degrees.
        source: what it belongs to, for messages.

    Raises:
        AreaError: its coordinates are not longitude and latitude, or it goes round the globe.

    """
    west, _, east, _ = shape.bounds
    if not (west < -180 or east > 180):  # an empty one has no bounds
        return shape
    check_degrees(shapely.get_coordinates(shape), source)
    polygons = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
    pieces = [piece for part in polygons for piece in cut_at_180(unwrapped(part, source))]
    return shapely.MultiPolygon(shapely.get_parts(shapely.get_parts(pieces)))
