"""A dozen kills, as ``benchmarks/kills.py`` makes two hundred."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stubs import contract, make_model

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kills.py"


@pytest.mark.timeout(1500)
def test_a_run_survives_kills_at_any_moment(tmp_path):
    model = make_model(tmp_path / "stub.onnx", contract(), kernel=8)
    words = [sys.executable, str(SCRIPT), "--kills", "12", "--seed", "3"]
    words += ["--model", str(model), "--block-size", "96", "--size", "192"]

    done = subprocess.run(words, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "Every map has the bytes of an undisturbed run" in done.stdout
