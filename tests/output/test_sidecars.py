"""What lies beside a map: style, names, quick look and STAC item."""

import io
import json
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pyproj import Geod, Transformer

from lulcmap.errors import UsageError
from lulcmap.geo import Box, geobox, grid_areas
from lulcmap.legend import CLASSES, LandCover, is_plain_name
from lulcmap.output.extras import checked_license
from lulcmap.output.report import MapReport
from lulcmap.output.sidecars import (
    complete_sidecars,
    is_our_sidecar,
    remove_sidecars,
    sidecar_paths,
    write_sidecars,
)
from lulcmap.output.stac_item import class_objects, stac_license
from lulcmap.output.style import gdal_names, qgis_style
from tests.output.test_existing import make_map
from tests.support.stac import validate

NAMES = st.text(min_size=1, max_size=30).filter(is_plain_name)
LEGENDS = st.lists(NAMES, min_size=1, max_size=60, unique=True).map(
    lambda names: tuple(
        LandCover(i, name, f"{i * 9157 % 0xFFFFFF:06X}") for i, name in enumerate(names)
    )
)
QML, AUX, PNG, ITEM = "map.qml", "map.tif.aux.xml", "map.png", "map.json"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    return make_map(tmp_path_factory.mktemp("finished") / "map.tif")


@pytest.fixture
def out(finished, tmp_path) -> Path:
    """A map with its report and without sidecars."""
    for path in (finished, finished.with_name("map.tif.report.json")):
        shutil.copy(path, tmp_path)
    return tmp_path / "map.tif"


def report_of(out: Path, **changes: object) -> MapReport:
    report = MapReport.read(out, min_coverage=0)
    assert report is not None
    return replace(report, **changes)


def write(out: Path, **changes: object) -> None:
    report = report_of(out, **changes)
    write_sidecars(out, report.maps[0], report, layers={})


@given(legend=LEGENDS)
def test_the_style_has_exactly_the_classes_of_the_legend(legend):
    entries = ET.fromstring(qgis_style(legend).split("\n", 1)[1]).iter("paletteEntry")

    found = [(int(e.get("value")), e.get("label"), e.get("color")) for e in entries]
    assert found == [(c.id, c.name, f"#{c.colour.lower()}") for c in legend]


@given(legend=LEGENDS)
def test_the_names_for_gdal_are_those_of_the_legend_by_value(legend):
    tree = ET.fromstring(gdal_names(legend))

    assert [entry.text for entry in tree.iter("Category")] == [cover.name for cover in legend]
    rows = [[field.text for field in row] for row in tree.iter("Row")]
    assert rows == [[str(v) for v in (cover.id, cover.name, *cover.rgb, 255)] for cover in legend]


@given(legend=LEGENDS)
def test_classes_of_an_item_have_plain_unique_names(legend):
    classes = class_objects(legend)

    names = [each["name"] for each in classes]
    assert len(set(names)) == len(names)
    assert all((name.isascii() and name.replace("-", "_").isidentifier()) or name for name in names)
    assert [each["title"] for each in classes] == [cover.name for cover in legend]


def test_gdal_reads_the_names(out):
    if shutil.which("gdalinfo") is None:
        pytest.skip("gdalinfo is not installed")
    write(out)

    said = subprocess.run(["gdalinfo", out], capture_output=True, check=True).stdout

    text = said.decode()
    assert all(f"{cover.id:>7}: {cover.name}\n" in text for cover in CLASSES)
    assert "<GDALRasterAttributeTable" in text


def test_the_item_is_valid_and_true(out):
    write(out, license="CC-BY-4.0")

    values = json.loads((out.parent / ITEM).read_bytes())

    validate(values)
    item = pystac.Item.from_dict(values)
    assert (item.id, item.properties["license"]) == ("map", "CC-BY-4.0")
    assert item.common_metadata.start_datetime.isoformat() == "2024-01-01T00:00:00+00:00"
    assert item.common_metadata.end_datetime.isoformat() == "2024-12-31T23:59:59+00:00"
    asset = item.assets["map"]
    assert asset.href == "./map.tif"
    assert asset.extra_fields["file:checksum"] == f"1220{report_of(out).maps[0].sha256}"
    assert asset.extra_fields["file:size"] == out.stat().st_size
    derived = [link.href for link in item.get_links("derived_from")]
    assert derived[1:] == ["https://example.org/items/s2-a"]
    with rasterio.open(out) as dataset:
        assert item.properties["proj:shape"] == list(dataset.shape)
        assert item.properties["proj:transform"] == list(dataset.transform[:6])
        assert item.properties["proj:code"] == dataset.crs.to_string()
        to_degrees = Transformer.from_crs(dataset.crs, 4326, always_xy=True)
        x, y = to_degrees.transform(*dataset.xy(dataset.height / 2, dataset.width / 2))
    west, south, east, north = item.bbox
    assert west < x < east
    assert south < y < north


