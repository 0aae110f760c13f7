"""Which hrefs may be opened: addresses in every spelling, schemes, accounts, files."""

import ipaddress
import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lulcmap.catalog import hrefs as module
from lulcmap.catalog.hrefs import (
    HrefRefusedError,
    azure_https_url,
    is_private,
    resolve_href,
    resolves_to_private,
)

V4 = st.ip_addresses(v=4)
V6 = st.ip_addresses(v=6)


CARRIERS = [
    ipaddress.ip_network(text)
    for text in (
        "::/96",
        "::ffff:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
    )
]
"""Networks of IPv6 addresses that stand for IPv4 ones."""


def is_public(address):
    """The oracle: what the standard library says of an address that carries no other."""
    return address.is_global and not address.is_multicast and not address.is_reserved


def embedded(prefix, address, length):
    """An IPv4 address in an IPv6 one, behind a prefix of some bits (RFC 6052, section 2.2)."""
    bits = f"{int(ipaddress.IPv6Address(prefix)):0128b}"[:length] + f"{int(address):032b}"
    bits = bits if length == 96 else bits[:64] + "0" * 8 + bits[64:]
    return str(ipaddress.IPv6Address(int(bits.ljust(128, "0"), 2)))


def spellings(address):
    """An IPv4 address in the spellings that resolvers and IPv6 have for it."""
    number, parts = int(address), [int(part) for part in str(address).split(".")]
    low = f"{number >> 16:x}:{number & 0xFFFF:x}"
    flipped = number ^ 0xFFFFFFFF
    yield from (str(address), f"{address}.", str(number), f"0x{number:x}", f"0{number:o}")
    yield ".".join(f"0x{part:X}" for part in parts)
    yield ".".join(f"0{part:o}" for part in parts)
    yield f"{parts[0]}.{number & 0xFFFFFF}"
    yield f"{parts[0]}.{parts[1]}.{number & 0xFFFF}"
    yield "".join(chr(ord(c) + 0xFEE0) for c in str(address))  # full width
    yield "".join(f"%{ord(letter):02X}" for letter in str(address))
    yield from (f"::ffff:{low}", f"[::ffff:{address}]", f"64:ff9b::{low}", f"2002:{low}::")
    yield f"2001:0:4136:e378:8000:63bf:{flipped >> 16:x}:{flipped & 0xFFFF:x}"
    yield f"2a00:1450::5efe:{low}"
    yield f"64:ff9b:1::{low}"
    yield embedded("64:ff9b:1::", address, 48)


@given(V4)
@example(ipaddress.ip_address("127.0.0.1"))
@example(ipaddress.ip_address("10.0.0.1"))
@example(ipaddress.ip_address("169.254.169.254"))
@example(ipaddress.ip_address("100.64.0.1"))
@example(ipaddress.ip_address("224.0.0.1"))
@example(ipaddress.ip_address("52.239.148.4"))
def test_an_ipv4_address_counts_as_what_it_is_in_every_spelling(address):
    for spelling in spellings(address):
        assert is_private(spelling) == (not is_public(address)), spelling


@given(V4)
def test_ipv4_compatible_addresses_count_as_what_they_carry(address):
    compatible = ipaddress.IPv6Address(int(address))

    assert is_private(str(compatible)) == (not is_public(address))


@given(V6)
@example(ipaddress.ip_address("::"))
@example(ipaddress.ip_address("::1"))
@example(ipaddress.ip_address("fd00:ec2::254"))
@example(ipaddress.ip_address("fec0::1"))
@example(ipaddress.ip_address("ff0e::1"))
@example(ipaddress.ip_address("fe80::1"))
def test_no_ipv6_address_is_public_that_is_not_global(address):
    if any(address in network for network in CARRIERS):
        return
    for spelling in (str(address), f"[{address.exploded}]", f"{address}%eth0"):
        if not is_private(spelling):
            assert is_public(address)
            assert not address.is_site_local


