"""README, the reference and the examples say what is so."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from runpy import run_path
from unittest.mock import create_autospec

import click
import pytest

from lulcmap import pipeline
from lulcmap.cli import main
from lulcmap.report import MapReport

PROJECT = Path(__file__).parents[1]
PAGES = sorted(
    [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")]
)
SCRIPTS = sorted((PROJECT / "examples").glob("*.sh"))
CRON = PROJECT / "examples" / "monthly-cron.sh"


def commands(path: Path) -> Iterator[list[str]]:
    """The words of each ``lulcmap`` command that a page or a script shows, one on its line."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        found = re.match(r"(?: {4}|[^#`]*&& |\$ |)(lulcmap (?:[a-z]|-).*)", line)
        if found and not line.startswith("    lulcmap has"):
            words = shlex.split(found[1], comments=True)
            ends = [index for index, word in enumerate(words) if word in {"|", "&&", ";", ">"}]
            yield words[1 : min(ends, default=len(words))]


def check(words: list[str]) -> None:
    """See that each command and option exists, and that values are of their kind."""
    command, rest = main, words
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        _, command, rest = command.resolve_command(click.Context(command), rest)
    ctx = click.Context(command)
    given, left, _ = command.make_parser(ctx).parse_args(list(rest))
    assert not left, words
    for parameter in command.get_params(ctx):
        if given.get(parameter.name) is not None and not isinstance(parameter.type, click.Path):
            parameter.type_cast_value(ctx, given[parameter.name])


@pytest.mark.parametrize("path", [*PAGES, *SCRIPTS], ids=lambda path: path.name)
def test_the_commands_shown_exist_with_their_options(path):
    for words in commands(path):
        check(words)


def test_readme_shows_commands():
    assert [words[0] for words in commands(PAGES[PAGES.index(PROJECT / "README.md")])]


@pytest.mark.parametrize("words", ["predict --nope", "nope", "predict --s1 never", "models show"])
def test_a_command_that_does_not_exist_would_be_found(words):
    if words == "models show":
        check([*words.split(), "NAME"])
    else:
        with pytest.raises(click.UsageError):
            check(words.split())


def test_the_reference_is_what_help_says():
    page = run_path(str(PROJECT / "docs" / "make_cli.py"))

    written = page["PAGE"].read_text(encoding="utf-8")
    assert written == page["reference"](), "run python docs/make_cli.py"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_python_shown_runs(path, monkeypatch, capsys):
    """With a map that is made at once, called as the real one must be."""
    made = MapReport(Path("map.tif"), pixels={"s2_and_s1": 1})
    monkeypatch.setattr(pipeline, "map_area", create_autospec(pipeline.map_area, return_value=made))

    for code in re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S):
        exec(compile(code, str(path), "exec"), {})


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_the_examples_are_shell(path):
    subprocess.run(["sh", "-n", str(path)], check=True)


def test_the_cron_job_maps_the_last_year(tmp_path):
    tool = tmp_path / "bin" / "lulcmap"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{tmp_path}/words"\n')
    tool.chmod(0o755)
    year = int(subprocess.check_output(["date", "+%Y"])) - 1

    subprocess.run(
        ["sh", str(CRON), "/data/two words.geojson", str(tmp_path / "maps")],
        env={**os.environ, "PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}"},
        check=True,
    )

    words = (tmp_path / "words").read_text().splitlines()
    check(words)
    assert words[words.index("--aoi") + 1] == "/data/two words.geojson"
    assert words[words.index("--year") + 1] == str(year)
    assert words[words.index("--out") + 1] == str(tmp_path / "maps" / f"two words-{year}.tif")
    assert (tmp_path / "maps").is_dir()
