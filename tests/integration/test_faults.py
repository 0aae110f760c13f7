"""Servers that misbehave: what passes by leaves no trace, what stays is named and resumed."""

import math
import shutil
from collections import Counter
from datetime import timedelta

import pytest

from tests.integration import services
from tests.integration.conftest import CONTAINERS
from tests.integration.runs import assert_same_map
from tests.integration.servers import Fault, FileServer, TokenServer

SOME = r"/(B03|B11|SCL|vv)\.tif$"

PASSING = {
    "403": [Fault(SOME, status=403)],
    "404": [Fault(SOME, status=404)],
    "429": [Fault(SOME, status=429, headers={"Retry-After": "1"}, times=6)],
    "503": [Fault(SOME, status=503)],
    "slow": [Fault(SOME, "slow")],
    "reset": [Fault(SOME, "reset", times=4)],
    "truncated": [Fault(SOME, "truncated"), Fault(r"B02\.tif$", "truncated", after=6)],
    "html": [Fault(SOME, "html"), Fault(r"B02\.tif$", "html", after=6)],
    "garbage": [Fault(SOME, "garbage"), Fault(r"B02\.tif$", "garbage", after=6)],
}
"""Each twice or so at the first requests of some bands, or, ``after`` some, in the pixels."""

STAYING = {
    "403": {"status": 403},
    "404": {"status": 404},
    "truncated": {"kind": "truncated"},
    "html": {"kind": "html"},
    "garbage": {"kind": "garbage"},
}
"""How an asset is broken for ever."""


@pytest.fixture
def items(world, files, tmp_path):
    return world.collection(tmp_path / "items.json", files.url)


@pytest.fixture(scope="module")
def asset(world):
    """One asset: its scene, its band, its path on the server."""
    item = next(item for item in world.items if "B03" in item["assets"])
    return item["id"], "B03", item["assets"]["B03"]["href"].removeprefix(".")


@pytest.fixture(scope="module")
def asked(world, tmp_path_factory):
    """How often a run without faults asks for each path."""
    folder = tmp_path_factory.mktemp("asked")
    with FileServer(world.folder).running() as files:
        run = world.predict(world.collection(folder / "items.json", files.url), folder / "map.tif")
    assert run.code == 0, run.stderr
    return Counter(path for path, _ in files.requests)


@pytest.fixture(scope="module")
def offline_without(world, asset, tmp_path_factory):
    """The offline run of the country without that asset's file."""
    folder = tmp_path_factory.mktemp("without") / "country"
    shutil.copytree(world.folder, folder)
    (folder / asset[2].lstrip("/")).unlink()
    return world.predict(folder / "items.json", folder.parent / "map.tif")


@pytest.mark.parametrize("faults", PASSING.values(), ids=PASSING)
def test_faults_that_pass_leave_no_trace(world, offline, files, items, tmp_path, faults):
    files.behave(*faults)

    run = world.predict(items, tmp_path / "map.tif")

    assert_same_map(run, offline)
    assert all(fault.hits > 0 for fault in faults)


@pytest.mark.parametrize("broken", STAYING.values(), ids=STAYING)
def test_an_asset_that_stays_broken_is_named_and_counted(
    world, offline_without, asset, files, items, tmp_path, broken
):
    scene, band, path = asset
    files.behave(Fault(f"{path}$", times=math.inf, **broken))

    one_block = ("--block-size", "480")  # the asset is tried anew, with pauses, in each block
    run = world.predict(items, tmp_path / "map.tif", *one_block)

    assert run.code == offline_without.code == 0
    assert run.lost == offline_without.lost == [(scene, band)]
    assert run.report["pixels"] == offline_without.report["pixels"]
    assert run.report["classes"] == offline_without.report["classes"]
    assert f"{scene} {band}" in run.stderr


def test_more_lost_than_allowed_ends_with_exit_5_and_goes_on_later(
    world, offline, asset, asked, files, items, tmp_path
):
    scene, band, path = asset
    files.behave(Fault(f"{path}$", status=404, after=asked[path] // 2, times=math.inf))

    stopped = world.predict(items, tmp_path / "map.tif", "--max-lost", "0", "--keep-run")
    done = stopped.blocks
    files.behave()
    run = world.predict(items, tmp_path / "map.tif", "--max-lost", "0", "--keep-run")

    assert stopped.code == 5
    assert stopped.stderr.count("\n") == 1
    assert f"{scene} {band}" in stopped.stderr
    assert done
    assert {name: run.blocks[name] for name in done} == done
    assert len(run.blocks) > len(done)
    assert_same_map(run, offline)


@pytest.mark.parametrize("down", [{"kind": "reset"}, {"status": 503}], ids=["reset", "503"])
def test_a_provider_that_goes_down_ends_with_exit_5_and_the_run_goes_on_later(
    world, offline, asked, files, items, tmp_path, down
):
    files.behave(Fault("", after=asked.total() // 2, times=math.inf, **down))

    stopped = world.predict(items, tmp_path / "map.tif", "--patience", "3")
    done = stopped.blocks
    files.behave()
    run = world.predict(items, tmp_path / "map.tif", "--keep-run")

    assert stopped.code == 5
    assert stopped.stderr.count("\n") == 1
    assert f"{files.url.removeprefix('http://')} has served nothing" in stopped.stderr
    assert "--patience" in stopped.stderr
    assert done
    assert {name: run.blocks[name] for name in done} == done
    assert_same_map(run, offline)


def test_a_token_that_wears_out_is_replaced(world, offline, tmp_path):
    # no clock: a token is good for forty requests, then 403, whatever it says of itself
    lasting = timedelta(hours=1)

    def token(container, number):
        return f"st=2024-01-01&se=2034-01-01&sp=r&sig={container}{number}"

    files, tokens = FileServer(world.folder), TokenServer(token, states=lasting)
    files.uses = 40
    with files.running(), tokens.running():
        env = services.through(files.url, tokens.url)
        catalog = world.collection(tmp_path / "items.json", f"http://{services.BLOB_HOST}")

        run = world.predict(catalog, tmp_path / "map.tif", env=env)

    assert_same_map(run, offline)
    assert files.count(403) > 0
    assert len(tokens.tokens) > len(CONTAINERS)
