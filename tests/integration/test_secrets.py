"""Nothing that lets a reader in is left in what a run says or writes."""

import math
from datetime import timedelta
from urllib.parse import parse_qs

import pytest

from tests.integration import services
from tests.integration.conftest import CONTAINERS
from tests.integration.runs import assert_same_map, leaks
from tests.integration.servers import Fault, FileServer, LockedServer, TokenServer


def of_token(token: str) -> set[str]:
    """A token, and its signature as it is and as a URL holds it."""
    encoded = next(part for part in token.split("&") if part.startswith("sig="))
    return {token, encoded.removeprefix("sig="), parse_qs(token)["sig"][0]}


def test_a_run_leaves_neither_token_nor_key_anywhere(world, blob_items, proxy, tmp_path):
    key = services.random_secret()
    lasting = timedelta(hours=1)  # they do not, and each 403 is a chance to say too much
    locked = (CONTAINERS["sentinel-1-rtc"], key)
    minting = services.mint(timedelta(seconds=2))
    with TokenServer(minting, states=lasting, locked=locked).running() as tokens:
        env = {**services.through(proxy, tokens.url), "PC_SDK_SUBSCRIPTION_KEY": key}
        run = world.predict(blob_items, tmp_path / "map.tif", "-vv", "--keep-run", env=env)

    assert run.code == 0, run.stderr
    secrets = set().union(*map(of_token, tokens.tokens), {key})
    assert leaks(run, secrets) == []


def test_a_run_that_fails_leaves_no_token_in_its_messages(world, blob_items, tmp_path):
    lasting = timedelta(hours=1)

    def token(container, number):
        return f"st=2024-01-01&se=2034-01-01&sp=r&sig=secret{container}{number}"

    files, tokens = FileServer(world.folder), TokenServer(token, states=lasting)
    files.uses = 0
    with files.running(), tokens.running():
        env = services.through(files.url, tokens.url)
        run = world.predict(blob_items, tmp_path / "map.tif", "-vv", env=env)

    assert run.code == 5
    assert tokens.tokens
    said = run.stdout + run.stderr
    assert "sig=" not in said
    assert not [token for token in tokens.tokens if token.rpartition("=")[2] in said]


@pytest.mark.parametrize("engine", [(), ("--dask", "local:1")], ids=["alone", "dask"])
def test_a_catalogue_that_needs_keys_is_mapped_and_resumed_and_leaves_none(
    world, offline, tmp_path, engine
):
    key = services.random_secret()
    with LockedServer(world.folder, world.items, key).running() as locked:
        catalog = f"{locked.url}/stac?token={key}"
        out, options = tmp_path / "map.tif", ("-vv", "--keep-run", *engine)
        locked.behave(Fault(r"\.tif$", status=404, after=300, times=math.inf))
        stopped = world.predict(catalog, out, "--max-lost", "0", *options)
        done = stopped.blocks
        locked.behave()
        locked.token = "QTOKEN1"
        run = world.predict(catalog, out, "--max-lost", "0", *options)

    assert stopped.code == 5
    assert done
    assert_same_map(run, offline)
    assert {name: run.blocks[name] for name in done} == done
    assert leaks(run, [key, "QTOKEN"]) == []
    assert not [secret for secret in (key, "QTOKEN") if secret in stopped.stdout + stopped.stderr]


def test_frozen_items_of_a_catalogue_that_needs_keys_say_so(world, tmp_path):
    key = services.random_secret()
    with LockedServer(world.folder, world.items, key).running() as locked:
        catalog = f"{locked.url}/stac?token={key}"
        run = world.predict(catalog, tmp_path / "map.tif", "--keep-run")
        other = world.predict(run.folder / "items.json", tmp_path / "other.tif")

    assert run.code == 0, run.stderr
    assert other.code == 3
    assert key not in other.stdout + other.stderr
