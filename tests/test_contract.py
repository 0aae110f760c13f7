import json
from dataclasses import replace

import pytest

from lulcmap.contract import S1_INPUT, S2_INPUT, Contract
from lulcmap.errors import ModelError

GOOD = Contract(name="good", inputs={"s2": S2_INPUT, "s1": S1_INPUT}, stride=4)


def test_a_contract_survives_its_text():
    contract = replace(GOOD, training={"seeds": [1, 2]}, temperature=1.5)

    assert Contract.from_json(contract.to_json()) == contract
    assert Contract.from_json(contract.to_json()).to_json() == contract.to_json()


def test_a_usual_contract_is_accepted():
    GOOD.check()


@pytest.mark.parametrize(
    "contract",
    [
        replace(GOOD, stride=1),
        replace(GOOD, inputs={"s2": replace(S2_INPUT, bands=("B08", "B04"))}),
        replace(GOOD, classes=("trees", "water"), colours=("397D49", "419BDF")),
    ],
    ids=["stride 1", "few bands", "few classes"],
)
def test_a_foreign_contract_that_fits_is_accepted(contract):
    contract.check()


@pytest.mark.parametrize(
    ("contract", "named"),
    [
        (replace(GOOD, inputs={}), "no input"),
        (replace(GOOD, inputs={"dem": S2_INPUT}), "'dem'"),
        (replace(GOOD, inputs={"s2": replace(S2_INPUT, bands=("B02", "B8A"))}), "band B8A"),
        (replace(GOOD, inputs={"s1": replace(S1_INPUT, unit="linear")}), "unit 'linear'"),
        (replace(GOOD, inputs={"s2": replace(S2_INPUT, dtype="int16")}), "dtype 'int16'"),
        (replace(GOOD, inputs={"s1": replace(S1_INPUT, nodata=0)}), "nodata 0"),
        (
            replace(GOOD, classes=("water", "ice cream"), colours=("419BDF", "FFFFFF")),
            "'ice cream'",
        ),
        (replace(GOOD, colours=("419BDF",)), "1 colours for 9 classes"),
        (replace(GOOD, classes=("water",) * 9), "named once"),
        (replace(GOOD, stride=0), "stride 0"),
        (replace(GOOD, stride="4"), "stride '4'"),
        (replace(GOOD, temperature=0), "temperature 0"),
        (replace(GOOD, temperature="hot"), "temperature 'hot'"),
        (replace(GOOD, knows="foo"), "knows 'foo'"),
        (replace(GOOD, name=None), "no name"),
        (replace(GOOD, resolution=20.0), "20 m"),
        (replace(GOOD, window=500), "500 px"),
        (replace(GOOD, step=128), "every 128 px"),
        (replace(GOOD, step=382), "every 382 px"),
    ],
)
def test_what_does_not_fit_is_named(contract, named):
    with pytest.raises(ModelError, match=named) as caught:
        contract.check()
    assert "lulcmap models" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 1}', GOOD.to_json().replace('"stride"', '"pace"')]
)
def test_a_text_that_is_no_contract_is_refused(text):
    with pytest.raises(ModelError, match="cannot be read"):
        Contract.from_json(text)


def test_a_contract_of_another_format_says_so():
    text = json.dumps({**json.loads(GOOD.to_json()), "format": 2})

    with pytest.raises(ModelError, match="format 2"):
        Contract.from_json(text)
