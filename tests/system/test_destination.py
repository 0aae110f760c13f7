"""What cannot be written to, and what is not lulcmap's, is known before the work begins."""

import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.errors import OutputError
from lulcmap.system.destination import check_destination, check_ours


def refused(out: Path, **how: object) -> str:
    with pytest.raises(OutputError) as error:
        check_destination(out, **how)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        *("-", "zip:x.tif", "zip://a.zip!map.tif", "GTIFF_DIR:1:map.tif", "s3://bucket/map.tif"),
        *("https://host/map.tif", "file:///tmp/map.tif", "/vsimem/map.tif", "/vsizip/a.zip/m.tif"),
        *("/VSIMEM/map.tif", "COG:map.tif", "az://c/map.tif", "gs://c/map.tif", r"\\?\C:\map.tif"),
        *("map\x1b[2J.tif", "map\n.tif", "map\0.tif", "map\udcff.tif", "\ud800", "a\x7f.tif"),
        *("none/map.tif", "a/" * 3000 + "map.tif", "x" * 244, "é" * 125, ""),
    ],
)
def test_a_name_that_cannot_work_is_refused_in_one_line(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)

    assert "--out" in refused(Path(name), beside=(".report.json",))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["map.tif", "2024:map.tif", "x" * 243, "[é] & 'b'.tif", "vsimem.tif", "land cover: 1"]
)
def test_a_plain_name_is_fine(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)

    check_destination(Path(name), beside=(".report.json", ".run"))
    check_destination(tmp_path / name, beside=(".report.json", ".run"))


@given(st.text(max_size=300))
def test_a_name_is_fine_or_refused_in_one_line_and_nothing_else(name):
    with suppress(OutputError):
        check_destination(Path("/tmp") / name, beside=(".report.json",))


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "lost").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "file").write_text("")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))

    assert "a link to nothing" in refused(tmp_path / "lost")
    for path in (tmp_path / "pipe", tmp_path / "socket", tmp_path / "circle", Path("/dev/null")):
        refused(path)
    assert "is a folder" in refused(tmp_path)
    assert "No folder" in refused(tmp_path / "file" / "map.tif")
    assert "no folder" in refused(tmp_path / "file", folder=True)
    assert "no folder" in refused(tmp_path / "file" / "run", folder=True, parents=True)
    check_destination(tmp_path / "new" / "run", folder=True, parents=True)


def test_a_folder_that_is_not_writable_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere

    assert "not writable" in refused(tmp_path / "map.tif")


def test_only_what_is_ours_may_be_replaced(tmp_path):
    path = tmp_path / "map.tif"
    check_ours(path, lambda _: False, kind="a map")
    path.write_text("mine")

    check_ours(path, lambda _: True, kind="a map")
    with pytest.raises(OutputError, match="is not a map made by lulcmap"):
        check_ours(path, lambda _: False, kind="a map")


def test_what_cannot_be_read_is_not_ours(tmp_path):
    path = tmp_path / "map.tif"
    path.symlink_to("nowhere")

    with pytest.raises(OutputError, match="cannot be read"):
        check_ours(path, lambda other: bool(other.read_bytes()), kind="a map")
