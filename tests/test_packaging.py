"""What a user gets from the wheel."""

import ast
import hashlib
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import lulcmap

PROJECT = Path(__file__).parents[1]
REGISTRY = PROJECT / "models" / "registry.json"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(PROJECT)]
    built = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_the_wheel_is_typed_and_carries_its_licence(wheel):
    names = set(wheel.namelist())

    assert "lulcmap/py.typed" in names
    assert [name for name in names if name.endswith("licenses/LICENSE")]


def test_the_wheel_carries_every_module_and_nothing_of_the_tests(wheel):
    modules = {
        str(path.relative_to(PROJECT)) for path in Path(lulcmap.__file__).parent.rglob("*.py")
    }

    assert modules <= set(wheel.namelist())
    assert not [name for name in wheel.namelist() if name.startswith(("tests/", "models/"))]


def test_the_wheel_carries_every_shipped_model_as_it_was_registered(wheel):
    assert wheel.read("lulcmap/shipped/registry.json") == REGISTRY.read_bytes()

    registered = json.loads(REGISTRY.read_bytes())["models"]

    assert registered
    for model in registered:
        content = wheel.read(f"lulcmap/shipped/{model['file']}")
        assert hashlib.sha256(content).hexdigest() == model["sha256"], model["name"]
        assert wheel.read(f"lulcmap/shipped/{model['card']}")


def test_the_version_is_told_once():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]

    assert project["version"] == lulcmap.__version__
    cited = (PROJECT / "CITATION.cff").read_text()

    assert f"version: {lulcmap.__version__}\n" in cited


def test_the_wheel_can_be_published(wheel, tmp_path):
    path = Path(wheel.filename)
    (metadata,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    page = wheel.read(metadata).decode()

    checked = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", str(path)],
        capture_output=True,
        text=True,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr
    for key in ("Project-URL: Homepage", "Author: ", "License-Expression: Apache-2.0"):
        assert key in page
    shown = re.findall(r"\]\(([^)#]+)", page)
    assert shown
    assert [link for link in shown if not link.startswith("https://")] == []


IMPORTED_AS = {"pillow": "PIL", "rio-cogeo": "rio_cogeo", "odc-geo": "odc"}
"""Names under which packages are imported, where these differ by more than a hyphen."""


def test_every_dependency_is_imported():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    package = Path(lulcmap.__file__).parent
    modules = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.split(".")[0])

    names = [re.match(r"[\w-]+", one)[0] for one in project["dependencies"]]

    assert [n for n in names if IMPORTED_AS.get(n, n.replace("-", "_")) not in modules] == []
