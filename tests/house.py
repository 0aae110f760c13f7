"""Counts the house: ``python tests/house.py [PACKAGE_FOLDER]``.

Names at the top level, arrows between rooms (a room that imports another; files that do), imports
past a room's door, the longest function and the most parameters.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path


def files(folder: Path, room: str) -> list[Path]:
    """The Python files of a package's room: a folder, or one module."""
    inside = folder / room
    return sorted(inside.rglob("*.py")) if inside.is_dir() else [folder / f"{room}.py"]


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Module and name of everything a file imports; for ``import a.b`` the name is empty."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from ((str(node.module), alias.name) for alias in node.names)


def count(folder: Path) -> dict[str, str]:
    """The figures of a package."""
    package = folder.name
    tops = {path.relative_to(folder).parts[0].removesuffix(".py") for path in folder.rglob("*.py")}
    tops -= {"__init__", "__main__"}
    arrows, file_arrows, past = set(), set(), 0
    for room in sorted(tops):
        for path in files(folder, room):
            for module, name in imports(path):
                top, other, *_ = [*module.split("."), name, ""]
                if top == package and other in tops - {room}:
                    arrows.add((room, other))
                    file_arrows.add((path, other, module))
                    past += (folder / other).is_dir() and len(module.split(".")) > 2
    longest = (0, "")
    most = (0, "")
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = node.end_lineno - body[0].lineno + 1 if body and node.end_lineno else 0
                given = node.args
                number = len(given.posonlyargs + given.args + given.kwonlyargs)
                name = f"{path.relative_to(folder)}:{node.name}"
                longest, most = max(longest, (lines, name)), max(most, (number, name))
    return {
        "names at the top level": f"{len(tops)}",
        "arrows between rooms": f"{len(arrows)}",
        "imports of a file from another room": f"{len(file_arrows)}",
        "imports past a door": f"{past}",
        "longest function, lines without its docstring": f"{longest[0]} ({longest[1]})",
        "most parameters": f"{most[0]} ({most[1]})",
    }


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "lulcmap"
    for figure, value in count(place.resolve()).items():
        print(f"{figure}: {value}")
