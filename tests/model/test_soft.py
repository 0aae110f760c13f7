"""Soft labels of an image: what they are, and that no orientation or window shows in them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from lulcmap.legend import NAMES
from lulcmap.model.contract import S1_INPUT, S2_INPUT, SUN_SCALAR
from lulcmap.model.session import open_session
from lulcmap.model.soft import class_probabilities
from tests.support.stubs import composites, contract, make_model

S2_ONLY = {"s2": S2_INPUT}


@pytest.fixture(scope="module")
def make_session(tmp_path_factory):
    def make(model_contract, **options):
        folder = tmp_path_factory.mktemp("model")
        return open_session(
            make_model(folder / "m.onnx", model_contract, **options), device="cpu", threads=1
        )

    return make


@pytest.fixture(scope="module")
def pixelwise(make_session):
    """A model in which a pixel depends on itself alone."""
    return make_session(contract(inputs=S2_ONLY, stride=1, multiple=4, temperature=1.7))


def alone(session, s2, s1):
    """The model's probabilities of single pixels, without windows, flips or mirrors."""
    n = s2[0].size
    shown = (image.reshape(len(image), n, 1, 1).swapaxes(0, 1) for image in (s2, s1))
    logits = np.concatenate(
        [session.run(*pixel) for pixel in zip(*(np.split(one, n) for one in shown), strict=True)]
    )
    shares = softmax(logits[:, :, 0, 0] / session.contract.temperature, axis=1)
    return shares.T.reshape(-1, *s2.shape[1:])


@settings(max_examples=15, deadline=None)
@given(st.integers(5, 90), st.integers(5, 90), st.integers(0, 2), st.integers(0, 2**32 - 1))
def test_a_model_of_single_pixels_gives_exactly_its_own_labels(
    pixelwise, height, width, margin, seed
):
    rng = np.random.default_rng(seed)
    s2, s1 = composites(rng, (height, width))
    s2[:, rng.random((height, width)) < 0.1] = 0

    shares = class_probabilities(pixelwise, s2, s1, margin=margin)

    inner = slice(margin, height - margin), slice(margin, width - margin)
    valid = s2[0][inner] != 0
    expected = alone(pixelwise, s2[:, *inner], s1[:, *inner])
    assert np.isnan(shares[:, ~valid]).all()
    np.testing.assert_allclose(shares[:, valid], expected[:, valid], atol=1e-6)
    np.testing.assert_array_equal(shares.argmax(0)[valid], expected.argmax(0)[valid])


@pytest.mark.parametrize("stride", [1, 4])
def test_a_turned_image_gets_turned_labels(make_session, stride):
    session = make_session(contract(inputs=S2_ONLY, stride=stride, multiple=4), kernel=stride + 3)
    s2, s1 = composites(np.random.default_rng(3), (100, 100))

    shares = class_probabilities(session, s2, s1, margin=6)
    turned = class_probabilities(
        session, np.rot90(s2, 1, (1, 2)), np.rot90(s1, 1, (1, 2)), margin=6
    )
    flipped = class_probabilities(session, s2[:, ::-1], s1[:, ::-1], margin=6)

    np.testing.assert_allclose(turned, np.rot90(shares, 1, (1, 2)), atol=1e-5)
    np.testing.assert_allclose(flipped, shares[:, ::-1], atol=1e-5)
    np.testing.assert_allclose(shares.sum(0), 1, atol=1e-5)


def test_windows_leave_hardly_a_trace_of_a_model_that_sees_less_than_the_margin(make_session):
    session = make_session(contract(inputs=S2_ONLY, stride=1, multiple=4), kernel=5)
    at_once = replace(session, contract=replace(session.contract, window=200))
    s2, s1 = composites(np.random.default_rng(4), (200, 200))

    shares = class_probabilities(session, s2, s1, margin=8)
    whole = class_probabilities(at_once, s2, s1, margin=8)

    off = np.abs(shares - whole).max(axis=0)
    assert (off < 1e-5).mean() > 0.8  # only pixels by the edge of one window see it
    assert off.max() < 0.1


def test_the_classes_stand_by_their_ids_whatever_the_order_of_the_logits(make_session):
    names = ("crops", "water")
    session = make_session(
        contract(inputs=S2_ONLY, stride=1, multiple=4, classes=names, colours=("E49635", "419BDF"))
    )
    s2, s1 = composites(np.random.default_rng(5), (64, 64))

    shares = class_probabilities(session, s2, s1, margin=0)

    own = alone(session, s2, s1)
    assert len(shares) == len(NAMES)
    np.testing.assert_allclose(shares[NAMES.index("crops")], own[0], atol=1e-6)
    np.testing.assert_allclose(shares[NAMES.index("water")], own[1], atol=1e-6)


def test_the_sun_reaches_the_model(make_session):
    model = contract(inputs=S2_ONLY, stride=1, multiple=4)
    session = make_session(replace(model, scalars={"sun_zenith": SUN_SCALAR}))
    s2, s1 = composites(np.random.default_rng(6), (64, 64))

    low, high = (
        class_probabilities(session, s2, s1, margin=4, sun_zenith=sun) for sun in (20.0, 60.0)
    )

    assert np.abs(low - high).max() > 0.1


def test_a_pixel_without_a_required_sensor_has_no_label(make_session):
    inputs = {"s2": replace(S2_INPUT, optional=False), "s1": replace(S1_INPUT, optional=False)}
    session = make_session(contract(inputs=inputs, stride=1, multiple=4))
    s2, s1 = composites(np.random.default_rng(7), (64, 64))
    s1[:, :20] = -32768

    shares = class_probabilities(session, s2, s1, margin=0)

    assert np.isnan(shares[:, :20]).all()
    assert np.isfinite(shares[:, 20:]).all()
