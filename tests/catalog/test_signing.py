"""Signing asks for a token only where one is needed, and never shows it."""

import json
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from lulcmap.catalog import signing as module
from lulcmap.catalog.providers import CDSE, EARTH_SEARCH, PLANETARY_COMPUTER
from lulcmap.catalog.signing import signer
from lulcmap.errors import ProviderError

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # its models are written for pydantic 1
    from planetary_computer import sas
    from planetary_computer.settings import Settings

BLOB = "https://account.blob.core.windows.net/container/path/B02.tif"


class Clock:
    """Time that goes by when told."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def tokens(monkeypatch):
    """The containers tokens were asked for, in order; each token has its number."""
    asked = []
    lock = threading.Lock()

    def request_token(account, container):
        with lock:
            asked.append((account, container))
        expiry = datetime.now(UTC) + timedelta(seconds=3600)
        return sas.SASToken(**{"msft:expiry": expiry, "token": f"sig=secret{len(asked)}"})

    monkeypatch.setattr(module, "_request_token", request_token)
    return asked


@pytest.mark.parametrize("profile", [EARTH_SEARCH, PLANETARY_COMPUTER])
@pytest.mark.parametrize(
    "href",
    [
        "https://example.com/B02.tif",
        "https://blob.core.windows.net.example.com/c/B02.tif",
        "/data/B02.tif",
    ],
)
def test_hrefs_that_need_no_token_stay_as_they_are(tokens, profile, href):
    assert signer(profile)(href) == href
    assert tokens == []


def test_a_blob_is_signed_only_for_a_provider_that_signs(tokens):
    assert signer(EARTH_SEARCH)(BLOB) == BLOB
    assert signer(PLANETARY_COMPUTER)(BLOB) == f"{BLOB}?sig=secret1"
    assert tokens == [("account", "container")]


def test_azure_hrefs_become_signed_urls(tokens):
    sign = signer(EARTH_SEARCH, PLANETARY_COMPUTER)

    href = "abfs://container@account.dfs.core.windows.net/path/B02.tif"
    assert sign(href) == f"{BLOB}?sig=secret1"


def test_a_token_is_shared_by_threads_and_renewed_in_time(tokens, clock):
    sign = signer(PLANETARY_COMPUTER)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: sign(BLOB), range(50))) == {f"{BLOB}?sig=secret1"}

    clock.now += 3600 - 61
    assert sign(BLOB).endswith("secret1")
    clock.now += 2
    assert sign(BLOB).endswith("secret2")
    assert sign(BLOB.replace("container", "other")).endswith("secret3")
    assert len(tokens) == 3


def test_a_refused_token_is_renewed_once_for_all_threads(tokens, clock):
    sign = signer(PLANETARY_COMPUTER)
    sign(BLOB)
    clock.now += 60

    assert sign(BLOB, anew=True).endswith("secret2")
    assert sign(BLOB, anew=True).endswith("secret2")  # another thread's, refused at the same time
    clock.now += 60
    assert sign(BLOB, anew=True).endswith("secret3")


@pytest.mark.parametrize(
    ("status", "key", "said"),
    [
        (401, None, r"PC_SDK_SUBSCRIPTION_KEY is not set.*--s1 off"),
        (403, "wrong", r"PC_SDK_SUBSCRIPTION_KEY was not accepted"),
        (404, None, r"does not know the container \(HTTP 404\)"),
        (500, None, r"HTTP 500.*run the same command again"),
        (None, None, r"ValueError.*Check the network"),
    ],
)
def test_a_failure_is_one_line_without_the_token(monkeypatch, status, key, said):
    def request_token(account, container):
        if status is None:
            raise ValueError("unexpected answer: sig=secret")
        answer = requests.Response()
        answer.status_code = status
        raise requests.HTTPError("for https://host/token?sig=secret", response=answer)

    monkeypatch.setattr(module, "_request_token", request_token)
    monkeypatch.delenv("PC_SDK_SUBSCRIPTION_KEY", raising=False)
    if key:
        monkeypatch.setenv("PC_SDK_SUBSCRIPTION_KEY", key)

    with pytest.raises(ProviderError, match=said) as caught:
        signer(PLANETARY_COMPUTER)(BLOB)

    assert "secret" not in str(caught.value)
    assert "wrong" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__


class TokenHandler(BaseHTTPRequestHandler):
    """Gives a token, or leads on to where the server ``leads_to``."""

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        if self.server.leads_to:
            self.send_response(302)
            self.send_header("Location", self.server.leads_to.pop())
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        expiry = datetime.now(UTC) + timedelta(seconds=3600)
        body = json.dumps({"msft:expiry": expiry.isoformat(), "token": "sig=secret"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Say nothing."""


