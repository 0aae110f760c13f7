"""Files are written whole or not at all, also when the writer is killed."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lulcmap.system.files import (
    parts,
    read_json,
    replacing,
    write_atomically,
    write_json,
    written,
)
from tests.support.disk import full_disk

NAMES = ("map.tif", "map.2024.tif", "fiji-2.tif.report.json", "items", ".hidden", "[a]*?.bin")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def leftover(path: Path, *, ending: str = "") -> Path:
    """The temporary file that a killed writer left, or a file that GDAL made beside it."""
    part = path.with_name(f".{path.stem}.0a1b2c3d.part{path.suffix}{ending}")
    part.write_text("half")
    return part


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_written_and_nothing_is_left_beside_it(tmp_path, name):
    path = tmp_path / name

    write_atomically(path, b"old")
    write_atomically(path, memoryview(b"new"))

    assert path.read_bytes() == b"new"
    assert names(tmp_path) == {name}


def test_text_is_written_as_utf_8(tmp_path):
    write_atomically(tmp_path / "a.txt", "Genève\n")

    assert (tmp_path / "a.txt").read_bytes() == b"Gen\xc3\xa8ve\n"


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "map.tif"
    path.write_text("old")

    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"

    assert path.read_text() == "new"
    assert names(tmp_path) == {"map.tif"}


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path, calls = tmp_path / "map.tif", []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: calls.append("sync") or sync(number))
    monkeypatch.setattr(Path, "replace", lambda *names: calls.append("rename") or replace(*names))

    write_atomically(path, b"new")

    assert calls == ["sync", "rename"]


def test_after_an_error_the_old_file_is_there_and_the_new_one_is_not(tmp_path):
    path = tmp_path / "map.tif"
    path.write_text("old")

    def fail():
        with replacing(path) as part:
            part.write_text("half")
            part.with_name(f"{part.name}.aux.xml").write_text("beside it")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()

    assert path.read_text() == "old"
    assert names(tmp_path) == {"map.tif"}


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "map.tif"
    path.write_text("old")

    with full_disk(after=1000), pytest.raises(OSError, match="File too large"):
        write_atomically(path, bytes(5000))

    assert path.read_text() == "old"
    assert names(tmp_path) == {"map.tif"}


def test_a_body_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "map.tif"):
        pass

    assert names(tmp_path) == set()


def test_a_folder_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "map.tif", b"new")


def test_a_killed_writer_leaves_the_old_file_and_the_next_one_removes_its_rest(tmp_path):
    path = tmp_path / "map.tif"
    path.write_text("old")
    code = """
import os, signal, sys
from pathlib import Path
from lulcmap.system.files import replacing

with replacing(Path(sys.argv[1])) as part:
    part.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""

    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)

    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    (part,) = parts(tmp_path)
    assert written(part) == "map.tif"

    with replacing(path) as part:
        part.write_text("new")

    assert path.read_text() == "new"
    assert names(tmp_path) == {"map.tif"}


@pytest.mark.parametrize("name", NAMES)
def test_what_killed_writers_left_of_the_same_file_is_removed_first(tmp_path, name):
    path = tmp_path / name
    leftover(path)
    leftover(tmp_path / "other.tif")

    with replacing(path) as part:
        assert len(parts(tmp_path)) == 1  # the other file's, which may be at work
        part.write_text("new")

    assert names(tmp_path) == {name, ".other.0a1b2c3d.part.tif"}


def test_what_gdal_left_beside_a_temporary_file_is_removed_too(tmp_path):
    path = tmp_path / "map.tif"
    leftover(path)
    leftover(path, ending=".aux.xml")
    leftover(path, ending=".ovr")

    with replacing(path) as part:
        part.write_text("new")

    assert names(tmp_path) == {"map.tif"}


def test_the_temporary_files_of_other_writers_stay(tmp_path):
    path = tmp_path / "model.onnx"
    part = leftover(path)

    write_atomically(path, b"new")
    with replacing(path, others=True) as own:
        own.write_text("newer")

    assert path.read_text() == "newer"
    assert names(tmp_path) == {"model.onnx", part.name}


def test_writers_of_one_file_at_once_leave_one_of_their_files(tmp_path):
    path = tmp_path / "status.json"
    values = [bytes([number]) * 10_000 for number in range(40)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda value: write_atomically(path, value), values))

    assert path.read_bytes() in values
    assert names(tmp_path) == {"status.json"}


def test_a_folder_takes_the_place_of_an_older_one(tmp_path):
    path = tmp_path / "results"
    path.mkdir()
    (path / "old.csv").write_text("old")

    with replacing(path) as part:
        part.mkdir()
        (part / "new.csv").write_text("new")
        assert names(path) == {"old.csv"}

    assert names(path) == {"new.csv"}
    assert names(tmp_path) == {"results"}


