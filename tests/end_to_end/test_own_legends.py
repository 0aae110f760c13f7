"""A model with classes of its own: the map, its report and the commands have its legend."""

import json
from datetime import date

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from lulcmap.catalog.period import make_period
from lulcmap.cli import main
from lulcmap.errors import OutputError
from lulcmap.evaluation.seams.search import find_seams
from lulcmap.legend import NODATA
from lulcmap.output.assemble import assemble_run
from lulcmap.pipeline import map_area, map_shard
from lulcmap.run import Shard
from tests.support.stubs import contract, make_model

PERIOD = make_period(year=2024, today=date(2026, 1, 1))
OWN = {"classes": ("vines", "water", "peat bog"), "colours": ("7B2D43", "419BDF", "5A4632")}
THEIRS = {"classes": ("trees", "water", "bare"), "colours": ("397D49", "419BDF", "A59B8F")}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two files of one network: with classes of its own, and with some of Dynamic World's."""
    folder = tmp_path_factory.mktemp("models")
    return [
        str(make_model(folder / f"{name}.onnx", contract(**legend), kernel=8))
        for name, legend in (("own", OWN), ("theirs", THEIRS))
    ]


@pytest.fixture(scope="module")
def own(country, settings, models, tmp_path_factory):
    """The report of the map in the model's own classes."""
    out = tmp_path_factory.mktemp("own") / "map.tif"
    chosen = settings(model=models[0])
    return map_area(str(country.aoi), out, period=PERIOD, settings=chosen)


def read(path):
    with rasterio.open(path) as made:
        return made.read(1)


def test_the_ids_are_the_model_s_own_order(own, country, settings, models, tmp_path):
    theirs = map_area(
        str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=settings(model=models[1])
    )

    classes = read(own.map)
    assert np.unique(classes).tolist() == [0, 1, 2, NODATA]
    ids = np.full(256, NODATA, np.uint8)
    ids[:3] = 1, 0, 7  # of trees, water and bare in Dynamic World's legend
    np.testing.assert_array_equal(ids[classes], read(theirs.map))


def test_the_map_has_the_model_s_names_and_colours(own):
    with rasterio.open(own.map) as made:
        palette, tags, file_tags = made.colormap(1), made.tags(1), made.tags()
        assert made.nodata == NODATA

    names = {key: value for key, value in tags.items() if key.startswith("CLASS_")}
    assert names == {"CLASS_0": "vines", "CLASS_1": "water", "CLASS_2": "peat bog"}
    assert palette[0] == (0x7B, 0x2D, 0x43, 255)
    assert palette[1] == (0x41, 0x9B, 0xDF, 255)
    assert palette[2] == (0x5A, 0x46, 0x32, 255)
    assert palette[NODATA][3] == 0
    assert "3 of the model's own classes" in file_tags["TIFFTAG_IMAGEDESCRIPTION"]


def test_the_report_counts_the_model_s_classes(own):
    written = json.loads((own.map.parent / "map.tif.report.json").read_text())

    values, counts = np.unique(read(own.map), return_counts=True)
    assert values.tolist() == [0, 1, 2, NODATA]
    assert list(own.classes.items()) == list(zip(OWN["classes"], counts[:3].tolist(), strict=True))
    assert written["classes"] == own.classes
    assert written["legend"] == [
        {"id": id_, "name": name, "colour": colour}
        for id_, (name, colour) in enumerate(zip(*OWN.values(), strict=True))
    ]


def test_a_run_that_is_assembled_without_the_model_makes_the_same_map(
    own, country, settings, models, tmp_path
):
    out = tmp_path / "map.tif"
    given = {"period": PERIOD, "settings": settings(model=models[0])}
    for number in (1, 2):
        map_shard(str(country.aoi), out, shard=Shard(number, 2), **given)

    report = assemble_run(tmp_path / "map.tif.run")

    assert out.read_bytes() == own.map.read_bytes()
    assert report.classes == own.classes


@pytest.fixture(scope="module")
def run(country, settings, models, tmp_path_factory):
    """A run folder with all its blocks."""
    out = tmp_path_factory.mktemp("run") / "map.tif"
    given = {"period": PERIOD, "settings": settings(model=models[0], block_size=480)}
    return map_shard(str(country.aoi), out, shard=Shard(1, 1), **given).run


@pytest.mark.parametrize(
    "changed", [{}, [{"id": 0}], [{"id": 0, "name": "vines", "colour": "green"}], [3], None]
)
def test_a_legend_that_was_changed_in_the_folder_is_one_plain_line(run, changed):
    about = json.loads((run / "about.json").read_text())
    (run / "about.json").write_text(json.dumps(about | {"legend": changed}))

    with pytest.raises(OutputError, match="the file was changed") as refused:
        assemble_run(run)

    assert "\n" not in str(refused.value)


def test_the_commands_name_the_model_s_classes(country, models, tmp_path):
    shown = CliRunner().invoke(main, ["models", "show", models[0]])
    theirs = CliRunner().invoke(main, ["models", "show", models[1]])
    words = ["plan", "--aoi", str(country.aoi), "--year", "2024", "--catalog", str(country.items)]
    words += ["--model", models[0], "--block-size", "96", "--out", str(tmp_path / "map.tif")]
    planned = CliRunner().invoke(main, [*words, "--device", "cpu"])

    assert "classes     0 vines, 1 water, 2 peat bog\n" in shown.output
    assert "classes     1 trees, 0 water, 7 bare\n" in theirs.output
    assert "classes      vines, water, peat bog\n" in planned.output


def test_seams_are_looked_for_in_any_legend(own):
    assert {border.kind for border in find_seams(own.map).borders} >= {"block", "window"}
