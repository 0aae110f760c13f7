import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner

from lulcmap.cli import main
from lulcmap.errors import DeviceError, ModelError, OutputError, UsageError
from lulcmap.model import METADATA_KEY, create_inner
from lulcmap.model.file import read_model
from lulcmap.training import export
from lulcmap.training.card import model_card
from lulcmap.training.checkpoint import contract_of, restore_network, save_checkpoint
from lulcmap.training.export import export_onnx
from lulcmap.training.export_check import composites
from lulcmap.training.loss import upsample_logits
from lulcmap.training.lulcformer import LULCFORMER, LULCFORMER_TINY, LulcFormer
from tests.support.networks import MICRO, checkpoint

pytestmark = pytest.mark.timeout(1200)

SIZES = ("name", "s2_widths", "s1_widths", "depths", "heads", "decoder_width")
"""What two networks of the same parts differ in."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The tiny network, exported once."""
    return export_onnx(checkpoint(LULCFORMER_TINY), tmp_path_factory.mktemp("tiny") / "tiny.onnx")


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """A very small network in half precision, exported once."""
    out = tmp_path_factory.mktemp("half") / "half.onnx"
    return export_onnx(checkpoint(MICRO), out, name="halved", fp16=True)


@pytest.fixture
def as_if_traced(monkeypatch, half):
    """Tracing takes a minute: return what the fixture traced, for any network."""

    def trace(_):
        model = onnx.load(half.path)
        model.ClearField("metadata_props")
        return model

    monkeypatch.setattr(export, "trace", trace)


def run(path, s2, s1):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"s2": s2, "s1": s1})[0]


def test_the_file_gives_the_networks_logits_at_any_size_and_with_anything_missing(tiny):
    network = restore_network(checkpoint(LULCFORMER_TINY))

    for shape, missing in (((3, 32, 64), "parts"), ((1, 192, 96), "s1"), ((1, 96, 32), "s2")):
        s2, s1 = composites(shape, seed=99, missing=missing)
        with torch.inference_mode():
            expected = network(torch.from_numpy(s2), torch.from_numpy(s1)).numpy()
        got = run(tiny.path, s2, s1)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)


def test_every_size_is_checked_with_either_sensor_missing(tiny):
    cases = {(check.shape, check.missing) for check in tiny.checks}

    assert len(cases) == len(tiny.checks) == 12
    assert {missing for _, missing in cases} == {"nothing", "parts", "s1", "s2"}


def test_the_file_describes_itself(tiny):
    contract = read_model(tiny.path).contract

    assert contract.name == "lulcformer-tiny"
    assert contract.stride == 4
    assert contract.trained_on == "simulated"
    assert contract.inputs["s2"].dtype == "uint16"
    assert contract.training["source"] == "drawn at random"
    assert "losses" not in contract.training


def test_the_file_tells_deepness_what_is_true(tiny):
    model = onnx.load(tiny.path, load_external_data=False)
    found = {one.key: one.value for one in model.metadata_props if one.key != METADATA_KEY}

    assert set(found) == {
        *("model_type", "class_names", "resolution", "tile_size", "tiles_overlap"),
    }
    assert json.loads(found["class_names"])["0"] == "water"
    assert (json.loads(found["tile_size"]), json.loads(found["tiles_overlap"])) == (512, 25)


def test_the_contract_fits_the_published_schema(tiny):
    schema = Path(__file__).parents[2] / "docs" / "contract.schema.json"

    jsonschema.validate(
        json.loads(read_model(tiny.path).contract.to_json()), json.loads(schema.read_text())
    )


def test_the_file_contains_nothing_of_the_machine_it_was_made_on(tiny):
    data = tiny.path.read_bytes()

    for trace in (b"stack_trace", b"site-packages", os.fsencode(export.__file__), b".py"):
        assert trace not in data


def test_the_graph_is_one_file_of_opset_20_with_integers_in(tiny):
    model = onnx.load(tiny.path, load_external_data=False)

    onnx.checker.check_model(model)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 20)]
    types = {i.name: i.type.tensor_type.elem_type for i in model.graph.input}
    assert types == {"s2": onnx.TensorProto.UINT16, "s1": onnx.TensorProto.INT16}
    assert [output.name for output in model.graph.output] == ["logits"]


