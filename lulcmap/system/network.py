"""What the environment says of the network: proxies, and the certificates that are trusted.

Every request of the package goes by these rules, whatever library sends it.
"""

import ipaddress
import os
import re
import ssl
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from lulcmap.errors import UsageError

_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Environment variables that name certificates; the first one set counts."""


def proxy_of(url: str) -> str | None:
    """URL of the proxy for a request; None if it goes to the server itself.

    Args:
        url: URL of the request.

    """
    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    host = (parts.hostname or "").rstrip(".")
    if not proxy or bypasses(host, parts.port, proxies.get("no", "")) or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def bypasses(host: str, port: int | None, no_proxy: str) -> bool:
    """Whether a host is asked without a proxy, by the value of ``no_proxy``.

    Its entries are hosts with their subdomains (``example.org``, ``.example.org``), patterns
    (``*.example.org``, ``10.*``), addresses, and networks (``10.0.0.0/8``, ``fd00::/8``); each but
    a network may end in a port.

    Args:
        host: host of the request, without brackets.
        port: port of the request, if its URL has one.
        no_proxy: entries, separated by commas or spaces.

    Examples:
        >>> bypasses("10.1.2.3", None, "example.org, 10.0.0.0/8")
        True
        >>> bypasses("data.example.org", 443, "example.org:8080")
        False

    """
    host = host.lower()
    entries = [entry for entry in re.split(r"[,;\s]+", no_proxy.lower()) if entry]
    return any(_covers(entry, host, port) for entry in entries)


def _covers(entry: str, host: str, port: int | None) -> bool:
    address = _address(host)
    if "/" in entry:
        try:
            network = ipaddress.ip_network(entry.replace("[", "").replace("]", ""), strict=False)
        except ValueError:
            return False
        return address is not None and address.version == network.version and address in network
    match = re.fullmatch(
        r"\[(?P<v6>[^\]]*)\](?::(?P<a>\d+))?|(?P<name>[^:]*)(?::(?P<b>\d+))?", entry
    )
    name = entry if match is None else match["v6"] or match["name"] or ""  # no match: bare IPv6
    wanted = match and (match["a"] or match["b"])
    if wanted and int(wanted) != port:
        return False
    if address is not None and _address(name) is not None:
        return address == _address(name)
    if "*" in name:
        return fnmatchcase(host, name) or f"*.{host}" == name
    name = name.strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def ca_bundle() -> str:
    """Path of the trusted certificates, a file or a folder: the environment's, or else certifi's.

    Raises:
        UsageError: an environment variable names something else.

    """
    for variable in _CERTIFICATES:
        if path := os.environ.get(variable):
            # OpenSSL takes several folders; the first that exists is used.
            folders = path.split(os.pathsep) if variable == "SSL_CERT_DIR" else [path]
            path = next((folder for folder in folders if Path(folder).exists()), path)
            _check_certificates(variable, path)
            return path
    import certifi

    return certifi.where()


@lru_cache
def _check_certificates(variable: str, path: str) -> None:
    """Check that certificates can be read, once: else each connection would fail by itself."""
    is_folder = Path(path).is_dir()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(
            cafile=None if is_folder else path, capath=path if is_folder else None
        )
    except OSError as error:
        found = "cannot be read" if Path(path).exists() else "does not exist"
        if isinstance(error, ssl.SSLError):
            found = "holds no certificate in PEM format"
        raise UsageError(
            f"{variable} is {path}, which {found}. Give the path of the certificates to trust, "
            "or unset it."
        ) from None
