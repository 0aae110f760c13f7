"""PROJ's database, where the environment points to another one."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import rasterio

DATA = Path(rasterio.__file__).parent / "proj_data"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="rasterio brings no PROJ data here")


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """PROJ data of a version with another layout."""
    folder = tmp_path_factory.mktemp("proj")
    shutil.copy(DATA / "proj.db", folder)
    with sqlite3.connect(folder / "proj.db") as database:
        database.execute(
            "update metadata set value = '0' where key = 'DATABASE.LAYOUT.VERSION.MAJOR'"
        )
    database.close()
    return folder


def run(*command, **environment):
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


OPEN = "from lulcmap.geo import load_area; load_area('8,47,8.1,47.1')"


@pytest.mark.parametrize("name", ["PROJ_LIB", "PROJ_DATA"])
@pytest.mark.parametrize("kind", ["older", "empty"])
def test_the_command_line_uses_the_data_of_its_own_packages(older, tmp_path, name, kind):
    folder = older if kind == "older" else tmp_path

    done = run("-m", "lulcmap", "doctor", "--offline", **{name: str(folder)})

    said = " ".join(done.stdout.split())
    assert f"correct; {name} is set, which lulcmap ignores" in said
    assert "unusable" not in said


@pytest.mark.parametrize("name", ["PROJ_LIB", "PROJ_DATA"])
def test_a_library_s_process_is_left_alone_and_the_fault_is_named(older, name):
    done = run("-c", OPEN, **{name: str(older)})

    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("lulcmap.errors.UsageError: PROJ cannot look up EPSG:32632")
    assert last.endswith(f"{name} may point to data of another version: unset and try again.")


def test_data_that_fit_are_no_fault(tmp_path):
    assert run("-c", OPEN, PROJ_DATA=str(DATA)).returncode == 0
