"""Foreign networks, wrapped: torch and numpy on transformed pixels say what a session must give."""

import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from torch import nn

from lulcmap.errors import DeviceError, ModelError, OutputError, UsageError
from lulcmap.legend import LandCover
from lulcmap.model import WrapRequest, foreign, open_session, read_model, wrap_model
from lulcmap.model.contract import SUN_SCALAR
from lulcmap.model.hints import read_hints
from lulcmap.model.trial import COVER_SPECTRA, typical_pixels
from lulcmap.sensors import S1_BANDS, S2_BANDS
from tests.support.foreign import identity, linear, load, save_graph
from tests.support.stubs import composites, contract, make_model

RGBN = ("B04", "B03", "B02", "B08")
MEAN, STD = (0.1, 0.12, 0.09, 0.25), (0.05, 0.06, 0.05, 0.1)
FLOAT = TensorProto.FLOAT


def covers(*names):
    return tuple(LandCover(at, name, "7B2D43") for at, name in enumerate(names))


def request(n=5, **others):
    values = {"bands": RGBN, "reflectance": (0, 1), "classes": covers(*map("c{}".format, range(n)))}
    return WrapRequest(**{**values, "window": 64, **others})


def sunny(path, *, batch="n", dtype=FLOAT):
    """A network whose logits are the bands, plus the sun's zenith times 0.1, 0.2, ..."""
    nodes = [
        helper.make_node("Cast", ["sun_zenith"], ["sun"], to=FLOAT),
        helper.make_node("Reshape", ["sun", "column"], ["column_of_sun"]),
        helper.make_node("Mul", ["column_of_sun", "weights"], ["light"]),
        helper.make_node("Add", ["x", "light"], ["y"]),
    ]
    return save_graph(
        path,
        nodes,
        [("x", FLOAT, [batch, 4, "h", "w"]), ("sun_zenith", dtype, [batch])],
        [("y", FLOAT, [batch, 4, "h", "w"])],
        weights={
            "column": np.array([-1, 1, 1, 1]),
            "weights": np.float32([0.1, 0.2, 0.3, 0.4]).reshape(1, 4, 1, 1),
        },
    )


class Net(nn.Module):
    """A small convolutional network with cells of ``stride`` pixels."""

    def __init__(self, n_bands, n_out, *, stride=1, end=None, nhwc=False):
        super().__init__()
        torch.manual_seed(n_bands + n_out)
        self.first = nn.Conv2d(n_bands, 8, 3, padding=1)
        self.last = nn.Conv2d(8, n_out, stride, stride)
        self.end, self.nhwc = end, nhwc

    def forward(self, *images):
        x = torch.cat(images, 1 if not self.nhwc else 3)
        x = x.permute(0, 3, 1, 2) if self.nhwc else x
        x = self.last(torch.relu(self.first(x)))
        x = self.end(x) if self.end else x
        return x.permute(0, 2, 3, 1) if self.nhwc and x.ndim == 4 else x


def export(net, path, *shapes, opset=17, free=True, **others):
    axes = {0: "n", 1: "h", 2: "w"} if net.nhwc else {0: "n", 2: "h", 3: "w"}
    names = [f"in{at}" for at in range(len(shapes))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(),
            tuple(torch.zeros(shape) for shape in shapes),
            str(path),
            input_names=names,
            output_names=["out"],
            opset_version=opset,
            dynamic_axes=dict.fromkeys(names, axes) if free else None,
            dynamo=False,
            verbose=False,
            **others,
        )
    return path


def pixels(n=1, side=64, seed=0):
    rng = np.random.default_rng(seed)
    windows = [composites(rng, (side, side)) for _ in range(n)]
    return np.stack([s2 for s2, _ in windows]), np.stack([s1 for _, s1 in windows])


def shown(s2, bands=RGBN, *, scale=1e-4, offset=0.0, mean=MEAN, std=STD):
    """Sentinel-2 as the network was trained on it, by hand."""
    x = s2[:, [S2_BANDS.index(band) for band in bands]].astype(np.float32)
    x = x * np.float32(scale) + np.float32(offset)
    along = (1, -1, 1, 1)
    return torch.from_numpy(
        (x - np.float32(mean).reshape(along)) / np.float32(std).reshape(along)
    ).float()


