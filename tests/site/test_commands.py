"""Every command and every Python of the documentation runs, on a small simulated country."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.site.given import give_files
from tests.site.pages import PAGES, PROJECT, REASONS, Block, blocks, sections, shows

READABLE = [path for path in PAGES if any(blocks(path.read_text(encoding="utf-8")))]


class Reader:
    """Runs blocks in a folder, as a reader of the documentation would."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self._environment = {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "LULCMAP_CACHE": str(folder / ".cache"),
            "OMP_NUM_THREADS": "1",
        }

    def run(self, block: Block) -> subprocess.CompletedProcess:
        """Run a block; a session goes on after a command that fails, and shows its code."""
        if block.language == "python":
            words = ["python", "-c", block.code]
        elif "Error: " in block.expected:
            words = ["sh", "-uc", block.code]
        else:
            words = ["sh", "-euc", block.code]
        return subprocess.run(
            words,
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def check(self, block: Block) -> None:
        """Run a block that has to end well, or as its page shows."""
        done = self.run(block)
        told = f"{block.code}\n{done.stdout}"
        assert done.returncode == 0 or "Error: " in block.expected, told
        assert shows(block, done.stdout), f"{block.expected}\nis not what was printed:\n{told}"


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.site.reader", str(folder)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert server.stdout.readline() == "ready\n"
    yield folder / "bin"
    server.communicate()


@pytest.fixture(scope="module")
def given(programs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")

    def run(commands):
        Reader(folder, programs).check(Block("sh", commands))

    give_files(folder, programs.parent / "archive", run)
    return folder


def _copy(source, target):
    """Models and checkpoints are large, and nothing changes them in place: they are linked."""
    if Path(source).stat().st_size > 1_000_000:
        os.link(source, target)
    else:
        shutil.copy2(source, target)


@pytest.fixture
def reader(programs, given, tmp_path):
    shutil.copytree(given, tmp_path / "work", copy_function=_copy)
    return Reader(tmp_path / "work", programs)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.stem)
def test_what_a_page_shows_runs(path, reader):
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.reason is None:
            reader.check(block)


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.stem)
def test_what_is_not_run_has_a_reason(path):
    given = {block.reason for block in blocks(path.read_text(encoding="utf-8"))} - {None}

    assert given <= REASONS


@pytest.mark.parametrize(
    "page",
    [
        "```sh\nlulcmap areas nowhere.tif\n```\n",
        "```sh\nlulcmap areas luxembourg-2024.tif --nope\nlulcmap models\n```\n",
        "Text\n\n    lulcmap areas nowhere.tif\n",
        "```console\n$ lulcmap areas nowhere.tif\nall\n```\n",
        "```console\n$ lulcmap areas nowhere.tif\nError: No map nowhere.tiff.\n```\n",
        "1. Say\n\n    ```sh\n    lulcmap status nowhere.run | cat && false\n    ```\n",
        "```python\nimport lulcmap\nlulcmap.open_map('nowhere.tif')\n```\n",
        "```python\nimport lulcmap\nlulcmap.map_area('laos.geojson', year=2024, wokers=4)\n```\n",
    ],
)
def test_what_does_not_run_is_found(page, reader):
    (block,) = blocks(page)

    assert block.reason is None
    with pytest.raises(AssertionError):
        reader.check(block)


def test_a_marked_block_is_found_with_its_reason():
    page = "Say\n\n<!-- not run: needs a cluster -->\n```sh\nsbatch x\n```\n\n```sh\nls\n```\n"

    assert [block.reason for block in blocks(page)] == ["needs a cluster", None]


TROUBLE = PROJECT / "docs" / "troubleshooting.md"


def literals():
    """Every text in the package, with … for what a message fills in."""
    for path in (PROJECT / "lulcmap").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (getattr(part, "value", "") for part in node.values)
                yield "".join(part if isinstance(part, str) else "…" for part in parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_the_messages_that_troubles_are_told_by_are_those_of_the_code():
    page = re.sub(r"^```.*?^```", "", TROUBLE.read_text(encoding="utf-8"), flags=re.M | re.S)
    told = re.findall(r"`([A-Z…][^`]* [^`]*|--[^`]*…)`", page)
    texts = list(literals())

    assert len(told) > 4
    for message in told:
        pattern = re.compile(".*".join(map(re.escape, message.split("…"))), re.S)
        assert any(map(pattern.search, texts)), message


@pytest.mark.parametrize(
    ("code", "command"),
    [
        (heading.split(":")[0].split(",")[0], command)
        for heading, text in sections(TROUBLE.read_text(encoding="utf-8"))
        for block in blocks(text)
        if block.expected
        for command in block.code.splitlines()
    ],
)
def test_a_trouble_ends_with_the_code_of_its_heading(code, command, reader):
    assert reader.run(Block("sh", command)).returncode == int(code)
