"""A STAC collection of the maps in a folder."""

import json
import shutil
from pathlib import Path

import pystac
import pytest
from click.testing import CliRunner

from lulcmap.cli import main
from lulcmap.errors import OutputError, UsageError
from lulcmap.output.report import MapReport
from lulcmap.output.sidecars import is_our_sidecar, write_sidecars
from lulcmap.products import write_collection
from tests.output.test_existing import make_map
from tests.support.records import make_plan
from tests.support.stac import validate


@pytest.fixture(scope="module")
def maps(tmp_path_factory) -> Path:
    """A folder with the maps of two years, their sidecars and a user's own file."""
    folder = tmp_path_factory.mktemp("maps") / "laos"
    folder.mkdir()
    for year in (2023, 2024):
        plan = make_plan(period=(f"{year}-01-01", f"{year}-12-31"))
        out = make_map(folder / f"laos-{year}.tif", plan=plan)
        report = MapReport.read(out, min_coverage=0)
        write_sidecars(out, report.maps[0], report, layers={})
    (folder / "aoi.json").write_text('{"type": "Feature", "properties": {}}')
    return folder


@pytest.fixture
def folder(maps, tmp_path) -> Path:
    return Path(shutil.copytree(maps, tmp_path / "laos"))


def test_the_collection_lists_the_maps_and_is_valid(folder):
    made = write_collection(folder)

    values = json.loads(made.path.read_bytes())
    validate(values)
    collection = pystac.Collection.from_file(str(made.path))
    assert sorted(item.id for item in collection.get_items()) == ["laos-2023", "laos-2024"]
    assert values["extent"]["temporal"]["interval"] == [
        ["2023-01-01T00:00:00Z", "2024-12-31T23:59:59Z"]
    ]
    for item in collection.get_items():
        assert item.get_collection().id == collection.id == "laos"
        assert Path(item.assets["map"].get_absolute_href()).is_file()
    for path in made.items:
        validate(json.loads(path.read_bytes()), str(path))
        assert is_our_sidecar(path)


def test_a_second_run_changes_nothing(folder):
    write_collection(folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}

    write_collection(folder)

    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_an_edited_item_is_listed_and_not_changed(folder):
    item = folder / "laos-2023.json"
    item.write_text(item.read_text().replace("somewhere", "my own words"))
    content = item.read_bytes()

    made = write_collection(folder, title="Laos")

    assert item.read_bytes() == content
    assert made.notes == (
        "laos-2023.json was edited: it is listed, and does not link back to the collection.",
    )
    assert json.loads(made.path.read_bytes())["title"] == "Laos"


def test_a_collection_of_others_is_not_replaced(folder):
    (folder / "collection.json").write_text('{"type": "Collection"}')

    with pytest.raises(OutputError, match="is not a collection made by lulcmap"):
        write_collection(folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"type": "Feature", "properties": 3}'])
def test_a_folder_without_maps_is_named(tmp_path, content):
    (tmp_path / "x.json").write_text(content)

    with pytest.raises(UsageError, match="No STAC item of a map"):
        write_collection(tmp_path)


def test_the_command_prints_what_it_wrote(folder):
    said = CliRunner().invoke(main, ["stac", str(folder)])

    assert said.exit_code == 0, said.output
    assert said.output == f"Wrote {folder / 'collection.json'}: 2 maps.\n"
    assert CliRunner().invoke(main, ["stac", str(folder / "no")]).exit_code == 2