def run(path, s2, s1):
    session = open_session(path, device="cpu")
    try:
        return session.run(s2, s1)
    finally:
        session.close()


def close(found, expected, tolerance=1e-5):
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 20])
@pytest.mark.parametrize("stride", [1, 4])
def test_a_wrapped_network_gives_what_it_gives_for_transformed_pixels(tmp_path, stride, opset):
    net = Net(4, 5, stride=stride)
    path = export(net, tmp_path / "net.onnx", (1, 4, 64, 64), opset=opset)
    s2, s1 = pixels(2)

    model = wrap_model(path, tmp_path / "m.onnx", request(mean=MEAN, std=STD))

    assert (model.contract.stride, model.contract.window, model.contract.step) == (stride, 64, 48)
    close(run(model.path, s2, s1), net(shown(s2)))


def test_a_network_of_one_size_and_one_image_keeps_both(tmp_path):
    net = Net(4, 5, stride=4)
    path = export(net, tmp_path / "net.onnx", (1, 4, 96, 96), free=False)
    s2, s1 = pixels(3, side=96)

    model = wrap_model(path, tmp_path / "m.onnx", request(window=None, mean=MEAN, std=STD))

    assert (model.contract.window, model.contract.multiple) == (96, 96)
    assert any("one window at a time" in note for note in model.notes)
    assert open_session(model.path, device="cpu", batch_size=4).batch_size == 1
    close(run(model.path, s2, s1), net(shown(s2)))


def test_a_network_whose_batch_is_free_in_name_only_gets_one_window_at_a_time(tmp_path):
    nodes = [
        helper.make_node("Reshape", ["x", "rows"], ["flat"]),
        helper.make_node("Reshape", ["flat", "back"], ["y"]),
    ]
    free, shape = ["n", 4, 64, 64], np.array([1, 4, 64, 64])
    path = save_graph(
        tmp_path / "net.onnx",
        nodes,
        [("x", FLOAT, free)],
        [("y", FLOAT, None)],
        weights={"rows": np.array([-1]), "back": shape},
    )

    model = wrap_model(path, tmp_path / "m.onnx", request(4, window=None, mean=MEAN))

    assert [
        one.type.tensor_type.shape.dim[0].dim_value for one in load(model.path).graph.input
    ] == [1]


