"""The exported page: one file, with everything in it and nothing that acts."""

import base64
import itertools
import json
import re
import threading
import zlib

import numpy as np
import pytest

from lulcmap.errors import OutputError, UsageError
from lulcmap.viewer import embedded, export
from lulcmap.viewer.export import export_page
from lulcmap.viewer.opened import open_site
from lulcmap.viewer.tiles import class_tile
from tests.products.maps import write_map, write_regions
from tests.viewer.maps import HOSTILE, patches, write_layers, write_whole


def data_of(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])


def test_the_page_holds_every_tile_and_what_layers_and_regions_know(tmp_path):
    values = patches((300, 420))
    path = write_whole(tmp_path / "land.tif", values)
    write_layers(path, values.shape)
    regions = write_regions(tmp_path / "r.gpkg", [_box()], name=["North"])
    site = open_site([path], regions=regions)

    page = export_page(site, tmp_path / "page").path

    data = data_of(page)
    zoom = data["site"]["maps"][0]["max_zoom"]
    finest = {key: text for key, text in data["tiles"].items() if f"0/class/{zoom}/" in key}
    assert finest
    for key, text in finest.items():
        tile = tuple(map(int, key.split("/")[2:]))
        content = zlib.decompress(base64.b64decode(text))
        assert content == class_tile(site.maps[0].parts[0].raster, tile).tobytes()
        assert f"0/origin/{'/'.join(map(str, tile))}" in data["tiles"]
    assert [one["name"] for one in data["site"]["maps"][0]["planes"]] == [
        *("confidence", "margin", "s2_count", "s1_count", "origin")
    ]
    assert data["pictures"]
    assert len(data["region_areas"]) == 1
    assert sum(data["region_areas"][0][0]["hectares"].values()) > 50


def _box():
    import shapely

    from tests.products.maps import GRID

    west, north = GRID * (0, 0)
    return shapely.box(west, north - 1500, west + 2000, north - 500)


def test_the_page_needs_no_other_file_and_no_server(tmp_path):
    site = open_site([write_map(tmp_path / "m.tif", patches((60, 80)))])

    page = export_page(site, tmp_path / "page").path

    assert [one.name for one in (tmp_path / "page").iterdir()] == ["index.html"]
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r'<(?:link|script|img)[^>]+(?:src|href)="(?!data:)', text)
    assert "default-src 'none'" in text
    assert "import {" not in text


def test_hostile_names_end_no_element_of_the_page(tmp_path):
    name = "</script><script>alert(1)</script>"
    path = write_map(tmp_path / "m.tif", np.ones((20, 20), np.uint8), names={1: name, 2: HOSTILE})

    page = export_page(open_site([path]), tmp_path / "page").path

    text = page.read_text(encoding="utf-8")
    assert name not in text
    assert HOSTILE not in text
    assert [one["name"] for one in data_of(page)["site"]["maps"][0]["legend"]] == [name, HOSTILE]


def tiles_of(folder):
    """Every tile of the scripts of a folder, by its key."""
    tiles = {}
    for script in folder.glob("tiles/**/*.js"):
        name, found = re.fullmatch(r'lulcmapTiles\((".*?"),(.*)\);\n', script.read_text()).groups()
        assert folder / "tiles" / f"{json.loads(name)}.js" == script
        tiles |= json.loads(found)
    return tiles


