"""The published JSON Schema says what `Contract` reads and accepts."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from lulcmap.errors import ModelError
from lulcmap.legend import is_plain_name
from lulcmap.model import S1_INPUT, S2_INPUT, Contract, read_model, shipped_models
from lulcmap.sensors import S2_BANDS

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "contract.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
GOOD = json.loads(
    Contract(name="good", inputs={"s2": S2_INPUT, "s1": S1_INPUT}, stride=4).to_json()
)
SUN = {"sun_zenith": {"unit": "degrees"}}


def is_accepted(fields):
    try:
        Contract.from_json(json.dumps(fields)).check()
    except ModelError:
        return False
    return True


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_names_every_field_and_its_default():
    assert set(SCHEMA["properties"]) == {*GOOD, "scalars"}  # which is left out where empty
    named = {
        key: value["default"] for key, value in SCHEMA["properties"].items() if "default" in value
    }
    assert named == {key: {**GOOD, "scalars": {}}[key] for key in named}
    assert set(SCHEMA["properties"]) - set(named) == set(SCHEMA["required"])


@pytest.mark.parametrize("model", shipped_models(), ids=lambda model: model.name)
def test_every_shipped_model_fits_the_schema(model):
    VALIDATOR.validate(json.loads(read_model(model.path).contract.to_json()))


names = st.text(min_size=1, max_size=30).filter(is_plain_name)


@st.composite
def contracts(draw):
    stride = draw(st.sampled_from([1, 2, 4, 8]))
    step = draw(st.integers(8, 64)) * 2 * stride
    half = draw(st.integers(0, step // (2 * stride))) * stride
    window = step + 2 * half
    if window % 4:
        window, half = step, 0
    if window % 4:
        step = window = 2 * step
    classes = draw(st.lists(names, min_size=1, max_size=6, unique=True))
    bands = draw(st.lists(st.sampled_from(S2_BANDS), min_size=1, unique=True))
    given_inputs = draw(st.sampled_from([("s2",), ("s1",), ("s2", "s1")]))
    return {
        **GOOD,
        "name": draw(names),
        "inputs": {
            name: {**GOOD["inputs"][name], "optional": draw(st.booleans())}
            | ({"bands": bands} if name == "s2" else {})
            for name in given_inputs
        },
        "stride": stride,
        "window": window,
        "step": step,
        "multiple": draw(st.sampled_from([1, stride, window])),
        "classes": classes,
        "colours": ["7B2D43"] * len(classes),
        "temperature": draw(st.floats(1e-3, 1e3)),
        "knows": draw(st.sampled_from(["simulated", "real", "unknown"])),
        "prior": draw(st.sampled_from([[], [1 / len(classes)] * len(classes)])),
        "scalars": draw(st.sampled_from([{}, SUN] if "s2" in given_inputs else [{}])),
    }


@given(contracts())
def test_every_contract_that_is_accepted_fits_the_schema(fields):
    assert is_accepted(fields)
    VALIDATOR.validate(json.loads(Contract.from_json(json.dumps(fields)).to_json()))


S2 = GOOD["inputs"]["s2"]


@pytest.mark.parametrize(
    "changes",
    [
        *({"format": 2}, {"name": ""}, {"name": " a"}, {"name": "a\nb"}, {"name": "x" * 101}),
        *({"inputs": {}}, {"inputs": {"rgb": S2}}, {"inputs": {"s2": {**S2, "bands": []}}}),
        *({"inputs": {"s2": {**S2, "bands": ["B01"]}}}, {"inputs": {"s2": {**S2, "nodata": 1}}}),
        *({"inputs": {"s2": {**S2, "dtype": "float32"}}}, {"inputs": {"s1": S2}}),
        *({"inputs": {"s2": {**S2, "optional": 1}}}, {"inputs": {"s2": {**S2, "more": 1}}}),
        *({"inputs": {"s2": {**S2, "bands": ["B02", "B02"]}}}, {"stride": 0}, {"stride": "4"}),
        *({"window": 2**16}, {"window": 510}, {"step": 383}, {"resolution": 20}, {"classes": []}),
        *({"classes": ["a", "a"], "colours": ["000000"] * 2}, {"colours": ["red"] * 9}),
        *({"temperature": 0}, {"precision": "int8"}, {"knows": "none"}, {"prior": [2] * 9}),
        *({"scalars": {"moon": {"unit": "degrees"}}}, {"scalars": {"sun_zenith": {}}}),
        *({"scalars": {"sun_zenith": {"unit": "rad"}}}, {"scalars": ["sun_zenith"]}),
        *({"scalars": {"sun_zenith": {"unit": "degrees", "more": 1}}}, {"scalars": None}),
        {"scalars": SUN, "inputs": {"s1": GOOD["inputs"]["s1"]}},
        *({"standing": "a\nb"}, {"standing": "x" * 10001}, {"training": []}, {"more": 1}),
    ],
    ids=str,
)
def test_what_is_refused_does_not_fit_the_schema(changes):
    fields = {**GOOD, **changes}

    assert not is_accepted(fields)
    assert not VALIDATOR.is_valid(fields)


@pytest.mark.parametrize("key", SCHEMA["required"])
def test_what_is_required_cannot_be_left_out(key):
    fields = {name: value for name, value in GOOD.items() if name != key}

    assert not is_accepted(fields)
    assert not VALIDATOR.is_valid(fields)


@pytest.mark.parametrize("key", sorted(set(GOOD) - set(SCHEMA["required"])))
def test_what_has_a_default_may_be_left_out(key):
    fields = {name: value for name, value in GOOD.items() if name != key}

    assert is_accepted(fields)
    VALIDATOR.validate(fields)
