"""A network made elsewhere: wrapped by the command, it makes the map that its weights mean."""

import json

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from odc.geo.geobox import GeoBox

import lulcmap
from lulcmap.cli import main
from lulcmap.legend import NODATA
from lulcmap.model.trial import COVER_SPECTRA
from lulcmap.sensors import S2_BANDS
from tests.support.foreign import linear

BANDS = ("B08", "B04", "B11", "B03")
SPECTRA = np.array([*COVER_SPECTRA.values()], float)[:, [S2_BANDS.index(b) for b in BANDS]] / 1e4
MEAN, STD = 0.15, 0.1
CENTRES = (SPECTRA - MEAN) / STD
WEIGHTS, BIAS = 2 * CENTRES, -(CENTRES**2).sum(1)
"""The class of the nearest spectrum, of normalised bands."""
NAMES = ["lake", "forest", "fields", "towns", "soil"]


def invoke(*words):
    return CliRunner().invoke(main, [*map(str, words)])


@pytest.fixture(scope="module")
def wrapped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrapped")
    path = linear(folder / "nearest.onnx", WEIGHTS, BIAS)
    names = NAMES
    rows = [f"{at},{names[at]},{at}{at}AA00" for at in (2, 0, 1, 4, 3)]
    (folder / "legend.csv").write_text("\n".join(["code,name,colour", *rows]))
    result = invoke(
        *("models", "wrap", path, "--bands", "nir,red,swir16,green", "--reflectance", "0-1"),
        *("--mean", MEAN, "--std", STD, "--classes", folder / "legend.csv", "--window", 64),
        *("--license", "CC0-1.0"),
    )
    assert result.exit_code == 0, result.output
    return folder / "nearest-lulcmap.onnx", result.stdout


def test_the_command_says_what_it_saw(wrapped):
    _, text = wrapped

    assert "B08, B04, B11, B03; s2 x 0.0001; mean 0.15, 0.15, 0.15, 0.15; std 0.1" in text
    assert "logits in channels: 2 fields, 0 lake, 1 forest, 4 soil, 3 towns" in text
    assert "windows   64 px every 48 px, in cells of 1 px; logits 1 x 5 x 64 x 64" in text
    assert "sees      water as lake (" in text
    assert "Its quality is not measured." in text


def test_the_map_is_what_the_network_gives_for_the_composite(wrapped, country, tmp_path):
    model, _ = wrapped
    out = tmp_path / "map.tif"
    result = invoke(
        *("predict", "--aoi", country.aoi, "--year", 2024, "--catalog", country.items),
        *("--model", model, "--out", out, "--device", "cpu", "--s1", "off"),
    )
    assert result.exit_code == 0, result.output

    with rasterio.open(country.truth) as truth:
        grid = GeoBox(truth.shape, truth.transform, truth.crs)
    image = lulcmap.composite(grid, year=2024, catalog=str(country.items), s1="off").to_xarray()
    made = lulcmap.open_map(out)
    s2 = image.s2.sel(x=made.x, y=made.y, method="nearest", tolerance=1).values
    x = (s2[[S2_BANDS.index(b) for b in BANDS]].astype(np.float64) / 1e4 - MEAN) / STD
    logits = np.einsum("kc,chw->khw", WEIGHTS, x) + BIAS[:, None, None]
    expected = np.array([1, 2, 0, 4, 3])[logits.argmax(0)]  # ids are in the order of the file
    ordered = np.sort(logits, 0)
    clear = (made.values != NODATA) & (ordered[-1] - ordered[-2] > 1e-3)
    assert clear.sum() > 10_000
    assert len(np.unique(made.values[clear])) >= 4
    np.testing.assert_array_equal(made.values[clear], expected[clear])
    with rasterio.open(out) as file:
        assert [file.tags(1)[f"CLASS_{at}"] for at in range(3)] == ["fields", "lake", "forest"]
    report = json.loads(out.with_name("map.tif.report.json").read_text())
    assert "was made elsewhere; lulcmap did not measure its quality" in json.dumps(report)


def test_show_is_honest(wrapped):
    text = invoke("models", "show", wrapped[0]).stdout

    assert "quality     unknown: not measured by lulcmap\n" in text
    assert "trained on  unknown\n" in text
    assert "license: CC0-1.0" in text


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "does not tell its bands"),
        (("--bands", "B04,,B03"), 2, "is not a list of names"),
        (("--reflectance", "1"), 2, "such as 0-1"),
        (("--clip", "1,0"), 2, "the smaller one first"),
        (("--missing", "skip"), 2, "is not refuse, fill=0, or s1=0"),
        (("--classes", "none.csv"), 2, "cannot be read"),
        (("--classes", "a,,b"), 2, "--classes: a class is named ''"),
        (("--out", "/none/m.onnx"), 7, "No folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_mistake_ends_in_one_line(tmp_path, words, code, says):
    path = linear(tmp_path / "net.onnx", WEIGHTS, BIAS)

    result = invoke("models", "wrap", path, *words)

    assert result.exit_code == code
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert [one.name for one in tmp_path.iterdir()] == ["net.onnx"]


def test_json_is_one_object(tmp_path):
    path = linear(tmp_path / "net.onnx", WEIGHTS, BIAS)
    said = ("--bands", ",".join(BANDS), "--reflectance", "0-10000", "--classes", "a,b,c,d,e")

    values = json.loads(invoke("models", "wrap", path, *said, "--window", 64, "--json").stdout)

    assert values["contract"]["classes"] == ["a", "b", "c", "d", "e"]
    assert values["logits"] == [1, 5, 64, 64]
