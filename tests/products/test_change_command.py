import csv
import json

import numpy as np
import pytest
import shapely
from click.testing import CliRunner
from PIL import Image

from lulcmap.cli import main
from tests.products.maps import write_map, write_regions


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(4)
    first = rng.integers(0, 3, (60, 80)).astype(np.uint8)
    last = np.where(rng.random(first.shape) < 0.2, 6, first).astype(np.uint8)
    write_map(tmp_path / "2020.tif", first)
    write_map(tmp_path / "2022.tif", first)
    write_map(tmp_path / "2024.tif", last)
    boxes = [shapely.box(x, 6_343_500, x + 300, 6_343_900) for x in (550_000, 550_300)]
    write_regions(tmp_path / "r.gpkg", boxes, district=["a", "b"])
    return tmp_path


def run(*words):
    return CliRunner().invoke(main, ["change", *map(str, words)], catch_exceptions=False)


def test_gains_losses_and_the_largest_changes_are_printed_and_written(folder):
    out, table, chart = (folder / name for name in ("c.tif", "c.csv", "f.png"))

    result = run(
        *(folder / "2020.tif", folder / "2024.tif"),
        *("--out", out, "--table", table, "--chart", chart),
    )

    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split()[:3] == ["class", "2020", "ha"]
    assert "water to built" in result.stdout
    assert f"Wrote {out}.\nWrote {table}.\nWrote {chart}.\n" in result.stdout
    assert "shows their errors as change" in result.stderr
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["first"] for row in rows} == {"water", "trees", "grass"}
    assert sum(float(row["percent"]) for row in rows) == pytest.approx(100, abs=0.01)
    with (folder / "c-classes.csv").open(newline="") as file:
        built = next(row for row in csv.DictReader(file) if row["class"] == "built")
    gained = sum(float(row["ha"]) for row in rows if row["last"] == "built")
    assert float(built["gain_ha"]) == pytest.approx(gained, abs=1e-3)
    assert (folder / "c-years.csv").exists()
    assert not (folder / "c-adjusted.csv").exists()
    with Image.open(chart) as picture:
        assert picture.width > 600


def test_regions_are_printed_in_a_line_each(folder):
    result = run(
        *(folder / "2020.tif", folder / "2024.tif", "--regions", folder / "r.gpkg"),
        *("--table", folder / "r.csv"),
    )

    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines() if line] == [
        *("region", "a", "b", "Wrote")
    ]
    assert " to built, " in result.stdout


def test_strata_come_with_the_commands_to_sample_them(folder):
    result = run(folder / "2020.tif", folder / "2024.tif", "--strata", folder / "s.tif")

    assert f"lulcmap sample {folder / 's.tif'} --size" in result.stdout


def test_maps_without_change_have_a_picture_that_says_so(folder):
    result = run(folder / "2020.tif", folder / "2022.tif", "--chart", folder / "f.png")

    assert result.exit_code == 0, result.output
    with Image.open(folder / "f.png") as picture:
        assert picture.height < 200


def test_json_is_one_object(folder):
    paths = [folder / f"{year}.tif" for year in (2020, 2022, 2024)]

    found = json.loads(run(*paths, "--json").stdout)

    assert found["maps"] == ["2020", "2022", "2024"]
    assert set(found["transitions"][0]) == {
        *("region", "first_id", "first", "last_id", "last", "pixels", "ha", "percent")
    }
    assert found["trajectory"]["change_rate"] > 0
    assert found["adjusted"] == []


@pytest.mark.parametrize("ending", [".xlsx", ".parquet"])
def test_other_formats_hold_the_same(folder, ending):
    pandas = pytest.importorskip("pandas")
    paths = folder / "2020.tif", folder / "2024.tif"
    run(*paths, "--table", folder / "c.csv")

    result = run(*paths, "--table", folder / f"c{ending}")

    assert result.exit_code == 0, result.output
    expected = pandas.read_csv(folder / "c.csv")
    if ending == ".parquet":
        found = pandas.read_parquet(folder / "c.parquet")
        assert (folder / "c-years.parquet").exists()
    else:
        book = pandas.read_excel(folder / "c.xlsx", sheet_name=None)
        assert list(book) == ["matrix", "transitions", "classes", "years", "notes"]
        found = book["transitions"]
        matrix = book["matrix"].set_index(book["matrix"].columns[0])
        water = expected[(expected["first"] == "water") & (expected["last"] == "built")]
        assert matrix.loc["water", "built"] == pytest.approx(water["ha"].iloc[0])
        assert matrix.loc["all", "all"] == pytest.approx(expected["ha"].sum(), rel=1e-6)
    pandas.testing.assert_frame_equal(found, expected, check_dtype=False)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["2020.tif"], 2, "Change needs two maps of one place"),
        (["2020.tif", "./2020.tif"], 2, "is given twice"),
        (["2020.tif", "r.gpkg"], 2, "r.gpkg is not a readable raster"),
        (["2020.tif", "2024.tif", "--out", "c.png"], 2, "--out is a .tif file"),
        (["2020.tif", "2024.tif", "--out", "2022.tif"], 7, "2022.tif exists"),
        (
            ["2020.tif", "2024.tif", "--out", "2022.tif", "--overwrite"],
            7,
            "not a raster of changes",
        ),
        (["2020.tif", "2024.tif", "--out", "2020.tif", "--overwrite"], 7, "files that are read"),
        (["2020.tif", "2024.tif", "--out", "c.tif", "--strata", "c.tif"], 2, "are one file"),
        (["2020.tif", "2024.tif", "--table", "c.doc"], 2, "ends in .doc"),
        (["2020.tif", "2024.tif", "--chart", "c.jpg"], 2, "ends in .jpg"),
        (["2020.tif", "2024.tif", "--yearly", "paths"], 2, "needs three maps or more"),
        (["2020.tif", "2024.tif", "--min-confidence", "60"], 2, "has no confidence"),
        (["2020.tif", "2024.tif", "--region-column", "x"], 2, "They are for --regions"),
        (["2020.tif", "2024.tif", "--accuracy", "."], 2, "has no points.csv"),
        ([], 2, "Missing argument 'MAP MAP...'"),
    ],
)
def test_a_mistake_is_told_in_one_line_and_harms_nothing(folder, monkeypatch, words, code, said):
    monkeypatch.chdir(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    result = run(*words)

    errors = [line for line in result.stderr.strip().splitlines() if not line.startswith("Note")]
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert said in errors[0]
    assert len(errors) == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
