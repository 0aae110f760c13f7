"""README, pages, reference and examples show only what exists."""

import importlib.util
import pkgutil
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from runpy import run_path
from unittest.mock import create_autospec

import click
import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

import lulcmap
from lulcmap import api
from lulcmap.cli import main
from lulcmap.imagery.composite import Composite
from lulcmap.output.read import FinishedMap
from lulcmap.output.report import MapReport
from lulcmap.planning.estimate.values import Estimate
from lulcmap.products.areas import AreaRow, AreaTable
from lulcmap.products.change.table import ChangeTable
from lulcmap.products.clean_report import CleanedClass, CleanReport
from lulcmap.products.polygons import PolygonClass, PolygonReport
from tests.support.stubs import composites
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
        for part in re.split(r"&&|\||;|>", line):
            words = shlex.split(part.strip().removeprefix("$ "), comments=True)
            if words and words[0] == "lulcmap":
                yield words[1:]


def check(words: list[str]) -> None:
    """Check that each command and option exists, and that values have their type."""
    command, rest = main, words
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        _, command, rest = command.resolve_command(click.Context(command), rest)
    ctx = click.Context(command)
    options, left, _ = command.make_parser(ctx).parse_args(list(rest))
    assert not left, f"too many words: {words}"
    for parameter in command.get_params(ctx):
        if options.get(parameter.name) is not None and not isinstance(parameter.type, click.Path):
            parameter.type_cast_value(ctx, options[parameter.name])


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


def run_block(code: str) -> None:
    exec(compile(code, "page", "exec"), {})


@pytest.fixture
def quick_api(monkeypatch, tmp_path):
    """The Python API without provider and map: it takes the same arguments, and answers at once.

    What is shown writes into the current folder.
    """
    monkeypatch.chdir(tmp_path)

    def stub(name, value):
        monkeypatch.setattr(api, name, create_autospec(getattr(api, name), return_value=value))

    stub("run_map", create_autospec(MapReport, instance=True))
    stub("estimate_map", create_autospec(Estimate, instance=True))
    stub("read_map", create_autospec(FinishedMap, instance=True))
    grid = GeoBox((64, 96), Affine(10, 0, 294_000, 0, -10, 5_499_000), "EPSG:32632")
    s2, s1 = composites(np.random.default_rng(0), grid.shape)
    seen = np.ones(grid.shape, np.uint8)
    image = Composite(s2, s1, seen, seen, seen == 0, (), (), 0, (), grid)
    stub("composite_area", image)
    table = AreaTable("map.tif", (AreaRow("all", 0, "water", 1, 0.01, 100),), {}, None, ())
    change = create_autospec(ChangeTable, instance=True, classes=())
    row = CleanedClass(0, "water", 1.0, 1.0, 0, 0.0)
    cleaned = CleanReport(Path("clean.tif"), "0.5ha", (row,), 0, ())
    polygons = PolygonReport(Path("x.gpkg"), (PolygonClass(0, "water", 1, 1.0),), 1, ())
    for name, value in (
        *(("measure_areas", table), ("write_areas", None), ("draw_areas", None)),
        *(("map_change", change), ("write_change", None), ("draw_change", None)),
        *(("clean_map", cleaned), ("write_polygons", polygons)),
    ):
        whole = create_autospec(getattr(lulcmap, name), return_value=value)
        monkeypatch.setattr(lulcmap, name, whole, raising=False)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_python_shown_runs(path, quick_api, capsys):
    for code in python_blocks(path):
        run_block(code)


def test_the_readme_shows_the_python_api():
    text = "\n".join(python_blocks(PROJECT / "README.md"))

    for name in ("map_area", "plan_map", "composite", "open_model", "open_map"):
        assert f"lulcmap.{name}" in text


@pytest.mark.parametrize(
    "call",
    [
        "map_the_area('a.geojson', year=2024)",
        "map_area('a.geojson', year=2024, wokers=4)",
        "map_area('a.geojson', year=2024).scenes_used",
        "plan_map('a.geojson', year=2024, min_cleer=3)",
        "composite((6.1, 49.6, 6.11, 49.61), year=2024).as_xarray()",
        "composite((6.1, 49.6, 6.11, 49.61), year=2024, block_sizes=768)",
        "open_map('map.tif', 1)",
    ],
)
def test_python_that_does_not_exist_is_found(call, quick_api):
    with pytest.raises((AttributeError, TypeError)):
        run_block(f"import lulcmap\nlulcmap.{call}")


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
