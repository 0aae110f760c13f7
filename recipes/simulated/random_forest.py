"""Fit the shipped random forest: a classifier of single pixels for simulated countries.

    python recipes/simulated/random_forest.py RUN_FOLDER

RUN_FOLDER holds the chips of ``train_simulated.py``, so network and forest are trained on the same
countries. The forest is small enough to ship; the card gives the scores of a large one. It is the
demo's baseline and an example of a foreign model: stride 1, no network, one ONNX file.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import RandomForestClassifier

from lulcmap.legend import CLASSES, NODATA
from lulcmap.model import METADATA_KEY, S1_INPUT, S2_INPUT, Contract
from lulcmap.sensors import S1_BANDS, S2_BANDS

NAME = "random-forest-simulated"

PIXELS = 120_000
"""Number of training pixels, drawn evenly from the countries."""


def sample(folder: Path, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw pixels of raw composites, (n, 11) float32, and their classes, (n,)."""
    rng = np.random.default_rng(seed)
    files = sorted(folder.glob("*.npz"))
    bands, labels = [], []
    for path in files:
        with np.load(path) as chips:
            planes = np.concatenate([chips["s2"].astype(np.float32), chips["s1"]], 1)
            label = chips["label"].ravel()
        pixels = planes.transpose(0, 2, 3, 1).reshape(-1, planes.shape[1])
        valid = np.flatnonzero((label != NODATA) & (pixels[:, 0] > 0))
        chosen = rng.choice(valid, min(len(valid), PIXELS // len(files)), replace=False)
        bands.append(pixels[chosen])
        labels.append(label[chosen])
    return np.concatenate(bands), np.concatenate(labels)


def as_onnx(forest: RandomForestClassifier, contract: Contract) -> onnx.ModelProto:
    """The forest as an ONNX graph from raw composites to logits of each pixel."""
    trees = convert_sklearn(
        forest,
        initial_types=[("pixels", FloatTensorType([None, len(S2_BANDS + S1_BANDS)]))],
        options={"zipmap": False},
        target_opset={"": 20, "ai.onnx.ml": 3},
    )
    nodes = [
        helper.make_node("Cast", ["s2"], ["s2_float"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["s1"], ["s1_float"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["s2_float", "s1_float"], ["planes"], axis=1),
        helper.make_node("Transpose", ["planes"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["last", "flat"], ["pixels"]),
        *trees.graph.node,
        helper.make_node("Max", ["probabilities", "least"], ["possible"]),
        helper.make_node("Log", ["possible"], ["scores"]),
        helper.make_node("Shape", ["last"], ["size"], start=0, end=3),
        helper.make_node("Concat", ["size", "classes"], ["shape"], axis=0),
        helper.make_node("Reshape", ["scores", "shape"], ["grid"]),
        helper.make_node("Transpose", ["grid"], ["logits"], perm=[0, 3, 1, 2]),
    ]
    constants = {
        "flat": np.array([-1, len(S2_BANDS + S1_BANDS)], np.int64),
        "least": np.array(1e-4, np.float32),
        "classes": np.array([len(CLASSES)], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        NAME,
        [
            helper.make_tensor_value_info("s2", TensorProto.UINT16, ["n", len(S2_BANDS), "h", "w"]),
            helper.make_tensor_value_info("s1", TensorProto.INT16, ["n", len(S1_BANDS), "h", "w"]),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(CLASSES), "h", "w"])],
        [
            *trees.graph.initializer,
            *(numpy_helper.from_array(value, name) for name, value in constants.items()),
        ],
    )
    model = helper.make_model(graph, opset_imports=trees.opset_import, ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    onnx.checker.check_model(model)
    return model


def main() -> None:
    """Draw pixels, fit the forest, write the model."""
    parser = argparse.ArgumentParser(description="Fit the random forest of the demo.")
    parser.add_argument(
        "folder", type=Path, help="run folder of recipes/simulated/train_simulated.py"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "models")
    options = parser.parse_args()

    bands, labels = sample(options.folder / "training")
    settings = {"n_estimators": 24, "min_samples_leaf": 20, "max_leaf_nodes": 700}
    forest = RandomForestClassifier(**settings, n_jobs=-1, random_state=0).fit(bands, labels)
    contract = Contract(
        name=NAME,
        inputs={"s2": S2_INPUT, "s1": S1_INPUT},
        stride=1,
        multiple=1,
        trained_on="simulated",
        training={"forest": settings, "pixels": len(labels), "countries": "as lulcformer-tiny"},
    )
    path = options.out / f"{NAME}.onnx"
    path.write_bytes(as_onnx(forest, contract).SerializeToString())
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