@pytest.mark.parametrize("limit", ["MAX_FILE_TILES", "MAX_FILE_BYTES"])
def test_a_larger_page_has_the_same_tiles_in_a_folder(tmp_path, monkeypatch, limit):
    values = patches((300, 420))
    path = write_whole(tmp_path / "land.tif", values)
    write_layers(path, values.shape)
    site = open_site([path])
    small = data_of(export_page(site, tmp_path / "small").path)

    monkeypatch.setattr(export, limit, 3)
    page = export_page(site, tmp_path / "large")

    assert page.folder == tmp_path / "large" / "lulcmap-page"
    assert sorted(one.name for one in page.path.parent.iterdir()) == ["index.html", "lulcmap-page"]
    assert tiles_of(page.folder) == small["tiles"]
    drawn = {
        "/".join(one.relative_to(page.folder / "pictures").with_suffix("").parts): one
        for one in page.folder.glob("pictures/**/*.webp")
    }
    assert drawn.keys() == small["pictures"].keys()
    for key, text in small["pictures"].items():
        assert drawn[key].read_bytes() == base64.b64decode(text)
    data = json.loads((page.folder / "data.js").read_text().split(" = ", 1)[1].rstrip(";\n"))
    assert data["site"] == small["site"]
    assert data["pictures"].keys() == drawn.keys()
    assert sum(one.stat().st_size for one in page.path.parent.rglob("*.*")) == page.n_bytes
    assert not re.findall(r"<script[^>]*>[^<]", page.path.read_text(encoding="utf-8"))


def test_one_kind_of_page_replaces_the_other_and_nothing_else(tmp_path, monkeypatch):
    site = open_site([write_map(tmp_path / "m.tif", patches((60, 80)))])
    folder = tmp_path / "page"
    export_page(site, folder)
    (folder / "notes.txt").write_text("mine")

    with monkeypatch.context() as patch:
        patch.setattr(export, "MAX_FILE_TILES", 0)
        for _ in range(2):
            export_page(site, folder, overwrite=True)
            names = {one.name for one in folder.iterdir()}
            assert names == {"index.html", "lulcmap-page", "notes.txt"}
            assert "lulcmap-page/data.js" in (folder / "index.html").read_text()
    export_page(site, folder, overwrite=True)
    assert {one.name for one in folder.iterdir()} == {"index.html", "notes.txt"}
    (folder / "lulcmap-page").mkdir()
    (folder / "lulcmap-page" / "thesis.doc").write_text("mine")
    with pytest.raises(OutputError, match="not the folder of a page made by lulcmap"):
        export_page(site, folder, overwrite=True)

    assert (folder / "lulcmap-page" / "thesis.doc").exists()


def test_the_folder_of_a_page_of_another_name_is_kept(tmp_path, monkeypatch):
    site = open_site([write_map(tmp_path / "m.tif", patches((60, 80)))])
    folder = tmp_path / "page"
    with monkeypatch.context() as patch:
        patch.setattr(export, "MAX_FILE_TILES", 0)
        export_page(site, folder)
    (folder / "index.html").rename(folder / "north.html")

    with pytest.raises(OutputError, match=r"lulcmap-page exists\. Give --overwrite"):
        export_page(site, folder)

    assert {one.name for one in folder.iterdir()} == {"lulcmap-page", "north.html"}


def test_a_folder_that_fails_half_way_leaves_the_page_as_it_was(tmp_path, monkeypatch):
    site = open_site([write_map(tmp_path / "m.tif", patches((60, 80)))])
    page = export_page(site, tmp_path / "page").path
    before = page.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "MAX_FILE_TILES", 0)
    monkeypatch.setattr("lulcmap.viewer.page_folder._Writer.flush", full)
    with pytest.raises(OutputError, match="No space left"):
        export_page(site, tmp_path / "page", overwrite=True)

    assert [one.name for one in (tmp_path / "page").iterdir()] == ["index.html"]
    assert page.read_bytes() == before


def test_a_stopped_export_leaves_nothing_half_written_and_no_thread(tmp_path, monkeypatch):
    site = open_site([write_map(tmp_path / "m.tif", patches((600, 800)))])
    page = export_page(site, tmp_path / "page").path
    before, threads = page.read_bytes(), threading.active_count()

    def stop(_, done, __):
        if done == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(export, "MAX_FILE_TILES", 0)
    with pytest.raises(KeyboardInterrupt):
        export_page(site, tmp_path / "page", overwrite=True, progress=stop)

    assert threading.active_count() == threads
    assert [one.name for one in (tmp_path / "page").iterdir()] == ["index.html"]
    assert page.read_bytes() == before


