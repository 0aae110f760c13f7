"""Azure's blobs behind tokens that expire, through the unmodified ``planetary_computer`` package.

Azurite holds the blobs, a server of ours mints real SAS tokens, and nginx leads the blobs' host to
Azurite: the run sees nothing but what it would see in the cloud.
"""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from tests.integration import services
from tests.integration.conftest import CONTAINERS
from tests.integration.runs import assert_same_map
from tests.integration.servers import TokenServer

KEY = "PC_SDK_SUBSCRIPTION_KEY"


@pytest.fixture
def slow_proxy(start, blobs) -> tuple[str, Path]:
    """The proxy's URL and its log; it lets 25 requests through in a second, so that no machine is
    so fast that a run of some 320 ends before its tokens do."""
    return start(services.forward_proxy(blobs, pace=25))


@pytest.mark.parametrize(
    "states", [timedelta(seconds=3), timedelta(hours=1)], ids=["as-stated", "long-before"]
)
def test_tokens_that_expire_every_few_seconds_lose_nothing(
    world, offline, blob_items, slow_proxy, tmp_path, states
):
    # a token that says it lasts an hour and does not: revoked, or the clocks disagree
    url, log = slow_proxy
    with TokenServer(services.mint(timedelta(seconds=3)), states=states).running() as tokens:
        run = world.predict(blob_items, tmp_path / "map.tif", env=services.through(url, tokens.url))

    statuses = Counter(line.split()[0] for line in log.read_text().splitlines())
    assert_same_map(run, offline)
    assert run.lost == []
    assert len(tokens.tokens) > len(CONTAINERS)
    if states > timedelta(minutes=1):
        assert statuses["403"] > 0


def test_a_missing_subscription_key_is_one_line_that_names_the_variable(
    world, offline, blob_items, proxy, tmp_path
):
    key = services.random_secret()
    locked = (CONTAINERS["sentinel-1-rtc"], key)
    lasting = timedelta(hours=1)
    with TokenServer(services.mint(lasting), states=lasting, locked=locked).running() as tokens:
        env = services.through(proxy, tokens.url)

        without = world.predict(blob_items, tmp_path / "map.tif", env=env)
        withkey = world.predict(blob_items, tmp_path / "map.tif", env=env | {KEY: key})

    assert without.code == 5
    assert without.stderr.count("\n") == 1
    assert KEY in without.stderr
    assert "--s1 off" in without.stderr
    assert tokens.refused > 0
    assert_same_map(withkey, offline)
