"""Where the system has no POSIX calls, as on Windows, a map is made all the same."""

import subprocess
import sys

import rasterio

HIDES = """
import os, signal, sys, tempfile
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
for name in ("SIGALRM", "setitimer", "alarm", "ITIMER_REAL", "SIGKILL", "SIGHUP"):
    delattr(signal, name)
for name in ("sched_getaffinity", "sysconf", "pwrite", "pread", "geteuid", "getuid", "fork"):
    delattr(os, name)
from lulcmap.cli import main
main(sys.argv[1:])
"""


def test_predict_makes_the_same_map_without_posix_calls(country, model, tmp_path):
    words = ["predict", "--aoi", country.aoi, "--year", "2024", "--catalog", country.items]
    words += ["--model", model, "--block-size", "96", "--device", "cpu", "--timeout", "500"]
    with_posix = [sys.executable, "-m", "lulcmap", *words, "--out", tmp_path / "posix.tif"]
    without = [sys.executable, "-c", HIDES, *words, "--out", tmp_path / "plain.tif"]

    subprocess.run(list(map(str, with_posix)), check=True, capture_output=True)
    plain = subprocess.run(list(map(str, without)), check=False, capture_output=True, text=True)

    assert plain.returncode == 0, plain.stderr
    assert "cannot be locked here" in plain.stderr
    assert (tmp_path / "plain.tif").read_bytes() == (tmp_path / "posix.tif").read_bytes()
    with rasterio.open(tmp_path / "plain.tif") as file:
        assert file.tags()["LULCMAP_COMPLETE"] == "yes"


def test_a_timeout_stops_it_without_an_alarm_signal(country, model, tmp_path):
    words = ["predict", "--aoi", country.aoi, "--year", "2024", "--catalog", country.items]
    words += ["--model", model, "--block-size", "48", "--device", "cpu", "--timeout", "0.5"]
    words += ["--out", tmp_path / "map.tif"]

    stopped = subprocess.run(
        [sys.executable, "-c", HIDES, *map(str, words)], check=False, capture_output=True, text=True
    )

    assert stopped.returncode == 124, stopped.stderr
    assert "--timeout reached" in stopped.stderr
