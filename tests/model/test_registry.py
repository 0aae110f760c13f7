import hashlib
import json

import pytest
from click.testing import CliRunner

import lulcmap
from lulcmap.cli.app import Group
from lulcmap.cli.models import models as command
from lulcmap.errors import ModelError
from lulcmap.model import registry as models
from tests.support.stubs import contract, make_model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of two shipped models."""
    entries = []
    for seed, name in enumerate(["small", "large"]):
        path = make_model(tmp_path / f"{name}.onnx", contract(training={"seed": seed}), seed=seed)
        (tmp_path / f"{name}.md").write_text(f"# {name}\n\nA card.\n")
        entries.append(
            {
                "name": name,
                "file": path.name,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "card": f"{name}.md",
                "summary": f"The {name} one.",
            }
        )
    (tmp_path / "registry.json").write_text(json.dumps({"default": "large", "models": entries}))
    monkeypatch.setattr(models, "folder", lambda: tmp_path)
    return tmp_path


def test_a_model_s_worth_and_shares_are_shown(tmp_path):
    agreed = contract(quality="right on half", prior=(0.2,) + (0.1,) * 8)
    path = make_model(tmp_path / "model.onnx", agreed)

    said = invoke("show", str(path)).stdout

    assert "worth       right on half\n" in said
    assert "prior       water 20.0%, trees 10.0%," in said


@pytest.fixture
def no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "folder", lambda: tmp_path / "none")


def invoke(*arguments):
    group = Group("lulcmap", commands=[command])
    return CliRunner().invoke(group, ["models", *arguments])


def test_an_installed_package_has_its_models_inside(tmp_path, monkeypatch):
    package = tmp_path / "lulcmap"
    (package / "shipped").mkdir(parents=True)
    monkeypatch.setattr(lulcmap, "__file__", str(package / "__init__.py"))

    assert models.models_folder() == package / "shipped"


def test_an_editable_checkout_has_its_models_beside_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(lulcmap, "__file__", str(tmp_path / "lulcmap" / "__init__.py"))

    assert models.models_folder() == tmp_path / "models"


def test_a_model_is_found_by_its_name(folder):
    assert models.find_model("small") == folder / "small.onnx"


def test_no_name_is_the_registrys_default(folder):
    assert models.find_model(None) == folder / "large.onnx"


def test_a_file_is_itself(folder, tmp_path):
    path = tmp_path / "mine.onnx"
    path.touch()

    assert models.find_model(str(path)) == path


def test_an_unknown_name_lists_the_known_ones(folder):
    with pytest.raises(ModelError, match=r"'medium' is neither a file .* \(small, large\)"):
        models.find_model("medium")


def test_a_folder_is_no_model(folder):
    with pytest.raises(ModelError, match="neither a file nor"):
        models.find_model(str(folder))


def test_a_shipped_file_that_was_changed_is_refused(folder):
    with (folder / "small.onnx").open("ab") as file:
        file.write(b"\0")

    with pytest.raises(ModelError, match="not the model 'small' that was shipped"):
        models.find_model("small")


def test_a_shipped_file_that_is_gone_is_named(folder):
    (folder / "small.onnx").unlink()

    with pytest.raises(ModelError, match=r"small\.onnx, is missing"):
        models.find_model("small")


@pytest.mark.parametrize("text", ["", "[]", '{"default": "a"}', '{"default": 1, "models": [{}]}'])
def test_a_broken_registry_is_named(folder, text):
    (folder / "registry.json").write_text(text)

    with pytest.raises(ModelError, match=r"registry\.json cannot be read"):
        models.find_model(None)


def test_without_a_registry_a_file_must_be_given(no_folder):
    assert models.shipped_models() == ()
    with pytest.raises(ModelError, match=r"--model FILE\.onnx"):
        models.find_model(None)


def test_a_card_is_the_registered_one_or_lies_beside_the_file(folder, tmp_path):
    (tmp_path / "mine.md").write_text("Mine.")

    assert models.model_card("small").startswith("# small")
    assert models.model_card(str(tmp_path / "mine.onnx")) == "Mine."
    assert models.model_card(str(tmp_path / "other.onnx")) == ""


def test_the_command_lists_models_and_marks_the_default(folder):
    result = invoke()

    assert result.exit_code == 0, result.output
    small, large = result.output.splitlines()
    assert small.split() == ["small", "0.0", "MB", "The", "small", "one."]
    assert large.startswith("* large")


def test_the_command_says_when_no_model_is_shipped(no_folder):
    assert "No model is shipped" in invoke().output


def test_show_prints_contract_and_card(folder):
    output = invoke("show", "small").output

    assert "input s2    B02, B03, B04, B05, B06, B07, B08, B11, B12" in output
    assert "training    seed: 0" in output
    assert output.endswith("A card.\n")


def test_show_as_json_is_the_contract_and_the_card(folder):
    shown = json.loads(invoke("show", "large", "--json").output)

    assert shown["contract"]["stride"] == 4
    assert shown["sha256"] == hashlib.sha256((folder / "large.onnx").read_bytes()).hexdigest()
    assert shown["card"].startswith("# large")


def test_show_of_an_unknown_model_fails_with_one_line(folder):
    result = invoke("show", "medium")

    assert result.exit_code == 6
    assert "Traceback" not in result.output