@pytest.mark.parametrize("stride", [1, 4])
def test_a_network_with_the_bands_last_is_wrapped(tmp_path, stride):
    net = Net(4, 5, stride=stride, nhwc=True)
    path = export(net, tmp_path / "net.onnx", (1, 64, 64, 4))
    s2, s1 = pixels()

    model = wrap_model(path, tmp_path / "m.onnx", request(mean=MEAN, std=STD))

    close(run(model.path, s2, s1), net(shown(s2).permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
    assert "(N, H, W, bands)" in model.transform[0]


@pytest.mark.parametrize("end", [nn.Softmax(1), nn.Sigmoid()], ids=["softmax", "sigmoid"])
def test_probabilities_become_their_logarithms(tmp_path, end):
    net = Net(4, 5, end=end)
    path = export(net, tmp_path / "net.onnx", (1, 4, 64, 64))
    s2, s1 = pixels()
    said = None if isinstance(end, nn.Softmax) else "probabilities"

    model = wrap_model(path, tmp_path / "m.onnx", request(mean=MEAN, std=STD, returns=said))

    expected = net(shown(s2))
    close(torch.from_numpy(run(model.path, s2, s1)).exp(), expected)
    assert model.output.startswith("probabilities in channels: 0 c0, 1 c1")


def test_sigmoids_of_several_classes_ask_what_they_are(tmp_path):
    path = export(Net(4, 5, end=nn.Sigmoid()), tmp_path / "net.onnx", (1, 4, 64, 64))

    with pytest.raises(UsageError, match=r"do not sum to 1 .* --returns probabilities"):
        wrap_model(path, tmp_path / "m.onnx", request())


@pytest.mark.parametrize("end", [None, nn.Sigmoid()], ids=["logits", "probabilities"])
def test_one_class_against_the_rest_has_two_logits(tmp_path, end):
    net = Net(4, 1, end=end)
    path = export(net, tmp_path / "net.onnx", (1, 4, 64, 64))
    s2, s1 = pixels()

    two = request(classes=covers("other", "water"), returns=None if end else "logits")
    model = wrap_model(path, tmp_path / "m.onnx", two)

    found = torch.from_numpy(run(model.path, s2, s1)).softmax(1)[:, 1:]
    logits = net(shown(s2, mean=(0,) * 4, std=(1,) * 4))
    close(found, logits if end else logits.sigmoid())


class Ids(nn.Module):
    def __init__(self, keep):
        super().__init__()
        self.keep = keep

    def forward(self, x):
        return x.argmax(1, keepdim=self.keep) * 10 + 10


@pytest.mark.parametrize("keep", [True, False], ids=["4 axes", "3 axes"])
def test_ids_of_classes_become_logits_of_their_classes(tmp_path, keep):
    net = Net(4, 4, end=Ids(keep))
    path = export(net, tmp_path / "net.onnx", (1, 4, 64, 64))
    s2, s1 = pixels()
    codes = {"30": 0, "10": 1, "20": 2, "40": 0}

    model = wrap_model(
        path,
        tmp_path / "m.onnx",
        request(classes=covers("a", "b", "c"), codes=codes, mean=MEAN, std=STD),
    )

    expected = net(shown(s2)).reshape(1, 64, 64).numpy()
    table = np.zeros(50, int)
    table[[30, 10, 20, 40]] = [0, 1, 2, 0]
    assert (run(model.path, s2, s1).argmax(1) == table[expected]).all()


def test_ids_without_a_class_are_refused(tmp_path):
    path = export(Net(4, 4, end=Ids(True)), tmp_path / "net.onnx", (1, 4, 64, 64))

    with pytest.raises(UsageError, match=r"returned the ids .* which --classes does not have"):
        wrap_model(path, tmp_path / "m.onnx", request(4))


def test_channels_of_one_class_are_summed_and_unmapped_ones_never_win(tmp_path):
    net = Net(4, 5)
    path = export(net, tmp_path / "net.onnx", (1, 4, 64, 64))
    s2, s1 = pixels()
    codes = {"1": 0, "0": 1, "2": 0, "4": 2, "3": 3}  # 1 and 2 are a, 0 is never mapped

    model = wrap_model(
        path,
        tmp_path / "m.onnx",
        request(classes=covers("a", "-", "b", "c"), codes=codes, mean=MEAN, std=STD),
    )

    p = net(shown(s2)).softmax(1)
    kept = torch.stack([p[:, 1] + p[:, 2], p[:, 4], p[:, 3]], 1)
    close(torch.from_numpy(run(model.path, s2, s1)).softmax(1), kept / kept.sum(1, keepdim=True))
    assert model.contract.classes == ("a", "b", "c")
    assert model.output == "logits in channels: 1 a, 0 -, 2 a, 4 b, 3 c"


@pytest.mark.parametrize(("unit", "power"), [("db", False), ("linear", True)])
def test_two_inputs_take_their_sensors_and_a_missing_one_its_fill(tmp_path, unit, power):
    net = Net(6, 5)
    path = export(net, tmp_path / "net.onnx", (1, 2, 64, 64), (1, 4, 64, 64))
    s2, s1 = pixels(2)
    s1[0, :, :20] = -32768
    s1[1, 1, 5, 5] = -32768  # without one band, a pixel is without the sensor
    mean, std = (*MEAN, -12.0, -18.0), (*STD, 4.0, 5.0)

    model = wrap_model(
        path,
        tmp_path / "m.onnx",
        request(
            inputs=("s1", "s2"),
            bands=(*RGBN, "VH", "VV"),
            s1=unit,
            mean=mean,
            std=std,
            missing={"s1": 0.5},
        ),
    )

    db = s1[:, [1, 0]].astype(np.float64) / 100
    radar = ((10 ** (db / 10) if power else db) - np.reshape(mean[4:], (2, 1, 1))) / np.reshape(
        std[4:], (2, 1, 1)
    )
    radar[np.broadcast_to((s1 == -32768).any(1, keepdims=True), radar.shape)] = 0.5
    expected = net(torch.from_numpy(radar).float(), shown(s2))
    close(run(model.path, s2, s1), expected)
    needs = {name: item.optional for name, item in model.contract.inputs.items()}
    assert needs == {"s2": False, "s1": True}


def test_one_input_of_both_sensors_keeps_its_order(tmp_path):
    path = identity(tmp_path / "net.onnx", 4)
    s2, s1 = pixels()

    model = wrap_model(
        path,
        tmp_path / "m.onnx",
        request(4, bands=("VV", "B08", "VH", "B08"), reflectance=(0, 10000), s1="db"),
    )

    expected = np.stack([s1[:, 0] / 100, s2[:, 6], s1[:, 1] / 100, s2[:, 6]], 1)
    np.testing.assert_allclose(run(model.path, s2, s1), expected, rtol=1e-6)
    assert [item.optional for item in model.contract.inputs.values()] == [False, False]


@given(
    bands=st.lists(st.sampled_from(S2_BANDS), min_size=1, max_size=9, unique=True),
    scale=st.floats(1e-5, 2),
    offset=st.floats(-100, 1000),
    clip=st.none() | st.tuples(st.floats(-1, 0), st.floats(1, 3000)),
    mean=st.floats(-10, 2000),
    std=st.floats(0.01, 500),
    fill=st.floats(-3, 3),
    opset=st.sampled_from([11, 13, 17, 18, 21]),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_transform_is_numpys(tmp_path, bands, scale, offset, clip, mean, std, fill, opset):
    n = len(bands)
    path = identity(tmp_path / "net.onnx", n, opset=opset)
    s2, s1 = pixels()
    s2[0, S2_BANDS.index(bands[-1]), 3] = 0

    said = request(
        max(2, n),
        bands=tuple(bands),
        reflectance=None,
        scale=scale,
        offset=offset,
        clip=clip,
        mean=(mean,),
        std=(std,),
        missing={"fill": fill},
        returns="logits",
    )
    model = wrap_model(path, tmp_path / "m.onnx", said, overwrite=True)

    x = s2[:, [S2_BANDS.index(band) for band in bands]] * scale + offset
    x = x if clip is None else x.clip(*clip)
    x = (x - mean) / std
    x[
        np.broadcast_to(
            (s2[:, [S2_BANDS.index(b) for b in bands]] == 0).any(1, keepdims=True), x.shape
        )
    ] = fill
    found = run(model.path, s2, s1)
    np.testing.assert_allclose(
        found if n > 1 else found[:, 1:], x, rtol=1e-4, atol=1e-4 * max(1, 30 / std)
    )


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(TensorProto.FLOAT16, 0.1), (TensorProto.DOUBLE, 1e-5), (TensorProto.UINT8, 0.51)],
    ids=["half", "double", "bytes"],
)
def test_a_network_of_another_type_gets_its_type(tmp_path, dtype, tolerance):
    path = identity(tmp_path / "net.onnx", 4, dtype=dtype)
    s2, s1 = pixels()

    model = wrap_model(
        path, tmp_path / "m.onnx", request(4, reflectance=(0, 255), returns="logits")
    )

    expected = s2[:, [2, 1, 0, 6]] * 0.0255
    np.testing.assert_allclose(run(model.path, s2, s1), expected, atol=tolerance)
    assert model.contract.precision == ("fp16" if dtype == TensorProto.FLOAT16 else "fp32")


def test_a_right_transform_is_seen_to_be_right(tmp_path):
    spectra = np.array([*COVER_SPECTRA.values()], float)[:, [2, 1, 0, 6]] / 1e4
    weights, bias = 2 * spectra / 0.01, -(spectra**2).sum(1) / 0.01  # nearest spectrum
    path = linear(tmp_path / "net.onnx", weights, bias)

    right = wrap_model(path, tmp_path / "a.onnx", request(classes=covers(*COVER_SPECTRA)))
    wrong = wrap_model(
        path, tmp_path / "b.onnx", request(classes=covers(*COVER_SPECTRA), reflectance=(0, 10000))
    )

    assert all(name == cover and share > 0.7 for cover, (name, share) in right.trial.covers.items())
    assert not right.notes
    assert len(wrong.trial.shares) < 3


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (([[0] * 4] * 5, [0, 1, 0, 0, 0]), "same for every pixel"),
        (([[0] * 4] * 4 + [[9] * 4], [0] * 5), "gives c4 to water, trees"),
    ],
    ids=["constant", "one class"],
)
def test_outputs_that_look_wrong_are_told(tmp_path, net, words):
    path = linear(tmp_path / "net.onnx", *net)

    model = wrap_model(path, tmp_path / "m.onnx", request())

    assert any(words in note for note in model.notes)


