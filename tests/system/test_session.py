"""Sessions obey the environment's proxies and certificates: real servers on the loopback."""

import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from lulcmap.errors import UsageError
from lulcmap.system import TooLargeError, open_session, read_answer

VARIABLES = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)


class Echo(BaseHTTPRequestHandler):
    """Answers with the address that it was asked for: in full, if it is asked as a proxy."""

    def do_GET(self):
        self.server.asked.append(self.path)
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def serve(socket_enabled, monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    running = []

    def run(context=None):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
        server.asked = []
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        running.append((server, thread))
        return server

    yield run
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


def fetch(url):
    with open_session() as session, session.get(url, stream=True, timeout=10) as response:
        return read_answer(response, 1000).decode()


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("", False),
        ("example.com", False),
        ("10.0.0.0/8, 192.168.0.0/16", False),
        ("127.0.0.1", True),
        ("example.com,127.0.0.0/8", True),
        ("*", True),
    ],
)
@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
def test_a_session_uses_the_proxy_unless_the_host_needs_none(
    serve, monkeypatch, name, no_proxy, direct
):
    server, proxy = serve(), serve()
    monkeypatch.setenv(name, f"http://me:secret@127.0.0.1:{proxy.server_port}")
    monkeypatch.setenv("no_proxy", no_proxy)
    url = f"http://127.0.0.1:{server.server_port}/a"

    assert fetch(url) == ("/a" if direct else url)
    assert bool(proxy.asked) is not direct


def certificate(folder):
    """A self-signed certificate for the loopback, and its key; paths."""
    x509 = pytest.importorskip("cryptography.x509")
    from ipaddress import ip_address

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    kind, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(signed.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, kind, secret))
    return folder / "cert.pem", folder / "key.pem"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_session_trusts_the_certificates_that_the_environment_names(
    serve, monkeypatch, tmp_path, variable
):
    path, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key)
    url = f"https://127.0.0.1:{serve(context).server_port}/a"

    with pytest.raises(requests.exceptions.SSLError):
        fetch(url)
    monkeypatch.setenv(variable, str(path))
    assert fetch(url) == "/a"


def test_certificates_that_are_not_there_are_named(serve, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")

    with pytest.raises(
        UsageError, match=r"SSL_CERT_FILE is /nowhere/ca\.pem, which does not exist"
    ):
        open_session()


def test_no_more_of_an_answer_is_read_than_allowed(serve):
    url = f"http://127.0.0.1:{serve().server_port}/{'a' * 2000}"

    with pytest.raises(TooLargeError):
        fetch(url)
