import json
from dataclasses import replace

import pytest

from lulcmap.errors import ModelError, UsageError
from lulcmap.legend import CLASSES
from lulcmap.model.contract import S1_INPUT, S2_INPUT, SUN_SCALAR, Contract, ModelScalar

GOOD = Contract(name="good", inputs={"s2": S2_INPUT, "s1": S1_INPUT}, stride=4)


def of(count, **changes):
    """A contract with its own legend."""
    own = {"classes": tuple(f"class {i}" for i in range(count)), "colours": ("7B2D43",) * count}
    return replace(GOOD, **{**own, **changes})


def test_a_contract_survives_its_text():
    contract = replace(
        GOOD, training={"seeds": [1, 2]}, temperature=1.5, prior=(1 / 9,) * 9, quality="good"
    )

    assert Contract.from_json(contract.to_json()) == contract
    assert Contract.from_json(contract.to_json()).to_json() == contract.to_json()


def test_a_contract_s_text_keeps_the_keys_of_version_0_1_0():
    contract = replace(GOOD, trained_on="real", quality="is right on 0.6")

    fields = json.loads(contract.to_json())

    assert (fields["knows"], fields["standing"]) == ("real", "is right on 0.6")
    assert not {"trained_on", "quality"} & set(fields)


def test_a_contract_without_scalars_keeps_its_text():
    assert "scalars" not in json.loads(GOOD.to_json())
    assert Contract.from_json(GOOD.to_json()).scalars == {}


def test_a_contract_with_the_sun_survives_its_text():
    contract = replace(GOOD, scalars={"sun_zenith": SUN_SCALAR})

    contract.check()

    assert json.loads(contract.to_json())["scalars"] == {"sun_zenith": {"unit": "degrees"}}
    assert Contract.from_json(contract.to_json()) == contract


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"scalars": {"moon": SUN_SCALAR}}, "needs a number 'moon'; lulcmap provides sun_zenith"),
        ({"scalars": {"sun_zenith": ModelScalar("rad")}}, "in the unit 'rad'; .* in degrees"),
        ({"scalars": {"sun_zenith": SUN_SCALAR}, "inputs": {"s1": S1_INPUT}}, "without s2"),
    ],
)
def test_a_scalar_lulcmap_cannot_give_is_refused(changes, named):
    with pytest.raises(ModelError, match=named):
        replace(GOOD, **changes).check()


def test_lulcformer_s_contract_is_accepted():
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


def test_a_model_without_class_shares_has_no_balanced_prior():
    assert GOOD.logit_bias("natural") == (0,) * 9
    with pytest.raises(UsageError, match="does not tell the class shares"):
        GOOD.logit_bias("balanced")


def test_a_model_is_described_by_its_training_data_and_quality():
    real = replace(GOOD, trained_on="real")

    assert "simulated landscapes only" in replace(GOOD, quality="splendid").describe()
    assert "not measured" in real.describe()
    assert replace(real, quality="is right on 0.6").describe() == "is right on 0.6"


@pytest.mark.parametrize("count", [1, 3, 254])
def test_own_classes_are_numbered_in_order(count):
    contract = of(count)

    contract.check()

    assert contract.ids == tuple(range(count))
    assert [(cover.id, cover.name, cover.colour) for cover in contract.legend] == [
        (i, f"class {i}", "7B2D43") for i in range(count)
    ]


def test_dynamic_world_s_classes_keep_their_ids_in_any_number_and_order():
    some = replace(GOOD, classes=("snow_and_ice", "trees"), colours=("FFFFFF", "000000"))

    assert (GOOD.ids, GOOD.legend) == (tuple(range(9)), CLASSES)
    assert (some.ids, some.legend) == ((8, 1), CLASSES)


def test_one_class_of_another_name_makes_the_legend_the_model_s():
    mixed = of(3, classes=("trees", "vines", "water"))

    assert mixed.ids == (0, 1, 2)
    assert [cover.name for cover in mixed.legend] == ["trees", "vines", "water"]


