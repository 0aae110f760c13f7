"""Every command and every Python of the documentation runs, on a small simulated country."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.site.given import give_files
from tests.site.pages import PAGES, PROJECT, REASONS, Block, blocks

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
        words = ["sh", "-eu", "-c"] if block.language == "sh" else ["python", "-c"]
        return subprocess.run(
            [*words, block.code],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


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
        done = Reader(folder, programs).run(Block("sh", commands, None))
        assert done.returncode == 0, done.stderr

    give_files(folder, programs.parent / "archive", run)
    return folder


@pytest.fixture
def reader(programs, given, tmp_path):
    shutil.copytree(given, tmp_path / "work")
    return Reader(tmp_path / "work", programs)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.stem)
def test_what_a_page_shows_runs(path, reader):
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.reason is None:
            done = reader.run(block)
            assert done.returncode == 0, f"{block.code}\n{done.stdout}{done.stderr}"


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
        "1. Say\n\n    ```sh\n    lulcmap status nowhere.run | cat && false\n    ```\n",
        "```python\nimport lulcmap\nlulcmap.open_map('nowhere.tif')\n```\n",
        "```python\nimport lulcmap\nlulcmap.map_area('laos.geojson', year=2024, wokers=4)\n```\n",
    ],
)
def test_what_does_not_run_is_found(page, reader):
    (block,) = blocks(page)

    assert block.reason is None
    assert reader.run(block).returncode != 0


def test_a_marked_block_is_found_with_its_reason():
    page = "Say\n\n<!-- not run: needs a cluster -->\n```sh\nsbatch x\n```\n\n```sh\nls\n```\n"

    assert [block.reason for block in blocks(page)] == ["needs a cluster", None]
