import json

import numpy as np
import pyogrio
import pytest
import rasterio
from click.testing import CliRunner

from lulcmap.cli import main
from tests.products.maps import write_map


@pytest.fixture
def folder(tmp_path):
    values = np.zeros((40, 60), np.uint8)
    values[:, 30:] = 4
    values[10:14, 10:12], values[20, 20], values[30:, 40:50] = 6, 1, 2
    write_map(tmp_path / "map.tif", values)
    return tmp_path


def run(*words):
    return CliRunner().invoke(main, [*map(str, words)], catch_exceptions=False)


def test_clean_writes_a_map_and_prints_what_moved(folder):
    out = folder / "clean.tif"

    result = run(
        *("clean", folder / "map.tif", "--min-area", "0.1ha", "--out", out),
        *("--keep", "built, water"),
    )

    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split() == [
        *("class", "before", "ha", "after", "ha", "change", "patches", "moved", "ha")
    ]
    assert "Moved 1 patches below 0.1ha, 0.01 ha, 0.04% of what is mapped." in result.stdout
    assert result.stdout.endswith(f"Wrote {out}.\n")
    with rasterio.open(out) as file:
        assert np.unique(file.read(1)).tolist() == [0, 2, 4, 6]


def test_clean_prints_json(folder):
    result = run(
        *("clean", folder / "map.tif", "--min-area", "10px", "--out", folder / "clean.tif"),
        "--json",
    )

    found = json.loads(result.stdout)
    assert found["patches"] == 2
    assert found["moved_percent"] == pytest.approx(9 / 24, abs=1e-3)
    assert [row["class"] for row in found["classes"]] == [
        *("water", "trees", "grass", "crops", "built")
    ]


def test_polygons_writes_a_file_and_prints_what_is_in_it(folder):
    out = folder / "map.gpkg"

    result = run("polygons", folder / "map.tif", "--out", out, "--classes", "built,2")

    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[:2] for line in lines[:4]] == [
        ["class", "polygons"],
        ["grass", "1"],
        ["built", "1"],
        ["all", "2"],
    ]
    assert result.stdout.endswith(f"Wrote {out}.\n")
    assert pyogrio.read_info(out, layer="map")["features"] == 2


def test_polygons_prints_json_with_the_notes(folder):
    result = run(
        *("polygons", folder / "map.tif", "--out", folder / "x.fgb", "--json"),
        *("--min-area", "20px", "--tile-size", "32"),
    )

    found = json.loads(result.stdout)
    assert found["tiles"] == 4
    assert found["polygons"] == sum(row["polygons"] for row in found["classes"])
    assert [note.split(",")[0] for note in found["notes"]] == [
        "2 polygons below 20px",
        "The map is cut into 4 tiles; a patch in several of them is as many polygons. A larger "
        "--tile-size cuts less and takes more memory.",
    ]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["clean", "map.tif", "--out", "c.tif"], 2, "Missing option '--min-area'"),
        (["clean", "map.tif", "--min-area", "5", "--out", "c.tif"], 2, "such as 0.5ha"),
        (["clean", "map.tif", "--min-area", "1px", "--out", "c.tif"], 2, "keeps every patch"),
        (["clean", "map.tif", "--min-area", "1ha", "--out", "c.png"], 2, ".tif or .tiff"),
        (
            ["clean", "map.tif", "--min-area", "1ha", "--out", "map.tif"],
            7,
            "files that are read",
        ),
        (["clean", "map.tif", "--min-area", "1ha", "--out", "x/c.tif"], 7, "No folder x"),
        (["clean", "x.gpkg", "--min-area", "1ha", "--out", "c.tif"], 2, "not a readable raster"),
        (
            ["clean", "map.tif", "--min-area", "1ha", "--out", "c.tif", "--keep", "wood"],
            2,
            "It has: 0 water, 1 trees",
        ),
        (["polygons", "map.tif", "--out", "p.shp"], 2, "one of .gpkg, .fgb, .parquet"),
        (["polygons", "map.tif", "--out", "x.gpkg"], 7, "x.gpkg exists. Give --overwrite"),
        (
            ["polygons", "map.tif", "--out", "x.gpkg", "--overwrite"],
            7,
            "not a file of polygons made by lulcmap",
        ),
        (["polygons", "map.tif", "--out", "p.gpkg", "--crs", "WGS"], 2, "such as EPSG:4326"),
        (["polygons", "map.tif", "--out", "p.gpkg", "--tile-size", "3"], 2, "x>=16"),
    ],
)
def test_a_mistake_is_told_in_one_line_and_harms_nothing(folder, monkeypatch, words, code, said):
    monkeypatch.chdir(folder)
    (folder / "x.gpkg").write_text("mine")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    result = run(*words)

    assert result.exit_code == code
    assert result.stdout == ""
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_map_cut_short_is_told_and_nothing_is_left(folder, monkeypatch):
    monkeypatch.chdir(folder)
    noise = np.random.default_rng(0).integers(0, 9, (600, 600)).astype(np.uint8)
    path = write_map(folder / "cut.tif", noise, compress="deflate", tiled=True)
    path.write_bytes(path.read_bytes()[:-20_000])
    before = {path.name for path in folder.iterdir()}

    for words in (
        ["clean", "cut.tif", "--min-area", "1ha", "--out", "c.tif"],
        ["polygons", "cut.tif", "--out", "p.gpkg"],
        ["polygons", "cut.tif", "--out", "p.fgb"],
    ):
        result = run(*words)

        assert result.exit_code == 2, result.output
        assert "cut.tif" in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
        assert {path.name for path in folder.iterdir()} == before
