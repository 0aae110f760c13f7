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
from lulcmap.output.report import MapReport

PROJECT = Path(__file__).parents[1]
PAGES = sorted(
    [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")]
)
SCRIPTS = sorted((PROJECT / "examples").glob("*.sh"))
CRON = PROJECT / "examples" / "monthly-cron.sh"


def commands(text: str) -> Iterator[list[str]]:
    """The words of each ``lulcmap`` command in a page's code blocks."""
    blocks = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.M | re.S)
    blocks += re.findall(r"^ {4}(\S.*\n(?: {4}.*\n)*)", text, re.M)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\||;|>", line):
            words = shlex.split(part.strip().removeprefix("$ "), comments=True)
            if words and words[0] == "lulcmap":
                yield words[1:]


def check(words: list[str]) -> None:
    """See that each command and option exists, and that values are of their kind."""
    command, rest = main, words
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        _, command, rest = command.resolve_command(click.Context(command), rest)
    ctx = click.Context(command)
    given, left, _ = command.make_parser(ctx).parse_args(list(rest))
    assert not left, f"too many words: {words}"
    for parameter in command.get_params(ctx):
        if given.get(parameter.name) is not None and not isinstance(parameter.type, click.Path):
            parameter.type_cast_value(ctx, given[parameter.name])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_commands_shown_exist_with_their_options(path):
    for words in commands(path.read_text(encoding="utf-8")):
        check(words)


def test_a_command_that_does_not_exist_is_found():
    page = "```sh\nls && lulcmap predict \\\n  --nope\n```\n\n    lulcmap map\n\nlulcmap maps.\n"

    found = list(commands(page))

    assert found == [["predict", "--nope"], ["map"]]
    for words in [*found, ["predict", "--s1", "never"], ["demo", "one", "two"]]:
        with pytest.raises((click.UsageError, AssertionError)):
            check(words)
    assert list(commands((PROJECT / "README.md").read_text(encoding="utf-8")))


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
