"""``lulcmap.adapt``: the same model as of the command, and plain errors that name keywords."""

import pytest

import lulcmap
from lulcmap.adaptation import KeptComposite, adapt_model
from lulcmap.errors import OutputError, UsageError
from tests.support.adaptable import label_points, land, model_bytes, write_composite


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("adapt")
    truth, bands = land()
    write_composite(path / "composite.tif", bands)
    (path / "small.onnx").write_bytes(model_bytes())
    label_points(path / "labels.gpkg", truth)
    return path


def given(folder, **changes):
    options = {"model": folder / "small.onnx", "composites": [str(folder / "composite.tif")]}
    return {**options, **changes}


def test_it_makes_the_model_of_the_command(folder, tmp_path):
    made = lulcmap.adapt(str(folder / "labels.gpkg"), tmp_path / "mine.onnx", **given(folder))

    same = adapt_model(
        folder / "small.onnx",
        folder / "labels.gpkg",
        [KeptComposite.open(folder / "composite.tif")],
        tmp_path / "other.onnx",
        name="mine",
    )
    assert isinstance(made, lulcmap.Adaptation)
    assert made.out == tmp_path / "mine.onnx"
    assert made.out.read_bytes() == same.out.read_bytes()
    assert made.tried[0].gain.after > made.tried[0].gain.before


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"composites": []}, "Give the imagery of the labels: composites"),
        ({"aoi": "8,47,9,48"}, "not both"),
        ({"year": 2024}, "year has no effect on a composite"),
        ({"max_cloud": 50}, "max_cloud has no effect on a composite"),
        ({"layer": "land"}, "layer has no effect on a composite"),
        ({"composites": "nowhere.tif"}, "nowhere.tif"),
        ({"way": "half"}, "way is 'half'; choose head, whole, both."),
        ({"new_classes": {"rice": "green"}}, "it takes six hexadecimal digits"),
        ({"composites": [], "aoi": "8,47,9,48"}, "period"),
    ],
)
def test_what_makes_no_sense_is_one_line_of_keywords(folder, tmp_path, changes, says):
    with pytest.raises(UsageError, match=says) as told:
        lulcmap.adapt(folder / "labels.gpkg", tmp_path / "m.onnx", **given(folder, **changes))

    assert "\n" not in str(told.value)
    assert "--" not in str(told.value)


def test_a_model_is_replaced_only_if_asked(folder, tmp_path):
    (tmp_path / "m.onnx").write_bytes(model_bytes())

    with pytest.raises(OutputError, match="overwrite=True"):
        lulcmap.adapt(folder / "labels.gpkg", tmp_path / "m.onnx", **given(folder))
