import hashlib
import json

import pytest
from click.testing import CliRunner

import lulcmap
from lulcmap.cli.app import Group
from lulcmap.cli.models import models as command
from lulcmap.errors import ModelError
from lulcmap.model import registry
from tests.support.stubs import contract, make_model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of two shipped registry."""
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
    monkeypatch.setattr(registry, "models_folder", lambda: tmp_path)
    return tmp_path


def test_show_prints_quality_and_class_shares(tmp_path):
    measured = contract(quality="right on half", prior=(0.2,) + (0.1,) * 8)
    path = make_model(tmp_path / "model.onnx", measured)

    output = invoke("show", str(path)).stdout

    assert "quality     right on half\n" in output
    assert "prior       water 20.0%, trees 10.0%," in output


@pytest.fixture
def no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "models_folder", lambda: tmp_path / "none")


def invoke(*arguments):
    group = Group("lulcmap", commands=[command])
    return CliRunner().invoke(group, ["models", *arguments])


def test_an_installed_package_has_its_models_inside(tmp_path, monkeypatch):
    package = tmp_path / "lulcmap"
    (package / "shipped").mkdir(parents=True)
    monkeypatch.setattr(lulcmap, "__file__", str(package / "__init__.py"))

    assert registry.models_folder() == package / "shipped"


def test_an_editable_checkout_has_its_models_beside_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(lulcmap, "__file__", str(tmp_path / "lulcmap" / "__init__.py"))

    assert registry.models_folder() == tmp_path / "models"


def test_a_model_is_found_by_its_name(folder):
    assert registry.find_model("small") == folder / "small.onnx"


def test_no_name_gives_the_default_model(folder):
    assert registry.find_model(None) == folder / "large.onnx"


def test_a_path_is_itself(folder, tmp_path):
    path = tmp_path / "mine.onnx"
    path.touch()

    assert registry.find_model(str(path)) == path


def test_an_unknown_name_lists_the_available_models(folder):
    with pytest.raises(ModelError, match=r"'medium' is neither a file .* \(small, large\)"):
        registry.find_model("medium")


def test_a_folder_is_not_a_model(folder):
    with pytest.raises(ModelError, match="is a folder, not a file"):
        registry.find_model(str(folder))


def test_a_shipped_file_that_was_changed_is_refused(folder):
    with (folder / "small.onnx").open("ab") as file:
        file.write(b"\0")

    with pytest.raises(ModelError, match="not the model 'small' that was shipped"):
        registry.find_model("small")


def test_a_shipped_file_that_is_gone_is_named(folder):
    (folder / "small.onnx").unlink()

    with pytest.raises(ModelError, match=r"small\.onnx, is missing"):
        registry.find_model("small")


@pytest.mark.parametrize("text", ["", "[]", '{"default": "a"}', '{"default": 1, "models": [{}]}'])
def test_a_broken_registry_is_named(folder, text):
    (folder / "registry.json").write_text(text)

    with pytest.raises(ModelError, match=r"registry\.json cannot be read"):
        registry.find_model(None)


def test_without_a_registry_a_file_must_be_given(no_folder):
    assert registry.shipped_models() == ()
    with pytest.raises(ModelError, match=r"--model FILE\.onnx"):
        registry.find_model(None)


def test_list_models_lists_the_shipped_then_the_fetched(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LULCMAP_CACHE", str(tmp_path / "cache"))
    cached = make_model(tmp_path / "mine.onnx", contract(), seed=2)
    sha256 = hashlib.sha256(cached.read_bytes()).hexdigest()
    target = tmp_path / "cache" / "models" / "mine" / f"{sha256}.onnx"
    target.parent.mkdir(parents=True)
    cached.rename(target)

    models = registry.list_models()

    assert [model.name for model in models] == ["small", "large", "mine"]
    assert [model.sha256 for model in models[:2]] == [
        hashlib.sha256((folder / f"{name}.onnx").read_bytes()).hexdigest()
        for name in ("small", "large")
    ]
    assert (models[2].path, models[2].sha256) == (target, sha256)
    assert [model.name for model in registry.shipped_models() if model.default] == ["large"]


def test_list_models_is_empty_without_shipped_and_fetched_models(no_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LULCMAP_CACHE", str(tmp_path / "cache"))

    assert registry.list_models() == ()


def test_a_card_is_the_registered_one_or_the_one_beside_the_file(folder, tmp_path):
    (tmp_path / "mine.md").write_text("Mine.")

    assert registry.model_card("small").startswith("# small")
    assert registry.model_card(str(tmp_path / "mine.onnx")) == "Mine."
    assert registry.model_card(str(tmp_path / "other.onnx")) == ""


def test_the_command_lists_models_and_marks_the_default(folder):
    result = invoke()

    assert result.exit_code == 0, result.output
    small, large, more = result.output.splitlines()
    assert small.split() == ["small", "0.0", "MB", "The", "small", "one."]
    assert large.startswith("* large")
    assert more.startswith("Can be added: Google's Dynamic World network (Apache-2.0)")


def test_the_command_says_that_there_are_no_shipped_models(no_folder):
    assert "No shipped models" in invoke().output


def test_show_prints_contract_and_card(folder):
    output = invoke("show", "small").output

    assert "input s2    B02, B03, B04, B05, B06, B07, B08, B11, B12" in output
    assert "training    seed: 0" in output
    assert output.endswith("A card.\n")


def test_show_as_json_is_the_contract_and_the_card(folder):
    fields = json.loads(invoke("show", "large", "--json").output)

    assert fields["contract"]["stride"] == 4
    assert fields["sha256"] == hashlib.sha256((folder / "large.onnx").read_bytes()).hexdigest()
    assert fields["card"].startswith("# large")


def test_show_of_an_unknown_model_fails_with_one_line(folder):
    result = invoke("show", "medium")

    assert result.exit_code == 6
    assert "Traceback" not in result.output