def test_a_wrong_item_is_refused_by_the_schemas(out):
    write(out)
    values = json.loads((out.parent / ITEM).read_bytes())
    values["assets"]["map"]["file:checksum"] = "SHA"

    with pytest.raises(pystac.STACValidationError):
        validate(values)


@pytest.mark.parametrize(
    ("spdx", "of_stac"),
    [("CC-BY-4.0", "CC-BY-4.0"), ("MIT OR CC0-1.0", "other"), ("LicenseRef-ours", "other")],
)
def test_licences_are_named_as_stac_does(spdx, of_stac):
    assert stac_license(checked_license(spdx)) == of_stac


def test_a_licence_that_spdx_does_not_know_is_refused():
    with pytest.raises(UsageError, match=r"SPDX id such as CC-BY-4\.0"):
        checked_license("free")


def test_the_quick_look_shows_the_classes_in_their_colours(out):
    write(out)

    with Image.open(out.parent / PNG) as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(2**20)}
    shown = report_of(out).classes
    assert {cover.rgb for cover in CLASSES if cover.name in shown} <= colours


def test_every_run_writes_the_same_bytes(out):
    write(out)
    first = {path: path.read_bytes() for path in sidecar_paths(out).values()}
    for path in first:
        path.unlink()

    write(out)

    assert {path: path.read_bytes() for path in first} == first
    assert all(str(out.parent).encode() not in content for content in first.values())


def test_our_sidecars_are_replaced_and_removed(out):
    write(out)
    write(out, area="elsewhere")

    assert b"elsewhere" in (out.parent / ITEM).read_bytes()
    remove_sidecars(out)
    assert not any((out.parent / name).exists() for name in (QML, PNG, ITEM))


def edited(path: Path) -> bytes:
    """Change a sidecar as a program would."""
    if path.suffix == ".png":
        with Image.open(path) as image:
            buffer = io.BytesIO()
            image.save(buffer, format="PNG")
        path.write_bytes(buffer.getvalue())
    else:
        path.write_text(path.read_text().replace("water", "lakes"))
    return path.read_bytes()


@pytest.mark.parametrize("name", [QML, PNG, ITEM])
def test_an_edited_sidecar_stays_and_is_named(out, caplog, name):
    write(out)
    assert is_our_sidecar(out.parent / name)
    content = edited(out.parent / name)

    write(out, area="elsewhere")
    remove_sidecars(out)

    assert (out.parent / name).read_bytes() == content
    assert f"{name} is kept" in caplog.text


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\x89PNG", b'{"lulcmap:sha256": 3}'])
@pytest.mark.parametrize("name", [QML, PNG, ITEM])
def test_a_foreign_file_of_a_sidecars_name_stays(out, name, content):
    (out.parent / name).write_bytes(content)

    write(out)

    assert (out.parent / name).read_bytes() == content


def test_a_foreign_picture_is_not_named_in_the_item(out):
    (out.parent / PNG).write_bytes(b"mine")

    write(out)

    assert "thumbnail" not in json.loads((out.parent / ITEM).read_bytes())["assets"]


def test_missing_sidecars_are_made_and_others_left_alone(out):
    write(out)
    before = {name: (out.parent / name).read_bytes() for name in (QML, AUX, PNG, ITEM)}
    (out.parent / AUX).write_bytes(b"with statistics")
    (out.parent / ITEM).unlink()
    (out.parent / PNG).unlink()

    complete_sidecars(out, report_of(out))

    assert (out.parent / AUX).read_bytes() == b"with statistics"
    assert all((out.parent / name).read_bytes() == before[name] for name in (QML, PNG, ITEM))


@pytest.mark.parametrize("name", ["map.png", "map.json", "map.qml"])
def test_a_map_named_like_a_sidecar_is_not_overwritten(out, name):
    odd = out.rename(out.with_name(name))

    assert odd not in sidecar_paths(odd).values()
    assert len(sidecar_paths(odd)) == 3


def test_hectares_are_true_areas():
    grid = geobox(Box(-500_000, 30_000, 100, 200), 32632)
    to_degrees = Transformer.from_crs(32632, 4326, always_xy=True)
    steps = np.linspace(0, 2000, 50)
    xs = grid.affine.c + np.concatenate([steps, steps[::-1]])
    ys = grid.affine.f - np.repeat([0, 1000], 50)

    area, _ = Geod(ellps="WGS84").polygon_area_perimeter(*to_degrees.transform(xs, ys))

    made = grid_areas(grid.crs.proj, grid.affine, (0, 0, 100, 200)).sum()
    assert made == pytest.approx(abs(area), rel=1e-5)
