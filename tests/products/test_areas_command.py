import json

import numpy as np
import pytest
import shapely
from click.testing import CliRunner

from lulcmap.cli import main
from tests.products.maps import write_map, write_regions


@pytest.fixture
def folder(tmp_path):
    values = np.random.default_rng(4).integers(0, 3, (120, 160)).astype(np.uint8)
    write_map(tmp_path / "map.tif", values)
    boxes = [shapely.box(x, 6_343_000, x + 500, 6_343_500) for x in (550_000, 550_500, 551_500)]
    write_regions(tmp_path / "r.gpkg", boxes, district=["a", "b", "c"], code=[1, 2, 3])
    return tmp_path


def run(*words):
    return CliRunner().invoke(main, ["areas", *map(str, words)], catch_exceptions=False)


def test_the_areas_are_printed_and_written(folder):
    out, chart = folder / "areas.csv", folder / "areas.png"

    result = run(folder / "map.tif", "--out", out, "--chart", chart)

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("class ")
    assert f"Wrote {out}.\nWrote {chart}.\n" in result.stdout
    assert out.read_text().splitlines()[1].startswith("all,0,water,")
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_regions_are_printed_in_a_line_each_where_a_file_holds_them_all(folder):
    result = run(folder / "map.tif", "--regions", folder / "r.gpkg", "--out", folder / "r.csv")
    every = run(folder / "map.tif", "--regions", folder / "r.gpkg")

    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["region", "a", "b", "c", "Wrote"]
    assert "20.0%" in lines[3]
    assert "Note: Regions are named by the column 'district' of r.gpkg." in result.stderr
    assert every.stdout.count("trees") == 3


def test_json_is_one_object_with_all_rows(folder):
    result = run(folder / "map.tif", "--regions", folder / "r.gpkg", "--json")

    found = json.loads(result.stdout)
    assert [row["region"] for row in found["rows"]] == [*"aaabbbcccc"]
    assert set(found["rows"][0]) == {
        *("region", "class_id", "class", "pixels", "ha", "km2", "percent")
    }
    assert len(found["notes"]) == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["r.gpkg"], 2, "r.gpkg is not a readable raster ("),
        (
            ["map.tif", "--regions", "map.tif"],
            2,
            "map.tif cannot be read as a vector file",
        ),
        (["map.tif", "--regions", "r.gpkg", "--region-column", "x"], 2, "it has district, code"),
        (["map.tif", "--region-column", "x"], 2, "They are for --regions"),
        (["map.tif", "--out", "areas.doc"], 2, "ends in .doc; the format is told by the ending"),
        (["map.tif", "--chart", "areas.jpg"], 2, "ends in .jpg"),
        (["map.tif", "--out", "r.gpkg"], 7, "r.gpkg exists. Give --overwrite"),
        (
            ["map.tif", "--regions", "r.gpkg", "--out", "r.gpkg", "--overwrite"],
            7,
            "one of the files that are read",
        ),
        (["map.tif", "--accuracy", "."], 2, "has no points.csv"),
        ([], 2, "Missing argument 'MAP...'"),
    ],
)
def test_a_mistake_is_told_in_one_line_and_harms_nothing(folder, monkeypatch, words, code, said):
    monkeypatch.chdir(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    result = run(*words)

    assert result.exit_code == code
    assert result.stdout == ""
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
