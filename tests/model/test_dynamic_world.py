import numpy as np
import onnx
import onnxruntime
import pytest

from lulcmap.model.dynamic_world.atmosphere import add_atmosphere
from lulcmap.model.dynamic_world.bundle import read_tensors
from lulcmap.model.dynamic_world.network import add_network, build_graph, tensor_shapes
from lulcmap.model.onnx_graph import OnnxGraph
from tests.support import dynamic_world as oracle
from tests.support.bundles import random_tensors

BANDS = ["n", 9, "h", "w"]


def opened(graph):
    data = graph.to_bytes(producer="test", metadata={})
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options)


@pytest.fixture(scope="module")
def tensors():
    return random_tensors()


@pytest.fixture(scope="module")
def model(tensors):
    """Runs the whole graph with random weights: (N, 9, H, W) DN and (N,) degrees to logits."""
    session = opened(build_graph(tensors))

    def run(s2, sun=30.0):
        zenith = np.full(len(s2), sun, np.float32)
        return session.run(["logits"], {"s2": s2, "sun_zenith": zenith})[0]

    return run


@pytest.fixture(scope="module")
def to_top():
    """Runs the atmosphere alone."""
    graph = OnnxGraph("atmosphere")
    graph.add_input("surface", "float32", BANDS)
    graph.add_input("sun", "float32", ["n"])
    graph.add("Identity", add_atmosphere(graph, "surface", "sun"), out="top")
    graph.add_output("top", "float32", BANDS)
    session = opened(graph)

    def run(surface, sun):
        feeds = {"surface": np.float32(surface), "sun": np.float32(sun)}
        return session.run(["top"], feeds)[0]

    return run


def network_alone(tensors):
    graph = OnnxGraph("network")
    top = graph.add_input("top", "float32", BANDS)
    seen = graph.add_input("seen", "float32", ["n", 1, "h", "w"])
    add_network(graph, tensors, top, seen)
    session = opened(graph)

    def run(values):
        feeds = {"top": np.float32(values), "seen": np.ones_like(values[:, :1], np.float32)}
        return session.run(["logits"], feeds)[0]

    return run


def image(seed, shape=(1, 9, 64, 64)):
    return np.random.default_rng(seed).integers(1, 6000, shape).astype(np.uint16)


def test_the_network_is_that_of_its_description(tensors):
    top = image(0, (1, 9, 14, 10)).astype(float)

    found = network_alone(tensors)(top)

    np.testing.assert_allclose(found[0], oracle.logits(tensors, top[0]), atol=2e-5)


def test_the_released_network_is_that_of_its_description_and_of_its_conversion(shared_data):
    teacher = shared_data / "teacher"
    folder = teacher / "dynamicworld-forward" / "variables"
    released = read_tensors(
        (folder / "variables.index").read_bytes(),
        (folder / "variables.data-00000-of-00001").read_bytes(),
        tensor_shapes(),
    )
    converted = onnxruntime.InferenceSession(teacher / "dw_l1c.onnx")
    top = scene(shared_data)[None, :, 300:364, 300:364].astype(np.float32)

    found = network_alone(released)(top)

    np.testing.assert_allclose(found, converted.run(None, {"s2": top})[0], atol=2e-5)
    small = top[:, :, :12, :12]
    np.testing.assert_allclose(
        network_alone(released)(small)[0], oracle.logits(released, small[0]), atol=2e-5
    )


def scene(shared_data):
    """The nine bands of a scene of L1C."""
    import rasterio

    folder = shared_data / "scenes"
    with rasterio.open(folder / "chesapeake_l1c_10m.tif") as fine:
        b02, b03, b04, b08 = fine.read()
    with rasterio.open(folder / "chesapeake_l1c_20m.tif") as coarse:
        b05, b06, b07, _, b11, b12 = coarse.read(out_shape=(6, *b02.shape))
    return np.stack([b02, b03, b04, b05, b06, b07, b08, b11, b12])


def test_windows_of_one_call_do_not_see_each_other(model):
    windows = image(1, (2, 9, 32, 48))

    together = model(windows)

    assert together.shape == (2, 9, 32, 48)
    for at in range(2):
        np.testing.assert_allclose(together[at : at + 1], model(windows[at : at + 1]), atol=1e-5)


def test_the_sun_changes_the_logits_of_its_window_alone(model):
    windows = image(2, (2, 9, 32, 32))

    changed = model(windows, 70.0) - model(windows, 30.0)

    assert np.abs(changed).max() > 0.01
    np.testing.assert_array_equal(model(windows, 85.0), model(windows, 78.0))