@pytest.mark.parametrize(
    ("contract", "named"),
    [
        (replace(GOOD, inputs={}), "no input"),
        (replace(GOOD, inputs={"dem": S2_INPUT}), "'dem'"),
        (replace(GOOD, inputs={"s2": replace(S2_INPUT, bands=("B02", "B8A"))}), "band B8A"),
        (replace(GOOD, inputs={"s1": replace(S1_INPUT, unit="linear")}), "unit 'linear'"),
        (replace(GOOD, inputs={"s2": replace(S2_INPUT, dtype="int16")}), "dtype 'int16'"),
        (replace(GOOD, inputs={"s1": replace(S1_INPUT, nodata=0)}), "nodata 0"),
        (replace(GOOD, colours=("419BDF",)), "1 colours for 9 classes"),
        (replace(GOOD, classes=("water",) * 9), "'water' twice"),
        (of(2, classes=("vines", "vines")), "'vines' twice"),
        (of(2, classes=("vines", " ")), "named ' '"),
        (of(2, classes=("vines", "a\nb")), r"named 'a\\nb'"),
        (of(2, classes=("vines", 2)), "named 2"),
        (of(2, colours=("7B2D43", "#00FF00")), "'class 1' has the colour '#00FF00'"),
        (of(2, colours=("7B2D43", "green")), "'class 1' has the colour 'green'"),
        (of(2, colours=("7B2D43", None)), "'class 1' has the colour None"),
        (replace(GOOD, colours=("419BDG",) * 9), "'water' has the colour '419BDG'"),
        (of(0), "0 classes; a map can have 1 to 254"),
        (of(255), "255 classes; a map can have 1 to 254"),
        (replace(GOOD, stride=0), "stride 0"),
        (replace(GOOD, stride="4"), "stride '4'"),
        (replace(GOOD, temperature=0), "temperature 0"),
        (replace(GOOD, temperature="hot"), "temperature 'hot'"),
        (replace(GOOD, prior=(0.5, 0.5)), "a number from 0 to 1"),
        (replace(GOOD, prior=(2,) * 9), "a number from 0 to 1"),
        (replace(GOOD, quality=3), r"the quality 3 \('standing'\)"),
        (replace(GOOD, trained_on="foo"), "trained on 'foo' land"),
        (replace(GOOD, name=None), "no name"),
        (replace(GOOD, name=""), "no name"),
        (replace(GOOD, name="a\x1b[2J"), "not plain"),
        (replace(GOOD, name="x" * 101), "not plain"),
        (replace(GOOD, quality="a\x00b"), "a line of text"),
        (replace(GOOD, quality="x" * 10_001), "a line of text"),
        (replace(GOOD, training=[1]), "a JSON object"),
        (replace(GOOD, precision="fp8"), "fp32 or fp16"),
        (replace(GOOD, inputs={"s2": replace(S2_INPUT, bands=())}), "no band of s2"),
        (replace(GOOD, inputs={"s2": replace(S2_INPUT, bands=(["B02"],))}), "needs band"),
        (replace(GOOD, inputs={"s2": replace(S2_INPUT, optional="no")}), "true or false"),
        (replace(GOOD, window=10**400), "below 65,536"),
        (replace(GOOD, temperature=10**400), "a number above 0"),
        (of(1, classes=(" vines",)), "no space at its ends"),
        (of(1, classes=("\ud800",)), r"named '\\ud800'"),
        (of(1, classes=("x" * 10**6,)), "1 to 100 characters"),
        (replace(GOOD, resolution=20.0), "20 m"),
        (replace(GOOD, window=500), "500 px"),
        (replace(GOOD, step=128), "every 128 px"),
        (replace(GOOD, step=382), "every 382 px"),
    ],
)
def test_a_contract_that_does_not_fit_is_refused_and_says_why(contract, named):
    with pytest.raises(ModelError, match=named) as caught:
        contract.check()
    assert "lulcmap models" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 1}', GOOD.to_json().replace('"stride"', '"pace"')]
)
def test_a_text_that_is_not_a_contract_is_refused(text):
    with pytest.raises(ModelError, match="cannot be read"):
        Contract.from_json(text)


def test_a_contract_of_another_format_is_refused():
    text = json.dumps({**json.loads(GOOD.to_json()), "format": 2})

    with pytest.raises(ModelError, match="format 2"):
        Contract.from_json(text)
