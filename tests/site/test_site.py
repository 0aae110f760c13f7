"""The site of the documentation: built strictly, without a network, and asking no other server."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pytest

import lulcmap
from tests.site.pages import PROJECT

BUILD = """
import sys
from pytest_socket import disable_socket
disable_socket(allow_unix_socket=True)
from mkdocs.__main__ import cli
cli(["build", "--strict", "--quiet", "--config-file", sys.argv[1], "--site-dir", sys.argv[2]])
"""
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-c", BUILD, str(PROJECT / "mkdocs.yml"), str(folder)]
    built = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


class Loaded(HTMLParser):
    """What a browser fetches by itself when it opens a page."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in LOADS and given.get("rel") != "canonical" and given.get(LOADS[tag]):
            self.addresses.append(given[LOADS[tag]])


@pytest.mark.timeout(600)
def test_a_page_asks_no_other_server(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        found = Loaded()
        found.feed(page.read_text(encoding="utf-8"))
        assert found.addresses
        assert not [one for one in found.addresses if re.match("https?:|//", one)], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import )['\"]?(https?:)?//", sheet.read_text()), sheet


@pytest.mark.timeout(600)
def test_the_python_reference_has_every_public_name_with_its_words(site):
    page = (site / "python.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>", "", page)

    for name in lulcmap.__all__:
        assert f'id="lulcmap.{name}"' in page, name
        words = getattr(lulcmap, name).__doc__.splitlines()[0]
        assert words.replace("`", "") in text, name


@pytest.mark.timeout(600)
def test_every_page_of_the_folder_is_in_the_navigation(site):
    start = (site / "index.html").read_text(encoding="utf-8")

    for path in (PROJECT / "docs").rglob("*.md"):
        page = path.relative_to(PROJECT / "docs").with_suffix(".html").as_posix()
        assert f'href="{page}"' in start, page


HOOKS = run_path(str(PROJECT / "docs" / "site_hooks.py"))


def led(text: str, page: str = "tutorials/operator.md") -> str:
    return HOOKS["on_page_markdown"](text, page=SimpleNamespace(file=SimpleNamespace(src_uri=page)))


def test_links_out_of_the_folder_lead_to_the_repository():
    home = HOOKS["REPOSITORY"]

    assert led("[a](../../examples/slurm-array.sh)") == f"[a]({home}/examples/slurm-array.sh)"
    assert led("[c](../benchmarks/README.md#speed)", "areas.md") == (
        f"[c]({home}/benchmarks/README.md#speed)"
    )
    for same in (
        "[d](../models.md#bring-your-own)",
        "[e](https://x.org/../y)",
        "![f](../demo.png)",
    ):
        assert led(same) == same
    with pytest.raises(FileNotFoundError, match="nowhere"):
        led("[g](../../nowhere.md)")


def test_the_pictures_shown_are_those_that_the_script_draws():
    drawn = set(re.findall(r'_save\(\s*"([^"]+)"', _text("docs/make_pictures.py")))
    shown = set(re.findall(r"\]\(pictures/(.+)\.png\)", _text("docs/map-by-picture.md")))

    assert shown == drawn == {path.stem for path in (PROJECT / "docs" / "pictures").glob("*.png")}


def _text(name: str) -> str:
    return (PROJECT / Path(name)).read_text(encoding="utf-8")
