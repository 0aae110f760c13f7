"""QGIS opens a map and shows its classes by name and colour, without being told of the style."""

import json
from pathlib import Path

import pytest

import lulcmap
from lulcmap.legend import CLASSES
from tests.integration import services

SCRIPT = Path(__file__).with_name("in_qgis.py")


@pytest.fixture(scope="module")
def in_qgis(start):
    """What QGIS says of a raster."""
    run = start(services.qgis())

    def opened(path: Path) -> dict:
        done = run(SCRIPT, path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return opened


@pytest.fixture(scope="module")
def made(world, tmp_path_factory) -> Path:
    """A map of the world."""
    out = tmp_path_factory.mktemp("map") / "map.tif"
    items = world.folder / "items.json"
    lulcmap.map_area(world.aoi, out, year=2024, catalog=items, model=world.model, device="cpu")
    return out


def test_a_map_shows_exactly_its_classes(in_qgis, made):
    said = in_qgis(made)

    assert said["valid"]
    assert said["renderer"] == "paletted"
    assert said["classes"] == [[c.id, c.name, f"#{c.colour.lower()}"] for c in CLASSES]


def test_without_the_style_qgis_knows_no_names(in_qgis, made, tmp_path):
    bare = tmp_path / "bare.tif"
    bare.write_bytes(made.read_bytes())

    assert "water" not in {label for _, label, _ in in_qgis(bare)["classes"]}