def test_threads_make_the_tiles_in_order(tmp_path, monkeypatch):
    path = write_whole(tmp_path / "land.tif", patches((300, 420)))
    write_layers(path, (300, 420))
    site = open_site([path])
    order = [
        *((f"tiles/{i}", tile) for i, one in enumerate(site.maps) for tile in tiles_in(one)),
        *((f"pictures/{i}", tile) for i, one in enumerate(site.pictures) for tile in tiles_in(one)),
    ]

    several = list(embedded.kept_tiles(site))
    monkeypatch.setattr("lulcmap.system.ahead.available_cores", lambda: 1)
    one_by_one = list(embedded.kept_tiles(site))

    assert [(one.layer, one.tile) for one in several] == order
    assert several == one_by_one


def tiles_in(layer):
    return embedded.pyramid(layer.bounds, embedded.kept_zooms(layer))


def test_the_finest_zooms_can_be_left_out(tmp_path):
    site = open_site([write_whole(tmp_path / "land.tif", patches((900, 900)))])
    whole = data_of(export_page(site, tmp_path / "whole").path)
    finest = whole["site"]["maps"][0]["max_zoom"]

    part = data_of(export_page(site, tmp_path / "part", max_zoom=finest - 1).path)

    assert part["site"]["maps"][0]["max_zoom"] == finest - 1
    assert "several pixels of a map are shown as one" in part["site"]["notes"][-1]
    assert part["tiles"] == {
        key: text for key, text in whole["tiles"].items() if key.split("/")[2] != str(finest)
    }


def test_a_map_too_large_for_any_page_is_refused_before_the_work(tmp_path, monkeypatch):
    site = open_site([write_whole(tmp_path / "m.tif", patches((900, 900)))])
    finest = site.maps[0].parts[0].max_zoom
    some = embedded.tile_count(site.maps[0].bounds, embedded.kept_zooms(site.maps[0], finest - 1))

    monkeypatch.setattr(export, "MAX_TILES", some)
    with pytest.raises(UsageError, match=f"--max-zoom {finest - 1}, cut out a part") as told:
        export_page(site, tmp_path / "page")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "page").exists()
    assert export_page(site, tmp_path / "page", max_zoom=finest - 1).path.exists()
    monkeypatch.setattr(export, "MAX_TILES", 0)
    with pytest.raises(UsageError, match=r"may hold 0\. Cut out a part"):
        export_page(site, tmp_path / "none")


@pytest.mark.parametrize(
    "bounds",
    [
        (8.0, 47.0, 8.9, 47.3),
        (179.5, -17.0, 180.6, -16.0),
        (-180.0, -85.05, 180.0, 85.05),
        (-100.0, -10.0, 255.0, 10.0),  # ends in the square it began in, on the other side of it
    ],
)
def test_the_pyramid_has_each_tile_once_square_by_square(bounds):
    zooms = range(9) if bounds[2] - bounds[0] > 180 else range(6, 13)

    tiles = list(embedded.pyramid(bounds, zooms))

    assert len(tiles) == len(set(tiles)) == embedded.tile_count(bounds, zooms)
    squares = [(z, x // embedded.CHUNK, y // embedded.CHUNK) for z, x, y in tiles]
    starts = [one for one, _ in itertools.groupby(squares)]
    assert len(starts) == len(set(starts))


def test_only_a_page_of_lulcmap_is_replaced(tmp_path):
    site = open_site([write_map(tmp_path / "m.tif", patches((60, 80)))])
    page = export_page(site, tmp_path / "page").path

    with pytest.raises(OutputError, match="--overwrite"):
        export_page(site, tmp_path / "page")
    assert export_page(site, tmp_path / "page", overwrite=True).path == page
    page.write_text("<html>mine</html>")
    with pytest.raises(OutputError, match="not a page made by lulcmap"):
        export_page(site, tmp_path / "page", overwrite=True)
    with pytest.raises(OutputError, match="no folder"):
        export_page(site, page)

    assert page.read_text() == "<html>mine</html>"
