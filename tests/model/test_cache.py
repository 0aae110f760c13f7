import hashlib
import json
import os

import pytest
from click.testing import CliRunner

from lulcmap.cli.app import Group
from lulcmap.cli.models import models as command
from lulcmap.errors import ModelError, OutputError, ProviderError, UsageError
from lulcmap.model import cache
from lulcmap.model.file import read_model
from lulcmap.model.registry import find_model
from tests.support.stubs import contract, make_model

NOTHING = "0" * 64


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder of fetched models."""
    monkeypatch.setenv("LULCMAP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def model(tmp_path):
    """The bytes of a model."""
    return make_model(tmp_path / "one.onnx", contract()).read_bytes()


def sha(body):
    return hashlib.sha256(body).hexdigest()


def fetch(url, sha256, **options):
    return cache.fetch(url, sha256=sha256, check=read_model, **options)


def names(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def invoke(*words):
    return CliRunner().invoke(Group("lulcmap", commands=[command]), ["models", *words])


def test_a_fetched_model_is_found_by_its_name_and_not_downloaded_again(server, model, folder):
    url = server.put("/some/large.onnx", model)
    progress = []

    first = fetch(f"{url}?download=1", sha(model), progress=lambda *done: progress.append(done))
    again = fetch(url, f"sha256:{sha(model).upper()}")

    assert first == again
    assert first.path.read_bytes() == model
    assert progress[-1] == (len(model), len(model))
    assert find_model("large") == first.path
    assert server.requests == ["/some/large.onnx"]
    assert names(folder) == [f"{sha(model)}.onnx"]


def test_a_new_model_of_the_same_name_replaces_the_old_one(server, model, tmp_path):
    newer = make_model(tmp_path / "two.onnx", contract(), seed=2).read_bytes()
    fetch(server.put("/a/large.onnx", model), sha(model))

    fetch(server.put("/b/large.onnx", newer), sha(newer))

    assert find_model("large").read_bytes() == newer
    assert [cached.sha256 for cached in cache.cached_models()] == [sha(newer)]


def test_partial_files_of_killed_fetches_are_deleted_and_recent_ones_kept(server, model, folder):
    (folder / "large").mkdir(parents=True)
    killed, recent = (folder / "large" / f".{NOTHING}.0000000{digit}.part.onnx" for digit in (7, 8))
    killed.touch()
    recent.touch()
    os.utime(killed, (0, 0))

    fetch(server.put("/large.onnx", model), sha(model))

    assert names(folder) == [recent.name, f"{sha(model)}.onnx"]


def test_a_file_of_another_sha256_is_not_kept(server, model, folder):
    url = server.put("/large.onnx", model)

    with pytest.raises(ModelError, match="is another file") as caught:
        fetch(f"{url}?token=secret", NOTHING)

    assert sha(model) in str(caught.value)
    assert "secret" not in str(caught.value)
    assert names(folder) == []


def test_a_file_that_is_not_a_model_is_not_kept(server, folder):
    url = server.put("/large.onnx", b"a page")

    with pytest.raises(ModelError, match="is not a usable model"):
        fetch(url, sha(b"a page"))

    assert names(folder) == []


def test_a_file_that_is_cut_off_is_not_kept(server, model, folder):
    url = server.put("/large.onnx", model[:-1], length=len(model))

    with pytest.raises(ProviderError, match=r"large.onnx cannot be fetched: .*cut short"):
        fetch(url, sha(model))

    assert names(folder) == []


def test_a_file_that_is_too_large_is_not_read(server, model, folder):
    url = server.put("/large.onnx", model, length=cache.MAX_MODEL_BYTES + 1)

    with pytest.raises(ProviderError, match="the limit for a model file"):
        fetch(url, sha(model))

    assert names(folder) == []


def test_a_missing_file_is_an_error_that_names_the_status(server):
    with pytest.raises(ProviderError, match=r"none.onnx cannot be fetched: HTTP 404.*--model FILE"):
        fetch(f"{server.url}/none.onnx", NOTHING)


def test_without_a_network_the_error_suggests_a_local_file(server):
    server.url = "http://127.0.0.1:9"  # discard: nobody listens

    with pytest.raises(ProviderError, match=r"connection was refused.*copy the file to this"):
        fetch(f"{server.url}/large.onnx", NOTHING)


@pytest.mark.parametrize(
    ("url", "sha256", "name", "message"),
    [
        ("https://example.org/a.onnx", "abc", None, "'abc' is not a sha256"),
        (
            "http://example.org/a.onnx",
            NOTHING,
            None,
            "example.org/a.onnx is not an https URL",
        ),
        ("file:///etc/passwd", NOTHING, None, "is not an https URL"),
        ("a.onnx", NOTHING, None, "'a.onnx' is not an https URL"),
        ("https://[x/a.onnx", NOTHING, None, "is not an https URL"),
        ("https://example.org/", NOTHING, None, "'' is not a valid name"),
        ("https://example.org/..%2Fa.onnx", NOTHING, "../a", "'../a' is not a valid name"),
        ("https://example.org/mine.onnx", NOTHING, None, "has a model named mine"),
    ],
)
def test_an_invalid_url_sha256_or_name_is_refused_before_any_request(url, sha256, name, message):
    with pytest.raises(UsageError, match=message.replace("..", r"\.\.")):
        fetch(url, sha256, name=name, taken=["mine"])


def test_a_fetched_file_that_was_changed_is_not_used(server, model):
    cached = fetch(server.put("/large.onnx", model), sha(model))
    cached.path.write_bytes(model + b"\0")

    with pytest.raises(ModelError, match="no longer the model that was fetched"):
        find_model("large")

    assert fetch(f"{server.url}/large.onnx", sha(model)).path.read_bytes() == model


def test_a_cache_that_cannot_be_written_is_an_output_error(server, model, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LULCMAP_CACHE", str(tmp_path / "file"))

    with pytest.raises(OutputError, match="set LULCMAP_CACHE"):
        fetch(server.put("/large.onnx", model), sha(model))


def test_the_cache_is_in_the_user_s_cache_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("LULCMAP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))

    assert cache.cache_folder() == tmp_path / "xdg" / "lulcmap" / "models"


def test_the_command_fetches_lists_and_shows(server, model):
    url = server.put("/large.onnx", model)

    fetched = invoke("fetch", url, "--sha256", sha(model), "--name", "mine", "--json")
    listed, shown = invoke(), invoke("show", "mine")

    assert json.loads(fetched.stdout)["name"] == "mine"
    assert f"fetched, sha256 {sha(model)[:12]}" in listed.stdout
    assert "name        stub" in shown.stdout
