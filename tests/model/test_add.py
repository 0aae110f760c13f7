import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import lulcmap
from lulcmap.cli.app import Group
from lulcmap.cli.models import models as command
from lulcmap.errors import ModelError, UsageError
from lulcmap.model import cache
from lulcmap.model.contract import METADATA_KEY
from lulcmap.model.dynamic_world import build, release
from lulcmap.model.dynamic_world.bundle import read_tensors
from lulcmap.model.dynamic_world.known import LOGITS, logits_at_points
from lulcmap.model.dynamic_world.network import build_graph, tensor_shapes
from lulcmap.model.dynamic_world.release import DYNAMIC_WORLD, ReleasedFile
from lulcmap.model.file import read_model
from lulcmap.model.registry import fetch_model, find_model, model_card
from lulcmap.model.session import open_session
from tests.support.bundles import bundle, random_tensors, write_bundle

NAME = "dynamic-world"
FOLDER = "/google/dynamicworld/abc/model/forward/variables"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder of fetched models."""
    monkeypatch.setenv("LULCMAP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture(scope="module")
def files():
    """Index and data of a bundle like the released one, with random weights."""
    return bundle(random_tensors())


@pytest.fixture(scope="module")
def logits(files, tmp_path_factory):
    """What a network of those weights makes of the known pixels."""
    graph = build_graph(read_tensors(*files, tensor_shapes()))
    path = tmp_path_factory.mktemp("model") / "random.onnx"
    metadata = {METADATA_KEY: build.CONTRACT.to_json()}
    path.write_bytes(graph.to_bytes(producer="test", metadata=metadata))
    return tuple(map(tuple, logits_at_points(open_session(path, device="cpu")).tolist()))


@pytest.fixture
def pinned(files, logits, monkeypatch):
    """Pins those files instead of Google's; takes changes of the release."""
    index, data = (
        ReleasedFile(one.name, len(content), hashlib.sha256(content).hexdigest())
        for one, content in zip(DYNAMIC_WORLD.files, files, strict=True)
    )

    def pin(**changes):
        values = {"index": index, "data": data, "logits": logits, **changes}
        monkeypatch.setattr(release, "DYNAMIC_WORLD", replace(DYNAMIC_WORLD, **values))
        return release.DYNAMIC_WORLD

    pin()
    return pin


@pytest.fixture
def served(server, files, pinned):
    """A server of those files, which is where they are fetched from."""
    for one, content in zip(DYNAMIC_WORLD.files, files, strict=True):
        server.put(f"{FOLDER}/{one.name}", content)
    pinned(url=f"{server.url}{FOLDER}")
    return server


def invoke(*words):
    return CliRunner().invoke(Group("lulcmap", commands=[command]), ["models", *words])


