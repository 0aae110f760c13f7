"""The command: what it refuses, and what it prints."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from lulcmap.cli import main
from lulcmap.cli.view import shown_address
from lulcmap.viewer import extra
from tests.products.maps import write_map
from tests.viewer.maps import patches

ADDRESS = "http://127.0.0.1:1/secret/"


@pytest.fixture
def path(tmp_path):
    return write_map(tmp_path / "m.tif", patches((60, 80)))


def run(*words):
    return CliRunner().invoke(main, ["view", *map(str, words)])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--basemap", "https://example.org/"], "--basemap is https://example.org/"),
        (["--overwrite"], "--overwrite"),
        (["--export", "page", "--port", "8000"], "--port"),
        (["--layer", "x"], "--layer"),
        (["--port", "0"], "--port"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(path, words, told):
    out = run(path, *words)

    assert out.exit_code == 2
    assert told in out.output
    assert "Traceback" not in out.output


def test_a_file_that_is_no_map_is_refused(tmp_path):
    text = tmp_path / "m.tif"
    text.write_text("no map")

    out = run(text, "--no-browser")

    assert out.exit_code == 2
    assert "is not a readable raster" in out.output


def test_a_missing_extra_is_told(path, monkeypatch):
    monkeypatch.setattr(extra, "find_spec", lambda name: None if name == "rio_tiler" else name)

    out = run(path)

    assert out.exit_code == 2
    assert "need rio-tiler, which is not installed: pip install 'lulcmap[view]'" in out.output


def test_a_page_is_exported(path, tmp_path):
    out = run(path, "--export", tmp_path / "page")

    assert out.exit_code == 0, out.output
    assert f"Wrote {tmp_path / 'page' / 'index.html'}" in out.output
    assert (tmp_path / "page" / "index.html").stat().st_size > 100_000
    assert run(path, "--export", tmp_path / "page").exit_code == 7


def test_a_browser_is_opened_only_where_there_is_a_screen(monkeypatch, capsys):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")

    with shown_address(ADDRESS, opens=True):
        pass
    monkeypatch.setenv("DISPLAY", ":0")
    with shown_address(ADDRESS, opens=False):
        pass
    assert opened == []
    with shown_address(ADDRESS, opens=True):
        assert len(opened) == 1
    assert capsys.readouterr().out.startswith(f"{ADDRESS}\n")


@pytest.mark.parametrize("has_snap", [False, True])
def test_other_users_cannot_read_the_address_that_a_browser_opens(monkeypatch, tmp_path, has_snap):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("HOME", str(tmp_path))
    is_dir = Path.is_dir
    monkeypatch.setattr(
        Path, "is_dir", lambda one: has_snap if one.name == "snapd" else is_dir(one)
    )

    with shown_address(ADDRESS, opens=True):
        path = Path(urlsplit(opened[0]).path)
        assert "secret" not in opened[0]
        assert f"url={ADDRESS}" in path.read_text()
        assert path.stat().st_mode & 0o077 == path.parent.stat().st_mode & 0o077 == 0
        assert path.is_relative_to(tmp_path) == has_snap
    assert not path.parent.exists()


def test_an_address_is_printed_where_no_file_can_be_written(monkeypatch, capsys):
    def full(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr("lulcmap.cli.view.TemporaryDirectory", full)
    monkeypatch.setenv("DISPLAY", ":0")
    with shown_address(ADDRESS, opens=True):
        assert capsys.readouterr().out.startswith(ADDRESS)