def test_a_mean_in_another_unit_is_told(tmp_path):
    path = identity(tmp_path / "net.onnx", 4)

    model = wrap_model(path, tmp_path / "m.onnx", request(4, mean=(1300,), std=(600,)))
    assert not any("unit of --scale" in note for note in model.notes)
    model = wrap_model(
        path,
        tmp_path / "m.onnx",
        request(4, mean=(0.1,), std=(0.05,), reflectance=(0, 10000)),
        overwrite=True,
    )
    assert any("unit of --scale" in note for note in model.notes)


def says(tmp_path, path, error, words, **others):
    with pytest.raises(error) as caught:
        wrap_model(path, tmp_path / "m.onnx", request(**others))
    text = str(caught.value)
    assert words in text, text
    assert "\n" not in text
    assert not list(tmp_path.glob("*m.onnx*"))


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ({"bands": ()}, UsageError, "does not tell its bands in its order (--bands"),
        ({"reflectance": None}, UsageError, "does not tell its unit (--reflectance"),
        ({"classes": ()}, UsageError, "does not tell its classes (--classes"),
        ({"bands": RGBN[:3]}, UsageError, "with 4 bands as nchw; --bands names 3"),
        ({"bands": ("B01", *RGBN)}, UsageError, "--bands has 'B01'; lulcmap provides B02"),
        ({"bands": ("VV", *RGBN[:3])}, UsageError, "the unit of Sentinel-1 (--s1 db"),
        ({"mean": (1, 2, 3)}, UsageError, "--mean has 3 numbers; --bands names 4"),
        ({"std": (0,)}, UsageError, "not above 0"),
        ({"scale": 1.0}, UsageError, "--scale and --reflectance say the same"),
        ({"classes": covers("a", "b")}, UsageError, "5 channels; --classes names 2"),
        ({"stride": 4}, UsageError, "--stride is 4, but"),
        ({"step": 51}, UsageError, "--step is 51; for windows of 64 px"),
        ({"offset": 1.0}, UsageError, "--offset is for --scale"),
        ({"s1": "db"}, UsageError, "--s1 is for a network that takes s1"),
        ({"inputs": ("s2", "s1")}, UsageError, "but --bands has bands of s2"),
        ({"window": 2**15}, ModelError, "at most 4096"),
        ({"window": 66}, ModelError, "multiples of 4"),
        ({"missing": {"s1": 0}}, UsageError, "--missing names s1"),
        ({"output": "z"}, UsageError, "--output is 'z'"),
        ({"returns": "classes"}, UsageError, "ids of classes need one"),
        ({"resolution": 0.5}, ModelError, "pixels of 0.5 m; lulcmap provides 10 m"),
        ({"name": "a\nb"}, ModelError, "no name, or one that is not plain"),
        ({"quality": "a\nb"}, ModelError, "must be a line of text"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_mistake_is_told_in_one_line_and_nothing_is_written(tmp_path, said, error, words):
    says(tmp_path, export(Net(4, 5), tmp_path / "net.onnx", (1, 4, 64, 64)), error, words, **said)


def test_two_inputs_ask_which_is_which(tmp_path):
    path = export(Net(6, 5), tmp_path / "net.onnx", (1, 4, 64, 64), (1, 2, 64, 64))

    says(
        tmp_path,
        path,
        UsageError,
        "which input is which (--inputs s2,s1)",
        bands=(*RGBN, *S1_BANDS),
        s1="db",
    )
    says(
        tmp_path,
        path,
        UsageError,
        "such as --inputs s2,s1",
        bands=(*RGBN, *S1_BANDS),
        inputs=("s2", "s2"),
        s1="db",
    )
    named = request(bands=(*RGBN, *S1_BANDS), s1="db", inputs=("in1=s1", "in0=s2"))
    assert set(wrap_model(path, tmp_path / "ok.onnx", named).contract.inputs) == {"s2", "s1"}


def relu(x="x", y="y", **others):
    return helper.make_node("Relu", [x], [y], **others)


def loop():
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["v"], ["u"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("u", FLOAT, None),
        ],
    )
    return helper.make_node("Loop", ["many", "yes", "x"], ["y"], body=body)