def names(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def refused(result, *, code, folder):
    """The one line of an error that left nothing behind."""
    assert result.exit_code == code, result.output
    assert names(folder) == []
    (line,) = result.stderr.splitlines()
    return line


def test_the_command_fetches_the_weights_and_adds_a_model(served, folder):
    result = invoke("add", NAME)

    assert result.exit_code == 0, result.output
    assert served.requests == [f"{FOLDER}/{one.name}" for one in DYNAMIC_WORLD.files]
    path = find_model(NAME)
    assert names(folder) == sorted([path.name, f"{path.stem}.md", "LICENSE", "NOTICE"])
    contract = read_model(path).contract
    assert contract.name == NAME
    assert [*contract.inputs] == ["s2"]
    assert contract.scalars["sun_zenith"].unit == "degrees"
    assert (contract.stride, contract.window, contract.step, contract.multiple) == (1, 512, 384, 2)
    assert "a second opinion" in result.stdout
    assert "in partnership\nwith National Geographic" in result.stdout


def test_licence_and_notice_lie_beside_the_model_and_are_shown(served, folder):
    invoke("add", NAME)

    listed, shown = invoke().stdout, invoke("show", NAME).stdout

    license_text = (folder / NAME / "LICENSE").read_text()
    assert "Apache License" in license_text
    assert "4. Redistribution." in license_text
    notice = (folder / NAME / "NOTICE").read_text()
    assert notice == DYNAMIC_WORLD.notice
    assert "(Apache-2.0): Sentinel-2 only, a second opinion" in listed
    assert "Can be added" not in listed
    assert " ".join(notice.split()) in listed
    assert "# dynamic-world" in shown
    assert " ".join(notice.split()) in shown
    assert "scalar      sun_zenith, degrees" in shown


def test_weights_added_twice_give_the_same_file_and_leave_no_other(served, folder):
    first = json.loads(invoke("add", NAME, "--json").stdout)
    (folder / NAME / f"{'0' * 64}.onnx").touch()
    (folder / NAME / f"{'0' * 64}.md").touch()

    second = json.loads(invoke("add", NAME, "--json").stdout)

    assert second == first
    assert first["license"] == "Apache-2.0"
    assert first["notice"] == DYNAMIC_WORLD.notice
    assert len(names(folder)) == 4


def test_the_weights_may_lie_in_a_folder(files, pinned, tmp_path):
    source = write_bundle(tmp_path / "variables", *files)

    model = lulcmap.add_model(NAME, folder=source)

    assert find_model(NAME) == model.path
    assert model_card(NAME).startswith("# dynamic-world")


def test_progress_counts_the_bytes_of_both_files(served, files):
    seen = []

    lulcmap.add_model(NAME, progress=lambda *done: seen.append(done))

    total = sum(map(len, files))
    assert seen[0] == (len(files[0]), total)
    assert seen[-1] == (total, total)


def test_a_redirect_is_followed(served, files):
    for one in DYNAMIC_WORLD.files:
        path = f"{FOLDER}/{one.name}"
        served.files[f"/moved{path}"] = served.files.pop(path)
        served.redirects[path] = f"{served.url}/moved{path}"

    assert invoke("add", NAME).exit_code == 0
    assert find_model(NAME).is_file()


@pytest.mark.parametrize("which", [0, 1], ids=["index", "data"])
def test_a_file_that_is_another_one_is_refused(served, files, folder, which):
    name = DYNAMIC_WORLD.files[which].name
    changed = bytearray(files[which])
    changed[100] ^= 1
    served.put(f"{FOLDER}/{name}", bytes(changed))

    line = refused(invoke("add", NAME), code=6, folder=folder)

    assert f"{name} is another file: its sha256 is" in line


@pytest.mark.parametrize(
    ("is_announced", "code", "reason"),
    [(False, 6, "is another file"), (True, 5, "its answers are cut short")],
)
def test_a_short_file_is_refused(served, files, folder, is_announced, code, reason):
    whole = len(files[1]) if is_announced else None
    served.put(f"{FOLDER}/{DYNAMIC_WORLD.data.name}", files[1][:-1], length=whole)

    assert reason in refused(invoke("add", NAME), code=code, folder=folder)


@pytest.mark.parametrize("length", [None, 1000])
def test_no_more_is_read_than_the_file_has(served, files, folder, length):
    served.put(f"{FOLDER}/variables.index", files[0] + bytes(10**6), length=length)

    line = refused(invoke("add", NAME), code=5 if length is None else 6, folder=folder)

    assert "variables.index" in line


def test_a_missing_file_is_an_error_that_names_status_and_remedy(served, folder):
    served.files.clear()

    line = refused(invoke("add", NAME), code=5, folder=folder)

    assert "variables.index cannot be fetched: HTTP 404." in line
    assert "give their folder with --from" in line


def test_without_a_network_the_error_suggests_a_folder(pinned, socket_enabled, folder):
    pinned(url="http://127.0.0.1:9/variables")  # discard: nobody listens

    line = refused(invoke("add", NAME), code=5, folder=folder)

    assert "the connection was refused" in line
    assert "copy variables.index and variables.data-00000-of-00001 to this machine" in line


def test_a_folder_that_lacks_a_file_is_refused(files, pinned, folder, tmp_path):
    source = write_bundle(tmp_path / "variables", *files)
    (source / "variables.index").unlink()

    line = refused(invoke("add", NAME, "--from", str(source)), code=2, folder=folder)

    assert f"{source} has no file variables.index" in line


def test_a_path_that_is_no_folder_is_refused(pinned, folder, tmp_path):
    line = refused(invoke("add", NAME, "--from", str(tmp_path / "none")), code=2, folder=folder)

    assert "which is no folder" in line


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data[:-1], "bytes, not"),
        (lambda data: data + b"\0", "bytes, not"),
        (lambda data: bytes([data[0] ^ 1]) + data[1:], "has the sha256"),
    ],
)
def test_a_file_in_a_folder_that_is_not_the_released_one_is_refused(
    files, pinned, folder, tmp_path, change, reason
):
    source = write_bundle(tmp_path / "variables", files[0], change(files[1]))

    line = refused(invoke("add", NAME, "--from", str(source)), code=6, folder=folder)

    assert "variables.data-00000-of-00001 is not the file that was released" in line
    assert reason in line


