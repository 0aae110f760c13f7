"""The exported page: one file, with everything in it and nothing that acts."""

import base64
import json
import re
import zlib

import numpy as np
import pytest

from lulcmap.errors import OutputError, UsageError
from lulcmap.viewer import export
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

    page = export_page(site, tmp_path / "page")

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

    page = export_page(site, tmp_path / "page")

    assert [one.name for one in (tmp_path / "page").iterdir()] == ["index.html"]
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r'<(?:link|script|img)[^>]+(?:src|href)="(?!data:)', text)
    assert "default-src 'none'" in text
    assert "import {" not in text


def test_hostile_names_end_no_element_of_the_page(tmp_path):
    name = "</script><script>alert(1)</script>"
    path = write_map(tmp_path / "m.tif", np.ones((20, 20), np.uint8), names={1: name, 2: HOSTILE})

    page = export_page(open_site([path]), tmp_path / "page")

    text = page.read_text(encoding="utf-8")
    assert name not in text
    assert HOSTILE not in text
    assert [one["name"] for one in data_of(page)["site"]["maps"][0]["legend"]] == [name, HOSTILE]


def test_a_large_map_is_refused_before_the_work(tmp_path, monkeypatch):
    site = open_site([write_map(tmp_path / "m.tif", patches((600, 800)))])

    monkeypatch.setattr(export, "MAX_TILES", 3)
    with pytest.raises(UsageError, match="tiles of 256 pixels; 3 fit"):
        export_page(site, tmp_path / "page")
    monkeypatch.setattr(export, "MAX_TILES", 300)
    monkeypatch.setattr(export, "MAX_PAGE_BYTES", 1000)
    with pytest.raises(UsageError, match="The page would have"):
        export_page(site, tmp_path / "page")

    assert not (tmp_path / "page").exists()


def test_only_a_page_of_lulcmap_is_replaced(tmp_path):
    site = open_site([write_map(tmp_path / "m.tif", patches((60, 80)))])
    page = export_page(site, tmp_path / "page")

    with pytest.raises(OutputError, match="--overwrite"):
        export_page(site, tmp_path / "page")
    assert export_page(site, tmp_path / "page", overwrite=True) == page
    page.write_text("<html>mine</html>")
    with pytest.raises(OutputError, match="not a page made by lulcmap"):
        export_page(site, tmp_path / "page", overwrite=True)
    with pytest.raises(OutputError, match="no folder"):
        export_page(site, page)

    assert page.read_text() == "<html>mine</html>"
