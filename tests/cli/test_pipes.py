"""A named pipe, which may never end, is refused at once wherever a file is read."""

import os

import pytest
from click.testing import CliRunner

from lulcmap.cli import main
from lulcmap.imagery import Fetcher, FetchError

AREA = ["--aoi", "6,49,6.1,49.1", "--year", "2024"]

COMMANDS = [
    ["predict", "--aoi", "PIPE.geojson", "--year", "2024"],
    ["plan", "--aoi", "PIPE.shp", "--year", "2024"],
    ["plan", *AREA, "--catalog", "PIPE.json"],
    ["plan", *AREA, "--model", "PIPE.onnx"],
    ["models", "show", "PIPE.onnx"],
    ["evaluate", "map.tif", "--labels", "PIPE.tif"],
    ["evaluate", "PIPE.tif", "--labels", "map.tif"],
    ["evaluate", "map.tif", "--labels", "PIPE.gpkg"],
    ["evaluate", "map.tif", "--labels", "PIPE.csv"],
    ["evaluate", "map.tif", "--labels", "map.tif", "--crosswalk", "PIPE.csv"],
    ["evaluate", "map.tif", "--labels", "map.tif", "--regions", "PIPE.gpkg"],
    ["seams", "PIPE.tif"],
    ["sample", "PIPE.tif", "--size", "10", "--out", "sample.gpkg"],
    ["dataset", "build", "--labels", "PIPE.tif", "--year", "2024", "--out", "chips"],
    ["dataset", "build", "--labels", "PIPE.gpkg", "--year", "2024", "--out", "chips"],
    ["dataset", "build", "--labels", "map.tif", "--classes", "PIPE.csv", "--out", "chips"],
    ["export-onnx", "PIPE.pt"],
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_pipe_is_refused_in_one_line(words, country, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "map.tif").symlink_to(country.truth)
    (name,) = [word for word in words if word.startswith("PIPE")]
    os.mkfifo(name)

    result = CliRunner().invoke(main, words)

    assert result.exit_code in (2, 6)
    assert f"{name} is a pipe, not a file." in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.timeout(60)
def test_a_pipe_as_an_asset_is_a_lost_asset(tmp_path):
    os.mkfifo(tmp_path / "B04.tif")
    fetcher = Fetcher()

    with pytest.raises(FetchError, match="it is not a file"):
        fetcher.get(str(tmp_path / "B04.tif"), 0, 16)
    fetcher.close()
