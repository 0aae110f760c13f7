"""Standard streams that are closed, full or left by their reader, and text that steers a terminal.

A map is a file. Whether the lines about it can be printed is no matter of it; only a command whose
result is what it prints fails if that is lost.
"""

import json
import logging
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.cli.logs import _Terminal, configure_logging
from lulcmap.cli.terminal import in_line, printable
from lulcmap.simulation.build import Country, simulate
from tests.support.beside import with_sidecars
from tests.support.stubs import contract, make_model

STREAMS = {
    "output closed": (">&-", 0),
    "errors closed": ("2>&-", 0),
    "input closed": ("<&-", 0),
    "all closed": ("<&- >&- 2>&-", 0),
    "output full": ("> /dev/full", 7),
    "errors full": ("2> /dev/full", 0),
    "both full": ("> /dev/full 2>&1", 7),
    "output read-only": ("1< /dev/null", 7),
}
"""Redirections of a shell, and the exit code of a command that only prints."""

GONE = "a reader that went away"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a tiny country, its map, and the options that make it."""
    folder = tmp_path_factory.mktemp("streams")
    country = simulate(folder, Country(seed=1, height=128, width=160, s2_dates=3, s1_dates=2))
    model = make_model(folder / "stub.onnx", contract(), kernel=8)
    options = ["--aoi", country.aoi, "--year", "2024", "--catalog", country.items]
    options += ["--model", model, "--device", "cpu", "--block-size", "480"]
    run(["predict", *options, "--out", folder / "map.tif"])
    return folder, list(map(str, options))


def run(words, redirection="", **environment):
    """Run a command with a shell's redirection: its exit code, and what it printed."""
    command = [sys.executable, "-m", "lulcmap", *map(str, words)]
    ours = [subprocess.PIPE, subprocess.PIPE]
    if redirection == GONE:
        reader, ours[0] = os.pipe()
        os.close(reader)
        redirection = ""
    ended = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *command],
        check=False,
        stdout=ours[0],
        stderr=ours[1],
        env={**os.environ, **environment},
        text=True,
    )
    if ours[0] != subprocess.PIPE:
        os.close(ours[0])
    said = f"{ended.stdout or ''}{ended.stderr}"
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    return ended


@pytest.mark.parametrize("name", ["output closed", "all closed", "both full", GONE])
def test_a_map_that_is_there_gives_0_whatever_can_be_printed(world, name):
    folder, options = world
    redirection, _ = STREAMS.get(name, (GONE, 0))

    ended = run(["predict", *options, "--out", folder / "map.tif"], redirection)

    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("name", [*STREAMS, GONE])
@pytest.mark.parametrize("words", [["models"], ["--help"]])
def test_a_result_that_cannot_be_printed_is_an_error(words, name):
    redirection, code = STREAMS.get(name, (GONE, 0))

    ended = run(words, redirection)

    assert ended.returncode == code, ended.stderr
    if code and "2>&1" not in redirection:
        (line,) = ended.stderr.splitlines()
        assert line.startswith("Error: The output cannot be printed: ")


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "OPTIONS", "--json"],
        ["seams", "FOLDER/map.tif"],
        ["models", "show", "random-forest-simulated"],
    ],
)
def test_every_command_that_only_prints_needs_its_output(world, words):
    folder, options = world
    words = [part for word in words for part in (options if word == "OPTIONS" else [word])]
    words = [word.replace("FOLDER", str(folder)) for word in words]

    assert run(words, "> /dev/full").returncode == 7
    assert run(words, GONE).returncode == 0


def test_an_error_keeps_its_exit_code_where_nothing_can_be_printed(tmp_path):
    words = ["plan", "--aoi", tmp_path / "nothing.geojson", "--year", "2024"]

    for redirection in ("> /dev/full 2>&1", "<&- >&- 2>&-"):
        assert run(words, redirection).returncode == 2
    assert run([*words, "--json"], GONE).returncode == 2


