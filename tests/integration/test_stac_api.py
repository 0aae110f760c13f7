"""Searching a real STAC API: stac-fastapi with pgstac on PostgreSQL."""

from collections.abc import Iterator

import numpy as np
import pytest

from lulcmap.dataset import DatasetRequest, ImageArchive, build_dataset
from lulcmap.dataset.chips import Dataset
from lulcmap.simulation import SimulatedCountry
from lulcmap.simulation.labels import LabelSet, simulate_labels
from tests.integration import services
from tests.integration.runs import COUNTRY, assert_same_map
from tests.integration.servers import FileServer


@pytest.fixture(scope="module")
def api(start, world) -> Iterator[str]:
    """The API's URL; its items' assets are served over HTTP."""
    everywhere = {"bbox": [[-180, -90, 180, 90]]}
    always = {"interval": [["2015-01-01T00:00:00Z", None]]}
    collections = [
        {
            "type": "Collection",
            "stac_version": "1.0.0",
            "id": name,
            "description": name,
            "license": "proprietary",
            "extent": {"spatial": everywhere, "temporal": always},
            "links": [],
        }
        for name in ("sentinel-2-l2a", "sentinel-1-rtc")
    ]
    with FileServer(world.folder).running() as files:
        yield start(services.stac_api(collections, world.moved(files.url)))


def test_an_api_makes_the_map_that_its_items_make_offline(world, offline, api, tmp_path):
    options = ("--profile", "planetary-computer", "--keep-run")

    run = world.predict(api, tmp_path / "map.tif", *options)
    again = world.predict(run.folder / "items.json", tmp_path / "again.tif")

    assert_same_map(run, offline)
    assert again.code == 0, again.stderr
    assert again.out.read_bytes() == run.out.read_bytes()


def test_a_dataset_from_an_api_is_that_of_its_items(world, api, tmp_path):
    scenes = SimulatedCountry(world.folder / "items.json", world.folder / "truth.tif", world.aoi)
    labels = LabelSet(size=64, experts=2, nonexperts=1, holdout=1)
    simulate_labels(tmp_path / "labels", COUNTRY, scenes, labels)

    archives = {
        "api": ImageArchive(api, profile="planetary-computer"),
        "file": ImageArchive(str(scenes.items)),
    }
    for name, archive in archives.items():
        build_dataset(DatasetRequest(tmp_path / "labels", archive=archive), tmp_path / name)

    ours, theirs = Dataset.open(tmp_path / "api"), Dataset.open(tmp_path / "file")
    assert ours.rows == theirs.rows
    assert len(ours.rows) == 4
    for chip in ours.rows:
        for one, other in zip(ours.read(chip).planes(), theirs.read(chip).planes(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_an_api_without_scenes_of_the_area_ends_with_exit_3(world, api, tmp_path):
    run = world.predict(api, tmp_path / "map.tif", "--aoi", "20,50,20.1,50.1")

    assert run.code == 3
    assert run.stderr.count("\n") == 1
    assert "20" in run.stderr