def test_a_bundle_that_cannot_be_read_is_refused(pinned, folder, tmp_path):
    index, data = bundle({"a": np.float32([1])})
    pinned(
        index=ReleasedFile("variables.index", len(index), hashlib.sha256(index).hexdigest()),
        data=ReleasedFile(
            "variables.data-00000-of-00001", len(data), hashlib.sha256(data).hexdigest()
        ),
    )
    source = write_bundle(tmp_path / "variables", index, data)

    line = refused(invoke("add", NAME, "--from", str(source)), code=6, folder=folder)

    assert "it lacks the tensor variables/0/" in line


def test_a_model_that_does_not_give_the_known_logits_is_not_kept(
    files, logits, pinned, folder, tmp_path
):
    row = (logits[0][0] + 0.003, *logits[0][1:])
    pinned(logits=(row, *logits[1:]))
    source = write_bundle(tmp_path / "variables", *files)

    line = refused(invoke("add", NAME, "--from", str(source)), code=6, folder=folder)

    assert "was not added: its logits of known pixels differ by up to 0.003" in line


def test_a_model_that_fails_leaves_the_one_before(files, served, logits, pinned, folder):
    assert invoke("add", NAME).exit_code == 0
    before = names(folder)
    served.files.clear()

    assert invoke("add", NAME).exit_code == 5

    assert names(folder) == before
    assert find_model(NAME).is_file()


def test_an_added_model_that_was_changed_is_not_used(served):
    invoke("add", NAME)
    path = find_model(NAME)
    path.write_bytes(path.read_bytes() + b"\0")

    with pytest.raises(ModelError, match=r"no longer the model.*lulcmap models add dynamic-world"):
        find_model(NAME)


def test_before_it_is_added_its_name_says_how_to_add_it():
    with pytest.raises(ModelError, match="Add it: lulcmap models add dynamic-world"):
        find_model(NAME)
    assert "lulcmap models add dynamic-world" in invoke().output


def test_other_names_are_refused():
    result = invoke("add", "esri")

    assert result.exit_code == 2
    assert "lulcmap cannot make a model 'esri'; it can make dynamic-world" in result.output


def test_a_fetched_model_cannot_take_its_name():
    with pytest.raises(UsageError, match="has a model named dynamic-world"):
        fetch_model("https://example.org/dynamic-world.onnx", sha256="0" * 64)


def test_a_cache_that_cannot_be_written_is_an_output_error(files, pinned, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LULCMAP_CACHE", str(tmp_path / "file"))
    source = write_bundle(tmp_path / "variables", *files)

    result = invoke("add", NAME, "--from", str(source))

    assert result.exit_code == 7
    assert "set LULCMAP_CACHE" in result.stderr


def test_the_released_weights_are_added_from_a_server_and_from_a_folder(
    server, shared_data, monkeypatch
):
    source = shared_data / "teacher" / "dynamicworld-forward" / "variables"
    for one in DYNAMIC_WORLD.files:
        server.put(f"{FOLDER}/{one.name}", (source / one.name).read_bytes())
    here = replace(DYNAMIC_WORLD, url=f"{server.url}{FOLDER}")
    monkeypatch.setattr(release, "DYNAMIC_WORLD", here)

    fetched = lulcmap.add_model(NAME)
    read = lulcmap.add_model(NAME, folder=source)

    assert fetched == read
    assert cache.cached_models() == (read,)
    session = open_session(read.path, device="cpu")
    np.testing.assert_allclose(logits_at_points(session), LOGITS, atol=1e-3)


def test_the_notice_is_that_of_the_repository(shared_data):
    folder = shared_data / "teacher" / "dynamicworld-forward"

    assert DYNAMIC_WORLD.notice == (folder / "NOTICE").read_text()
    assert release.license_text().strip() == (folder / "LICENSE").read_text().strip()