IMAGE = ["n", 4, "h", "w"]
GIANT = helper.make_tensor("value", FLOAT, [1], [1.0])


@pytest.mark.parametrize(
    ("nodes", "shape", "others", "words"),
    [
        (
            [relu(domain="mine")],
            IMAGE,
            {"domains": ["mine"]},
            "needs the operator 'Relu' of 'mine'",
        ),
        (
            [loop()],
            IMAGE,
            {"weights": {"many": np.array(2**62), "yes": np.array(True)}},
            "has a loop (Loop)",
        ),
        ([relu()], ["n", 6, 4, "h", "w"], {}, "which is no image of 4 axes"),
        ([relu()], [8, 4, "h", "w"], {}, "takes batches of 8 images"),
        ([relu()], ["n", 4, 64, 32], {}, "windows are square"),
        ([relu()], IMAGE, {"metadata": {"model_type": '"Detector"'}}, "is a 'Detector'"),
        ([relu()], IMAGE, {"metadata": {"resolution": "50"}}, "pixels of 0.5 m"),
        ([relu()], IMAGE, {"metadata": {"lulcmap": "{}"}}, "already has a contract"),
        ([relu()], IMAGE, {"opset": 9}, "has opset 9"),
        (
            [
                helper.make_node("ConstantOfShape", ["size"], ["much"], value=GIANT),
                helper.make_node("ReduceMax", ["much"], ["most"], keepdims=0),
                helper.make_node("Add", ["x", "most"], ["y"]),
            ],
            IMAGE,
            {"weights": {"size": np.array([2**50])}},
            "",
        ),
        (
            [
                helper.make_node("Log", ["minus"], ["nan"]),
                helper.make_node("Add", ["x", "nan"], ["y"]),
            ],
            IMAGE,
            {"weights": {"minus": np.float32(-1)}},
            "returns NaN or infinity",
        ),
        (
            [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3])],
            IMAGE,
            {},
            "62 x 62 cells for 64 x 64 px",
        ),
        (
            [
                helper.make_node("GlobalMaxPool", ["x"], ["z"]),
                helper.make_node("Flatten", ["z"], ["y"]),
            ],
            IMAGE,
            {"out": ["n", 4]},
            "no image of classes",
        ),
    ],
    ids=[
        "domain",
        "loop",
        "series",
        "batch",
        "oblong",
        "detector",
        "fine",
        "ours",
        "old",
        "giant",
        "nan",
        "valid",
        "scene",
    ],
)
def test_a_file_that_cannot_map_is_refused_in_one_line(tmp_path, nodes, shape, others, words):
    others = dict(others)
    out = others.pop("out", None)
    path = save_graph(
        tmp_path / "net.onnx", nodes, [("x", FLOAT, shape)], [("y", FLOAT, out)], **others
    )

    says(tmp_path, path, ModelError, words, n=4, reflectance=(0, 10000))


