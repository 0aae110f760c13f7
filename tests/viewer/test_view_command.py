"""The command: what it refuses, and what it prints."""

import pytest
from click.testing import CliRunner

from lulcmap.cli import main
from lulcmap.cli.view import show_address
from lulcmap.viewer import extra
from tests.products.maps import write_map
from tests.viewer.maps import patches


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

    show_address("http://127.0.0.1:1/x/", opens=True)
    monkeypatch.setenv("DISPLAY", ":0")
    show_address("http://127.0.0.1:1/x/", opens=False)
    show_address("http://127.0.0.1:1/x/", opens=True)

    assert opened == ["http://127.0.0.1:1/x/"]
    assert capsys.readouterr().out.startswith("http://127.0.0.1:1/x/\n")
