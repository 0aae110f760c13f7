"""The peer of ``benchmarks/end_to_end.py`` makes the same map, so that their costs compare."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("odc.stac")
pytest.importorskip("bottleneck")

PROJECT = Path(__file__).parents[2]


def test_a_script_with_odc_stac_makes_the_same_map(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.end_to_end", tmp_path, "--small"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )

    assert not run.returncode, run.stdout + run.stderr
    assert "local files: 0 of 25,600 labels differ" in run.stdout
    assert "the script takes" in run.stdout
