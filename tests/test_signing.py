"""Signing asks for a token only where one is needed, and never shows it."""

import warnings
from datetime import UTC, datetime, timedelta

import pytest

from lulcmap.errors import ProviderError
from lulcmap.signing import signer

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # its models are written for pydantic 1
    from planetary_computer import sas

BLOB = "https://account.blob.core.windows.net/container/path/B02.tif"


@pytest.fixture
def tokens(monkeypatch):
    """The containers tokens were asked for, in order."""
    asked = []

    def get_token(account, container, retry_total=10):
        asked.append((account, container))
        expiry = datetime.now(UTC) + timedelta(hours=1)
        return sas.SASToken(**{"msft:expiry": expiry, "token": "sig=secret"})

    monkeypatch.setattr(sas, "get_token", get_token)
    return asked


def test_a_provider_that_does_not_sign_has_no_signer():
    assert signer(False) is None


def test_a_blob_is_signed_for_its_own_container(tokens):
    assert signer(True)(BLOB) == f"{BLOB}?sig=secret"
    assert set(tokens) == {("account", "container")}


@pytest.mark.parametrize(
    "href",
    [
        "https://example.com/B02.tif",
        "https://blob.core.windows.net.example.com/c/B02.tif",
        "/data/B02.tif",
    ],
)
def test_other_hrefs_stay_as_they_are(tokens, href):
    assert signer(True)(href) == href
    assert tokens == []


def test_a_failure_is_one_line_without_the_token(monkeypatch):
    def get_token(account, container, retry_total):
        raise ValueError("unexpected answer: sig=secret")

    monkeypatch.setattr(sas, "get_token", get_token)

    with pytest.raises(ProviderError, match="subscription key") as caught:
        signer(True)(BLOB)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__
