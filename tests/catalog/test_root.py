"""The folder of an ItemCollection's files: its own, or one whose catalogue vouches for it."""

import json

import pytest

from lulcmap.errors import UsageError
from tests.catalog.test_search import item, look, write
from tests.support.searches import freeze_items

REFUSED = r"names .* as the folder of its files. That is not its own folder"


@pytest.fixture
def archive(tmp_path):
    """A folder of files, with the catalogue that lists them."""
    folder = tmp_path / "archive"
    folder.mkdir()
    return folder, write(folder, item("a"))


def saved(folder, name, values):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(values))
    return str(path)


@pytest.mark.parametrize("root", ["/", "..", "../..", "../archive", "link", "x/../../.."])
def test_a_downloaded_file_cannot_name_its_own_root(tmp_path, root):
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / "link").symlink_to("/")
    path = write(folder, item("a", href="etc/{}.tif"), **{"lulcmap:root": root})

    with pytest.raises(UsageError, match=REFUSED) as caught:
        look(path)
    assert "\n" not in str(caught.value)


def test_a_root_inside_the_folder_is_its_own(tmp_path):
    (tmp_path / "deep").mkdir()
    path = write(tmp_path, item("a"), **{"lulcmap:root": "deep"})

    found = look(path)

    assert found.scenes[0].assets["B02"] == str(tmp_path.resolve() / "deep" / "B02.tif")


def test_a_file_that_a_catalogue_of_the_folder_vouches_for_is_read(tmp_path, archive):
    found = look(archive[1])
    again = look(saved(tmp_path / "run", "items.json", freeze_items(found)))
    third = look(saved(tmp_path / "third", "x.json", freeze_items(again)))

    assert found.scenes == again.scenes == third.scenes
    assert freeze_items(found) == freeze_items(again) == freeze_items(third)


def test_a_file_frozen_by_version_0_1_0_is_vouched_for_by_the_items_json_there(tmp_path, archive):
    values = freeze_items(look(archive[1]))
    del values["lulcmap:catalog"]

    assert look(saved(tmp_path / "run", "items.json", values)).scenes


@pytest.mark.parametrize("href", ["secret.tif", "deep/B02.tif", "../B02.tif"])
def test_a_root_is_not_believed_for_files_that_no_catalogue_there_lists(tmp_path, archive, href):
    values = freeze_items(look(archive[1]))
    values["features"][0]["assets"]["B02"]["href"] = href

    with pytest.raises(UsageError, match=REFUSED):
        look(saved(tmp_path / "run", "items.json", values))


def test_a_file_does_not_vouch_for_itself(tmp_path):
    folder = tmp_path / "downloads"
    path = saved(folder, "evil.json", {})
    values = {
        "type": "FeatureCollection",
        "features": [item("a", href="etc/{}.tif")],
        "lulcmap:root": "/",
        "lulcmap:catalog": path,
    }

    with pytest.raises(UsageError, match=REFUSED):
        look(saved(folder, "evil.json", values))


def test_a_catalogue_with_a_byte_order_mark_is_read(tmp_path):
    path = write(tmp_path, item("a"))
    text = (tmp_path / "items.json").read_text()

    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "items.json").write_text(text, encoding=encoding)
        assert [scene.id for scene in look(path).scenes] == ["a"]
