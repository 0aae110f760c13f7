from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from scipy.special import softmax

from lulcmap.geo.tiling import Box, Lattice
from lulcmap.legend import NODATA
from lulcmap.model.contract import S1_INPUT, S2_INPUT
from lulcmap.model.inference import bounding_box, classify, needed_windows
from lulcmap.model.session import open_session
from tests.support.stubs import composites, contract, make_model

ROWS, COLS = 700, 800
WORLD = Box(-320, -192, ROWS, COLS)
"""All pixels; the origin of the lattice, (0, 0), is well inside."""


@pytest.fixture(scope="module")
def world():
    return composites(np.random.default_rng(1), (ROWS, COLS))


@pytest.fixture(scope="module")
def make_session(tmp_path_factory):
    def make(model_contract, **options):
        folder = tmp_path_factory.mktemp("model")
        return open_session(
            make_model(folder / "m.onnx", model_contract, **options), device="cpu", threads=1
        )

    return make


def mapped(session, world, box, *, mask=None, batch_size=4, run=None, **options):
    """Classify a box from the pixels of the windows it needs and no others."""
    lattice, stride = session.contract.lattice, session.contract.stride
    mask = np.ones(box.shape, bool) if mask is None else mask
    windows = needed_windows(mask, box, lattice=lattice, stride=stride)
    over = bounding_box(windows)
    rows, cols = over.within(WORLD)
    return classify(
        run or session.run,
        session.contract,
        s2=world[0][:, rows, cols],
        s1=world[1][:, rows, cols],
        over=over,
        windows=windows,
        box=box,
        batch_size=batch_size,
        **options,
    )


def upsampled(logits, cells, box, stride):
    """The logits (K, h, w) of cells at a box's pixels, by scipy."""
    rows = (box.row + np.arange(box.height) + 0.5) / stride - 0.5 - cells.row
    cols = (box.col + np.arange(box.width) + 0.5) / stride - 0.5 - cells.col
    at = np.meshgrid(rows, cols, indexing="ij")
    return np.stack([map_coordinates(plane.astype(np.float64), at, order=1) for plane in logits])


