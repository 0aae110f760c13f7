"""A dozen kills, as ``benchmarks/kills.py`` makes two hundred."""

import subprocess
import sys
from pathlib import Path

import pytest

from lulcmap.model.contract import S2_INPUT
from tests.support.beside import with_sidecars
from tests.support.stubs import contract, endless_model, make_model

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kills.py"


@pytest.mark.timeout(1500)
def test_a_run_survives_kills_at_any_moment(tmp_path):
    model = make_model(tmp_path / "stub.onnx", contract(), kernel=8)
    words = [sys.executable, str(SCRIPT), "--kills", "12", "--seed", "3"]
    words += ["--model", str(model), "--block-size", "96", "--size", "192"]

    done = subprocess.run(words, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "Every map has the bytes of an undisturbed run" in done.stdout


COMMAND = """
import logging, os, signal, sys
from lulcmap.cli import run
signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it
event, name = sys.argv[1:3]
del sys.argv[1:3]
def stop_at_event(*args, **kwargs):
    record = logging.LogRecord(*args, **kwargs)
    if event in record.getMessage():
        os.kill(os.getpid(), getattr(signal, name))
    return record
logging.setLogRecordFactory(stop_at_event)
run()
"""


@pytest.mark.parametrize(
    ("event", "name", "code"),
    [
        ("scenes found", "SIGTERM", 143),
        ("compositing", "SIGINT", 130),
        ("classifying", "SIGTERM", 143),
        ("writing", "SIGHUP", 129),
        ("block 3 of", "SIGTERM", 143),
        ("assembling", "SIGTERM", 143),
        ("compositing", "SIGKILL", -9),
    ],
)
def test_a_run_that_is_stopped_at_any_stage_gives_the_same_map(
    country, model, tmp_path, event, name, code
):
    words = ["predict", "--aoi", country.aoi, "--year", "2024", "--catalog", country.items, "-vv"]
    words += ["--model", model, "--device", "cpu", "--block-size", "192"]
    program = [sys.executable, "-m", "lulcmap"]
    whole, out = tmp_path / "whole.tif", tmp_path / "map.tif"

    def run(program, out):
        command = list(map(str, [*program, *words, "--out", out]))
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run(program, whole).returncode == 0
    stopped = run([sys.executable, "-c", COMMAND, event, name], out)
    assert stopped.returncode == code, stopped.stderr
    assert not out.exists()
    if code > 0:
        line = "Error: Stopped. Run the same command again to resume."
        assert stopped.stderr.splitlines()[-1] == line
    assert run(program, out).returncode == 0
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *with_sidecars("map.tif"),
        *with_sidecars("whole.tif"),
    ]


def test_a_model_that_loops_for_ever_is_stopped_in_time(country, tmp_path):
    endless = contract(inputs={"s2": S2_INPUT}, stride=1)
    model = endless_model(tmp_path / "endless.onnx", endless)
    words = ["predict", "--aoi", country.aoi, "--year", "2024", "--catalog", country.items]
    words += ["--model", model, "--device", "cpu", "--timeout", "1", "--out", tmp_path / "map.tif"]

    stopped = subprocess.run(
        [sys.executable, "-m", "lulcmap", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )

    line = "Error: Stopped: --timeout reached. Run the same command again to resume.\n"
    assert (stopped.returncode, stopped.stderr) == (124, line)
    assert not (tmp_path / "map.tif").exists()
