"""Classifying one image: as a block of a map, and as a Dataset."""

import numpy as np
import pytest
import xarray
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine

from lulcmap.errors import UsageError
from lulcmap.geo.tiling import Box
from lulcmap.legend import CLASSES, NODATA, LandCover
from lulcmap.model.image import ClassifiedImage, classify_image
from lulcmap.model.inference import bounding_box, classify, needed_windows
from lulcmap.model.session import open_session
from tests.support.stubs import composites, contract, make_model

SHAPE = (150, 130)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    path = make_model(tmp_path_factory.mktemp("model") / "m.onnx", contract(), attention=True)
    return open_session(path, device="cpu", threads=1)


@pytest.fixture(scope="module")
def image():
    return composites(np.random.default_rng(3), SHAPE)


def planes(classified):
    return np.stack([classified.classes, classified.confidence, classified.margin])


def test_an_image_is_classified_as_a_block_of_a_map_without_data_beyond_it(session, image):
    box = Box(-333, 47, *SHAPE)
    lattice, stride = session.contract.lattice, session.contract.stride
    windows = needed_windows(np.ones(SHAPE, bool), box, lattice=lattice, stride=stride)
    over = bounding_box(windows)
    s2, s1 = np.zeros((9, *over.shape), np.uint16), np.full((2, *over.shape), -32768, np.int16)
    s2[:, *box.within(over)], s1[:, *box.within(over)] = image

    classified = classify_image(session, *image, box=box)

    block = classify(
        session.run,
        session.contract,
        s2=s2,
        s1=s1,
        over=over,
        windows=windows,
        box=box,
        batch_size=1,
    )
    np.testing.assert_array_equal(planes(classified), planes(block))
    assert (classified.classes != NODATA).all()


def test_without_a_box_the_first_window_starts_at_the_image_s_corner(session, image):
    np.testing.assert_array_equal(
        planes(classify_image(session, *image)),
        planes(classify_image(session, *image, box=Box(0, 0, *SHAPE))),
    )


def test_pixels_without_data_are_nodata(session, image):
    s2, s1 = image[0].copy(), image[1].copy()
    s2[:, :40, :30], s1[:, :40, :30] = 0, -32768

    classified = classify_image(session, s2, s1)

    empty = np.zeros(SHAPE, bool)
    empty[:40, :30] = True
    for plane in planes(classified):
        np.testing.assert_array_equal(plane == NODATA, empty)


def test_other_windows_and_another_network_may_be_given(session, image):
    wide = contract(window=128, step=96)
    sizes = set()

    def network(s2, s1):
        sizes.add(s2.shape[2:])
        return np.zeros((len(s2), 9, 32, 32), np.float32)

    classified = classify_image(session, *image, contract=wide, network=network)

    assert sizes == {(128, 128)}
    assert set(classified.classes.flat) == {0}


def test_a_balanced_prior_needs_class_shares(session, image):
    with pytest.raises(UsageError, match="--prior balanced needs"):
        classify_image(session, *image, prior="balanced")


GRID = GeoBox((2, 3), Affine(10, 0, 600_000, 0, -10, 5_000_040), "EPSG:32632")
OWN = (LandCover(0, "vines", "7B2D43"), LandCover(1, "open water", "419BDF"))


def classified_image(legend=CLASSES):
    classes = np.array([[0, 1, 1], [255, 1, 0]], np.uint8)
    confidence = np.array([[90, 80, 70], [255, 60, 50]], np.uint8)
    margin = np.array([[85, 70, 55], [255, 30, 10]], np.uint8)
    return ClassifiedImage(classes, confidence, margin, GRID, legend)


def test_a_dataset_has_the_planes_on_the_image_s_grid():
    image = classified_image()

    dataset = image.to_xarray()

    assert dict(dataset.sizes) == {"y": 2, "x": 3}
    for name in ("classes", "confidence", "margin"):
        np.testing.assert_array_equal(dataset[name], getattr(image, name))
        assert dataset[name].dtype == np.uint8
        assert dataset[name].attrs["_FillValue"] == NODATA
    assert dataset.odc.geobox == GRID
    assert dataset.x.values.tolist() == [600_005, 600_015, 600_025]
    assert dataset.y.values.tolist() == [5_000_035, 5_000_025]


def test_a_dataset_s_flags_are_the_legend():
    attributes = classified_image(OWN).to_xarray().classes.attrs

    assert attributes["flag_values"] == [0, 1]
    assert attributes["flag_meanings"] == "vines open_water"
    assert attributes["flag_colors"] == "#7B2D43 #419BDF"


def test_a_decoded_dataset_has_nan_for_nodata():
    decoded = xarray.decode_cf(classified_image().to_xarray())

    np.testing.assert_array_equal(decoded.confidence, [[90, 80, 70], [np.nan, 60, 50]])
    assert decoded.margin.attrs["units"] == "percent"
