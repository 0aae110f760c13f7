"""A land of four classes, a small model that confuses them, and labels of the land."""

from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer

from lulcmap.model.contract import METADATA_KEY, S2_INPUT, Contract
from lulcmap.model.onnx_graph import OnnxGraph
from lulcmap.sensors import S1_BANDS, S2_BANDS

CLASSES = ("water", "trees", "grass", "crops")
WEST, NORTH = 500_000, 5_000_160  # on the lattice of 10 m, in zone 32
SIDE = 512
EPSG = 32632
AFFINE = Affine(10, 0, WEST, 0, -10, NORTH)
HEAD = np.eye(4, 9, dtype=np.float32)


def model_bytes(head=HEAD, classes=CLASSES, *, colours=None, has_head=True, name="small", prior=()):
    """A model whose features are the means of the bands over cells of 4 px, in thousands."""
    graph = OnnxGraph("small")
    s2 = graph.add_input("s2", "uint16", ["n", 9, "h", "w"])
    scaled = graph.add("Mul", graph.add("Cast", s2, to=1), graph.constant(0.001))
    cells = graph.add("AveragePool", scaled, out="features", kernel_shape=[4, 4], strides=[4, 4])
    kernel = graph.constant(np.asarray(head).reshape(len(head), 9, 1, 1))
    bias = graph.constant(np.zeros(len(head)))
    out = "logits" if has_head else "raw"
    graph.add("Conv", cells, kernel, bias, out=out, kernel_shape=[1, 1])
    if not has_head:
        graph.add("Mul", "raw", graph.constant(2.0), out="logits")
    graph.add_output("logits", "float32", ["n", len(head), "h4", "w4"])
    contract = Contract(
        name=name,
        inputs={"s2": S2_INPUT},
        stride=4,
        window=128,
        step=96,
        multiple=32,
        classes=tuple(classes),
        colours=tuple(colours or ("419BDF", "397D49", "88B053", "E49635")[: len(classes)]),
        prior=prior,
    )
    return graph.to_bytes(producer="test", metadata={METADATA_KEY: contract.to_json()})


def land(seed=0, side=SIDE, n_classes=4):
    """(H, W) classes in squares of 8 px, and their composite as it is kept (11, H, W)."""
    rng = np.random.default_rng(seed)
    squares = rng.integers(0, n_classes, (side // 8, side // 8))
    truth = squares.repeat(8, 0).repeat(8, 1).astype(np.uint8)
    level = np.random.default_rng(1).uniform(500, 3000, (n_classes, len(S2_BANDS)))
    s2 = level[truth].transpose(2, 0, 1) + rng.normal(0, 150, (9, side, side))
    s1 = np.full((2, side, side), 19_000)
    return truth, np.concatenate([np.clip(s2, 1, None), s1]).astype(np.uint16)


def write_composite(path: Path, bands, affine=AFFINE, epsg=EPSG) -> Path:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(bands),
        dtype=bands.dtype,
        height=bands.shape[1],
        width=bands.shape[2],
        crs=f"EPSG:{epsg}",
        transform=affine,
        nodata=0,
    ) as file:
        file.write(bands)
        file.descriptions = (*S2_BANDS, *S1_BANDS)[: len(bands)]
    return path


def pixels(count, seed=0, side=SIDE):
    """Rows and columns of some pixels."""
    return np.random.default_rng(seed).integers(0, side, (2, count))


def lonlat(rows, cols):
    to_degrees = Transformer.from_crs(EPSG, 4326, always_xy=True)
    return to_degrees.transform(*(AFFINE @ (np.asarray(cols) + 0.5, np.asarray(rows) + 0.5)))


def write_labels(path: Path, shapes, layer="labels", crs="EPSG:4326", append=False, **columns):
    kinds = {shapely.get_type_id(one) for one in shapes}
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(np.asarray(shapes, object)),
        field_data=[np.asarray(values) for values in columns.values()],
        fields=[name.rstrip("_") for name in columns],
        layer=layer,
        driver="GPKG",
        geometry_type={(0,): "Point", (4,): "MultiPoint"}.get(tuple(kinds), "Polygon"),
        crs=crs,
        append=append,
    )
    return path


def label_points(path: Path, truth, count=200, seed=0, names=CLASSES, **columns) -> Path:
    """Points of the land with their true classes."""
    rows, cols = pixels(count, seed, truth.shape[0])
    classes = np.array(names, object)[truth[rows, cols]]
    return write_labels(path, shapely.points(*lonlat(rows, cols)), class_=classes, **columns)