def test_the_card_names_the_training_data_and_the_limits(tiny):
    card = tiny.card.read_text()

    assert tiny.card == tiny.path.with_suffix(".md")
    for said in ("# lulcformer-tiny", "3.60 M parameters", "drawn at random", "Not measured"):
        assert said in card
    assert "simulated landscapes only" in card
    assert "classes on 0 of" in card


def test_the_card_has_the_validation_scores_if_there_are_no_others():
    saved = checkpoint()
    saved["training"]["validation"] = {"epoch": 7, "mean_iou": 0.4}

    chosen = model_card(contract_of(saved), saved, checks=[])
    saved["training"]["figures"] = {"mean_iou": 0.3}
    measured = model_card(contract_of(saved), saved, checks=[])

    assert "which also chose the best epoch" in chosen
    assert "| mean_iou | 0.4 |" in chosen
    assert "| mean_iou | 0.3 |" in measured
    assert "best epoch" not in measured
    assert "Not measured" not in chosen + measured


def test_half_precision_keeps_the_map_and_normalises_in_full(half):
    s2, s1 = composites((1, 96, 96), seed=10)  # few of its pixels are between two classes
    with torch.inference_mode():
        expected = restore_network(checkpoint(MICRO))(torch.from_numpy(s2), torch.from_numpy(s1))

    logits = torch.from_numpy(run(half.path, s2, s1))

    assert logits.dtype == torch.float16
    changed = upsample_logits(logits, stride=4).argmax(1) != upsample_logits(
        expected, stride=4
    ).argmax(1)
    assert changed.float().mean() <= 1e-3
    torch.testing.assert_close(logits.float(), expected, rtol=0, atol=0.05)
    constants = {i.name: i.data_type for i in onnx.load(half.path).graph.initializer}
    assert constants["sensors.s2.mean"] == onnx.TensorProto.FLOAT
    assert constants["network.decoder.classify.weight"] == onnx.TensorProto.FLOAT16
    contract = read_model(half.path).contract
    assert (contract.name, contract.precision) == ("halved", "fp16")


def test_the_same_checkpoint_gives_the_same_file(tmp_path, half, as_if_traced):
    again = export_onnx(checkpoint(MICRO), tmp_path / "again.onnx", name="halved", fp16=True)

    assert again.path.read_bytes() == half.path.read_bytes()


def test_an_export_that_differs_from_the_network_is_not_written(tmp_path, as_if_traced):
    with pytest.raises(ModelError, match=r"logits differ by up to .* and classes on"):
        export_onnx(checkpoint(MICRO, seed=1), tmp_path / "other.onnx")

    assert list(tmp_path.iterdir()) == []


def test_the_graph_that_the_cpu_runs_is_compared_too(tmp_path, as_if_traced, monkeypatch):
    class Turned:
        """The graph with its logits turned around."""

        def __init__(self, ort, data, path, *, lean):
            assert lean
            self._whole = create_inner(ort, data, path)
            self.get_inputs = self._whole.get_inputs

        def run(self, names, feeds):
            return [-logits for logits in self._whole.run(names, feeds)]

    monkeypatch.setattr(export, "create_inner", Turned)

    with pytest.raises(ModelError, match=r"logits differ by up to .* and classes on"):
        export_onnx(checkpoint(MICRO), tmp_path / "other.onnx", fp16=True)

    assert list(tmp_path.iterdir()) == []