def test_weights_in_another_file_are_refused_before_anything_loads_them(tmp_path, monkeypatch):
    path = linear(tmp_path / "net.onnx", np.ones((5, 4)), np.zeros(5))
    model = load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    path.write_bytes(model.SerializeToString())
    monkeypatch.setattr(foreign, "load_onnx", lambda: pytest.fail("loaded"))

    says(tmp_path, path, ModelError, "keeps weights in another file")


def test_files_that_are_there_stay(tmp_path):
    path = identity(tmp_path / "net.onnx", 4)
    before = path.read_bytes()
    (tmp_path / "notes.onnx").write_text("mine")

    with pytest.raises(OutputError, match="is the file that is read"):
        wrap_model(path, path, request(4, mean=MEAN), overwrite=True)
    with pytest.raises(OutputError, match="exists and is not a model"):
        wrap_model(path, tmp_path / "notes.onnx", request(4, mean=MEAN), overwrite=True)
    wrap_model(path, tmp_path / "m.onnx", request(4, mean=MEAN))
    with pytest.raises(OutputError, match="--overwrite"):
        wrap_model(path, tmp_path / "m.onnx", request(4, mean=MEAN))
    assert path.read_bytes() == before


def test_without_onnx_a_line_says_what_to_install(tmp_path, monkeypatch):
    path = identity(tmp_path / "net.onnx", 4)
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)

    with pytest.raises(DeviceError, match="pip install onnx"):
        wrap_model(path, tmp_path / "m.onnx", request(4))


