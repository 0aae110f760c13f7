"""A second provider gives what the first cannot: the same map, and the report names it."""

import math

import numpy as np
import pytest
import rasterio

from tests.integration.servers import Fault, LockedServer

KEYS = "first", "second"


@pytest.fixture
def providers(world):
    """Two providers of the same products."""
    first, second = (LockedServer(world.folder, world.items, key) for key in KEYS)
    with first.running(), second.running():
        yield first, second


def catalog(server):
    return f"{server.url}/stac?token={server.key}"


def assert_same_pixels(run, other):
    """See that two runs made the same map; its tags say where it was read."""
    assert (run.code, other.code) == (0, 0), run.stderr
    with rasterio.open(run.out) as one, rasterio.open(other.out) as two:
        np.testing.assert_array_equal(one.read(), two.read())
    for name in ("pixels", "classes", "scenes"):
        assert run.report[name] == other.report[name]


def read(run):
    """Scene and band of every asset that the second provider gave."""
    return {(entry["scene"], entry["band"]) for entry in run.report["fallback"]}


def test_assets_that_the_first_lost_are_read_from_the_second(world, offline, providers, tmp_path):
    first, second = providers
    first.behave(Fault(r"/(B03|SCL|vv)\.tif$", status=404, times=math.inf))

    run = world.predict(
        catalog(first), tmp_path / "map.tif", "--fallback", catalog(second), "--max-lost", "0"
    )

    assert_same_pixels(run, offline)
    assert {band for _, band in read(run)} == {"B03", "SCL", "VV"}
    assert not run.report["lost"]
    assert f"Assets read from the fallback {second.url}/stac" in " ".join(run.report["warnings"])
    with rasterio.open(run.out) as made:
        assert made.tags()["LULCMAP_FALLBACK"].startswith(f"{second.url}/stac: ")
    assert {path.rpartition("/")[2] for path, status in second.requests if status == 206} == {
        *("B03.tif", "SCL.tif", "vv.tif")
    }


def test_a_provider_that_goes_down_in_the_middle_does_not_end_the_run(
    world, offline, providers, tmp_path
):
    first, second = providers
    first.behave(Fault(r"\.tif$", status=503, after=150, times=math.inf))
    options = ("--fallback", catalog(second), "--patience", "2", "--max-lost", "0")

    run = world.predict(catalog(first), tmp_path / "map.tif", *options)

    assert_same_pixels(run, offline)
    assert read(run)


def test_a_provider_that_cannot_be_searched_is_replaced_by_the_second(
    world, offline, providers, tmp_path
):
    first, second = providers
    wrong = catalog(first).replace("first", "expired")

    run = world.predict(wrong, tmp_path / "map.tif", "--fallback", catalog(second))

    assert_same_pixels(run, offline)
    said = " ".join(run.report["warnings"])
    assert f"The scenes are those of {second.url}/stac, for {first.url}/stac could not be" in said
    assert "expired" not in said


def test_other_processings_are_not_read(world, providers, tmp_path):
    first, second = providers
    second.items = [{**item, "id": f"{item['id']}_again"} for item in world.items]
    first.behave(Fault(r"/B03\.tif$", status=404, times=math.inf))

    run = world.predict(
        catalog(first), tmp_path / "map.tif", "--fallback", catalog(second), "--max-lost", "1"
    )

    assert run.report["lost"]
    assert not run.report["fallback"]
    assert "holds 0 of" in " ".join(run.report["warnings"])


def test_blocks_read_from_either_provider_are_one_map(world, offline, providers, tmp_path):
    first, second = providers
    out = tmp_path / "map.tif"
    options = ("--fallback", catalog(second), "--max-lost", "0")
    first.behave(Fault(r"/B03\.tif$", status=404, times=math.inf))

    half = world.predict(catalog(first), out, "--shard", "1/2", *options)
    first.behave()
    without = world.predict(catalog(first), out)
    run = world.predict(catalog(first), out, *options)

    assert half.code == 0, half.stderr
    assert without.code == 2
    assert "begun for another fallback" in without.stderr
    assert_same_pixels(run, offline)
    assert {band for _, band in read(run)} == {"B03"}


def test_a_fallback_that_is_the_catalogue_itself_is_refused(world, providers, tmp_path):
    first, _ = providers

    run = world.predict(catalog(first), tmp_path / "map.tif", "--fallback", catalog(first))

    assert run.code == 2
    assert "which --catalog is too. Give another provider." in run.stderr