def test_logits_that_are_not_finite_are_refused():
    def broken(s2, _):
        return np.full((len(s2), 9, s2.shape[2] // 4, s2.shape[3] // 4), np.nan, np.float32)

    checks = export.compare_with_torch(restore_network(checkpoint(MICRO)), broken)

    for precision in ("fp32", "fp16"):
        with pytest.raises(ModelError, match="Nothing was written"):
            export.check_same_map(checks, precision=precision)


def test_an_existing_file_is_kept(tmp_path):
    out = tmp_path / "model.onnx"
    out.write_text("mine")

    with pytest.raises(OutputError, match="exists"):
        export_onnx(checkpoint(MICRO), out)

    assert out.read_text() == "mine"


@pytest.mark.parametrize("victim", ["model.onnx", "model.md"])
def test_a_file_that_is_no_model_or_card_is_never_replaced(tmp_path, victim):
    (tmp_path / victim).write_text("# mine")

    with pytest.raises(OutputError, match="made by lulcmap"):
        export_onnx(checkpoint(MICRO), tmp_path / "model.onnx", overwrite=True)

    assert (tmp_path / victim).read_text() == "# mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_name_that_no_map_can_carry_is_refused(tmp_path):
    with pytest.raises(ModelError, match="not plain"):
        export_onnx(checkpoint(MICRO), tmp_path / "model.onnx", name="a\x1b[2J")


def test_a_folder_that_is_not_writable_gets_a_message_of_one_line(tmp_path, as_if_traced):
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError, match="cannot be written"):
        export_onnx(checkpoint(MICRO), tmp_path / "file" / "model.onnx", fp16=True)


def test_a_missing_onnx_runtime_gets_a_message_of_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(DeviceError, match="pip install"):
        export_onnx(checkpoint(MICRO), tmp_path / "model.onnx")


def test_the_command_writes_the_file_and_prints_the_differences(tmp_path, as_if_traced):
    saved, out = tmp_path / "checkpoint.pt", tmp_path / "model.onnx"
    save_checkpoint(saved, checkpoint(MICRO))

    result = CliRunner().invoke(main, ["export-onnx", str(saved), "--out", str(out), "--fp16"])

    assert result.exit_code == 0, result.output
    assert result.output.count("logits differ by at most") == 12
    assert out.is_file()
    assert out.with_suffix(".md").is_file()


def test_the_command_takes_other_windows(tmp_path, as_if_traced):
    saved, out = tmp_path / "checkpoint.pt", tmp_path / "model.onnx"
    save_checkpoint(saved, checkpoint(MICRO))
    command = ["export-onnx", str(saved), "--out", str(out), "--fp16", "--window"]

    refused = CliRunner().invoke(main, [*command, "250"])
    result = CliRunner().invoke(main, [*command, "256"])

    assert refused.exit_code == UsageError.exit_code
    assert "--window is 250; it must be a multiple of 32." in refused.output
    assert result.exit_code == 0, result.output
    contract = read_model(out).contract
    assert (contract.window, contract.step) == (256, 192)


@pytest.mark.parametrize("size", [0, -32, 100, "256", 256.0, True, [256]])
def test_a_checkpoint_whose_windows_make_no_sense_is_refused(size):
    with pytest.raises(ModelError, match="a multiple of 32 pixels"):
        contract_of({**checkpoint(MICRO), "window": size})


def test_the_command_refuses_a_file_that_is_not_a_checkpoint(tmp_path):
    wrong = tmp_path / "checkpoint.pt"
    wrong.write_text("no checkpoint")

    result = CliRunner().invoke(main, ["export-onnx", str(wrong)])

    assert result.exit_code == ModelError.exit_code
    assert "is not a lulcmap checkpoint" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_missing_torch_gets_a_message_of_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    saved = tmp_path / "checkpoint.pt"
    saved.write_text("")

    result = CliRunner().invoke(main, ["export-onnx", str(saved)])

    assert result.exit_code == DeviceError.exit_code
    assert "lulcmap[train]" in result.output


def test_the_full_network_is_made_of_what_the_exported_one_is_made_of():
    """Its own export takes minutes; each export is compared with torch before it is kept."""
    full, tiny = (LulcFormer(config) for config in (LULCFORMER, LULCFORMER_TINY))

    kinds = [{type(module) for module in network.modules()} for network in (full, tiny)]
    settings = [
        {**asdict(config), **dict.fromkeys(SIZES)} for config in (LULCFORMER, LULCFORMER_TINY)
    ]
    assert kinds[0] == kinds[1]
    assert settings[0] == settings[1]