def test_names_never_meet_and_functions_and_empty_inputs_work(tmp_path):
    double = helper.make_function(
        "mine",
        "Double",
        ["s2"],
        ["logits"],
        [helper.make_node("Add", ["s2", "s2"], ["logits"])],
        [helper.make_opsetid("", 17)],
    )
    nodes = [
        helper.make_node("Double", ["s2"], ["s1"], domain="mine", name="lulcmap/node_0"),
        helper.make_node("Resize", ["s1", "", "twice"], ["lulcmap/Cast_0"], name="a"),
        helper.make_node(
            "AveragePool", ["lulcmap/Cast_0"], ["logits"], kernel_shape=[2, 2], strides=[2, 2]
        ),
    ]
    path = save_graph(
        tmp_path / "net.onnx",
        nodes,
        [("s2", FLOAT, IMAGE)],
        [("logits", FLOAT, None)],
        weights={"twice": np.float32([1, 1, 2, 2])},
        functions=[double],
        domains=["mine"],
    )
    s2, s1 = pixels()

    model = wrap_model(path, tmp_path / "m.onnx", request(4, reflectance=(0, 10000)))

    np.testing.assert_allclose(run(model.path, s2, s1), 2.0 * s2[:, [2, 1, 0, 6]])


DEEPNESS = {
    "model_type": '"Segmentor"',
    "class_names": json.dumps({0: "soil", 1: "field", 2: "pond", 3: "road"}),
    "resolution": "1000",
    "tile_size": "128",
    "tiles_overlap": "50",
    "standardization_mean": "[0.1, 0.2, 0.3, 0.4]",
    "standardization_std": "[0.5, 0.5, 0.5, 0.25]",
    "seg_thresh": "0.5",
    "author": "someone",
}


def test_deepness_s_metadata_gives_defaults_and_is_written(tmp_path):
    path = identity(tmp_path / "net.onnx", 4, metadata=DEEPNESS)
    s2, s1 = pixels(side=128)

    model = wrap_model(
        path, tmp_path / "m.onnx", request(classes=(), window=None, returns="logits")
    )

    made = model.contract
    assert (made.classes, made.window, made.step) == (("soil", "field", "pond", "road"), 128, 64)
    assert not model.notes
    close(
        run(model.path, s2, s1),
        shown(s2, mean=(0.1, 0.2, 0.3, 0.4), std=(0.5, 0.5, 0.5, 0.25)),
    )
    found = {one.key: one.value for one in load(model.path).metadata_props}
    kept = {"model_type", "class_names", "resolution", "tile_size", "tiles_overlap", "author"}
    assert set(found) == {*kept, "lulcmap"}
    assert json.loads(found["resolution"]) == 1000
    assert json.loads(found["tiles_overlap"]) == 50
    assert found["author"] == "someone"
    assert load(model.path).producer_name == "elsewhere"


def test_metadata_that_cannot_be_used_is_told(tmp_path):
    wrong = {
        **DEEPNESS,
        "tile_size": '"big"',
        "class_names": "{0: 'a', 2: 'b'}",
        "seg_thresh": "0.7",
    }
    path = identity(tmp_path / "net.onnx", 4, metadata=wrong)

    model = wrap_model(path, tmp_path / "m.onnx", request(4, returns="logits"))

    assert [note.split()[1] for note in model.notes] == ["class_names", "tile_size", "seg_thresh"]


