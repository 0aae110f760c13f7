"""Proxies and certificates of the environment, alike for all requests."""

import ipaddress
from pathlib import Path

import certifi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.errors import UsageError
from lulcmap.system.network import bypasses, ca_bundle, proxy_of

VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """An environment without any of the variables."""
    for name in (*VARIABLES, *PROXIES, *map(str.upper, PROXIES)):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("no_proxy", "host", "covered"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3/8", "10.9.9.9", True),
        ("example.org, 10.0.0.0/8", "10.1.2.3", True),
        ("fd00::/8", "fd00::7", True),
        ("[fd00::]/8", "fd00::7", True),
        ("fd00::/8", "fe80::7", False),
        ("10.0.0.0/8", "fd00::7", False),
        ("0.0.0.0/0", "example.org", False),
        ("::1", "::1", True),
        ("[::1]", "::1", True),
        ("[::1]:443", "::1", True),
        ("[::1]:80", "::1", False),
        ("0:0::1", "::1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1:80", "127.0.0.1", False),
        ("10.*", "10.1.2.3", True),
        ("example.org", "example.org", True),
        ("example.org", "data.example.org", True),
        ("example.org", "notexample.org", False),
        (".example.org", "data.example.org", True),
        (".example.org", "example.org", True),
        ("*.example.org", "data.example.org", True),
        ("*.example.org", "example.org", True),
        ("*.example.org", "example.com", False),
        ("EXAMPLE.org", "Data.Example.ORG", True),
        ("example.org:443", "data.example.org", True),
        ("example.org:8080", "data.example.org", False),
        ("a.example b.example", "b.example", True),
        ("*", "example.org", True),
        ("*", "10.1.2.3", True),
        ("a.example,*", "example.org", True),
        ("", "example.org", False),
        (",, ,", "example.org", False),
        (".", "example.org", False),
        ("10.0.0.0/99", "10.1.2.3", False),
        ("a/b/c:d:e", "10.1.2.3", False),
    ],
)
def test_no_proxy_covers_hosts_patterns_addresses_and_networks(no_proxy, host, covered):
    assert bypasses(host, 443, no_proxy) == covered


@given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 32))
def test_a_network_covers_the_addresses_in_it(address, other, length):
    network = ipaddress.ip_network(f"{other}/{length}", strict=False)

    covered = bypasses(str(address), None, f"example.org,{network}")

    assert covered == (address.version == network.version and address in network)


@given(st.text(max_size=30), st.text(max_size=20))
def test_any_no_proxy_is_read(no_proxy, host):
    assert bypasses(host, None, no_proxy) in (True, False)


def test_the_proxy_is_the_scheme_s_or_that_for_all(monkeypatch):
    assert proxy_of("https://example.org/a") is None

    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "user:pass@127.0.0.1:3128")
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,fd00::/8")

    assert proxy_of("https://example.org/a") == "http://user:pass@127.0.0.1:3128"
    assert proxy_of("http://example.org/a") == "socks5://127.0.0.1:9"
    assert proxy_of("http://10.2.3.4:8080/a") is proxy_of("https://[fd00::1]/a") is None


@pytest.mark.parametrize("variable", VARIABLES)
def test_certificates_that_cannot_be_used_are_one_line(monkeypatch, tmp_path, variable):
    text = tmp_path / "text.pem"
    text.write_text("no certificate")

    monkeypatch.setenv(variable, str(tmp_path / "none.pem"))
    with pytest.raises(UsageError, match=rf"^{variable} is .*none\.pem, which does not exist"):
        ca_bundle()
    monkeypatch.setenv(variable, str(text))
    with pytest.raises(UsageError, match=f"^{variable} is .*which holds no certificate in PEM"):
        ca_bundle()


def test_certificates_are_certifi_s_unless_the_environment_names_others(monkeypatch, tmp_path):
    assert ca_bundle() == certifi.where()

    for variable in reversed(VARIABLES):  # the first of them counts
        path = tmp_path / f"{variable}.pem"
        path.write_bytes(Path(certifi.where()).read_bytes())
        monkeypatch.setenv(variable, str(path))
        assert ca_bundle() == str(path)
    for variable in VARIABLES[:3]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("SSL_CERT_DIR", f"/none:{tmp_path}")
    assert ca_bundle() == str(tmp_path)
