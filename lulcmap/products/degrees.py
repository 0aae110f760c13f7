"""Polygons in degrees across the meridian of 180 degrees."""

from collections.abc import Iterator

import numpy as np
import shapely
from numpy.typing import NDArray

from lulcmap.errors import UsageError


def unwrapped(shape: shapely.Geometry, source: str) -> shapely.Geometry:
    """A polygon or multipolygon in one piece where its border jumps from 180 to -180 degrees.

    Args:
        shape: polygon in longitude, latitude, degrees; None stays None.
        source: file it is from, for the message.

    Returns:
        The polygon; its longitudes may lie beyond 180.

    Raises:
        UsageError: a border goes round a pole or crosses itself, so that its inside is not known.

    """
    if shape is None or shape.is_empty or shape.bounds[2] - shape.bounds[0] <= 180:
        return shape
    parts = shapely.get_parts(shape)
    return shapely.multipolygons([_unwrapped_polygon(part, source) for part in parts])


def _unwrapped_polygon(polygon: shapely.Polygon, source: str) -> shapely.Polygon:
    if polygon.bounds[2] - polygon.bounds[0] <= 180:
        return polygon
    shell = _unwrapped_ring(shapely.get_coordinates(polygon.exterior), source)
    middle = (shell[:, 0].min() + shell[:, 0].max()) / 2
    holes = []
    for ring in polygon.interiors:
        hole = _unwrapped_ring(shapely.get_coordinates(ring), source)
        turns = np.round((middle - hole[:, 0].mean()) / 360)
        holes.append(hole + np.array([360 * turns, 0.0]))
    moved = shapely.Polygon(shell, holes)
    # Cut at 180 degrees by a program that did it wrongly; any repair would be a guess.
    if not moved.is_valid:
        raise UsageError(
            f"{source} has a region across 180 degrees whose border crosses itself. Split it there."
        )
    return moved


def _unwrapped_ring(ring: NDArray[np.float64], source: str) -> NDArray[np.float64]:
    """A ring without jumps.

    A step of more than 180 degrees is a jump. One from -180 to 180 itself may also run along a
    parallel, as in a frame of the world or the coast of Antarctica closed at the pole: then the
    ring without it would not close, or have no inside.
    """
    steps = np.diff(ring[:, 0])
    jumps = np.where(np.abs(steps) > 180, -np.round(steps / 360), 0.0)
    for turns in (jumps, np.where(np.abs(steps) < 360, jumps, 0.0)):
        total = np.concatenate([[0.0], np.cumsum(turns)])
        moved = ring + np.column_stack([360 * total, np.zeros(len(total))])
        if not total[-1] and shapely.Polygon(moved).area:
            return moved
    raise UsageError(
        f"{source} has a region round a pole, whose inside is not known in degrees. Cut it along a "
        "meridian."
    )


def cut(shape: shapely.MultiPolygon) -> shapely.MultiPolygon:
    """A valid multipolygon whose parts all lie between -180 and 180 degrees."""
    pieces = clipped(shape, (-180, -90, 180, 90))
    return shapely.multipolygons([_turned(piece, turn) for piece, turn in pieces])


def clipped(
    shape: shapely.MultiPolygon, box: tuple[float, float, float, float]
) -> Iterator[tuple[shapely.Polygon, float]]:
    """The polygons of a multipolygon within a box, unmoved, and how far they are from it.

    Args:
        shape: valid; longitude, latitude, degrees.
        box: west, south, east and north, degrees; at most 360 wide, and maybe beyond 180.

    Yields:
        A polygon, and the multiple of 360 degrees to add to its longitudes to lie in the box.

    """
    for turn in (-360.0, 0.0, 360.0):
        frame = shapely.box(box[0] - turn, box[1], box[2] - turn, box[3])
        parts = shapely.get_parts(shape)
        for part in parts[shapely.intersects(frame, shapely.envelope(parts))]:
            inside = part if frame.covers(shapely.envelope(part)) else part.intersection(frame)
            for piece in shapely.get_parts(inside):
                if piece.geom_type == "Polygon":
                    yield piece, turn


def _turned(polygon: shapely.Polygon, turn: float) -> shapely.Polygon:
    """A polygon moved east by some degrees."""
    return shapely.transform(polygon, lambda xy: xy + np.array([turn, 0.0]))