def test_pythons_text_of_class_names_is_read(tmp_path):
    path = identity(tmp_path / "net.onnx", 4, metadata={"names": "{0: 'a', 1: 'b'}"})

    assert read_hints(foreign.read_foreign(path)).names == ("a", "b")


def test_geoai_s_file_beside_a_model_names_the_classes(tmp_path):
    path = identity(tmp_path / "net.onnx", 4)
    labels = {"0": "a", "1": "b", "2": "c", "3": "d"}
    sidecar = Path(f"{path}.json")
    sidecar.write_text(json.dumps({"task": "semantic-segmentation", "id2label": labels}))

    model = wrap_model(path, tmp_path / "m.onnx", request(classes=(), returns="logits"))
    assert model.contract.classes == ("a", "b", "c", "d")

    sidecar.write_text(json.dumps({"task": "object-detection"}))
    with pytest.raises(ModelError, match="is a 'object-detection'"):
        wrap_model(path, tmp_path / "m2.onnx", request(4))


def test_what_its_makers_say_is_in_the_contract_as_theirs(tmp_path):
    path = identity(tmp_path / "net.onnx", 4)

    plain = wrap_model(path, tmp_path / "a.onnx", request(4, mean=MEAN)).contract
    told = wrap_model(
        path,
        tmp_path / "b.onnx",
        request(
            4,
            mean=MEAN,
            name="fields",
            license="CC-BY-4.0",
            trained_on="Ghana 2021",
            quality="F1 0.8",
        ),
    ).contract

    assert plain.trained_on == "unknown"
    assert plain.training["license"] == "unknown"
    assert plain.describe() == "was made elsewhere; lulcmap did not measure its quality"
    assert (told.name, told.training["license"]) == ("fields", "CC-BY-4.0")
    assert told.training["data"] == "Ghana 2021"
    assert told.describe() == "was not measured by lulcmap; its makers say: F1 0.8"
    assert read_model(tmp_path / "b.onnx").contract == told


def test_typical_pixels_fill_any_window():
    for side in (4, 20, 64, 500):
        cover, (s2, s1) = typical_pixels(side, seed=1)
        assert cover.shape == (side, side)
        assert (s2.shape, s1.shape) == ((1, 9, side, side), (1, 2, side, side))
        assert s2.min() > 0


def test_a_wrapped_model_is_valid_onnx(tmp_path):
    path = export(Net(4, 5, stride=4), tmp_path / "net.onnx", (1, 4, 64, 64))

    model = wrap_model(path, tmp_path / "m.onnx", request())

    onnx.checker.check_model(load(model.path), full_check=True)


def test_a_model_of_lulcmap_needs_no_wrapping(tmp_path):
    path = make_model(tmp_path / "net.onnx", contract())

    says(tmp_path, path, ModelError, "already has a contract")


@pytest.mark.parametrize("batch", ["n", 1])
def test_a_network_that_takes_the_sun_gets_it(tmp_path, batch):
    wrapped = wrap_model(sunny(tmp_path / "m.onnx", batch=batch), tmp_path / "o.onnx", request(4))

    session = open_session(wrapped.path, device="cpu")
    s2, s1 = pixels(2)
    logits = session.run(s2, s1, np.float32([30, 60]))

    assert wrapped.contract.scalars == {"sun_zenith": SUN_SCALAR}
    assert any("sun_zenith" in line for line in wrapped.transform)
    bands = shown(s2, mean=(0,) * 4, std=(1,) * 4).numpy()
    light = np.float32([30, 60])[:, None] * np.float32([0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(logits, bands + light[:, :, None, None], rtol=1e-5)


def test_a_sun_lulcmap_cannot_give_is_refused(tmp_path):
    radar = request(4, bands=("VV", "VH", "VV", "VH"), reflectance=None, s1="db")

    with pytest.raises(ModelError, match="sun_zenith, which is that of Sentinel-2"):
        wrap_model(sunny(tmp_path / "m.onnx"), tmp_path / "o.onnx", radar)
    with pytest.raises(
        ModelError, match=r"sun_zenith.* no image of 4 axes .* but sun_zenith \(N\)"
    ):
        wrap_model(
            sunny(tmp_path / "d.onnx", dtype=TensorProto.DOUBLE), tmp_path / "o.onnx", request(4)
        )