@contextmanager
def token_server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), TokenHandler)
    server.asked, server.leads_to = [], []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def subscribed(monkeypatch, socket_enabled):
    """A token server, its asked paths and headers; the environment has a subscription key."""
    with token_server() as server:
        monkeypatch.setenv("PC_SDK_SUBSCRIPTION_KEY", "correct-horse")
        monkeypatch.setenv("PC_SDK_SAS_URL", f"http://127.0.0.1:{server.server_port}/token")
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        Settings.get.cache_clear()
        yield server
        Settings.get.cache_clear()


def test_the_subscription_key_goes_to_its_host_alone(subscribed):
    with token_server() as other:
        subscribed.leads_to = [f"http://127.0.0.1:{other.server_port}/elsewhere", "/moved"]

        assert signer(PLANETARY_COMPUTER)(BLOB) == f"{BLOB}?sig=secret"

    assert [path for path, _ in subscribed.asked] == ["/token/account/container", "/moved"]
    assert {headers[module._KEY_HEADER] for _, headers in subscribed.asked} == {"correct-horse"}
    ((_, headers),) = other.asked
    assert "correct-horse" not in str(headers)


def test_a_token_server_that_redirects_for_ever_is_one_line(subscribed):
    subscribed.leads_to = ["/moved"] * 99

    with pytest.raises(ProviderError, match="gave no access token"):
        signer(PLANETARY_COMPUTER)(BLOB)

    assert len(subscribed.asked) < 10


def test_threads_that_waited_for_a_token_that_failed_do_not_ask_again(monkeypatch):
    asked, begun = [], threading.Barrier(8)

    def request_token(account, container):
        asked.append(container)
        time.sleep(0.2)
        raise ValueError("down")

    monkeypatch.setattr(module, "_request_token", request_token)
    sign = signer(PLANETARY_COMPUTER)

    def attempt(_):
        begun.wait()
        with pytest.raises(ProviderError, match="ValueError"):
            sign(BLOB)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(8)))
    assert len(asked) == 1


def test_a_token_goes_behind_a_query_that_is_there(tokens):
    assert signer(PLANETARY_COMPUTER)(f"{BLOB}?versionid=3") == f"{BLOB}?versionid=3&sig=secret1"


def test_an_unknown_profile_of_aws_is_one_line(keys, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")

    with pytest.raises(ProviderError, match="cannot be signed"):
        signer(CDSE)("s3://eodata/key")


def test_a_token_server_that_never_answers_ends_the_run_and_does_not_hang_it(monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(module, "_request_token", lambda *_: never.wait())
    monkeypatch.setattr(module, "_TOKEN_TIMEOUT_S", 0.05)

    with pytest.raises(ProviderError, match="TimeoutError"):
        signer(PLANETARY_COMPUTER)(BLOB)
    never.set()


@pytest.fixture
def keys(monkeypatch):
    """AWS as the tests want it, whatever the environment holds."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")


def test_s3_hrefs_are_signed_for_the_provider_s_endpoint(keys):
    url = urlsplit(signer(CDSE)("s3://eodata/Sentinel-2/a b/B02.jp2"))

    assert url.netloc == "eodata.dataspace.copernicus.eu"
    assert url.path == "/eodata/Sentinel-2/a%20b/B02.jp2"
    assert parse_qs(url.query)["X-Amz-Credential"][0].startswith("AKEXAMPLE/")
    assert "very-secret" not in url.geturl()


def test_the_environment_s_endpoint_wins(keys, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000")

    assert signer(CDSE)("s3://bucket/key").startswith("http://127.0.0.1:9000/bucket/key?")


def test_public_buckets_need_no_keys_and_endpoints_of_providers_do(keys, monkeypatch):
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    url = signer(EARTH_SEARCH)("s3://sentinel-cogs/a/B02.tif")
    assert url == "https://sentinel-cogs.s3.eu-central-1.amazonaws.com/a/B02.tif"
    with pytest.raises(ProviderError, match=r"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        signer(CDSE)("s3://eodata/key")


def test_without_botocore_one_line_says_what_to_install(keys, monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore.session", None)

    with pytest.raises(ProviderError, match=r"pip install lulcmap\[s3\]"):
        signer(CDSE)("s3://eodata/key")
