"""The import rule of the package: a module imports only from the layers below its own."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lulcmap

PACKAGE = Path(lulcmap.__file__).parent
LAYERS = [
    {"errors", "compiled", "retryafter", "connection"},
    {"legend", "sensors", "windows", "remote", "stac", "disk", "memory", "gdal"},
    {"scores", "votes", "providers", "grid", "contract", "modelcache"},
    {"zones", "lookup", "mirror"},
    {"scenes", "modelfile", "kernels", "resample", "runtime", "sources", "joint", "chipset"},
    {  # stages: they meet only above
        *("area", "catalog", "signing", "plan", "read", "composite", "session", "predict"),
        *("mosaic", "cog", "report", "preview", "simulate", "models", "run", "training"),
        "seams",
        "targets",
    },
    {"block", "image", "output", "provenance"},
    {"assembly"},
    {"survey"},
    {"engine"},
    {"pipeline", "doctor", "estimate", "evaluate"},
    {"demo", "cluster", "dataset"},
    {"cli"},
]
LEVEL = {name: level for level, layer in enumerate(LAYERS) for name in layer}
HEAVY = {
    *("numpy", "scipy", "numba", "torch", "onnxruntime", "rasterio", "shapely", "pyproj", "odc"),
    "PIL",
}


def files(name: str) -> list[Path]:
    """Of a module or of a sub-package, which has one layer as a whole."""
    folder = PACKAGE / name
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{name}.py"]


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names of what a piece of code imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(tree: ast.AST) -> set[str]:
    """Modules and sub-packages of lulcmap that a piece of code imports."""
    dotted = [name.split(".") for name in imports(tree)]
    return {name[1] for name in dotted if name[0] == "lulcmap" and len(name) > 1} - {"__version__"}


def at_start(path: Path) -> ast.Module:
    """The code of a file less the bodies of its functions: what runs when it is imported."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if for_types or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [ast.Pass()]
    return tree


def test_every_module_has_a_layer():
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}

    assert modules | packages == set(LEVEL)
    assert sum(map(len, LAYERS)) == len(LEVEL)


@pytest.mark.parametrize("name", sorted(LEVEL))
def test_modules_import_downwards(name):
    for path in files(name):
        used = ours(ast.parse(path.read_text())) - {name}
        assert used <= set(LEVEL), f"{path} imports what has no layer"
        assert not {other for other in used if LEVEL[other] >= LEVEL[name]}, path


@pytest.mark.parametrize("name", sorted(set(LEVEL) - {"training"}))
def test_training_and_torch_are_met_only_inside_the_commands(name):
    for path in files(name):
        tree = at_start(path) if name == "cli" else ast.parse(path.read_text())
        assert "training" not in ours(tree), path
        assert "torch" not in {dotted.split(".")[0] for dotted in imports(tree)}, path


@pytest.mark.parametrize("module", ["lulcmap", "lulcmap.cli"])
def test_the_command_line_starts_without_heavy_imports(module):
    code = f"import sys, {module}; print(*{HEAVY!r} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout.split() == []
