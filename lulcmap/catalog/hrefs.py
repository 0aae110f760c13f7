"""Which hrefs of assets may be opened, and under what URL. Hrefs are data and are not trusted.

Anyone can write a catalogue. An href of it is opened only on http(s), S3 or Azure Blob Storage and
without credentials. A server in a private network is opened only if the catalogue itself is in
one; a local file only if the catalogue is a file, and inside the catalogue's root.
"""

import ipaddress
import os
import re
import socket
import unicodedata
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote, unquote, urlsplit

AZURE = ".blob.core.windows.net"
"""Suffix of Azure Blob Storage hosts."""

_AZURE_SCHEMES = ("az", "abfs", "abfss")
_NO_ACCOUNTS: Mapping[str, str] = MappingProxyType({})

_LOCAL_NAMES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
"""Suffixes of names that are never public (RFC 6761, RFC 6762, RFC 8375, and by custom)."""

_NUMBERS = re.compile(r"(0x[0-9a-f]*|\d+)(\.(0x[0-9a-f]*|\d+)){0,3}")
"""IPv4 addresses in the spellings of ``inet_aton``, in lower case."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
_COMPATIBLE = ipaddress.ip_network("::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)
"""IPv6 addresses that stand for IPv4 ones (RFC 6052, RFC 8215, RFC 4291), and the first half of
the interface in those that do in any network (RFC 5214)."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_CONTROL = re.compile(r"[\x00-\x1f]")

_PLAIN = re.compile(r"https?://([a-z0-9-]+(?:\.[a-z0-9-]+)+)/[A-Za-z0-9/._~+-]*", re.ASCII)
"""URLs of nothing but a host and a path of letters that mean themselves: no user, port, query,
fragment, escape, space or control character. Most hrefs are such; of them the host alone decides,
and there is nothing in them to be a key."""

_ALL_PLAIN = re.compile(
    r"https?://([a-z0-9-]+(?:\.[a-z0-9-]+)+)/[A-Za-z0-9/._~+-]*"
    r"(?:\nhttps?://\1/[A-Za-z0-9/._~+-]*)*",
    re.ASCII,
)
"""Lines that are such URLs of one host."""

_BUCKET = re.compile(r"[A-Za-z0-9.\-_]{3,63}")
"""Names of S3 buckets."""


class HrefRefusedError(ValueError):
    """An href that may not be opened; the text says why and follows the words "the href"."""


@lru_cache(maxsize=256)
def is_private(host: str) -> bool:
    """Whether a host is in a private network, judged by its name or address alone.

    Addresses count as what they carry: IPv4 in IPv6 as IPv4, in whichever spelling. A public name
    may still resolve to a private address; the connection then shows it.

    Args:
        host: host of a URL, or an address as a socket gives it.

    Examples:
        >>> is_private("10.0.0.7"), is_private("localhost"), is_private("example.com")
        (True, True, False)
        >>> is_private("0x7f.1"), is_private("[::ffff:10.0.0.7]"), is_private("64:ff9b::a00:7")
        (True, True, True)

    """
    name = unicodedata.normalize("NFKC", unquote(host)).replace("\u3002", ".")
    name = name.strip("[]").partition("%")[0].rstrip(".").lower()
    address = _address(name)
    if address is None:
        return name == "localhost" or name.endswith(_LOCAL_NAMES) or "." not in name
    if isinstance(address, ipaddress.IPv6Address):
        address = _carried(address) or address
    return not _is_public(address)


def _is_public(address: _Address) -> bool:
    is_apart = address.is_multicast or address.is_reserved
    return address.is_global and not is_apart and not getattr(address, "is_site_local", False)