@pytest.mark.parametrize(
    ("host", "private"),
    [
        *[("localhost", True), ("LOCALHOST.", True), ("a.localhost", True), ("nas.local", True)],
        *[("intranet", True), ("metadata.google.internal", True), ("", True)],
        *[("127\u30020.0.1", True), ("0x7f.1", True), ("2130706433", True), ("134744072", False)],
        *[("example.org", False), ("example.org.", False), ("2603:1030::1", False)],
        *[("10.example.org", False), ("0x7f.example.org", False), ("1.2.3.4.example.org", False)],
    ],
)
def test_names_are_private_or_not(host, private):
    assert is_private(host) == private


@pytest.mark.parametrize(
    ("addresses", "private"),
    [
        (["10.1.2.3"], True),
        (["10.1.2.3", "fd00::1"], True),
        (["10.1.2.3", "52.239.148.4"], False),
        (["52.239.148.4", "127.0.0.1"], False),
        (["::ffff:10.1.2.3", "fe80::1%eth0"], True),
        ([], False),
    ],
)
def test_a_catalogue_is_private_only_if_all_its_addresses_are(monkeypatch, addresses, private):
    found = [(0, 1, 6, "", (address, 0)) for address in addresses]
    monkeypatch.setattr(module.socket, "getaddrinfo", lambda *_, **__: found)
    resolves_to_private.cache_clear()

    assert resolves_to_private("stac.company.example") == private
    resolves_to_private.cache_clear()


def refused(href, *, root=None, private=False, accounts=None):
    with pytest.raises(HrefRefusedError) as caught:
        resolve_href(href, root=root, private=private, accounts=accounts or {})
    return str(caught.value)


@pytest.mark.parametrize(
    ("href", "said"),
    [
        ("gs://bucket/B02.tif", "is on gs://; only http(s), s3 and az are read"),
        ("ftp://example.org/B02.tif", "is on ftp://; only http(s), s3 and az are read"),
        ("az://container/B02.tif", "names no storage account; set AZURE_STORAGE_ACCOUNT"),
        ("abfs://container/B02.tif", "names no storage account; set AZURE_STORAGE_ACCOUNT"),
        ("https://me:pass@example.org/B02.tif", "contains a user name or password"),
        ("http://example.org\\@10.0.0.1/B02.tif", "has a host that is not one"),
        ("http://[bad/B02.tif", "is not valid"),
        ("http://2130706433/B02.tif", "leads into a private network"),
        ("https://[64:ff9b::a9fe:a9fe]/B02.tif", "leads into a private network"),
        ("s3://bucket", "is not a bucket and a key"),
    ],
)
def test_an_href_that_is_not_opened_says_why_and_shows_no_secret(monkeypatch, href, said):
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT", raising=False)

    assert refused(href) == said
    assert refused(href, root="/data") == said


def test_the_account_of_a_container_is_the_profile_s_or_the_environment_s(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "mine")
    known = {"s2": "theirs"}

    assert azure_https_url("az://s2/a b.tif", known) == (
        "https://theirs.blob.core.windows.net/s2/a%20b.tif"
    )
    assert azure_https_url("abfs://own/a.tif", known) == (
        "https://mine.blob.core.windows.net/own/a.tif"
    )
    assert azure_https_url("abfss://s2@acc.dfs.core.windows.net/a.tif", known) == (
        "https://acc.blob.core.windows.net/s2/a.tif"
    )


def test_a_link_inside_the_folder_does_not_lead_out_of_it(tmp_path):
    root = tmp_path / "archive"
    root.mkdir()
    (tmp_path / "secret.tif").write_bytes(b"")
    (root / "link.tif").symlink_to(tmp_path / "secret.tif")
    (root / "folder").symlink_to(tmp_path)
    real = os.path.realpath(root)

    for href in ("link.tif", "folder/secret.tif", "../secret.tif", str(tmp_path / "secret.tif")):
        assert "inside the folder" in refused(href, root=real)
