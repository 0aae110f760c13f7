"""``benchmarks/gpu.py`` in its small form, which runs everywhere: its parts, and their resuming."""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import gpu

pytestmark = pytest.mark.timeout(600)

SCRIPT = Path(gpu.__file__)


def test_every_part_gives_figures_and_the_same_classes_and_a_rerun_resumes(tmp_path):
    pytest.importorskip("torch")
    command = [sys.executable, str(SCRIPT), "--small", "--out", str(tmp_path)]
    command += ["--model", "lulcformer-tiny"]

    subprocess.run(command, check=True, capture_output=True)

    parts = json.loads((tmp_path / "results.json").read_text())["parts"]
    assert [name for name, found in parts.items() if "missing" in found] == []
    for name, found in parts.items():
        if "windows_per_second" in found:
            assert found["windows_per_second"] > 0, name
            assert found["cells_of_another_class"] <= found["cells"] / 1000, name
    plain, bound = (parts[f"onnxruntime-cpu-{name}"] for name in ("plain", "bound"))
    assert bound["largest_difference"] == plain["largest_difference"]
    assert parts["map-cpu"]["pixels_of_another_class"] == 0
    assert 0 < parts["map-cpu"]["busy_share"] < 1
    assert parts["operations"]["gflop_per_window"] == pytest.approx(8.46, abs=0.01)

    (tmp_path / "map-cpu.json").write_text('{"missing": "kept as it was"}')
    (tmp_path / "results.json").unlink()
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "| map-cpu | kept as it was |" in out


def test_parts_of_another_batch_are_not_mixed(tmp_path):
    (tmp_path / "asked.json").write_text('{"model": null, "batch": 4, "small": true}')

    command = [sys.executable, str(SCRIPT), "--small", "--out", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True)

    assert run.returncode == 1
    assert run.stderr.strip().endswith("Give another --out.")


def test_a_map_that_was_interrupted_is_measured_from_its_beginning(tmp_path, monkeypatch):
    half = tmp_path / "map-cuda.tif.run"
    half.mkdir()
    monkeypatch.setattr("lulcmap.map_area", lambda *_, **__: None)

    gpu.mapped(Namespace(out=tmp_path, model=None), "cpu", "map-cuda.tif")

    assert not half.exists()


def test_time_that_runs_at_once_counts_once():
    assert gpu.covered([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0), (5.5, 5.7)]) == 4.0


def test_a_share_of_the_peak_is_of_the_gpu_s_and_the_precision_s():
    assert gpu.peak_of("NVIDIA H100 PCIe", "cuda-fp32-bound") == 51
    assert gpu.peak_of("NVIDIA H200", "torch-bf16-compiled") == 989
    assert gpu.peak_of("some other", "cuda-fp32") is None
