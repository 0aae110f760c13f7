"""The rules of the house: `docs/architecture.md` draws it, this file keeps the drawing true."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lulcmap
from tests.house import files, imports

PACKAGE = Path(lulcmap.__file__).parent
FLOORS = (
    *("errors", "legend sensors system", "geo catalog", "imagery model run", "output doctor"),
    *(
        "planning",
        "blocks",
        "pipeline",
        "api dataset",
        "evaluation",
        "training simulation products",
        "viewer adaptation",
        "cli",
    ),
)
"""Rooms of each floor, from the bottom."""
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor.split()}
DOORS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.pyi"))
HEAVY = {
    *("numpy", "scipy", "numba", "torch", "onnxruntime", "rasterio", "shapely", "pyproj", "odc"),
    *("PIL", "xarray", "requests", "pystac", "pystac_client", "tqdm"),
    *("rio_tiler", "starlette", "uvicorn"),
}


def rooms_used(room: str) -> Iterator[tuple[Path, str, str, str]]:
    """File, other room, module and name of everything a room imports from other rooms."""
    for path in files(PACKAGE, room):
        for module, name in imports(path):
            parts = [*module.split("."), name]
            if parts[0] == "lulcmap" and parts[1] not in {room, "__version__", ""}:
                yield path, parts[1], module, name


def exported(door: str) -> dict[str, str]:
    """Module within the room of every name of a door."""
    tree = ast.parse((PACKAGE / door / "__init__.pyi").read_text())
    nodes = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in nodes for alias in node.names}


def test_every_room_has_a_floor():
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}

    assert modules | folders == set(FLOOR)
    assert set(DOORS) == folders - {"cli"}


@pytest.mark.parametrize("room", sorted(FLOOR))
def test_a_room_imports_only_from_rooms_below_it_and_by_their_doors(room):
    for path, other, module, name in rooms_used(room):
        assert FLOOR[other] < FLOOR[room], f"{path}: {other} is not below"
        if other in DOORS:
            assert module == f"lulcmap.{other}", f"{path}: {module} is behind a door"
            assert name in exported(other), f"{path}: {name} is not a name of the door"


def test_arrows_between_rooms_are_few():
    arrows = {(room, other) for room in FLOOR for _, other, _, _ in rooms_used(room)}

    assert len(arrows) < 146


@pytest.mark.parametrize("door", DOORS)
def test_a_door_is_a_docstring_and_names_that_hide_no_file(door):
    stems = {path.stem for path in files(PACKAGE, door)}
    names = exported(door)

    assert len((PACKAGE / door / "__init__.py").read_text().splitlines()) < 20
    assert not stems & set(names)
    used = {name for room in FLOOR for _, other, _, name in rooms_used(room) if other == door}
    extra = set(names) - used - PUBLIC - OUTSIDE
    assert not extra, f"names of the door of {door} that no other room uses: {sorted(extra)}"


PUBLIC = set(lulcmap.__all__)
OUTSIDE = {
    name
    for folder in ("recipes", "benchmarks", "tests")
    for path in sorted((PACKAGE.parent / folder).rglob("*.py"))
    for module, name in imports(path)
    if module.startswith("lulcmap.")
}
"""Names that recipes, benchmarks and tests import."""


@pytest.mark.parametrize("room", sorted(set(FLOOR) - {"training"}))
def test_only_training_needs_torch(room):
    for path in files(PACKAGE, room):
        assert "torch" not in {module.split(".")[0] for module, _ in imports(path)}, path


@pytest.mark.parametrize(
    "command",
    [
        "import lulcmap",
        "from lulcmap.cli import main; main(['--help'], standalone_mode=False)",
        "from lulcmap.cli import main; main(['predict', '--help'], standalone_mode=False)",
    ],
)
def test_the_command_line_starts_without_heavy_imports(command):
    code = f"import sys; {command}; print(*{HEAVY!r} & set(sys.modules), file=sys.stderr)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert out.stderr.split() == []
