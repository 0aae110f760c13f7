"""Which hrefs of assets may be opened, and under what URL. Hrefs are data and are not trusted.

Anyone can write a catalogue. An href of it is opened only on http(s), S3 or Azure Blob Storage and
without credentials. A server in a private network is opened only if the catalogue itself is in
one; a local file only if the catalogue is a file, and inside the catalogue's root.
"""

import ipaddress
import os
import re
import socket
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, urlsplit

AZURE = ".blob.core.windows.net"
"""Suffix of Azure Blob Storage hosts."""

_LOCAL_NAMES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
"""Suffixes of names that are never public (RFC 6761, RFC 6762, RFC 8375, and by custom)."""

_BUCKET = re.compile(r"[A-Za-z0-9.\-_]{3,63}")
"""Names of S3 buckets."""


class HrefRefusedError(ValueError):
    """An href that may not be opened; the text says why and follows the words "the href"."""


def is_private(host: str) -> bool:
    """Whether a host is in a private network, judged by its name alone.

    A public name may still resolve to a private address; the connection then shows it.

    Examples:
        >>> is_private("10.0.0.7"), is_private("localhost"), is_private("example.com")
        (True, True, False)

    """
    name = host.strip("[]").rstrip(".").lower()
    try:
        return not ipaddress.ip_address(name).is_global
    except ValueError:
        return name == "localhost" or name.endswith(_LOCAL_NAMES) or "." not in name


@lru_cache(maxsize=64)
def resolves_to_private(host: str) -> bool:
    """Whether a host is private by its name, or resolves to a private address.

    Args:
        host: host of a catalogue; its name is looked up.

    """
    if is_private(host):
        return True
    try:
        addresses = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:  # behind a proxy, names may not resolve here
        return False
    return any(is_private(str(address[0]).partition("%")[0]) for *_, address in addresses)


def resolve_href(href: str, *, root: str | None, private: bool) -> str:
    """Location of an asset: the absolute path of a file, or the href itself.

    Args:
        href: href of the asset, as in the item.
        root: folder that relative hrefs start from, resolved; None if files are not allowed.
        private: whether servers in a private network are allowed.

    Raises:
        HrefRefusedError: the href may not be opened.

    """
    parts = urlsplit(href)
    if any(ord(letter) < 32 for letter in href):
        raise HrefRefusedError("contains a control character")
    if parts.scheme in ("http", "https", "s3", "az", "abfs", "abfss"):
        _check_remote(href, private=private)
        return href
    if root is None:
        raise HrefRefusedError("is not on http(s), s3 or az")
    path = os.path.realpath(Path(root) / href)
    if parts.scheme or href.startswith("/vsi") or not Path(path).is_relative_to(root):
        raise HrefRefusedError("is neither on http(s), s3 or az nor inside the folder")
    return path


def _check_remote(href: str, *, private: bool) -> None:
    parts = urlsplit(href)
    is_container = parts.scheme in ("abfs", "abfss") and parts.password is None
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


def azure_https_url(href: str, account: str | None) -> str:
    """The https URL of an ``az://`` or ``abfs://`` href; any other href unchanged.

    Args:
        href: ``az://container/path``, ``abfs://container/path`` or
            ``abfs://container@account.dfs.core.windows.net/path``.
        account: storage account for the first two forms, if known.

    Raises:
        HrefRefusedError: the account is not known.

    Examples:
        >>> azure_https_url("abfs://s2@acc.dfs.core.windows.net/a/B02.tif", None)
        'https://acc.blob.core.windows.net/s2/a/B02.tif'

    """
    parts = urlsplit(href)
    if parts.scheme not in ("az", "abfs", "abfss"):
        return href
    container, host = parts.username or parts.hostname or "", parts.hostname or ""
    named = host.partition(".")[0] if parts.username else account
    if not named:
        raise HrefRefusedError("names no storage account; set AZURE_STORAGE_ACCOUNT")
    return f"https://{named}{AZURE}/{container}{quote(parts.path, safe='/%')}"
