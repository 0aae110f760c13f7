"""What the command line does with what it is given."""

import pytest
from click.testing import CliRunner

from lulcmap.cli import main


@pytest.mark.parametrize("command", ["predict", "plan"])
def test_an_area_without_its_option_is_named_with_the_option(command):
    result = CliRunner().invoke(main, [command, "lux.geojson", "--year", "2024"])

    assert result.exit_code == 2
    assert "Unexpected argument lux.geojson. To map this area, give --aoi lux.geojson." in (
        result.output
    )


@pytest.mark.parametrize(
    "words",
    [
        ["train", "chips"],
        ["dataset", "build", "chips"],
        ["sample", "map.tif", "chips"],
        ["doctor", "chips"],
        ["models", "fetch", "one", "chips"],
    ],
    ids=" ".join,
)
def test_a_stray_argument_is_named(words):
    result = CliRunner().invoke(main, words)

    assert result.exit_code == 2
    assert "Unexpected argument chips." in result.output


@pytest.mark.parametrize("name", ["", *sorted(main.commands)])
def test_h_is_help(name):
    words = [name] if name else []

    short = CliRunner().invoke(main, [*words, "-h"])
    long = CliRunner().invoke(main, [*words, "--help"])

    assert short.exit_code == 0
    assert short.output == long.output


@pytest.mark.parametrize("name", ["map", "map.png", "map.tif.zip"])
def test_a_map_that_would_not_be_a_geotiff_is_refused_before_the_work(name, tmp_path):
    out = tmp_path / name

    words = ["predict", "--aoi", "6,49,6.1,49.1", "--year", "2024", "--out", str(out)]
    result = CliRunner().invoke(main, words)

    assert result.exit_code == 2
    assert f"--out is {name}. Give a name that ends in .tif or .tiff." in result.output
    assert not list(tmp_path.iterdir())