def test_after_an_error_the_old_folder_is_there_and_the_new_one_is_not(tmp_path):
    path = tmp_path / "results"
    path.mkdir()
    (path / "old.csv").write_text("old")

    def fail():
        with replacing(path) as part:
            part.mkdir()
            (part / "new.csv").write_text("new")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()

    assert names(path) == {"old.csv"}
    assert names(tmp_path) == {"results"}


def test_a_folder_that_a_killed_writer_left_is_removed(tmp_path):
    part = tmp_path / ".results.0a1b2c3d.part"
    part.mkdir()
    (part / "half.csv").write_text("half")

    with replacing(tmp_path / "results") as part:
        part.mkdir()

    assert names(tmp_path) == {"results"}


def test_removing_a_link_leaves_what_it_points_to(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_text("kept")
    (tmp_path / ".results.0a1b2c3d.part").symlink_to(folder)

    with replacing(tmp_path / "results") as part:
        part.mkdir()

    assert names(tmp_path) == {"folder", "results"}
    assert names(folder) == {"file"}


@pytest.mark.parametrize("name", NAMES)
def test_a_temporary_file_is_hidden_keeps_the_ending_and_knows_its_name(tmp_path, name):
    path = tmp_path / name

    with replacing(path) as part:
        assert part.parent == tmp_path
        assert part.name.startswith(".")
        assert part.suffix == path.suffix or part.suffix == ".part"
        assert written(part) == name
        part.write_text("new")


@pytest.mark.parametrize(
    "name",
    [
        "map.tif",
        ".map.tif",
        ".map.part.tif",
        ".map.0a1b2c3.part.tif",  # seven digits
        ".map.0A1B2C3D.part.tif",
        ".map.0a1b2c3d.partial",
        "map.0a1b2c3d.part.tif",
        ".0a1b2c3d.part.tif",
    ],
)
def test_names_that_are_not_temporary_are_kept(tmp_path, name):
    (tmp_path / name).write_text("a user's")

    assert written(tmp_path / name) is None
    assert parts(tmp_path) == []
    with replacing(tmp_path / "map.bin") as part:
        part.write_text("new")
    assert (tmp_path / name).read_text() == "a user's"


def test_json_is_sorted_and_comes_back(tmp_path):
    path = tmp_path / "plan.json"

    write_json(path, {"b": [1, 2], "a": {"d": None, "c": "é"}})

    assert path.read_text() == (
        '{\n "a": {\n  "c": "\\u00e9",\n  "d": null\n },\n "b": [\n  1,\n  2\n ]\n}\n'
    )
    assert read_json(path) == {"a": {"c": "é", "d": None}, "b": [1, 2]}


@pytest.mark.parametrize("data", [b"", b'{"a": 1', b"[1]", b"null", b"\xff\xfe{}"])
def test_what_is_not_a_json_object_is_none(tmp_path, data):
    (tmp_path / "plan.json").write_bytes(data)

    assert read_json(tmp_path / "plan.json") is None


def test_a_json_file_that_does_not_exist_is_none(tmp_path):
    (tmp_path / "file").touch()

    assert read_json(tmp_path / "plan.json") is None
    assert read_json(tmp_path / "file" / "plan.json") is None


def test_json_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "plan.json").mkdir()

    with pytest.raises(IsADirectoryError):
        read_json(tmp_path / "plan.json")


@pytest.mark.parametrize("name", ["x" * 240 + ".tif", "é" * 120, "x." + "y" * 240, "." * 200 + "a"])
def test_a_long_name_has_temporary_names_that_fit_with_what_gdal_makes_beside_them(tmp_path, name):
    path = tmp_path / name
    path.write_text("old")

    with replacing(path) as part:
        assert len(os.fsencode(part.name)) < 143 - len(".msk.ovr.tmp")
        part.with_name(f"{part.name}.msk.ovr.tmp").write_text("beside it")
        part.write_text("new")

    assert (path.read_text(), names(tmp_path)) == ("new", {name})


def test_long_names_that_begin_alike_do_not_share_leftovers(tmp_path):
    one, two = (tmp_path / f"{'x' * 200}{number}.tif" for number in (1, 2))

    with replacing(one) as first, replacing(two) as second:
        first.write_text("1")
        second.write_text("2")
        assert {written(part) for part in (first, second)} == {written(first), written(second)}
        assert written(first) != written(second)

    assert (one.read_text(), two.read_text()) == ("1", "2")
