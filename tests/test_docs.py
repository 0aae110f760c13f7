"""README, pages, reference and examples show only what exists."""

import importlib.util
import pkgutil
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from runpy import run_path

import click
import pytest

from lulcmap.cli import main
from tests.test_architecture import FLOORS

PROJECT = Path(__file__).parents[1]
PAGES = sorted(
    [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")]
)
SCRIPTS = sorted((PROJECT / "examples").glob("*.sh"))


def commands(text: str) -> Iterator[list[str]]:
    """The words of each ``lulcmap`` command in a page's code blocks."""
    blocks = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.M | re.S)
    blocks += re.findall(r"^ {4}(\S.*\n(?: {4}.*\n)*)", text, re.M)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        words: list[str] = []
        for word in [*_tokens(line.strip().removeprefix("$ ")), ";"]:
            if not set(word) <= set("&|;<>()"):
                words.append(word)
                continue
            if words[:1] == ["lulcmap"]:
                yield words[1:]
            words = []


def _tokens(line: str) -> Iterator[str]:
    """The words of a line of shell, and what stands between its commands."""
    tokens = shlex.shlex(line, posix=True, punctuation_chars=True)
    tokens.whitespace_split = True
    return tokens


def check(words: list[str]) -> None:
    """Check that each command and option exists, and that values have their type."""
    command, rest = main, words
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        _, command, rest = command.resolve_command(click.Context(command), rest)
    ctx = click.Context(command)
    options, left, _ = command.make_parser(ctx).parse_args(list(rest))
    assert not left, f"too many words: {words}"
    for parameter in command.get_params(ctx):
        value = options.get(parameter.name)
        if (
            value is not None
            and "$" not in str(value)
            and not isinstance(parameter.type, click.Path)
        ):
            parameter.type_cast_value(ctx, value)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_commands_shown_exist_with_their_options(path):
    for words in commands(path.read_text(encoding="utf-8")):
        check(words)


def test_a_command_that_does_not_exist_is_found():
    page = "```sh\nls && lulcmap predict \\\n  --nope\n```\n\n    lulcmap map\n\nlulcmap maps.\n"

    shown = list(commands(page))

    assert shown == [["predict", "--nope"], ["map"]]
    for words in [*shown, ["predict", "--s1", "never"], ["demo", "one", "two"]]:
        with pytest.raises((click.UsageError, AssertionError)):
            check(words)
    assert list(commands((PROJECT / "README.md").read_text(encoding="utf-8")))


def test_the_reference_is_what_help_says():
    page = run_path(str(PROJECT / "docs" / "make_cli.py"))

    written = page["PAGE"].read_text(encoding="utf-8")
    assert written == page["reference"](), "run python docs/make_cli.py"


def python_blocks(path: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)


def test_the_readme_shows_the_python_api():
    text = "\n".join(python_blocks(PROJECT / "README.md"))

    for name in ("map_area", "plan_map", "composite", "open_model", "open_map"):
        assert f"lulcmap.{name}" in text


TEXTS = [
    *PAGES,
    *sorted(PROJECT.glob("benchmarks/*.md")),
    *sorted(PROJECT.glob("models/*.md")),
    *sorted(PROJECT.glob("recipes/*/*.md")),
]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_the_files_and_modules_named_exist(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    for name in re.findall(r"`([^`\n]+)`", text):
        if re.fullmatch(r"(lulcmap|tests|docs|recipes|benchmarks|examples|models)/[\w./-]*", name):
            assert (PROJECT / name).exists(), name
        elif re.fullmatch(r"lulcmap(\.\w+)+", name):
            pkgutil.resolve_name(name)
        elif match := re.search(r"python -m ((?:recipes|benchmarks)[\w.]*)", name):
            assert importlib.util.find_spec(match[1]), name


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_the_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        page = (path.parent / target).resolve() if target else path
        assert page.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
            anchors = {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in headings}
            assert anchor in anchors, link


def test_the_floors_drawn_are_those_of_the_house():
    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")

    drawn = [set(re.findall(r"`(\w+)`", row)) for row in re.findall(r"^\| \d+ \| .+$", page, re.M)]
    assert drawn == [set(floor.split()) for floor in FLOORS]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_the_examples_are_shell(path):
    subprocess.run(["sh", "-n", str(path)], check=True)
