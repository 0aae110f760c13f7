from pathlib import Path

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from lulcmap.adaptation.labels import Labels
from lulcmap.adaptation.places import PLACE_M, folds_of, places_of


def labels_of(shapes):
    n = len(shapes)
    return Labels(Path("x"), np.array(shapes, object), np.full(n, "a"), np.ones(n), False)


def test_labels_within_a_square_are_one_place_and_far_ones_are_others():
    metre = 1 / 111_320
    points = [shapely.Point(9 + x * metre, 45.0001) for x in (0.0, 1.0, 5000.0, 50_000.0)]

    places = places_of(labels_of(points))

    assert places[0] == places[1]
    assert len(set(places.tolist())) == 3


def test_a_polygon_joins_the_squares_it_lies_in():
    near, far = shapely.Point(9.0, 45.0), shapely.Point(9.05, 45.0)
    over_both = shapely.box(8.999, 44.999, 9.051, 45.001)

    alone, joined = places_of(labels_of([near, far])), places_of(labels_of([near, far, over_both]))

    assert len(set(alone.tolist())) == 2
    assert len(set(joined.tolist())) == 1


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.floats(-179, 179), st.floats(-85, 85)), min_size=1, max_size=20),
    st.floats(0, 300),
)
def test_labels_of_a_square_never_have_two_places(centres, offset):
    """Points less than a square apart have places of the same or of a neighbouring square."""
    points = [shapely.Point(lon, lat) for lon, lat in centres]
    twice = labels_of([*points, *points])

    places = places_of(twice)

    assert (places[: len(points)] == places[len(points) :]).all()
    assert offset < PLACE_M


@settings(max_examples=50)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=200), st.integers(2, 6), st.integers(0, 99)
)
def test_a_place_is_in_one_fold_and_folds_are_even(places, folds, seed):
    places = np.array(places, np.intp)

    found = folds_of(places, folds=folds, seed=seed)

    for place in np.unique(places):
        assert len(np.unique(found[places == place])) == 1
    sizes = np.bincount(found, minlength=folds)
    assert sizes.max() - sizes.min() <= np.bincount(places).max()
    assert (found == folds_of(places, folds=folds, seed=seed)).all()
