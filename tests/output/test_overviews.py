import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lulcmap.output.overviews import Pyramid

NODATA = 255


def halved(values: np.ndarray, folder) -> np.ndarray:
    """The first overview of (H, W) values, at most a tile."""
    height, width = values.shape
    shapes = [values.shape, (max(height // 2, 1), max(width // 2, 1))]
    tiles = {}
    pyramid = Pyramid(
        shapes,
        bands=1,
        dtype="uint8",
        nodata=NODATA,
        resampling="MODE",
        emit=lambda level, row, col, tile: tiles.update({(level, row, col): tile.copy()}),
        folder=folder,
    )
    pyramid.add(0, 0, values[None])
    return tiles[1, 0, 0][0]


def first_to_be_most_frequent(window: np.ndarray) -> int:
    """Of the most frequent values but nodata, the one whose last occurrence comes first."""
    known = [int(value) for value in window.ravel() if value != NODATA]
    if not known:
        return NODATA
    most = max(known.count(value) for value in known)
    return next(value for i, value in enumerate(known) if known[: i + 1].count(value) == most)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 30), st.integers(2, 30)),
    kinds=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_an_overview_takes_the_value_that_is_first_the_most_frequent(
    tmp_path_factory, shape, kinds, seed
):
    random = np.random.default_rng(seed)
    values = random.choice(np.array([NODATA, 0, 7, 254], np.uint8)[:kinds], shape)

    found = halved(values, tmp_path_factory.getbasetemp())

    # halves are rounded down, so that of an odd length each takes three pixels
    sides = [3 if length % 2 else 2 for length in shape]
    for row, col in np.ndindex(found.shape):
        window = values[2 * row : 2 * row + sides[0], 2 * col : 2 * col + sides[1]]
        assert found[row, col] == first_to_be_most_frequent(window)
