"""The command as its users meet it, above all when something is wrong."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from datetime import date
from pathlib import Path

import click
import numpy as np
import onnx
import pyogrio
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from pyproj import Transformer

from lulcmap.cli import main
from lulcmap.cli.app import configure_logging
from lulcmap.legend import NODATA
from lulcmap.simulation.build import Country, simulate
from tests.support.beside import with_sidecars
from tests.support.stubs import contract, make_model, save

TINY = {"height": 128, "width": 160, "s2_dates": 3, "s1_dates": 2}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a tiny country, one with lost assets, a model, and input of every bad kind."""
    folder = tmp_path_factory.mktemp("world")
    country = simulate(folder / "country", Country(seed=1, **TINY))
    simulate(
        folder / "spoilt", Country(seed=3, height=64, width=64, s2_dates=4, missing=1, truncated=1)
    )
    model = make_model(folder / "stub.onnx", contract(), kernel=8)
    collection = json.loads(country.items.read_text())
    for item in collection["features"]:
        properties = item["properties"]
        properties["datetime"] = f"{date.today().year}{properties['datetime'][4:]}"
    country.items.with_name("now.json").write_text(json.dumps(collection))
    (ring,) = json.loads(country.aoi.read_text())["features"][0]["geometry"]["coordinates"]
    bad = folder / "bad"
    bad.mkdir()
    bad_areas(bad, ring)
    bad_models(bad, model)
    return folder