def _address(name: str) -> _Address | None:
    """The address that a name is, in any spelling that resolvers take; None for other names."""
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        pass
    if not _NUMBERS.fullmatch(name):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(name))  # 2130706433, 0x7f.1, 0177.0.0.1
    except OSError:
        return None


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for; None if it stands for itself."""
    number = int(address)
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _LOCAL_NAT64:
        return _translated(number)
    is_tunnel = (number >> 32) & 0xFFFFFFFF in _ISATAP
    if address in _NAT64 or address in _COMPATIBLE or is_tunnel:
        return ipaddress.IPv4Address(number & 0xFFFFFFFF)
    return None


def _translated(number: int) -> ipaddress.IPv4Address:
    """The IPv4 address in an IPv6 one behind a prefix of 48 bits, or else of 96.

    The former leaves the bits 64 to 71 out, and those after the address are 0 (RFC 6052, 2.2).
    """
    if number & ((1 << 40) - 1) == 0:
        return ipaddress.IPv4Address((number >> 64 & 0xFFFF) << 16 | (number >> 40 & 0xFFFF))
    return ipaddress.IPv4Address(number & 0xFFFFFFFF)


@lru_cache(maxsize=64)
def resolves_to_private(host: str) -> bool:
    """Whether a host is private by its name, or all addresses it resolves to are.

    A name with a public address too is public: else whoever owns it could let a catalogue in the
    internet lead into a private network.

    Args:
        host: host of a catalogue; its name is looked up.

    """
    if is_private(host):
        return True
    try:
        addresses = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # behind a proxy, names may not resolve here
        return False
    return bool(addresses) and all(is_private(str(address[0])) for *_, address in addresses)


def resolve_href(
    href: str, *, root: str | None, private: bool, accounts: Mapping[str, str] = _NO_ACCOUNTS
) -> str:
    """Location of an asset: the absolute path of a file, or the href itself.

    Args:
        href: href of the asset, as in the item.
        root: folder that relative hrefs start from, resolved; None if files are not allowed.
        private: whether servers in a private network are allowed.
        accounts: storage account of each Azure container that is known: ``azure_accounts`` of a
            profile.

    Raises:
        HrefRefusedError: the href may not be opened.

    """
    if (host := plain_host(href)) is not None:
        if not private and is_private(host):
            raise HrefRefusedError("leads into a private network")
        return href
    try:
        parts = urlsplit(href)
    except ValueError:
        raise HrefRefusedError("is not valid") from None
    if _CONTROL.search(href):
        raise HrefRefusedError("contains a control character")
    if parts.scheme in ("http", "https", "s3", *_AZURE_SCHEMES):
        _check_remote(href, private=private)
        azure_https_url(href, accounts)
        return href
    if "://" in href and parts.scheme != "file":
        raise HrefRefusedError(f"is on {parts.scheme}://; only http(s), s3 and az are read")
    if root is None:
        raise HrefRefusedError("is not on http(s), s3 or az")
    path = os.path.realpath(Path(root) / href)
    if parts.scheme or href.startswith("/vsi") or not Path(path).is_relative_to(root):
        raise HrefRefusedError("is neither on http(s), s3 or az nor inside the folder")
    return path


@lru_cache(maxsize=64)  # the bands of one item, each of which is asked about several times
def plain_host(href: str) -> str | None:
    """The host of an http(s) URL that is a host and a path and no more; None of any other href."""
    match = _PLAIN.fullmatch(href)
    return match[1] if match else None


@lru_cache(maxsize=8)  # those of one item, which are asked about several times
def shared_host(hrefs: tuple[str, ...]) -> str | None:
    """The host of hrefs that all have it as ``plain_host``; None of any others."""
    lines = "\n".join(hrefs)
    match = _ALL_PLAIN.fullmatch(lines)
    return match[1] if match and lines.count("\n") == len(hrefs) - 1 else None


def _check_remote(href: str, *, private: bool) -> None:
    parts = urlsplit(href)
    is_container = parts.scheme in _AZURE_SCHEMES and parts.password is None
    if "\\" in parts.netloc or any(letter.isspace() for letter in parts.netloc):
        raise HrefRefusedError("has a host that is not one")
    try:
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise HrefRefusedError("has no host")
    if parts.scheme == "s3" and not (_BUCKET.fullmatch(parts.netloc) and parts.path.strip("/")):
        raise HrefRefusedError("is not a bucket and a key")
    if (parts.username is not None and not is_container) or parts.password is not None:
        raise HrefRefusedError("contains a user name or password")
    if parts.scheme in ("http", "https") and not private and is_private(host):
        raise HrefRefusedError("leads into a private network")


def azure_https_url(href: str, accounts: Mapping[str, str]) -> str:
    """The https URL of an ``az://`` or ``abfs://`` href; any other href unchanged.

    Args:
        href: ``az://container/path``, ``abfs://container/path`` or
            ``abfs://container@account.dfs.core.windows.net/path``.
        accounts: storage account of each container, for the first two forms; of any other
            container it is ``AZURE_STORAGE_ACCOUNT``.

    Raises:
        HrefRefusedError: the account is not known.

    Examples:
        >>> azure_https_url("abfs://s2@acc.dfs.core.windows.net/a/B02.tif", {})
        'https://acc.blob.core.windows.net/s2/a/B02.tif'

    """
    parts = urlsplit(href)
    if parts.scheme not in _AZURE_SCHEMES:
        return href
    container, host = parts.username or parts.hostname or "", parts.hostname or ""
    account = accounts.get(container) or os.environ.get("AZURE_STORAGE_ACCOUNT")
    named = host.partition(".")[0] if parts.username else account
    if not named:
        raise HrefRefusedError("names no storage account; set AZURE_STORAGE_ACCOUNT")
    return f"https://{named}{AZURE}/{container}{quote(parts.path, safe='/%')}"


def any_blob(hrefs: Collection[str], accounts: Mapping[str, str]) -> bool:
    """Whether one of some hrefs leads to Azure Blob Storage, and its account is known.

    Args:
        hrefs: hrefs of assets.
        accounts: as of ``azure_https_url``.

    """
    are_http = {href[:7] for href in hrefs} <= {"https:/", "http://"}
    if are_http and AZURE not in "".join(hrefs):
        return False  # as most are in a large catalogue, without being taken apart
    return any(_is_blob(href, accounts) for href in hrefs)


def _is_blob(href: str, accounts: Mapping[str, str]) -> bool:
    is_on_azure = f"{AZURE}/" in href
    try:
        parts = urlsplit(href)
        if parts.scheme in _AZURE_SCHEMES:
            return bool(parts.username) or parts.hostname in accounts
    except ValueError:
        return False
    return is_on_azure