def in_one_window(session, world, box, *, divisor=1.0):
    """Classify with scipy from the logits of one window over the whole world.

    ``divisor`` (K, 1, 1) divides the probabilities of the classes.
    """
    stride = session.contract.stride
    s2, s1 = world
    (logits,) = session.run(s2[None], s1[None])
    cells = Box(WORLD.row // stride, WORLD.col // stride, ROWS // stride, COLS // stride)
    odds = softmax(upsampled(logits, cells, box, stride) / session.contract.temperature, axis=0)
    odds = odds / divisor
    odds /= odds.sum(0)
    ranked = np.sort(odds, axis=0)
    return odds.argmax(0), 100 * ranked[-1], 100 * (ranked[-1] - ranked[-2])


def assert_same(one, other):
    np.testing.assert_array_equal(one.classes, other.classes)
    np.testing.assert_array_equal(one.confidence, other.confidence)
    np.testing.assert_array_equal(one.margin, other.margin)


def part(classified, box, of):
    """The classes of a box within a larger box."""
    rows, cols = box.within(of)
    bands = classified.classes, classified.confidence, classified.margin
    return type(classified)(*(band[rows, cols] for band in bands))


@pytest.mark.parametrize("blend", ["hann", "centre"])
@pytest.mark.parametrize(("stride", "kernel"), [(4, 4), (1, 1)])
def test_windows_give_the_map_of_one_big_window(make_session, world, stride, kernel, blend):
    session = make_session(contract(stride=stride), kernel=kernel)
    box = Box(-143, -61, 251, 260)

    classified = mapped(session, world, box, blend=blend)

    classes, confidence, margin = in_one_window(session, world, box)
    clear = margin > 0.01  # the better of two equal classes hangs on the last bit
    np.testing.assert_array_equal(classified.classes[clear], classes[clear])
    assert clear.mean() > 0.999
    np.testing.assert_allclose(classified.confidence, confidence, atol=0.501)
    np.testing.assert_allclose(classified.margin, margin, atol=0.501)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_balanced_divides_by_the_root_of_the_classes_shares(make_session, world, temperature):
    shares = np.array([0.3, 0.25, 0.2, 0.1, 0.08, 0.04, 0.02, 0.01, 0.0])
    session = make_session(
        contract(prior=tuple(shares.tolist()), temperature=temperature), kernel=4
    )
    box = Box(-143, -61, 151, 160)

    classified = mapped(session, world, box, prior="balanced")

    divisor = np.sqrt(np.maximum(shares, 0.001))[:, None, None]
    classes, confidence, margin = in_one_window(session, world, box, divisor=divisor)
    clear = margin > 0.01
    np.testing.assert_array_equal(classified.classes[clear], classes[clear])
    np.testing.assert_allclose(classified.confidence, confidence, atol=0.501)
    np.testing.assert_allclose(classified.margin, margin, atol=0.501)
    natural = mapped(session, world, box)
    assert (classified.classes == 7).sum() > (natural.classes == 7).sum()


def test_centre_hides_the_edges_of_a_network_that_sees_a_few_pixels_further(make_session, world):
    session = make_session(contract(), kernel=8)
    box = Box(-143, -61, 251, 260)

    classified = mapped(session, world, box, blend="centre")

    classes, confidence, margin = in_one_window(session, world, box)
    clear = margin > 0.01
    np.testing.assert_array_equal(classified.classes[clear], classes[clear])
    np.testing.assert_allclose(classified.confidence, confidence, atol=0.501)


@pytest.mark.parametrize("blend", ["hann", "centre"])
@pytest.mark.parametrize("size", [48, 96])
def test_the_map_does_not_depend_on_the_block_size(make_session, world, blend, size):
    session = make_session(contract(), kernel=12, attention=True)
    area = Box(-150, -37, 233, 259)
    whole = mapped(session, world, area, blend=blend)

    for _, box in session.contract.lattice.blocks(area, block_size=size):
        assert_same(mapped(session, world, box, blend=blend), part(whole, box, area))


@pytest.mark.parametrize("blend", ["hann", "centre"])
def test_overlapping_areas_get_the_same_pixels(make_session, world, blend):
    session = make_session(contract(), kernel=12, attention=True)
    one, other = Box(-150, -37, 133, 159), Box(-81, 30, 150, 170)
    both = one.intersection(other)

    parts = [part(mapped(session, world, box, blend=blend), both, box) for box in (one, other)]

    assert_same(*parts)


def test_overlapping_areas_get_the_same_pixels_beside_empty_windows(make_session, world):
    session = make_session(contract(), kernel=12, attention=True)
    rng = np.random.default_rng(5)
    holes = np.kron(rng.random((7, 8)) < 0.6, np.ones((100, 100), bool))
    s2, s1 = np.where(holes, 0, world[0]), np.where(holes, -32768, world[1])
    one, other = Box(-150, -37, 233, 259), Box(-81, 30, 250, 270)
    both = one.intersection(other)

    parts = [part(mapped(session, (s2, s1), box), both, box) for box in (one, other)]

    assert_same(*parts)
    rows, cols = both.within(WORLD)
    np.testing.assert_array_equal(parts[0].classes == NODATA, holes[rows, cols])


def test_the_map_has_the_same_bits_for_any_batch_size(make_session, world):
    session = make_session(contract(), kernel=12, attention=True)
    box = Box(-150, -37, 233, 259)
    alone = mapped(session, world, box, batch_size=1)

    for size in (3, 8):
        assert_same(mapped(session, world, box, batch_size=size), alone)


def test_the_map_has_the_same_bits_with_batches_in_flight(make_session, world):
    session = make_session(contract(), kernel=12, attention=True)
    box = Box(-150, -37, 233, 259)

    assert_same(mapped(session, world, box, batch_size=3, in_flight=2), mapped(session, world, box))


def test_a_class_is_the_legends_whatever_the_order_of_the_logits(make_session, world):
    names = ("snow_and_ice", "water", "built")
    session = make_session(contract(classes=names, colours=("B39FE1", "419BDF", "C4281B")))
    box = Box(0, 0, 40, 40)

    classified = mapped(session, world, box)

    order = in_one_window(session, world, box)[0]
    np.testing.assert_array_equal(classified.classes, np.array([8, 0, 6])[order])


def constant(logits, stride=4):
    """A network that returns the same logits for every cell."""

    def run(s2, s1):
        n, _, height, width = s2.shape
        plane = np.ones((height // stride, width // stride), np.float32)
        return np.tile(np.float32(logits)[:, None, None] * plane, (n, 1, 1, 1))

    return run


def test_the_temperature_softens_the_confidence_and_not_the_class(make_session, world):
    session = make_session(contract(temperature=2.0))
    logits = [0, 4, 1, 0, 0, 0, 0, 0, 0]

    classified = mapped(session, world, Box(0, 0, 20, 20), run=constant(logits))

    odds = softmax(np.array(logits) / 2)
    assert set(classified.classes.flat) == {1}
    assert set(classified.confidence.flat) == {round(100 * odds[1])}
    assert set(classified.margin.flat) == {round(100 * (odds[1] - odds[2]))}


def test_sure_is_100_percent_and_undecided_is_the_first_class(make_session, world):
    session = make_session(contract())

    sure = mapped(session, world, Box(0, 0, 9, 9), run=constant([0] * 8 + [500]))
    torn = mapped(session, world, Box(0, 0, 9, 9), run=constant([0] * 9))

    assert (sure.classes.max(), sure.confidence.min(), sure.margin.min()) == (8, 100, 100)
    assert (torn.classes.max(), torn.confidence.max(), torn.margin.max()) == (0, 11, 0)


@pytest.mark.parametrize(
    ("s2_optional", "s1_optional", "mapped_cases"),
    [
        (True, True, {"both", "s2", "s1"}),
        (True, False, {"both", "s1"}),
        (False, True, {"both", "s2"}),
        (False, False, {"both"}),
    ],
)
def test_a_pixel_without_the_inputs_the_contract_requires_is_nodata(
    make_session, world, s2_optional, s1_optional, mapped_cases
):
    strict = contract(
        inputs={
            "s2": replace(S2_INPUT, optional=s2_optional),
            "s1": replace(S1_INPUT, optional=s1_optional),
        }
    )
    s2, s1 = world[0].copy(), world[1].copy()
    box = Box(0, 0, 40, 40)
    row, col = -WORLD.row, -WORLD.col
    s1[1, row : row + 40, col + 10 : col + 20] = -32768  # VH is enough
    s2[8, row : row + 40, col + 20 : col + 30] = 0  # one band is enough
    s2[:, row : row + 40, col + 30 : col + 40] = 0
    s1[:, row : row + 40, col + 30 : col + 40] = -32768

    classified = mapped(make_session(strict), (s2, s1), box)

    cases = np.repeat(["both", "s2", "s1", "none"], 10)
    expected = np.isin(cases, list(mapped_cases))
    for band in (classified.classes, classified.confidence, classified.margin):
        np.testing.assert_array_equal(band != NODATA, np.tile(expected, (40, 1)))


def test_an_input_the_model_does_not_take_does_not_make_a_pixel_usable(make_session, world):
    session = make_session(contract(inputs={"s2": S2_INPUT}))
    s2 = world[0].copy()
    s2[:, : -WORLD.row + 20] = 0

    classified = mapped(session, (s2, world[1]), Box(0, 0, 40, 40))

    assert (classified.classes[:20] == NODATA).all()
    assert (classified.classes[20:] != NODATA).all()


def test_a_window_without_a_usable_pixel_is_not_run(make_session, world):
    session = make_session(contract())
    calls = []

    def run(s2, s1):
        calls.append(len(s2))
        return session.run(s2, s1)

    empty = np.zeros_like(world[0]), np.full_like(world[1], -32768)
    classified = mapped(session, empty, Box(0, 0, 40, 40), run=run)

    assert calls == []
    assert (classified.classes == NODATA).all()


def test_a_window_with_little_land_is_shown_it_mirrored(make_session, world):
    session = make_session(contract())
    rows, cols = slice(300, 430), slice(150, 350)
    s2, s1 = np.zeros_like(world[0]), np.full_like(world[1], -32768)
    s2[:, rows, cols], s1[:, rows, cols] = world[0][:, rows, cols], world[1][:, rows, cols]
    s2[:, 310:320, 160:180] = 0  # a cloud, which Sentinel-1 sees through
    box = Box(WORLD.row + 300, WORLD.col + 150, 130, 200)
    windows_shown = []

    def run(*pixels):
        windows_shown.extend(zip(*pixels, strict=True))
        return session.run(*pixels)

    classified = mapped(session, (s2, s1), box, run=run)

    mask = np.ones(box.shape, bool)
    lattice, stride = session.contract.lattice, session.contract.stride
    windows = needed_windows(mask, box, lattice=lattice, stride=stride)
    assert len(windows_shown) == len(windows)
    for pair, window in zip(windows_shown, windows, strict=True):
        inner = box.intersection(window)
        edges = [
            (0, 0),
            (inner.row - window.row, window.stop[0] - inner.stop[0]),
            (inner.col - window.col, window.stop[1] - inner.stop[1]),
        ]
        for pixels, plane in zip(pair, (s2, s1), strict=True):
            land = plane[:, *inner.within(WORLD)]
            np.testing.assert_array_equal(pixels, np.pad(land, edges, mode="reflect"))
    assert (classified.classes != NODATA).all()


def test_pixels_outside_the_composite_are_nodata(make_session, world):
    session = make_session(contract())
    box = Box(0, 0, 300, 40)
    mask = np.zeros(box.shape, bool)
    mask[:20] = True

    classified = mapped(session, world, box, mask=mask)

    assert (classified.classes[mask] != NODATA).all()
    assert (classified.classes[-1] == NODATA).all()


def test_progress_counts_windows(make_session, world):
    session = make_session(contract())
    box, counts = Box(0, 0, 130, 130), []
    windows = needed_windows(np.ones(box.shape, bool), box, lattice=Lattice(64, 48), stride=4)
    over = bounding_box(windows)
    rows, cols = over.within(WORLD)

    classify(
        session.run,
        session.contract,
        s2=world[0][:, rows, cols],
        s1=world[1][:, rows, cols],
        over=over,
        windows=windows,
        box=box,
        batch_size=5,
        progress=counts.append,
    )

    assert sum(counts) == len(windows)
    assert set(counts[:-1]) == {5}


@settings(deadline=None)
@given(
    st.integers(-200, 200),
    st.integers(-200, 200),
    st.integers(1, 70),
    st.integers(1, 70),
    st.data(),
)
def test_needed_windows_are_those_with_a_cell_that_a_masked_pixel_uses(
    row, col, height, width, data
):
    stride, lattice = data.draw(st.sampled_from([(4, Lattice(32, 24)), (1, Lattice(16, 12))]))
    box = Box(row, col, height, width)
    seed = data.draw(st.integers(0, 99))
    mask = np.random.default_rng(seed).random(box.shape) < data.draw(st.sampled_from([0, 0.002, 1]))

    windows = needed_windows(mask, box, lattice=lattice, stride=stride)

    used = set()
    for y, x in np.argwhere(mask):
        cell_row, cell_col = (row + y) // stride, (col + x) // stride
        used |= {(cell_row + i, cell_col + j) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    size = lattice.size
    expected = []
    for window in lattice.reaching(box.grown(2 * size)):
        rows = range(window.row // stride, (window.row + size) // stride)
        cols = range(window.col // stride, (window.col + size) // stride)
        if any(cell_row in rows and cell_col in cols for cell_row, cell_col in used):
            expected.append(window)
    assert windows == expected