def test_nothing_of_a_pixel_that_lacks_a_band_is_seen(model):
    first = image(3)
    first[:, 4, 20:30, 20:40] = 0
    second = first.copy()
    second[:, [0, 1, 2, 3, 5, 6, 7, 8], 20:30, 20:40] = 9999

    np.testing.assert_array_equal(model(first), model(second))


@pytest.mark.parametrize("hole", [np.s_[30:31, 30:31], np.s_[10:60, 4:30], np.s_[:, :62]])
def test_a_hole_in_even_ground_is_not_seen(model, hole):
    even = np.broadcast_to(image(4, (1, 9, 1, 1)), (1, 9, 64, 64)).copy()
    holed = even.copy()
    holed[(slice(None), slice(None), *hole)] = 0

    np.testing.assert_allclose(model(holed), model(even), atol=1e-4)


def test_a_hole_takes_the_mean_of_what_is_near_and_not_of_what_is_far(model):
    halves = np.empty((1, 9, 64, 128), np.uint16)
    halves[..., :64], halves[..., 64:] = 300, 4000
    holed = halves.copy()
    holed[..., 10:20, 10:20] = 0

    near = np.s_[..., :40, :30]
    np.testing.assert_allclose(model(holed)[near], model(halves)[near], atol=1e-4)


def test_a_window_without_any_pixel_gives_finite_logits(model):
    assert np.isfinite(model(np.zeros((1, 9, 32, 32), np.uint16))).all()


@pytest.mark.parametrize("value", [1, 65535])
@pytest.mark.parametrize("sun", [0.0, 90.0])
def test_extreme_pixels_give_finite_logits(model, value, sun):
    assert np.isfinite(model(np.full((1, 9, 32, 32), value, np.uint16), sun)).all()


def test_a_tensor_of_another_shape_is_refused(tensors):
    name = "variables/144/.ATTRIBUTES/VARIABLE_VALUE"

    with pytest.raises(ValueError, match=r"variables/144.* was expected"):
        build_graph({**tensors, name: tensors[name][..., :8]})


def test_the_sky_brightens_dark_ground_and_dims_bright_ground_the_more_the_lower_the_sun(to_top):
    dark, bright = (np.full((3, 9, 1, 1), dn) for dn in (1, 9000))
    suns = [30, 60, 75]

    over_dark, over_bright = (to_top(ground, suns)[..., 0, 0] for ground in (dark, bright))

    assert (np.diff(over_dark[:, :7], axis=0) > 0).all()  # the infrared is hardly scattered
    assert (over_dark[:, 0] > over_dark[:, 6]).all()  # blue is scattered most
    assert (np.diff(over_bright, axis=0) < 0).all()


def test_the_atmosphere_is_within_five_dn_or_half_a_percent_of_the_table_of_6sv(
    shared_data, to_top
):
    table = Table(shared_data / "teacher" / "atmosphere-6sv.npz")
    suns = np.arange(0, 80.5, 0.5)
    surface = np.arange(0, 10001, 100.0)

    found = to_top(np.tile(surface, (len(suns), 9, 1, 1)), suns)[:, :, 0]

    expected = np.stack([table.top(np.maximum(surface, 1), sun) for sun in suns])
    error = np.abs(found - expected)
    assert (error <= np.maximum(5, 0.005 * expected)).all()
    assert error.max() < 16
    assert error[..., 0].max() < 4


class Table:
    """The runs of 6SV, interpolated in the air mass, at the aerosol and gases of the model."""

    def __init__(self, path):
        self.values = dict(np.load(path))

    def top(self, surface, sun):
        values = self.values
        mass = 1 / np.cos(np.radians(min(sun, 78)))

        def along(suns, of):
            return np.array(
                [np.interp(mass, 1 / np.cos(np.radians(values[suns])), row) for row in of]
            )

        at_aot = [*values["AOT"]].index(0.1)
        path, gain, albedo = (along("SZA", values["T"][:, :, at_aot, k]) for k in range(3))
        roots = np.sqrt(values["WV"])
        water = np.stack(
            [[np.interp(np.sqrt(1.5), roots, row) for row in band] for band in values["W"]]
        )
        vapour = along("SZW", water)
        gases = along("SZW", values["O"]) * along("SZW", values["G"])
        rho = surface / 1e4
        path = path * gases * np.sqrt(vapour)
        gain = gain * gases * vapour
        lit = gain[:, None] * rho / (1 - albedo[:, None] * rho)
        return 1e4 * (path[:, None] + lit)
