"""The container and the conda package: what they install is what pyproject.toml names."""

import fnmatch
import re
import shutil
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest
import rattler_build
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.site.pages import PROJECT

PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
CALLED = {"torch": "pytorch"}
"""Distributions that have another name on conda-forge."""

ELSEWHERE = {"onnxruntime-gpu"}
"""Distributions that are a build of another package on conda-forge."""


@pytest.fixture(scope="module")
def recipe() -> dict:
    """The recipe as rattler-build renders it, which refuses what its format does not know."""
    stage = rattler_build.Stage0Recipe.from_file(PROJECT / "conda" / "recipe.yaml")
    (rendered,) = stage.render(rattler_build.VariantConfig())
    return rendered.recipe.to_dict()


def conda(lines) -> dict[str, SpecifierSet]:
    words = (line.partition(" ") for line in lines)
    return {name: SpecifierSet(spec.strip()) for name, _, spec in words}


def pypi(lines) -> dict[str, SpecifierSet]:
    wanted = {}
    for line in lines:
        one = Requirement(line)
        if one.name not in ELSEWHERE:
            name = CALLED.get(one.name, one.name)
            wanted[name] = wanted.get(name, SpecifierSet()) & one.specifier
    return wanted


def test_the_conda_package_needs_what_pip_installs_for_the_cpu(recipe):
    project = PYPROJECT["project"]
    needed = conda(recipe["requirements"]["run"])

    assert needed.pop("python") == SpecifierSet(project["requires-python"])
    extra = project["optional-dependencies"]["cpu"]
    assert needed == pypi([*project["dependencies"], *extra])


def test_the_conda_package_bounds_what_the_extras_install(recipe):
    extras = PYPROJECT["project"]["optional-dependencies"]
    lines = [line for name, lines in extras.items() if name != "cpu" for line in lines]

    assert conda(recipe["requirements"]["run_constraints"]) == pypi(lines)


def test_the_conda_package_is_built_and_called_as_the_wheel(recipe):
    host = conda(one for one in recipe["requirements"]["host"] if not one.startswith("python "))
    (script,) = recipe["build"]["python"]["entry_points"]

    assert host.pop("pip") == SpecifierSet()
    assert host == pypi(PYPROJECT["build-system"]["requires"])
    assert dict([script.split(" = ")]) == PYPROJECT["project"]["scripts"]
    assert recipe["package"]["version"] == PYPROJECT["project"]["version"]
    assert recipe["about"]["summary"] == PYPROJECT["project"]["description"]
    assert recipe["about"]["license"] == PYPROJECT["project"]["license"]


def test_a_recipe_that_is_wrong_is_found():
    text = (PROJECT / "conda" / "recipe.yaml").read_text()

    with pytest.raises(rattler_build.RattlerBuildError):
        rattler_build.Stage0Recipe.from_yaml(text.replace("noarch: python", "noarch: pithon"))


DOCKERFILE = (PROJECT / "Dockerfile").read_text()


def test_the_dockerfile_has_nothing_to_lint():
    hadolint = shutil.which("hadolint", path=sysconfig.get_path("scripts"))
    assert hadolint is not None

    done = subprocess.run([hadolint, PROJECT / "Dockerfile"], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "")


def test_what_the_dockerfile_copies_exists_and_is_not_ignored():
    lines = (PROJECT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    copied = [
        word
        for words in re.findall(r"^COPY (?!--)(.+)$", DOCKERFILE, re.M)
        for word in words.split()[:-1]
    ]

    assert {"lulcmap", "models", "pyproject.toml"} <= set(copied)
    for name in copied:
        assert (PROJECT / name).exists(), name
        assert not _is_ignored(name, rules), name
    for name in (".git", "tests", "docs", "benchmarks"):
        assert _is_ignored(name, rules), name


def _is_ignored(name: str, rules: list[str]) -> bool:
    ignored = False
    for rule in rules:
        if fnmatch.fnmatchcase(name, rule.removeprefix("!")):
            ignored = not rule.startswith("!")
    return ignored


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_an_image_runs_the_program_itself_without_privileges(target):
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.M)
    base = next(stage for stage in stages if re.match(r"\S+ AS base\n", stage))
    stage = next(stage for stage in stages if re.match(rf"base AS {target}\n", stage))

    assert 'ENTRYPOINT ["lulcmap"]' in base  # not a shell, which would keep SIGTERM to itself
    assert re.findall(r"^USER (.+)$", stage, re.M) == ["10001:10001"]
    extras = re.search(r"\.whl\)\[(.+?)\]", stage)[1].split(",")
    assert set(extras) <= set(PYPROJECT["project"]["optional-dependencies"])
    assert extras[0] == {"cpu": "cpu", "cuda": "gpu"}[target]


def test_the_job_of_kubernetes_names_the_image_that_the_page_builds():
    text = Path(PROJECT / "examples" / "kubernetes-job.yaml").read_text()
    jobs = [one for one in yaml.safe_load_all(text) if one["kind"] == "Job"]
    images = {one["spec"]["template"]["spec"]["containers"][0]["image"] for one in jobs}
    page = (PROJECT / "docs" / "containers.md").read_text()

    assert images == set(re.findall(r"--target cpu --tag (\S+) ", page))
