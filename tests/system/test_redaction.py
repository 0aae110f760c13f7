"""No secret survives redaction, wherever in a URL or a text it stands."""

import json
import logging

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lulcmap.cli.app import configure_logging
from lulcmap.system.redaction import (
    may_hold_keys,
    without_keys,
    without_keys_in,
    without_secrets,
)

NAMES = (
    *("token", "access_token", "api_key", "apikey", "API-Key", "key", "subscription-key"),
    *("sig", "Signature", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token"),
    *("X-Goog-Signature", "AWSAccessKeyId", "sv", "se", "sp", "password", "secret", "jwt", "code"),
)

SECRETS = st.text(
    st.sampled_from("abcdefghijkmnopqrstuvwxyzABCDEFGHIJKLMNPQRSTUVWXYZ0123456789+/=%._~-"),
    min_size=12,
    max_size=60,
).map(lambda text: f"Q7{text}")


@st.composite
def urls(draw):
    """A URL and the secret in it: in the query, as user, password, or fragment."""
    secret = draw(SECRETS)
    quoted = secret.replace("/", "%2F").replace("=", "%3D")
    name = draw(st.sampled_from(NAMES))
    name = draw(st.sampled_from([name, name.upper(), name.title()]))
    host = draw(st.sampled_from(["example.org", "example.org:8443", "10.0.0.1", "[fd00::1]"]))
    path = draw(st.sampled_from(["", "/", "/a/b.tif", "/@scope/b.tif"]))
    url = draw(
        st.sampled_from(
            [
                f"https://{host}{path}?{name}={secret}",
                f"https://{host}{path}?limit=10&{name}={secret}&bbox=1,2,3,4",
                f"https://{host}{path}?a=b;{name}={secret}",
                f"https://{host}{path}?{secret}",
                f"https://{host}{path}#{name}={secret}",
                f"https://{host}{path}?x=1#{secret}",
                f"https://me:{quoted}@{host}{path}",
                f"https://{quoted}@{host}{path}",
                f"s3://me:{quoted}@bucket{path}?versionid=3",
            ]
        )
    )
    return url, secret, quoted


@given(urls(), st.sampled_from(["{}", "see {} now", "'{}'", "({})", '"{}",', "a {}\nb"]))
@example(("https://example.org?Q7abcdefghij=", "Q7abcdefghij=", "Q7abcdefghij%3D"), "({})")
@example(("https://example.org?Q7abcdefghij==", "Q7abcdefghij==", "Q7abcdefghij%3D%3D"), "[{}].")
def test_no_secret_of_a_url_is_left_in_a_text(made, frame):
    url, secret, quoted = made
    said = without_secrets(frame.format(url))

    assert secret not in said
    assert quoted not in said
    assert without_secrets(said) == said


@given(urls())
def test_no_key_is_left_in_a_url_or_in_json(made):
    url, secret, quoted = made
    bare = without_keys(url)
    kept = json.dumps(without_keys_in({"a": [{"text": f"from {url}"}, url], "n": 1}))

    for text in (bare, kept):
        assert secret not in text
        assert quoted not in text
    assert without_keys(bare) == bare


@given(st.sampled_from(NAMES[:4] + NAMES[6:13]), SECRETS, st.sampled_from(["{}={}", "'{}': '{}'"]))
def test_no_pair_of_a_name_and_a_secret_is_left(name, secret, frame):
    assert secret not in without_secrets(frame.format(name, secret))


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer QSECRETQ",
        "'authorization': 'Basic QSECRETQ=='",
        "{'Ocp-Apim-Subscription-Key': 'QSECRETQ'}",
        'GET /a/b?x=1&sig=QSECRETQ HTTP/1.1" 206',
        "Set-Cookie: QSECRETQ",
        "https%3A%2F%2Fexample.org%2Fa%3Ftoken%3DQSECRETQ",
        "Cannot connect to proxy http://me:QSECRETQ@proxy:3128",
        "https://me:QSEC/RETQ@example.org/a",
    ],
)
def test_headers_paths_and_proxies_are_masked(text):
    assert "RETQ" not in without_secrets(text)


def test_values_of_the_environment_s_secrets_are_masked_anywhere(monkeypatch):
    monkeypatch.setenv("PC_SDK_SUBSCRIPTION_KEY", "correct-horse")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "battery/staple")
    monkeypatch.setenv("X_TOKEN", "a")

    said = without_secrets("denied: correct-horse at a /x/battery/staple/y")

    assert said == "denied: *** at a /x/***/y"


@pytest.mark.parametrize(
    "text",
    [
        "No scene of area was found from 2024-01-01 to 2024-12-31 in https://example.org/stac.",
        "The Planetary Computer gave no access token for sentinel2-l2 of sentinel2l2a01.",
        "S2A_MSIL2A_20240101T100000_N0510_R022_T31UFQ: B02 could not be read: HTTP 404.",
        "see https://example.org/docs#section (https://example.org/a?limit=3)",
        "the key of the map: what is it?",
    ],
)
def test_texts_without_secrets_stay_as_they_are(text):
    assert without_secrets(text).replace("#***", "#section") == text


def test_harmless_values_and_links_into_pages_stay():
    item = {
        "stac_extensions": ["https://stac-extensions.github.io/eo/v1.1.0/schema.json"],
        "properties": {"doi": "https://doi.org/10.5270/S2_", "s2:token": "x", "eo:cloud": 1.5},
        "bbox": [1, 2, 3, 4],
    }

    kept = without_keys_in(item)

    assert kept == {**item, "properties": {**item["properties"]}} | {
        "properties": {"doi": "https://doi.org/10.5270/S2_", "eo:cloud": 1.5}
    }
    assert without_keys("https://example.org/a.tif?versionId=3") == (
        "https://example.org/a.tif?versionId=3"
    )


def test_deep_values_end():
    deep = leaf = []
    for _ in range(5000):
        leaf.append([])
        leaf = leaf[0]

    assert len(json.dumps(without_keys_in(deep))) < 1000


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_log_masks_secrets_in_messages_and_tracebacks(capsys, log_format):
    configure_logging(verbose=2, quiet=False, log_format=log_format)
    logger = logging.getLogger("urllib3.connectionpool")
    try:
        raise ValueError("https://example.org/a?access_token=QSECRETQ")
    except ValueError:
        logger.exception("Retrying: /a?apikey=QSECRETQ")
    said = capsys.readouterr().err
    configure_logging(verbose=0, quiet=False, log_format="text")

    assert "Retrying" in said
    assert "QSECRETQ" not in said


@given(
    st.recursive(
        st.text() | st.sampled_from(["https://a.org/b", "s3://a", "a:b"]),
        lambda values: (
            st.lists(values, max_size=3)
            | st.dictionaries(
                st.text(max_size=5)
                | st.sampled_from(["x:Api_Key", "to\u212aen", "COOKIE", "a-pwd", "Authorization"])
                | st.sampled_from(["passwd", "a.password", "\u017fig", "credential", "secret"]),
                values,
                max_size=3,
            )
        ),
    )
)
def test_a_text_that_holds_no_keys_says_what_it_said(value):
    text = json.dumps(value)

    assert may_hold_keys(text) or without_keys_in(value) == value
