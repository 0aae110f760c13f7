"""Nothing that lets a reader in is left in what a run says or writes."""

from datetime import timedelta
from urllib.parse import parse_qs

from tests.integration import services
from tests.integration.conftest import CONTAINERS
from tests.integration.runs import leaks
from tests.integration.servers import FileServer, TokenServer


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
