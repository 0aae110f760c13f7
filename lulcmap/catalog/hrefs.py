"""Hrefs of assets: data, not trust. Which of them may be opened, and under what URL.

A catalogue may be anyone's. What it names is opened only if it is on http(s), S3 or Azure's blobs,
without credentials and, unless the catalogue itself is in a private network, not there either; a
file only from a catalogue that is a file, and inside its root.
"""

import ipaddress
import os
import re
import socket
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, urlsplit

AZURE = ".blob.core.windows.net"
"""Hosts of Azure Blob Storage end so."""

_LOCAL_NAMES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
"""Names that are never of the internet (RFC 6761, RFC 6762, RFC 8375, and custom)."""


_BUCKET = re.compile(r"[A-Za-z0-9.\-_]{3,63}")
"""Names of S3's buckets."""


class RefusedError(ValueError):
    """An href that is not opened; the text says why, in words that follow "the href"."""


def is_private(host: str) -> bool:
    """Whether a host lies in a private network, as far as its name tells.

    A public name may still lead to a private address; that shows when it is connected to.

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
def leads_into_a_private_network(host: str) -> bool:
    """Whether a host is private by its name, or by an address that its name has now.

    Args:
        host: of a catalogue; its name is looked up.

    """
    if is_private(host):
        return True
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:  # behind a proxy names may be unknown here
        return False
    return any(is_private(str(address[0]).partition("%")[0]) for *_, address in found)


def resolve_href(href: str, *, root: str | None, private: bool) -> str:
    """Where an asset is: the absolute path of a file, or the href itself.

    Args:
        href: as the item has it.
        root: folder that relative hrefs start from, resolved; None where files are not allowed.
        private: whether servers in a private network are allowed.

    Raises:
        RefusedError: it must not be opened.

    """
    parts = urlsplit(href)
    if any(ord(letter) < 32 for letter in href):
        raise RefusedError("has a control character in it")
    if parts.scheme in ("http", "https", "s3", "az", "abfs", "abfss"):
        _check_remote(href, private=private)
        return href
    if root is None:
        raise RefusedError("is not on http(s), s3 or az")
    path = os.path.realpath(Path(root) / href)
    if parts.scheme or href.startswith("/vsi") or not Path(path).is_relative_to(root):
        raise RefusedError("is neither on http(s), s3 or az nor inside the folder")
    return path


def _check_remote(href: str, *, private: bool) -> None:
    parts = urlsplit(href)
    is_container = parts.scheme in ("abfs", "abfss") and parts.password is None
    try:
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise RefusedError("has no host")
    if parts.scheme == "s3" and not (_BUCKET.fullmatch(parts.netloc) and parts.path.strip("/")):
        raise RefusedError("is no bucket and key")
    if (parts.username is not None and not is_container) or parts.password is not None:
        raise RefusedError("holds a user name or password")
    if parts.scheme in ("http", "https") and not private and is_private(host):
        raise RefusedError("leads into a private network")


def https_of_azure(href: str, account: str | None) -> str:
    """The https URL of a blob that is named ``az://`` or ``abfs://``; another href as it is.

    Args:
        href: ``az://container/path``, ``abfs://container/path`` or
            ``abfs://container@account.dfs.core.windows.net/path``.
        account: the storage account of the first two forms, if known.

    Raises:
        RefusedError: the account is not known.

    Examples:
        >>> https_of_azure("abfs://s2@acc.dfs.core.windows.net/a/B02.tif", None)
        'https://acc.blob.core.windows.net/s2/a/B02.tif'

    """
    parts = urlsplit(href)
    if parts.scheme not in ("az", "abfs", "abfss"):
        return href
    container, host = parts.username or parts.hostname or "", parts.hostname or ""
    named = host.partition(".")[0] if parts.username else account
    if not named:
        raise RefusedError("names no storage account; set AZURE_STORAGE_ACCOUNT")
    return f"https://{named}{AZURE}/{container}{quote(parts.path, safe='/%')}"