def test_no_stream_s_number_is_taken_by_a_file_of_the_map(world, tmp_path):
    folder, options = world

    ended = run(["predict", *options, "-vv", "--out", tmp_path / "map.tif"], "<&- >&- 2>&-")

    assert ended.returncode == 0
    assert (tmp_path / "map.tif").read_bytes() == (folder / "map.tif").read_bytes()
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == with_sidecars("map.tif")


def test_a_closed_stream_becomes_the_null_device():
    code = "from lulcmap.cli.terminal import open_streams as o; o(); import os\n"
    code += "file = os.open('/dev/zero', os.O_RDONLY)\n"
    code += "os._exit(10 * (file > 2) + all(map(os.get_inheritable, range(3))))"

    ended = subprocess.run(["sh", "-c", f'exec {sys.executable} -c "{code}" <&- >&- 2>&-'])

    assert ended.returncode == 11


def test_names_that_the_terminal_cannot_show_are_escaped(world, tmp_path):
    _, options = world
    out = tmp_path / "kärnten.tif"

    ended = run(["predict", *options, "--out", out], PYTHONIOENCODING="ascii", PYTHONUTF8="0")

    assert ended.returncode == 0, ended.stderr
    assert f"{tmp_path}/k\\xe4rnten.tif: 100.0% of " in ended.stdout
    assert out.exists()


def test_a_pipe_that_does_not_block_gets_all():
    code = "from lulcmap.cli.terminal import open_streams as o, echo; o(); import os\n"
    code += "os.set_blocking(1, False); echo('x' * 1_000_000)"

    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    assert ended.stdout == b"x" * 1_000_000 + b"\n"


def is_harmless(letter):
    """Whether a letter neither steers a terminal nor turns the text around it."""
    is_control = unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")
    turns = unicodedata.bidirectional(letter) in (
        *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
    )
    return not (is_control or turns or letter in "\u061c\u200e\u200f")


ANY = st.text(st.characters(codec=None, exclude_categories=()))


@given(ANY)
def test_what_is_printed_steers_no_terminal(text):
    assert all(is_harmless(letter) or letter in "\t\n" for letter in printable(text))
    assert all(is_harmless(letter) for letter in in_line(text))
    assert len(in_line(text).splitlines()) <= 1


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_what_is_harmless_is_printed_as_it_is(text):
    assert printable(text) == in_line(text) == text


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize(
    "letters", ["\nError: forged", "\x1b[2J", "\0", "\udcff", "\u202e", "\r"], ids=ascii
)
def test_a_record_of_the_log_is_one_line_and_steers_nothing(capsys, log_format, letters):
    configure_logging(verbose=0, quiet=False, log_format=log_format)
    (terminal,) = [one for one in logging.getLogger().handlers if isinstance(one, _Terminal)]
    record = logging.LogRecord(
        "lulcmap", logging.WARNING, "", 0, "scene %s is lost", (f"S2{letters}A",), None
    )

    terminal.handle(record)  # past pytest's own handler, whose reports must be UTF-8

    said = capsys.readouterr().err
    (line,) = said.splitlines()
    assert said.endswith("\n")
    assert all(map(is_harmless, line))
    if log_format == "json":
        assert json.loads(line)["message"] == f"scene S2{letters}A is lost"


def test_a_traceback_in_the_log_forges_no_line(capsys):
    configure_logging(verbose=0, quiet=False, log_format="text")

    try:
        raise ValueError("a scene\nNote: all is well\x1b[2J")
    except ValueError:
        logging.getLogger("lulcmap").exception("Unexpected error:")

    first, *others = capsys.readouterr().err.splitlines()
    assert first == "Error: Unexpected error:"
    assert all(line.startswith("  ") and all(map(is_harmless, line)) for line in others)


def test_everything_is_printed_through_the_terminal_s_filter():
    folder = Path(__file__).parents[2] / "lulcmap" / "cli"
    others = [path for path in folder.glob("*.py") if path.name != "terminal.py"]

    assert not [path.name for path in others if "click.echo(" in path.read_text()]