def bad_areas(folder, ring):
    def write(name, kind, coordinates):
        (folder / name).write_text(json.dumps({"type": kind, "coordinates": coordinates}))

    west, south, east, north = shapely.Polygon(ring).bounds
    write("points.geojson", "MultiPoint", ring)
    write("swapped.geojson", "Polygon", [[[y, x + 120] for x, y in ring]])
    write("beyond.geojson", "Polygon", [[[x + 500, y] for x, y in ring]])
    corners = [[west, south], [east, north], [east, south], [west, north], [west, south]]
    write("bowtie.geojson", "Polygon", [corners])
    write("cut.geojson", "Polygon", [ring])
    (folder / "cut.geojson").write_text((folder / "cut.geojson").read_text()[:99])
    (folder / "empty.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    to_metres = Transformer.from_crs(4326, 3857, always_xy=True)
    metres = np.column_stack(to_metres.transform(*np.transpose(ring)))
    write_vector(folder / "metres.gpkg", "land", "EPSG:3857", metres)
    write_vector(folder / "two.gpkg", "north", "EPSG:4326", ring)
    write_vector(folder / "two.gpkg", "south", "EPSG:4326", ring)
    write_vector(folder / "bare.shp", "bare", None, metres)


def write_vector(path, layer, crs, ring):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a CRS is missing
        pyogrio.raw.write(
            path,
            geometry=np.array([shapely.to_wkb(shapely.Polygon(ring))]),
            field_data=[],
            fields=[],
            geometry_type="Polygon",
            crs=crs,
            layer=layer,
            append=path.exists(),
        )


def bad_models(folder, model):
    whole = onnx.load(model)
    agreed = json.loads(contract().to_json())
    s1 = {**agreed["inputs"]["s1"], "unit": "linear power"}
    s2 = {**agreed["inputs"]["s2"], "bands": ["B01", *agreed["inputs"]["s2"]["bands"][1:]]}
    for name, inputs in (("unit", {"s1": s1}), ("band", {"s2": s2})):
        changed = {**agreed, "inputs": {**agreed["inputs"], **inputs}}
        save(whole, folder / f"{name}.onnx", json.dumps(changed))
    del whole.metadata_props[:]
    save(whole, folder / "foreign.onnx", None)
    (folder / "text.onnx").write_text("This is no model.")
    (folder / "cut.onnx").write_bytes(model.read_bytes()[:999])
    onnx.save(
        onnx.load(model),
        folder / "external.onnx",
        save_as_external_data=True,
        location="external.data",
        size_threshold=0,
    )


@pytest.fixture
def predict(world, tmp_path, monkeypatch):
    """Runs ``lulcmap predict`` in an empty folder; options given later win."""
    monkeypatch.chdir(tmp_path)

    def run(*options, period=("--year", "2024")):
        words = ["--aoi", str(world / "country" / "aoi.geojson"), *period]
        words += ["--catalog", str(world / "country" / "items.json")]
        words += ["--model", str(world / "stub.onnx"), "--block-size", "480", "--device", "cpu"]
        given = [str(option).replace("BAD", str(world / "bad")) for option in options]
        return CliRunner().invoke(main, ["predict", *words, *given])

    return run


def left():
    return sorted(path.name for path in Path().iterdir())


def one_line(result, code):
    """The only line of stderr: an error, with nothing on stdout."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


def test_a_map_is_told_in_one_line_and_notes_on_stderr(predict):
    result = predict()

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("aoi-2024.tif: 100.0% of ")
    assert len(result.stdout.splitlines()) == 1
    *notes, times, of_model = result.stderr.splitlines()
    assert times.startswith("Took ")
    assert "Busy in the blocks: " in times
    assert "; limited by " in times
    assert of_model.startswith("Model stub was trained on simulated landscapes only;")
    assert all(line.startswith("Note: ") for line in notes)
    assert left() == with_sidecars("aoi-2024.tif")

    again = predict()
    assert (again.exit_code, again.stderr) == (0, result.stderr.replace(f"{times}\n", ""))
    assert again.stdout == "aoi-2024.tif: already made, nothing to do\n"


@pytest.mark.parametrize(
    ("aoi", "says"),
    [
        ("nowhere.geojson", "No file nowhere.geojson"),
        ("BAD/points.geojson", "no polygons, only Point"),
        ("BAD/empty.geojson", "it has no geometry"),
        ("BAD/cut.geojson", "cannot be read as GeoJSON: Expecting"),
        ("BAD/swapped.geojson", "swap them to longitude, latitude"),
        ("BAD/beyond.geojson", "longitude from -180 to 180"),
        ("BAD/bare.shp", "has no CRS"),
        ("BAD/two.gpkg", "several layers: north, south. Choose one with --layer"),
        ("8.3,47.8,8.1,47.9", "west,south,east,north"),
        ("5,85,6,86", "between 80 S and 84 N"),
    ],
)
def test_an_area_that_cannot_be_used_is_refused(predict, aoi, says):
    line = one_line(predict("--aoi", aoi), 2)

    assert says in line
    assert left() == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--aoi", "BAD/bowtie.geojson"], "it was repaired"),
        (["--aoi", "BAD/metres.gpkg"], "converted from EPSG:3857"),
    ],
)
def test_an_area_that_can_be_mended_is_mapped_and_it_is_said(predict, options, says):
    result = predict(*options, "--out", "map.tif")

    assert result.exit_code == 0, result.output
    assert says in result.stderr
    assert says in Path("map.tif.report.json").read_text()


def test_a_layer_that_is_named_is_mapped(predict):
    assert predict("--aoi", "BAD/two.gpkg", "--layer", "south").exit_code == 0
    assert "it has north, south" in one_line(predict("--aoi", "BAD/two.gpkg", "--layer", "x"), 2)


@pytest.mark.parametrize(
    ("period", "says"),
    [
        (["--year", date.today().year + 1], "the current year"),
        (["--year", 2014], "2015, when Sentinel-2 began"),
        (["--start", "2024-05-01", "--end", "2024-04-01"], "Swap the two"),
        (["--start", "2024-05-01"], "belong together"),
        (["--start", "2024-05-32", "--end", "2024-06-01"], "'2024-05-32' does not match"),
        (["--year", 2024, "--end", "2024-06-01"], "by --year and by --start and --end"),
        ([], "No period. Give --year"),
    ],
)
def test_a_period_that_cannot_be_used_is_refused(predict, period, says):
    line = one_line(predict(period=[str(word) for word in period]), 2)

    assert says in line
    assert left() == []


def test_the_current_year_is_allowed_and_marked(predict, world):
    year = date.today().year
    now = world / "country" / "now.json"

    result = predict("--catalog", now, period=("--year", str(year)))

    with rasterio.open(f"aoi-{year}.tif") as made:
        marked = made.tags()["LULCMAP_WARNINGS"]
    assert result.exit_code == 0, result.output
    assert f"{year}-12-31 and is not over" in result.stderr
    assert f"{year}-12-31 and is not over" in marked


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--aoi", "20,50,20.1,50.1"], 3, "No scene of area_20_50_20.1_50.1 was found"),
        (["--catalog", "nowhere.json"], 2, "No catalogue nowhere.json"),
        (["--catalog", "BAD/text.onnx"], 2, "cannot be read as JSON"),
        (["--crs", "EPSG:99999"], 2, "EPSG:3035"),
        (["--crs", "EPSG:2272"], 2, "US survey foot"),
        (["--crs", "EPSG:4978"], 2, "two axes"),
        (["--block-size", "500"], 2, "a multiple of the model's step, 48"),
        (["--model", "BAD/band.onnx"], 6, "needs band B01 of s2"),
        (["--model", "BAD/unit.onnx"], 6, "unit 'linear power'"),
        (["--model", "BAD/foreign.onnx"], 6, "has no contract"),
        (["--model", "BAD/text.onnx"], 6, "is not an ONNX model"),
        (["--model", "BAD/cut.onnx"], 6, "is not an ONNX model"),
        (["--model", "BAD/external.onnx"], 6, "keeps weights in another file"),
        (["--model", "nothing"], 6, "neither a file nor an available model"),
        (["--out", "no/map.tif"], 7, "No folder no"),
        (["--out", "."], 7, "is a folder"),
        (["--workdir", __file__], 7, "No folder"),
        (["--min-clear", "0"], 2, "'--min-clear': 0 is not in the range"),
        (["--mask-codes", "3,300"], 2, "codes 0 to 11"),
        (["--mask-codes", "cloud"], 2, "codes 0 to 11"),
        (["--nope"], 2, "--nope"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_and_leaves_nothing(predict, options, code, says):
    line = one_line(predict(*options), code)

    assert says in line
    assert left() == []


def test_an_error_is_json_on_stdout_if_asked(predict):
    for options, code, kind in (
        (["--aoi", "nowhere.geojson"], 2, "AreaError"),
        (["--model", "BAD/text.onnx"], 6, "ModelError"),
        (["--nope"], 2, "UsageError"),
        (["--blend", "mean"], 2, "UsageError"),
    ):
        result = predict(*options, "--json")

        error = json.loads(result.stdout)["error"]
        assert (result.exit_code, error["exit_code"], error["kind"]) == (code, code, kind)
        assert result.stderr == ""


def test_the_result_is_json_on_stdout_and_logs_are_json_lines(predict):
    result = predict("--json", "--log-format", "json", "-vv")

    made = json.loads(result.stdout)
    logs = [json.loads(line) for line in result.stderr.splitlines()]
    assert (made["map"], made["already_made"]) == ("aoi-2024.tif", False)
    assert made["coverage"] == 1
    assert any("scenes found" in log["message"] for log in logs)
    assert all(set(log) == {"time", "level", "logger", "message"} for log in logs)


def test_quiet_says_nothing_but_errors(predict):
    result = predict("--out", "map.tif", "-q")

    assert result.exit_code == 0
    assert result.output == ""
    assert left() == with_sidecars("map.tif")
    assert "No file" in one_line(predict("--aoi", "nowhere.geojson", "-q"), 2)


def test_a_file_that_exists_is_kept(predict):
    Path("map.tif").write_text("precious")

    line = one_line(predict("--out", "map.tif"), 7)

    assert "--overwrite" in line
    assert left() == ["map.tif"]
    assert Path("map.tif").read_text() == "precious"
    assert predict("--out", "map.tif", "--overwrite").exit_code == 7


def test_a_folder_that_cannot_be_written_to_is_refused(predict, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere

    assert "is not writable" in one_line(predict(), 7)
    assert left() == []


def test_lost_assets_are_named_and_counted_and_too_many_end_the_run(predict, world):
    spoilt = ["--aoi", world / "spoilt" / "aoi.geojson"]
    spoilt += ["--catalog", world / "spoilt" / "items.json"]

    refused = one_line(predict(*spoilt, "--max-lost", "0.01"), 5)
    assert "2 of " in refused
    assert " B03, " in refused
    assert "--max-lost allows 1%" in refused
    assert left() == ["aoi-2024.tif.run"]  # it notes why

    result = predict(*spoilt, "--max-lost", "0.5")
    assert result.exit_code == 0, result.output
    (note,) = [line for line in result.stderr.splitlines() if "could not be read" in line]
    assert "could not be read: 2 (" in note
    assert " B03, " in note
    assert " B04)" in note
    report = json.loads(Path("aoi-2024.tif.report.json").read_text())
    assert [lost["band"] for lost in report["lost"]] == ["B03", "B04"]


def test_without_a_runtime_the_extra_is_named(predict, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    assert "pip install lulcmap[cpu]" in one_line(predict(), 6)
    assert left() == []


def test_two_runtimes_are_refused(predict, monkeypatch):
    both = ("onnxruntime", "onnxruntime-gpu")
    monkeypatch.setattr("lulcmap.model.runtime._is_installed", lambda name: name in both)

    assert "onnxruntime and onnxruntime-gpu are installed together" in one_line(predict(), 6)
    assert left() == []


def test_cuda_that_is_not_there_is_said(predict, monkeypatch):
    monkeypatch.setattr("lulcmap.model.session.why_no_cuda", lambda _: "no NVIDIA driver was found")

    assert "--device cuda: no NVIDIA driver" in one_line(predict("--device", "cuda"), 6)
    assert left() == []


def test_a_bug_gives_1_and_a_traceback_without_signatures(predict, monkeypatch):
    def breaks(*_, **__):
        raise KeyError("https://x.blob.core.windows.net/a.tif?se=1&sig=SECRET%3D&sp=r")

    monkeypatch.setattr("lulcmap.planning.planner.find_scenes", breaks)

    result = predict()

    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert "This is a bug in lulcmap" in result.stderr.splitlines()[-1]
    assert "SECRET" not in result.output
    assert "SECRET" not in predict("--json").output


def test_libraries_do_not_speak_to_the_user(capsys):
    signed = "https://x.blob.core.windows.net/a.tif?se=1&sig=SECRET%3D"
    loud = [logging.getLogger(name) for name in ("rasterio._env", "urllib3.connectionpool")]

    configure_logging(verbose=0, quiet=False, log_format="text")
    for logger in loud:
        logger.error(signed)
    assert capsys.readouterr().err == ""

    configure_logging(verbose=2, quiet=False, log_format="text")
    for logger in loud:
        logger.info("chatter")
        logger.error(signed)
    said = capsys.readouterr().err
    assert "chatter" not in said
    assert said.count("sig=***") == 2
    assert "SECRET" not in said


def test_importing_the_catalogue_s_libraries_shows_nothing():
    code = "from lulcmap.cli.app import configure_logging as log\n"
    code += "log(verbose=0, quiet=False, log_format='text')\n"
    code += "import pystac_client, planetary_computer.sas"
    run = subprocess.run(
        [sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, check=True
    )

    assert run.stdout + run.stderr == ""


def every_command(command=main, parent=None, name="lulcmap"):
    ctx = click.Context(command, parent=parent, info_name=name, terminal_width=100)
    yield ctx
    if isinstance(command, click.Group):
        for child in command.list_commands(ctx):
            yield from every_command(command.get_command(ctx, child), ctx, child)


def test_help_fits_100_columns_and_keeps_its_examples():
    for ctx in every_command():
        text = ctx.get_help()
        assert max(map(len, text.splitlines())) <= 100
        assert "\\b" not in text
        assert "\b" not in text


def test_the_version_is_told():
    assert CliRunner().invoke(main, ["--version"]).output.startswith("lulcmap, version ")


def test_every_option_of_predict_is_there():
    wanted = """--aoi --layer --year --start --end --out --model --catalog --crs --device
        --batch-size --max-scenes --min-clear --max-s1-scenes --orbit --s1 --blend --workers
        --block-size --workdir --keep-run --overwrite --max-lost -v -q --log-format --json"""
    there = {name for option in main.commands["predict"].params for name in option.opts}

    assert set(wanted.split()) <= there


STUCK = """
import glob, signal, sys, time
from pathlib import Path
from lulcmap.imagery import reader as read
from lulcmap.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
reads = read.Reader._read
def read_or_hang(*args):  # a server that no longer answers, once a block has its name
    if glob.glob("map.tif.run/blocks/*.tif"):
        Path("hangs").touch()
        time.sleep(100)
    return reads(*args)
read.Reader._read = read_or_hang
main(sys.argv[1:])
"""


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_at_once_and_the_same_command_goes_on(
    predict, world, tmp_path, signum, code
):
    options = ["--block-size", "96", "--workers", "1", "--out", "map.tif"]
    command = ["predict", "--aoi", world / "country" / "aoi.geojson", "--year", "2024"]
    command += ["--catalog", world / "country" / "items.json", "--model", world / "stub.onnx"]
    with subprocess.Popen(
        [sys.executable, "-c", STUCK, *map(str, command), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not Path("hangs").exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signum)
        said, errors = process.communicate(timeout=20)
    Path("hangs").unlink()
    blocks = Path("map.tif.run", "blocks")
    times = {path: path.stat().st_mtime_ns for path in blocks.iterdir()}

    assert (process.returncode, said) == (code, "")
    assert errors == "Error: Stopped. Run the same command again to resume.\n"
    assert left() == ["map.tif.run"]
    assert times
    assert all(path.suffix == ".tif" for path in times)

    result = predict(*options, "--keep-run")
    assert result.exit_code == 0, result.output
    assert all(path.stat().st_mtime_ns == then for path, then in times.items())
    with rasterio.open("map.tif") as made:
        assert (made.read(1) != NODATA).any()
