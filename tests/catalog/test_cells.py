"""Cells and times of the queries of a search: they cover it, and have little in common."""

from datetime import date, datetime, time, timedelta
from itertools import pairwise

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from lulcmap.catalog import cells as module
from lulcmap.catalog.cells import queries_of

DAYS = date(2024, 1, 15), date(2024, 3, 2)
LANDS = {
    "large": (
        *((-4.7, 48.4), (-1.6, 48.6), (-1.9, 49.7), (1.6, 50.9), (4.2, 49.9), (8.2, 48.9)),
        *((7.6, 47.6), (6.1, 46.3), (7.7, 44.1), (3.1, 43.2), (3.1, 42.4), (-1.8, 43.3)),
    ),
    "slanting": ((7.0, 45.5), (13.5, 46.5), (12.3, 44.3), (18.4, 40.2), (15.7, 38.0), (10.3, 43.5)),
    "long": ((-70, -18), (-68, -24), (-70, -33), (-72, -45), (-68, -55), (-75, -50), (-71, -30)),
}


def tiles(area):
    """(N, 4) boxes of 110 km every 100 km around an area, as those of Sentinel-2 are."""
    west, south, east, north = area.bounds
    found = []
    for bottom in np.arange(south - 2, north + 2, 0.9):
        wide = 1 / np.cos(np.radians(bottom))
        found += [
            (left, bottom, left + wide, bottom + 1)
            for left in np.arange(west - 3, east + 3, 0.9 * wide)
        ]
    return np.array(found)


def read(boxes, cells):
    """Tiles that cells meet, each as often as it is met."""
    return sum(
        int(
            (
                (boxes[:, 0] <= east)
                & (boxes[:, 2] >= west)
                & (boxes[:, 1] <= north)
                & (boxes[:, 3] >= south)
            ).sum()
        )
        for west, south, east, north in cells
    )


def land(name):
    return shapely.MultiPolygon([shapely.Polygon(LANDS[name])])


def test_merged_cells_read_fewer_items_of_lands_of_every_shape():
    for name, most in (("large", 0.8), ("slanting", 0.95), ("long", 0.9)):
        cells = module._cells(land(name))
        merged = module._merged(cells)

        boxes = tiles(land(name))
        assert read(boxes, merged) <= most * read(boxes, cells), name
        assert len(merged) < len(cells)


ISLANDS = st.lists(
    st.tuples(
        st.floats(-179, 160), st.floats(-80, 70), st.floats(0.01, 19), st.floats(0.01, 10)
    ).map(lambda box: shapely.box(box[0], box[1], box[0] + box[2], box[1] + box[3])),
    min_size=1,
    max_size=4,
)


@settings(max_examples=30)
@given(ISLANDS)
def test_queries_cover_the_area_at_every_moment_and_are_expected_to_read_no_more(islands):
    area = shapely.union_all(islands)
    area = shapely.MultiPolygon([area] if area.geom_type == "Polygon" else area.geoms)
    cells = module._cells(area)

    times: dict[tuple[float, ...], list[tuple[datetime, datetime]]] = {}
    for query in queries_of(area, DAYS):
        times.setdefault(query.box, []).append((query.start, query.end))

    covered = shapely.union_all([shapely.box(*box) for box in times])
    assert area.difference(covered.buffer(1e-9)).is_empty
    expected = module._expected_items
    assert expected(np.array(list(times))).sum() <= expected(np.array(cells)).sum() * (1 + 1e-9)
    for box, spans in times.items():
        assert max(box[2] - box[0], box[3] - box[1]) <= 16
        assert spans[0][0] == datetime.combine(DAYS[0], time.min)
        assert spans[-1][1] == datetime.combine(DAYS[1], time.max)
        for (_, end), (start, _) in pairwise(spans):
            assert start - end <= timedelta(microseconds=1)
        assert {moment.microsecond for span in spans[:-1] for moment in span} <= {0, 999999}


def test_a_small_area_is_asked_for_by_months_and_a_larger_cell_by_parts_of_them():
    small = shapely.MultiPolygon([shapely.box(6, 49, 7, 50)])
    wide = shapely.MultiPolygon([shapely.box(0, -4, 8, 4)])

    assert len(queries_of(small, DAYS)) == 3
    assert {query.box for query in queries_of(wide, DAYS)} == {(0, -4, 8, 4)}
    assert len(queries_of(wide, DAYS)) == 3 * 3
